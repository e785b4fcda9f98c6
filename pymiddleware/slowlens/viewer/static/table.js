// table.js - a sortable table.
import { el } from "./dom.js";
import { toggleSort } from "./state.js";

const classes = (column) => [column.number ? "number" : "", column.class || ""].join(" ").trim() || null;

/**
 * A header row. `columns`: {name, title, number, sort} (sort: server's or
 * caller's name of it; none: not sortable). `onSort(newSort)`.
 */
export function header(columns, sort, onSort) {
  return el("thead", {}, el("tr", {}, columns.map((column) => {
    const current = sort.replace(/^-/, "") === column.sort;
    const direction = current ? (sort.startsWith("-") ? "descending" : "ascending") : null;
    const title = column.sort
      ? el("button", { type: "button", click: () => onSort(toggleSort(sort, column.sort)) },
        column.title, current ? (direction === "descending" ? " ▾" : " ▴") : "")
      : column.title;
    return el("th", { scope: "col", class: classes(column), "aria-sort": direction }, title);
  })));
}

export function cell(column, ...content) {
  return el("td", { class: classes(column) }, ...content);
}
