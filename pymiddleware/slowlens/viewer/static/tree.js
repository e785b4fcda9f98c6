// A call tree: a virtualised treegrid (WAI-ARIA pattern).
import { category } from "./colors.js";
import { el } from "./dom.js";
import { FIRST } from "./api.js";
import { OWN_COST, count, duration, hasSamples, label, middle, ms, packages, share, shortPath, tame } from "./format.js";
import { where } from "./tables.js";
import { TreeModel } from "./treemodel.js";

const ROW = 24;
const OPEN_MAX = 1000; // opened rows that are remembered

export function columns({ sampled, samples }) {
  const time = (name) => (row) => ms(row[name] / 1e6);
  return [
    // Of the request itself it is all, also where recording took a part of it.
    { title: "Share", value: (row, wall, callee) => (callee?.name === OWN_COST ? "–" : share(row.node ? row.total_ns : Math.min(row.total_ns, wall), wall, samples)), share: (row, wall) => row.total_ns / (wall || 1), own: true, part: (row, wall) => row.self_ns / (wall || 1) },
    { title: "Total ms", value: time("total_ns") },
    { title: "Self ms", value: time("self_ns"), own: true, heat: (row, wall) => row.self_ns / (wall || 1) },
    { title: sampled ? "Samples" : "Calls", value: (row, _, callee) => (sampled && !hasSamples(callee) ? `${count(row.calls)}×` : count(row.calls)), alone: true },
    { title: sampled ? "On CPU" : "Per call", alone: true, value: (row) => {
      if (sampled) return row.seen_ns ? share(row.cpu_ns, row.seen_ns, samples) : "";
      return row.calls ? duration(row.total_ns / row.calls) : "";
    } },
  ];
}

/** "called at shop/views.py:42" where that is known, else where it is defined. */
export function place(callee, caller, line) {
  if (line && caller && caller.file) return `called at ${shortPath(caller.file)}:${line}`;
  if (callee.file) return `${shortPath(callee.file)}:${callee.line}`;
  return caller && callee.kind === "pseudo" && category(callee) !== "other" ? where(callee) : "";
}

export class Tree {
  /**
   * `options`: label; columns [{title, value(row, wall), share(row, wall), own, alone}] (own: of the folded frames
   * together; alone: not shown for them); load(values) -> an answer as sl_report_tree gives it; onSelect(node);
   * least: the share of the request below which rows do not show.
   */
  constructor(options) {
    this.options = options;
    this.columns = options.columns;
    this.model = new TreeModel();
    this.model.least = options.least || 0;
    this.shown = [];
    this.drawn = [];
    this.current = 0; // index in shown
    this.body = el("div", { role: "rowgroup" });
    this.root = el("div", { class: "tree", role: "treegrid", "aria-readonly": "true", "aria-label": options.label, scroll: () => this.draw(true), keydown: (event) => this.key(event) },
      el("div", { role: "rowgroup", class: "top" }, el("div", { class: "head", role: "row" },
        ["Function", ...this.columns.map((one) => one.title)].map((title) => el("span", { role: "columnheader" }, title)))), this.body);
  }

  setLeast(least) {
    this.model.least = least;
    this.refresh();
    this.move(Math.min(this.current, this.shown.length - 1), false);
  }

  async load(node, fold = true) {
    this.model.fold = fold;
    this.model.add(await this.options.load(FIRST));
    this.model.openHotPath();
    if (this.model.rows.has(node)) this.select(node, false);
    else this.refresh();
  }

  /** Goes to a node that may not be known yet. `path`: the nodes that lead to it, from the root down. */
  async reach(path, focus = false) {
    for (const node of path.slice(0, -1)) {
      if (this.model.rows.has(node) && this.model.missing(node)) this.model.add(await this.options.load({ node, depth: 1 }));
      this.model.open.add(node);
    }
    if (this.model.rows.has(path.at(-1))) this.select(path.at(-1), focus);
  }

  lay() {
    this.shown = this.model.visible();
    this.body.style.height = `${this.shown.length * ROW}px`;
    this.body.style.position = "relative";
    this.root.setAttribute("aria-rowcount", String(this.shown.length));
  }

