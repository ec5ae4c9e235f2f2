/** Exact numbers: of the selected key, and of the whole path. */

import { anglesNear, MAX_FOV, MIN_FOV, wholeFrames, withChange, withHandles } from "./document.mjs";
import { button, checkField, choiceField, element, fill, numberField } from "./elements.mjs";
import { keyCameras } from "./keyframes.mjs";
import { ofAngles, turned } from "./quaternion.mjs";

const SENSOR_MM = 36; // width of the film that focal lengths are told for
const RADIANS = Math.PI / 180;
const focalOf = (fov) => SENSOR_MM / 2 / Math.tan((fov * RADIANS) / 2);
const fovOf = (millimetres) => (2 * Math.atan(SENSOR_MM / 2 / millimetres)) / RADIANS;
const MOST_FRAMES = 99993; // the last 8 k + 1 that the node takes
const HANDLES = ["arrives", "leaves"];
const AXES = ["x", "y", "z"];
const POINT_AHEAD = 3; // metres, where a new pivot is

export class Fields {
  /** @param {{choices: object, lengthIsLinked: boolean, fpsIsLinked: boolean}} given */
  constructor(draft, label, given) {
    Object.assign(this, { draft, label, given });
    this.key = this.#keyFields();
    this.path = this.#pathFields();
    this.title = element("legend", {}, label("selected"));
    this.handles = this.#handleFields();
    const summary = element("summary", {}, label("handles"));
    this.ofHandles = element("details", {}, summary, element("div", { class: "fields" }, ...Object.values(this.handles)));
    this.ofKey = element("fieldset", { class: "fields" }, this.title, ...Object.values(this.key), this.ofHandles);
    this.ofPath = element("div", { class: "ofpath", role: "group", "aria-label": label("path") }, ...Object.values(this.path));
    this.update();
  }

  update() {
    const { key, document, selected } = this.draft;
    this.title.textContent = key ? this.label("key", { number: selected + 1, frame: key.frame }) : this.label("no_key");
    this.ofKey.disabled = !key;
    if (key) this.#fillKey(key, this.draft);
    for (const [name, value] of Object.entries({
      length: document.frames, fps: document.fps, positions: document.positions, turns: document.turns, timing: document.timing,
    })) fill(this.path[name], value);
  }

