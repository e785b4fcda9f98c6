// The views of a profile: each takes the page and gives a panel (../README.md).
import { FlameCanvas } from "./canvas.js";
import { KINDS, kindsKey, paint } from "./colors.js";
import { button, choice, el, tick } from "./dom.js";
import { FIRST } from "./api.js";
import { around, asAnswer, chainOf, folds, laneOf, leftHeavy, timeOrder } from "./flamemodel.js";
import { count, duration, label, ms, packages, percent, several, share, tame } from "./format.js";
import { graphView } from "./graph.js";
import { go } from "./shell.js";
import { sourceView } from "./source.js";
import { guilty } from "./summary.js";
import { functionsView, repeatsView, spansView, where } from "./tables.js";
import { Tree, columns } from "./tree.js";
import { treemapView } from "./treemap.js";
import { whole } from "./treemodel.js";

const COLORS = [["category", "whose code"], ["module", "module"], ["self", "self time"]];
const LEAST = [["0", "everything"], ["0.001", "0.1 % and more"], ["0.01", "1 % and more"], ["0.05", "5 % and more"]];

const unless = (value, usual) => (value === usual ? undefined : value);

function foldTick(page, change) {
  return tick("Fold", page.state.fold !== "0", (on) => {
    page.keep({ fold: on ? undefined : "0" });
    change(on);
  });
}

/** Whether recursion is merged; whether callers stand below what they called. */
const shapes = (page) => [["recursion", "Merge recursion", "Calls of what is open already are part of it"], ["invert", "Invert", "What took the time itself, and below it who called it"]]
  .map(([name, title, why]) => {
    const made = tick(title, page.state[name] === "1", (on) => page.redraw({ recursion: undefined, invert: undefined, root: undefined, [name]: on ? "1" : undefined }));
    made.title = why;
    return made;
  });

/** The chosen one as the side panel wants it, from a model. */
function fromModel(model, index) {
  const parent = index === 0 ? -1 : model.parents[index];
  return {
    node: model.nodes[index], callee: model.callee(index), total: model.total[index], self: model.self[index], calls: model.calls[index],
    parent: parent < 0 ? 0 : model.total[parent], caller: parent < 0 ? null : model.callee(parent), line: model.callLines[index],
  };
}

function treePanel(page) {
  const { state, summary, profile } = page;
  const fold = foldTick(page, (on) => tree.setFold(on));
  const whole = async () => asAnswer(await page.model(), page.inverted ? [] : summary.hot_path.map((step) => step.node));
  const merged = state.recursion === "1" || page.inverted;
  const tree = new Tree({
    label: "Call tree", load: async (values) => ({ ...await (merged ? whole() : values === FIRST && page.first ? page.first : profile.tree(values)), wall_ns: page.shared }), columns: columns(page), least: Number(state.least || 0),
    onSelect: (node) => page.chose(tree.chosen(node)),
  });
  const reach = async (node) => {
    if (tree.model.rows.has(node)) return tree.select(node, false);
    // A node off the hot path: the model knows what leads to it.
    const model = await page.model();
    const index = model.indexOf(node);
    return index < 0 ? undefined : tree.reach(model.path(index).map((one) => model.nodes[one]));
  };
  return {
    root: tree.root,
    tools: [fold, ...shapes(page), choice("Show", LEAST, state.least || "0", (value) => {
      page.keep({ least: unless(value, "0") });
      tree.setLeast(Number(value));
    })],
    async ready(saved) {
      // What needs the whole tree to be found does not keep the first rows waiting.
      const early = saved || state.fn !== undefined ? undefined : await page.chosenNode(guilty(summary));
      await tree.load(early, fold.input.checked);
      if (saved && !merged) await tree.restore(saved);
      const node = early ?? await page.chosenNode(guilty(summary));
      if (node !== undefined && !(early !== undefined && tree.model.rows.has(early))) await reach(node);
      if (saved) tree.root.scrollTop = saved.scroll;
    },
    save: () => tree.saved(),
    choose: ({ node }) => reach(node),
    select: (model, index) => tree.reach(model.path(index).map((one) => model.nodes[one])),
    mark: (model, indices) => tree.mark(indices && new Set(indices.map((one) => model.nodes[one]))),
    step: (by) => tree.move(tree.current + by),
  };
}

