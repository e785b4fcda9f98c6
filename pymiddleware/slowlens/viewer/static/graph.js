// Functions as boxes, calls as arrows, callers above callees (../README.md).
import { svg } from "./dom.js";
import { middle } from "./format.js";

const WIDTH = 232;
const HEIGHT = 42;
const GAP_X = 26;
const GAP_Y = 54;
const SWEEPS = 8;

/** Pairs without those that close a circle, so that what is left has an above and a below. */
export function acyclic(ids, pairs) {
  const out = new Map(ids.map((id) => [id, []]));
  for (const pair of pairs) if (pair.caller !== pair.callee && out.has(pair.caller) && out.has(pair.callee)) out.get(pair.caller).push(pair);
  const state = new Map(); // 1: on the way, 2: done
  const kept = [];
  for (const id of ids) {
    const stack = state.has(id) ? [] : [{ id, next: 0 }];
    if (stack.length) state.set(id, 1);
    while (stack.length) {
      const top = stack.at(-1);
      const pair = out.get(top.id)[top.next++];
      if (!pair) {
        state.set(top.id, 2);
        stack.pop();
      } else if (state.get(pair.callee) !== 1) {
        kept.push(pair);
        if (!state.has(pair.callee)) {
          state.set(pair.callee, 1);
          stack.push({ id: pair.callee, next: 0 });
        }
      }
    }
  }
  return kept;
}

/** Places for functions [{id}] and pairs [{caller, callee}]: {places: Map(id -> {x, y}), width, height}. */
export function layout(functions, pairs) {
  const ids = functions.map((one) => one.id);
  const down = acyclic(ids, pairs);
  const layer = new Map(ids.map((id) => [id, 0]));
  // Longest way: as many rounds as the graph is deep, never more than it has boxes.
  for (let round = 0, moved = true; moved && round < ids.length; round++) {
    moved = false;
    for (const { caller, callee } of down) {
      if (layer.get(callee) <= layer.get(caller)) {
        layer.set(callee, layer.get(caller) + 1);
        moved = true;
      }
    }
  }
  const layers = [];
  for (const id of ids) (layers[layer.get(id)] ||= []).push(id);
  const near = new Map(ids.map((id) => [id, []]));
  for (const { caller, callee } of down) {
    near.get(caller).push(callee);
    near.get(callee).push(caller);
  }
  const rank = new Map();
  const number = (row) => row.forEach((id, i) => rank.set(id, (i + 0.5) / row.length));
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of sweep % 2 ? [...layers].reverse() : layers) {
      const middle = new Map(row.map((id) => {
        const others = near.get(id);
        return [id, others.length ? others.reduce((sum, other) => sum + rank.get(other), 0) / others.length : rank.get(id)];
      }));
      row.sort((a, b) => middle.get(a) - middle.get(b));
      number(row);
    }
  }
  const widest = Math.max(1, ...layers.map((row) => row.length));
  const width = widest * (WIDTH + GAP_X);
  const places = new Map();
  layers.forEach((row, depth) => row.forEach((id, i) => places.set(id, {
    x: ((i + 0.5) / row.length) * width - WIDTH / 2, y: GAP_X + depth * (HEIGHT + GAP_Y),
  })));
  return { places, width, height: layers.length * (HEIGHT + GAP_Y) + GAP_X };
}

/**
 * The picture: {root (SVG), show(id), mark(ids)}. `text(one)` -> both lines of a box, `heat(one)` -> 0 to 1,
 * `open(id)` is what a click does.
 */
export function graphView(report, { text, heat, times, note, open }) {
  const { places, width, height } = layout(report.functions, report.pairs);
  const most = Math.max(1, ...report.pairs.map((pair) => pair.total_ns));
  const boxes = new Map();
  const root = svg("svg", { class: "graph", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Call graph" },
    svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      svg("path", { d: "M0 0 L8 4 L0 8 z" }))));
  for (const pair of report.pairs) {
    const a = places.get(pair.caller);
    const b = places.get(pair.callee);
    if (!a || !b) continue;
    const thick = 1 + 4 * (pair.total_ns / most);
    const [x, y, u, v] = [a.x + WIDTH / 2, a.y + HEIGHT, b.x + WIDTH / 2, b.y];
    const up = v < y; // a call of what is above, or of itself
    const d = up
      ? `M${a.x + WIDTH} ${a.y + HEIGHT / 2} C${a.x + WIDTH + 40} ${a.y}, ${b.x + WIDTH + 40} ${b.y + HEIGHT}, ${b.x + WIDTH} ${b.y + HEIGHT / 2}`
      : `M${x} ${y} C${x} ${y + 30}, ${u} ${v - 30}, ${u} ${v}`;
    root.append(svg("path", { class: "arrow", d, "stroke-width": thick, "marker-end": "url(#tip)" }, svg("title", {}, note(pair))));
    if (!up && Math.abs(v - y) < 3 * GAP_Y) root.append(svg("text", { class: "edge", x: (x + u) / 2 + 4, y: (y + v) / 2 }, times(pair)));
  }
  for (const one of report.functions) {
    const { x, y } = places.get(one.id);
    const lines = text(one);
    const go = () => open(one.id);
    const box = svg("g", {
      class: "box", tabindex: 0, role: "button", transform: `translate(${x} ${y})`, click: go,
      keydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          go();
        }
      },
    },
    svg("title", {}, lines.join("\n")),
    svg("rect", { width: WIDTH, height: HEIGHT, rx: 4 }),
    svg("rect", { class: "heat", width: WIDTH, height: HEIGHT, rx: 4, "fill-opacity": heat(one).toFixed(3) }),
    ...lines.map((line, i) => svg("text", { x: 8, y: 17 + i * 16 }, i ? line : middle(line, 31))));
    boxes.set(one.id, box);
    root.append(box);
  }
  return {
    root,
    show(id) {
      for (const [one, box] of boxes) box.classList.toggle("chosen", one === id);
      boxes.get(id)?.scrollIntoView({ block: "center", inline: "center" });
    },
    /** Fades all but these ids; null: none. */
    mark(ids) {
      for (const [id, box] of boxes) box.classList.toggle("faded", ids !== null && !ids.has(id));
    },
  };
}
