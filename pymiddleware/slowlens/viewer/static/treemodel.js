// The call tree as far as it is known here, in rows of sl_report_tree (slowlens/report.h).

// Frames of libraries that only pass the time on to one callee are one row; what own code called itself always shows.
export const FOLD_LEAST = 3; // frames; fewer are shown as they are
export const FOLD_SHARE = 0.9; // of a frame's time that its one callee must have

/** Rows of a whole tree, ready for a TreeModel; `hot`: down along the heaviest child while `goesOn(child, parent, root)`. */
export function whole(rows, weight, goesOn) {
  const below = new Map();
  for (const row of rows) {
    if (row.node === 0) continue;
    if (!below.has(row.parent)) below.set(row.parent, []);
    below.get(row.parent).push(row);
  }
  const root = rows[0];
  const ordered = [];
  for (const row of rows) ordered.push({ ...row, children: below.get(row.node)?.length || 0 });
  ordered.sort((a, b) => (a.node === 0 ? -1 : b.node === 0 ? 1 : a.parent - b.parent || weight(b) - weight(a)));
  const hot = [];
  for (let at = root; at;) {
    hot.push(at.node);
    const heaviest = (below.get(at.node) || []).reduce((best, row) => (!best || weight(row) > weight(best) ? row : best), null);
    at = heaviest && goesOn(heaviest, at, root) ? heaviest : null;
  }
  return { rows: ordered, hot };
}

export class TreeModel {
  constructor() {
    this.fold = true;
    this.least = 0; // share of the request below which rows do not show
    this.unfolded = new Set(); // nodes that are not to be folded
    this.rows = new Map(); // node -> row
    this.functions = new Map(); // id -> function
    this.children = new Map(); // node -> [node], heaviest first
    this.open = new Set();
    this.hot = new Set();
    this.wall = 0;
  }

  /** Takes in an answer of the server. Returns whether the answer was cut short. */
  add(answer) {
    this.wall = answer.wall_ns;
    for (const one of answer.functions) this.functions.set(one.id, one);
    for (const node of answer.hot) this.hot.add(node);
    const lists = new Map();
    for (const row of answer.rows) {
      this.rows.set(row.node, row);
      if (row.node === 0) continue;
      if (!lists.has(row.parent)) lists.set(row.parent, []);
      lists.get(row.parent).push(row.node);
    }
    for (const [parent, nodes] of lists) this.children.set(parent, nodes);
    return answer.truncated;
  }

  missing(node) {
    return this.rows.get(node).children > 0 && !this.children.has(node);
  }

  openHotPath() {
    this.open.add(0);
    for (const node of this.hot) if (this.children.has(node)) this.open.add(node);
  }

  /** Opens what leads to `node`, as far as it is known; unfolds it too when asked to. */
  reveal(node, unfold = false) {
    for (let at = this.rows.get(node); at && at.node !== 0; at = this.rows.get(at.parent)) {
      this.open.add(at.parent);
      if (unfold) this.unfolded.add(at.node);
    }
  }

  origin(node) {
    return this.functions.get(this.rows.get(node).function).origin;
  }

  /** The one callee that `node` passes its time on to, if it is a frame that can be folded. */
  passesOn(node) {
    const row = this.rows.get(node);
    if (!this.fold || node === 0 || this.unfolded.has(node) || !this.open.has(node)) return null;
    const origin = this.origin(node);
    if (origin === "project" || origin === "none" || this.origin(row.parent) === "project") return null;
    const first = (this.children.get(node) || [])[0];
    if (first === undefined || this.rows.get(first).strand) return null;
    return this.rows.get(first).total_ns >= row.total_ns * FOLD_SHARE ? first : null;
  }

  chain(node) {
    const nodes = [];
    for (let at = node; at !== null && this.passesOn(at) !== null; at = this.passesOn(at)) nodes.push(at);
    return nodes.length >= FOLD_LEAST ? nodes : [];
  }

  /** The rows that show, from top to bottom: {node, depth, folded: [node]}. No recursion: trees are deep. */
  visible() {
    const shown = [];
    const stack = this.rows.has(0) ? [{ node: 0, depth: 0 }] : [];
    while (stack.length) {
      const at = stack.pop();
      at.folded = this.chain(at.node);
      shown.push(at);
      if (!this.open.has(at.node)) continue;
      const nodes = at.folded.length
        ? this.children.get(at.folded.at(-1)).slice(0, 1)
        : this.children.get(at.node) || [];
      for (let i = nodes.length - 1; i >= 0; i--) {
        if (this.rows.get(nodes[i]).total_ns >= this.least * this.wall) stack.push({ node: nodes[i], depth: at.depth + 1 });
      }
    }
    return shown;
  }

  describe(node) {
    const row = this.rows.get(node);
    const callee = this.functions.get(row.function);
    const caller = node === 0 ? null : this.functions.get(this.rows.get(row.parent).function);
    return { row, callee, caller, hot: this.hot.has(node) || node === 0 };
  }
}
