// colors.js - what each colour means, everywhere. Whose code: your own is orange, all others are cool and pale. Where time
// went: the hues of Okabe and Ito ("Color Universal Design", 2008), which the colour-blind tell apart: tests/js/colors.test.js.

import { OWN_COST } from "./format.js";

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
