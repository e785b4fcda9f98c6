// Two profiles beside each other.
import * as api from "./api.js";
import { FlameCanvas } from "./canvas.js";
import { category, isDark } from "./colors.js";
import { button, el, header, menu, tableRow } from "./dom.js";
import { FlameModel, around, folds, leftHeavy } from "./flamemodel.js";
import { count, duration, label, middle, modeOf, ms, percent, several, tame, when } from "./format.js";
import { where } from "./tables.js";
import { back, copy, go, slot } from "./shell.js";
import { format, only } from "./state.js";
import { how } from "./summary.js";
import { Tree } from "./tree.js";
import { whole } from "./treemodel.js";
import { ViewPage } from "./viewpage.js";

export const fixed = true;

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

/** What the difference is, and which functions make it. Pure. `modes`: those of both sides. */
export function verdict(report, modes = ["", ""]) {
  const change = report.after_ns - report.before_ns;
  const larger = Math.max(report.before_ns, report.after_ns) || 1;
  if (Math.abs(change) < larger / 100) return "Both took about the same time.";
  const size = report.before_ns ? ` (${change > 0 ? "+" : "−"}${percent(Math.abs(change), report.before_ns)})` : "";
  const answer = asTree(report);
  const rows = new Map(answer.rows.map((row) => [row.node, row]));
  const path = answer.hot.map((node) => rows.get(node));
  const origin = (row) => report.functions[row.function].origin;
  const at = path.findLastIndex((row) => origin(row) === "project");
  const guilty = at >= 0 && at < path.length - 1 ? path[at + 1] : path.at(-1);
  const one = report.functions[guilty.function];
  let why = "";
  if (guilty.node !== 0 && one.kind !== "pseudo") {
    const own = at >= 0 && at < path.length - 1 ? `, called by ${label(report.functions[path[at].function])}` : "";
    const { before, after } = guilty;
    const calls = modes.includes("sampling") || count(before.calls) === count(after.calls) ? ""
      : `: ${before.calls ? several(before.calls, "call") : "no calls"} before, ${after.calls ? count(after.calls) : "none"} after`;
    why = ` ${signed(guilty.change)} of it in ${label(one)}${own}${calls}.`;
  }
  return `${signed(change)}${size}.${why}`;
}

/** Why numbers of both sides may not be put beside each other; "": they may. Pure. */
export function caution(before, after) {
  if (before.mode !== after.mode) {
    return `Not of one kind: ${modeOf(before.mode) || "?"} before, ${modeOf(after.mode) || "?"} after. Times that were measured carry the cost of measuring, and samples count no calls.`;
  }
  if ((before.route || before.path) !== (after.route || after.path)) return "Two routes: what stands at other places in the tree counts as gone and new.";
  return "";
}

const tone = (change, whole) => (Math.abs(change) < whole / 1000 ? "same" : change > 0 ? "more" : "less");

function treeView(page) {
  const { report } = page;
  const answer = asTree(report);
  const change = (row) => row.after.total_ns - row.before.total_ns;
  const time = (ns) => (ns ? ms(ns / 1e6) : "–");
  const tree = new Tree({
    label: "Difference as a tree", load: async () => answer, onSelect: (node) => page.keep({ node }),
    columns: [
      { title: "Before ms", value: (row) => time(row.before.total_ns) },
      { title: "After ms", value: (row) => time(row.after.total_ns) },
      { title: "Change", value: (row) => signed(change(row)), tone: (row) => tone(change(row), answer.wall_ns) },
      { title: "Relative", value: (row) => (row.before.total_ns ? `${change(row) >= 0 ? "+" : "−"}${percent(Math.abs(change(row)), row.before.total_ns)}` : "new") },
      // Samples and calls cannot stand beside each other.
      ...page.sides[0].meta.mode !== page.sides[1].meta.mode ? [] : [{ title: page.sides[0].meta.mode === "sampling" ? "Samples" : "Calls", alone: true, value: ({ before, after }) => [...new Set([count(before.calls), count(after.calls)])].join(" → ") }],
    ],
  });
  tree.root.classList.add("wide", "diff");
  return {
    root: tree.root, step: (by) => tree.move(tree.current + by), save: () => tree.saved(),
    async ready(saved) {
      await tree.load();
      if (saved) await tree.restore(saved);
      const node = Number(page.state.node);
      if (tree.model.rows.has(node)) tree.select(node, false);
      if (saved) tree.root.scrollTop = saved.scroll;
    },
    select: (model, index) => tree.reach(model.path(index).map((one) => model.nodes[one])),
    mark: (model, indices) => tree.mark(indices && new Set(indices.map((one) => model.nodes[one]))),
  };
}

