// The list of requests.
import * as api from "./api.js";
import { bar, kindsKey, rowSplit } from "./colors.js";
import { button, choice, el, header, tableRow } from "./dom.js";
import { filterBox } from "./filterbox.js";
import { FEW, count, duration, middle, modeOf, moment, ms, several, tame, when } from "./format.js";
import { answered, entry, go, isGone, notice, recall, remember, removeLater, server, slot } from "./shell.js";
import { format, join, listQuery, textOf, withText, write } from "./state.js";

export const keepsScroll = true;

const POLL = 2000;
const COLUMNS = [
  { title: "Choose", class: "pick" },
  { title: "When", sort: "ended", class: "when" },
  { title: "Request", class: "path", sort: "route" },
  { title: "Status", sort: "status", class: "status" },
  { title: "Hot path", class: "hot" },
  { title: "Wall ms", sort: "wall_ms", number: true, class: "wall" },
  { title: "Time", class: "split" },
  { title: "Mode", sort: "mode", class: "mode" },
  { title: "Queries", sort: "db_count", number: true, class: "queries" },
  { title: "Keep", class: "keep" },
];
const SORTS = [
  ["-ended", "newest"], ["ended", "oldest"], ["-started", "began last"], ["-wall_ms", "slowest"], ["-cpu_ms", "most CPU"], ["-waiting_ms", "most waiting"],
  ["-db_count", "most queries"], ["-db_ms", "longest in queries"], ["-calls", "most calls"], ["-bytes", "largest profile"], ["-status", "status"], ["route", "route"], ["mode", "mode"],
];
const TIMES = [["", "any time"], ["15m", "last 15 min"], ["1h", "last hour"], ["24h", "last day"], ["7d", "last week"]];
const MENDED = new Set(["n+1", "slow-query", "holds-loop", "repeats"]);
const MODES = [["", "any mode"], ["det", "exact"], ["sampling", "sampled"]];

function keepButton(request) {
  const one = button("", async () => {
    try {
      say((await api.pin(request.id, one.getAttribute("aria-pressed") !== "true")).pinned);
    } catch (error) {
      notice(error.message);
    }
  }, { class: "keep changes" });
  const say = (pinned) => {
    one.setAttribute("aria-pressed", String(pinned));
    one.setAttribute("aria-label", `Keep ${tame(request.path, 60)} for ever`);
    one.title = pinned ? "Kept for ever: click to let it go" : "Keep for ever";
    one.textContent = pinned ? "★" : "☆";
  };
  say(request.pinned);
  return one;
}

/** A row's hot path, from left to right whatever script names are in; the share of few samples looks it. Pure. */
export function hotPath({ hot, mode, calls }) {
  const text = tame(hot || "").replace(/ (\d+)\s?%$/, mode === "sampling" && calls < FEW / 4 ? " about $1 %" : " $1 %");
  return /[\u0590-\u08ff]/.test(text) ? text.replace(/ (>|(about )?\d+ %$)/g, "\u200e $1") : text;
}

/** Findings to mend come before waits. Pure. */
export const ranked = (findings) => [...findings].sort((a, b) => MENDED.has(b) - MENDED.has(a));

