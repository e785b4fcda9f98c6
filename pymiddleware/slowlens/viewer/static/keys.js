// What keys do, anywhere; their help; the box that goes anywhere.
import * as api from "./api.js";
import { choice, el } from "./dom.js";
import { duration, tame, when } from "./format.js";
import { go, setting } from "./shell.js";

const KEYS = [
  ["/", "filter the list, search in a profile"], ["j  k", "next row, row before"], ["Enter", "open, or open the row's branch"],
  ["Esc", "leave a box, then go back to the list"], ["1 … 9", "views of a profile"], ["n  N", "next match of the search, match before"],
  ["x", "choose a row of the list to compare or delete"], ["c", "compare the two that are chosen"], ["s", "show or hide the panel at the side"],
  ["g r", "requests"], ["g o", "routes"], ["g l", "live"], ["g c", "changes"], ["Ctrl K", "go to any route, request, function or view"], ["?", "this"],
];
const EDITORS = {
  "": "none", "vscode://file/{file}:{line}": "VS Code", "cursor://file/{file}:{line}": "Cursor", "zed://file/{file}:{line}": "Zed",
  "pycharm://open?file={file}&line={line}": "PyCharm", "idea://open?file={file}&line={line}": "IntelliJ IDEA", "subl://open?url=file://{file}&line={line}": "Sublime Text",
};
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** The link that opens a line in the reader's editor; "" without one. `paths`: "/in/the/container=/here". Pure. */
export function editorLink(template, paths, file, line) {
  if (!template || !file || !file.startsWith("/") || !SCHEME.test(template) || /^(javascript|data|vbscript|blob|file):/i.test(template)) return "";
  const [from, to] = (paths || "").split("=");
  const here = from && to && file.startsWith(from) ? to + file.slice(from.length) : file;
  return template.replaceAll("{file}", here.split("/").map(encodeURIComponent).join("/")).replaceAll("{line}", String(line || 1));
}

function open(box) {
  document.querySelector("dialog")?.remove();
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

function showHelp() {
  const field = (label, name, hint) => el("label", { class: "choice" }, `${label} `,
    el("input", { type: "text", value: setting(name), placeholder: hint, size: 30, change: (event) => setting(name, event.target.value) }));
  open(el("dialog", { class: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys and settings"),
    el("dl", { class: "keys" }, KEYS.map(([key, text]) => el("div", {}, el("dt", {}, key.split("  ").map((one) => [el("kbd", {}, one), " "])), el("dd", {}, text)))),
    el("p", {}, choice("Theme", [["", "as the system"], ["light", "light"], ["dark", "dark"]], setting("theme"), (value) => {
      setting("theme", value);
      document.documentElement.dataset.theme = value;
      dispatchEvent(new Event("slowlens-theme"));
    }), choice("Single keys", [["", "on"], ["off", "off"]], setting("keys"), (value) => setting("keys", value))),
    el("p", {}, choice("Editor", Object.entries(EDITORS), setting("editor") in EDITORS ? setting("editor") : "", (value) => setting("editor", value)),
      field("or a link of your own", "editor", "myeditor://open?{file}:{line}")),
    el("p", {}, field("Where paths differ (containers)", "paths", "/app=/home/me/project")),
    el("form", { method: "dialog" }, el("button", {}, "Close"))));
}

const writes = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

function walk(by, page) {
  if (page?.step) return page.step(by);
  const rows = Array.from(document.querySelectorAll("main [data-row]"));
  const at = rows.findIndex((one) => one === document.activeElement || one.closest("tr")?.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return undefined;
}

/** Listens on the whole page. `page()`: the page that is shown. */
export function listen(page) {
  let before = ""; // "g" was pressed
  const single = {
    "/": () => page()?.search?.(), "?": showHelp, j: () => walk(1, page()), k: () => walk(-1, page()),
    n: () => page()?.match?.(1), N: () => page()?.match?.(-1), x: () => page()?.pick?.(), c: () => page()?.compare?.(), s: () => page()?.side?.(),
    g: () => {
      before = "g";
      setTimeout(() => {
        before = "";
      }, 1500);
    },
  };
  const places = { r: "requests", o: "routes", l: "live", c: "changes" };
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette(page());
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (writes(event.target)) {
        event.preventDefault(); // a search field would be emptied
        event.target.blur();
      } else {
        page()?.leave?.();
      }
      return;
    }
    if (writes(event.target) || setting("keys") === "off") return;
    if (before === "g" && places[event.key]) {
      before = "";
      event.preventDefault();
      go({ page: places[event.key] });
      return;
    }
    if (/^[1-9]$/.test(event.key) && page()?.view) {
      event.preventDefault();
      page().view(Number(event.key) - 1);
      return;
    }
    if (!single[event.key]) return;
    event.preventDefault();
    single[event.key]();
  });
  document.getElementById("palette").addEventListener("click", () => openPalette(page()));
  document.getElementById("help").addEventListener("click", showHelp);
}