function flameView(page) {
  const { report, columns: model } = page;
  const change = (node) => report.rows[node].after.total_ns - report.rows[node].before.total_ns;
  const words = (node) => [duration(report.rows[node].before.total_ns), duration(report.rows[node].after.total_ns), signed(change(node))];
  const fold = folds(model);
  const canvas = new FlameCanvas(leftHeavy(model, { fold }), {
    label: "Difference as a flame graph: red takes more than before, blue less",
    name: (node) => `${change(node) > 0 ? "▲ " : change(node) < 0 ? "▼ " : ""}${fold && fold.next[node] >= 0 ? `${fold.count[node]} frames` : label(model.callee(node))}`,
    describe: (node) => `${label(model.callee(node))} · before ${words(node)[0]} · after ${words(node)[1]} · ${words(node)[2]}`,
    card: (node) => [el("strong", {}, label(model.callee(node))), el("span", { class: "where" }, where(model.callee(node))),
      el("dl", {}, ["before", "after", "change"].map((title, i) => [el("dt", {}, title), el("dd", {}, words(node)[i])]))],
    color: (node) => {
      const part = Math.min(1, Math.abs(change(node)) / (model.total[node] || 1));
      const dark = isDark();
      if (part < 0.02) return dark ? "#44403c" : "#e7e5e4";
      return `hsl(${change(node) > 0 ? 4 : 215} 75% ${dark ? 24 + 16 * part : 92 - 28 * part}%)`;
    },
    ink: () => (isDark() ? "#f5f5f4" : "#1c1917"),
    neighbours: (node) => around(model, node), onSelect: (node) => page.keep({ node: report.rows[node].node }),
  });
  return {
    root: canvas.root, tools: [el("span", { class: "hint" }, "▲ red: more than before · ▼ blue: less")], stop: () => canvas.stop(), save: () => canvas.saved(),
    ready(saved) {
      const index = page.state.node === undefined ? -1 : report.rows.findIndex((row) => row.node === Number(page.state.node));
      if (index >= 0) canvas.select(index);
      if (saved) canvas.restore(saved);
    },
    select: (_, index) => canvas.select(index) || (fold && fold.head[index] >= 0 && canvas.select(index, fold.head[index])), mark: (_, indices) => canvas.mark(indices && new Set(indices)),
  };
}

/** A table of what both sides have, those that changed most first. */
const table = (what) => (page) => {
  const { report } = page;
  const whole = Math.max(report.before_ns, report.after_ns);
  const [number, time] = [what.number, what.time];
  const all = what.rows(report).filter(({ before, after }) => before[number] || after[number] || before[time] || after[time]);
  if (!all.length) return { root: el("p", { class: "empty" }, `${what.title}: none on either side.`) };
  const columns = [{ title: what.head[0], class: "path" }, ...[`${what.head[1]} before`, "after", `${what.head[2]} before`, "after", "Change"].map((title) => ({ title, number: true }))];
  const body = el("tbody");
  let found = all;
  const draw = () => {
    found = all.filter((one) => !page.test || page.test(what.tested(one)));
    body.replaceChildren(...found.slice(0, 300).map((one) => {
      const { before, after } = one;
      const change = after[time] - before[time];
      const values = [what.first(one), count(before[number]), count(after[number]), duration(before[time]), duration(after[time]), el("span", { class: tone(change, whole) }, signed(change))];
      return tableRow(columns, values, { tabindex: -1, "data-row": true });
    }));
  };
  draw();
  return {
    root: el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": what.title },
      el("table", { class: "functions", "aria-label": `${what.title} before and after` }, header(columns), body)),
    find() {
      draw();
      return { count: found.length, show: (i) => body.children[i]?.scrollIntoView({ block: "center" }) };
    },
  };
};

const FUNCTIONS = {
  title: "Functions", head: ["Function", "Calls", "Self"], number: "calls", time: "self_ns", rows: (report) => report.functions, tested: (one) => one,
  first: (one) => [el("span", { class: `mark k-${category(one)}`, "aria-hidden": "true" }), middle(label(one), 90), " ", el("span", { class: "where" }, where(one))],
};
const QUERIES = {
  title: "Queries", head: ["Asked of others", "Count", "Time"], number: "count", time: "total_ns", rows: (report) => report.spans || [], tested: (one) => ({ name: one.text, file: "" }),
  first: (one) => [el("span", { class: "where" }, one.kind, " "), el("span", { title: tame(one.text, 2000) }, middle(tame(one.text), 110))],
};
const VIEWS = { tree: ["Call tree", treeView], flame: ["Flame graph", flameView], functions: ["Functions", table(FUNCTIONS)], queries: ["Queries", table(QUERIES)] };

