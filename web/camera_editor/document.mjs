/**
 * The keyframe document that a workflow keeps, and changes of it. Nothing here alters what it is given.
 *
 * The format is that of wm_core/camera/keyframe_document.py; what a document leaves out is filled in when it is read here,
 * and left out again when it is written.
 */

import { DOCUMENT, EASINGS, KEY, keyframedPath } from "./keyframes.mjs";
import { anglesOf, multiplied, ofAngles, turned } from "./quaternion.mjs";

export const FORMAT = "sana-wm-keyframes";
export const VERSION = 1;
export const MIN_FOV = 5;
export const MAX_FOV = 170;

const RADIANS = Math.PI / 180;
const ANGLES = ["yaw", "pitch", "roll"];
const STILL = [0, 0, 0];

/** A camera that stands still where the picture was taken. @returns {object} a whole document */
export function blank({ frames, fps = DOCUMENT.fps, size, fov = KEY.fov }) {
  return { format: FORMAT, version: VERSION, ...DOCUMENT, frames, fps, size, keys: [{ ...KEY, frame: 0, fov }] };
}

/** The document of a text. @throws {Error} for a text that is none, or whose keys cannot be drawn; the server says more */
export function read(text) {
  const found = JSON.parse(text);
  if (found?.format !== FORMAT || found.version !== VERSION || !found.keys?.length) {
    throw new Error(`wanted a document of format ${FORMAT}, version ${VERSION}, with keys`);
  }
  const keys = found.keys.map((key) => ({ ...KEY, ...key }));
  const wrong = keys.findIndex((key, i) => !isDrawable(key) || (i > 0 && key.frame <= keys[i - 1].frame));
  if (wrong >= 0) throw new Error(`key ${wrong + 1} lacks a number, an easing that is known, or a frame behind the one before it`);
  return { ...DOCUMENT, ...found, keys };
}

function isDrawable({ frame, position, arrives, leaves, pivot, yaw, pitch, roll, fov, easing }) {
  const points = [position, arrives, leaves, pivot ?? STILL];
  const numbers = [frame, yaw, pitch, roll, fov, ...points.flat()];
  return points.every((point) => point?.length === 3) && numbers.every(Number.isFinite) && easing in EASINGS;
}

/** The text of a document; of each key only what differs from the defaults. */
export function write(document) {
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const keys = document.keys.map((key) =>
    Object.fromEntries(Object.entries(key).filter(([name, value]) => name === "frame" || !same(value, KEY[name]))),
  );
  return JSON.stringify({ ...document, keys });
}

/** The last key at or before a frame, as a number; 0 if there is none. */
export const keyBefore = (document, frame) =>
  Math.max(0, document.keys.findLastIndex((key) => key.frame <= frame));

/** The path's camera at a frame, as a key. */
export function keyAt(document, frame, path = keyframedPath(document)) {
  const { position, turn, fov, place } = path[Math.min(frame, path.length - 1)];
  const number = keyBefore(document, frame);
  const near = document.keys[number];
  const following = document.keys[number + 1] ?? near;
  const between = (a, b) => a + (b - a) * shareOf(place, number);
  const expected = Object.fromEntries(ANGLES.map((name) => [name, between(near[name], following[name])]));
  const pivot = near.pivot && following.pivot && near.pivot.map((value, i) => between(value, following.pivot[i]));
  return { ...KEY, frame, position, ...anglesNear(turn, expected), fov, easing: near.easing, pivot };
}

/** With a key where the path's camera is at a frame, unless one stands there. A Bezier curve stays the curve that it is. */
export function withKeyAt(document, frame, path = keyframedPath(document)) {
  const timed = document.timing === "even" ? inPassing(document, path) : document;
  const number = keyBefore(timed, frame);
  const [key, following] = [timed.keys[number], timed.keys[number + 1]];
  if (key.frame === frame) return timed;
  const made = keyAt(timed, frame, path);
  if (timed.positions !== "bezier") return withKey(timed, made);
  const changed = (...keys) => ({ ...timed, keys: timed.keys.toSpliced(number, keys.length, ...keys) });
  if (frame < key.frame) return withKey(changed({ ...key, arrives: STILL }), made);
  if (!following) return withKey(changed({ ...key, leaves: STILL }), made);
  const [before, here, behind] = split(key, following, shareOf(path[Math.min(frame, path.length - 1)].place, number));
  return withKey(changed(before, behind), { ...made, ...here });
}

/** With a key in it, in place of the one that stands at its frame. */
export function withKey(document, key) {
  const others = document.keys.filter(({ frame }) => frame !== key.frame);
  return { ...document, keys: inOrder([...others, { ...KEY, ...key }]) };
}

/** Without the key of that number; the only one stays. */
export function withoutKey(document, number) {
  if (document.keys.length === 1) return document;
  return { ...document, keys: document.keys.filter((_, i) => i !== number) };
}

/** With other values in one key. Its frame can be moved between those of its neighbours. */
export function withChange(document, number, change) {
  const changed = { ...document.keys[number], ...change };
  const first = number > 0 ? document.keys[number - 1].frame + 1 : 0;
  const last = number < document.keys.length - 1 ? document.keys[number + 1].frame - 1 : document.frames - 1;
  if ("frame" in change) changed.frame = Math.max(first, Math.min(changed.frame, Math.max(first, last)));
  changed.fov = Math.max(MIN_FOV, Math.min(changed.fov, MAX_FOV));
  return { ...document, keys: document.keys.map((key, i) => (i === number ? changed : key)) };
}

