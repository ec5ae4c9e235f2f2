/** The row of buttons above the views. */

import { button, element } from "./elements.mjs";

export class Toolbar {
  /**
   * @param {Record<string, Function>} actions what each button does
   * @param {{choices: {presets: object[]}, seed: string | null}} given presets with amounts and units; the path that comes in
   */
  constructor(draft, label, actions, given) {
    Object.assign(this, { draft, label, actions, given });
    this.buttons = {};
    const made = (name, onclick = actions[name], attributes = {}) =>
      (this.buttons[name] = button(label(name), onclick, { "data-name": name, ...attributes }));
    const group = (...children) => element("span", { class: "group" }, ...children);
    this.file = element("input", { type: "file", hidden: true, onchange: () => this.#opened() });
    this.element = element(
      "div",
      { class: "toolbar", role: "group", "aria-label": label("title") },
      group(...this.#presetMenu(given.choices.presets)),
      group(made("record"), made("open_file", () => this.file.click(), { title: label("drop") }), made("save_file"), this.file),
      group(made("undo"), made("redo"), made("copy"), made("paste")),
      group(made("add"), made("remove")),
      group(made("reseed"), made("clear")),
      element("span", { class: "space" }),
      made("close", actions.close, { class: "primary" }),
    );
    this.update();
  }

  update() {
    this.buttons.undo.disabled = !this.draft.canUndo;
    this.buttons.redo.disabled = !this.draft.canRedo;
    this.buttons.reseed.hidden = !this.given.seed;
    this.buttons.copy.disabled = !this.draft.key;
    this.buttons.remove.disabled = !this.draft.key || this.draft.document.keys.length === 1;
  }

  /** Only stopping and closing are left while a flight goes on. */
  setRecording(isOn) {
    for (const each of this.element.querySelectorAll("button, select, input")) {
      each.inert = isOn && each !== this.buttons.record && each !== this.buttons.close;
    }
    this.buttons.record.textContent = this.label(isOn ? "stop" : "record");
    this.buttons.record.classList.toggle("is-on", isOn);
  }

  #presetMenu(presets) {
    const named = ({ name, amount, unit }) => element("option", { value: name }, amount ? `${name} (${amount} ${unit})` : name);
    const menu = element("select", { "aria-label": this.label("presets"), "data-name": "preset" },
      element("option", { value: "" }, this.label("presets")), ...presets.map(named));
    const amount = element("input", {
      type: "number", step: "any", class: "amount", "aria-label": this.label("amount"), "data-name": "amount", hidden: true,
    });
    const apply = button(this.label("apply"), () => run(), { "data-name": "apply", hidden: true });
    const run = () => this.actions.preset(menu.value, amount.value === "" ? null : Number(amount.value));
    menu.addEventListener("change", () => {
      const chosen = presets.find(({ name }) => name === menu.value);
      amount.value = chosen?.amount || "";
      [amount.hidden, apply.hidden] = [!chosen?.amount, !chosen];
    });
    return [menu, amount, apply];
  }

  #opened() {
    const [file] = this.file.files;
    this.file.value = "";
    if (file) this.actions.file(file);
  }
}