  refresh() {
    this.lay();
    this.draw();
  }

  select(node, focus) {
    const find = (unfold) => {
      this.model.reveal(node, unfold);
      this.lay();
      return this.shown.findIndex((at) => at.node === node);
    };
    const folded = find(false);
    const index = folded < 0 ? find(true) : folded;
    if (index >= 0) this.move(index, focus);
    else this.draw();
  }

  setFold(fold) {
    const { node } = this.shown[this.current];
    this.model.fold = fold;
    this.model.unfolded.clear();
    this.refresh();
    this.current = 0;
    this.select(node, false);
  }

  /** The rows that can be seen; `moved`: only if they are others than before. */
  draw(moved = false) {
    const first = Math.max(0, Math.floor(this.root.scrollTop / ROW) - 10);
    const last = Math.min(this.shown.length, Math.ceil((this.root.scrollTop + this.root.clientHeight) / ROW) + 10);
    if (moved && first === this.drawn[0] && last === this.drawn[1]) return;
    this.drawn = [first, last];
    const focused = this.root.contains(document.activeElement) && document.activeElement.getAttribute("role") === "row";
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.row(i));
    this.body.replaceChildren(...rows);
    if (focused) this.focus();
  }

  row(index) {
    const { node, depth, folded } = this.shown[index];
    if (folded.length) return this.foldedRow(index);
    const { row, callee, caller, hot } = this.model.describe(node);
    const open = this.model.open.has(node);
    const name = el("span", { role: "gridcell", title: `${tame(callee.name)}\n${tame(callee.file, 1000)}:${callee.line}` },
      el("span", { class: "twist", "aria-hidden": "true" }, row.children ? (open ? "▾" : "▸") : ""),
      el("span", { class: `mark k-${category(callee)}`, "aria-hidden": "true" }),
      el("span", { class: "name" }, middle(label(callee), 80)),
      el("span", { class: "where" }, [tame(place(callee, caller, row.call_line)), row.strand && "beside the request"].filter(Boolean).join(" · ")));
    name.style.setProperty("--depth", Math.min(depth, 60));
    const node_ = el("div", {
      class: `row ${callee.origin}${hot ? " hot" : ""}${this.marked?.has(node) ? " found" : ""}`, role: "row", "data-node": node,
      tabindex: index === this.current ? 0 : -1, "aria-level": depth + 1, "aria-rowindex": index + 1,
      "aria-expanded": row.children ? String(open) : null, "aria-selected": String(index === this.current),
      ...this.clicks(index),
    }, name, this.columns.map((column) => this.cell(column, row, callee)));
    node_.style.top = `${index * ROW}px`;
    return node_;
  }

  /** A click chooses; on the twist, or a second one, it opens too. */
  clicks(index) {
    return {
      click: (event) => {
        const twist = event.target.classList.contains("twist") || this.shown[index].folded.length;
        this.move(index, true);
        if (twist) this.toggle(index);
      },
      dblclick: (event) => event.target.classList.contains("twist") || this.shown[index]?.folded.length || this.toggle(index),
    };
  }

  cell(column, row, callee) {
    const { wall } = this.model;
    const cell = el("span", { role: "gridcell", class: column.tone ? column.tone(row) : null }, column.value(row, wall, callee));
    if (column.share) {
      // Total and, darker, the self part of it.
      cell.classList.add("share");
      cell.style.setProperty("--total", `${Math.min(100, column.share(row, wall) * 100)}%`);
      cell.style.setProperty("--self", `${Math.min(100, (column.part ? column.part(row, wall) : 0) * 100)}%`);
    }
    if (column.heat) {
      const heat = column.heat(row, wall);
      if (heat >= 0.02) cell.classList.add(heat >= 0.1 ? "hot2" : "hot1");
    }
    return cell;
  }

  chosen(node) {
    const { row, callee, caller } = this.model.describe(node);
    const parent = node === 0 ? null : this.model.rows.get(row.parent);
    return { node, callee, caller, line: row.call_line, total: row.total_ns, self: row.self_ns, calls: row.calls, parent: parent ? parent.total_ns : 0 };
  }

  saved() {
    const { open, unfolded } = this.model;
    return { scroll: this.root.scrollTop, open: [...open].slice(0, OPEN_MAX), unfolded: [...unfolded].slice(0, OPEN_MAX) };
  }

  /** Opens what was open; which row is chosen, the URL says. */
  async restore({ open, unfolded }) {
    for (const node of unfolded) this.model.unfolded.add(node);
    this.model.open.clear();
    for (const node of open) {
      if (!this.model.rows.has(node)) continue;
      if (this.model.missing(node)) this.model.add(await this.options.load({ node, depth: 1 }));
      this.model.open.add(node);
    }
    this.refresh();
  }

  /** One row for a chain of library frames; Enter or a click shows them. */
  foldedRow(index) {
    const { node, depth, folded } = this.shown[index];
    const { row, hot } = this.model.describe(node);
    const self = folded.reduce((sum, one) => sum + this.model.rows.get(one).self_ns, 0);
    const name = el("span", { role: "gridcell" },
      el("span", { class: "twist", "aria-hidden": "true" }, "⋯"),
      el("span", { class: "where" }, `${packages(folded.map((one) => this.model.describe(one).callee))} folded`));
    name.style.setProperty("--depth", Math.min(depth, 60));
    const line = el("div", {
      class: `row folded${hot ? " hot" : ""}`, role: "row", "data-node": node,
      tabindex: index === this.current ? 0 : -1, "aria-level": depth + 1, "aria-rowindex": index + 1,
      "aria-expanded": "false", "aria-selected": String(index === this.current), ...this.clicks(index),
    }, name, this.columns.map((column) => (column.alone ? el("span", { role: "gridcell" }) : this.cell(column, column.own ? { ...row, self_ns: self } : row))));
    line.style.top = `${index * ROW}px`;
    return line;
  }

  mark(nodes) {
    this.marked = nodes;
    this.draw();
  }

  focus() {
    this.body.querySelector(`[aria-rowindex="${this.current + 1}"]`)?.focus({ preventScroll: true });
  }

  move(index, focus = true) {
    this.current = Math.max(0, Math.min(index, this.shown.length - 1));
    const top = this.current * ROW;
    const view = this.root;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + 2 * ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + 3 * ROW - view.clientHeight;
    this.draw();
    if (focus) this.focus();
    if (this.shown[this.current]) this.options.onSelect?.(this.shown[this.current].node);
  }

  async toggle(index, want) {
    const { node, folded } = this.shown[index];
    if (folded.length) {
      for (const one of folded) this.model.unfolded.add(one);
      this.refresh();
      return;
    }
    const row = this.model.rows.get(node);
    const open = want ?? !this.model.open.has(node);
    if (!row.children || open === this.model.open.has(node)) return;
    if (open && this.model.missing(node)) this.model.add(await this.options.load({ node, depth: 1 }));
    if (open) this.model.open.add(node);
    else this.model.open.delete(node);
    this.refresh();
  }

  key(event) {
    const at = this.shown[this.current];
    if (!at) return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / ROW) - 2);
    const open = this.model.open.has(at.node) && !at.folded.length;
    const moves = {
      ArrowDown: () => this.move(this.current + 1),
      ArrowUp: () => this.move(this.current - 1),
      PageDown: () => this.move(this.current + page),
      PageUp: () => this.move(this.current - page),
      Home: () => this.move(0),
      End: () => this.move(this.shown.length - 1),
      Enter: () => this.toggle(this.current),
      " ": () => this.toggle(this.current),
      ArrowRight: () => (open ? this.move(this.current + 1) : this.toggle(this.current, true)),
      ArrowLeft: () => {
        if (open) return this.toggle(this.current, false);
        const parent = this.shown.findLastIndex((other, i) => i < this.current && other.depth === at.depth - 1);
        return parent >= 0 ? this.move(parent) : undefined;
      },
    };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  }
}
