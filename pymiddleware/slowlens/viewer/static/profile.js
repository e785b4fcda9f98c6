// profile.js - one request (or a route's merged profiles): the summary and the views.
import * as api from "./api.js";
import { FlameCanvas } from "./canvas.js";
import { paint } from "./colors.js";
import { around } from "./diff.js";
import { choice, el } from "./dom.js";
import { FlameModel, asAnswer, leftHeavy, mergeRecursion, timeOrder } from "./flamemodel.js";
import { count, duration, label, percent, tame } from "./format.js";
import { functionsView, where } from "./functions.js";
import { graphView } from "./graph.js";
import { repeatsView } from "./repeats.js";
import { matcher } from "./search.js";
import { searchBox } from "./searchbox.js";
import { sourceView } from "./source.js";
import { spreadView } from "./spread.js";
import { format } from "./state.js";
import { guilty, summaryBand } from "./summary.js";
import { Tree, columns } from "./tree.js";
import { treemapView } from "./treemap.js";

const FORMATS = [
  ["slowlens", "slowlens (everything)"], ["pstats", "pstats, snakeviz"], ["callgrind", "KCachegrind"],
  ["speedscope", "speedscope"], ["pprof", "pprof"], ["gecko", "Firefox Profiler"], ["chrome", "Chrome trace"],
  ["collapsed", "collapsed stacks"], ["dot", "Graphviz"], ["html", "HTML page"], ["json", "JSON"], ["text", "text"],
];
const COLORS = [["category", "category"], ["module", "module"], ["self", "self time"]];
const LEAST = [["0", "everything"], ["0.001", "0.1 % and more"], ["0.01", "1 % and more"], ["0.05", "5 % and more"]];

// ---- views: each takes the page and gives {root, ready, stop, select, mark} ----

function treePanel(page) {
  const { state, summary, profile } = page;
  const fold = el("input", { type: "checkbox", change: () => {
    page.keep({ fold: fold.checked ? undefined : "0" });
    tree.setFold(fold.checked);
  } });
  fold.checked = state.fold !== "0";
  const percents = el("input", { type: "checkbox", change: () => {
    page.keep({ percent: percents.checked ? "1" : undefined });
    tree.setColumns(columns(percents.checked, sampled));
  } });
  percents.checked = state.percent === "1";
  const sampled = summary.meta.mode === "sampling";
  const recursion = recursionBox(page);
  const whole = async () => {
    const model = await page.model();
    return asAnswer(model, summary.hot_path.map((step) => step.node));
  };
  const tree = new Tree({
    label: "Call tree", load: recursion.input.checked ? whole : profile.tree, columns: columns(percents.checked, sampled), least: Number(state.least || 0),
    onSelect: (node) => page.keep({ node }),
  });
  return {
    root: el("div", {}, el("label", { class: "choice" }, fold, " Fold library frames that only pass on"),
      el("label", { class: "choice" }, percents, " Percent"), recursion,
      choice("Show", LEAST, state.least || "0", (value) => {
        page.keep({ least: value === "0" ? undefined : value });
        tree.setLeast(Number(value));
      }), tree.root),
    async ready() {
      const node = state.node === undefined ? guilty(summary) : Number(state.node);
      await tree.load(node, fold.checked);
      // A node off the hot path: the model knows what leads to it.
      if (node !== undefined && !tree.model.rows.has(node)) {
        const model = await page.model();
        const index = model.indexOf(node);
        if (index >= 0) await tree.reach(model.path(index).map((one) => model.nodes[one]));
      }
    },
    select: (model, index) => tree.reach(model.path(index).map((one) => model.nodes[one])),
    mark: (model, indices) => tree.mark(indices && new Set(indices.map((one) => model.nodes[one]))),
  };
}

/** Whether calls of what is open already are shown as one with it. */
function recursionBox(page) {
  const input = el("input", { type: "checkbox", change: () => page.go({ ...page.state, recursion: input.checked ? "1" : undefined }) });
  input.checked = page.state.recursion === "1";
  return Object.assign(el("label", { class: "choice" }, input, " Merge recursion"), { input });
}

/** What one box says to people. */
function describe(model, node) {
  const callee = model.callee(node);
  return `${label(callee)} · ${where(callee)} · total ${duration(model.total[node])} (${percent(model.total[node], model.wall)}) · ` +
    `self ${duration(model.self[node])} · ${count(model.calls[node])} calls${model.strands[node] ? " · beside the request" : ""}`;
}

