// palette.js - one box that goes anywhere: pages, views, routes, requests, functions.
import * as api from "./api.js";
import { el } from "./dom.js";
import { duration, tame, when } from "./format.js";
import { go } from "./shell.js";

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

export function openPalette(page) {
  document.querySelector("dialog.palette")?.remove();
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
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  input.focus();
  draw();
  api.routes().then(({ routes }) => more(routes.map((one) => ({
    kind: "route", text: `${one.method} ${one.route}`, note: `${one.count} · p95 ${duration(one.p95_ms * 1e6)}`,
    act: () => go({ page: "requests", route: one.route, method: one.method, sort: "-wall_ms" }),
  }))), () => {});
  page?.functions?.().then((found) => more(found), () => {});
}
