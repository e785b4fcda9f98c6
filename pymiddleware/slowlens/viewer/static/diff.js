// diff.js - two profiles beside each other: what takes more, what takes less.
import * as api from "./api.js";
import { FlameCanvas } from "./canvas.js";
import { isDark } from "./colors.js";
import { el } from "./dom.js";
import { FlameModel, leftHeavy } from "./flamemodel.js";
import { count, duration, label, ms, percent, tame } from "./format.js";
import { where } from "./functions.js";
import { searchBox } from "./searchbox.js";
import { cell, header } from "./table.js";
import { Tree } from "./tree.js";
import { whole } from "./treemodel.js";

/** "+12.3 ms", "−4.00 ms", "±0". Pure. */
export function signed(ns) {
  if (ns === 0) return "±0";
  return `${ns > 0 ? "+" : "−"}${duration(Math.abs(ns))}`;
}

/** The report (sl_report_diff) as an answer for a tree: total_ns is the larger of both. Pure. */
export function asTree(report) {
  const rows = report.rows.map((row) => ({
    ...row, resumes: 0, call_line: 0,
    calls: row.after.calls, self_ns: Math.max(row.before.self_ns, row.after.self_ns),
    total_ns: Math.max(row.before.total_ns, row.after.total_ns),
    change: row.after.total_ns - row.before.total_ns,
  }));
  // The path of the greatest change stands open.
  const weight = (row) => Math.abs(row.change);
  return {
    wall_ns: Math.max(report.before_ns, report.after_ns), functions: report.functions, truncated: false,
    ...whole(rows, weight, (row, _, root) => weight(row) > weight(root) / 4),
  };
}

/** The same in columns, as FlameModel wants them. Pure. */
export function asColumns(report) {
  const index = new Map(report.rows.map((row, i) => [row.node, i]));
  const larger = (row, name) => Math.max(row.before[name], row.after[name]);
  return {
    wall_ns: Math.max(report.before_ns, report.after_ns), functions: report.functions, truncated: false,
    nodes: report.rows.map((row) => row.node), parents: report.rows.map((row) => index.get(row.parent)),
    function: report.rows.map((row) => row.function), call_lines: report.rows.map(() => 0),
    calls: report.rows.map((row) => row.after.calls), self_ns: report.rows.map((row) => larger(row, "self_ns")),
    total_ns: report.rows.map((row) => larger(row, "total_ns")), strands: report.rows.map((row) => (row.strand ? 1 : 0)),
  };
}

const tone = (change, whole) => (Math.abs(change) < whole / 1000 ? "same" : change > 0 ? "more" : "less");

function treeView(report) {
  const answer = asTree(report);
  const change = (row) => row.after.total_ns - row.before.total_ns;
  const tree = new Tree({
    label: "Difference as a tree", load: async () => answer,
    columns: [
      { title: "Before ms", value: (row) => ms(row.before.total_ns / 1e6)},
      { title: "After ms", value: (row) => ms(row.after.total_ns / 1e6) },
      { title: "Change", value: (row) => signed(change(row)), tone: (row) => tone(change(row), answer.wall_ns) },
      { title: "Relative", value: (row) => (row.before.total_ns ? `${change(row) >= 0 ? "+" : "−"}${percent(Math.abs(change(row)), row.before.total_ns)}` : "new") },
      { title: "Calls", alone: true, value: (row) => (row.before.calls === row.after.calls ? count(row.after.calls) : `${count(row.before.calls)} → ${count(row.after.calls)}`) },
    ],
  });
  tree.root.classList.add("wide");
  return {
    root: tree.root, ready: () => tree.load(undefined, true),
    select: (model, index) => tree.reach(model.path(index).map((one) => model.nodes[one])),
    mark: (model, indices) => tree.mark(indices && new Set(indices.map((one) => model.nodes[one]))),
  };
}

function flameView(report, model) {
  const change = (node) => report.rows[node].after.total_ns - report.rows[node].before.total_ns;
  const dark = isDark();
  const canvas = new FlameCanvas(leftHeavy(model), {
    label: "Difference as a flame graph: red takes more than before, blue less",
    name: (node) => `${change(node) > 0 ? "▲ " : change(node) < 0 ? "▼ " : ""}${label(model.callee(node))}`,
    describe: (node) => `${label(model.callee(node))} · before ${duration(report.rows[node].before.total_ns)} · after ${duration(report.rows[node].after.total_ns)} · ${signed(change(node))}`,
    color: (node) => {
      const part = Math.min(1, Math.abs(change(node)) / (model.total[node] || 1));
      if (part < 0.02) return dark ? "#44403c" : "#e7e5e4";
      return `hsl(${change(node) > 0 ? 4 : 215} 75% ${dark ? 24 + 16 * part : 92 - 28 * part}%)`;
    },
    ink: () => (dark ? "#f5f5f4" : "#1c1917"),
    neighbours: (node) => around(model, node),
  });
  return {
    root: canvas.root, stop: () => canvas.stop(), select: (_, index) => canvas.select(index),
    mark: (_, indices) => canvas.mark(indices && new Set(indices)),
  };
}

