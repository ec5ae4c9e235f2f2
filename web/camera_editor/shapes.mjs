/** The things of the editor's world as three.js draws them, in OpenCV's axes unless they say otherwise. */

import { isByProcessor } from "./renderer.mjs";
import {
  BufferAttribute, BufferGeometry, CanvasTexture, DoubleSide, GridHelper, LineBasicMaterial, LineSegments, Mesh,
  MeshBasicMaterial, PlaneGeometry, Points, Quaternion, ShaderMaterial, SphereGeometry, SRGBColorSpace, Vector4,
} from "./three.mjs";

export const COLOURS = {
  path: 0x7aa2ff, key: 0xd7dce8, selected: 0xffb454, now: 0x6ee7b7, handle: 0xc792ea, pivot: 0xff6b81, warning: 0xff5d5d,
  ground: 0x2f3646, axis: 0x6b7690, sky: 0x1a1f2b,
};
export const FLIP = new Quaternion(1, 0, 0, 0); // between the axes of OpenCV and of three.js
export const PICTURE_AT = 3; // metres ahead, where no depth map says more
const EYE_HEIGHT = 1.5; // metres of the first camera above the ground that is drawn
export const FARTHEST = 1000; // metres: what is beyond is sky

/** Give back what a thing holds on the graphics card. */
export function discard(object) {
  object.geometry?.dispose();
  for (const material of [object.material].flat().filter(Boolean)) {
    material.map?.dispose();
    material.dispose();
  }
}

/** A grid below, in three.js' axes. */
export function ground() {
  const grid = new GridHelper(40, 40, COLOURS.axis, COLOURS.ground);
  grid.position.y = -EYE_HEIGHT;
  grid.material.transparent = true;
  grid.material.opacity = 0.6;
  return grid;
}

/** A camera as a pyramid with a roof that tells up from down; size [height, width]. */
export function frustum(fov, [height, width], colour, length) {
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

/** A straight line. */
export function segment(from, to, colour) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array([...from, ...to]), 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colour }));
}

/** A small ball. */
export function ball(at, colour) {
  const mesh = new Mesh(new SphereGeometry(0.05, 12, 8), new MeshBasicMaterial({ color: colour }));
  mesh.position.set(...at);
  return mesh;
}

/** The picture as a plane that fills the first camera's view. */
export function plane(picture, half, aspect) {
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
export function cloud(picture, { metres, width, height }, half) {
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
