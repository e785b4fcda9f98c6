// Nested boxes whose areas are time (../README.md).
import { el, putCard, surface } from "./dom.js";
import { fitted } from "./format.js";

const LEAST = 14; // pixels a box must have on each side to hold others
const EDGE = 3;
const HEAD = 15;
const NESTED_MAX = 40;

const worst = (row, sum, side) => {
  const biggest = row[0].area;
  const smallest = row.at(-1).area;
  return Math.max((side * side * biggest) / (sum * sum), (sum * sum) / (side * side * smallest));
};

/**
 * Places items {weight, ...} (heaviest first) in a rectangle; each gets x, y,
 * w, h. Weights are shares of `whole`; what they do not fill stays free.
 */
export function squarify(items, whole, { x, y, w, h }) {
  const placed = [];
  const scale = whole > 0 ? (w * h) / whole : 0;
  let row = [];
  let sum = 0;
  const flush = () => {
    if (!row.length) return;
    const along = w >= h; // the row is a column at the left
    const side = along ? h : w;
    const thick = sum / side;
    let at = 0;
    for (const item of row) {
      const length = item.area / thick;
      placed.push(along ? { ...item, x, y: y + at, w: thick, h: length } : { ...item, x: x + at, y, w: length, h: thick });
      at += length;
    }
    if (along) [x, w] = [x + thick, w - thick];
    else [y, h] = [y + thick, h - thick];
    row = [];
    sum = 0;
  };
  for (const one of items) {
    const item = { ...one, area: one.weight * scale };
    if (item.area < 1 || w < 1 || h < 1) break;
    const side = Math.min(w, h);
    if (row.length && worst([...row, item], sum + item.area, side) > worst(row, sum, side)) flush();
    row.push(item);
    sum += item.area;
  }
  flush();
  return placed;
}

/** Boxes of `model`'s subtree of `root`, outer ones first: {node, x, y, w, h, nested}. */
export function treemap(model, root, width, height) {
  const boxes = [];
  const queue = [{ node: root, x: 0, y: 0, w: width, h: height, nested: 0 }];
  while (queue.length) {
    const box = queue.shift();
    boxes.push(box);
    if (box.w < LEAST * 2 || box.h < LEAST + HEAD || box.nested > NESTED_MAX) continue;
    const inner = { x: box.x + EDGE, y: box.y + HEAD, w: box.w - 2 * EDGE, h: box.h - HEAD - EDGE };
    const items = Array.from(model.children(box.node)).filter((child) => !model.strands[child])
      .map((child) => ({ node: child, weight: model.total[child] }));
    for (const one of squarify(items, model.total[box.node], inner)) queue.push({ ...one, nested: box.nested + 1 });
  }
  return boxes;
}

/** A canvas with the treemap. `options` as FlameCanvas's, with open(node): what a double click does. */
export function treemapView(model, root, options) {
  let boxes = [];
  let selected = root;
  let marked = null; // Set of nodes that a search found
  const live = el("p", { class: "live", "aria-live": "polite" }, options.describe(root));
  const canvas = el("canvas", {
    class: "treemap", tabindex: 0, role: "application",
    "aria-label": "Treemap: areas are total time. Arrow keys walk, Enter goes into a box, 0 shows all.",
  });
  const draw = () => {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    const context = surface(canvas, height);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    const style = getComputedStyle(canvas);
    boxes = treemap(model, root, width, height);
    for (const box of boxes) {
      context.globalAlpha = marked && !marked.has(box.node) ? 0.3 : 1;
      context.fillStyle = options.color(box.node);
      context.fillRect(box.x, box.y, box.w, box.h);
      context.strokeStyle = style.getPropertyValue("--page");
      context.lineWidth = 1;
      context.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
      if (box.w < 30 || box.h < 13) continue;
      const name = options.name(box.node);
      context.fillStyle = options.ink(box.node);
      context.fillText(fitted(context, name, box.w - 6, 6), box.x + 3, box.y + 2);
    }
    context.globalAlpha = 1;
    const at = boxes.find((box) => box.node === selected);
    if (at) {
      context.strokeStyle = style.getPropertyValue("--focus");
      context.lineWidth = 3;
      context.strokeRect(at.x + 1.5, at.y + 1.5, at.w - 3, at.h - 3);
    }
  };
  const select = (node) => {
    if (node === undefined || node < 0) return;
    selected = node;
    live.textContent = options.describe(node);
    options.onSelect?.(node);
    draw();
  };
  const at = (event) => {
    const bounds = canvas.getBoundingClientRect();
    const x = event.clientX - bounds.left;
    const y = event.clientY - bounds.top;
    return boxes.findLast((box) => x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + box.h)?.node;
  };
  canvas.addEventListener("click", (event) => select(at(event)));
  const card = el("div", { class: "card", hidden: true, "aria-hidden": "true" });
  let under;
  canvas.addEventListener("pointermove", (event) => {
    const node = at(event);
    card.hidden = node === undefined;
    if (node === undefined) return;
    if (node !== under) card.replaceChildren(...options.card(node));
    under = node;
    putCard(card, canvas, event);
  });
  canvas.addEventListener("pointerleave", () => {
    card.hidden = true;
  });
  canvas.addEventListener("dblclick", (event) => {
    const node = at(event);
    if (node !== undefined) options.open(node);
  });
  canvas.addEventListener("keydown", (event) => {
    const around = options.neighbours(selected);
    const moves = {
      ArrowUp: () => select(around.parent), ArrowDown: () => select(around.child),
      ArrowLeft: () => select(around.previous), ArrowRight: () => select(around.next),
      Enter: () => options.open(selected), 0: () => options.open(0),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  });
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  const mark = (nodes) => {
    marked = nodes;
    draw();
  };
  return { root: el("div", { class: "flame-box" }, canvas, live, card), select, mark, stop: () => observer.disconnect() };
}
