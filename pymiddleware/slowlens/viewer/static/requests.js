// requests.js - the list of requests: filter, sort, page by page.
import * as api from "./api.js";
import { el } from "./dom.js";
import { bytes, count, ms, tame, when } from "./format.js";
import { format, listQuery } from "./state.js";
import { cell, header } from "./table.js";

const COLUMNS = [
  { title: "" },
  { title: "When", sort: "started" },
  { title: "Method", sort: "method" },
  { title: "Request", class: "path", sort: "route" },
  { title: "Status", sort: "status", class: "status" },
  { title: "Wall ms", sort: "wall_ms", number: true },
  { title: "CPU ms", sort: "cpu_ms", number: true },
  { title: "Waiting ms", sort: "waiting_ms", number: true },
  { title: "Calls / samples", sort: "calls", number: true },
  { title: "Mode", sort: "mode" },
  { title: "Size", sort: "bytes", number: true },
  { title: "Keep" },
];

function keepButton(request) {
  const button = el("button", { type: "button", class: "keep", click: async () => {
    const { pinned } = await api.pin(request.id, button.getAttribute("aria-pressed") !== "true");
    say(pinned);
  } });
  const say = (pinned) => {
    button.setAttribute("aria-pressed", String(pinned));
    button.setAttribute("aria-label", `Keep ${tame(request.path, 60)} for ever`);
    button.textContent = pinned ? "★ kept" : "☆ keep";
  };
  say(request.pinned);
  return button;
}

function row(request, picked) {
  const waiting = request.waiting_ms + request.await_ms;
  const values = [
    el("input", { type: "checkbox", value: request.id, "aria-label": `Choose ${tame(request.method, 20)} ${tame(request.path, 60)} ${when(request.started)}`, change: picked }),
    when(request.started),
    tame(request.method, 20),
    [el("a", { href: format({ r: request.id }) }, tame(request.path)),
      request.hot ? el("span", { class: "hot" }, tame(request.hot)) : null,
      request.tags.length ? el("span", { class: "hot" }, request.tags.map((tag) => tame(tag, 60)).join(" · ")) : null],
    request.status || "–",
    ms(request.wall_ms), ms(request.cpu_ms), ms(waiting), count(request.calls + request.c_calls),
    request.mode, bytes(request.bytes), keepButton(request),
  ];
  return el("tr", { class: request.status >= 500 ? "bad" : null, "data-id": request.id },
    COLUMNS.map((column, i) => cell(column, ...[values[i]].flat())));
}

function filterForm(state, go) {
  const field = (label, name, attributes = {}) =>
    el("label", {}, label, el("input", { name, value: state[name] || "", ...attributes }));
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    go({ ...state, ...values });
  };
  return el("form", { class: "filter", role: "search", submit },
    field("Text", "q", { type: "search", placeholder: "path, route or function" }),
    field("Route", "route"),
    field("Tag", "tag", { size: 10, placeholder: "key=value" }),
    field("Method", "method", { size: 6 }),
    field("Status", "status", { size: 6, placeholder: "5xx" }),
    field("At least ms", "min_ms", { type: "number", min: 0, step: "any", size: 6 }),
    el("label", {}, "Mode", el("select", { name: "mode" }, [["", "any"], ["sampling", "sampling"], ["deterministic", "deterministic"]].map(
      ([value, title]) => el("option", { value, selected: (state.mode || "") === value }, title)))),
    field("From", "since", { type: "datetime-local", step: 1 }),
    field("Until", "until", { type: "datetime-local", step: 1 }),
    el("button", { type: "submit" }, "Filter"),
    el("button", { type: "button", click: () => go({ page: "requests", sort: state.sort }) }, "Clear"));
}

function empty(state) {
  const filtered = ["q", "route", "method", "status", "min_ms", "mode", "since", "until", "tag"].some((name) => state[name]);
  if (filtered) return el("p", { class: "empty" }, "No stored request matches this filter.");
  return el("div", { class: "empty" },
    el("h2", {}, "No profiles yet"),
    el("p", {}, "Open a page of your app in another tab, then come back: its request appears here. ",
      "Outside development only slow, failing and worst requests are kept; the option “keep” decides."));
}

/** Shows the list in `main`. `go(state)` moves on; returns a function that stops it. */
export async function show(main, state, go) {
  const sort = state.sort || "-started";
  const body = el("tbody");
  const more = el("button", { type: "button", hidden: true }, "More");
  const table = el("table", { "aria-label": "Requests" },
    header(COLUMNS, sort, (next) => go({ ...state, page: "requests", sort: next })), body);
  let cursor = null;
  const chosen = () => Array.from(body.querySelectorAll("input:checked"), (box) => box.value).sort();
  const compare = el("button", { type: "button", disabled: true, click: () => {
    const [a, b] = chosen(); // ids stand in the order of time
    go({ page: "diff", a, b });
  } }, "Compare two");
  const removal = el("button", { type: "button", disabled: true, click: async () => {
    for (const id of chosen()) {
      await api.remove(id);
      body.querySelector(`[data-id="${id}"]`)?.remove();
    }
    picked();
  } }, "Delete chosen");
  const picked = () => {
    compare.disabled = chosen().length !== 2;
    removal.disabled = chosen().length === 0;
  };

  async function load() {
    const query = listQuery(state);
    if (cursor) query.cursor = cursor;
    const page = await api.requests(query);
    body.append(...page.requests.map((one) => row(one, picked)));
    cursor = page.next;
    more.hidden = cursor === null;
    return page.requests.length;
  }
  more.addEventListener("click", () => load());

  const loaded = await load();
  const tools = el("p", { class: "downloads" }, compare, removal, el("span", { class: "hint" }, "Choose two requests to see what one took more than the other."));
  main.replaceChildren(filterForm(state, go), ...(loaded ? [tools, table] : [empty(state)]), more);

  // New requests come in by themselves while the newest are on top.
  let latest = body.firstElementChild?.dataset.id || "";
  const timer = setInterval(async () => {
    if (document.hidden || sort !== "-started") return;
    const page = await api.requests({ ...listQuery(state), limit: 20 }).catch(() => null);
    if (!page) return;
    const fresh = page.requests.filter((request) => request.id > latest);
    if (!fresh.length) return;
    if (!latest) return go(state);
    body.prepend(...fresh.map((one) => row(one, picked)));
    latest = fresh[0].id;
  }, 3000);
  return () => clearInterval(timer);
}
