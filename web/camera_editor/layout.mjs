/** How the editor's parts stand in the dialog. */

import { button, element } from "./elements.mjs";

/**
 * @param {object} parts of the editor, as it names them
 * @returns {{host: HTMLElement, dialog: HTMLDialogElement}} the element for the page, and what is shown modally
 */
export function layOut({ toolbar, main, through, viewport, advice, flying, fields, player, status, timeline }, label) {
  const stage = element("div", { class: "stage" }, main, viewButtons(viewport, label), advice.element, flying.element);
  const side = element("aside", {}, through, fields.ofKey);
  const middle = element("div", { class: "middle" }, stage, side);
  const transport = element("div", { class: "transport" }, player.button, player.clock, status, fields.ofPath);
  const named = { "aria-label": label("title"), "data-drop": label("drop") };
  const dialog = element("dialog", named, toolbar.element, middle, transport, timeline.element);
  const host = element("div", { class: "sana-wm-camera-editor" });
  const style = element("link", { rel: "stylesheet", href: new URL("editor.css", import.meta.url).href });
  host.attachShadow({ mode: "open" }).append(style, dialog);
  return { host, dialog };
}

/** What the gizmo does, how the eye moves, and what it looks at. */
function viewButtons(viewport, label) {
  const looks = ["frameAll", "frameAbove"].map((name) => button(label(name), () => viewport[name](), { "data-name": name }));
  return element(
    "div",
    { class: "views" },
    either(["move", "turn"], label, (i) => viewport.setTool(["translate", "rotate"][i])),
    either(["orbit", "fly"], label, (i) => viewport.setMode(["orbit", "fly"][i])),
    element("span", { class: "group" }, ...looks),
  );
}

/** Buttons of which one is chosen. */
function either(names, label, set) {
  const choose = (chosen) => {
    buttons.forEach((each, i) => each.setAttribute("aria-pressed", i === chosen));
    set(chosen);
  };
  const buttons = names.map((name, i) =>
    button(label(name), () => choose(i), { "aria-pressed": String(i === 0), "data-name": name }),
  );
  return element("span", { class: "group" }, ...buttons);
}
