/** What a user can do to a draft by a button, a shortcut, a file or the clipboard. */

import { blank, continued, FORMAT, isOrigin, isPlain, read, wholeFrames, withKey, withKeyAt, withoutKey, write } from "./document.mjs";
import { getKeyframes, readFile } from "./remote.mjs";

const MOST_LETTERS = 2_000_000; // of a keyframe document
let clipboard = ""; // of the copy button; Ctrl+C uses the system's

/** Event: "begun" after a path came from elsewhere. */
export class Commands extends EventTarget {
  /**
   * @param {import("./draft.mjs").Draft} draft
   * @param {Function} label see labels.mjs
   * @param {{lengthIsLinked: boolean}} given
   * @param {(text: string, isError?: boolean) => void} say
   */
  constructor(draft, label, given, say) {
    super();
    Object.assign(this, { draft, label, given, say });
  }

  /** What is asked for and comes later is left alone. */
  dispose() {
    this.isDisposed = true;
  }

  undo() {
    this.draft.undo();
  }

  redo() {
    this.draft.redo();
  }

  addKey() {
    const { draft } = this;
    draft.keep(withKeyAt(draft.document, draft.frame, draft.path));
    draft.goTo(draft.frame);
  }

  removeKey() {
    const { draft } = this;
    if (!draft.key) return;
    draft.keep(withoutKey(draft.document, draft.selected));
    draft.selectHere();
  }

  /** The selected key as a document of its own, for the clipboard. */
  copy() {
    const { document, key } = this.draft;
    clipboard = write({ ...document, keys: [{ ...key, frame: 0 }] });
    return clipboard;
  }

  /** Keys of a copied document, the first at the playhead. */
  paste(text = clipboard) {
    if (!text.includes(FORMAT)) return false;
    const { draft } = this;
    const keys = this.#tried(() => read(text).keys);
    if (!keys) return false;
    const document = keys.reduce(
      (sum, key) => withKey(sum, { ...key, frame: key.frame - keys[0].frame + draft.frame }), draft.document,
    );
    draft.keep(document);
    draft.goTo(draft.frame);
    return true;
  }

  clear() {
    const { frames, fps, size, keys } = this.draft.document;
    this.draft.keep(blank({ frames, fps, size, fov: keys[0].fov }));
    this.draft.goTo(0);
  }

  /** A preset from the playhead to the end. */
  async preset(name, amount) {
    const { document, frame, camera } = this.draft;
    const whole = frame === 0 && isOrigin(camera);
    await this.#ask(() => getKeyframes(document, { preset: name, amount, frames: document.frames - frame, whole, fov: camera.fov }));
  }

  /** What was flown, from the playhead on. */
  async flown(actions) {
    await this.#ask(() => getKeyframes(this.draft.document, { actions, fov: this.draft.camera.fov }));
  }

  /** A camera file, in place of all that is there. What Export has written comes back as it was. */
  async file(file) {
    const text = file.name.toLowerCase().endsWith(".json") && file.size < MOST_LETTERS ? await file.text() : "";
    if (text.includes(FORMAT)) {
      const found = this.#tried(() => read(text));
      if (found) this.#begin(found);
      return;
    }
    await this.#ask(() => readFile(file, this.draft.document.size), (found) => found);
  }

  /** Offer the document as a file, which Import and Load Camera read. */
  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([write(this.draft.document)], { type: "application/json" }));
    link.download = "camera.json";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  /** Keyframes of the server's, put to what there is by `join`: from the playhead on, unless it says otherwise. */
  async #ask(request, join = null) {
    const { document, frame } = this.draft;
    try {
      const answer = await request();
      const found = read(JSON.stringify(answer.document));
      const whole = join ? join(found) : await this.#continued(document, frame, found);
      if (this.isDisposed) return;
      if (this.draft.document !== document) return this.say(this.label("changed"), true);
      this.#begin(whole);
      this.say(answer.told);
    } catch (error) {
      if (!this.isDisposed) this.say(error.message, true);
    }
  }

  async #continued(document, frame, found) {
    return continued(frame && !isPlain(document, frame) ? await this.#inKeys(document) : document, frame, found);
  }

  /** The same path in plain keys: what goes on from it must not change its pace or its turns. */
  async #inKeys(document) {
    const { document: found } = await getKeyframes(document, { document });
    return read(JSON.stringify(found));
  }

  #begin(found) {
    const { draft, given } = this;
    const { size, fps, frames } = draft.document;
    draft.keep({ ...found, size, fps, frames: given.lengthIsLinked ? frames : wholeFrames(found.frames) });
    draft.goTo(draft.frame);
    this.dispatchEvent(new Event("begun"));
  }

  #tried(make) {
    try {
      return make();
    } catch (error) {
      this.say(error.message, true);
      return null;
    }
  }
}
