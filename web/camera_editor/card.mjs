/** What the camera editor's node shows in the graph: its path, and the button that opens the editor. */

import { app } from "../../../scripts/app.js";
import { blank, read } from "./document.mjs";
import { Draft } from "./draft.mjs";
import { button, element } from "./elements.mjs";
import { labeller } from "./labels.mjs";
import { getChoices } from "./remote.mjs";
import { draw, hold, isAvailable, letGo } from "./renderer.mjs";
import { isConnected, sceneOf, sourceOf } from "./scene.mjs";
import { PerspectiveCamera } from "./three.mjs";
import { lookAtAll, withAids, World } from "./world.mjs";

const RELEASED_SIZE = [704, 1280]; // pixels, where no picture says more
const SHOWN = "sana_wm_camera"; // as nodes/camera_editor.py names it
const STYLES = {
  canvas: "width: 100%; flex: 1; min-height: 0; cursor: pointer; border-radius: 6px",
  button: "flex: none; padding: 6px; border: 1px solid #4a5368; border-radius: 6px; background: #2a3040; color: #d7dce8; cursor: pointer",
  text: "flex: none; font: 11px sans-serif; opacity: 0.8; overflow: hidden; text-overflow: ellipsis; white-space: nowrap",
};

export class Card {
  /** @param {object} node a node of the graph @param {HTMLElement} place an empty element that the node shows */
  constructor(node, place) {
    [this.node, this.editor] = [node, null];
    this.told = app.nodeOutputs?.[node.id]?.[SHOWN]?.[0] ?? null; // what a run told before this page was loaded
    this.source = sourceOf(node); // of the picture of that run
    this.label = labeller(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en");
    this.canvas = element("canvas", { "aria-hidden": true, style: STYLES.canvas });
    this.open = button(this.label("open"), () => this.edit(), { style: STYLES.button });
    this.text = element("div", { role: "status", style: STYLES.text });
    place.replaceChildren(this.canvas, this.text, this.open);
    this.canvas.addEventListener("click", () => this.edit());
    hold();
    this.resized = new ResizeObserver(() => this.update());
    this.resized.observe(this.canvas);
    this.#follow();
    this.update();
  }

  /** Open the editor; a second time does nothing. */
  async edit() {
    if (this.editor || this.isOpening) return;
    this.isOpening = true;
    try {
      const [{ Editor }, choices] = await Promise.all([import("./editor.mjs"), getChoices()]);
      const editor = new Editor({ ...this.#given(), choices });
      this.editor = editor;
      editor.open();
      await this.#showScene();
    } catch (error) {
      app.extensionManager.toast.add({ severity: "error", summary: this.label("title"), detail: error.message, life: 10_000 });
    } finally {
      this.isOpening = false;
    }
  }

  /** Draw what the node holds now. */
  update() {
    const { text, frames, fps } = this.#held();
    try {
      const shown = text || this.#current?.seed;
      const found = shown ? { ...read(shown), ...(text ? { frames, fps } : {}) } : blank({ frames, fps, size: RELEASED_SIZE });
      this.#draw(new Draft(found));
      this.text.textContent = `${found.keys.length} × ◆   ${found.frames} / ${found.fps} fps`;
    } catch (error) {
      this.text.textContent = error.message;
    }
  }

  dispose() {
    this.editor?.dispose();
    this.resized.disconnect();
    letGo();
  }

  #follow() {
    const { node } = this;
    const after = (name, act) => {
      const before = node[name];
      node[name] = function (...given) {
        const answer = before?.apply(this, given);
        act(...given);
        return answer;
      };
    };
    after("onConfigure", () => this.update());
    for (const name of ["state", "length", "fps"]) {
      const widget = this.#widget(name);
      const before = widget?.callback;
      if (widget) {
        widget.callback = (...given) => {
          const answer = before?.apply(widget, given);
          if (!this.editor) this.update();
          return answer;
        };
      }
    }
  }

  /** The node has run: `output` tells of its picture, depth map and incoming path. */
  async executed(output) {
    this.told = output?.[SHOWN]?.[0] ?? this.told;
    this.source = sourceOf(this.node);
    this.update();
    await this.#showScene();
  }

  /** What the last run told, without what was connected otherwise since. */
  get #current() {
    const { told, node } = this;
    if (!told) return null;
    const isSame = this.source === sourceOf(node);
    const hasDepth = isSame && (isConnected(node, "depth") || isConnected(node, "geometry"));
    return {
      ...told,
      picture: isSame ? told.picture : null,
      depth: hasDepth ? told.depth : null,
      size: isSame ? told.size : RELEASED_SIZE,
      seed: isConnected(node, "camera_in") ? told.seed : null,
    };
  }

  /** Give the editor what there is to see; what was asked for before a run, and comes after it, is left out. */
  async #showScene() {
    const { told, editor } = this;
    const current = this.#current;
    const scene = await sceneOf(this.node, current);
    if (told !== this.told || editor !== this.editor) return;
    const { frames, fps } = this.#held();
    editor?.show({ ...scene, frames, fps, seed: current?.seed ?? null, hasRun: Boolean(told) });
  }

