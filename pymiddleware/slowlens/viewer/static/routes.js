// routes.js - the routes: how often, how long, how much of all time.
import * as api from "./api.js";
import { choice, el, svg } from "./dom.js";
import { count, duration, middle, ms, percent, tame } from "./format.js";
import { entry, go, recall, remember, replace, slot } from "./shell.js";
import { format } from "./state.js";
import { cell, header } from "./table.js";

const COLUMNS = [
  { title: "Route", sort: "route", class: "path" },
  { title: "Method", sort: "method", class: "method" },
  { title: "Count", sort: "count", number: true },
  { title: "p50 ms", sort: "p50_ms", number: true },
  { title: "p95 ms", sort: "p95_ms", number: true },
  { title: "p99 ms", sort: "p99_ms", number: true, class: "wide" },
  { title: "Max ms", sort: "max_ms", number: true, class: "wide" },
  { title: "Share of all time", sort: "total_ms", class: "split" },
  { title: "Errors", sort: "error_share", number: true },
  { title: "Trend", class: "trend" },
  { title: "Look at", class: "links" },
];

const SORTS = [
  ["-total_ms", "most time"], ["-p95_ms", "slowest (p95)"], ["-p50_ms", "slowest (median)"], ["-max_ms", "slowest of all"], ["-count", "most requests"], ["-error_share", "most errors"], ["route", "route"],
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

/** How much of all time went to a route, as a bar and in words. */
function shareOf(route, all) {
  const piece = el("span", { class: "k-plain" });
  piece.style.width = `${(route.total_ms / (all || 1)) * 100}%`;
  return el("div", { class: "sharebar", title: `${duration(route.total_ms * 1e6)} in all` }, el("div", { class: "bar", "aria-hidden": "true" }, piece),
    el("span", {}, percent(route.total_ms, all)));
}

export async function show(main, state) {
  const sort = state.sort || "-total_ms";
  const answer = await api.routes();
  const { routes } = answer;
  if (!routes.length) {
    main.replaceChildren(el("h1", {}, "Routes"), el("p", { class: "empty" }, "No profiles yet."));
    return { title: "Routes" };
  }
  const all = routes.reduce((sum, route) => sum + route.total_ms, 0);
  const field = el("input", { type: "search", value: state.q || "", placeholder: "route…", "aria-label": "Filter routes", input: () => {
    replace({ ...state, q: field.value });
    fill();
  } });
  const body = el("tbody");
  const fill = () => {
    const low = field.value.toLowerCase();
    const rows = sorted(routes, sort).filter((route) => `${route.method} ${route.route}`.toLowerCase().includes(low)).map((route) => {
      const of = { route: route.route, method: route.method };
      const values = [
        el("a", { href: format({ page: "requests", ...of, sort: "-wall_ms" }), "data-row": true }, middle(tame(route.route), 90)),
        tame(route.method, 20), count(route.count), ms(route.p50_ms), ms(route.p95_ms), ms(route.p99_ms), ms(route.max_ms),
        shareOf(route, all), route.error_share ? percent(route.error_share, 1) : "–", trend(route),
        [el("a", { href: format({ r: route.worst }) }, "slowest"), " ", el("a", { href: format({ page: "cohort", ...of }), title: "What the slow ones do differently" }, "why slow"), " ",
          el("a", { href: format({ page: "diff", a: "aggregate", b: route.worst, ...of }) }, "against mean"), " ",
          el("a", { href: format({ r: "aggregate", ...of }) }, "merged"), " ", el("a", { href: format({ r: "aggregate", ...of, view: "flame" }) }, "flame")],
      ];
      return el("tr", {}, COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
    });
    rows[0]?.querySelector("a").setAttribute("data-first", "");
    body.replaceChildren(...rows);
  };
  fill();
  slot().replaceChildren(el("form", { class: "filter", role: "search", submit: (event) => event.preventDefault() }, el("div", { class: "box" }, field)));
  main.replaceChildren(
    el("h1", { class: "offscreen" }, "Routes"),
    el("div", { class: "toolbar" }, el("p", { class: "hint" }, answer.all_requests ? "Numbers of all requests, kept or not." : "Over the profiles in the store, which are not all requests: slow ones are kept longer."),
      el("span", { class: "order" }, choice("Sort", SORTS.some(([name]) => name === sort) ? SORTS : [...SORTS, [sort, sort]], sort, (next) => go({ ...state, page: "routes", sort: next })))),
    el("div", { class: "rows" }, el("table", { class: "routes", "aria-label": "Routes" },
      header(COLUMNS, sort, (next) => go({ ...state, page: "routes", sort: next })), body)));
  const key = `routes ${entry()}`;
  scrollTo(0, recall(key)?.scroll || 0);
  const save = () => remember(key, { scroll: Math.round(scrollY) });
  return { title: "Routes", save, stop: save, search: () => field.focus() };
}