const boxes = (page, model) => ({
  name: (node) => label(model.callee(node)), describe: (node) => describe(model, node),
  neighbours: (node) => around(model, node), onSelect: (node) => page.keep({ node: model.nodes[node] }),
  ...paint(model, page.state.color || "category"),
});

async function canvasPanel(page, title, picture) {
  const model = await page.model();
  const canvas = new FlameCanvas(await picture(model), { label: title, ...boxes(page, model) });
  const color = choice("Colour by", COLORS, page.state.color || "category", (by) => {
    page.keep({ color: by });
    Object.assign(canvas.options, paint(model, by));
    canvas.later();
  });
  const { root, node, ...whole } = page.state;
  const subtree = page.view !== "flame" ? [] : [recursionBox(page), el("button", { type: "button", click: () => {
    if (page.state.node !== undefined) page.go({ ...page.state, root: page.state.node });
  } }, "Only the chosen box and below"), root ? el("button", { type: "button", click: () => page.go({ ...whole, node }) }, "Whole request") : null];
  return {
    root: el("div", {}, color, subtree, model.truncated ? el("p", { class: "hint" }, "Boxes too small to see are left out: choose one and show what is below it.") : null, canvas.root),
    ready() {
      const index = page.state.node === undefined ? -1 : model.indexOf(Number(page.state.node));
      if (index >= 0) canvas.select(index);
    },
    select: (_, index) => canvas.select(index),
    mark: (_, indices) => canvas.mark(indices && new Set(indices)),
    stop: () => canvas.stop(),
  };
}

const flamePanel = (page) => canvasPanel(page, "Flame graph: the same stacks together, heaviest left", leftHeavy);

async function timelinePanel(page) {
  const report = await page.profile.timeline();
  if (!report.rows.length) {
    return { root: el("p", { class: "empty" }, "This profile was not sampled, so the order of time is not known.") };
  }
  return canvasPanel(page, "Timeline: which stack was there when", (model) => timeOrder(model, report));
}

async function treemapPanel(page) {
  const model = await page.model();
  const place = el("div");
  let view = null;
  let marked = null;
  const open = (node) => {
    view?.stop();
    view = treemapView(model, node, { ...boxes(page, model), open });
    view.mark(marked);
    place.replaceChildren(node === 0 ? "" : el("button", { type: "button", click: () => open(0) }, "Whole request"), view.root);
  };
  open(0);
  return {
    root: el("div", {}, el("p", { class: "hint" }, "Areas are total time; a double click goes into a box."), place),
    select: (_, index) => view.select(index),
    mark: (_, indices) => view.mark(marked = indices && new Set(indices)),
    stop: () => view.stop(),
  };
}

async function graphPanel(page) {
  const permille = page.state.permille || "20";
  const report = await page.profile.calls({ permille });
  const most = Math.max(1, ...report.functions.map((one) => one.self_ns));
  const names = new Map(report.functions.map((one) => [one.id, label(one)]));
  const picture = graphView(report, {
    text: (one) => [label(one), `${percent(one.total_ns, report.wall_ns)} · self ${percent(one.self_ns, report.wall_ns)} · ${count(one.calls)}×`],
    heat: (one) => one.self_ns / most,
    note: (pair) => `${names.get(pair.caller)} → ${names.get(pair.callee)}: ${duration(pair.total_ns)}, ${count(pair.calls)} calls`,
    open: (id) => page.go({ ...page.state, view: "functions", fn: id }),
  });
  return {
    root: el("div", {}, choice("Functions of at least", [["5", "0.5 %"], ["20", "2 %"], ["50", "5 %"], ["100", "10 %"]], permille, (value) => page.go({ ...page.state, permille: value })),
      el("p", { class: "hint" }, "Total and self time of each function; the darker, the more self time. A click shows its callers and callees."),
      el("div", { class: "graph-box", tabindex: 0, role: "region", "aria-label": "Call graph, scrollable" }, picture.root)),
    select: (model, index) => picture.show(model.callee(index).id),
    mark: (model, indices) => picture.mark(indices && new Set(indices.map((one) => model.callee(one).id))),
  };
}

