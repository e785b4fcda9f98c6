// The pages about routes: numbers, slow ones beside usual ones, what each release made worse.
import * as api from "./api.js";
import { choice, el, header, numbers, plainTable, svg, tableRow } from "./dom.js";
import { count, duration, label, middle, modeOf, moment, ms, percent, shortPath, tame } from "./format.js";
import { entry, go, recall, remember, replace, slot } from "./shell.js";
import { place } from "./side.js";
import { format, only, sorted } from "./state.js";

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
    .filter(([value], i, all) => value > 0 && all.some(([other], j) => other > 0 && i !== j)).map(([, x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
}

const trend = (route) => svg("svg", { class: "trend", width: 90, height: 20, role: "img", "aria-label": `median over time: ${route.trend_ms.filter((one) => one > 0).map(ms).join(", ")} ms` },
  svg("polyline", { points: points(route.trend_ms) }),
  ...points(route.trend_ms).split(" ").filter(Boolean).map((point) => svg("circle", { cx: point.split(",")[0], cy: point.split(",")[1], r: 1.5 })));

/** Whether a route was asked for only lately, in the last quarter of the time that is known. Pure. */
export const isNew = ({ trend_count: counts = [] }) => counts.findIndex((one) => one > 0) >= counts.length * 0.75;

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
        [el("a", { href: format({ page: "requests", ...of, sort: "-wall_ms" }), "data-row": true }, middle(tame(route.route || "?"), 90)), isNew(route) ? [" ", el("span", { class: "finding" }, "new")] : null],
        tame(route.method, 20), count(route.count), ms(route.p50_ms), ms(route.p95_ms), ms(route.p99_ms), ms(route.max_ms),
        shareOf(route, all), route.error_share ? percent(route.error_share, 1) : "–", trend(route),
        [el("a", { href: format({ r: route.worst }) }, "slowest"), " ", el("a", { href: format({ page: "cohort", ...of }), title: "What the slow ones do differently" }, "why slow"), " ",
          el("a", { href: format({ page: "diff", a: "aggregate", b: route.worst, ...of }) }, "against mean"), " ",
          el("a", { href: format({ r: "aggregate", ...of }) }, "merged"), " ", el("a", { href: format({ r: "aggregate", ...of, last: answer.windows ? "1d" : "", view: "flame" }) }, "flame")],
      ];
      return tableRow(COLUMNS, values);
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
  const before = recall(key);
  scrollTo(0, before?.scroll || 0);
  const href = (one) => one?.getAttribute("href");
  [...body.querySelectorAll("a")].find((one) => href(one) === before?.focus)?.focus({ preventScroll: true });
  const save = () => remember(key, { scroll: Math.round(scrollY), focus: href(document.activeElement) });
  return { title: "Routes", save, stop: save, search: () => field.focus() };
}

const SLOW = [["p50", "the slower half"], ["p75", "the slowest quarter"], ["p90", "the slowest tenth"], ["p95", "the slowest 5 %"], ["p99", "the slowest 1 %"]];

const WHAT = { function: " itself ", node: " with what it called " };
const percents = (part) => `${Math.round(part * 100)} %`;
const WHAT_DIFFERS = [{ title: "What", class: "path" }, ...["Of the difference", "In proportion", "In slow ones", "In usual ones", "Occurs, slow / usual"].map(numbers)];

function rowOf(row, found, ids) {
  const name = row.function ? label(row.function) : tame(row.name);
  return tableRow(WHAT_DIFFERS, [
    [el("a", { href: format({ r: ids[row.worst], ...(row.function ? { q: label(row.function) } : {}) }), title: "The request with most of it", "data-row": true }, middle(name, 60)), WHAT[row.what] || "",
      row.file ? place(row.file, row.line, `${tame(shortPath(row.file))}:${row.line}`) : null],
    percents(row.share), percents(row.expected), duration(row.slow_ns), duration(row.usual_ns),
    `${percents(row.slow_has / found.slow)} / ${percents(row.usual_has / found.usual)}`]);
}

const table = (name, rows, found) => el("div", { class: "rows" }, plainTable(name, WHAT_DIFFERS, rows.map((row) => rowOf(row, found, found.ids))));

/** Which are compared, in words. Pure. */
export function sides(state) {
  const { where, against, slow = "p90" } = state;
  if (where || against) return [where || `not ${against}`, against || "all others"];
  return [SLOW.find(([one]) => one === slow)?.[1] || `those over ${slow}`, "the usual ones"];
}

