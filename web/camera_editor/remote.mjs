/** What the editor asks ComfyUI's server; see nodes/editor_server.py. */

import { api } from "../../../scripts/api.js";

const PREFIX = "/sana_wm/camera";
let choices = null;

/** Names of presets, easings and curves, and the dialect to fly in. Asked for once. */
export async function getChoices() {
  choices ??= ask("choices");
  return choices.catch((error) => {
    choices = null;
    throw error;
  });
}

/**
 * Keyframes of a preset ({preset, frames, amount, whole, fov}), of a flight ({actions, fov}), or of a document's path
 * ({document}); in the size and at the rate of `document`.
 */
export const getKeyframes = (document, asked) =>
  ask("keyframes", JSON.stringify({ size: document.size, fps: document.fps, ...asked }));

/** Keyframes of a camera file. @param {File} file @param {[number, number]} size height and width */
export const readFile = (file, [height, width]) =>
  ask(`file?${new URLSearchParams({ name: file.name, height, width })}`, file);

/** What the path of a document's text will ask of the model. @param {object | null} depth the file that the node told of */
export const getPreflight = (text, depth) => {
  const { filename, height, width } = depth ?? {};
  return ask(depth ? `preflight?${new URLSearchParams({ depth: filename, height, width })}` : "preflight", text);
};

/** Where ComfyUI shows a file that a node told of. */
export const addressOf = ({ filename, subfolder = "", type = "temp" }) =>
  api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);

/** What the server says against a request, in words for the user. */
export class Refusal extends Error {}

async function ask(what, body) {
  const response = await api.fetchApi(`${PREFIX}/${what}`, body === undefined ? {} : { method: "POST", body });
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Refusal(answer.error);
  return answer;
}