function row(request, page) {
  const found = ranked(request.findings);
  const filtered = (name, value) => format(page.with(name, write(name, value)));
  const name = `${tame(request.method, 20)} ${tame(request.path)}`;
  const link = el("a", { href: format({ r: request.id }), "data-row": true }, middle(tame(request.path || request.route || "?"), 70));
  const values = [
    el("input", { type: "checkbox", value: request.id, "aria-label": `Choose ${middle(name, 80)} ${when(request.ended)}`, change: page.picked }),
    el("time", { title: `ended ${moment(request.ended)}, began ${moment(request.started)}` }, when(request.ended)),
    [el("span", { class: "method" }, tame(request.method, 20)), " ", link, request.tags.map((tag) => [" ", el("a", { class: "tag", href: filtered("tag", tag), title: "Only requests with this tag" }, middle(tame(tag, 100), 28))])],
    request.killed ? el("span", { title: "Its process died before it ended" }, "killed") : request.kind === "checkpoint" ? el("span", { title: "It had not ended when this was stored" }, "runs") : request.status || "–",
    [found.slice(0, 2).map((one) => [el("a", { class: "finding", href: filtered("finding", one), title: "Only requests with this finding" }, tame(one, 30)), " "]),
      found.length > 2 ? [el("span", { class: "finding", title: tame(found.slice(2).join(", ")) }, `+${found.length - 2}`), " "] : null, el("span", { title: hotPath(request) }, hotPath(request))],
    el("span", { class: request.wall_ms < 1e6 && "ms" }, ms(request.wall_ms)), el("div", { class: "barbox" }), modeOf(request.mode), request.db_count ? el("span", { title: `${several(request.db_count, "query", "queries")}, ${duration(request.db_ms * 1e6)}` }, count(request.db_count)) : "", keepButton(request),
  ];
  const made = tableRow(COLUMNS, values, { class: request.status >= 500 ? "bad" : request.killed ? "bad killed" : null, "data-id": request.id, "data-mode": request.mode });
  made.request = request;
  return made;
}

function empty(state) {
  if (textOf(state)) return el("p", { class: "empty" }, "No stored request matches this filter.");
  return el("div", { class: "empty" },
    el("h2", {}, "No profiles yet"),
    el("p", {}, "Open a page of your app in another tab, then come back: its request appears here. ",
      "Outside development only slow, failing and worst requests are kept; the option “keep” decides."));
}

class List {
  constructor(main) {
    this.state = {};
    this.body = el("tbody");
    this.known = { tag: new Set(), host: new Set(), release: new Set(), finding: new Set() }; // as far as rows showed them
    this.routes = [];
    this.fields = [];
    this.terms = [];
    this.turn = 0;
    this.picked = () => this.countPicked();
    this.compareButton = button("Compare two", () => this.compare(), { disabled: true, title: "Choose two requests to see what one took more than the other (c)" });
    this.removal = button("Delete chosen", () => this.remove(), { disabled: true, class: "changes" });
    this.more = button("More", () => this.load().catch((error) => notice(error.message)), { hidden: true });
    this.news = button("", () => this.takeNews(true), { class: "news", hidden: true });
    this.range = el("span", { class: "range" });
    this.legend = el("ul", { class: "inline", "aria-label": "Colours" });
    this.quick = el("span", { class: "quick", role: "group", "aria-label": "Quick filters" });
    this.order = el("span", { class: "order" });
    this.box = filterBox(() => ({ ...Object.fromEntries(Object.entries(this.known).map(([name, all]) => [name, [...all]])), route: this.routes, fields: this.fields }), (text) => this.filter(text));
    this.table = el("table", { class: "requests", "aria-label": "Requests" });
    this.place = el("div", { class: "rows" });
    slot().replaceChildren(this.box.form);
    main.replaceChildren(el("h1", { class: "offscreen" }, "Requests"),
      el("div", { class: "toolbar" }, this.range, this.quick, this.compareButton, this.removal, this.news, this.legend, this.order), this.place, this.more);
  }

  /** Shows what a state asks for; until there is an answer, what was there stays. */
  async apply(state) {
    const turn = ++this.turn;
    const next = { state, key: `list ${entry()}`, sort: state.sort || "-ended", body: el("tbody", { click: (event) => this.open(event) }), seen: new Set(), fresh: [], cursor: null, most: 0, mark: "" };
    const before = recall(next.key) || {};
    const old = { state: this.state, key: this.key, sort: this.sort, body: this.body, seen: this.seen, fresh: this.fresh, cursor: this.cursor, most: this.most, mark: this.mark };
    Object.assign(this, next);
    this.news.hidden = true;
    this.refused = false;
    try {
      await this.load(Math.min(before.rows || 0, 2000));
    } catch (error) {
      if (turn !== this.turn) return;
      if (![400, 503].includes(error.status)) throw error;
      this.refused = true; // asking again would not help
      this.box.refuse(textOf(state), error.message); // what was written, and the rows, stay
      this.terms = [];
      if (old.key) Object.assign(this, { ...old, state, key: next.key });
      else this.place.replaceChildren(el("p", { class: "empty" }, "This filter cannot be read: mend it above."));
      return;
    }
    if (turn !== this.turn) return;
    this.box.show(this.terms);
    this.drawTools();
    this.table.replaceChildren(header(COLUMNS, this.sort, (sort) => this.resort(sort)), this.body);
    this.place.replaceChildren(this.body.children.length ? this.table : empty(state));
    for (const id of before.chosen || []) {
      const box = this.body.querySelector(`input[value="${id}"]`);
      if (box) box.checked = true;
    }
    this.countPicked();
    scrollTo(0, before.scroll || 0);
    if (before.focus) this.body.querySelector(`[data-id="${before.focus}"] a[data-row]`)?.focus({ preventScroll: true });
  }

