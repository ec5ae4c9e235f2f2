/**
 * A camera flown with held keys, frame by frame: the same arithmetic as wm_core/camera/actions.py.
 *
 * `dialect` is a row of its table as the server sends it: keys, speeds, pitch limit, inertia.
 */

import { multiplied, ofAngles, turned } from "./quaternion.mjs";

const CONTROLS = ["forward", "strafe", "yaw", "pitch"];
const RADIANS = Math.PI / 180;

export class Flight {
  #velocity = [0, 0, 0, 0];
  #held = new Set();
  #yaw = 0;
  #pitch = 0;

  constructor(dialect) {
    this.dialect = dialect;
    this.position = [0, 0, 0];
    /** What was held, as [keys, frames] runs. @type {[string, number][]} */
    this.runs = [];
  }

  get turn() {
    return ofAngles(this.#yaw, this.#pitch, 0);
  }

  get frames() {
    return this.runs.reduce((sum, [, frames]) => sum + frames, 0);
  }

  /** What was flown as an action string. */
  get actions() {
    return this.runs.map(([keys, frames]) => `${keys || "none"}-${frames}`).join(",");
  }

  /** One frame with these keys held. @param {Iterable<string>} keys letters */
  step(keys) {
    const held = new Set([...keys].filter((key) => key in this.dialect.keys));
    this.#note([...held].sort().join(""));
    this.#velocity = this.#towards(held);
    this.#held = held;
    this.#move(...this.#velocity);
  }

  /** Seen from a start: where the camera is in the world. */
  seenFrom(start) {
    const moved = turned(start.turn, this.position);
    return {
      position: start.position.map((value, i) => value + moved[i]), turn: multiplied(start.turn, this.turn), fov: start.fov,
    };
  }

  #note(keys) {
    const last = this.runs.at(-1);
    if (last?.[0] === keys) last[1] += 1;
    else this.runs.push([keys, 1]);
  }

  #towards(held) {
    const target = this.#target(held);
    const { press_s: press, coast_s: coast, frame_s: frame } = this.dialect.inertia;
    if ([...held].some((key) => !this.#held.has(key))) return target; // a new key jumps the whole velocity
    return this.#velocity.map((velocity, i) => {
      const seconds = target[i] ? press : coast;
      return velocity + (target[i] - velocity) * (seconds ? 1 - Math.exp(-frame / seconds) : 1);
    });
  }

  #target(held) {
    const sums = Object.fromEntries(CONTROLS.map((control) => [control, 0]));
    for (const key of held) sums[this.dialect.keys[key][0]] += this.dialect.keys[key][1];
    const turn = this.dialect.rotation_speed_deg * RADIANS;
    const speed = this.dialect.translation_speed;
    return [sums.forward * speed, sums.strafe * speed, (sums.yaw + this.dialect.strafe_yaw * sums.strafe) * turn, sums.pitch * turn];
  }

  #move(forward, strafe, yaw, pitch) {
    const limit = this.dialect.pitch_limit_deg * RADIANS;
    const wanted = this.#pitch + pitch;
    this.#yaw += yaw;
    if (Math.abs(wanted) <= limit) this.#pitch = wanted;
    else if (this.dialect.at_pitch_limit === "saturate") this.#pitch = Math.sign(wanted) * limit;
    const flat = Math.cos(this.#pitch);
    const ahead = (forward * flat) / (flat + this.dialect.flat_guard);
    const aside = strafe / (1 + this.dialect.flat_guard);
    const [sine, cosine] = [Math.sin(this.#yaw), Math.cos(this.#yaw)];
    const [x, y, z] = this.position;
    this.position = [x + ahead * sine + aside * cosine, y, z + ahead * cosine - aside * sine];
  }
}