function describe(page, model, node) {
  const callee = model.callee(node);
  return `${label(callee)} · ${where(callee)} · total ${duration(model.total[node])} (${page.share(model.total[node])}) · ` +
    `self ${duration(model.self[node])} · ${page.counted(callee, model.calls[node])}${model.strands[node] ? " · beside the request" : ""}`;
}

/** "14 frames of django", where they are folded into one box; else "". */
const folded = (model, fold, node) => (fold && fold.next[node] >= 0 ? packages(chainOf(model, fold, node).map((one) => model.callee(one))) : "");

/** The card at the pointer: all of a box, or of a mark above the timeline. */
function card(page, model, node, fold, box = {}) {
  const one = fromModel(model, node);
  const row = (title, value) => [el("dt", {}, title), el("dd", {}, value)];
  if (box.text) return [el("strong", {}, tame(box.text, 400)), el("span", { class: "where" }, `${tame(box.kind, 40)}, asked by ${label(one.callee)}`), el("dl", {}, row("took", duration(box.w)), row("began at", duration(box.x)))];
  const frames = folded(model, fold, node);
  return [
    el("strong", {}, frames ? `${frames}, from ${label(one.callee)} on` : label(one.callee)),
    el("span", { class: "where" }, where(one.callee)),
    one.line && one.caller?.file ? el("span", { class: "where" }, `called at ${label(one.caller)}:${one.line}`) : null,
    el("dl", {}, row("total", `${duration(one.total)} · ${page.share(one.total)}`), row("self", `${duration(one.self)} · ${page.share(one.self)}`),
      one.parent ? row("of its caller", share(one.total, one.parent, page.samples)) : [],
      row(page.counted(one.callee), count(one.calls))),
  ].filter(Boolean);
}

const boxes = (page, model) => ({
  name: (node) => label(model.callee(node)), describe: (node) => describe(page, model, node), card: (node) => card(page, model, node),
  neighbours: (node) => around(model, node), onSelect: (node) => page.chose(fromModel(model, node)),
  ...paint(model, page.state.color || "category"),
});

/** Flame graph and timeline: the same canvas, folded and with lanes. */
async function canvasPanel(page, title, picture) {
  const model = await page.model();
  const all = folds(model);
  let folding = page.state.fold !== "0" ? all : null;
  const open = new Set(String(page.state.lanes || "").split(".").filter(Boolean));
  const options = {
    label: title, ...boxes(page, model),
    name: (node) => (folding && folding.next[node] >= 0 ? `⋯ ${folded(model, folding, node)}` : label(model.callee(node))),
    card: (node, box) => card(page, model, node, folding, box),
    lane: (node, wide) => {
      const [child, other] = model.children(node);
      const name = child === undefined ? "" : ` ${label(model.callee(child))}${other === undefined ? "" : "…"}`;
      // In the order of time a lane is one of them; else all together, at its own scale.
      const all = page.view !== "timeline";
      return `${all && model.calls[node] > 1 ? `${count(model.calls[node])}× ` : ""}${label(model.callee(node))}${name} ${duration(all ? model.total[node] : wide)}`;
    },
    neighbours(node) {
      const near = around(model, node);
      if (!folding) return near;
      if (folding.next[node] >= 0) near.child = folding.next[node];
      if (near.parent !== undefined && folding.head[near.parent] >= 0) near.parent = folding.head[near.parent];
      return near;
    },
    onLane(key) {
      if (open.has(key)) open.delete(key);
      else open.add(key);
      page.keep({ lanes: [...open].join(".") });
      redraw();
    },
  };
  const drawn = () => picture(model, { fold: folding, open });
  const canvas = new FlameCanvas(drawn(), options);
  const redraw = () => canvas.show(drawn());
  /** Shows a node also where it is folded away or in a lane that is closed. */
  const select = (index) => {
    if (canvas.select(index)) return;
    const lane = laneOf(model, index);
    const closed = canvas.picture.lanes.find((one) => one.node === lane && !one.open);
    if (closed) {
      open.add(closed.key);
      page.keep({ lanes: [...open].join(".") });
      redraw();
      if (canvas.select(index)) return;
    }
    if (folding && folding.head[index] >= 0) canvas.select(index, folding.head[index]);
  };
  const key = el("ul", { class: "inline" }, kindsKey(Object.keys(KINDS).slice(0, 4)));
  canvas.root.append(key);
  const recolor = () => {
    const by = page.state.color || "category";
    key.hidden = by !== "category";
    Object.assign(options, paint(model, by));
    canvas.later();
  };
  recolor();
  addEventListener("slowlens-theme", recolor);
  const subtree = page.view !== "flame" ? [] : [...shapes(page), page.inverted ? null : button("Only this box", () => {
    if (page.state.node !== undefined) page.redraw({ root: page.state.node });
  }, { title: "Only the chosen box and below" }), page.state.root ? button("All of it", () => page.redraw({ root: undefined }), { title: "The whole request" }) : null];
  return {
    root: canvas.root,
    tools: [foldTick(page, (on) => {
      folding = on ? all : null;
      redraw();
    }), ...subtree, choice("Colour", COLORS, page.state.color || "category", (by) => {
      page.keep({ color: unless(by, "category") });
      recolor();
    }), model.truncated ? el("span", { class: "hint" }, "Boxes too small to see are left out: choose one and show only it.") : null],
    async ready(saved) {
      const node = await page.chosenNode(guilty(page.summary));
      const index = node === undefined ? -1 : model.indexOf(node);
      if (index >= 0) select(index);
      if (saved) canvas.restore(saved);
      canvas.draw();
    },
    save: () => canvas.saved(),
    choose: ({ node }) => select(model.indexOf(node)),
    select: (_, index) => select(index),
    mark: (_, indices) => canvas.mark(indices && new Set(indices.map((one) => (folding && folding.head[one] >= 0 ? folding.head[one] : one)))),
    step: (by) => canvas.key(new KeyboardEvent("keydown", { key: by > 0 ? "ArrowDown" : "ArrowUp" })),
    stop() {
      removeEventListener("slowlens-theme", recolor);
      canvas.stop();
    },
  };
}