const plain = (view) => async (page) => ({ root: await view(page) });
const VIEWS = {
  tree: ["Call tree", treePanel], flame: ["Flame graph", flamePanel], timeline: ["Timeline", timelinePanel],
  functions: ["Functions", plain(functionsView)], treemap: ["Treemap", treemapPanel], graph: ["Call graph", graphPanel],
  source: ["Source", plain(sourceView)], repeats: ["Repeats", plain(repeatsView)],
};
const SPREAD = { spread: ["Mean and worst", spreadView] };

// ---- the page ----

/** The tag of a route in state and queries. */
const routeOf = (state) => Object.fromEntries(["route", "method", "mode"].filter((name) => state[name]).map((name) => [name, state[name]]));

export async function show(main, state, go, replace) {
  const id = state.r;
  const merged = id === "aggregate";
  const profile = api.profile(id, merged ? routeOf(state) : {});
  const summary = await profile.summary();
  const { meta } = summary;
  const views = merged ? { ...SPREAD, ...VIEWS } : VIEWS;
  const view = state.view in views ? state.view : Object.keys(views)[0];
  const merges = state.recursion === "1" && (view === "tree" || view === "flame");
  const below = view === "flame" && state.root ? { node: state.root } : {};
  let loading = null;
  const page = {
    profile, summary, view, state: { ...state }, go, panel: {}, test: null, wall: summary.wall_ns,
    model: () => (loading ||= profile.flame(below).then((report) => new FlameModel(merges ? mergeRecursion(report) : report))),
    keep(values) {
      Object.assign(page.state, values);
      replace(page.state);
    },
  };
  const { routes } = meta.route && !merged ? await api.routes({ route: meta.route }).catch(() => ({ routes: [] })) : { routes: [] };
  const route = routes.find((one) => one.method === meta.method);
  const place = el("div", { role: "tabpanel", id: "panel", "aria-label": views[view][0] });
  const tab = (name) => el("button", {
    type: "button", role: "tab", "aria-selected": String(view === name), "aria-controls": "panel",
    click: () => go({ r: id, ...(merged ? routeOf(state) : {}), view: name, q: page.state.q, node: page.state.node, fn: page.state.fn }),
  }, views[name][0]);
  const link = (values, text) => el("a", { href: format(values) }, text);
  const removal = el("button", { type: "button", click: async () => {
    await api.remove(id);
    go({ page: "requests" });
  } }, "Delete");
  const search = searchBox(page, () => view === "functions" && go({ ...page.state }));
  const title = merged ? `${tame(meta.method || "")} ${tame(meta.route)} · ${count(meta.merged)} profiles merged` : `${tame(meta.method || "")} ${tame(meta.path || "")} · ${meta.status || "–"} · ${duration(summary.wall_ns)}`;

  main.replaceChildren(
    el("h2", {}, title),
    ...summaryBand(summary, route, (fn) => go({ r: id, ...(merged ? routeOf(state) : {}), view: "functions", fn })),
    el("p", { class: "downloads" },
      el("details", { class: "menu" }, el("summary", {}, "Download"), el("div", {}, FORMATS.map(([name, text]) => el("a", { href: profile.download(name), download: true }, text)))),
      meta.route ? [
        link({ page: "requests", route: meta.route, sort: "-wall_ms" }, "Requests of this route"),
        merged ? null : link({ r: "aggregate", route: meta.route, method: meta.method }, "All of them merged"),
        merged ? null : link({ page: "diff", a: "aggregate", b: id, route: meta.route, method: meta.method }, "Compare with their mean"),
      ] : null,
      merged ? null : removal),
    search.form,
    el("div", { role: "tablist", "aria-label": "Views", keydown: tabKeys }, Object.keys(views).map(tab)),
    place);

  if (state.q) {
    try {
      page.test = matcher(state.q);
    } catch {
      page.test = null; // said when the search runs
    }
  }
  page.panel = await views[view][1](page);
  place.replaceChildren(page.panel.root);
  await page.panel.ready?.();
  if (state.q) await search.run();
  return page.panel.stop || null;
}

/** Arrow keys move between tabs (WAI-ARIA tabs pattern, manual activation). */
function tabKeys(event) {
  const tabs = Array.from(event.currentTarget.querySelectorAll("[role=tab]"));
  const at = tabs.indexOf(document.activeElement);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  tabs[(next + tabs.length) % tabs.length].focus();
}