/** Both sides in a table, and the greatest changes. */
function beside(sides, report) {
  const row = (title, value) => {
    const both = sides.map(value);
    return both.some(Boolean) ? el("tr", { class: both[0] === both[1] ? null : "differs" }, el("th", { scope: "row" }, title), both.map((one) => el("td", {}, one || "–"))) : null;
  };
  const changed = report.functions.filter((one) => one.kind !== "pseudo" && one.before.self_ns !== one.after.self_ns).slice(0, 8);
  const whole = Math.max(report.before_ns, report.after_ns);
  return el("aside", { id: "side", "aria-label": "What is compared", tabindex: 0 },
    el("section", {}, el("h2", {}, "Compared"), el("table", { class: "sides" },
      el("thead", {}, el("tr", {}, el("td", {}), ["Before", "After"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, row("Request", (one) => middle(one.name, 34)), row("Began", (one) => one.when), row("Wall", (one) => duration(one.wall)), row("Profile", (one) => one.how), row("Status", (one) => String(one.meta.status || "")), row("Release", (one) => tame(one.meta.release || "")), row("Host", (one) => tame(one.meta.host || ""))))),
    el("section", {}, el("h2", {}, "Changed most, by self time"), el("table", { "aria-label": "Changed most" }, el("tbody", {}, changed.map((one) => {
      const change = one.after.self_ns - one.before.self_ns;
      return el("tr", {}, el("td", { class: `number ${tone(change, whole)}` }, signed(change)), el("td", { class: "path", title: where(one) }, middle(label(one), 40)));
    })))));
}

class Difference extends ViewPage {
  constructor(state, report, sides) {
    super(VIEWS, state, `${state.a} ${state.b}`);
    this.report = report;
    this.sides = sides;
    this.columns = new FlameModel(asColumns(report));
    this.shared = Math.max(report.before_ns, report.after_ns);
  }

  model = async () => this.columns;

  build(main) {
    const { state, report } = this;
    const [before, after] = this.sides;
    const link = (one) => el("a", { href: one.href, title: one.name }, middle(one.name, 36));
    const warning = caution(before.meta, after.meta);
    const told = verdict(report, [before.meta.mode, after.meta.mode]);
    slot().replaceChildren(el("div", { class: "titlebar" },
      back(),
      el("h1", {}, "Difference"),
      el("p", { class: "brief" }, link(before), ` ${duration(before.wall)} → `, link(after), ` ${duration(after.wall)}`),
      el("div", { class: "actions" }, button("Exchange", () => go({ ...this.state, a: state.b, b: state.a }), { disabled: state.a === "aggregate", title: "What is before becomes after" }),
        menu("Copy", [button("link", () => copy(location.href, "Link")), button("slowlens command", () => copy(`slowlens diff ${state.a} ${state.b}`, "Command"))]))));
    main.replaceChildren(
      el("p", { class: "answer", title: told }, told),
      el("div", { class: "splitline" }, el("p", { class: before.meta.mode !== after.meta.mode ? "caution" : "hint", title: warning }, warning || `Of one kind: ${tame(before.meta.mode || "")} both.`), this.search.form),
      el("div", { class: "viewbar" }, this.tabs, this.tools),
      el("div", { class: "work" }, this.area, beside(this.sides, report)));
  }
}

async function side(id, extra) {
  const summary = await api.profile(id, id === "aggregate" ? extra : {}).summary({ glance: 1 });
  const { meta } = summary;
  const merged = id === "aggregate";
  return {
    summary, meta, wall: summary.wall_ns / (merged ? meta.merged || 1 : 1), how: how(summary),
    name: merged ? `mean of ${tame(extra.route)}` : `${tame(meta.method || "")} ${tame(meta.path || meta.route || "")}`.trim(),
    when: merged ? "" : when(meta.started / 1e6), href: merged ? format({ r: "aggregate", ...extra }) : format({ r: id }),
  };
}

export async function show(main, state) {
  const extra = only(state, "route", "method", "mode");
  if (state.a === "aggregate" && !extra.mode) {
    // The mean of the same kind of profiles, where there are such.
    const { meta } = await api.profile(state.b).summary({ glance: 1 });
    const same = await api.requests({ route: state.route, mode: meta.mode, limit: 2 }).catch(() => ({ requests: [] }));
    if (same.requests.length > 1) extra.mode = meta.mode;
  }
  const [report, ...sides] = await Promise.all([api.profile(state.a, extra).diff({ to: state.b, permille: 1 }), side(state.a, extra), side(state.b, extra)]);
  if (state.a === "aggregate") scale(report, "before", sides[0].summary);
  const page = new Difference(state, report, sides);
  page.build(main);
  await page.showView();
  return {
    title: `Difference: ${sides[0].name} and ${sides[1].name}`,
    update(next) {
      if (next.a !== page.state.a || next.b !== page.state.b) return false;
      page.state = { ...next };
      if (page.view !== page.shown) page.showView();
      return true;
    },
    ...page.controls(),
  };
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
