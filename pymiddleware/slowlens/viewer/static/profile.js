// profile.js - one request: what it was, where its time went, its call tree.
import * as api from "./api.js";
import { el } from "./dom.js";
import { bytes, count, duration, label, percent, shortPath, tame } from "./format.js";
import { format } from "./state.js";
import { cell, header } from "./table.js";
import { Tree } from "./tree.js";

const KINDS = [
  ["project", "your code"], ["library", "libraries"], ["stdlib", "standard library"],
  ["builtin", "C functions"], ["await", "awaiting"], ["idle", "between chunks"],
  ["gc", "garbage collection"], ["other", "other"],
];
const FORMATS = [
  ["slowlens", "slowlens (everything)"], ["pstats", "pstats, snakeviz"], ["callgrind", "KCachegrind"],
  ["speedscope", "speedscope"], ["pprof", "pprof"], ["gecko", "Firefox Profiler"], ["chrome", "Chrome trace"],
  ["collapsed", "collapsed stacks"], ["dot", "Graphviz"], ["html", "HTML page"], ["json", "JSON"], ["text", "text"],
];

function band(summary) {
  const parts = KINDS.map(([kind, title]) => ({ kind, title, ns: summary.self_ns[kind] || 0 })).filter((part) => part.ns > 0);
  const bar = el("div", { class: "bar", role: "img", "aria-label": `Self time: ${parts.map((part) => `${part.title} ${percent(part.ns, summary.wall_ns)}`).join(", ")}` },
    parts.map((part) => {
      const piece = el("span", { class: `k-${part.kind}`, title: `${part.title} ${duration(part.ns)}` });
      piece.style.width = `${(part.ns / (summary.wall_ns || 1)) * 100}%`;
      return piece;
    }));
  const legend = el("ul", { class: "legend" }, parts.map((part) => el("li", {},
    el("span", { class: `key k-${part.kind}` }), `${part.title} ${duration(part.ns)} (${percent(part.ns, summary.wall_ns)})`)));
  return [bar, legend];
}

function facts(summary) {
  const { meta } = summary;
  const fact = (title, value) => (value ? el("div", {}, el("dt", {}, title), el("dd", {}, value)) : null);
  const time = (name) => (meta[name] ? duration(meta[name]) : "");
  return el("dl", { class: "facts" },
    fact("Wall", duration(summary.wall_ns)), fact("CPU", time("cpu_ns")), fact("Awaiting", time("await_ns")),
    meta.blocked_ns === undefined ? fact("Waiting", time("waiting_ns")) : [fact("Blocked", time("blocked_ns")), fact("GIL wait", time("gil_wait_ns"))],
    fact("GC", time("gc_ns")),
    fact("Headers sent after", time("headers_ns")), fact("Body sent after", time("body_ns")),
    meta.mode === "sampling" ? fact("Samples", count(meta.samples || 0)) : [fact("Python calls", count(summary.calls)), fact("C calls", count(summary.c_calls))],
    fact("Own cost", meta.own_ns ? `about ${duration(meta.own_ns)}` : ""),
    fact("Mode", tame(meta.mode || "")), fact("Route", tame(meta.route || "")),
    fact("Framework", tame(meta.framework || "")), fact("Python", tame(meta.python || "")),
    fact("Process", meta.pid ? `${tame(meta.host || "")} ${meta.pid} ${tame(meta.thread || "")}` : ""),
    fact("Release", tame(meta.release || "")), fact("Response", meta.response_bytes ? bytes(meta.response_bytes) : ""),
    fact("Flags", tame(meta.flags || "")),
    Object.keys(meta).filter((key) => key.startsWith("tag.")).map((key) => fact(tame(key.slice(4)), tame(meta[key]))));
}

/** The node to begin at: what own code called last on the hot path; undefined without a hot path. */
export function guilty(summary) {
  const path = summary.hot_path;
  const at = path.findLastIndex((step) => step.function.origin === "project");
  return (path[at + 1] || path.at(-1))?.node;
}

/** The sentence that names the culprit: the last project frame of the hot path and what it called. */
export function answer(summary) {
  const path = summary.hot_path;
  const at = path.findLastIndex((step) => step.function.origin === "project");
  if (at < 0 || at === path.length - 1) {
    return summary.hot_text ? `Hot path: ${tame(summary.hot_text)}` : "";
  }
  const own = path[at].function;
  const called = path[at + 1];
  const line = called.call_line ? `:${called.call_line}` : "";
  return `${percent(called.total_ns, summary.wall_ns)} of this request went to ${label(called.function)}, ` +
    `called by ${label(own)} at ${tame(shortPath(own.file))}${line}.`;
}