/** Whether a path can be cut at a frame without a change of its pace or turns: timed by keys, turning evenly between them. */
export function isPlain(document, frame) {
  const number = keyBefore(document, frame);
  const [key, following] = [document.keys[number], document.keys[number + 1]];
  const isEven = key.easing === "linear" || frame <= key.frame || !following;
  return document.timing === "keys" && document.turns === "slerp" && isEven;
}

/**
 * With the keys of another document from a frame on, taken as seen from the camera that is there. From frame 0 on it is the
 * other document; else this one is plain there, and the other one is plain and has no pivots, whose cameras would stay level.
 */
export function continued(document, frame, following) {
  const path = keyframedPath(document);
  const from = path[Math.min(frame, path.length - 1)];
  if (frame === 0 && isOrigin(from)) return { ...following, size: document.size, fps: document.fps };
  const [first] = keyframedPath(following);
  const [begin, ...moved] = withHandles(following).keys.map((key) =>
    asSeenFrom(from, first, { ...key, frame: key.frame + frame }),
  );
  const { keys: cut } = withKeyAt(withHandles(document), frame, path);
  const here = cut.find((key) => key.frame === frame);
  const start = { ...here, leaves: begin.leaves, easing: begin.easing };
  const keys = [...cut.filter((key) => key.frame < frame), start, ...moved];
  return { ...document, positions: "bezier", turns: "slerp", timing: "keys", frames: frame + following.frames, keys };
}

/** Whether a camera is where a path begins that knows of no other: at 0, level, looking along z. */
export const isOrigin = ({ position, turn }) => Math.hypot(...position, ...turn.slice(1)) < 1e-9;

/** With Bezier handles along the curve that is there now, so that nothing moves when handles are wanted. */
export function withHandles(document) {
  if (document.positions === "bezier") return document;
  const { keys } = document;
  const third = (i, other) => keys[other].position.map((value, axis) => (value - keys[i].position[axis]) / 3);
  const tangent = (i) => {
    const [before, after] = [Math.max(i - 1, 0), Math.min(i + 1, keys.length - 1)];
    const places = Math.max(after - before, 1);
    return keys[i].position.map((_, axis) => (keys[after].position[axis] - keys[before].position[axis]) / places / 3);
  };
  const straight = document.positions === "linear";
  const handled = keys.map((key, i) => {
    const leaves = straight && keys[i + 1] ? third(i, i + 1) : tangent(i);
    const arrives = straight && keys[i - 1] ? third(i, i - 1) : tangent(i).map((value) => -value);
    return { ...key, leaves, arrives };
  });
  return { ...document, positions: "bezier", keys: handled };
}

/** With its keys at the frames in which the path passes them; even timing asks only for the frames of the ends. */
function inPassing(document, path) {
  const frames = document.keys.map((key) => key.frame);
  const last = frames.length - 1;
  for (let i = 1; i < last; i++) {
    const found = path.findIndex(({ place }) => place >= i);
    frames[i] = Math.max(frames[i - 1] + 1, found < 0 ? Infinity : found);
  }
  for (let i = last - 1; i > 0; i--) frames[i] = Math.min(frames[i], frames[i + 1] - 1);
  return { ...document, keys: document.keys.map((key, i) => ({ ...key, frame: frames[i] })) };
}

/** How far a place is from a key to the next one, 0 to 1. */
const shareOf = (place, number) => Math.max(0, Math.min(place - number, 1));

/** The handles of a Bezier curve cut in two at a share of its way (de Casteljau): of its ends, and of the key between. */
function split(first, last, share) {
  const between = (a, b) => a.map((value, i) => value + (b[i] - value) * share);
  const from = (a, b) => b.map((value, i) => value - a[i]);
  const sum = (a, b) => a.map((value, i) => value + b[i]);
  const points = [first.position, sum(first.position, first.leaves), sum(last.position, last.arrives), last.position];
  const thirds = [0, 1, 2].map((i) => between(points[i], points[i + 1]));
  const halves = [0, 1].map((i) => between(thirds[i], thirds[i + 1]));
  const place = between(...halves);
  return [
    { ...first, leaves: from(first.position, thirds[0]) },
    { position: place, arrives: from(place, halves[0]), leaves: from(place, halves[1]) },
    { ...last, arrives: from(last.position, thirds[2]) },
  ];
}

/** The next length that the dense model makes, 8 k + 1 frames. */
export const wholeFrames = (frames) => 8 * Math.ceil((frames - 1) / 8) + 1;

const inOrder = (keys) => [...keys].sort((a, b) => a.frame - b.frame);

/** {yaw, pitch, roll} of a turn in degrees, as close as whole turns bring them to those of a key. */
export function anglesNear(turn, key) {
  const angles = anglesOf(turn).map((radians, i) => nearTo(key[ANGLES[i]], radians / RADIANS));
  return Object.fromEntries(ANGLES.map((name, i) => [name, angles[i]]));
}

/** The same angle, as close as whole turns bring it to another. */
export const nearTo = (other, angle) => angle + 360 * Math.round((other - angle) / 360);

/** A key of a path that starts at `first`, moved rigidly so that it starts at `from`. */
function asSeenFrom(from, first, key) {
  const back = [first.turn[0], -first.turn[1], -first.turn[2], -first.turn[3]];
  const way = multiplied(from.turn, back);
  const along = (vector) => turned(way, vector);
  const at = (point) => along(point.map((v, i) => v - first.position[i])).map((v, i) => v + from.position[i]);
  const turn = multiplied(way, ofAngles(key.yaw * RADIANS, key.pitch * RADIANS, key.roll * RADIANS));
  const [yaw, pitch, roll] = anglesOf(turn).map((angle) => angle / RADIANS);
  return {
    ...key, position: at(key.position), yaw, pitch, roll, arrives: along(key.arrives), leaves: along(key.leaves),
    pivot: key.pivot && at(key.pivot),
  };
}
