/** The camera editor: a dialog over the graph. It changes a draft, and hands every decided change to its node. */

import { Advice } from "./advice.mjs";
import { Commands } from "./commands.mjs";
import { blank, read, write } from "./document.mjs";
import { Draft } from "./draft.mjs";
import { button, element } from "./elements.mjs";
import { Fields } from "./fields.mjs";
import { Flying } from "./flying.mjs";
import { listen } from "./input.mjs";
import { Player } from "./player.mjs";
import { draw, hold, isAvailable, letGo } from "./renderer.mjs";
import { Timeline } from "./timeline.mjs";
import { Toolbar } from "./toolbar.mjs";
import { Viewport } from "./viewport.mjs";
import { throughCamera, World } from "./world.mjs";

const LONGEST = 0.1; // seconds that one drawn frame can stand for

export class Editor {
  #frame = 0;
  #last = 0;

  /**
   * @param {object} given
   * @param {string} given.text the node's keyframes; empty for none
   * @param {number} given.frames @param {number} given.fps @param {[number, number]} given.size
   * @param {boolean} given.lengthIsLinked @param {boolean} given.fpsIsLinked whether another node says them
   * @param {string | null} given.seed keyframes of the path that comes in
   * @param {object} given.choices see remote.getChoices
   * @param {Function} given.label see labels.mjs
   * @param {(text: string, frames: number, fps: number) => void} given.keep
   * @param {(actions: string) => void} given.makeActionsNode
   * @param {() => void} given.closed
   */
  constructor(given) {
    this.given = given;
    this.label = given.label;
    this.draft = new Draft(this.#opened());
    this.world = new World();
    hold();
    this.#makeParts();
    this.#layOut();
    this.#listen();
    this.#changed();
    this.say(this.problem ?? this.label(isAvailable() ? "hint" : "no_webgl"), Boolean(this.problem));
  }

  open() {
    document.body.append(this.host);
    this.dialog.showModal();
    this.viewport.frameAll();
    this.player.button.focus({ preventScroll: true });
  }

  /** The first frame, its depth map, and keyframes of the path that comes in, when they have come. */
  show({ picture, depth, size, seed }) {
    if (this.isClosed) return;
    const { draft, given } = this;
    const isNew = seed && seed !== given.seed && !given.text && !draft.canUndo;
    given.seed = seed;
    this.toolbar.update();
    const document = isNew ? read(seed) : draft.document;
    if (isNew || (size && String(size) !== String(document.size))) draft.start({ ...document, size: size ?? document.size });
    this.world.show(picture, depth);
    this.advice.depth = depth;
    this.advice.ask();
    this.redraw();
  }

  close() {
    if (this.isClosed) return;
    this.isClosed = true;
    this.flying.stop();
    this.draft.keep();
    cancelAnimationFrame(this.#frame);
    for (const part of [this.advice, this.timeline, this.viewport, this.world]) part.dispose();
    this.resized.disconnect();
    document.removeEventListener("visibilitychange", this.#hidden);
    this.dialog.close();
    this.host.remove();
    letGo();
    this.given.closed();
  }

  say(text, isError = false) {
    this.status.textContent = this.status.title = text;
    this.status.classList.toggle("error", isError);
  }

  /** Draw once more, soon. Nothing is drawn while nothing changes, or while the page is hidden. */
  redraw = () => {
    if (!this.#frame && !this.isClosed) this.#frame = requestAnimationFrame((now) => this.#draw(now));
  };

  #hidden = () => document.hidden && (this.player.pause(), this.flying.stop());

  #opened() {
    const { text, seed, frames, fps, size } = this.given;
    try {
      if (text) return { ...read(text), frames, fps, size };
      if (seed) return { ...read(seed), size };
    } catch (error) {
      this.problem = this.label("broken", { why: error.message });
    }
    return blank({ frames, fps, size });
  }

  #makeParts() {
    const { draft, label, given, redraw } = this;
    const say = (text, isError) => this.say(text, isError);
    this.commands = new Commands(draft, given, say);
    this.advice = new Advice(draft, label, say);
    this.flying = new Flying(draft, label, given);
    this.player = new Player(draft, label, redraw);
    this.timeline = new Timeline(draft, label);
    this.fields = new Fields(draft, label, given);
    this.toolbar = new Toolbar(draft, label, this.#actions(), given);
    this.status = element("p", { class: "status", role: "status" });
    this.main = element("canvas", { class: "main", tabindex: 0, role: "application", "aria-label": label("view") });
    this.through = element("canvas", { class: "through", role: "img", "aria-label": label("through") });
    this.viewport = new Viewport(this.main, this.world, draft, redraw);
  }

  #actions() {
    const { commands } = this;
    return {
      undo: () => commands.undo(),
      redo: () => commands.redo(),
      copy: () => commands.copy(),
      paste: () => commands.paste(),
      add: () => commands.addKey(),
      remove: () => commands.removeKey(),
      preset: (name, amount) => commands.preset(name, amount),
      file: (file) => commands.file(file),
      save_file: () => commands.save(),
      reseed: () => commands.reseed(),
      clear: () => commands.clear(),
      record: () => this.#record(),
      close: () => this.close(),
    };
  }

  #layOut() {
    const { label, player, fields } = this;
    const stage = element("div", { class: "stage" }, this.main, this.#viewButtons(), this.advice.element, this.flying.element);
    const side = element("aside", {}, this.through, fields.ofKey);
    const middle = element("div", { class: "middle" }, stage, side);
    const transport = element("div", { class: "transport" }, player.button, player.clock, this.status, fields.ofPath);
    this.dialog = element("dialog", { "aria-label": label("title") }, this.toolbar.element, middle, transport, this.timeline.element);
    this.host = element("div", { class: "sana-wm-camera-editor" });
    this.host.editor = this; // for a look from the console, and for tests
    const style = element("link", { rel: "stylesheet", href: new URL("editor.css", import.meta.url).href });
    this.host.attachShadow({ mode: "open" }).append(style, this.dialog);
    this.resized = new ResizeObserver(this.redraw);
    for (const canvas of [this.main, this.through]) this.resized.observe(canvas);
  }

  #viewButtons() {
    const { label, viewport } = this;
    const either = (names, set) => {
      const choose = (chosen) => {
        buttons.forEach((each, i) => each.setAttribute("aria-pressed", i === chosen));
        set(chosen);
      };
      const buttons = names.map((name, i) =>
        button(label(name), () => choose(i), { "aria-pressed": String(i === 0), "data-name": name }),
      );
      return element("span", { class: "group" }, ...buttons);
    };
    const looks = ["frameAll", "frameAbove"].map((name) => button(label(name), () => viewport[name](), { "data-name": name }));
    return element("div", { class: "views" },
      either(["move", "turn"], (i) => viewport.setTool(["translate", "rotate"][i])),
      either(["orbit", "fly"], (i) => viewport.setMode(["orbit", "fly"][i])),
      element("span", { class: "group" }, ...looks));
  }

  #listen() {
    const { draft, flying, dialog } = this;
    draft.addEventListener("document", () => this.#changed());
    draft.addEventListener("place", () => this.#moved());
    draft.addEventListener("selection", () => this.world.select(draft));
    draft.addEventListener("kept", () => this.#kept());
    this.advice.addEventListener("report", () => this.#advised());
    this.commands.addEventListener("begun", () => this.viewport.frameAll());
    flying.addEventListener("frame", () => this.#flew());
    flying.addEventListener("end", () => this.#landed());
    listen(dialog, this.commands, {
      play: () => this.player.toggle(),
      record: () => this.#record(),
      frameAll: () => this.viewport.frameAll(),
      isRecording: () => flying.isOn,
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault(); // Escape ends what is going on first
      if (flying.isOn) flying.stop();
      else this.close();
    });
    document.addEventListener("visibilitychange", this.#hidden);
  }

  #changed() {
    this.timeline.update();
    this.advice.ask();
    this.world.update(this.draft, this.advice.warned);
    this.#moved();
  }

  #moved() {
    this.world.move(this.draft);
    this.viewport.follow();
    this.fields.update();
    this.toolbar.update();
    this.timeline.move();
    this.player.tell();
    this.redraw();
  }

  #kept() {
    const { document } = this.draft;
    this.toolbar.update();
    this.given.keep(write(document), document.frames, document.fps);
  }

  #advised() {
    this.timeline.update(this.advice.report);
    this.world.mark(this.draft.path, this.advice.warned);
    if (!this.flying.isOn) this.say(this.advice.report.summary);
    this.redraw();
  }

  #record() {
    if (this.flying.isOn) return this.flying.stop();
    this.player.pause();
    this.toolbar.setRecording(true);
    this.main.focus({ preventScroll: true });
    this.say(this.label("recording", { fps: this.draft.document.fps }));
    this.flying.start(this.dialog);
  }

  #flew() {
    this.world.move(this.draft, this.flying.camera);
    this.player.tell(this.flying.told);
    this.redraw();
  }

  async #landed() {
    this.toolbar.setRecording(false);
    this.#moved();
    if (this.isClosed) return;
    if (this.flying.actions) await this.commands.flown(this.flying.actions);
    else this.say(this.label("hint"));
  }

  #draw(now) {
    this.#frame = 0;
    const seconds = Math.min((now - this.#last) / 1000, LONGEST);
    this.#last = now;
    this.player.advance(now);
    if (isAvailable()) {
      this.viewport.draw(seconds);
      this.#drawThrough();
    }
    if (this.player.isPlaying || this.viewport.isMoving) this.redraw();
  }

  #drawThrough() {
    const [height, width] = this.draft.document.size;
    this.through.style.aspectRatio = `${width} / ${height}`;
    this.eye = throughCamera(this.flying.camera ?? this.draft.camera, width / height, this.eye);
    draw(this.world.scene, this.eye, this.through);
  }
}
