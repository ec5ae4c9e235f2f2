/** What the camera editor's node shows in the graph: its path, and the button that opens the editor. */

import { app } from "../../../scripts/app.js";
import { blank, read } from "./document.mjs";
import { Draft } from "./draft.mjs";
import { button, element } from "./elements.mjs";
import { labeller } from "./labels.mjs";
import { getChoices } from "./remote.mjs";
import { draw, hold, isAvailable, letGo } from "./renderer.mjs";
import { sceneOf } from "./scene.mjs";
import { Vector3, PerspectiveCamera } from "./three.mjs";
import { withAids, World } from "./world.mjs";

const RELEASED_SIZE = [704, 1280]; // pixels, where no picture says more
const SHOWN = "sana_wm_camera"; // as nodes/camera_editor.py names it
const STYLES = {
  canvas: "width: 100%; flex: 1; min-height: 0; cursor: pointer; border-radius: 6px",
  button: "flex: none; padding: 6px; border: 1px solid #4a5368; border-radius: 6px; background: #2a3040; color: #d7dce8; cursor: pointer",
  text: "flex: none; font: 11px sans-serif; opacity: 0.8; overflow: hidden; text-overflow: ellipsis; white-space: nowrap",
};

export class Card {
  /** @param {object} node the graph's node @param {HTMLElement} place an empty element that the node shows */
  constructor(node, place) {
    [this.node, this.told, this.editor] = [node, null, null];
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
      this.editor = new Editor({ ...this.#given(), choices });
      this.editor.open();
      await this.#showScene();
    } catch (error) {
      this.text.textContent = error.message;
      throw error;
    } finally {
      this.isOpening = false;
    }
  }

  /** Draw what the node holds now. */
  update() {
    const { text, frames, fps } = this.#held();
    try {
      const shown = text || this.told?.seed;
      const found = shown ? { ...read(shown), ...(text ? { frames, fps } : {}) } : blank({ frames, fps, size: RELEASED_SIZE });
      this.#draw(new Draft(found));
      this.text.textContent = `${found.keys.length} × ◆   ${found.frames} / ${found.fps} fps`;
    } catch (error) {
      this.text.textContent = error.message;
    }
  }

  dispose() {
    this.editor?.close();
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
    after("onRemoved", () => this.dispose());
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
    this.update();
    await this.#showScene();
  }

  /** Give the editor what there is to see; what was asked for before a run, and comes after it, is left out. */
  async #showScene() {
    const { told, editor } = this;
    const scene = await sceneOf(this.node, told);
    if (told === this.told && editor === this.editor) editor?.show({ ...scene, seed: told?.seed ?? null });
  }

  #given() {
    const { text, frames, fps } = this.#held();
    return {
      text,
      frames,
      fps,
      size: this.told?.size ?? RELEASED_SIZE,
      seed: this.told?.seed ?? null,
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
    made.pos = [node.pos[0], node.pos[1] + node.size[1] + 60];
    const widget = made.widgets.find(({ name }) => name === "actions");
    widget.value = actions;
    widget.callback?.(actions);
    node.graph.setDirtyCanvas(true, true);
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
    const eye = withAids(new PerspectiveCamera(45, this.canvas.clientWidth / this.canvas.clientHeight, 0.02, 500));
    const points = world.points(draft.path).map((point) => new Vector3(...point));
    const centre = points.reduce((sum, point) => sum.add(point), new Vector3()).divideScalar(points.length);
    const radius = Math.max(1.2, ...points.map((point) => point.distanceTo(centre)));
    eye.position.copy(centre).add(new Vector3(0.8, 1, 1.2).normalize().multiplyScalar(radius * 1.9));
    eye.lookAt(centre);
    draw(world.scene, eye, this.canvas);
    world.dispose();
  }
}
