/** The camera editor: a dialog over the graph. It changes a draft, and hands every decided change to its node. */

import { Advice } from "./advice.mjs";
import { Commands } from "./commands.mjs";
import { blank, read, wholeFrames, write } from "./document.mjs";
import { Draft } from "./draft.mjs";
import { element } from "./elements.mjs";
import { Fields } from "./fields.mjs";
import { Flying } from "./flying.mjs";
import { listen } from "./input.mjs";
import { layOut } from "./layout.mjs";
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
  #stale = new Set(); // of what changed since the last drawn frame: document, selection, place

  /**
   * @param {object} given
   * @param {string} given.text the node's keyframes; empty for none
   * @param {number} given.frames @param {number} given.fps @param {[number, number]} given.size
   * @param {boolean} given.lengthIsLinked @param {boolean} given.fpsIsLinked whether another node says them
   * @param {boolean} given.stateIsLinked whether another node says the keyframes
   * @param {boolean} given.hasIncoming whether a path comes in @param {boolean} given.hasRun whether the node told of a run
   * @param {string | null} given.seed keyframes of the path that comes in, once a run told them
   * @param {object} given.choices see remote.getChoices
   * @param {Function} given.label see labels.mjs
   * @param {(text: string, frames: number, fps: number) => void} given.keep
   * @param {(actions: string) => void} given.makeActionsNode
   * @param {() => void} given.closed
   */
  constructor(given) {
    this.given = given;
    this.label = given.label;
    this.draft = this.#opened();
    this.world = new World();
    this.#makeParts();
    this.#listen();
    this.#stale.add("document");
    this.#welcome();
  }

  open() {
    hold();
    document.body.append(this.host);
    this.dialog.showModal();
    this.viewport.frameAll();
    this.player.button.focus({ preventScroll: true });
    this.advice.ask();
  }

  /** The first frame, its depth map, and what else a run told of, when they have come. */
  show({ picture, depth, size, seed, frames, fps, hasRun }) {
    if (this.isClosed) return;
    const { draft, given } = this;
    const isNew = seed && seed !== given.seed && !given.text && draft.isAsBegun;
    const isFirst = hasRun && !given.hasRun;
    Object.assign(given, { seed, frames, fps, size: size ?? given.size, hasRun });
    this.toolbar.update();
    if (isNew) draft.start(this.#seeded());
    if (isNew || isFirst) this.#welcome();
    const linked = { ...(given.lengthIsLinked ? { frames } : {}), ...(given.fpsIsLinked ? { fps } : {}) };
    draft.amend({ size: given.size, ...linked });
    this.world.show(picture, depth);
    this.advice.depth = depth;
    this.advice.ask();
    this.redraw();
  }

  /** What is going on is ended first: a flight lands, and what came of it is seen. */
  close() {
    if (this.flying.isOn) this.flying.stop();
    else this.dispose();
  }

  dispose() {
    if (this.isClosed) return;
    this.#breakOff();
    this.draft.keep();
    this.isClosed = true;
    this.flying.stop();
    cancelAnimationFrame(this.#frame);
    for (const part of [this.commands, this.advice, this.timeline, this.viewport, this.world]) part.dispose();
    this.resized.disconnect();
    this.events.abort();
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
      if (text) return new Draft({ ...read(text), frames, fps, size }, { isBegun: false });
      if (seed) return new Draft(this.#seeded());
    } catch (error) {
      this.problem = this.label("broken", { why: error.message });
    }
    return new Draft(blank({ frames, fps, size }));
  }

  /** The path that comes in, in keys, as long as the node's own widgets or another node let it be. */
  #seeded() {
    const { seed, frames, fps, size, lengthIsLinked, fpsIsLinked } = this.given;
    const found = read(seed);
    const length = lengthIsLinked ? frames : wholeFrames(found.frames);
    return { ...found, size, frames: length, fps: fpsIsLinked ? fps : found.fps };
  }

  /** The most important thing to know now. */
  #welcome() {
    const { given, label } = this;
    if (this.problem) return this.say(this.problem, true);
    if (given.stateIsLinked) return this.say(label("state_linked"), true);
    if (!isAvailable()) return this.say(label("no_webgl"), true);
    const lacksSeed = given.hasIncoming && !given.text && !given.seed;
    if (lacksSeed) return this.say(label(given.hasRun ? "long_seed" : "no_seed"), true);
    this.say(label("hint"));
  }

  #makeParts() {
    const { draft, label, given, redraw } = this;
    this.commands = new Commands(draft, label, given, (text, isError) => this.say(text, isError));
    this.advice = new Advice(draft, label);
    this.flying = new Flying(draft, label, given);
    this.player = new Player(draft, label, redraw);
    this.timeline = new Timeline(draft, label);
    this.fields = new Fields(draft, label, given);
    this.toolbar = new Toolbar(draft, label, this.#actions(), given);
    this.status = element("p", { class: "status", role: "status" });
    this.main = element("canvas", { class: "main", tabindex: 0, role: "application", "aria-label": label("view") });
    this.through = element("canvas", { class: "through", role: "img", "aria-label": label("through") });
    this.viewport = new Viewport(this.main, this.world, draft, redraw);
    Object.assign(this, layOut(this, label));
    this.host.editor = this; // for a look from the console, and for tests
    this.resized = new ResizeObserver(redraw);
    for (const canvas of [this.main, this.through]) this.resized.observe(canvas);
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
      reseed: () => this.#reseed(),
      clear: () => commands.clear(),
      record: () => this.#record(),
      close: () => this.close(),
    };
  }

  #listen() {
    const { draft, flying, dialog } = this;
    for (const name of ["document", "selection", "place"]) {
      draft.addEventListener(name, () => {
        this.#stale.add(name);
        if (name === "document") this.advice.ask();
        this.redraw();
      });
    }
    draft.addEventListener("kept", () => this.#kept());
    this.advice.addEventListener("report", () => this.#advised());
    this.commands.addEventListener("begun", () => this.viewport.frameAll());
    flying.addEventListener("frame", () => this.#flew());
    flying.addEventListener("end", () => this.#landed());
    this.events = listen(dialog, this.commands, {
      play: () => this.player.toggle(),
      record: () => this.#record(),
      frameAll: () => this.viewport.frameAll(),
      isBusy: () => flying.isOn || this.#isDragging,
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault(); // Escape ends what is going on first
      if (this.#isDragging) this.#breakOff();
      else this.close();
    });
    document.addEventListener("visibilitychange", this.#hidden);
  }

  get #isDragging() {
    return this.viewport.isDragging || this.timeline.isDragging;
  }

  /** A drag that nobody let go did not happen. */
  #breakOff() {
    for (const part of [this.viewport, this.timeline]) if (part.isDragging) part.breakOff();
  }

  /** Go through unchanged again, and show what comes in. */
  #reseed() {
    const seeded = this.#seeded();
    this.draft.first = seeded;
    this.draft.keep(seeded);
    this.draft.goTo(0);
    this.viewport.frameAll();
  }

  #kept() {
    const { document, isAsBegun } = this.draft;
    this.say("");
    this.toolbar.update();
    this.given.keep(isAsBegun ? "" : write(document), document.frames, document.fps);
  }

  #advised() {
    const { report, warned } = this.advice;
    this.timeline.update(report);
    this.world.mark(this.draft.path, warned);
    if (!this.flying.isOn && !this.status.classList.contains("error")) this.say(report.summary);
    this.redraw();
  }

  #record() {
    if (this.flying.isOn) return this.flying.stop();
    this.player.pause();
    if (!this.flying.start()) return this.say(this.label("no_room"), true);
    this.#setRecording(true);
    this.main.focus({ preventScroll: true });
    this.say(this.label("recording", { fps: this.draft.document.fps }));
  }

  /** While a flight goes on nothing moves the place where it will be put. */
  #setRecording(isOn) {
    this.toolbar.setRecording(isOn);
    for (const part of [this.timeline.element, this.fields.ofKey, this.fields.ofPath, this.advice.element]) part.inert = isOn;
  }

  #flew() {
    this.world.move(this.draft, this.flying.camera);
    this.player.tell(this.flying.told);
    this.redraw();
  }

  async #landed() {
    this.#setRecording(false);
    this.#stale.add("place");
    this.redraw();
    if (this.isClosed) return;
    if (this.flying.actions) await this.commands.flown(this.flying.actions);
    else this.say(this.label("hint"));
  }

  #draw(now) {
    this.#frame = 0;
    const seconds = Math.min((now - this.#last) / 1000, LONGEST);
    this.#last = now;
    this.player.advance(now);
    this.#refresh();
    this.viewport.draw(seconds);
    this.#drawThrough();
    if (this.player.isPlaying || this.viewport.isMoving) this.redraw();
  }

  /** Bring the page up to date with the draft, at most once a frame. */
  #refresh() {
    const { draft, world, timeline } = this;
    if (!this.#stale.size) return;
    if (this.#stale.has("document")) {
      world.update(draft, this.advice.warned);
      timeline.update();
    } else if (this.#stale.has("selection")) world.select(draft);
    this.#stale.clear();
    if (!this.flying.isOn) {
      world.move(draft);
      this.player.tell();
    }
    timeline.move();
    for (const part of [this.fields, this.toolbar]) part.update();
    this.viewport.follow();
  }

  #drawThrough() {
    const [height, width] = this.draft.document.size;
    this.through.style.aspectRatio = `${width} / ${height}`;
    this.eye = throughCamera(this.flying.camera ?? this.draft.camera, width / height, this.eye);
    draw(this.world.scene, this.eye, this.through);
  }
}
