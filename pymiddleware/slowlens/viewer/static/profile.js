// One request, or a route's merged profiles.
import * as api from "./api.js";
import { bar, said, timeSplit } from "./colors.js";
import { button, el, menu } from "./dom.js";
import { FlameModel, invert, mergeRecursion } from "./flamemodel.js";
import { OWN_COST, count, duration, hasSamples, label, middle, several, share, tame } from "./format.js";
import { answered, back, copy, entry, go, removeLater, server, slot, toList } from "./shell.js";
import { sidePanel, place } from "./side.js";
import { format } from "./state.js";
import { LAYERS } from "./tables.js";
import { answer, comparison, curl, how, isSampled, linked, markdown, samplesOf } from "./summary.js";
import { ViewPage } from "./viewpage.js";
import { viewsOf } from "./views.js";

export const fixed = true;

/** Views whose tree can be shaped: recursion merged, upside down. */
const SHAPED = new Set(["tree", "flame"]);

class Page extends ViewPage {
  constructor(state, profile, summary) {
    super(viewsOf(state.r === "aggregate"), state, `${state.r} ${state.route || ""}`);
    this.profile = profile;
    this.summary = summary;
    this.wall = summary.wall_ns;
    this.shared = summary.shared_ns; // what shares are of: without what recording took
    this.samples = samplesOf(summary);
    this.sampled = isSampled(summary);
    this.merged = state.r === "aggregate";
    this.models = new Map();
    this.title = this.name();
  }

  name() {
    const { meta } = this.summary;
    return `${tame(meta.method || "")} ${tame(this.merged ? meta.route : meta.path || meta.route || "")}`.trim();
  }

  share(part) {
    return share(part === this.wall ? this.shared : part, this.shared, this.samples);
  }

  /** What the number of calls of a function is: "calls"; with it, "1 call". */
  counted(callee, many) {
    const one = !this.sampled ? "call" : hasSamples(callee) ? "sample" : "time";
    return many === undefined ? `${one}s` : several(many, one);
  }

  /** "800×"; samples are no calls. */
  times(calls) {
    return this.sampled || !calls ? "" : `${count(calls)}×`;
  }

  /** Whether a state is another state of this very page. */
  isOf(state) {
    return state.r === this.state.r && (!this.merged || format(api.routeOf(state)) === format(api.routeOf(this.state)));
  }

  /** Whether the tree stands upside down, with numbers of its own for its nodes. */
  get inverted() {
    return this.state.invert === "1" && SHAPED.has(this.view);
  }

  modelKey(node = 0, shape = "") {
    return `${node} ${shape}`;
  }

  /** The tree in columns: of all of it, or of what the flame graph is cut to; in the shape that was asked for. */
  model() {
    const shape = this.inverted ? invert : this.state.recursion === "1" && SHAPED.has(this.view) ? mergeRecursion : null;
    const below = this.view === "flame" && this.state.root ? { node: this.state.root } : {};
    const key = this.modelKey(below.node, shape?.name);
    if (!this.models.has(key)) {
      this.models.set(key, this.profile.flame(below).then((report) => new FlameModel(shape ? shape(report) : report)));
    }
    return this.models.get(key);
  }

  /** A view says what was chosen in it. */
  chose(one) {
    if (!one) return;
    this.keep({ node: this.inverted ? undefined : one.node, fn: one.callee.fn ?? one.callee.id });
    this.side.show(one);
  }

  /** Something outside of the view says what is chosen: a node, or a function (then its heaviest node). */
  async choose({ node, fn }) {
    if (this.inverted && node !== undefined) return this.open({ invert: undefined, node, fn });
    const at = node ?? (await this.nodeOf(fn));
    if (fn !== undefined) this.keep({ fn, node: this.inverted ? undefined : at });
    if (this.panel.choose) await this.panel.choose({ node: at, fn });
    else if (fn !== undefined) this.open({ fn, node: at });
    return undefined;
  }

  async nodeOf(fn) {
    const model = await this.model();
    let best = -1;
    for (let i = 0; i < model.size; i++) {
      if (model.callee(i).id === fn && (best < 0 || model.total[i] > model.total[best])) best = i;
    }
    return best < 0 ? undefined : model.nodes[best];
  }

