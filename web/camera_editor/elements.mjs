/** Small pieces of the page: an element with attributes and children, a button, a labelled field. */

/** @param {Record<string, unknown>} attributes "on…" are listeners, others attributes; false and null are left out */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const button = (text, onclick, attributes = {}) =>
  element("button", { type: "button", onclick, ...attributes }, text);

/** A number field that tells of a value when it is one that may be: `onvalue(number, isDone)`. */
export function numberField(text, { onvalue, step = "any", min, max, id }) {
  const input = element("input", { type: "number", step, min, max, id });
  const label = labelled(text, input);
  const tell = (isDone) => {
    label.isTyping = !isDone;
    if (input.value !== "" && input.validity.valid) onvalue(Number(input.value), isDone);
    else if (isDone) input.reportValidity();
  };
  input.addEventListener("input", () => tell(false));
  input.addEventListener("change", () => tell(true));
  input.addEventListener("blur", () => (label.isTyping = false));
  return label;
}

export function choiceField(text, options, { onvalue, id }) {
  const select = element("select", { id }, ...options.map((name) => element("option", { value: name }, name)));
  select.addEventListener("change", () => onvalue(select.value));
  return labelled(text, select);
}

export function checkField(text, { onvalue, id }) {
  const input = element("input", { type: "checkbox", id });
  input.addEventListener("change", () => onvalue(input.checked));
  return labelled(text, input);
}

/** A label that holds its field; the field is at `.field`. */
function labelled(text, field) {
  const label = element("label", {}, element("span", {}, text), field);
  label.field = field;
  return label;
}

/** Show a value in a field, unless the user is typing in it. */
export function fill(label, value) {
  const { field } = label;
  if (label.isTyping) return;
  if (field.type === "checkbox") field.checked = value;
  else field.value = typeof value === "number" ? String(Math.round(value * 1e4) / 1e4) : value;
}