const flamePanel = (page) => canvasPanel(page, "Flame graph: the same stacks together, heaviest left", (model, options) => leftHeavy(model, options));

async function timelinePanel(page) {
  const [report, { firsts: marks, kinds }] = await Promise.all([page.profile.timeline(), page.profile.spans()]);
  if (!report.rows.length) {
    return { root: el("p", { class: "empty" }, "This profile was not sampled, so the order of time is not known.") };
  }
  return canvasPanel(page, "Timeline: which stack was there when", (model, options) => timeOrder(model, report, { ...options, marks, kinds }));
}

async function treemapPanel(page) {
  const model = await page.model();
  const place = el("div", { class: "fill" });
  const back = button("Whole request", () => open(0), { hidden: true });
  let view = null;
  let marked = null;
  const open = (node) => {
    view?.stop();
    view = treemapView(model, node, { ...boxes(page, model), open });
    view.mark(marked);
    back.hidden = node === 0;
    place.replaceChildren(view.root);
  };
  open(0);
  return {
    root: place, tools: [back, el("span", { class: "hint" }, "Areas are total time; a double click goes into a box.")],
    async ready() {
      const node = await page.chosenNode(guilty(page.summary));
      const index = node === undefined ? -1 : model.indexOf(node);
      if (index >= 0) view.select(index);
    },
    choose: ({ node }) => view.select(model.indexOf(node)),
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
    text(one) {
      const said = [page.share(one.total_ns), `self ${page.share(one.self_ns)}`, page.times(one.calls)].filter(Boolean);
      return [label(one), (said.join(" · ").length > 32 ? said.slice(0, 2) : said).join(" · ")]; // no number is cut
    },
    heat: (one) => one.self_ns / most, times: (pair) => page.times(pair.calls),
    note: (pair) => `${names.get(pair.caller)} → ${names.get(pair.callee)}: ${duration(pair.total_ns)} ${page.times(pair.calls)}`,
    open: (id) => {
      picture.show(id);
      page.choose({ fn: id });
    },
  });
  return {
    root: el("div", { class: "graph-box", tabindex: 0, role: "region", "aria-label": "Call graph, scrollable" }, picture.root),
    tools: [choice("Functions of at least", [["5", "0.5 %"], ["20", "2 %"], ["50", "5 %"], ["100", "10 %"]], permille, (value) => page.redraw({ permille: unless(value, "20") }))],
    async ready() {
      const { hot_path: path } = page.summary;
      const usual = path.find((step) => step.node === guilty(page.summary))?.function.id;
      const fn = page.chosenFunction() ?? usual;
      if (fn !== undefined) await this.choose({ fn, node: await page.nodeOf(fn) });
    },
    async choose({ fn, node }) {
      picture.show(fn);
      const model = await page.model();
      const index = node === undefined ? -1 : model.indexOf(node);
      if (index >= 0) page.chose(fromModel(model, index));
    },
    select: (model, index) => picture.show(model.callee(index).id),
    mark: (model, indices) => picture.mark(indices && new Set(indices.map((one) => model.callee(one).id))),
  };
}

