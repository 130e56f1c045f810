// Creates elements; text is never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

/** h("div", {class: "card", onclick}, "text", child): an HTML element. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace the children of an element. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** Set a text only when it differs: an unchanged one needs no layout and is not read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table that scrolls in its box: column heads, then rows of texts or elements. `numeric` columns are right-aligned. */
export function table(heads, rows, numeric = []) {
  const side = (i) => (numeric.includes(i) ? "number" : "");
  const content = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...heads.map((head, i) => h("th", { scope: "col", class: side(i) }, head)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell, i) => h("td", { class: side(i) }, cell))))),
  );
  return h("div", { class: "table", tabindex: "0" }, content);
}

/** Radio buttons in a row. `choices`: [[value, label], ...]. */
export function choice(name, legend, choices, chosen, onchange) {
  const buttons = choices.map(([value, label]) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }),
      h("span", {}, label),
    ),
  );
  return h("fieldset", { class: "choice" }, h("legend", {}, legend), ...buttons);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "checked" || name === "hidden" || name === "open") element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.filter((child) => child !== null && child !== undefined);
}
