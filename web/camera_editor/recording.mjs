/** Flying the camera with held keys or a gamepad, at the model's own frame rate. */

import { Flight } from "./flight.mjs";
import { keyOf } from "./input.mjs";

const STICK = 0.35; // of a stick's way before it counts
const MOST_BEHIND = 4; // frames to catch up with after the page stood still

/** Events: "frame" after each frame flown, "done" at the end. */
export class Recording extends EventTarget {
  #held = new Set();
  #timer = null;
  #events = new AbortController();

  /** @param {number} most frames to record */
  constructor(dialect, fps, most) {
    super();
    this.flight = new Flight(dialect);
    [this.fps, this.most] = [fps, most];
    const on = (name, listen) => document.addEventListener(name, listen, { signal: this.#events.signal, capture: true });
    on("keydown", (event) => this.#key(event, true));
    on("keyup", (event) => this.#key(event, false));
    window.addEventListener("blur", () => this.#held.clear(), { signal: this.#events.signal });
    this.#begin = performance.now();
    this.#timer = setInterval(() => this.#tick(), 1000 / fps / 2);
  }

  #begin;

  stop() {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#events.abort();
    this.dispatchEvent(new Event("done"));
  }

  /** Keys held now: of the keyboard and of the gamepad's sticks (left moves, right turns). */
  get held() {
    const { keys } = this.flight.dialect;
    const letter = (control, sign) => Object.keys(keys).find((key) => keys[key][0] === control && keys[key][1] === sign);
    const held = new Set(this.#held);
    for (const pad of navigator.getGamepads?.() ?? []) {
      const [strafe = 0, back = 0, yaw = 0, down = 0] = pad?.axes ?? [];
      for (const [control, value] of [["strafe", strafe], ["forward", -back], ["yaw", yaw], ["pitch", -down]]) {
        if (Math.abs(value) > STICK) held.add(letter(control, Math.sign(value)));
      }
    }
    return held;
  }

  #key(event, isDown) {
    if (isDown && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (event.key === "Escape" && isDown) {
      event.preventDefault();
      event.stopPropagation();
      this.stop();
      return;
    }
    const key = keyOf(event);
    if (!(key in this.flight.dialect.keys)) return;
    event.preventDefault();
    event.stopPropagation();
    if (isDown) this.#held.add(key);
    else this.#held.delete(key);
  }

  /** As many frames as time asks for. Nothing is recorded before the first key. */
  #tick() {
    const held = this.held;
    if (!this.flight.frames && !held.size) {
      this.#begin = performance.now();
      return;
    }
    const due = Math.floor(((performance.now() - this.#begin) / 1000) * this.fps) - this.flight.frames;
    if (due > MOST_BEHIND) this.#begin += ((due - MOST_BEHIND) * 1000) / this.fps; // what was missed was not flown
    for (let i = 0; i < Math.min(due, MOST_BEHIND) && this.flight.frames < this.most; i++) this.flight.step(held);
    if (due > 0) this.dispatchEvent(new Event("frame"));
    if (this.flight.frames >= this.most) this.stop();
  }
}
