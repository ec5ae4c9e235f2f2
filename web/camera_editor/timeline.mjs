/** Time from left to right: seconds, warnings, keys to drag, keys held, and how position, turn and view go. */

import { withChange, withKeyAt, withoutKey } from "./document.mjs";
import { element } from "./elements.mjs";
import { anglesOf } from "./quaternion.mjs";

const RULER = 20; // CSS pixels of each row
const BAR = 8;
const [TEXT, SMALL_TEXT] = ["10px sans-serif", "bold 8px sans-serif"];
const CURVES = [
  { names: ["x", "y", "z"], of: ({ position }) => position, least: 1 },
  { names: ["yaw", "pitch", "roll"], of: ({ turn }) => anglesOf(turn).map((angle) => (angle * 180) / Math.PI), least: 30 },
  { names: ["fov"], of: ({ fov }) => [fov], least: 20 },
];
const CURVE_COLOURS = ["#ff7b86", "#8ee08a", "#7aa2ff"];
const HELD = "wsadijkl";

export class Timeline {
  constructor(draft, label) {
    [this.draft, this.label] = [draft, label];
    this.report = { findings: [], held: [] }; // none yet
    this.canvas = element("canvas", { class: "curves" });
    this.keys = element("div", { class: "keys" });
    this.playhead = element("div", {
      class: "playhead", role: "slider", tabindex: 0, "aria-label": label("playhead"), "aria-valuemin": 0,
    });
    this.track = element("div", { class: "track" }, this.canvas, this.keys, this.playhead);
    this.element = element("section", { class: "timeline", "aria-label": label("timeline") }, this.track);
    this.track.addEventListener("pointerdown", (event) => this.#scrub(event));
    this.track.addEventListener("dblclick", (event) => this.#addAt(event));
    this.playhead.addEventListener("keydown", (event) => this.#step(event));
    this.resized = new ResizeObserver(() => this.update());
    this.resized.observe(this.track);
  }

  /** Redraw after a change of the document. @param {{findings: object[], held: string[]}} report of the server */
  update(report = this.report) {
    this.report = report;
    this.#placeKeys();
    this.#drawCurves();
    this.move();
  }

  /** Redraw after the playhead or the selection moved. */
  move() {
    const { frame, document, selected } = this.draft;
    this.playhead.style.left = `${this.#left(frame)}%`;
    this.playhead.setAttribute("aria-valuenow", frame);
    this.playhead.setAttribute("aria-valuemax", document.frames - 1);
    this.playhead.setAttribute("aria-valuetext", `${frame}, ${(frame / document.fps).toFixed(2)} s`);
    [...this.keys.children].forEach((key, i) => key.setAttribute("aria-pressed", i === selected));
  }

  /** End a drag and go back to what was before. */
  breakOff() {
    this.isDragging = false;
    this.draft.drop();
  }

  dispose() {
    this.resized.disconnect();
  }

  #left(frame) {
    return (100 * frame) / Math.max(1, this.draft.document.frames - 1);
  }

  #frameAt(event) {
    const box = this.track.getBoundingClientRect();
    const share = (event.clientX - box.left) / Math.max(1, box.width);
    return Math.round(Math.max(0, Math.min(1, share)) * (this.draft.document.frames - 1));
  }

  #scrub(event) {
    if (event.button || event.target.closest(".keys button")) return;
    event.preventDefault();
    this.playhead.focus();
    this.draft.goTo(this.#frameAt(event));
    follow(event, this.track, (moved) => this.draft.goTo(this.#frameAt(moved)));
  }

  #addAt(event) {
    if (event.target.closest(".keys button")) return;
    const { draft } = this;
    draft.keep(withKeyAt(draft.document, this.#frameAt(event), draft.path));
    draft.goTo(this.#frameAt(event));
  }

  #step(event) {
    const { draft } = this;
    const second = Math.round(draft.document.fps);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -second, PageUp: second, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    draft.goTo(Math.max(0, Math.min(draft.document.frames - 1, draft.frame + steps[event.key])));
  }

  #placeKeys() {
    const { document } = this.draft;
    while (this.keys.children.length > document.keys.length) this.keys.lastChild.remove();
    document.keys.forEach((key, number) => {
      const mark = this.keys.children[number] ?? this.keys.appendChild(this.#keyMark(number));
      const isBehind = key.frame >= document.frames; // the end: it pulls at the path and is not reached
      mark.style.left = `${this.#left(this.draft.frameOf(number))}%`;
      mark.classList.toggle("is-behind", isBehind);
      mark.title = isBehind ? this.label("behind") : "";
      mark.setAttribute("aria-label", this.label("key", { number: number + 1, frame: key.frame }));
    });
  }

  #keyMark(number) {
    const mark = element("button", { type: "button", "aria-pressed": false });
    mark.addEventListener("click", () => this.draft.select(number));
    mark.addEventListener("keydown", (event) => this.#moveKey(event, number));
    mark.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      mark.focus();
      this.draft.select(number);
      const moved = (later) => {
        if (!this.isDragging) return; // it was broken off
        this.draft.show(withChange(this.draft.document, number, { frame: this.#frameAt(later) }));
        this.draft.select(number);
      };
      this.isDragging = true;
      follow(event, mark, moved, (isDone) => {
        this.isDragging = false;
        if (isDone) this.draft.keep();
        else this.draft.drop();
      });
    });
    return mark;
  }

  #moveKey(event, number) {
    const { draft } = this;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      draft.keep(withChange(draft.document, number, { frame: draft.document.keys[number].frame + step }));
      draft.select(number);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      draft.keep(withoutKey(draft.document, number));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #drawCurves() {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = TEXT;
    this.#drawSeconds(pen, width, height);
    this.#drawWarnings(pen, width, height);
    const top = this.#drawHeld(pen, width, 2 * RULER);
    const room = (height - top) / CURVES.length;
    CURVES.forEach((curve, row) => this.#drawCurve(pen, curve, width, top + row * room, room));
  }

  #drawSeconds(pen, width, height) {
    const { frames, fps } = this.draft.document;
    const seconds = (frames - 1) / fps;
    const step = [0.5, 1, 2, 5, 10, 30, 60, 300, 600].find((each) => (each / Math.max(seconds, 0.1)) * width > 50) ?? 3600;
    [pen.strokeStyle, pen.fillStyle] = ["#2c3242", "#98a1b5"];
    for (let at = 0; at <= seconds + 1e-9; at += step) {
      const x = (at / Math.max(seconds, 1e-9)) * width;
      pen.beginPath();
      pen.moveTo(x, 0);
      pen.lineTo(x, height);
      pen.stroke();
      if (x < width - 24) pen.fillText(`${at} s`, x + 3, 12);
    }
  }

  #drawWarnings(pen, width, height) {
    const all = Math.max(1, this.draft.document.frames - 1);
    for (const level of ["note", "warning"]) {
      pen.fillStyle = { note: "rgb(122 162 255 / 0.1)", warning: "rgb(255 93 93 / 0.22)" }[level];
      pen.beginPath(); // one shape, so that what two findings are of is not darker
      const frames = this.report.findings.filter((finding) => finding.level === level).flatMap((finding) => finding.frames);
      for (const [start, stop] of frames) pen.rect((start / all) * width, 0, Math.max(2, ((stop - start) / all) * width), height);
      pen.fill();
    }
  }

  /** A bar for as long as each key would be held; returns where the next row begins. */
  #drawHeld(pen, width, top) {
    const { held } = this.report;
    const used = [...HELD].filter((key) => held.some((keys) => keys.includes(key)));
    const all = Math.max(1, this.draft.document.frames - 1);
    pen.font = SMALL_TEXT;
    used.forEach((key, row) => {
      const y = top + row * BAR;
      pen.fillStyle = "#4a6bb0";
      runs(held, key).forEach(([start, stop]) => {
        pen.fillRect((start / all) * width, y + 1, Math.max(2, ((stop - start) / all) * width), BAR - 2);
      });
      pen.fillStyle = "#cfd6e6";
      pen.fillText(key.toUpperCase(), 3, y + BAR - 1);
    });
    pen.font = TEXT;
    return top + used.length * BAR + 2;
  }

  #drawCurve(pen, { names, of, least }, width, top, room) {
    const values = this.draft.path.map(of);
    const [low, high] = extent(values);
    const middle = (high + low) / 2;
    const half = Math.max(high - middle, least / 2) * 1.1;
    const y = (value) => top + room / 2 - ((value - middle) / half) * (room / 2 - 2);
    names.forEach((name, i) => {
      pen.strokeStyle = pen.fillStyle = CURVE_COLOURS[i];
      pen.lineWidth = 1.3;
      pen.beginPath();
      values.forEach((value, frame) => pen.lineTo((frame / Math.max(1, values.length - 1)) * width, y(value[i])));
      pen.stroke();
      pen.fillText(name, 3 + i * 34, top + 10);
    });
  }
}

/** The least and the most of all numbers in rows; a path of 100,000 frames has more than one call can take. */
function extent(rows) {
  let [low, high] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const value of row) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  return [low, high];
}

/** Call `moved` while the pointer is down, and `done(true)` when it is let go, or `done(false)` when it was taken away. */
function follow(event, target, moved, done = () => {}) {
  target.setPointerCapture(event.pointerId);
  const events = new AbortController();
  const on = (name, listen) => target.addEventListener(name, listen, { signal: events.signal });
  on("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"]) {
    on(name, () => {
      events.abort();
      done(name === "pointerup");
    });
  }
}

/** [start, stop) frames in which a key is held. */
function runs(held, key) {
  const found = [];
  held.forEach((keys, frame) => {
    if (!keys.includes(key)) return;
    if (found.at(-1)?.[1] === frame) found.at(-1)[1] = frame + 1;
    else found.push([frame, frame + 1]);
  });
  return found;
}