  drawTools() {
    const { sort, terms, turn } = this;
    const of = (name) => terms.find((one) => one.name === name)?.text || "";
    const pick = (name, label, choices, value) => choice(label, choices.some(([one]) => one === value) ? choices : [...choices, [value, value]], value,
      (next) => this.filter(join(terms, name, next && (name === "last" ? write(name, next) : next))));
    this.range.replaceChildren(pick("last", "Time", TIMES, of("last").replace("last:", "")), pick("mode", "Mode", MODES, of("mode")));
    this.order.replaceChildren(choice("Sort", SORTS.some(([name]) => name === sort) ? SORTS : [...SORTS, [sort, sort]], sort, (next) => this.resort(next)));
    const { filter, zone } = listQuery(this.state);
    api.counts({ filter, zone }).then(({ counts, most }) => turn === this.turn && this.quick.replaceChildren(...counts.map((one) => {
      const on = terms.some((term) => term.text === one.term);
      const text = on ? join(terms.filter((term) => term.text !== one.term)) : join(terms, null, one.term);
      return button([one.title, " ", el("b", {}, count(one.count), one.count < most ? "" : "+")], () => this.filter(text), { "aria-pressed": String(on), title: one.term, disabled: !one.count && !on });
    })), () => {});
  }

  open(event) {
    if (event.target.closest("a, button, input")) return;
    const at = event.target.closest("tr");
    if (at && !String(getSelection())) go({ r: at.dataset.id });
  }

  with(name, text) {
    return { ...withText(this.state, join(this.terms, name, text)), page: "requests" };
  }

  filter(text) {
    go({ ...withText(this.state, text), page: "requests" });
  }

  resort(sort) {
    go({ ...this.with("sort"), sort });
  }

  chosen() {
    return Array.from(this.body.querySelectorAll("input:checked"), (box) => box.value);
  }

  countPicked() {
    const many = this.chosen().length;
    this.compareButton.disabled = many !== 2;
    this.removal.disabled = many === 0;
  }

  compare() {
    const two = this.chosen();
    if (two.length !== 2) return;
    const [a, b] = two.sort(); // ids stand in the order of time
    go({ page: "diff", a, b });
  }

  remove() {
    const ids = this.chosen();
    const gone = ids.map((id) => [this.body.querySelector(`[data-id="${id}"]`), this.body.querySelector(`[data-id="${id}"]`).nextSibling]);
    const focus = gone.at(-1)?.[1]?.querySelector?.("a") || this.body.querySelector("a");
    gone.forEach(([one]) => one.remove());
    removeLater(ids, () => {
      for (const [one, next] of gone.reverse()) this.body.insertBefore(one, next?.isConnected ? next : null);
      this.countPicked();
    });
    focus?.focus({ preventScroll: true });
    this.countPicked();
  }

  add(requests, top = false) {
    const made = requests.filter((one) => !isGone(one.id) && !this.seen.has(one.id)).map((one) => {
      this.seen.add(one.id);
      one.tags.forEach((tag) => this.known.tag.add(tag));
      if (one.db_count) this.table.classList.add("counted"); // else the column would be empty
      one.findings.forEach((finding) => this.known.finding.add(finding));
      for (const name of ["host", "release"]) if (one[name]) this.known[name].add(one[name]);
      return row(one, this);
    });
    if (top) this.body.prepend(...made);
    else this.body.append(...made);
    this.scale();
    const first = this.body.querySelector("a[data-row]");
    this.body.querySelector("[data-first]")?.removeAttribute("data-first");
    first?.setAttribute("data-first", "");
  }