  #fillKey(key, { document, selected }) {
    const [x, y, z] = key.position;
    const [pivot_x, pivot_y, pivot_z] = key.pivot ?? [0, 0, 0];
    const shown = {
      frame: key.frame, time: key.frame / document.fps, x, y, z, yaw: key.yaw, pitch: key.pitch, roll: key.roll, fov: key.fov,
      focal: focalOf(key.fov), easing: key.easing, pivot: Boolean(key.pivot), pivot_x, pivot_y, pivot_z,
    };
    for (const [name, value] of Object.entries(shown)) fill(this.key[name], value);
    for (const name of ["pivot_x", "pivot_y", "pivot_z"]) this.key[name].hidden = !key.pivot;
    for (const name of ["yaw", "pitch"]) this.key[name].field.disabled = Boolean(key.pivot);
    this.ofHandles.hidden = document.positions !== "bezier";
    for (const part of HANDLES) AXES.forEach((axis, i) => fill(this.handles[`${part}_${axis}`], key[part][i]));
    const isInner = selected > 0 && selected < document.keys.length - 1;
    for (const name of ["frame", "time"]) this.key[name].field.disabled = document.timing === "even" && isInner;
    this.key.easing.field.disabled = document.timing === "even" && selected > 0;
  }

  #keyFields() {
    const number = (name, change, limits = {}) =>
      numberField(this.label(name), { id: `sana-wm-${name}`, ...limits, onvalue: (value, isDone) => this.#change(change(value), isDone) });
    const place = (axis) => (value) => ({ position: replaced(this.draft.key.position, axis, value) });
    const point = (axis) => (value) => ({ pivot: replaced(this.draft.key.pivot, axis, value) });
    const fov = { min: MIN_FOV, max: MAX_FOV };
    return {
      frame: number("frame", (value) => ({ frame: Math.round(value) }), { min: 0, step: 1 }),
      time: number("time", (value) => ({ frame: Math.round(value * this.draft.document.fps) }), { min: 0 }),
      x: number("x", place(0)),
      y: number("y", place(1)),
      z: number("z", place(2)),
      yaw: number("yaw", (yaw) => ({ yaw })),
      pitch: number("pitch", (pitch) => ({ pitch }), { min: -89, max: 89 }),
      roll: number("roll", (roll) => ({ roll })),
      fov: number("fov", (value) => ({ fov: value }), fov),
      focal: number("focal", (value) => ({ fov: fovOf(value) }), { min: focalOf(MAX_FOV), max: focalOf(MIN_FOV) }),
      same: button(this.label("all_keys"), () => this.#sameView()),
      easing: choiceField(this.label("easing"), this.given.choices.easings, {
        id: "sana-wm-easing", onvalue: (easing) => this.#change({ easing }, true),
      }),
      pivot: checkField(this.label("pivot"), { id: "sana-wm-pivot", onvalue: (isOn) => this.#change(isOn ? { pivot: this.#ahead() } : this.#turnNow(), true) }),
      pivot_x: number("pivot_x", point(0)),
      pivot_y: number("pivot_y", point(1)),
      pivot_z: number("pivot_z", point(2)),
    };
  }

  /** Of a Bezier curve: from the key, in metres. */
  #handleFields() {
    const field = (part, axis) =>
      numberField(this.label(`${part}_${AXES[axis]}`), {
        id: `sana-wm-${part}_${AXES[axis]}`,
        onvalue: (value, isDone) => this.#change({ [part]: replaced(this.draft.key[part], axis, value) }, isDone),
      });
    const all = HANDLES.flatMap((part) => AXES.map((axis, i) => [`${part}_${axis}`, field(part, i)]));
    return Object.fromEntries(all);
  }

  #pathFields() {
    const { choices, lengthIsLinked, fpsIsLinked } = this.given;
    const choice = (name, options) =>
      choiceField(this.label(name), options, { id: `sana-wm-${name}`, onvalue: (value) => this.#setPath({ [name]: value }) });
    const fields = {
      length: numberField(this.label("length"), {
        id: "sana-wm-length", min: 1, max: MOST_FRAMES, step: "any",
        onvalue: (frames, isDone) => isDone && this.#setPath({ frames: wholeFrames(Math.max(1, Math.round(frames) - 4)) }), // the nearest
      }),
      fps: numberField(this.label("fps"), {
        id: "sana-wm-fps", min: 1, max: 120, onvalue: (fps, isDone) => isDone && this.#setPath({ fps }),
      }),
      positions: choice("positions", choices.positions),
      turns: choice("turns", choices.turns),
      timing: choice("timing", choices.timings),
    };
    for (const [name, isLinked] of [["length", lengthIsLinked], ["fps", fpsIsLinked]]) {
      fields[name].field.disabled = isLinked;
      if (isLinked) fields[name].title = this.label("linked");
    }
    return fields;
  }

  #change(change, isDone) {
    const { draft } = this;
    draft.show(withChange(draft.document, draft.selected, change));
    if (isDone) draft.keep();
    if ("frame" in change) draft.select(draft.selected);
  }

  #setPath(change) {
    const { draft } = this;
    const start = change.positions === "bezier" ? withHandles(draft.document) : draft.document;
    draft.keep({ ...start, ...change });
  }

  #sameView() {
    const { draft } = this;
    const { fov } = draft.key;
    draft.keep({ ...draft.document, keys: draft.document.keys.map((key) => ({ ...key, fov })) });
  }

  /** No pivot, and the turn that it gave. */
  #turnNow() {
    const { document, selected, key } = this.draft;
    return { pivot: null, ...anglesNear(keyCameras(document)[selected].turn, key) };
  }

  /** A point that the camera looks at now. */
  #ahead() {
    const { yaw, pitch, position } = this.draft.key;
    const ahead = turned(ofAngles(yaw * RADIANS, pitch * RADIANS, 0), [0, 0, POINT_AHEAD]);
    return position.map((value, i) => Math.round((value + ahead[i]) * 1e5) / 1e5);
  }
}

const replaced = (values, at, value) => values.map((old, i) => (i === at ? value : old));
