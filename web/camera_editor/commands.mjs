/** What a user can do to a draft by a button, a shortcut, a file or the clipboard. */

import { blank, continued, FORMAT, isPlain, read, wholeFrames, withKey, withKeyAt, withoutKey, write } from "./document.mjs";
import { getKeyframes, readFile } from "./remote.mjs";

let clipboard = ""; // of the copy button; Ctrl+C uses the system's

/** Event: "begun" after a path came from elsewhere. */
export class Commands extends EventTarget {
  /**
   * @param {import("./draft.mjs").Draft} draft
   * @param {{lengthIsLinked: boolean, seed: string | null}} given
   * @param {(text: string, isError?: boolean) => void} say
   */
  constructor(draft, given, say) {
    super();
    Object.assign(this, { draft, given, say });
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

  /** Keyframes of the path that comes in at camera_in. */
  reseed() {
    this.#begin(read(this.given.seed));
  }

  /** A preset from the playhead to the end. */
  async preset(name, amount) {
    const { document, frame, camera } = this.draft;
    const frames = document.frames - frame;
    await this.#ask(() => getKeyframes(document, { preset: name, amount, frames, whole: frame === 0, fov: camera.fov }));
  }

  /** What was flown, from the playhead on. */
  async flown(actions) {
    await this.#ask(() => getKeyframes(this.draft.document, { actions, fov: this.draft.camera.fov }));
  }

  /** A camera file, in place of all that is there. */
  async file(file) {
    this.draft.goTo(0);
    await this.#ask(() => readFile(file, this.draft.document.size));
  }

  /** Offer the document as a file, which Import and Load Camera read. */
  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([write(this.draft.document)], { type: "application/json" }));
    link.download = "camera.json";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  /** Keyframes of the server's, from the playhead on. */
  async #ask(request) {
    const { document, frame } = this.draft;
    try {
      const answer = await request();
      const start = frame && !isPlain(document, frame) ? await this.#inKeys(document) : document;
      this.#begin(continued(start, frame, read(JSON.stringify(answer.document))));
      this.say(answer.told);
    } catch (error) {
      this.say(error.message, true);
    }
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
