/**
 * The path through keyframes, for drawing: the same rules as wm_core/camera/keyframes.py, which makes the path that counts.
 *
 * A document is that of wm_core/camera/keyframe_document.py; what it leaves out has the defaults below.
 */

import { continuous, multiplied, ofAngles, ofAxes, piecewise, squad } from "./quaternion.mjs";
import { catmullRom, hermite } from "./spline.mjs";

const PIECES = 64; // straight pieces that the length of a curve between two keys is the sum of
const FALL = 6;
const SWING = 8;
const RADIANS = Math.PI / 180;
const NEAR = 1e-6; // metres

const spring = (p) => 1 - Math.exp(-FALL * p) * (Math.cos(SWING * p) + (FALL / SWING) * Math.sin(SWING * p));

export const EASINGS = {
  linear: (p) => p,
  smooth: (p) => p ** 2 * (3 - 2 * p),
  "slow start": (p) => p ** 2,
  "slow end": (p) => p * (2 - p),
  settle: (p) => spring(p) / spring(1),
};

/** What a document leaves out of a key, and of itself. */
export const KEY = {
  position: [0, 0, 0], yaw: 0, pitch: 0, roll: 0, fov: 90, easing: "linear", arrives: [0, 0, 0], leaves: [0, 0, 0], pivot: null,
};
export const DOCUMENT = { fps: 16, positions: "catmull-rom", turns: "squad", timing: "keys" };

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const mixed = (a, b, share) => a.map((value, i) => value + (b[i] - value) * share);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/**
 * The camera at every frame.
 * @param {object} given a keyframe document
 * @returns {{position: number[], turn: number[], fov: number, place: number}[]} metres, [w, x, y, z], degrees, number of a key
 *   and how far it is to the next
 */
export function keyframedPath(given) {
  const document = whole(given);
  const centre = centring(document);
  const place = document.timing === "even" ? evenly(document, centre) : placed(document);
  const camera = cameraAt(document, centre);
  const [first, last] = [document.keys[0].frame, document.keys.at(-1).frame];
  return Array.from({ length: document.frames }, (_, frame) => camera(place(clamp(frame, first, last))));
}

/** The camera at every key, whatever its frame: as keyframedPath's. @param {object} given a keyframe document */
export function keyCameras(given) {
  const document = whole(given);
  const camera = cameraAt(document, centring(document));
  return document.keys.map((_, number) => camera(number));
}

const whole = (given) => ({ ...DOCUMENT, ...given, keys: given.keys.map((key) => ({ ...KEY, ...key })) });

/** Place -> camera. */
function cameraAt(document, centre) {
  const turn = turning(document);
  return (at) => {
    const position = centre(at);
    return { position, turn: turn(at, position), fov: between(document.keys, at, (key) => [key.fov])[0], place: at };
  };
}

/** Frame -> place between the keys. */
function placed({ keys }) {
  if (keys.length === 1) return () => 0;
  return (frame) => {
    const behind = keys.findIndex((key) => key.frame > frame);
    const i = clamp((behind < 0 ? keys.length : behind) - 1, 0, keys.length - 2);
    const share = (frame - keys[i].frame) / (keys[i + 1].frame - keys[i].frame);
    return i + clamp(EASINGS[keys[i].easing](share), 0, 1);
  };
}

/** Frame -> place, in equal steps in metres from the first key to the last. */
function evenly({ keys }, centre) {
  if (keys.length === 1) return () => 0;
  const fine = Array.from({ length: (keys.length - 1) * PIECES + 1 }, (_, i) => i / PIECES);
  const points = fine.map(centre);
  const reached = [0];
  for (let i = 1; i < fine.length; i++) {
    reached.push(reached[i - 1] + Math.hypot(...points[i].map((value, axis) => value - points[i - 1][axis])));
  }
  const whole = reached.at(-1);
  return (frame) => {
    const share = EASINGS[keys[0].easing]((frame - keys[0].frame) / (keys.at(-1).frame - keys[0].frame));
    const wanted = clamp(share, 0, 1);
    if (!(whole > 0)) return wanted * (keys.length - 1);
    const behind = reached.findIndex((metres) => metres > wanted * whole);
    const i = (behind < 0 ? reached.length - 1 : behind) - 1;
    const step = reached[i + 1] - reached[i];
    const inside = step > 0 ? clamp((wanted * whole - reached[i]) / step, 0, 1) : 1;
    return fine[i] + (fine[i + 1] - fine[i]) * inside;
  };
}

function between(keys, at, value) {
  const i = clamp(Math.floor(at), 0, Math.max(0, keys.length - 2));
  return keys.length === 1 ? value(keys[0]) : mixed(value(keys[i]), value(keys[i + 1]), at - i);
}

/** Place -> position. */
function centring({ keys, positions }) {
  const points = keys.map((key) => key.position);
  if (positions === "linear" || keys.length === 1) return (at) => between(keys, at, (key) => key.position);
  if (positions === "catmull-rom") return (at) => catmullRom(points, at);
  const [leaves, meets] = [keys.map((key) => key.leaves.map((v) => 3 * v)), keys.map((key) => key.arrives.map((v) => -3 * v))];
  return (at) => {
    const i = clamp(Math.floor(at), 0, keys.length - 2);
    return hermite(points[i], points[i + 1], leaves[i], meets[i + 1], at - i);
  };
}

/** (place, position) -> quaternion, looking at pivots where there are some. */
function turning({ keys, turns }) {
  const anglesOf = (key) => [key.yaw, key.pitch, key.roll];
  const radians = ([yaw, pitch, roll]) => ofAngles(yaw * RADIANS, pitch * RADIANS, roll * RADIANS);
  const looked = (key) =>
    key.pivot ? looking(key.pivot.map((v, i) => v - key.position[i]), key.roll) : radians(anglesOf(key));
  const ends = continuous(keys.map(looked));
  const angles = keys.map(anglesOf);
  const inAngles = turns === "angles" && !keys.some((key) => key.pivot);
  const way = turns === "squad" ? squad : piecewise;
  return (at, position) => {
    const i = clamp(Math.floor(at), 0, Math.max(0, keys.length - 2));
    const [key, following] = [keys[i], keys[i + 1]];
    if (key.pivot && following?.pivot) {
      const point = mixed(key.pivot, following.pivot, at - i);
      const roll = key.roll + (following.roll - key.roll) * (at - i);
      return looking(point.map((v, axis) => v - position[axis]), roll);
    }
    return inAngles ? radians(catmullRom(angles, at)) : way(ends, at);
  };
}

/**
 * The level turn whose z axis points ahead, then rolled by degrees. Ahead is nowhere, or straight up or down: no level turn
 * looks there, the server refuses the path, and the picture of it is of a camera that looks along z.
 */
function looking(ahead, roll) {
  const right = cross([0, 1, 0], ahead);
  if (!(Math.hypot(...right) > NEAR)) return ofAngles(0, 0, roll * RADIANS);
  const unit = (v) => v.map((value) => value / Math.hypot(...v));
  const [x, z] = [unit(right), unit(ahead)];
  return multiplied(ofAxes(x, cross(z, x), z), ofAngles(0, 0, roll * RADIANS));
}
