/** Playing the path at its own rate: the button, the clock, and where the playhead is now. */

import { button, element } from "./elements.mjs";

export class Player {
  #began = null;
  #shown = 0;

  constructor(draft, label, redraw) {
    Object.assign(this, { draft, label, redraw });
    this.button = button(label("play"), () => this.toggle(), { "data-name": "play" });
    this.clock = element("output", { class: "clock" });
  }

  get isPlaying() {
    return this.#began !== null;
  }

  toggle() {
    if (this.isPlaying) return this.pause();
    const { draft } = this;
    if (draft.frame >= draft.document.frames - 1) draft.goTo(0);
    this.#begin();
    this.button.textContent = this.label("pause");
    this.redraw();
  }

  pause() {
    this.#began = null;
    this.button.textContent = this.label("play");
  }

  /** Move the playhead to where it is at a time, which the page's clock gives. Somebody else may have moved it. */
  advance(now) {
    if (!this.isPlaying) return;
    const { draft } = this;
    if (draft.frame !== this.#shown) this.#begin();
    const { fps, frames } = draft.document;
    const frame = this.#began.frame + Math.floor((Math.max(0, now - this.#began.at) / 1000) * fps);
    if (frame !== draft.frame) draft.goTo(frame, { selects: false });
    this.#shown = draft.frame;
    if (frame >= frames - 1) this.pause();
  }

  #begin() {
    this.#began = { at: performance.now(), frame: this.draft.frame };
    this.#shown = this.draft.frame;
  }

  /** Tell where the playhead is, or something else. */
  tell(text = null) {
    const { frame, document } = this.draft;
    this.clock.textContent = text ?? `${frame} / ${document.frames - 1}   ${(frame / document.fps).toFixed(2)} s`;
  }
}
