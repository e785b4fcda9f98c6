// Where every box of a flame graph or timeline lies (../README.md). No recursion: stacks are deep.

import { FOLD_LEAST, FOLD_SHARE } from "./treemodel.js";

/** The columns of sl_report_flame as typed arrays, with depths and children. */
export class FlameModel {
  constructor(report) {
    const size = report.nodes.length;
    this.functions = report.functions;
    this.wall = report.wall_ns;
    this.truncated = report.truncated;
    this.size = size;
    this.nodes = Int32Array.from(report.nodes); // the server's numbers
    this.parents = Int32Array.from(report.parents);
    this.function = Int32Array.from(report.function);
    this.callLines = report.call_lines;
    this.calls = Float64Array.from(report.calls);
    this.self = Float64Array.from(report.self_ns);
    this.total = Float64Array.from(report.total_ns);
    this.strands = Uint8Array.from(report.strands);
    this.depth = new Int32Array(size);
    this.first = new Int32Array(size + 1); // children of i: child[first[i]..first[i + 1])
    this.child = new Int32Array(Math.max(0, size - 1));
    const { parents } = this;
    for (let i = 1; i < size; i++) {
      this.depth[i] = this.depth[parents[i]] + 1;
      this.first[parents[i] + 1]++;
    }
    for (let i = 0; i < size; i++) this.first[i + 1] += this.first[i];
    const at = this.first.slice();
    for (let i = 1; i < size; i++) this.child[at[parents[i]]++] = i;
    for (let i = 0; i < size; i++) {
      if (this.first[i + 1] - this.first[i] > 1) {
        this.child.subarray(this.first[i], this.first[i + 1]).sort((a, b) => this.total[b] - this.total[a]);
      }
    }
  }

  /** The index of the server's node number; -1: it was left out. */
  indexOf(node) {
    let low = 0;
    let high = this.size - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.nodes[middle] === node) return middle;
      if (this.nodes[middle] < node) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  callee(index) {
    return this.functions[this.function[index]];
  }

  /** Indices from the root down to `index`. */
  path(index) {
    const found = [index];
    for (let at = index; at !== 0; found.push(at)) at = this.parents[at];
    return found.reverse();
  }

  children(index) {
    return this.child.subarray(this.first[index], this.first[index + 1]);
  }

  /**
   * Nodes whose function `test` accepts: {indices, ns}. `ns` counts a match
   * within a match once, and only what the request itself spent.
   */
  search(test) {
    const wanted = Uint8Array.from(this.functions, (one) => (test(one) ? 1 : 0));
    const within = new Uint8Array(this.size); // in a match, or beside the request
    const indices = [];
    let ns = 0;
    for (let i = 0; i < this.size; i++) {
      within[i] = i === 0 ? 0 : within[this.parents[i]] | (this.strands[i] ? 2 : 0);
      if (!wanted[this.function[i]]) continue;
      indices.push(i);
      if (within[i] === 0) ns += this.total[i];
      within[i] |= 1;
    }
    return { indices, ns };
  }
}

/** A report with recursion merged into the outermost call. */
export function mergeRecursion(report) {
  const size = report.nodes.length;
  const made = { ...report, nodes: [], parents: [], function: [], call_lines: [], calls: [], self_ns: [], total_ns: [], strands: [] };
  const merged = new Int32Array(size);
  const open = new Int32Array(report.functions.length).fill(-1);
  const known = new Map(); // callee of a merged node -> merged node
  const path = [];
  for (let i = 0; i < size; i++) {
    const callee = report.function[i];
    while (path.length && path.at(-1).node !== report.parents[i]) {
      const left = path.pop();
      if (left.opened) open[report.function[left.node]] = -1;
    }
    let at = i === 0 ? -1 : open[callee];
    const opened = at < 0;
    if (opened) {
      const parent = i === 0 ? 0 : merged[report.parents[i]];
      const key = `${parent} ${callee} ${report.call_lines[i]} ${report.strands[i]}`;
      at = i > 0 && known.has(key) ? known.get(key) : -1;
      if (at < 0) {
        at = made.nodes.length;
        known.set(key, at);
        made.nodes.push(report.nodes[i]);
        made.parents.push(parent);
        made.function.push(callee);
        made.call_lines.push(report.call_lines[i]);
        made.strands.push(report.strands[i]);
        for (const name of ["calls", "self_ns", "total_ns"]) made[name].push(0);
      }
      made.total_ns[at] += report.total_ns[i];
      open[callee] = at;
    }
    made.calls[at] += report.calls[i];
    made.self_ns[at] += report.self_ns[i];
    merged[i] = at;
    path.push({ node: i, opened });
  }
  return made;
}