const SHOWN = 12;

/** How well `text` answers `wanted`: higher is better, -1: not at all. Every letter must come, in order. Pure. */
export function score(wanted, text) {
  const low = text.toLowerCase();
  const want = wanted.toLowerCase();
  if (!want) return 0;
  const at = low.indexOf(want);
  if (at >= 0) return 1000 - at + (at === 0 || /[^a-z0-9]/.test(low[at - 1]) ? 500 : 0) - low.length / 100;
  let from = 0;
  let gaps = 0;
  for (const letter of want.replace(/\s+/g, "")) {
    const next = low.indexOf(letter, from);
    if (next < 0) return -1;
    gaps += next - from;
    from = next + 1;
  }
  return 400 - gaps - low.length / 100;
}

/** The best of `items` ({text, kind...}), best first; those of equal worth as they came. Pure. */
export function best(wanted, items, most = SHOWN) {
  return items.map((item, i) => ({ item, i, worth: score(wanted, item.text) })).filter((one) => one.worth >= 0)
    .sort((a, b) => b.worth - a.worth || a.i - b.i).slice(0, most).map((one) => one.item);
}

const places = () => [
  ...(document.getElementById("nav-live").hidden ? [] : [{ kind: "page", text: "Live", act: () => go({ page: "live" }) }]),
  { kind: "page", text: "Requests", act: () => go({ page: "requests" }) },
  { kind: "page", text: "Routes", act: () => go({ page: "routes" }) },
  { kind: "page", text: "Slowest requests", act: () => go({ page: "requests", sort: "-wall_ms" }) },
  { kind: "page", text: "Failed requests", act: () => go({ page: "requests", status: "error" }) },
];

function openPalette(page) {
  let items = [...(page?.places?.() || []), ...places()];
  let shown = [];
  let at = 0;
  let asked = 0;
  const list = el("ul", { role: "listbox", id: "palette-list", "aria-label": "Where to go" });
  const input = el("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
    "aria-label": "Go to a page, view, route, request or function", placeholder: "route, request, function, view…", autocomplete: "off", spellcheck: "false",
  });
  const box = el("dialog", { class: "palette", "aria-label": "Go to" }, input, list);
  const take = (i) => {
    box.close();
    shown[i]?.act();
  };
  const draw = () => {
    shown = best(input.value.trim(), items);
    at = Math.min(at, Math.max(0, shown.length - 1));
    list.replaceChildren(...(shown.length ? shown.map((item, i) => el("li", {
      role: "option", id: `palette-${i}`, "aria-selected": String(i === at), click: () => take(i),
    }, el("span", { class: "kind" }, item.kind), el("span", { class: "text" }, tame(item.text, 120)), item.note ? el("span", { class: "where" }, tame(item.note, 60)) : null))
      : [el("li", { role: "option", class: "none", "aria-selected": "false", "aria-disabled": "true" }, "Nothing of that name.")]));
    input.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const more = (found) => {
    if (!box.isConnected) return;
    items = [...items, ...found];
    draw();
  };
  input.addEventListener("input", () => {
    at = 0;
    draw();
    const wanted = input.value.trim();
    const mine = ++asked;
    if (wanted.length < 2) return;
    // Requests are asked for by what was written, once the writer pauses.
    setTimeout(() => mine === asked && api.requests({ q: wanted, limit: 8, sort: "-wall_ms" }).then(({ requests }) => {
      const have = new Set(items.map((item) => item.id));
      more(requests.filter((one) => !have.has(one.id)).map((one) => ({
        kind: "request", id: one.id, text: `${one.method} ${one.path}`, note: `${duration(one.wall_ms * 1e6)} · ${when(one.started)}`, act: () => go({ r: one.id }),
      })));
    }, () => {}), 150);
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves && shown.length) {
      event.preventDefault();
      at = (at + moves[event.key] + shown.length) % shown.length;
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(at);
    }
  });
  box.addEventListener("click", (event) => event.target === box && box.close());
  open(box);
  input.focus();
  draw();
  api.routes().then(({ routes }) => more(routes.map((one) => ({
    kind: "route", text: `${one.method} ${one.route}`, note: `${one.count} · p95 ${duration(one.p95_ms * 1e6)}`,
    act: () => go({ page: "requests", route: one.route, method: one.method, sort: "-wall_ms" }),
  }))), () => {});
  page?.functions?.().then((found) => more(found), () => {});
}
