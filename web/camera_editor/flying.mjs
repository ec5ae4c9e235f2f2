/** The record button's work: a flight that is seen as it goes, and what becomes of it. */

import { button, element } from "./elements.mjs";
import { Recording } from "./recording.mjs";

const SHOWN = 40; // letters of the actions so far

/** Events: "frame" and "end"; `camera` is where the flight is, null while there is none. */
export class Flying extends EventTarget {
  #recording = null;

  /** @param {object} given as of the editor: choices, lengthIsLinked, makeActionsNode */
  constructor(draft, label, given) {
    super();
    Object.assign(this, { draft, label, given, camera: null });
    this.element = element("div", { class: "flown", hidden: true });
  }

  get isOn() {
    return this.#recording !== null;
  }

  /** What was flown so far, to be shown. */
  get told() {
    const { flight } = this.#recording;
    return `${flight.actions.slice(-SHOWN)}   ${(flight.frames / this.#recording.fps).toFixed(2)} s`;
  }

  /** Begin; false if a length that another node says has no frame left behind the playhead. */
  start() {
    const { draft, given } = this;
    const { fps, frames } = draft.document;
    const start = draft.camera;
    const most = given.lengthIsLinked ? frames - 1 - draft.frame : Infinity;
    if (most < 1) return false;
    const recording = (this.#recording = new Recording(given.choices.dialect, fps, most));
    recording.addEventListener("frame", () => {
      this.camera = recording.flight.seenFrom(start);
      this.dispatchEvent(new Event("frame"));
    });
    recording.addEventListener("done", () => this.#ended(recording.flight));
    return true;
  }

  stop() {
    this.#recording?.stop();
  }

  #ended(flight) {
    this.#recording = this.camera = null;
    this.actions = flight.frames ? flight.actions : null;
    if (this.actions) this.#show(this.actions);
    this.dispatchEvent(new Event("end"));
  }

  /** The action string, to be copied or made into a node. */
  #show(actions) {
    const { label } = this;
    const text = element("input", { readonly: true, value: actions, "aria-label": label("actions"), "data-name": "actions" });
    const away = () => (this.element.hidden = true);
    this.element.replaceChildren(
      element("span", {}, label("actions")),
      text,
      button(label("toNode"), () => this.given.makeActionsNode(actions), { "data-name": "toNode" }),
      button("×", away, { "aria-label": label("close") }),
    );
    this.element.hidden = false;
  }
}
