// What each colour means, everywhere, and the bar of them (../README.md).
import { el } from "./dom.js";
import { OWN_COST, duration, percent } from "./format.js";

/** kind -> [title, light, dark]; the first four say whose code it is, the others what the time was. */
export const KINDS = {
  project: ["your code", "#f59e0b", "#d97706"],
  library: ["libraries", "#93b7a4", "#4d7462"],
  stdlib: ["standard library", "#8fb1d9", "#41618c"],
  builtin: ["C functions", "#b9a5d6", "#6a5590"],
  cpu: ["on CPU", "#009e73", "#00a97c"],
  runq: ["waiting for a CPU", "#d55e00", "#e66a0a"],
  gil: ["waiting for the GIL", "#f0e442", "#e5d52f"],
  blocked: ["blocked", "#0072b2", "#2a8fd0"],
  await: ["awaiting", "#8ccbf0", "#79b8de"],
  loop: ["waiting for the event loop", "#cc79a7", "#d287b2"],
  gc: ["garbage collection", "#6b2d73", "#8a3f95"],
  idle: ["the client", "#cfcac4", "#57534e"],
  unseen: ["not seen", "#b8aa98", "#6b6258"],
  cost: ["recording it", "#e3bcb6", "#74504b"],
  other: ["not measured", "#a8a29e", "#78716c"],
};

export const kindsKey = (kinds) => kinds.map((kind) => el("li", {}, el("span", { class: `key k-${kind}` }), KINDS[kind][0]));

/** The kind of a function: whose code, or what the time of a pseudo function was. */
export function category(callee) {
  if (callee.kind !== "pseudo") return callee.origin === "none" ? "other" : callee.origin;
  if (callee.name.startsWith("[not seen]")) return "unseen";
  return { "[await]": "await", "[loop busy]": "loop", "[between chunks]": "idle", "[gc]": "gc", "[runqueue]": "runq", "[gil]": "gil", "[blocked]": "blocked", [OWN_COST]: "cost" }[callee.name] || "other";
}

export const isDark = () => (document.documentElement.dataset.theme
  ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

/** Gives the page these colours: a theme is as the reader chose, or as the system is. */
export function dress() {
  const [sheet] = document.styleSheets;
  for (const [kind, both] of Object.entries(KINDS)) {
    if (!dress.done) sheet.insertRule(`.k-${kind} { background: var(--${kind}); }`);
    document.documentElement.style.setProperty(`--${kind}`, both[isDark() ? 2 : 1]);
  }
  dress.done = true;
}

/** A hue from a text: the same for the same module, in every profile. */
export function hue(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return (hash >>> 0) % 360;
}

/** Black or white, whichever is read better on `color` ("#rrggbb"). Pure. */
export function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((i) => (parseInt(color.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.185 ? "#0c0a09" : "#ffffff";
}

/** {color(node), ink(node)} for a model; `by`: "category", "module" or "self". */
export function paint(model, by) {
  const dark = isDark();
  const ink = dark ? "#f5f5f4" : "#1c1917";
  const shade = (angle, strong = 0.5) => `hsl(${angle} ${dark ? 45 : 70}% ${dark ? 22 + 14 * strong : 88 - 24 * strong}%)`;
  if (by === "self") {
    const most = model.self.reduce((a, b) => Math.max(a, b), 1);
    return { color: (node) => shade(24, Math.sqrt(model.self[node] / most) * 1.4), ink: () => ink };
  }
  if (by === "module") {
    const of = model.functions.map((callee) => shade(hue(callee.file || callee.name)));
    return { color: (node) => of[model.function[node]], ink: () => ink };
  }
  const of = model.functions.map((callee) => KINDS[category(callee)][dark ? 2 : 1]);
  const inks = of.map(inkOn);
  return { color: (node) => of[model.function[node]], ink: (node) => inks[model.function[node]] };
}

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