function heaviest(summary) {
  return el("section", {}, el("h3", {}, "Heaviest functions by self time"), el("table", { class: "fit", "aria-label": "Heaviest functions" },
    el("tbody", {}, summary.heaviest.map((one) => el("tr", {},
      el("td", { class: "number" }, percent(one.self_ns, summary.wall_ns)),
      el("td", { class: "number" }, duration(one.self_ns)),
      el("td", { class: "number" }, `${count(one.calls)} calls`),
      el("td", { class: "path" }, label(one.function), " ",
        el("span", { class: "hot" }, one.function.file ? `${tame(shortPath(one.function.file, 3))}:${one.function.line}` : one.function.kind === "c" ? "C function" : "not code")))))));
}

const FUNCTION_COLUMNS = [
  { title: "Function", class: "path" }, { title: "Calls", number: true, sort: "calls" },
  { title: "Self", number: true, sort: "self_ns" }, { title: "Self share", number: true },
  { title: "Total", number: true, sort: "total_ns" }, { title: "Per call", number: true },
];

async function functionsView(id, state, go) {
  const report = await api.functions(id);
  const sort = state.fsort || "-self_ns";
  const name = sort.replace(/^-/, "");
  const rows = [...report.rows].sort((a, b) => (sort.startsWith("-") ? b[name] - a[name] : a[name] - b[name]));
  return el("table", { "aria-label": "Functions" },
    header(FUNCTION_COLUMNS, sort, (next) => go({ ...state, fsort: next })),
    el("tbody", {}, rows.map((row) => {
      const calls = row.calls + row.resumes;
      const values = [
        [label(row.function), el("span", { class: "hot" }, row.function.file ? `${tame(shortPath(row.function.file, 3))}:${row.function.line}` : row.function.kind === "c" ? "C function" : "not code")],
        count(calls), duration(row.self_ns), percent(row.self_ns, report.wall_ns), duration(row.total_ns),
        calls ? duration(row.total_ns / calls) : "",
      ];
      return el("tr", {}, FUNCTION_COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
    })));
}

export async function show(main, state, go, replace) {
  const id = state.r;
  const summary = await api.summary(id);
  const { meta } = summary;
  const view = state.view === "functions" ? "functions" : "tree";
  const panel = el("div", { role: "tabpanel", id: "panel", "aria-label": view === "tree" ? "Call tree" : "Functions" });
  const tab = (name, title) => el("button", {
    type: "button", role: "tab", "aria-selected": String(view === name), "aria-controls": "panel",
    click: () => go({ r: id, view: name }),
  }, title);
  const removal = el("button", { type: "button", click: async () => {
    await api.remove(id);
    go({ page: "requests" });
  } }, "Delete");
  const text = answer(summary);

  main.replaceChildren(
    el("h2", {}, `${tame(meta.method || "")} ${tame(meta.path || "")} · ${meta.status || "–"} · ${duration(summary.wall_ns)}`),
    text ? el("p", { class: "answer" }, text) : "",
    ...band(summary), facts(summary), heaviest(summary),
    el("p", { class: "downloads" }, "Download: ",
      FORMATS.map(([name, title]) => el("a", { href: api.download(id, name), download: true }, title)),
      meta.route ? el("a", { href: format({ page: "requests", route: meta.route, sort: "-wall_ms" }) }, "Other requests of this route") : null,
      removal),
    el("div", { role: "tablist", "aria-label": "Views" }, tab("tree", "Call tree"), tab("functions", "Functions")),
    panel);

  if (view === "functions") {
    panel.replaceChildren(await functionsView(id, state, go));
    return null;
  }
  let at = { ...state, view: "tree" };
  const tree = new Tree(id, (node) => {
    at = { ...at, node };
    replace(at);
  });
  const fold = el("input", { type: "checkbox", change: () => {
    at = { ...at, fold: fold.checked ? undefined : "0" };
    tree.setFold(fold.checked);
  } });
  fold.checked = state.fold !== "0";
  panel.replaceChildren(el("label", { class: "fold" }, fold, " Fold library frames that only pass on"), tree.root);
  await tree.load(state.node === undefined ? guilty(summary) : Number(state.node), fold.checked);
  return null;
}
