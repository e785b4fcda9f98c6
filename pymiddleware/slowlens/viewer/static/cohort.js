// cohort.js - what the slow requests of a route do differently from its usual ones.
import * as api from "./api.js";
import { choice, el } from "./dom.js";
import { count, duration, label, middle, shortPath, tame } from "./format.js";
import { entry, go } from "./shell.js";
import { place } from "./side.js";
import { format } from "./state.js";

const SLOW = [["p50", "the slower half"], ["p75", "the slowest quarter"], ["p90", "the slowest tenth"], ["p95", "the slowest 5 %"], ["p99", "the slowest 1 %"]];

const WHAT = { function: " itself ", node: " with what it called " };
const percents = (part) => `${Math.round(part * 100)} %`;
const th = (title, number) => el("th", { scope: "col", class: number ? "number" : null }, title);
const td = (value) => el("td", { class: "number" }, value);

/** Of one thing: how much of the difference it is, and in how many it occurs. */
function rowOf(row, found, ids) {
  const name = row.function ? label(row.function) : tame(row.name);
  return el("tr", {},
    el("td", { class: "path" }, el("a", { href: format({ r: ids[row.worst], ...(row.function ? { q: `=${row.function.name}` } : {}) }), title: "The request with most of it", "data-row": true }, middle(name, 60)), WHAT[row.what] || "",
      row.file ? place(row.file, row.line, `${tame(shortPath(row.file))}:${row.line}`) : null),
    td(percents(row.share)), td(percents(row.expected)), td(duration(row.slow_ns)), td(duration(row.usual_ns)),
    td(`${percents(row.slow_has / found.slow)} / ${percents(row.usual_has / found.usual)}`));
}

const table = (name, rows, found) => el("div", { class: "rows" }, el("table", { "aria-label": name },
  el("thead", {}, el("tr", {}, th("What"), th("Of the difference", true), th("In proportion", true), th("In slow ones", true), th("In usual ones", true), th("Occurs, slow / usual", true))),
  el("tbody", {}, rows.map((row) => rowOf(row, found, found.ids)))));

/** Which are compared, in words. Pure. */
export function sides(state) {
  const { where, against, slow = "p90" } = state;
  if (where || against) return [where || `not ${against}`, against || "all others"];
  return [SLOW.find(([one]) => one === slow)?.[1] || `those over ${slow}`, "the usual ones"];
}

export async function show(main, state) {
  entry();
  const title = `${tame(state.method || "")} ${tame(state.route || "")}`.trim();
  const values = Object.fromEntries(["route", "method", "mode", "slow", "where", "against"].filter((name) => state[name]).map((name) => [name, state[name]]));
  const field = (name, hint) => el("input", { type: "search", name, value: state[name] || "", placeholder: hint, "aria-label": name === "where" ? "One side" : "The other side" });
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
  const mean = (ns, n, what) => `${count(n)} ${what}: ${duration(ns)}`;
  main.replaceChildren(...head,
    el("p", { class: "answer" }, tame(found.answer, 600)),
    el("p", { class: "hint" }, `${mean(found.slow_ns, found.slow, tame(slow))}; ${mean(found.usual_ns, found.usual, tame(usual))}; means over ${count(found.count)} stored profiles, newest first, of one mode (${tame(found.mode)}).`),
    ...[["Accounts for the difference", found.named], ["Largest, but as large as it is to be expected", found.largest]].filter(([, rows]) => rows.length)
      .flatMap(([name, rows]) => [el("h2", {}, name), table(name, rows, found)]),
    ...(found.tags.length ? [el("h2", {}, "More often among them"), el("ul", {}, found.tags.map((one) => el("li", {}, tame(one.text, 300))))] : []));
  main.querySelector("[data-row]")?.setAttribute("data-first", "");
  return { title: `${title} slow` };
}
