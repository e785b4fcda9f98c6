// summary.js - the band over a profile: where the wall time went, phases, facts, the culprit.
import { el } from "./dom.js";
import { bytes, count, duration, label, percent, shortPath, tame } from "./format.js";
import { where } from "./functions.js";

const KINDS = [
  ["project", "your code"], ["library", "libraries"], ["stdlib", "standard library"],
  ["builtin", "C functions"], ["await", "awaiting"],
  ["loop", "waiting for the event loop"], ["idle", "between chunks"], ["gc", "garbage collection"], ["other", "other"],
];

/** A step on the event loop that is worth a word. */
const HOLDS_NS = 5e7;

/** A bar of parts [{kind, title, ns}] with a legend; parts without time are left out. */
function bar(name, parts, whole) {
  const shown = parts.filter((part) => part.ns > 0);
  const image = el("div", { class: "bar", role: "img", "aria-label": `${name}: ${shown.map((part) => `${part.title} ${percent(part.ns, whole)}`).join(", ")}` },
    shown.map((part) => {
      const piece = el("span", { class: `k-${part.kind}`, title: `${part.title} ${duration(part.ns)}` });
      piece.style.width = `${(part.ns / (whole || 1)) * 100}%`;
      return piece;
    }));
  return el("div", { class: "band" }, el("span", { class: "of" }, name), image, el("ul", { class: "legend" }, shown.map((part) => el("li", {},
    el("span", { class: `key k-${part.kind}` }), `${part.title} ${duration(part.ns)} (${percent(part.ns, whole)})`))));
}

/** Wall time in parts that add up, from what was measured; what was not is named so. Pure. */
export function timeSplit(meta, wall) {
  const gc = meta.gc_ns || 0;
  const parts = [
    { kind: "cpu", title: "on CPU", ns: Math.max(0, (meta.cpu_ns || 0) - gc) },
    { kind: "gil", title: "waiting for the GIL", ns: meta.gil_wait_ns || 0 },
    { kind: "blocked", title: "blocked", ns: meta.blocked_ns ?? 0 },
    { kind: "await", title: "awaiting", ns: meta.await_ns || 0 },
    { kind: "loop", title: "waiting for the event loop", ns: meta.loop_ns || 0 },
    { kind: "gc", title: "garbage collection", ns: gc },
  ];
  let left = wall;
  for (const part of parts) {
    part.ns = Math.min(part.ns, left); // clocks of two kinds may differ by a little
    left -= part.ns;
  }
  return [...parts, { kind: "other", title: "not measured", ns: left }];
}

/** Until the headers, the body, and what came after. Pure. */
export function phases(meta, wall) {
  if (!meta.headers_ns) return [];
  const headers = Math.min(meta.headers_ns, wall);
  const body = Math.min(Math.max(meta.body_ns || headers, headers), wall);
  return [
    { kind: "stdlib", title: "until the headers", ns: headers }, { kind: "library", title: "body", ns: body - headers },
    { kind: "other", title: "background", ns: meta.body_ns ? wall - body : 0 },
  ];
}

function facts(summary) {
  const { meta } = summary;
  const fact = (title, value) => (value ? el("div", {}, el("dt", {}, title), el("dd", {}, value)) : null);
  return el("dl", { class: "facts" },
    meta.merged ? fact("Profiles", count(meta.merged)) : null,
    meta.mode === "sampling" ? [fact("Samples", count(meta.samples || 0)), fact("Torn samples", meta.rejected ? count(meta.rejected) : ""),
      fact("Sampled every", meta.interval_ns ? duration(meta.interval_ns) : "")]
      : [fact("Python calls", count(summary.calls)), fact("C calls", count(summary.c_calls))],
    fact("Own cost", meta.own_ns ? `about ${duration(meta.own_ns)}` : ""),
    meta.blocked_ns === undefined ? fact("Off CPU", meta.waiting_ns ? duration(meta.waiting_ns) : "") : null,
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
  const beside = ["[task]", "[thread]"].includes(path[at + 1].function.name) && path[at + 2];
  if (beside) {
    return `${percent(beside.total_ns, summary.wall_ns)} of this request went to ${label(beside.function)}, ` +
      `a task or thread that ${label(own)} awaited.`;
  }
  const called = path[at + 1];
  const line = called.call_line ? `:${called.call_line}` : "";
  return `${percent(called.total_ns, summary.wall_ns)} of this request went to ${label(called.function)}, ` +
    `called by ${label(own)} at ${tame(shortPath(own.file))}${line}.`;
}

/** "4.2 times the median of its route (24.1 ms over 31 profiles)", or "". Pure. */
export function comparison(wall, route) {
  if (!route || route.count < 3 || !route.p50_ms) return "";
  const times = wall / 1e6 / route.p50_ms;
  return `${times >= 10 ? times.toFixed(0) : times.toFixed(1)} times the median of its route (${duration(route.p50_ms * 1e6)} over ${count(route.count)} stored profiles).`;
}

/** What a reader must know beside the numbers: [{text, id}], `id` a profile to go to or "". Pure. */
export function notices(meta) {
  const found = [];
  if (meta.held_ns) {
    found.push({ text: `For ${duration(meta.held_ns)} this request could have gone on, but the event loop was busy with ${tame(meta.held_by || "")}.`, id: meta.held_id || "" });
  }
  if (meta.step_ns >= HOLDS_NS) {
    found.push({ text: `It kept the event loop for ${duration(meta.step_ns)} without a break: every other request of its worker waited for that.`, id: "" });
  }
  if (meta.sampled_from_ns) {
    found.push({ text: `Too many different calls to record them all: from ${duration(meta.sampled_from_ns)} on by sampling, where calls are not counted.`, id: "" });
  }
  return found;
}

function heaviest(summary, open) {
  return el("section", {}, el("h3", {}, "Heaviest functions by self time"), el("table", { class: "fit", "aria-label": "Heaviest functions" },
    el("tbody", {}, summary.heaviest.map((one) => el("tr", {},
      el("td", { class: "number" }, percent(one.self_ns, summary.wall_ns)),
      el("td", { class: "number" }, duration(one.self_ns)),
      el("td", { class: "number" }, `${count(one.calls)} ${one.function.kind === "pseudo" ? "times" : summary.meta.mode === "sampling" ? "samples" : "calls"}`),
      el("td", { class: "path" }, el("button", { type: "button", class: "link", click: () => open(one.function.id) }, label(one.function)), " ",
        el("span", { class: "hot" }, where(one.function))))))));
}

/** All of it, as nodes. `route`: its statistics, or undefined; `open(function id)`. */
export function summaryBand(summary, route, open) {
  const { meta, wall_ns: wall } = summary;
  const text = answer(summary);
  const beside = meta.merged ? "" : comparison(wall, route);
  const kinds = KINDS.map(([kind, title]) => ({ kind, title, ns: summary.self_ns[kind] || 0 }));
  const parts = phases(meta, wall);
  return [
    text ? el("p", { class: "answer" }, text) : null,
    beside ? el("p", { class: "beside" }, beside) : null,
    ...notices(meta).map((one) => el("p", { class: "notice" }, one.text, one.id ? [" ", el("a", { href: `#r=${encodeURIComponent(one.id)}` }, "Show that request")] : null)),
    meta.cpu_ns === undefined || meta.merged ? null : bar("Wall time", timeSplit(meta, wall), wall),
    bar("Self time", kinds, wall),
    parts.length ? bar("Phases", parts, wall) : null,
    facts(summary), heaviest(summary, open),
  ].filter(Boolean);
}
