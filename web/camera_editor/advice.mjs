/** What the server says that a path will ask of the model, asked for when the path has been still for a moment. */

import { write } from "./document.mjs";
import { button, element } from "./elements.mjs";
import { getPreflight, Refusal } from "./remote.mjs";

const AFTER = 250; // milliseconds without a change
const AGAIN_AFTER = 5000; // milliseconds, of a server that did not answer
const NOTHING = { findings: [], held: [], summary: "" };

/** Event: "report" when there is a new one in `report` and `warned`. */
export class Advice extends EventTarget {
  #timer = 0;
  #isAsking = false;

  constructor(draft, label) {
    super();
    Object.assign(this, { draft, label });
    this.report = NOTHING;
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

  /** One request at a time: a long path takes the server seconds. */
  async #ask() {
    if (this.#isAsking) return this.ask();
    this.#isAsking = true;
    const text = write(this.draft.document);
    const answer = await getPreflight(text, this.depth).catch((error) => error);
    this.#isAsking = false;
    if (this.isDisposed || text !== write(this.draft.document)) return;
    if (answer instanceof Error) this.#failed(answer);
    else this.#told(answer);
    this.dispatchEvent(new Event("report"));
  }

  #told(report) {
    this.report = report;
    const warnings = report.findings.filter(({ level }) => level === "warning");
    this.warned = new Set(warnings.flatMap(({ frames }) => frames.flatMap(([start, stop]) => range(start, stop))));
    this.#list(warnings);
  }

  /** A path that cannot be, or a server that is away: no older warnings stay. */
  #failed(error) {
    [this.report, this.warned] = [NOTHING, new Set()];
    const isAway = !(error instanceof Refusal);
    this.element.replaceChildren(element("li", { class: "warning" }, isAway ? this.label("away") : error.message));
    if (isAway) this.#timer = setTimeout(() => this.#ask(), AGAIN_AFTER);
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
