import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { KINDS, inkOn, dress } from "../../pymiddleware/slowlens/viewer/static/colors.js";

// What the colour-blind see: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
// Vision Deficiency", 2009, at full severity.
const SEEN = {
  everybody: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
};
const linear = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16) / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
const lab = ([r, g, b]) => {
  const f = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const [x, y, z] = [(0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047, 0.2126 * r + 0.7152 * g + 0.0722 * b, (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883].map((v) => f(Math.max(0, v)));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
};
const apart = (a, b, matrix) => {
  const [p, q] = [a, b].map((color) => lab(matrix.map((row) => row.reduce((sum, k, i) => sum + k * linear(color)[i], 0))));
  return Math.hypot(...p.map((v, i) => v - q[i]));
};

test("kinds of time are told apart, also by the colour-blind", () => {
  const kinds = ["cpu", "runq", "gil", "blocked", "await", "loop", "gc", "idle"];
  for (const [who, matrix] of Object.entries(SEEN)) {
    for (const theme of [1, 2]) {
      for (const a of kinds) for (const b of kinds.slice(0, kinds.indexOf(a))) {
        const far = apart(KINDS[a][theme], KINDS[b][theme], matrix);
        assert.ok(far > 11, `${who}, ${theme === 1 ? "light" : "dark"}: ${a} and ${b} are ${far.toFixed(1)} apart`);
      }
    }
  }
});

test("a colour means one thing: no two kinds share one", () => {
  for (const theme of [1, 2]) assert.equal(new Set(Object.values(KINDS).map((one) => one[theme])).size, Object.keys(KINDS).length);
});

test("the style sheet has no colours of its own for kinds, and gets a rule for each, once", () => {
  const css = readFileSync(new URL("../../pymiddleware/slowlens/viewer/static/style.css", import.meta.url), "utf8");
  for (const kind of Object.keys(KINDS)) {
    assert.ok(!new RegExp(`--${kind}:`).test(css), kind);
  }
  const rules = [];
  const named = new Set();
  globalThis.document = { styleSheets: [{ insertRule: (rule) => rules.push(rule) }],
    documentElement: { dataset: { theme: "light" }, style: { setProperty: (name) => named.add(name) } } };
  dress();
  dress();
  delete globalThis.document;
  assert.deepEqual(rules.sort(), Object.keys(KINDS).map((kind) => `.k-${kind} { background: var(--${kind}); }`).sort());
  assert.equal(named.size, Object.keys(KINDS).length);
});

test("writing on a box can be read", () => {
  for (const [kind, ...both] of Object.values(KINDS)) for (const color of both) {
    const light = (one) => linear(one).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const [a, b] = [light(color), light(inkOn(color))].sort((x, y) => y - x);
    assert.ok((a + 0.05) / (b + 0.05) >= 4.5, `${kind} ${color}`);
  }
});
