/** Keys, clipboard and dropped files of the dialog. What happens in it is no business of the graph below. */

// Not of pointers that move or are let go: what is dragged hears them at the page.
const INSIDE = [
  "keydown", "keyup", "keypress", "wheel", "pointerdown", "mousedown", "contextmenu", "copy", "cut", "paste", "dragenter",
  "dragover", "drop",
];
const FIELDS = "input, select, textarea";

/**
 * @param {HTMLElement} dialog
 * @param {import("./commands.mjs").Commands} commands
 * @param {{play: Function, record: Function, frameAll: Function, isBusy: () => boolean}} views
 * @returns {AbortController} that ends it
 */
export function listen(dialog, commands, views) {
  const events = new AbortController();
  const acts = {
    keydown: (event) => shortcut(event, commands, views),
    copy: (event) => copied(event, commands),
    paste: (event) => pasted(event, commands),
  };
  const on = (target, name, act, options) => target.addEventListener(name, act, { signal: events.signal, ...options });
  for (const [name, act] of Object.entries(acts)) on(dialog, name, act);
  // A field that is disabled or taken away leaves the focus to the page, below which is the graph.
  for (const name of ["keydown", "keyup", "copy", "cut", "paste"]) {
    on(document, name, (event) => isOutside(event, dialog) && (acts[name]?.(event), event.stopPropagation()), { capture: true });
  }
  on(dialog, "dragover", (event) => dragged(event, dialog, true));
  on(dialog, "dragleave", (event) => dragged(event, dialog, false));
  on(dialog, "drop", (event) => dropped(event, dialog, commands));
  for (const name of INSIDE) on(dialog, name, (event) => event.stopPropagation());
  return events;
}

/** The Latin letter of a key, wherever it stands for another one too; other keys by their names, in small letters. */
export function keyOf(event) {
  const key = event.key.toLowerCase();
  return /^\p{L}$/u.test(key) && !/^[a-z]$/.test(key) && /^Key[A-Z]$/.test(event.code) ? event.code[3].toLowerCase() : key;
}

const isOutside = (event, dialog) => !event.composedPath().includes(dialog);
const isOfField = (event) => event.composedPath()[0].matches?.(FIELDS);

function shortcut(event, commands, views) {
  const key = keyOf(event);
  const control = event.ctrlKey || event.metaKey;
  if (event.altKey || event.isComposing) return;
  const act = control ? ofControl(key, event, commands) : ofKey(key, event.composedPath()[0], commands, views);
  if (!act) return;
  event.preventDefault();
  if (!views.isBusy()) act();
  if (control) hideFromGraph(event);
}

/**
 * The frontend hears keys at the window before anybody else does, and undoes in the graph one frame later, if the event then
 * still says Control. A graph that is put back would take this editor's node away.
 */
function hideFromGraph(event) {
  for (const name of ["ctrlKey", "metaKey"]) Object.defineProperty(event, name, { value: false });
}

function ofControl(key, event, commands) {
  const back = (act) => () => {
    if (isOfField(event)) event.composedPath()[0].blur(); // what is typed there counts, and is what is undone
    act();
  };
  if (key === "z") return back(() => (event.shiftKey ? commands.redo() : commands.undo()));
  if (key === "y") return back(() => commands.redo());
  return key === "s" ? () => {} : null; // the page is not to be saved
}

function ofKey(key, target, commands, views) {
  if (target.matches?.(FIELDS) || (key === " " && target.matches?.("button"))) return null;
  return {
    " ": () => views.play(),
    k: () => commands.addKey(),
    delete: () => commands.removeKey(),
    backspace: () => commands.removeKey(),
    f: () => views.frameAll(),
    r: () => views.record(),
  }[key];
}

function copied(event, commands) {
  if (isOfField(event) || String(window.getSelection())) return;
  const text = commands.copy();
  if (!text) return;
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
}

function pasted(event, commands) {
  if (isOfField(event)) return;
  if (commands.paste(event.clipboardData.getData("text/plain"))) event.preventDefault();
}

function dragged(event, dialog, isOver) {
  event.preventDefault();
  dialog.classList.toggle("is-dropping", isOver && event.dataTransfer.types.includes("Files"));
}

function dropped(event, dialog, commands) {
  event.preventDefault();
  dialog.classList.remove("is-dropping");
  const [file] = event.dataTransfer.files;
  if (file) commands.file(file);
}
