/** What the server says that a path will ask of the model, asked for when the path has been still for a moment. */

import { write } from "./document.mjs";
import { button, element } from "./elements.mjs";
import { getPreflight } from "./remote.mjs";

const AFTER = 250; // milliseconds without a change

/** Event: "report" when there is a new one in `report` and `warned`. */
export class Advice extends EventTarget {
  #timer = 0;

  constructor(draft, label, say) {
    super();
    Object.assign(this, { draft, label, say });
    this.report = { findings: [], held: [], summary: "" };
    this.warned = new Set(); // frames
    this.depth = null; // the file of a depth map, with which collisions are found
    this.element = element("ul", { class: "warnings", "aria-label": label("warnings") });
  }

  /** Ask soon; what was asked for an older path is forgotten. */
  ask() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), AFTER);
  }

  dispose() {
    clearTimeout(this.#timer);
    this.isDisposed = true;
  }

  async #ask() {
    const text = write(this.draft.document);
    try {
      const report = await getPreflight(text, this.depth);
      if (this.isDisposed || text !== write(this.draft.document)) return;
      this.report = report;
    } catch (error) {
      if (!this.isDisposed) this.say(error.message, true);
      return;
    }
    const warnings = this.report.findings.filter(({ level }) => level === "warning");
    this.warned = new Set(warnings.flatMap(({ frames }) => frames.flatMap(([start, stop]) => range(start, stop))));
    this.#list(warnings);
    this.dispatchEvent(new Event("report"));
  }

  #list(warnings) {
    const { findings } = this.report;
    const notes = findings.filter(({ level }) => level !== "warning");
    const none = warnings.length ? [] : [element("li", { class: "fine" }, this.label("fine"))];
    const lines = (found) => found.map((finding) => this.#line(finding));
    this.element.replaceChildren(...lines(warnings), ...none, ...lines(notes));
  }

  /** A line that leads to where it is of. */
  #line({ level, text, frames }) {
    const at = frames[0]?.[0];
    return element("li", { class: level }, at === undefined ? text : button(text, () => this.draft.goTo(at)));
  }
}

const range = (start, stop) => Array.from({ length: stop - start }, (_, i) => start + i);