/** A report upside down, the request's own time only; nodes are numbered anew. */
export function invert(report) {
  const { parents, strands, self_ns: self } = report;
  const made = { ...report, nodes: [], parents: [], function: [], call_lines: [], calls: [], self_ns: [], total_ns: [], strands: [] };
  const known = new Map(); // parent and function -> node
  const take = (parent, callee) => {
    const key = parent * report.functions.length + callee;
    if (made.nodes.length && known.has(key)) return known.get(key);
    const at = made.nodes.length;
    if (at) known.set(key, at);
    made.nodes.push(at);
    made.parents.push(parent);
    made.function.push(callee);
    for (const name of ["call_lines", "calls", "self_ns", "total_ns", "strands"]) made[name].push(0);
    return at;
  };
  take(0, report.function[0]);
  made.calls[0] = report.calls[0];
  const beside = new Uint8Array(self.length);
  for (let i = 0; i < self.length; i++) {
    beside[i] = i && (beside[parents[i]] || strands[i]);
    if (beside[i] || self[i] <= report.wall_ns / 1e5) continue;
    made.total_ns[0] += self[i];
    for (let one = i, at = 0; ; one = parents[one]) {
      at = take(at, report.function[one]);
      made.total_ns[at] += self[i];
      made.calls[at] += report.calls[i];
      if (one === i) made.self_ns[at] += self[i];
      if (one === 0 || parents[one] === 0) break; // that the request called it goes without saying
    }
  }
  return made;
}

/** A whole model as the answer of a tree (sl_report_tree), with the way to `hot` open. */
export function asAnswer(model, hot) {
  const rows = [];
  for (let i = 0; i < model.size; i++) {
    rows.push({
      node: model.nodes[i], parent: model.nodes[model.parents[i]], function: model.function[i], call_line: model.callLines[i],
      calls: model.calls[i], resumes: 0, self_ns: model.self[i], total_ns: model.total[i], cpu_ns: 0, gil_ns: 0, seen_ns: 0,
      children: model.first[i + 1] - model.first[i], strand: model.strands[i] === 1,
    });
  }
  const root = rows[0];
  rows.sort((a, b) => (a === root ? -1 : b === root ? 1 : b.total_ns - a.total_ns));
  const functions = model.functions.map((one, i) => ({ ...one, id: i, fn: one.id }));
  return { wall_ns: model.wall, functions, rows, hot, truncated: model.truncated };
}

/** A picture in the making: boxes are put level by level, left to right. */
class Builder {
  constructor() {
    this.levels = [];
  }

  put(depth, x, w, node) {
    while (this.levels.length <= depth) this.levels.push({ x: [], w: [], node: [] });
    const level = this.levels[depth];
    level.x.push(x);
    level.w.push(w);
    level.node.push(node);
  }

  done(width) {
    return {
      width,
      levels: this.levels.map((level) => ({
        x: Float64Array.from(level.x), w: Float64Array.from(level.w), node: Int32Array.from(level.node),
      })),
    };
  }
}

const LANES_MAX = 300;

/**
 * Chains of library frames that only pass on: {head[i]: first frame of the chain that i is in, or -1; next[i] for a
 * first frame: where its chain goes on to; count[i]: frames in it}. Null: none.
 */
export function folds(model) {
  const { size, parents } = model;
  const own = Uint8Array.from(model.functions, (one) => (one.origin === "project" ? 2 : one.origin === "none" || one.kind === "pseudo" ? 1 : 0));
  const passes = new Int32Array(size).fill(-1);
  const length = new Int32Array(size);
  for (let i = size - 1; i > 0; i--) {
    // What own code called itself always shows.
    if (own[model.function[i]] || own[model.function[parents[i]]] === 2 || model.strands[i]) continue;
    const heaviest = model.first[i + 1] > model.first[i] ? model.child[model.first[i]] : -1;
    if (heaviest < 0 || model.strands[heaviest] || model.total[heaviest] < model.total[i] * FOLD_SHARE) continue;
    passes[i] = heaviest;
    length[i] = 1 + length[heaviest];
  }
  const head = new Int32Array(size).fill(-1);
  const next = new Int32Array(size).fill(-1);
  let any = false;
  for (let i = 1; i < size; i++) {
    if (passes[i] < 0 || head[i] >= 0 || length[i] < FOLD_LEAST) continue;
    any = true;
    let at = i;
    for (; passes[at] >= 0; at = passes[at]) head[at] = i;
    next[i] = at;
  }
  return any ? { head, next, count: length } : null;
}

