// colors.js - colours of boxes: by category, module or self time. Pure but for reading the style sheet.

/** The category of a function, as the summary's bar names it. */
export function category(callee) {
  if (callee.kind !== "pseudo") return callee.origin;
  return { "[await]": "await", "[loop busy]": "loop", "[between chunks]": "idle", "[gc]": "gc" }[callee.name] || "other";
}

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** A hue from a text: the same for the same module, in every profile. */
export function hue(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return (hash >>> 0) % 360;
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
  const hues = { project: 24, library: 90, stdlib: 205, builtin: 265, await: 40, idle: 40, loop: 172, gc: 330, other: 40 };
  const of = model.functions.map((callee) => {
    if (by === "module") return shade(hue(callee.file || callee.name));
    const kind = category(callee);
    return ["await", "idle", "other"].includes(kind) ? (dark ? "#44403c" : "#e7e5e4") : shade(hues[kind]);
  });
  return { color: (node) => of[model.function[node]], ink: () => ink };
}
