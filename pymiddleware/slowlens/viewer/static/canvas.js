// One component for flame graph, timeline and difference (../README.md).
import { isDark } from "./colors.js";
import { button, el, putCard, surface } from "./dom.js";
import { boxAt, boxOf, firstAfter, ticks } from "./flamemodel.js";
import { duration, fitted } from "./format.js";

const ROW = 18;
const MAP = 26;
const RULER = 20;
const KEYS = "Arrow keys walk, Enter zooms to a box, Space opens a lane, + and - zoom, 0 resets.";

export class FlameCanvas {
  /**
   * `options`: label, describe(node) -> text for people, card(node, box) -> nodes
   * of the card at the pointer, name(node), color(node) -> CSS colour, ink(node),
   * neighbours(node) -> {parent, child, previous, next} (nodes or undefined),
   * onSelect(node), onLane(key): a lane shall open or close.
   */
  constructor(picture, options) {
    this.picture = picture;
    this.options = options;
    this.from = 0;
    this.to = picture.width || 1;
    this.top = 0;
    this.selected = null; // box
    this.marked = null; // Set of nodes that a search found
    this.hovered = null;
    this.map = el("canvas", { class: "map", "aria-hidden": "true" });
    this.canvas = el("canvas", {
      class: "flame", tabindex: 0, role: "application", "aria-label": `${options.label}. ${KEYS}`,
      "aria-describedby": "flame-live",
    });
    this.live = el("p", { class: "live", id: "flame-live", "aria-live": "polite" }, "");
    this.card = el("div", { class: "card", hidden: true, "aria-hidden": "true" });
    this.root = el("div", { class: "flame-box" },
      el("div", { class: "flame-tools" },
        button("+", () => this.zoom(0.5), { "aria-label": "Zoom in", title: "Zoom in (+, Ctrl and wheel)" }),
        button("−", () => this.zoom(2), { "aria-label": "Zoom out", title: "Zoom out (-)" }),
        button("Reset", () => this.reset(), { title: "All of it (0)" }),
        this.map),
      this.canvas, this.live, this.card);
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
    this.redraw = () => this.later();
    addEventListener("slowlens-theme", this.redraw);
  }