/** The frames that are folded into the box of `node`. */
export function chainOf(model, fold, node) {
  const found = [];
  for (let at = node; at !== fold.next[node]; at = model.children(at)[0]) found.push(at);
  return found;
}

/**
 * The left-heavy picture. Tasks and threads never take of its width: each has a lane [{key, node, depth, open}] below, one
 * row high until it is in `open`, at a scale of its own where it took longer than the request. `fold`: of `folds`.
 */
export function leftHeavy(model, { fold = null, open = new Set() } = {}) {
  const weight = model.total;
  const built = new Builder();
  const width = weight[0];
  const beside = [];
  const stack = (root, base, scale, flat) => {
    let nodes = [root];
    let at = [0];
    let depth = 0;
    for (; nodes.length; depth++) {
      const below = [];
      const places = [];
      for (let i = 0; i < nodes.length; i++) {
        const node = nodes[i];
        if (weight[node] > 0) built.put(base + depth, at[i] * scale, weight[node] * scale, node);
        if (flat) continue;
        let x = at[i];
        const folded = fold ? fold.next[node] : -1;
        if (folded >= 0) {
          below.push(folded);
          places.push(x);
          for (const inner of chainOf(model, fold, node)) {
            for (const child of model.children(inner)) if (model.strands[child]) beside.push(child);
          }
          continue;
        }
        for (let c = model.first[node]; c < model.first[node + 1]; c++) {
          const child = model.child[c];
          if (model.strands[child]) {
            beside.push(child);
            continue;
          }
          below.push(child);
          places.push(x);
          x += weight[child];
        }
      }
      if (flat) return 1;
      nodes = below;
      at = places;
    }
    return depth;
  };
  let base = stack(0, 0, 1, false);
  const lanes = [];
  for (let i = 0; i < beside.length && lanes.length < LANES_MAX; i++) {
    if (i === 0) base++; // a row of nothing between the request and what ran beside it
    const node = beside[i];
    if (!(weight[node] > 0)) continue;
    const isOpen = open.has(String(node));
    lanes.push({ key: String(node), node, depth: base, open: isOpen });
    base += stack(node, base, Math.min(1, width / weight[node]), !isOpen);
  }
  return Object.assign(built.done(width), { lanes, fold, scaled: lanes.some((lane) => weight[lane.node] > width) });
}

/**
 * The picture in the order of time, from sl_report_timeline; lanes as above. `marks`: what was asked of others (`firsts` of
 * sl_report_spans), in levels with `text` above all else; `kinds`: how many there were.
 */