  /** Bars stand to scale with the slowest row shown. */
  scale() {
    const most = Math.max(1e-6, ...Array.from(this.body.children, (one) => one.request.wall_ms));
    if (most !== this.most) for (const one of this.body.children) one.drawn = false;
    this.most = most;
    const kinds = new Set();
    for (const one of this.body.children) {
      const { wall_ms: wall } = one.request;
      one.split ||= rowSplit(one.request);
      for (const part of one.split) kinds.add(part.kind);
      if (one.drawn) continue;
      one.drawn = true;
      one.querySelector(".barbox").replaceChildren(bar("Wall time", one.split, wall * 1e6, wall / most));
    }
    this.legend.replaceChildren(...kindsKey([...kinds]));
  }

  async load(least = 0) {
    const { body } = this;
    do {
      const query = { ...listQuery({ ...this.state, sort: this.sort }), limit: least > 50 ? 200 : 50 };
      if (this.cursor) query.cursor = this.cursor;
      const page = await api.requests(query);
      if (body !== this.body) return; // another filter meanwhile
      this.add(page.requests);
      this.cursor = page.next;
      this.mark ||= page.mark;
      this.terms = page.terms;
      this.sort = page.sort;
    } while (this.cursor && body.children.length < least);
    this.more.hidden = this.cursor === null;
  }

  /** What was stored since, whenever it began. */
  async poll() {
    if (document.hidden || this.polling || this.refused || !this.mark) return; // files stay as they are
    this.polling = true;
    try {
      const { body } = this;
      const page = await api.requests({ ...listQuery({ ...this.state, sort: "-ended" }), stored_since: this.mark, limit: 500 });
      if (body !== this.body) return; // another filter meanwhile
      this.mark = page.mark;
      const have = new Set(this.fresh.map((one) => one.id));
      this.fresh.unshift(...page.requests.filter((one) => !this.seen.has(one.id) && !have.has(one.id) && !isGone(one.id)));
      if (this.fresh.length) this.takeNews(false);
      answered(this.place);
    } catch (error) {
      answered(this.place, error);
    } finally {
      this.polling = false;
    }
  }

  /** Puts in what is new, unless the reader is busy below. */
  takeNews(asked) {
    const busy = scrollY > 30 || this.body.matches(":hover") || this.body.contains(document.activeElement) || this.chosen().length > 0;
    if (!asked && (busy || this.sort !== "-ended")) {
      this.news.hidden = false;
      this.news.textContent = `${count(this.fresh.length)} new`;
      return;
    }
    this.news.hidden = true;
    if (asked) scrollTo(0, 0);
    if (this.sort !== "-ended") return void this.apply(this.state).catch((error) => notice(error.message));
    if (!this.table.isConnected) this.place.replaceChildren(this.table);
    this.add(this.fresh, true);
    this.fresh = [];
  }

  save() {
    const focused = document.activeElement?.closest?.("tbody tr")?.dataset.id;
    const now = { rows: this.body.children.length, scroll: Math.round(scrollY), focus: focused, chosen: this.chosen(), hash: format(this.state) };
    remember(this.key, now);
    remember("last list", now);
  }
}

export async function show(main, state) {
  const list = new List(main);
  const save = () => list.save();
  addEventListener("scrollend", save);
  await list.apply(state);
  const timer = setInterval(() => list.poll(), POLL);
  api.routes().then(({ routes }) => {
    list.routes = [...new Set(routes.map((one) => one.route))];
  }, () => {});
  server().then(({ fields }) => {
    list.fields = fields || [];
  });
  return {
    title: "Requests", save,
    update(next) {
      save();
      list.apply(next).catch((error) => notice(error.message));
      return true;
    },
    stop() {
      save();
      clearInterval(timer);
      removeEventListener("scrollend", save);
    },
    search: () => list.box.focus(),
    compare: () => list.compare(),
    pick: () => document.activeElement?.closest?.("tr")?.querySelector("input[type=checkbox]")?.click(),
  };
}
