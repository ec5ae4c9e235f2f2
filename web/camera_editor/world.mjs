/**
 * What there is to see: ground, path, cameras at the keys, the picture on the first one, the scene as points.
 *
 * Everything stands in `root`, whose axes are OpenCV's (x right, y down, z ahead, metres) in three.js' world (y up).
 */

import { keyCameras } from "./keyframes.mjs";
import { turned } from "./quaternion.mjs";
import { ball, cloud, COLOURS, discard, FARTHEST, FLIP, frustum, ground, PICTURE_AT, plane, segment } from "./shapes.mjs";
import { BufferAttribute, BufferGeometry, Color, Group, Line, LineBasicMaterial, PerspectiveCamera, Scene, Vector3 } from "./three.mjs";

const FRUSTUM = 0.35; // metres
const LEAST_RADIUS = 1.5; // metres around a path that are seen with it
const AIDS = 1; // layer of what a through-the-camera view leaves out

export class World {
  constructor() {
    this.scene = new Scene();
    this.scene.background = new Color(COLOURS.sky);
    this.root = new Group();
    this.root.quaternion.copy(FLIP);
    this.scene.add(this.root);
    this.scene.add(ground());
    this.line = new Line(new BufferGeometry(), new LineBasicMaterial({ vertexColors: true }));
    this.line.frustumCulled = false;
    this.keys = new Group();
    this.now = new Group();
    this.marks = new Group();
    this.first = new Group(); // where the picture was taken from
    this.root.add(this.line, this.keys, this.now, this.marks, this.first);
    this.picture = null;
    this.depth = null;
  }

  /** Redraw after a change of the document. @param {Set<number>} warned frames to mark */
  update(draft, warned = new Set()) {
    const { document, path } = draft;
    const aspect = document.size[1] / document.size[0];
    this.mark(path, warned);
    place(this.first, path[0]);
    if (this.fov !== path[0].fov || this.aspect !== aspect) {
      [this.fov, this.aspect] = [path[0].fov, aspect];
      this.#drawScene();
    }
    this.select(draft);
  }

  /** Redraw the path. @param {Set<number>} warned frames to mark */
  mark(path, warned) {
    const geometry = new BufferGeometry();
    const [usual, marked] = [COLOURS.path, COLOURS.warning].map((colour) => new Color(colour).toArray());
    const colours = path.flatMap((_, frame) => (warned.has(frame) ? marked : usual));
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(path.flatMap(({ position }) => position)), 3));
    geometry.setAttribute("color", new BufferAttribute(new Float32Array(colours), 3));
    this.line.geometry.dispose();
    this.line.geometry = geometry;
    aid(this.line);
  }

  /** Redraw the keys after another one was selected. */
  select(draft) {
    this.#drawKeys(draft);
    this.#drawMarks(draft);
  }

  /** Redraw after the playhead moved. */
  move(draft, camera = draft.camera) {
    renew(this.now, [frustum(camera.fov, draft.document.size, COLOURS.now, FRUSTUM * 1.2)]);
    place(this.now, camera);
    aid(this.now);
  }

  /** The first frame, as an image element, and its depth map in metres. */
  show(picture, depth) {
    [this.picture, this.depth] = [picture, depth];
    this.#drawScene();
  }

  /** Corners of what is worth seeing, in three.js' world. */
  points(path) {
    const ahead = path[0];
    const seen = [...path.map(({ position }) => position), alongView(ahead, PICTURE_AT)];
    return seen.map(([x, y, z]) => [x, -y, -z]);
  }

  dispose() {
    this.scene.traverse((object) => discard(object));
  }

  #drawKeys(draft) {
    const made = keyCameras(draft.document).map((camera, number) => {
      const colour = number === draft.selected ? COLOURS.selected : COLOURS.key;
      const shape = frustum(camera.fov, draft.document.size, colour, FRUSTUM);
      place(shape, camera);
      return shape;
    });
    renew(this.keys, made);
    aid(this.keys);
  }

  /** Handles and pivots of the selected key, as small balls on lines. */
  #drawMarks({ document, key, part }) {
    const made = [];
    const mark = (name, from, to, colour) => {
      made.push(segment(from, to, colour), ball(to, part === name ? COLOURS.selected : colour));
    };
    if (key && document.positions === "bezier") {
      for (const name of ["arrives", "leaves"]) mark(name, key.position, sum(key.position, key[name]), COLOURS.handle);
    }
    if (key?.pivot) mark("pivot", key.position, key.pivot, COLOURS.pivot);
    renew(this.marks, made);
    aid(this.marks);
  }

  #drawScene() {
    if (!this.fov || !this.picture) return renew(this.first, []);
    const half = Math.tan((this.fov * Math.PI) / 360);
    renew(this.first, [this.depth ? cloud(this.picture, this.depth, half) : plane(this.picture, half, this.aspect)]);
  }
}

/** A three.js camera that sees what a camera of the path sees. */
export function throughCamera({ position, turn, fov }, aspect, camera = new PerspectiveCamera()) {
  const [w, x, y, z] = turn;
  camera.quaternion.set(x, y, z, w).premultiply(FLIP).multiply(FLIP);
  camera.position.set(position[0], -position[1], -position[2]);
  camera.fov = (Math.atan(Math.tan((fov * Math.PI) / 360) / aspect) * 360) / Math.PI;
  [camera.aspect, camera.near, camera.far] = [aspect, 0.02, FARTHEST];
  camera.updateProjectionMatrix();
  return camera;
}

/** Put a camera where it sees all points, from behind and above; returns what it looks at. */
export function lookAtAll(eye, points) {
  const all = points.map((point) => new Vector3(...point));
  const centre = all.reduce((sum, point) => sum.add(point), new Vector3()).divideScalar(all.length);
  const radius = all.reduce((most, point) => Math.max(most, point.distanceTo(centre)), LEAST_RADIUS);
  eye.position.copy(centre).add(new Vector3(0.9, 0.9, 1.3).normalize().multiplyScalar(radius * 1.9));
  eye.lookAt(centre);
  [eye.near, eye.far] = [radius / 100, Math.max(FARTHEST, 8 * radius)];
  eye.updateProjectionMatrix();
  return centre;
}

/** Let a camera see what helps to edit, too. */
export function withAids(camera) {
  camera.layers.enable(AIDS);
  return camera;
}

const sum = (a, b) => a.map((value, i) => value + b[i]);

function alongView({ position, turn }, metres) {
  return sum(position, turned(turn, [0, 0, metres]));
}

function place(object, { position, turn: [w, x, y, z] }) {
  object.position.set(...position);
  object.quaternion.set(x, y, z, w);
}

function aid(object) {
  object.traverse((part) => part.layers.set(AIDS));
}

function renew(group, children) {
  for (const child of [...group.children]) {
    child.traverse((object) => discard(object));
    group.remove(child);
  }
  if (children.length) group.add(...children);
}