  async chosenNode(usual) {
    const first = this.inverted ? undefined : usual;
    if (this.state.node !== undefined && !this.inverted) return Number(this.state.node);
    const fn = this.chosenFunction();
    return fn === undefined ? first : (await this.nodeOf(fn)) ?? first;
  }

  chosenFunction() {
    return this.state.fn === undefined ? undefined : Number(this.state.fn);
  }

  sentence() {
    const text = answer(this.summary);
    if (!text) return el("p", { class: "answer" }, this.summary.findings ? "No function stands out." : "…");
    return el("p", { class: "answer", title: text }, linked(text, this.summary).map((part) => {
      if (typeof part === "string") return part;
      if (part.id) return el("a", { href: format({ r: part.id }) }, part.text);
      if (part.view) return button(part.text, () => this.open({ view: part.view }), { class: "link" });
      if (part.node !== undefined) return button(part.text, () => this.choose({ node: part.node }), { class: "link", title: "Show it in this view" });
      return [button(part.text, () => this.open({ view: "source", fn: part.fn, node: undefined }), { class: "link", title: "Its source, with times" }), this.editor(part)];
    }));
  }

  /** What took a search, behind what is seen first. */
  tell({ headline, findings }) {
    Object.assign(this.summary, { headline, findings });
    this.side.tell();
    const now = this.sentence();
    if (this.told.textContent === now.textContent) return;
    const at = [...this.told.children].indexOf(document.activeElement);
    this.told.replaceWith(now);
    now.children[at]?.focus();
    this.told = now;
  }

  editor({ file, line }) {
    const link = place(file, line, "✎");
    return link.tagName === "A" ? [" ", link] : null;
  }

  menus() {
    const { meta } = this.summary;
    const { state, profile } = this;
    const link = (values, text) => el("a", { href: format(values) }, text);
    const downloads = el("div", {});
    const fill = (formats) => downloads.replaceChildren(...formats.map((one) => el("a", { href: profile.download(one.name), download: true }, one.title)));
    server().then(({ formats = [] }) => fill(formats));
    const route = { route: meta.route, method: meta.method };
    const id = state.r;
    const split = timeSplit(meta, this.wall);
    return [
      meta.route ? menu("Compare", [
        this.merged ? null : link({ page: "diff", a: "aggregate", b: id, ...route }, "with the mean of its route"),
        this.merged ? null : link({ r: "aggregate", ...route }, "All of its route, merged"),
        link({ page: "cohort", ...route }, "Slow ones of its route with the usual"),
        link({ page: "requests", route: meta.route, sort: "-wall_ms" }, "Requests of this route")].filter(Boolean)) : null,
      menu("Copy", [
        button("link", () => copy(location.href, "Link")),
        this.merged ? null : button("curl command", () => copy(curl(meta, location.origin), "Command")),
        this.merged ? null : button("slowlens command", () => copy(`slowlens tree ${id}`, "Command")),
        button("markdown", () => copy(markdown(this.summary, location.href, split), "Markdown"))].filter(Boolean)),
      menu("Download", [downloads, this.merged ? null : el("a", { href: `firefox?r=${encodeURIComponent(id)}`, target: "_blank", rel: "noopener" }, "Open in Firefox Profiler")].filter(Boolean)),
      this.merged ? null : button("Delete", () => {
        removeLater([id], () => go({ r: id }));
        toList();
      }, { class: "quiet changes" }),
    ].filter(Boolean);
  }

  compare(route) {
    const beside = comparison(this.wall, route);
    if (!beside) return;
    this.usual.replaceChildren(" · ", el("span", { class: beside.times >= 2 ? "more" : null, title: beside.whole }, beside.text));
  }

