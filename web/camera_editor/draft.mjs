/** The document being edited: what is selected, where the playhead is, and what was before, to go back to. */

import { keyframedPath } from "./keyframes.mjs";
import { keyBefore } from "./document.mjs";

const MOST_STEPS = 200; // that can be undone

/** Events: "document" (it changed), "selection", "place" (the playhead moved), "kept" (a change is done and to be saved). */
export class Draft extends EventTarget {
  #past = [];
  #future = [];
  #kept;
  #path = null;

  /** @param {{isBegun?: boolean}} given whether the document is what an unchanged node shows */
  constructor(document, { isBegun = true } = {}) {
    super();
    this.document = this.#kept = document;
    this.first = isBegun ? document : null;
    this.frame = 0;
    this.selected = 0; // number of a key, or -1
    this.part = "position"; // of the selected key: position, pivot, arrives or leaves
  }

  /** Whether it shows what an unchanged node shows: nothing is to be kept. */
  get isAsBegun() {
    return this.document === this.first;
  }

  /** The camera at every frame; made when it is asked for. */
  get path() {
    this.#path ??= keyframedPath(this.document);
    return this.#path;
  }

  get camera() {
    return this.path[Math.min(this.frame, this.path.length - 1)];
  }

  get key() {
    return this.document.keys[this.selected] ?? null;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** Show a document that is not decided yet, as while a key is dragged. */
  show(document) {
    this.document = document;
    this.#path = null;
    this.frame = Math.min(this.frame, document.frames - 1);
    if (this.selected >= document.keys.length) this.selected = document.keys.length - 1;
    this.#tell("document");
  }

  /** Begin with another document, as one that was never changed. */
  start(document) {
    [this.#past, this.#future] = [[], []];
    this.first = this.#kept = document;
    this.show(document);
  }

  /** Change what is not the user's, such as the size of the picture, now and in all that can be gone back to. */
  amend(change) {
    if (Object.entries(change).every(([name, value]) => String(this.document[name]) === String(value))) return;
    const made = new Map([[null, null]]);
    const amended = (document) => {
      if (!made.has(document)) made.set(document, { ...document, ...change });
      return made.get(document);
    };
    [this.#past, this.#future] = [this.#past.map(amended), this.#future.map(amended)];
    [this.first, this.#kept] = [amended(this.first), amended(this.#kept)];
    this.show(amended(this.document));
  }

  /** The frame in which the path is at a key: even timing asks only the ends for theirs. */
  frameOf(number) {
    const { keys, timing, frames } = this.document;
    const isInner = number > 0 && number < keys.length - 1;
    const passed = timing === "even" && isInner ? this.path.findIndex(({ place }) => place >= number) : keys[number].frame;
    return passed < 0 ? frames - 1 : Math.min(passed, frames - 1);
  }

  /** Decide: what was before can be gone back to. */
  keep(document = this.document) {
    if (document !== this.document) this.show(document);
    if (document === this.#kept) return;
    this.#past.push(this.#kept);
    if (this.#past.length > MOST_STEPS) this.#past.shift();
    this.#future = [];
    this.#kept = document;
    this.#tell("kept");
  }

  /** Back to the last decided document, as when a drag is broken off. */
  drop() {
    if (this.document !== this.#kept) this.show(this.#kept);
  }

  undo() {
    this.keep(); // what is not decided yet is undone first
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.keep();
    this.#step(this.#future, this.#past);
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.#kept);
    this.#kept = from.pop();
    this.show(this.#kept);
    this.#tell("kept");
  }

  /** Move the playhead, and select the key that stands there, if one does and `selects`. */
  goTo(frame, { selects = true } = {}) {
    this.frame = Math.max(0, Math.min(Math.round(frame), this.document.frames - 1));
    const at = selects ? this.document.keys.findIndex((_, number) => this.frameOf(number) === this.frame) : -1;
    if (at >= 0 && at !== this.selected) {
      [this.selected, this.part] = [at, "position"];
      this.#tell("selection");
    }
    this.#tell("place");
  }

  /** Select a key, and a part of it; the playhead goes there. */
  select(number, part = "position") {
    [this.selected, this.part] = [number, part];
    this.frame = this.frameOf(number);
    this.#tell("selection");
    this.#tell("place");
  }

  /** Select what stands at the playhead or last before it. */
  selectHere() {
    this.select(keyBefore(this.document, this.frame));
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}
