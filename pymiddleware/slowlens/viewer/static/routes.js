// routes.js - the routes, over all stored profiles of each.
import * as api from "./api.js";
import { el, svg } from "./dom.js";
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
  { title: "Trend" },
  { title: "" },
];

/** Points of a small line from medians, oldest first; where there was no request there is no point. Pure. */
export function points(trend, width = 90, height = 20) {
  const most = Math.max(...trend, 1e-9);
  return trend.map((value, i) => [value, (i / (trend.length - 1)) * (width - 4) + 2, height - 2 - (value / most) * (height - 4)])
    .filter(([value]) => value > 0).map(([, x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
}

const trend = (route) => svg("svg", { class: "trend", width: 90, height: 20, role: "img", "aria-label": `median over time: ${route.trend_ms.filter((one) => one > 0).map(ms).join(", ")} ms` },
  svg("polyline", { points: points(route.trend_ms) }),
  ...points(route.trend_ms).split(" ").filter(Boolean).map((point) => svg("circle", { cx: point.split(",")[0], cy: point.split(",")[1], r: 1.5 })));

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
      trend(route),
      [el("a", { href: format({ r: "aggregate", route: route.route, method: route.method }) }, "merged tree"), " · ", el("a", { href: format({ r: route.worst }) }, "worst")],
    ];
    return el("tr", {}, COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
  });
  main.replaceChildren(
    el("h2", {}, "Routes"),
    el("p", {}, "Over the profiles in the store, which are not all requests: slow ones are kept longer."),
    el("table", { "aria-label": "Routes" },
      header(COLUMNS, sort, (next) => go({ page: "routes", sort: next })), el("tbody", {}, rows)));
  return null;
}
