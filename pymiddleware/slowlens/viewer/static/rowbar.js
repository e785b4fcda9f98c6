// rowbar.js - a request's wall time as parts that add up to it. Pure but for `bar`.
import { KINDS } from "./colors.js";
import { el } from "./dom.js";
import { duration, percent } from "./format.js";

/** In this order, everywhere. */
const ORDER = ["cpu", "runq", "gil", "blocked", "await", "loop", "idle", "gc"];

/** Parts of a whole [{kind, title, ns}], cut to it; what is left is "other". */
export function parts(times, whole) {
  let left = whole;
  const found = [];
  for (const kind of ORDER) {
    const ns = Math.min(left, Math.max(0, times[kind] || 0));
    left -= ns;
    if (ns > 0) found.push({ kind, title: KINDS[kind][0], ns });
  }
  if (left > whole / 1000) found.push({ kind: "other", title: KINDS.other[0], ns: left });
  return found;
}

/** Wall time in parts, from a profile's metadata. */
export function timeSplit(meta, wall) {
  const gc = meta.gc_ns || 0;
  const seen = meta.blocked_ns !== undefined;
  return parts({
    cpu: Math.max(0, (meta.cpu_ns || 0) - gc), runq: meta.run_queue_ns, gil: meta.gil_wait_ns,
    blocked: seen ? meta.blocked_ns : meta.waiting_ns, await: Math.max(0, (meta.await_ns || 0)), loop: meta.loop_ns, idle: meta.idle_ns, gc,
  }, wall);
}

/** The same of a row of the list; times in ms. What waited was not always told apart. */
export function rowSplit(row) {
  const ns = (name) => (row[`${name}_ms`] || 0) * 1e6;
  const told = ns("run_queue") + ns("gil_wait") + ns("blocked") > 0;
  const split = parts({
    cpu: Math.max(0, ns("cpu") - ns("gc")), runq: ns("run_queue"), gil: ns("gil_wait"), blocked: told ? ns("blocked") : ns("waiting"),
    await: ns("await"), loop: ns("loop"), idle: ns("idle"), gc: ns("gc"),
  }, row.wall_ms * 1e6);
  for (const part of split) if (part.kind === "blocked" && !told) part.title = "waiting, for what is not known";
  return split;
}

/** "on CPU 48 ms (31 %), blocked 5 ms (3 %)". */
export const said = (split, whole) => split.map((part) => `${part.title} ${duration(part.ns)} (${percent(part.ns, whole)})`).join(", ");

/** The bar; `width`: share of its place that it takes. */
export function bar(name, split, whole, width = 1) {
  const pieces = split.map((part) => {
    const piece = el("span", { class: `k-${part.kind}`, title: `${part.title} ${duration(part.ns)}` });
    piece.style.flexGrow = String(part.ns);
    return piece;
  });
  const box = el("div", { class: "bar", role: "img", "aria-label": `${name}: ${said(split, whole)}` }, pieces);
  box.style.width = `${Math.max(width * 100, 1)}%`;
  return box;
}