  stop() {
    removeEventListener("slowlens-theme", this.redraw);
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  view(from, to) {
    const { width } = this.picture;
    const size = Math.min(width, Math.max(to - from, 10));
    this.from = Math.max(0, Math.min(from, width - size));
    this.to = this.from + size;
    this.later();
  }

  zoom(factor, at = (this.from + this.to) / 2) {
    this.view(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  reset() {
    this.top = 0;
    this.view(0, this.picture.width);
  }

  scroll(top) {
    const most = Math.max(0, this.picture.levels.length * ROW + RULER - this.canvas.clientHeight);
    const next = Math.max(0, Math.min(top, most));
    const moved = next !== this.top;
    this.top = next;
    if (moved) this.later();
    return moved;
  }

  /** Shows a node and says what it is; in the box of `within`, which it is folded into. false: that has no box here. */
  select(node, within = node) {
    const box = boxOf(this.picture, within);
    if (!box) return false;
    this.selectBox(box, false, node);
    return true;
  }

  selectBox(box, focus, node = box.node) {
    this.selected = box;
    this.live.textContent = this.options.describe(node);
    if (focus) {
      this.view(box.x, box.x + box.w);
    } else if (box.x + box.w < this.from || box.x > this.to) {
      const size = this.to - this.from;
      this.view(box.x + box.w / 2 - size / 2, box.x + box.w / 2 + size / 2);
    }
    const y = box.depth * ROW;
    const room = this.canvas.clientHeight - RULER;
    if (y < this.top || y + ROW > this.top + room) this.scroll(y - room / 2);
    this.later();
    this.options.onSelect?.(node);
  }

  mark(nodes) {
    this.marked = nodes;
    this.later();
  }

  /** Another picture of the same width; what is chosen stays so, where it is still there. */
  show(picture) {
    const old = this.selected;
    const same = old && boxAt(picture, old.depth, old.x + old.w / 2);
    this.picture = picture;
    this.hovered = null;
    this.selected = !old ? null : same?.node === old.node ? same : boxOf(picture, old.node);
    this.scroll(this.top);
    this.view(this.from, this.to);
  }

  saved() {
    return { from: this.from, to: this.to, top: this.top };
  }

  restore({ from, to, top }) {
    this.top = top || 0;
    this.view(from, to);
  }

  place(event) {
    const bounds = this.canvas.getBoundingClientRect();
    return {
      x: this.from + ((event.clientX - bounds.left) / bounds.width) * (this.to - this.from),
      depth: event.clientY - bounds.top < RULER ? -1 : Math.floor((event.clientY - bounds.top - RULER + this.top) / ROW),
    };
  }

  listen() {
    let drag = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, from: this.from, to: this.to, top: this.top, moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!drag) return this.hover(event);
      const scale = (this.to - this.from) / this.canvas.clientWidth;
      drag.moved ||= Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) > 4;
      if (!drag.moved) return undefined;
      this.scroll(drag.top - (event.clientY - drag.y));
      return this.view(drag.from - (event.clientX - drag.x) * scale, drag.to - (event.clientX - drag.x) * scale);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const { x, depth } = this.place(event);
      const box = drag && !drag.moved ? boxAt(this.picture, depth, x) : null;
      drag = null;
      if (!box) return;
      const lane = this.laneAt(box);
      this.selectBox(box, false);
      if (lane) this.options.onLane?.(lane.key);
    });
    this.canvas.addEventListener("pointercancel", () => {
      drag = null;
    });
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("dblclick", (event) => {
      const { x, depth } = this.place(event);
      const box = boxAt(this.picture, depth, x);
      if (box) this.selectBox(box, true);
      else this.reset();
    });
    this.canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.place(event).x);
      } else if (event.shiftKey || event.deltaX) {
        event.preventDefault();
        const by = ((event.deltaX || event.deltaY) / this.canvas.clientWidth) * (this.to - this.from);
        this.view(this.from + by, this.to + by);
      } else if (this.scroll(this.top + event.deltaY)) {
        event.preventDefault(); // at the ends the page scrolls
      }
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    const jump = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const bounds = this.map.getBoundingClientRect();
      const at = ((event.clientX - bounds.left) / bounds.width) * this.picture.width;
      const half = (this.to - this.from) / 2;
      this.view(at - half, at + half);
    };
    this.map.addEventListener("pointerdown", jump);
    this.map.addEventListener("pointermove", jump);
  }

  laneAt(box) {
    return this.picture.lanes?.find((lane) => lane.depth === box.depth);
  }

  hover(event) {
    const found = event ? this.place(event) : null;
    const box = found ? boxAt(this.picture, found.depth, found.x) : null;
    if (box) putCard(this.card, this.root, event);
    if (box?.node === this.hovered?.node && box?.x === this.hovered?.x) return;
    this.hovered = box;
    this.card.hidden = !box;
    if (box) {
      this.card.replaceChildren(...this.options.card(box.node, box));
      putCard(this.card, this.root, event);
    }
    this.later();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = this.selected;
    const around = box ? this.options.neighbours(box.node) : { child: 0 };
    const walk = (node) => {
      if (node !== undefined && !this.select(node)) this.live.textContent = "Nothing to see there.";
    };
    const moves = {
      ArrowUp: () => walk(around.parent), ArrowDown: () => walk(around.child),
      ArrowLeft: () => walk(around.previous), ArrowRight: () => walk(around.next),
      Enter: () => box && this.selectBox(box, true), 0: () => this.reset(),
      " ": () => box && this.laneAt(box) && this.options.onLane?.(this.laneAt(box).key),
      Home: () => walk(0),
      "+": () => this.zoom(0.5, box ? box.x + box.w / 2 : undefined), "=": () => this.zoom(0.5), "-": () => this.zoom(2),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  }

  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { canvas, picture } = this;
    if (!canvas.clientWidth) return;
    const style = getComputedStyle(canvas);
    const colors = {
      focus: style.getPropertyValue("--focus"),
      text: style.getPropertyValue("--text"), soft: style.getPropertyValue("--line"),
    };
    const height = canvas.clientHeight;
    const context = surface(canvas, height);
    const scale = canvas.clientWidth / (this.to - this.from);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.letter ||= context.measureText("the_quick.brown_fox.jumps").width / 25;
    const last = Math.min(picture.levels.length, Math.ceil((this.top + height - RULER) / ROW));
    const heads = new Map((picture.lanes || []).map((lane) => [lane.depth, lane]));
    for (let depth = Math.floor(this.top / ROW); depth < last; depth++) {
      this.drawLevel(context, picture.levels[depth], RULER + depth * ROW - this.top, scale, heads.get(depth));
    }
    for (const [box, color, size] of [[this.hovered, colors.text, 1], [this.selected, colors.focus, 2]]) {
      if (!box) continue;
      context.strokeStyle = color;
      context.lineWidth = size;
      context.strokeRect((box.x - this.from) * scale + 0.5, RULER + box.depth * ROW - this.top + 0.5, Math.max(1, box.w * scale - 1), ROW - 2);
    }
    if (picture.lanes?.length) this.drawCaption(context, picture.lanes[0].depth - 1, `beside the request: tasks and threads${picture.scaled ? ", long ones at a scale of their own" : ""} (a click opens one)`);
    if (picture.above) this.drawCaption(context, 0, picture.above);
    this.drawRuler(context, scale, style);
    this.drawMap(colors);
  }

  drawCaption(context, depth, text) {
    const y = RULER + depth * ROW - this.top;
    if (y < RULER || y > this.canvas.clientHeight) return;
    context.fillStyle = isDark() ? "#a8a29e" : "#57534e";
    context.fillText(text, 4, y + ROW / 2);
  }

  drawRuler(context, scale, style) {
    const width = this.canvas.clientWidth;
    context.fillStyle = style.getPropertyValue("--band");
    context.fillRect(0, 0, width, RULER);
    const { at, step } = ticks(this.from, this.to, width);
    context.fillStyle = style.getPropertyValue("--soft");
    const digits = step >= 1e6 ? 0 : Math.min(3, Math.ceil(6 - Math.log10(step)));
    for (const ns of at) {
      const x = (ns - this.from) * scale;
      context.fillRect(x, RULER - 5, 1, 5);
      const text = this.to >= 1e9 && step >= 1e7 ? `${(ns / 1e9).toFixed(step >= 1e9 ? 0 : 2)} s` : this.to < 1e4 ? duration(ns) : `${(ns / 1e6).toFixed(digits)} ms`;
      if (x + 60 < width) context.fillText(text, x + 3, RULER / 2);
    }
  }

  drawLevel(context, level, y, scale, lane) {
    let painted = -1; // right edge of what is there already, in pixels
    for (let i = firstAfter(level, this.from); i < level.x.length && level.x[i] < this.to; i++) {
      const left = (level.x[i] - this.from) * scale;
      const width = level.w[i] * scale;
      if (left + width < painted + 0.5) continue;
      const node = level.node[i];
      const found = this.marked?.has(node);
      context.globalAlpha = this.marked && !found ? 0.25 : 1;
      context.fillStyle = level.text ? "#57534e" : this.options.color(node);
      context.fillRect(left, y, Math.max(0.5, width > 2 ? width - 1 : width), ROW - 1);
      painted = left + width;
      if (width < 26) continue;
      const inner = Math.max(left, 0);
      const room = Math.min(left + width, this.canvas.clientWidth) - inner - 6;
      if (room < 3 * this.letter) continue;
      const name = lane && lane.node === node ? `${lane.open ? "▾" : "▸"} ${this.options.lane?.(node, level.w[i]) || this.options.name(node)}` : level.text?.[i] ?? this.options.name(node);
      context.fillStyle = level.text ? "#fff" : this.options.ink(node);
      context.fillText(fitted(context, name, room, this.letter), inner + 3, y + ROW / 2);
      if (found) context.fillRect(left, y + ROW - 3, width - 1, 2);
    }
    context.globalAlpha = 1;
  }

  /** How deep the stack is at each place, and which part of it is shown. */
  drawMap(colors) {
    const context = surface(this.map, MAP);
    const width = this.map.clientWidth;
    const scale = width / (this.picture.width || 1);
    const deep = Math.max(1, this.picture.levels.length);
    context.fillStyle = colors.soft;
    this.picture.levels.forEach((level, depth) => {
      const y = (depth / deep) * MAP;
      let painted = -1;
      for (let i = 0; i < level.x.length; i++) {
        const left = level.x[i] * scale;
        const size = level.w[i] * scale;
        if (left + size < painted + 1) {
          i = Math.max(i, firstAfter(level, (painted + 1) / scale) - 1);
          if (level.x[i] * scale + level.w[i] * scale < painted + 1) continue;
        }
        context.fillRect(left, y, Math.max(0.5, size), MAP / deep + 0.5);
        painted = left + size;
      }
    });
    context.strokeStyle = colors.focus;
    context.lineWidth = 2;
    context.strokeRect(this.from * scale + 1, 1, Math.max(2, (this.to - this.from) * scale - 2), MAP - 2);
  }
}