  #given() {
    const { text, frames, fps } = this.#held();
    const current = this.#current;
    return {
      text,
      frames,
      fps,
      size: current?.size ?? RELEASED_SIZE,
      seed: current?.seed ?? null,
      hasRun: Boolean(current),
      hasIncoming: isConnected(this.node, "camera_in"),
      stateIsLinked: this.#isLinked("state"),
      lengthIsLinked: this.#isLinked("length"),
      fpsIsLinked: this.#isLinked("fps"),
      label: this.label,
      keep: (...kept) => this.#keep(...kept),
      makeActionsNode: (actions) => this.#makeActionsNode(actions),
      closed: () => this.#closed(),
    };
  }

  /** What the widgets say; a linked one is known from the last run. */
  #held() {
    const of = (name, told) => (this.#isLinked(name) && told) || this.#widget(name)?.value;
    return {
      text: String(this.#widget("state")?.value ?? "").trim(),
      frames: of("length", this.told?.frames) ?? 161,
      fps: of("fps", this.told?.fps) ?? 16,
    };
  }

  #keep(text, frames, fps) {
    const values = { state: text, ...(this.#isLinked("length") ? {} : { length: frames }), ...(this.#isLinked("fps") ? {} : { fps }) };
    for (const [name, value] of Object.entries(values)) {
      const widget = this.#widget(name);
      if (!widget || widget.value === value) continue;
      widget.value = value;
      widget.callback?.(value);
    }
    this.node.graph?.setDirtyCanvas(true, true);
  }

  #closed() {
    this.editor = null;
    this.update();
    const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    if (tracker?.captureCanvasState) tracker.captureCanvasState(); // so that the graph can undo what was done here
    else tracker?.checkState?.(); // before 1.50
    this.open.focus({ preventScroll: true });
  }

  /** A node beside this one that makes the flown path of its string. */
  #makeActionsNode(actions) {
    const { node } = this;
    const made = window.LiteGraph.createNode("SanaWMCameraFromActions");
    node.graph.add(made);
    const others = node.graph.nodes.filter(({ type }) => type === made.type).length - 1;
    made.pos = [node.pos[0] + 30 * others, node.pos[1] + node.size[1] + 60 + 30 * others];
    const widget = made.widgets.find(({ name }) => name === "actions");
    widget.value = actions;
    widget.callback?.(actions);
    node.graph.setDirtyCanvas(true, true);
    this.editor?.say(this.label("made_node"));
  }

  #widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  #isLinked(name) {
    const slot = this.node.inputs?.findIndex((input) => input.widget?.name === name) ?? -1;
    return slot >= 0 && this.node.isInputConnected(slot);
  }

  #draw(draft) {
    if (!this.canvas.clientWidth || !isAvailable()) return;
    const world = new World();
    world.update(draft);
    world.move(draft);
    const eye = withAids(new PerspectiveCamera(45, this.canvas.clientWidth / this.canvas.clientHeight));
    lookAtAll(eye, world.points(draft.path));
    draw(world.scene, eye, this.canvas);
    world.dispose();
  }
}
