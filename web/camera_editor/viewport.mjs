/** The 3-D view: an eye that orbits or flies, and a gizmo that moves what is selected. */

import { Object3D, OrbitControls, PerspectiveCamera, TransformControls, Vector3 } from "./three.mjs";
import { anglesNear, withChange } from "./document.mjs";
import { keyCameras } from "./keyframes.mjs";
import { keyOf } from "./input.mjs";
import { draw } from "./renderer.mjs";
import { lookAtAll, withAids } from "./world.mjs";

const NEAR_PIXELS = 16; // of a click to what it selects
const CLICK_PIXELS = 4; // that a click may move
const FLY_METRES = 3; // a second
const FLY_TURN = 0.004; // radians a pixel
const FLY_KEYS = { w: [0, 0, -1], s: [0, 0, 1], a: [-1, 0, 0], d: [1, 0, 0], q: [0, -1, 0], e: [0, 1, 0] };

export class Viewport {
  #keys = new Set();
  #down = null;

  constructor(canvas, world, draft, redraw) {
    Object.assign(this, { canvas, world, draft, redraw, mode: "orbit", tool: "translate" });
    this.eye = withAids(new PerspectiveCamera(50, 1, 0.02, 1000));
    this.orbit = new OrbitControls(this.eye, canvas);
    this.orbit.addEventListener("change", redraw);
    this.handle = new Object3D();
    world.root.add(this.handle);
    this.gizmo = this.#gizmo();
    this.events = new AbortController();
    const on = (name, listen) => canvas.addEventListener(name, listen, { signal: this.events.signal });
    on("pointerdown", (event) => this.#press(event));
    on("pointermove", (event) => this.#look(event));
    on("pointerup", (event) => this.#release(event));
    on("keydown", (event) => this.#flyKey(event, true));
    on("keyup", (event) => this.#flyKey(event, false));
    on("blur", () => this.#keys.clear());
    this.frameAll();
  }

  /** "orbit" around what is looked at, or "fly" with WASD, Q and E. */
  setMode(mode) {
    this.mode = mode;
    this.orbit.enabled = mode === "orbit";
    this.#keys.clear();
  }

  /** "translate" or "rotate" the selected key. */
  setTool(tool) {
    this.tool = tool;
    this.follow();
    this.redraw();
  }

  /** Look at the whole path from behind and above. */
  frameAll() {
    this.orbit.target.copy(lookAtAll(this.eye, this.world.points(this.draft.path)));
    this.orbit.update();
    this.redraw();
  }

  /** Look down on the path, ahead at the top. */
  frameAbove() {
    this.frameAll();
    const height = this.eye.position.distanceTo(this.orbit.target);
    this.eye.position.copy(this.orbit.target).add(new Vector3(0, height, 0.001));
    this.orbit.update();
    this.redraw();
  }

  /** Put the gizmo where the selected part is. */
  follow() {
    const { key, part, document, selected } = this.draft;
    const shown = key && (part === "position" || part === "pivot" ? key[part] : true);
    if (!shown) return this.gizmo.detach();
    if (!this.gizmo.dragging) {
      const place = part === "position" || part === "pivot" ? key[part] : key.position.map((v, i) => v + key[part][i]);
      const [w, x, y, z] = keyCameras(document)[selected].turn;
      this.handle.position.set(...place);
      this.handle.quaternion.set(x, y, z, w);
    }
    this.gizmo.setMode(part === "position" && !key.pivot ? this.tool : "translate"); // a pivot turns its key
    this.gizmo.attach(this.handle);
  }

  draw(seconds) {
    this.#fly(seconds);
    const aspect = this.canvas.clientWidth / Math.max(1, this.canvas.clientHeight);
    if (this.eye.aspect !== aspect) {
      this.eye.aspect = aspect;
      this.eye.updateProjectionMatrix();
    }
    draw(this.world.scene, this.eye, this.canvas);
  }

  get isDragging() {
    return this.gizmo.dragging;
  }

  /** End a drag and go back to what was before. */
  breakOff() {
    this.draft.drop();
    this.gizmo.pointerUp({ button: 0 });
    this.follow();
    this.redraw();
  }

  get isMoving() {
    return this.mode === "fly" && this.#keys.size > 0;
  }

  dispose() {
    this.events.abort();
    this.orbit.dispose();
    this.gizmo.detach();
    this.gizmo.dispose();
    this.world.scene.remove(this.gizmo.getHelper());
  }

  #gizmo() {
    const gizmo = new TransformControls(this.eye, this.canvas);
    gizmo.setSpace("local");
    gizmo.setSize(0.8);
    gizmo.getHelper().traverse((object) => object.layers.enable(1)); // an aid: the through-the-camera view has none
    gizmo.getHelper().traverse((object) => object.layers.disable(0));
    gizmo.getRaycaster().layers.enable(1);
    this.world.scene.add(gizmo.getHelper());
    gizmo.addEventListener("change", this.redraw);
    gizmo.addEventListener("objectChange", () => this.#drag());
    gizmo.addEventListener("dragging-changed", ({ value }) => {
      this.orbit.enabled = !value && this.mode === "orbit";
      if (!value) this.draft.keep();
    });
    return gizmo;
  }

  /** The handle moved: so did what it stands for. */
  #drag() {
    const { draft, handle } = this;
    const { key, part } = draft;
    const place = handle.position.toArray().map((value) => rounded(value, 5));
    if (this.gizmo.mode === "rotate") {
      const { x, y, z, w } = handle.quaternion;
      const angles = Object.entries(anglesNear([w, x, y, z], key)).map(([name, angle]) => [name, rounded(angle, 4)]);
      return draft.show(withChange(draft.document, draft.selected, Object.fromEntries(angles)));
    }
    const isPlace = part === "position" || part === "pivot";
    const value = isPlace ? place : place.map((v, i) => rounded(v - key.position[i], 5));
    draft.show(withChange(draft.document, draft.selected, { [part]: value }));
  }

  #press(event) {
    this.canvas.focus({ preventScroll: true });
    this.#down = { x: event.clientX, y: event.clientY, onGizmo: Boolean(this.gizmo.axis) };
  }

  #release(event) {
    const down = this.#down;
    this.#down = null;
    if (!down || down.onGizmo || Math.hypot(event.clientX - down.x, event.clientY - down.y) > CLICK_PIXELS) return;
    const found = this.#under(event);
    if (found) this.draft.select(found.number, found.part);
  }

  /** What can be selected near a click: parts of the selected key first, then keys. */
  #under(event) {
    const { document, selected, key } = this.draft;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const candidates = document.keys.map(({ position }, number) => ({ number, part: "position", at: position }));
    if (key && document.positions === "bezier") {
      for (const part of ["arrives", "leaves"]) {
        candidates.push({ number: selected, part, at: key.position.map((v, i) => v + key[part][i]) });
      }
    }
    if (key?.pivot) candidates.push({ number: selected, part: "pivot", at: key.pivot });
    const far = candidates.map(({ at }) => Math.hypot(...this.screen(at).map((v, i) => v - [x, y][i])));
    const nearest = far.indexOf(Math.min(...far));
    return far[nearest] < NEAR_PIXELS ? candidates[nearest] : null;
  }

  /** Where a point of the path's world is on the canvas, in CSS pixels; far away if it is behind the eye. */
  screen([x, y, z]) {
    const point = new Vector3(x, -y, -z).project(this.eye);
    if (point.z > 1) return [Infinity, Infinity];
    return [((point.x + 1) / 2) * this.canvas.clientWidth, ((1 - point.y) / 2) * this.canvas.clientHeight];
  }

  #look(event) {
    if (this.mode !== "fly" || !this.#down || this.#down.onGizmo) return;
    const ahead = this.orbit.target.clone().sub(this.eye.position);
    const right = new Vector3(1, 0, 0).applyQuaternion(this.eye.quaternion);
    ahead.applyAxisAngle(new Vector3(0, 1, 0), -event.movementX * FLY_TURN);
    ahead.applyAxisAngle(right, -event.movementY * FLY_TURN);
    this.orbit.target.copy(this.eye.position).add(ahead);
    this.eye.lookAt(this.orbit.target);
    this.redraw();
  }

  #flyKey(event, isDown) {
    const key = keyOf(event);
    if (this.mode !== "fly" || !(key in FLY_KEYS) || (isDown && (event.ctrlKey || event.metaKey || event.altKey))) return;
    event.preventDefault();
    event.stopPropagation();
    if (isDown) this.#keys.add(key);
    else this.#keys.delete(key);
    this.redraw();
  }

  #fly(seconds) {
    for (const key of this.#keys) {
      const step = new Vector3(...FLY_KEYS[key]).applyQuaternion(this.eye.quaternion).multiplyScalar(FLY_METRES * seconds);
      this.eye.position.add(step);
      this.orbit.target.add(step);
    }
  }
}

const rounded = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits;
