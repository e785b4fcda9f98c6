// Elements without markup: text is only ever text.
import { toggleSort } from "./state.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map(
    (child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}

/**
 * An element. `attributes`: a function is an event listener; false, null and undefined are left out. `children`: nodes or text.
 */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const button = (text, click, attributes = {}) => el("button", { type: "button", click, ...attributes }, text);

/** What to draw on: a canvas as large as it is shown, empty; in CSS pixels. */
export function surface(canvas, height) {
  const ratio = devicePixelRatio || 1;
  const [width, high] = [canvas.clientWidth, height].map((one) => Math.round(one * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, high);
  return context;
}

/** A labelled choice; `change(value)` is told. `choices`: [value, title]. */
export function choice(label, choices, value, change) {
  const select = el("select", { change: () => change(select.value) },
    choices.map(([one, title]) => el("option", { value: one, selected: one === value }, title)));
  return el("label", { class: "choice" }, `${label} `, select);
}

/** A labelled box to tick; `change(on)` is told. */
export function tick(label, on, change) {
  const input = el("input", { type: "checkbox", change: () => change(input.checked) });
  input.checked = on;
  return Object.assign(el("label", { class: "choice" }, input, ` ${label}`), { input });
}

/** What opens below a button: closes by Escape, by a click elsewhere and by what is chosen in it. */
export function menu(title, items, attributes = {}) {
  const box = el("details", { class: "menu", ...attributes }, el("summary", {}, title), el("div", {}, items));
  const close = (event) => {
    if (!box.isConnected) return removeEventListener("pointerdown", close);
    if (!box.contains(event.target)) box.open = false;
    return undefined;
  };
  addEventListener("pointerdown", close);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !box.open) return;
    event.stopPropagation();
    box.open = false;
    box.querySelector("summary").focus();
  });
  box.addEventListener("click", (event) => {
    if (event.target.closest("a, button")) box.open = false;
  });
  return box;
}

/** Tabs for views {name: [title]}; arrow keys move between them (WAI-ARIA tabs pattern, manual activation). */
export function tabList(views, open) {
  const tabs = Object.entries(views).map(([name, [title]]) => button(title, () => open(name), { role: "tab", "aria-selected": "false", "aria-controls": "panel", "data-view": name }));
  return el("div", { role: "tablist", "aria-label": "Views", keydown: (event) => {
    const at = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    tabs[(next + tabs.length) % tabs.length].focus();
  } }, tabs);
}

let pressed = null; // a head, until another thing has the focus: drawn anew, it keeps it

const classes = (column) => [column.number ? "number" : "", column.class || ""].join(" ").trim() || null;

/**
 * A header row. `columns`: {name, title, number, sort} (sort: server's or
 * caller's name of it; none: not sortable). `onSort(newSort)`.
 */
export function header(columns, sort = "", onSort = null) {
  return el("thead", {}, el("tr", {}, columns.map((column) => {
    const current = sort.replace(/^-/, "") === column.sort;
    const direction = current ? (sort.startsWith("-") ? "descending" : "ascending") : null;
    const title = column.sort ? button([column.title, current ? (direction === "descending" ? " ▾" : " ▴") : ""], ({ target }) => {
      pressed = target;
      onSort(toggleSort(sort, column.sort));
    }, { name: column.sort, blur: ({ relatedTarget }) => relatedTarget && (pressed = null) }) : column.title;
    if (pressed && column.sort === pressed.name && [document.body, pressed].includes(document.activeElement)) {
      pressed = null;
      setTimeout(() => title.focus({ preventScroll: true }));
    }
    return el("th", { scope: "col", class: classes(column), "aria-sort": direction }, title);
  })));
}

export const tableRow = (columns, values, attributes = {}) => el("tr", attributes, columns.map((column, i) => el("td", { class: classes(column) }, values[i])));

/** Puts a card beside the pointer, within the box that it is in. */
export function putCard(card, within, event) {
  const bounds = within.getBoundingClientRect();
  const x = event.clientX - bounds.left;
  const y = event.clientY - bounds.top;
  const { offsetWidth: width, offsetHeight: height } = card;
  card.style.left = `${Math.max(0, Math.min(x + 14, bounds.width - width - 4))}px`;
  card.style.top = `${y + 18 + height > bounds.height ? Math.max(0, y - height - 10) : y + 18}px`;
}

export const numbers = (title) => ({ title, number: true });

/** A table that nobody sorts. */
export const plainTable = (name, columns, rows, attributes = {}) => el("table", { "aria-label": name, ...attributes }, header(columns), el("tbody", {}, rows));