async function showCohort(main, state) {
  entry();
  const title = `${tame(state.method || "")} ${tame(state.route || "")}`.trim();
  const values = only(state, "route", "method", "mode", "slow", "where", "against");
  const field = (name, hint) => el("input", { type: "search", name, value: state[name] || "", placeholder: hint, size: 26, "aria-label": name === "where" ? "One side" : "The other side" });
  const fields = [field("where", "release=…, host=…, user=…"), field("against", "beside all others")];
  const form = el("form", { class: "toolbar", submit: (event) => {
    event.preventDefault();
    go({ ...state, where: fields[0].value.trim(), against: fields[1].value.trim() });
  } }, choice("Slow", SLOW, state.slow || "p90", (slow) => go({ ...state, slow, where: undefined, against: undefined })), el("span", { class: "hint" }, "or"), fields, el("button", { type: "submit" }, "Compare"));
  const [slow, usual] = sides(state);
  const head = [el("h1", {}, `What the slow ones of ${middle(title, 64)} do differently`), form];
  let found;
  try {
    found = await api.compare(values);
  } catch (error) {
    main.replaceChildren(...head, el("p", { class: "empty" }, `${error.message}.`));
    return { title };
  }
  const mean = (ns, n, what) => `${what}: ${count(n)}, ${duration(ns)} on average`;
  const more = [...found.counts, ...found.tags];
  main.replaceChildren(...head,
    el("p", { class: "answer" }, tame(found.answer, 900)),
    ...(found.slow ? [el("p", { class: "hint said" }, `${mean(found.slow_ns, found.slow, tame(slow))}; ${mean(found.usual_ns, found.usual, tame(usual))}. Of the newest ${count(found.count)} stored profiles of one mode (${modeOf(found.mode)}).`)] : []),
    ...[["Accounts for the difference", found.named], ["Largest, but as large as it is to be expected", found.largest]].filter(([, rows]) => rows.length)
      .flatMap(([name, rows]) => [el("h2", {}, name), table(name, rows, found)]),
    ...(more.length ? [el("h2", {}, "More often among them"), el("ul", {}, more.map((one) => el("li", {}, tame(one.text, 300))))] : []));
  main.querySelector("[data-row]")?.setAttribute("data-first", "");
  return { title: `${title} slow` };
}

export const cohort = { show: showCohort };

/** "+20 %", with its sign. Pure. */
export const grown = (change) => `${change < 0 ? "−" : "+"}${Math.abs(Math.round(change * 100))} %`;

/** A time in ms, or a number. Pure. */
export const amount = (what, one) => (what === "time" ? duration(one * 1e6) : String(Math.round(one * 100) / 100));

const WORSE = [{ title: "Route", class: "path" }, { title: "What" }, ...["Before", "After", "Change", "Requests"].map(numbers)];

function changeOf(row, previous, release) {
  const of = { route: row.route, method: row.method };
  return tableRow(WORSE, [
    [el("a", { href: format({ page: "cohort", ...of, where: `release=${release}`, against: `release=${previous}` }), "data-row": true, title: "What its requests do differently" }, middle(tame(`${row.method} ${row.route}`), 70)),
      el("span", { class: "where" }, row.grew.map((one) => ` ${tame(one.name, 40)} +${duration((one.after_ms - one.before_ms) * 1e6)}`).join(","))],
    tame(row.name, 40), amount(row.what, row.before), amount(row.what, row.after), el("span", { class: "more" }, grown(row.change)), row.requests.map(count).join(" / ")]);
}

function released({ release, previous, since, complete, routes }) {
  return [
    el("h2", {}, `${tame(release, 60)} after ${tame(previous, 60)}`, el("span", { class: "hint" }, ` since ${moment(since * 1000)}${complete ? "" : "; a day has not passed"}`)),
    routes.length ? el("div", { class: "rows" }, plainTable(`Worse with ${tame(release, 60)}`, WORSE, routes.map((row) => changeOf(row, previous, release)))) : el("p", { class: "hint" }, complete ? "No route became worse." : "No route became worse so far.")];
}

async function showChanges(main) {
  entry();
  const { releases } = await api.regressions();
  main.replaceChildren(el("h1", {}, "What each release made worse"),
    el("p", { class: "hint" }, "The 24 hours after each release beside the 24 hours before: all requests, relative to the other routes in the same hour. Times are named only where chance does not explain them."),
    ...(releases.length ? releases.flatMap(released) : [el("p", { class: "empty" }, "Only one release is known here. A release is found in git or in the environment, or set by the option release.")]));
  main.querySelector("[data-row]")?.setAttribute("data-first", "");
  return { title: "Changes" };
}

export const changes = { show: showChanges };
