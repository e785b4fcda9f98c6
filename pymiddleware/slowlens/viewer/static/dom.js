// dom.js - elements without markup: text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined).map(
    (child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}

/**
 * An element. `attributes`: "class", "data-x", "aria-x"...; a function is an
 * event listener; false, null and undefined are left out. `children`: nodes or
 * text.
 */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** A labelled choice; `change(value)` is told. `choices`: [value, title]. */
export function choice(label, choices, value, change) {
  const select = el("select", { change: () => change(select.value) },
    choices.map(([one, title]) => el("option", { value: one, selected: one === value }, title)));
  return el("label", { class: "choice" }, `${label} `, select);
}