/** What arrow keys reach from a node: {parent, child, previous, next}. */
export function around(model, node) {
  const parent = node === 0 ? undefined : model.parents[node];
  const siblings = parent === undefined ? [] : Array.from(model.children(parent));
  const at = siblings.indexOf(node);
  return { parent, child: model.children(node)[0], previous: siblings[at - 1], next: siblings[at + 1] };
}

const COLUMNS = [
  { title: "Function", class: "path" }, { title: "Calls before", number: true }, { title: "after", number: true },
  { title: "Self before", number: true }, { title: "after", number: true }, { title: "Change", number: true },
];

function functionsView(report) {
  const whole = Math.max(report.before_ns, report.after_ns);
  return el("table", { "aria-label": "Functions before and after" }, header(COLUMNS, "", () => {}),
    el("tbody", {}, report.functions.filter((one) => one.before.calls || one.after.calls || one.before.self_ns || one.after.self_ns).slice(0, 300).map((one) => {
      const change = one.after.self_ns - one.before.self_ns;
      const values = [
        [label(one), el("span", { class: "hot" }, where(one))], count(one.before.calls), count(one.after.calls),
        duration(one.before.self_ns), duration(one.after.self_ns), el("span", { class: tone(change, whole) }, signed(change)),
      ];
      return el("tr", {}, COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
    })));
}

const VIEWS = [["tree", "Call tree"], ["flame", "Flame graph"], ["functions", "Functions"]];

export async function show(main, state, go, replace) {
  const extra = state.route ? { route: state.route, ...(state.method ? { method: state.method } : {}) } : {};
  const report = await api.profile(state.a, extra).diff({ to: state.b, permille: 1 });
  if (state.a === "aggregate") scale(report, "before", await api.profile("aggregate", extra).summary());
  const view = VIEWS.some(([name]) => name === state.view) ? state.view : "tree";
  const model = new FlameModel(asColumns(report));
  const change = report.after_ns - report.before_ns;
  const title = (id) => (id === "aggregate" ? `mean of ${tame(state.route)}` : id);
  const built = { tree: treeView, flame: flameView, functions: (one) => ({ root: functionsView(one) }) }[view](report, model);
  const page = {
    state: { ...state }, panel: built, wall: Math.max(report.before_ns, report.after_ns), model: async () => model,
    keep: (values) => replace(Object.assign(page.state, values)),
  };
  const search = searchBox(page);
  main.replaceChildren(
    el("h2", {}, "Difference"),
    el("p", {}, "Before: ", el("a", { href: state.a === "aggregate" ? `#${new URLSearchParams({ r: "aggregate", ...extra })}` : `#r=${state.a}` }, title(state.a)), ` ${duration(report.before_ns)}. After: `,
      el("a", { href: `#r=${state.b}` }, title(state.b)), ` ${duration(report.after_ns)}. `,
      el("button", { type: "button", disabled: state.a === "aggregate", click: () => go({ ...state, a: state.b, b: state.a }) }, "Exchange")),
    el("p", { class: "answer" }, `${signed(change)} (${report.before_ns ? `${change >= 0 ? "+" : "−"}${percent(Math.abs(change), report.before_ns)}` : "new"}). ▲ and red: more than before. ▼ and blue: less.`),
    search.form,
    el("div", { role: "tablist", "aria-label": "Views" }, VIEWS.map(([name, text]) => el("button", {
      type: "button", role: "tab", "aria-selected": String(view === name), "aria-controls": "panel", click: () => go({ ...state, view: name }),
    }, text))),
    el("div", { role: "tabpanel", id: "panel", "aria-label": VIEWS.find(([name]) => name === view)[1] }, built.root));
  await built.ready?.();
  if (state.q) await search.run();
  return built.stop || null;
}

/** A merged profile holds the sums of so many: brings one side down to their mean. */
export function scale(report, side, summary) {
  const parts = summary.meta.merged || 1;
  const down = (sum) => {
    for (const name of ["calls", "self_ns", "total_ns"]) sum[name] /= parts;
  };
  for (const row of report.rows) down(row[side]);
  for (const one of report.functions) down(one[side]);
  report[`${side}_ns`] /= parts;
}
