/** Unit quaternions [w, x, y, z]; the same arithmetic as wm_core/camera/quaternion.py. */

const STRAIGHT = 1e-9; // radians below which a turn has no axis

/** The turn `b`, then `a`. */
export function multiplied(a, b) {
  return [
    a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
    a[0] * b[1] + b[0] * a[1] + a[2] * b[3] - a[3] * b[2],
    a[0] * b[2] + b[0] * a[2] + a[3] * b[1] - a[1] * b[3],
    a[0] * b[3] + b[0] * a[3] + a[1] * b[2] - a[2] * b[1],
  ];
}

export const inverse = (q) => [q[0], -q[1], -q[2], -q[3]];

const negative = (q) => q.map((value) => -value);
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** Half of the rotation vector. */
export function log(q) {
  const sine = Math.hypot(q[1], q[2], q[3]);
  const scale = sine > STRAIGHT ? Math.atan2(sine, q[0]) / sine : 1;
  return [q[1] * scale, q[2] * scale, q[3] * scale];
}

/** The inverse of log. */
export function exp(v) {
  const half = Math.hypot(...v);
  const scale = half > 0 ? Math.sin(half) / half : 1;
  return [Math.cos(half), v[0] * scale, v[1] * scale, v[2] * scale];
}

/** The turn from a to b at an even rate, the shorter way. Shoemake 1985. */
export function slerp(a, b, share) {
  const near = dot(a, b) < 0 ? negative(b) : b;
  return multiplied(a, exp(log(multiplied(inverse(a), near)).map((value) => value * share)));
}

/** Slerp from each quaternion to the next, one a unit of time; at in [0, n - 1]. */
export function piecewise(turns, at) {
  if (turns.length === 1) return turns[0];
  const i = pieceOf(turns, at);
  return slerp(turns[i], turns[i + 1], at - i);
}

/** A smooth turn through all quaternions, one a unit of time; at in [0, n - 1]. Shoemake 1987. */
export function squad(turns, at) {
  if (turns.length === 1) return turns[0];
  const i = pieceOf(turns, at);
  const share = at - i;
  const ends = slerp(turns[i], turns[i + 1], share);
  const middles = slerp(inner(turns, i), inner(turns, i + 1), share);
  return slerp(ends, middles, 2 * share * (1 - share));
}

/** Each turn on the side of the one before it, so that a run is smooth. */
export function continuous(turns) {
  const found = [turns[0]];
  for (const turn of turns.slice(1)) found.push(dot(found.at(-1), turn) < 0 ? negative(turn) : turn);
  return found;
}

/** Of yaw to the right, pitch up and roll to the right, in radians, in this order around the camera's own axes. */
export function ofAngles(yaw, pitch, roll) {
  const about = (axis, angle) => exp([0, 0, 0].map((_, i) => (i === axis ? angle / 2 : 0)));
  return multiplied(multiplied(about(1, yaw), about(0, pitch)), about(2, roll));
}

/** Yaw, pitch and roll of a turn, in radians: the inverse of ofAngles, yaw in (-pi, pi]. Straight up or down has no roll. */
export function anglesOf(turn) {
  const [right, down, ahead] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => turned(turn, axis));
  const flat = Math.hypot(right[1], down[1]);
  const pitch = Math.atan2(-ahead[1], flat);
  if (flat < STRAIGHT) return [Math.atan2(-right[2], right[0]), pitch, 0];
  return [Math.atan2(ahead[0], ahead[2]), pitch, Math.atan2(right[1], down[1])];
}

/** A vector, turned. */
export const turned = (turn, vector) => multiplied(multiplied(turn, [0, ...vector]), inverse(turn)).slice(1);

/** Of a rotation as three columns, the camera's x, y and z axes. Shepperd 1978. */
export function ofAxes(x, y, z) {
  const trace = x[0] + y[1] + z[2];
  const sizes = [trace, x[0], y[1], z[2]];
  const largest = sizes.indexOf(Math.max(...sizes));
  const r = Math.sqrt(1 + 2 * sizes[largest] - trace);
  const q = [
    [r, (y[2] - z[1]) / r, (z[0] - x[2]) / r, (x[1] - y[0]) / r],
    [(y[2] - z[1]) / r, r, (x[1] + y[0]) / r, (z[0] + x[2]) / r],
    [(z[0] - x[2]) / r, (x[1] + y[0]) / r, r, (y[2] + z[1]) / r],
    [(x[1] - y[0]) / r, (z[0] + x[2]) / r, (y[2] + z[1]) / r, r],
  ][largest].map((value) => value / 2);
  const size = Math.hypot(...q);
  return q.map((value) => value / size);
}

const pieceOf = (turns, at) => Math.min(Math.max(Math.floor(at), 0), turns.length - 2);

function inner(turns, i) {
  if (i === 0 || i === turns.length - 1) return turns[i];
  const to = (other) => {
    const turn = multiplied(inverse(turns[i]), other);
    return log(turn[0] < 0 ? negative(turn) : turn);
  };
  const [after, before] = [to(turns[i + 1]), to(turns[i - 1])];
  return multiplied(turns[i], exp(after.map((value, k) => -(value + before[k]) / 4)));
}
