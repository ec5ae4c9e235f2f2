/** The picture and the depth map of a camera node: what its last run told, or a picture that stands in the graph. */

import { addressOf } from "./remote.mjs";

const WAIT = 10_000; // milliseconds for a picture

/**
 * @param {object} node the editor's node
 * @param {object | undefined} told what its last run told, see nodes/camera_editor.py
 * @returns {Promise<{picture: HTMLImageElement | null, depth: object | null, size: [number, number] | null}>}
 */
export async function sceneOf(node, told) {
  const picture = await loaded(told?.picture ? addressOf(told.picture) : pictureBefore(node));
  const depth = picture && told?.depth ? await depthOf(told.depth) : null;
  const size = picture ? [picture.naturalHeight, picture.naturalWidth] : (told?.size ?? null);
  return { picture, depth, size };
}

/** Where the picture comes from, as far as the graph tells: an address, whether it is connected, or nothing. */
export const sourceOf = (node) => pictureBefore(node) ?? String(isConnected(node, "image"));

export function isConnected(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return slot >= 0 && node.isInputConnected(slot);
}

/** The address of a picture that a Load Image node shows, straight before the image input. */
function pictureBefore(node) {
  const slot = node.inputs?.findIndex((input) => input.name === "image") ?? -1;
  const source = slot >= 0 ? node.getInputNode?.(slot) : null;
  const name = source?.widgets?.find((widget) => widget.name === "image")?.value;
  if (typeof name !== "string" || !name) return null;
  const [, subfolder = "", filename] = /^(?:(.*)\/)?([^/]+?)(?: \[\w+\])?$/.exec(name) ?? [];
  return filename ? addressOf({ filename, subfolder, type: /\[(\w+)\]$/.exec(name)?.[1] ?? "input" }) : null;
}

function loaded(address) {
  if (!address) return null;
  return new Promise((done) => {
    const picture = new Image();
    const timer = setTimeout(() => done(null), WAIT);
    const finish = (found) => () => {
      clearTimeout(timer);
      done(found);
    };
    picture.onload = finish(picture);
    picture.onerror = finish(null);
    picture.src = address;
  });
}

async function depthOf(file) {
  const response = await fetch(addressOf(file));
  if (!response.ok) return null; // the temporary folder was emptied: the picture stays
  const metres = new Float32Array(await response.arrayBuffer());
  return metres.length === file.width * file.height ? { metres, ...file } : null;
}