  top() {
    const { meta } = this.summary;
    const cost = this.merged ? 0 : this.wall - this.shared;
    const status = meta.status ? el("span", { class: meta.status >= 500 ? "status bad" : "status" }, meta.status) : null;
    return el("div", { class: "titlebar" },
      back(),
      el("h1", { title: this.title }, middle(this.title, 52), " ", status),
      el("p", { class: "brief" }, el("strong", {}, duration(this.merged ? this.wall / (meta.merged || 1) : this.wall)), this.merged ? " on average" : "",
        cost > this.wall / 50 ? el("span", { title: `Recording every call took ${duration(cost)} of it: taken off every function, and put in ${OWN_COST}.` }, ` (≈ ${duration(this.shared)} unprofiled)`) : null,
        this.usual, ` · ${how(this.summary)}`),
      el("div", { class: "actions" }, this.menus()));
  }

  build(main) {
    const { meta } = this.summary;
    this.usual = el("span");
    this.told = this.sentence();
    this.side = sidePanel(this);
    const sideButton = button("Panel", () => this.toggleSide(), { class: "quiet", "aria-controls": "side", "aria-pressed": "true", title: "Show or hide the panel (s)" });
    this.sideButton = sideButton;
    const split = timeSplit(meta, this.wall);
    // The largest first, and how much was asked of others: on a small window the rest is cut off.
    const key = [...split].sort((a, b) => b.ns - a.ns).map((part) => el("li", {}, el("span", { class: `key k-${part.kind}` }), `${part.title} ${duration(part.ns)}`));
    key.splice(2, 0, ...Object.entries(LAYERS).filter(([kind]) => meta[`${kind}_count`]).map(([kind, title]) => el("li", {}, `${title} ${count(meta[`${kind}_count`])}`)));
    const measured = meta.cpu_ns !== undefined && !meta.merged;
    slot().replaceChildren(this.top());
    main.replaceChildren(
      this.told,
      el("div", { class: "splitline" }, measured ? [bar("Wall time", split, this.wall), el("ul", { class: "inline", "aria-hidden": "true", title: said(split, this.wall) }, key)] : null, this.search.form),
      el("div", { class: "viewbar" }, this.tabs, this.tools, sideButton),
      el("div", { class: "work" }, this.area, this.side.root));
    main.querySelectorAll(":scope > :empty").forEach((one) => one.tagName === "P" && one.remove());
    this.main = main;
    this.showSide();
  }

  toggleSide() {
    this.keep({ side: this.state.side === "0" ? undefined : "0" });
    this.showSide();
  }

  showSide() {
    const on = this.state.side !== "0";
    this.main.classList.toggle("noside", !on);
    this.sideButton.setAttribute("aria-pressed", String(on));
  }
}

export async function show(main, state) {
  entry();
  const { profile, ...first } = api.asked(state);
  const summary = await first.summary;
  const { meta } = summary;
  summary.heaviest = summary.heaviest.filter((one) => one.function.name !== OWN_COST);
  const page = new Page(state, profile, summary);
  page.first = first.tree;
  if (first.flame) page.models.set(page.modelKey(), first.flame.then((report) => new FlameModel(report)));
  page.build(main);
  if (meta.route && !page.merged) {
    // Nobody waits for this.
    api.routes({ route: meta.route }).then(({ routes }) => page.compare(routes.find((one) => one.method === meta.method)), () => {});
  }
  await page.showView();
  if (!summary.findings) profile.summary().then((found) => page.tell(found), (error) => {
    page.tell({ headline: summary.headline || "Findings are not known.", findings: [] });
    answered(page.told, error);
  });
  return {
    title: `${page.title} ${duration(page.wall)}`,
    update(next) {
      if (!page.isOf(next)) return false;
      const before = page.state;
      page.state = { ...next };
      page.showSide();
      if (page.view === page.shown && ["root", "recursion", "invert", "permille"].every((name) => before[name] === next[name])) {
        const values = Object.fromEntries(["node", "fn"].filter((name) => next[name] !== undefined).map((name) => [name, Number(next[name])]));
        if (next.fn !== before.fn || next.node !== before.node) page.panel.choose?.(values);
        return true;
      }
      page.showView();
      return true;
    },
    ...page.controls(),
    side: () => page.toggleSide(),
    functions: async () => (await profile.functions({ limit: 5000 })).rows.map((row) => ({
      kind: "function", text: label(row.function), note: `self ${page.share(row.self_ns)}`, act: () => page.choose({ fn: row.function.id }),
    })),
  };
}
