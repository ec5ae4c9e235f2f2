// Calls functions of document.mjs: [{name, text, given}, ...]. With a text the document is their first argument, and what comes
// of it is written; a document as text and path, with the path that was there before. No name only reads and writes. A path is
// [[position, turn, fov], ...]. Texts in `given` are documents.
import { readFileSync } from "node:fs";
import * as edits from "../../web/camera_editor/document.mjs";
import { keyframedPath } from "../../web/camera_editor/keyframes.mjs";

const pathOf = (document) => keyframedPath(document).map(({ position, turn, fov }) => [position, turn, fov]);
const argument = (value) => (typeof value === "string" ? edits.read(value) : value);

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ name, text, given }) => {
  if (text === null) return edits[name](...given);
  const document = edits.read(text);
  const whole = JSON.stringify(document);
  const made = name === null ? document : edits[name](document, ...given.map(argument));
  if (JSON.stringify(document) !== whole) throw new Error(`${name} altered what it was given`);
  if (typeof made !== "object") return made;
  return { text: edits.write(made), before: pathOf(document), after: pathOf(made) };
});
process.stdout.write(JSON.stringify(answers));
