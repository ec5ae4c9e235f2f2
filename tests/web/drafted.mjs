// Runs lists of [method, ...arguments] on a draft, numbers standing for documents; writes the state after each call.
import { readFileSync } from "node:fs";
import { blank, withKey } from "../../web/camera_editor/document.mjs";
import { Draft } from "../../web/camera_editor/draft.mjs";

const numbered = (number) => {
  const frames = 1 + 8 * (1 + (number % 5));
  const keys = Array.from({ length: 1 + (number % 4) }, (_, i) => ({ frame: 2 * i + 1, position: [number, i, 0] }));
  return keys.reduce(withKey, { ...blank({ frames, size: [704, 1280] }), keys: [], number });
};

function run(calls) {
  const draft = new Draft(numbered(0));
  let kept = 0;
  draft.addEventListener("kept", () => (kept += 1));
  return calls.map(([name, ...given]) => {
    draft[name](...(["show", "keep", "start"].includes(name) ? given.map(numbered) : given));
    const { document, canUndo, canRedo, frame, selected, path, camera, key, isAsBegun } = draft;
    return {
      number: document.number, canUndo, canRedo, kept, frame, selected, frames: document.frames, keys: document.keys.length,
      path: path.length, camera: camera.position, key: key?.frame ?? null, size: document.size,
      isAsBegun,
    };
  });
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(run)));