/** The report (sl_report_aggregate) as an answer for a tree; `known`: the merged profile's functions. Pure. */
function spreadTree(report, known) {
  const key = ({ name, file, line }) => JSON.stringify([name, file, line]);
  const ids = new Map(known.map((one) => [key(one), one.id]));
  const rows = report.rows.map((row) => ({ ...row, resumes: 0, strand: false }));
  return {
    wall_ns: report.total_ns, functions: report.functions.map((one) => ({ ...one, fn: ids.get(key(one)) })), truncated: false,
    ...whole(rows, (row) => row.total_ns, (row, parent) => row.total_ns > parent.total_ns / 2),
  };
}

async function spreadView(page) {
  const [report, { rows: known }] = await Promise.all([page.profile.spread(), page.profile.functions({ limit: 100000 })]);
  const answer = { ...spreadTree(report, known.map((row) => row.function)), wall_ns: page.shared };
  let worst = null;
  const open = button("Open the request where this node is worst", () => go({ r: report.ids[worst.worst] }));
  const tree = new Tree({
    label: `${several(report.count, "profile")} as one tree`, load: async () => answer,
    onSelect: (node) => {
      worst = report.rows.find((row) => row.node === node);
      page.side.show(tree.chosen(node));
    },
    columns: [
      { title: "Mean ms", value: (row) => ms(row.total_ns / report.count / 1e6) },
      { title: "Share", value: (row, wall) => percent(Math.min(row.total_ns, wall), wall), share: (row, wall) => row.total_ns / (wall || 1) },
      { title: "p95 ms", value: (row) => ms(row.p95_ns / 1e6) },
      { title: "Worst ms", value: (row) => ms(row.max_ns / 1e6), alone: true },
      { title: page.sampled ? "Samples each" : "Calls each", value: (row) => (row.calls < 100 * report.count ? (row.calls / report.count).toFixed(1) : count(row.calls / report.count)), alone: true },
    ],
  });
  tree.root.classList.add("wide");
  return {
    root: tree.root, tools: [open],
    async ready() {
      await tree.load(undefined, true);
      // As on the page of one request: what own code called last on the hot path.
      const origin = (one) => answer.functions.find((each) => each.id === report.rows.find((row) => row.node === one).function)?.origin;
      const at = answer.hot.findLastIndex((one) => origin(one) === "project");
      const node = at < 0 ? answer.hot.at(-1) : answer.hot[at + 1] ?? answer.hot[at];
      if (node !== undefined) tree.select(node, false);
    }, step: (by) => tree.move(tree.current + by),
    find: (test) => {
      const found = report.rows.filter((row) => test && test(answer.functions.find((one) => one.id === row.function)));
      tree.mark(test ? new Set(found.map((row) => row.node)) : null);
      return { count: found.length, show: (i) => tree.select(found[i].node, false) };
    },
  };
}

const VIEWS = {
  tree: ["Call tree", treePanel], flame: ["Flame graph", flamePanel], timeline: ["Timeline", timelinePanel],
  functions: ["Functions", functionsView], source: ["Source", sourceView], queries: ["Queries", spansView], repeats: ["Repeats", repeatsView],
  treemap: ["Treemap", treemapPanel], graph: ["Call graph", graphPanel],
};

export const viewsOf = (merged) => (merged ? { spread: ["Mean and worst", spreadView], ...VIEWS } : VIEWS);
