/**
 * What there is to see: ground, path, cameras at the keys, the picture on the first one, the scene as points.
 *
 * Everything stands in `root`, whose axes are OpenCV's (x right, y down, z ahead, metres) in three.js' world (y up).
 */

import {
  BufferAttribute, BufferGeometry, CanvasTexture, Color, DoubleSide, GridHelper, Group, Line, LineBasicMaterial, LineSegments, Mesh,
  MeshBasicMaterial, PerspectiveCamera, PlaneGeometry, Points, Quaternion, Scene, ShaderMaterial, SphereGeometry,
  SRGBColorSpace, Vector4,
} from "./three.mjs";
import { isByProcessor } from "./renderer.mjs";

export const COLOURS = {
  path: 0x7aa2ff, key: 0xd7dce8, selected: 0xffb454, now: 0x6ee7b7, handle: 0xc792ea, pivot: 0xff6b81, warning: 0xff5d5d,
  ground: 0x2f3646, axis: 0x6b7690, sky: 0x1a1f2b,
};
const EYE_HEIGHT = 1.5; // metres of the first camera above the ground that is drawn
const PICTURE_AT = 3; // metres ahead, where no depth map says more
const FRUSTUM = 0.35; // metres
const FARTHEST = 1000; // metres: what is beyond is sky
const AIDS = 1; // layer of what a through-the-camera view leaves out
const FLIP = new Quaternion(1, 0, 0, 0); // between the axes of OpenCV and of three.js

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
    this.move(draft);
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
    const made = draft.document.keys.map((key, number) => {
      const colour = number === draft.selected ? COLOURS.selected : COLOURS.key;
      const camera = draft.path[Math.min(key.frame, draft.path.length - 1)];
      const shape = frustum(key.fov, draft.document.size, colour, FRUSTUM);
      place(shape, { ...camera, position: key.position });
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
  [camera.aspect, camera.near, camera.far] = [aspect, 0.02, 500];
  camera.updateProjectionMatrix();
  return camera;
}

/** Let a camera see what helps to edit, too. */
export function withAids(camera) {
  camera.layers.enable(AIDS);
  return camera;
}

const sum = (a, b) => a.map((value, i) => value + b[i]);

function alongView({ position, turn: [w, x, y, z] }, metres) {
  const ahead = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)];
  return position.map((value, i) => value + ahead[i] * metres);
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

function discard(object) {
  object.geometry?.dispose();
  for (const material of [object.material].flat().filter(Boolean)) {
    material.map?.dispose();
    material.dispose();
  }
}

function ground() {
  const grid = new GridHelper(40, 40, COLOURS.axis, COLOURS.ground);
  grid.position.y = -EYE_HEIGHT;
  grid.material.transparent = true;
  grid.material.opacity = 0.6;
  return grid;
}

/** A camera as a pyramid with a roof that tells up from down; size [height, width]. */
function frustum(fov, [height, width], colour, length) {
  const x = Math.min(Math.tan((fov * Math.PI) / 360), 2) * length;
  const y = (x * height) / width;
  const [a, b, c, d] = [[-x, -y, length], [x, -y, length], [x, y, length], [-x, y, length]];
  const roof = [0, -y * 1.6, length];
  const origin = [0, 0, 0];
  const edges = [origin, a, origin, b, origin, c, origin, d, a, b, b, c, c, d, d, a, a, roof, roof, b];
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(edges.flat()), 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colour }));
}

function segment(from, to, colour) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array([...from, ...to]), 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colour }));
}

function ball(at, colour) {
  const mesh = new Mesh(new SphereGeometry(0.05, 12, 8), new MeshBasicMaterial({ color: colour }));
  mesh.position.set(...at);
  return mesh;
}

/** The picture as a plane that fills the first camera's view. */
function plane(picture, half, aspect) {
  const geometry = new PlaneGeometry(2 * half * PICTURE_AT, (2 * half * PICTURE_AT) / aspect);
  const texture = new CanvasTexture(picture);
  texture.colorSpace = SRGBColorSpace;
  const material = new MeshBasicMaterial({ map: texture, side: DoubleSide, toneMapped: false });
  const mesh = new Mesh(geometry, material);
  mesh.position.z = PICTURE_AT;
  mesh.quaternion.copy(FLIP); // a plane's picture stands with y up
  return mesh;
}

// A point is as large as what its pixel saw, so that the picture stays whole when the camera comes near.
const POINT_VERTEX = `
  uniform float pixels; attribute float extent; attribute vec3 tint; varying vec3 seen;
  void main() {
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    seen = tint; gl_Position = projectionMatrix * place; gl_PointSize = clamp(extent * pixels / -place.z, 1.0, 64.0);
  }`;
const POINT_FRAGMENT = "varying vec3 seen; void main() { gl_FragColor = vec4(seen, 1.0); }";

/**
 * A point for each pixel of the depth map, or for one of four where the processor draws, in the picture's colour.
 * half: tangent of half the field of view.
 */
function cloud(picture, { metres, width, height }, half) {
  const colours = pixels(picture, width, height);
  const [places, tints, extents] = [3, 3, 1].map((count) => new Float32Array(width * height * count));
  const focal = width / 2 / half;
  const step = isByProcessor() ? 2 : 1;
  let count = 0;
  for (let i = 0; i < metres.length; i++) {
    if ((i % width) % step || Math.floor(i / width) % step) continue;
    const z = metres[i];
    if (!(z > 0 && z < FARTHEST)) continue;
    const [x, y] = [(i % width) + 0.5 - width / 2, Math.floor(i / width) + 0.5 - height / 2];
    places.set([(x / focal) * z, (y / focal) * z, z], 3 * count);
    for (let k = 0; k < 3; k++) tints[3 * count + k] = colours[4 * i + k] / 255;
    extents[count] = (1.5 * step * z) / focal;
    count += 1;
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(places.subarray(0, 3 * count), 3));
  geometry.setAttribute("tint", new BufferAttribute(tints.subarray(0, 3 * count), 3));
  geometry.setAttribute("extent", new BufferAttribute(extents.subarray(0, count), 1));
  const material = new ShaderMaterial({
    uniforms: { pixels: { value: 1 } }, vertexShader: POINT_VERTEX, fragmentShader: POINT_FRAGMENT,
  });
  const points = new Points(geometry, material);
  points.frustumCulled = false;
  const viewport = new Vector4();
  points.onBeforeRender = (renderer, scene, camera) => {
    const rows = renderer.getCurrentViewport(viewport).w;
    material.uniforms.pixels.value = (camera.projectionMatrix.elements[5] * rows) / 2;
    material.uniformsNeedUpdate = true;
  };
  return points;
}

function pixels(picture, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
