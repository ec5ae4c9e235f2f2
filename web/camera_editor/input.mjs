/** Keys, clipboard and dropped files of the dialog. What happens in it is no business of the graph below. */

const INSIDE = [
  "keydown", "keyup", "keypress", "wheel", "pointerdown", "pointermove", "pointerup", "mousedown", "mouseup", "contextmenu", "copy",
  "cut", "paste", "dragenter", "dragover", "drop",
];
const FIELDS = "input, select, textarea";

/**
 * @param {HTMLElement} dialog
 * @param {import("./commands.mjs").Commands} commands
 * @param {{play: Function, record: Function, frameAll: Function, isRecording: () => boolean}} views
 */
export function listen(dialog, commands, views) {
  dialog.addEventListener("keydown", (event) => shortcut(event, commands, views));
  dialog.addEventListener("copy", (event) => copied(event, commands));
  dialog.addEventListener("paste", (event) => pasted(event, commands));
  dialog.addEventListener("dragover", (event) => event.preventDefault());
  dialog.addEventListener("drop", (event) => dropped(event, commands));
  for (const name of INSIDE) dialog.addEventListener(name, (event) => event.stopPropagation());
}

function shortcut(event, commands, views) {
  const target = event.composedPath()[0];
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey;
  if (views.isRecording() || event.altKey) return;
  const act = control ? ofControl(key, event.shiftKey, commands) : ofKey(key, target, commands, views);
  if (!act) return;
  event.preventDefault();
  act();
  if (control) hideFromGraph(event);
}

/**
 * The frontend hears keys at the window before anybody else does, and undoes in the graph one frame later, if the event then
 * still says Control. A graph that is put back would take this editor's node away.
 */
function hideFromGraph(event) {
  for (const name of ["ctrlKey", "metaKey"]) Object.defineProperty(event, name, { value: false });
}

function ofControl(key, shift, commands) {
  if (key === "z") return () => (shift ? commands.redo() : commands.undo());
  if (key === "y") return () => commands.redo();
  return null;
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

const isOfField = (event) => event.composedPath()[0].matches?.(FIELDS);

function copied(event, commands) {
  const text = isOfField(event) ? null : commands.copy();
  if (!text) return;
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
}

function pasted(event, commands) {
  if (isOfField(event)) return;
  if (commands.paste(event.clipboardData.getData("text/plain"))) event.preventDefault();
}

function dropped(event, commands) {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) commands.file(file);
}
