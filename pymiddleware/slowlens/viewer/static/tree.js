// tree.js - the call tree: a virtualised treegrid (WAI-ARIA pattern).
import * as api from "./api.js";
import { el } from "./dom.js";
import { count, duration, label, ms, percent, shortPath, tame } from "./format.js";
import { TreeModel } from "./treemodel.js";

const ROW = 24;
const HEADERS = ["Function", "Total ms", "Share", "Self ms", "Calls", "Per call"];

/** "called at shop/views.py:42" where that is known, else where it is defined. */
export function place(callee, caller, line) {
  if (line && caller && caller.file) return `called at ${shortPath(caller.file)}:${line}`;
  if (callee.file) return `${shortPath(callee.file)}:${callee.line}`;
  return "";
}

export class Tree {
  /** `onSelect(node)` is told where the user is. */
  constructor(id, onSelect) {
    this.id = id;
    this.onSelect = onSelect;
    this.model = new TreeModel();
    this.shown = [];
    this.current = 0; // index in shown
    this.body = el("div", { role: "rowgroup" });
    this.root = el("div", { class: "tree", role: "treegrid", "aria-label": "Call tree", scroll: () => this.draw(), keydown: (event) => this.key(event) },
      el("div", { role: "rowgroup", class: "top" }, el("div", { class: "head", role: "row" }, HEADERS.map((title) => el("span", { role: "columnheader" }, title)))),
      this.body);
  }

  async load(node, fold = true) {
    this.model.fold = fold;
    this.model.add(await api.tree(this.id, { node: 0, depth: 2, hot: 1 }));
    this.model.openHotPath();
    this.refresh();
    if (node !== undefined && this.model.rows.has(node)) this.select(node, false);
  }

  refresh() {
    this.shown = this.model.visible();
    this.body.style.height = `${this.shown.length * ROW}px`;
    this.body.style.position = "relative";
    this.root.setAttribute("aria-rowcount", String(this.shown.length));
    this.draw();
  }

  select(node, focus) {
    this.model.reveal(node);
    this.refresh();
    let index = this.shown.findIndex((at) => at.node === node);
    if (index < 0) {
      this.model.reveal(node, true);
      this.refresh();
      index = this.shown.findIndex((at) => at.node === node);
    }
    if (index >= 0) this.move(index, focus);
  }

  /** Folds library frames, or shows all. */
  setFold(fold) {
    const { node } = this.shown[this.current];
    this.model.fold = fold;
    this.model.unfolded.clear();
    this.refresh();
    this.current = 0;
    this.select(node, false);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.root.scrollTop / ROW) - 10);
    const last = Math.min(this.shown.length, Math.ceil((this.root.scrollTop + this.root.clientHeight) / ROW) + 10);
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
    const calls = row.calls + row.resumes;
    const name = el("span", { role: "gridcell", title: `${tame(callee.name)}\n${tame(callee.file, 1000)}:${callee.line}` },
      el("span", { class: "twist", "aria-hidden": "true" }, row.children ? (open ? "▾" : "▸") : ""),
      el("span", { class: `mark k-${callee.kind === "pseudo" ? "other" : callee.origin}`, "aria-hidden": "true" }),
      el("span", { class: "name" }, label(callee)),
      el("span", { class: "where" }, tame(place(callee, caller, row.call_line)), row.strand ? " · beside the request" : ""));
    name.style.paddingLeft = `${8 + Math.min(depth, 60) * 14}px`;
    const share = el("span", { role: "gridcell", class: "share" }, percent(row.total_ns, this.model.wall));
    share.style.backgroundSize = `${Math.min(100, (row.total_ns / (this.model.wall || 1)) * 100)}% 3px`;
    const node_ = el("div", {
      class: `row ${callee.origin}${hot ? " hot" : ""}`, role: "row", "data-node": node,
      tabindex: index === this.current ? 0 : -1, "aria-level": depth + 1, "aria-rowindex": index + 1,
      "aria-expanded": row.children ? String(open) : null,
      click: () => { this.move(index, true); this.toggle(index); },
    },
    name,
    el("span", { role: "gridcell" }, ms(row.total_ns / 1e6)), share,
    el("span", { role: "gridcell" }, ms(row.self_ns / 1e6)),
    el("span", { role: "gridcell" }, count(calls)),
    el("span", { role: "gridcell" }, calls ? duration(row.total_ns / calls) : ""));
    node_.style.top = `${index * ROW}px`;
    return node_;
  }

  /** One row for a chain of library frames; Enter or a click shows them. */
  foldedRow(index) {
    const { node, depth, folded } = this.shown[index];
    const { row, hot } = this.model.describe(node);
    const self = folded.reduce((sum, one) => sum + this.model.rows.get(one).self_ns, 0);
    const name = el("span", { role: "gridcell" },
      el("span", { class: "twist", "aria-hidden": "true" }, "⋯"),
      el("span", { class: "where" }, `${folded.length} library frames folded`));
    name.style.paddingLeft = `${8 + Math.min(depth, 60) * 14}px`;
    const line = el("div", {
      class: `row folded${hot ? " hot" : ""}`, role: "row", "data-node": node,
      tabindex: index === this.current ? 0 : -1, "aria-level": depth + 1, "aria-rowindex": index + 1,
      "aria-expanded": "false", click: () => { this.move(index, true); this.toggle(index); },
    }, name, el("span", { role: "gridcell" }, ms(row.total_ns / 1e6)),
    el("span", { role: "gridcell" }, percent(row.total_ns, this.model.wall)),
    el("span", { role: "gridcell" }, ms(self / 1e6)), el("span", { role: "gridcell" }), el("span", { role: "gridcell" }));
    line.style.top = `${index * ROW}px`;
    return line;
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
    this.onSelect(this.shown[this.current].node);
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
    if (open && this.model.missing(node)) this.model.add(await api.tree(this.id, { node, depth: 1 }));
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
