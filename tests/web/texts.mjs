// Writes all texts of the editor, and what [[language, name, values], ...] from standard input say.
import { readFileSync } from "node:fs";
import { labeller, texts } from "../../web/camera_editor/labels.mjs";

const said = JSON.parse(readFileSync(0, "utf8")).map(([language, name, values]) => labeller(language)(name, values));
process.stdout.write(JSON.stringify({ texts: texts(), said }));
