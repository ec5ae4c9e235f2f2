/** Smooth curves through points, arrays of numbers; the same arithmetic as wm_core/camera/spline.py. */

/** The cubic from first to last with these tangents at its ends; share in [0, 1]. */
export function hermite(first, last, leaving, meeting, share) {
  const s = share;
  return first.map(
    (_, i) =>
      (1 + 2 * s) * (1 - s) ** 2 * first[i] +
      s ** 2 * (3 - 2 * s) * last[i] +
      s * (1 - s) ** 2 * leaving[i] -
      s ** 2 * (1 - s) * meeting[i],
  );
}

/** A curve through all points, one a unit of time; at in [0, n - 1]. Catmull and Rom 1974. */
export function catmullRom(points, at) {
  if (points.length === 1) return points[0];
  const last = points.length - 1;
  const i = Math.min(Math.max(Math.floor(at), 0), last - 1);
  const tangent = (k) => {
    const [before, after] = [Math.max(k - 1, 0), Math.min(k + 1, last)];
    return points[k].map((_, axis) => (points[after][axis] - points[before][axis]) / (after - before));
  };
  return hermite(points[i], points[i + 1], tangent(i), tangent(i + 1), at - i);
}
