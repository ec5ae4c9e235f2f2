/**
 * One WebGL renderer for every view of every node: browsers allow about sixteen contexts for a page.
 *
 * It draws off screen, and the picture is copied to the view's own canvas. Who uses it says so with `hold` and `letGo`; the
 * context is given back when nobody does.
 */

import { SRGBColorSpace, WebGLRenderer } from "./three.mjs";

let renderer = null;
let holders = 0;
let hasFailed = false; // a browser without WebGL is not asked again for every frame

export function hold() {
  holders += 1;
}

export function letGo() {
  holders -= 1;
  if (holders > 0 || !renderer) return;
  renderer.dispose();
  renderer.forceContextLoss();
  renderer = null;
}

/** Draw a scene as a camera sees it into a canvas, at the size that the canvas has on the screen. */
export function draw(scene, camera, canvas) {
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.round(length * scale));
  if (!width || !height || !isAvailable()) return; // hidden, or without WebGL
  const surface = renderer.domElement;
  if (surface.width < width || surface.height < height) {
    renderer.setSize(Math.max(surface.width, width), Math.max(surface.height, height), false);
  }
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  renderer.setViewport(0, 0, width, height);
  renderer.setScissor(0, 0, width, height);
  renderer.render(scene, camera);
  canvas.getContext("2d").drawImage(surface, 0, surface.height - height, width, height, 0, 0, width, height);
}

/** What the browser can do, for those who look why it is slow or empty. */
export function isAvailable() {
  if (renderer || hasFailed) return !hasFailed;
  try {
    renderer = made();
  } catch {
    hasFailed = true;
  }
  return !hasFailed;
}

/** Whether the processor draws, for those who can do with less. */
export const isByProcessor = () => isAvailable() && isSoftware(renderer);

const SOFTWARE = /swiftshader|llvmpipe|software|basic render/i;

/** Edges are smoothed unless the processor draws: there it would cost three quarters of the time. */
function made() {
  const smooth = withSurface(true);
  if (!isSoftware(smooth)) return smooth;
  smooth.dispose();
  smooth.forceContextLoss();
  return withSurface(false);
}

function isSoftware(created) {
  const context = created.getContext();
  const names = context.getExtension("WEBGL_debug_renderer_info");
  return Boolean(names) && SOFTWARE.test(context.getParameter(names.UNMASKED_RENDERER_WEBGL));
}

function withSurface(antialias) {
  const created = new WebGLRenderer({ antialias, powerPreference: "high-performance" });
  created.outputColorSpace = SRGBColorSpace;
  created.setPixelRatio(1);
  created.setScissorTest(true);
  created.setSize(16, 16, false);
  return created;
}
