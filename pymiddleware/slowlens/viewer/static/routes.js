// routes.js - the routes, over all stored profiles of each.
import * as api from "./api.js";
import { el } from "./dom.js";
import { count, ms, percent, tame } from "./format.js";
import { format } from "./state.js";
import { cell, header } from "./table.js";

const COLUMNS = [
  { title: "Route", sort: "route", class: "path" },
  { title: "Method", sort: "method" },
  { title: "Count", sort: "count", number: true },
  { title: "p50 ms", sort: "p50_ms", number: true },
  { title: "p95 ms", sort: "p95_ms", number: true },
  { title: "p99 ms", sort: "p99_ms", number: true },
  { title: "Max ms", sort: "max_ms", number: true },
  { title: "Total ms", sort: "total_ms", number: true },
  { title: "Errors", sort: "error_share", number: true },
  { title: "Worst" },
];

/** Rows sorted by "name" or "-name". Pure. */
export function sorted(rows, sort) {
  const name = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => sign * (a[name] > b[name] ? 1 : a[name] < b[name] ? -1 : 0));
}

export async function show(main, state, go) {
  const sort = state.sort || "-total_ms";
  const { routes } = await api.routes();
  if (!routes.length) {
    main.replaceChildren(el("p", { class: "empty" }, "No profiles yet."));
    return null;
  }
  const rows = sorted(routes, sort).map((route) => {
    const values = [
      el("a", { href: format({ page: "requests", route: route.route, method: route.method, sort: "-wall_ms" }) }, tame(route.route)),
      tame(route.method, 20), count(route.count), ms(route.p50_ms), ms(route.p95_ms), ms(route.p99_ms),
      ms(route.max_ms), ms(route.total_ms), percent(route.error_share, 1),
      el("a", { href: format({ r: route.worst }) }, "open"),
    ];
    return el("tr", {}, COLUMNS.map((column, i) => cell(column, values[i])));
  });
  main.replaceChildren(
    el("h2", {}, "Routes"),
    el("p", {}, "Over the profiles in the store, which are not all requests: slow ones are kept longer."),
    el("table", { "aria-label": "Routes" },
      header(COLUMNS, sort, (next) => go({ page: "routes", sort: next })), el("tbody", {}, rows)));
  return null;
}
