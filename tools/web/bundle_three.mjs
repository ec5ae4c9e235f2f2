// Bundles three_entry.mjs into one ES module: node bundle_three.mjs PACKAGES OUT, with PACKAGES an installed package.json.
// The same versions give the same bytes: no paths, no dates, no source map.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [packages, out] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(join(packages, "package.json"));
const read = (name) => readFileSync(join(packages, "node_modules", "three", name), "utf8");

await require("esbuild").build({
  entryPoints: [fileURLToPath(new URL("three_entry.mjs", import.meta.url))],
  outfile: out,
  absWorkingDir: packages, // names of files in messages start here
  nodePaths: [join(packages, "node_modules")],
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "esm",
  target: "es2022",
  legalComments: "inline",
  // The frontend may have a three.js of its own: each warns of a second one that it finds under this name.
  define: { "window.__THREE__": "window.__SANA_WM_THREE__" },
  banner: { js: `/*! three.js ${JSON.parse(read("package.json")).version}\n\n${read("LICENSE").trim()}\n*/` },
  logLevel: "warning",
});