export function timeOrder(model, report, { fold = null, open: openLanes = new Set(), marks = [], kinds = [] } = {}) {
  const built = new Builder();
  const lanes = [];
  let base = 0;
  let lane = -1;
  let deepest = 0;
  let flat = false;
  let open = []; // {node, x} from the root down
  let until = 0;
  const hardly = model.wall / 2000; // no gap that anybody could see
  const close = (keep, end) => {
    while (open.length > keep) {
      const { node, x } = open.pop();
      if (end > x) built.put(base + open.length, x, end - x, node);
    }
  };
  for (const row of report.rows) {
    const index = model.indexOf(row.node);
    let path = index < 0 ? [] : model.path(index);
    // A strand's own stack begins at the strand.
    const strand = path.findLastIndex((node) => model.strands[node]);
    if (strand > 0) path = path.slice(strand);
    if (row.lane !== lane) {
      close(0, until);
      if (lane >= 0) base += deepest + (lanes.length ? 0 : 1);
      if (lane >= 0 || row.lane > 0) {
        flat = !openLanes.has(String(row.lane));
        lanes.push({ key: String(row.lane), node: path[0] ?? 0, depth: base, open: !flat });
      }
      lane = row.lane;
      deepest = 1;
      until = row.from_ns;
    }
    if (flat) path = path.slice(0, 1);
    else if (fold) path = path.filter((node, i) => fold.head[node] < 0 || fold.head[node] === node || i === 0);
    let same = 0;
    if (row.from_ns - until <= hardly) while (same < open.length && same < path.length && open[same].node === path[same]) same++;
    close(same, until);
    for (let i = same; i < path.length; i++) open.push({ node: path[i], x: row.from_ns });
    deepest = Math.max(deepest, path.length);
    until = row.to_ns;
  }
  close(0, until);
  const picture = built.done(model.wall);
  // Boxes were put when they closed: inner ones first.
  for (const level of picture.levels) {
    const order = Array.from(level.x.keys()).sort((a, b) => level.x[a] - level.x[b]);
    for (const name of ["x", "w", "node"]) level[name] = level[name].map((_, i) => level[name][order[i]]);
  }
  picture.width = Math.max(model.wall, ...picture.levels.map((level) => (level.x.length ? level.x.at(-1) + level.w.at(-1) : 0)));
  const above = markRows(model, marks);
  const said = kinds.map(({ kind, count }) => {
    const shown = marks.filter((one) => one.kind === kind).length;
    return `${kind} ${shown < count ? `(the first ${shown} of ${count})` : count}`;
  });
  if (above.length) above.unshift({ x: [], w: [], node: [] }); // a row of nothing, for words
  picture.levels.unshift(...above);
  for (const one of lanes) one.depth += above.length;
  return Object.assign(picture, { lanes, fold, above: above.length && `asked of others: ${said.join(", ")}` });
}

/** Levels of marks, a kind below the other; what overlaps has up to four rows. */
function markRows(model, marks) {
  const rows = [];
  for (const one of [...marks].sort((a, b) => a.kind.localeCompare(b.kind) || a.from_ns - b.from_ns)) {
    const node = model.indexOf(one.node);
    const same = rows.filter((row) => row.kind === one.kind);
    let row = same.find(({ x, w }) => x.at(-1) + w.at(-1) <= one.from_ns);
    if (node < 0 || (!row && same.length > 3)) continue;
    if (!row) rows.push(row = { kind: one.kind, x: [], w: [], node: [], text: [] });
    row.x.push(one.from_ns);
    row.w.push(one.length_ns);
    row.node.push(node);
    row.text.push(one.text || one.kind);
  }
  return rows;
}

/** Marks of a ruler from `from` to `to` (ns) over `width` pixels: {step, at: [ns]}, at round numbers. */
export function ticks(from, to, width) {
  const most = Math.max(1, Math.floor(width / 90));
  const least = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(least || 1));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least) || power * 10;
  const at = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) at.push(i * step);
  return { step, at };
}

/** The lane that `node` is shown in: the innermost strand above it, or -1. */
export function laneOf(model, node) {
  for (let at = node; at > 0; at = model.parents[at]) if (model.strands[at]) return at;
  return -1;
}

/** The index of the first box of a level that ends after `x`. */
export function firstAfter(level, x) {
  let low = 0;
  let high = level.x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (level.x[middle] + level.w[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The box at a place: {node, x, w, depth}, or null. */
export function boxAt(picture, depth, x) {
  const level = picture.levels[depth];
  if (!level) return null;
  const i = firstAfter(level, x);
  return i < level.x.length && level.x[i] <= x ? { node: level.node[i], x: level.x[i], w: level.w[i], depth, ...(level.text ? { text: level.text[i], kind: level.kind } : {}) } : null;
}

/** The widest box of a node: {node, x, w, depth}, or null. */
export function boxOf(picture, node) {
  let best = null;
  picture.levels.forEach((level, depth) => {
    if (level.text) return;
    for (let i = 0; i < level.node.length; i++) {
      if (level.node[i] === node && (!best || level.w[i] > best.w)) best = { node, x: level.x[i], w: level.w[i], depth };
    }
  });
  return best;
}

/** What arrow keys reach. */
export function around(model, node) {
  const parent = node === 0 ? undefined : model.parents[node];
  const siblings = parent === undefined ? [] : Array.from(model.children(parent));
  const at = siblings.indexOf(node);
  return { parent, child: model.children(node)[0], previous: siblings[at - 1], next: siblings[at + 1] };
}
