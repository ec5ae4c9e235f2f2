// SANA-WM's part of the frontend. The host imports this file at start-up; keep it small.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const LIVE_PICTURE = "$$canvas-image-preview"; // the frontend's widget for previews
const STOPS = ["execution_interrupted", "execution_error"];

app.registerExtension({
  name: "SanaWM.Film",
  setup() {
    /** What each rollout has so far, as a node's output: node id -> {images, animated}. @type {Map<string, object>} */
    const films = new Map();
    api.addEventListener("sana_wm.chunk", ({ detail }) => {
      films.set(String(detail.node), { images: [detail.file], animated: [true] });
    });
    api.addEventListener("executed", ({ detail }) => {
      if (detail.output?.images?.[0]?.filename?.endsWith(".mp4")) takeForFilm(detail.node);
      if (films.delete(String(detail.node))) dropPreview(detail.node);
    });
    for (const stop of STOPS) {
      api.addEventListener(stop, () => {
        for (const [id, film] of films) showFilm(id, film);
        films.clear();
      });
    }
  },
});

/** The last chunk's picture would be drawn in place of the video. */
function dropPreview(id) {
  if (app.nodePreviewImages) delete app.nodePreviewImages[id];
  // Nodes 2.0 draws from a store of its own, to which there is no public way; without it the picture stays below the video.
  app.extensionManager?._p?._s?.get("nodeOutput")?.setNodePreviewsByNodeId?.(id, []);
  const node = app.graph.getNodeById(id);
  if (node?.imgs) {
    // What is drawn already would stay beside the video, or, without its picture, cover the canvas.
    node.imgs = undefined;
    node.widgets = node.widgets?.filter((widget) => widget.name !== LIVE_PICTURE);
  }
  app.graph.setDirtyCanvas(true, true);
}

/** Nodes 2.0 of frontend 1.32 takes the film of a node of ours for a picture, unless the node says what it shows. */
function takeForFilm(id) {
  const node = app.graph.getNodeById(id);
  if (node?.comfyClass?.startsWith("SanaWM")) node.previewMediaType = "video";
}

/** Let a stopped rollout's node play what is finished. */
function showFilm(id, film) {
  if (!app.graph.getNodeById(id) || !app.nodeOutputs) return;
  takeForFilm(id);
  app.nodeOutputs[id] = film;
  dropPreview(id);
}

const CARD_HEIGHT = 190; // CSS pixels
const CARD_WIDTH = 320;

app.registerExtension({
  name: "SanaWM.CameraEditor",
  nodeCreated(node) {
    if (node.comfyClass !== "SanaWMCameraEditor") return;
    const state = node.widgets?.find((widget) => widget.name === "state");
    if (state) {
      state.hidden = true; // the editor writes it, and a page of JSON says nothing
      state.options = { ...state.options, hidden: true };
    }
    const place = document.createElement("div");
    place.dataset.captureWheel = "false"; // the wheel zooms the graph; the editor itself is a dialog
    place.style.cssText = `display: flex; flex-direction: column; gap: 4px; flex: 1; min-height: ${CARD_HEIGHT}px`;
    const height = () => CARD_HEIGHT;
    node.addDOMWidget("path_view", "sana_wm_camera_path", place, { serialize: false, getMinHeight: height });
    node.setSize([Math.max(node.size[0], CARD_WIDTH), node.computeSize()[1]]);
    // A card lives as long as its node stands in a graph; a copy on the clipboard has none.
    let card = null;
    follow(node, "onAdded", () => {
      card ??= import("./camera_editor/card.mjs").then(({ Card }) => (node.graph ? new Card(node, place) : null));
    });
    follow(node, "onRemoved", () => {
      card?.then((made) => made?.dispose());
      card = null;
    });
    follow(node, "onExecuted", (output) => card?.then((made) => made?.executed(output))); // it may come before the card
  },
});

/** Let something be done after a method of a node that the frontend calls. */
function follow(node, name, act) {
  const before = node[name];
  node[name] = function (...given) {
    const answer = before?.apply(this, given);
    act(...given);
    return answer;
  };
}
