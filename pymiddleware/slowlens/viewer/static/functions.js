// functions.js - the table of functions, and what surrounds the chosen one:
// callers above, callees below.
import { el } from "./dom.js";
import { count, duration, label, percent, shortPath, tame } from "./format.js";
import { cell, header } from "./table.js";

const COLUMNS = [
  { title: "Function", class: "path" }, { title: "Calls", number: true, sort: "calls" },
  { title: "Self", number: true, sort: "self_ns" }, { title: "Self share", number: true },
  { title: "Total", number: true, sort: "total_ns" }, { title: "Per call", number: true, sort: "per_call" },
];
const SHOWN = 300;

/** Where a function is defined, in words. */
export const where = (callee) => (callee.file ? `${tame(shortPath(callee.file, 3))}:${callee.line}` : callee.kind === "c" ? "C function" : "not code");

/** Rows with their calls (resumes included), sorted by "name" or "-name". Pure. */
export function sorted(rows, sort) {
  const name = sort.replace(/^-/, "");
  const all = rows.map((row) => {
    const calls = row.calls + row.resumes;
    return { ...row, calls, per_call: calls ? row.total_ns / calls : 0 };
  });
  return all.sort((a, b) => (sort.startsWith("-") ? b[name] - a[name] : a[name] - b[name]));
}

function sandwichTable(title, pairs, functions, side, wall, open) {
  const rows = [...pairs].sort((a, b) => b.total_ns - a.total_ns);
  return el("section", { class: "sandwich" }, el("h3", {}, title), rows.length ? el("table", { "aria-label": title },
    el("tbody", {}, rows.map((pair) => {
      const one = functions.get(pair[side]);
      return el("tr", {},
        el("td", { class: "number" }, percent(pair.total_ns, wall)), el("td", { class: "number" }, duration(pair.total_ns)),
        el("td", { class: "number" }, `${count(pair.calls)}×`),
        el("td", { class: "path" }, el("button", { type: "button", class: "link", click: () => open(one.id) }, label(one)), " ", el("span", { class: "hot" }, where(one))));
    }))) : el("p", {}, "None."));
}

/** The chosen function with its callers and callees. `actions`: nodes to show beside its name. */
async function sandwich(profile, id, open, actions) {
  const report = await profile.calls({ function: id });
  const functions = new Map(report.functions.map((one) => [one.id, one]));
  const chosen = functions.get(id);
  return el("div", { class: "chosen" },
    sandwichTable("Called by", report.pairs.filter((pair) => pair.callee === id), functions, "caller", report.wall_ns, open),
    el("p", { class: "answer" }, el("strong", {}, label(chosen)), ` ${where(chosen)} · self ${duration(chosen.self_ns)} (${percent(chosen.self_ns, report.wall_ns)}) · `,
      `total ${duration(chosen.total_ns)} · ${count(chosen.calls)} calls `, actions(chosen)),
    sandwichTable("Calls", report.pairs.filter((pair) => pair.caller === id), functions, "callee", report.wall_ns, open));
}

/** The view. `test` (null: all) says which functions a search found. */
export async function functionsView({ profile, state, go, test }) {
  const report = await profile.functions({ limit: 100000 });
  const sort = state.fsort || "-self_ns";
  const chosen = state.fn === undefined ? null : Number(state.fn);
  const found = sorted(report.rows, sort).filter((row) => !test || test(row.function));
  const open = (id) => go({ ...state, fn: id });
  const rows = found.slice(0, SHOWN).map((row) => {
    const values = [
      [el("button", { type: "button", class: "link", click: () => open(row.function.id), "aria-pressed": String(row.function.id === chosen) }, label(row.function)),
        el("span", { class: "hot" }, where(row.function))],
      count(row.calls), duration(row.self_ns), percent(row.self_ns, report.wall_ns), duration(row.total_ns), row.calls ? duration(row.per_call) : "",
    ];
    return el("tr", { class: row.function.id === chosen ? "chosen" : null }, COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
  });
  const actions = (one) => [
    el("button", { type: "button", click: () => go({ ...state, view: "source", fn: one.id }) }, "Source"),
    el("button", { type: "button", click: () => go({ ...state, fn: undefined }) }, "Close"),
  ];
  return el("div", {},
    chosen === null ? null : await sandwich(profile, chosen, open, actions),
    el("table", { "aria-label": "Functions" }, header(COLUMNS, sort, (next) => go({ ...state, fsort: next })), el("tbody", {}, rows)),
    found.length > SHOWN ? el("p", {}, `${count(found.length - SHOWN)} more functions: search for them.`) : null);
}
