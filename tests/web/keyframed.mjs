// Reads a JSON list of keyframe documents from standard input, writes the path of each: [[position, turn, fov], ...].
import { readFileSync } from "node:fs";
import { keyframedPath } from "../../web/camera_editor/keyframes.mjs";

const documents = JSON.parse(readFileSync(0, "utf8"));
const paths = documents.map((document) => keyframedPath(document).map(({ position, turn, fov }) => [position, turn, fov]));
process.stdout.write(JSON.stringify(paths));
