// From the URL's fragment to a page, and back.
// How the modules hang together: ../README.md.
import { dress } from "./colors.js";
import * as diff from "./diff.js";
import { el } from "./dom.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as profile from "./profile.js";
import * as requests from "./requests.js";
import * as routes from "./routes.js";
import { entry, flush, notice, onMove, server, setting, slot } from "./shell.js";
import { parse } from "./state.js";

const PAGES = { requests, routes, request: profile, diff, cohort: routes.cohort, live, changes: routes.changes };
const main = document.getElementById("main");
let current = null; // {name, page}
let turn = 0;

function mark(name) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.id === `nav-${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function failed(place, error) {
  place.replaceChildren(el("div", { class: "state" }, el("h1", {}, "Nothing to show"), el("p", { class: "said", role: "alert" }, `${error.message}.`),
    el("p", {}, el("a", { href: "#page=requests" }, "All requests"), " · ", el("button", { type: "button", click: () => render() }, "Try again"))));
}

async function render() {
  entry();
  const state = parse(location.hash);
  const name = state.page in PAGES ? state.page : "requests";
  notice("");
  if (current?.name === name && current.page?.update?.(state)) return;
  const mine = ++turn;
  current?.page?.stop?.();
  current = null;
  mark(name);
  // A place of its own: a page that is slow to load must not draw over the next one.
  const place = el("div", { class: "page" });
  slot().replaceChildren();
  document.body.className = PAGES[name].fixed ? `fixed on-${name}` : `on-${name}`;
  const wait = setTimeout(() => place.childElementCount || place.append(el("p", { class: "state loading" }, "Loading…")), 200);
  main.replaceChildren(place);
  if (!PAGES[name].keepsScroll) scrollTo(0, 0);
  try {
    const page = await PAGES[name].show(place, state);
    if (mine !== turn) return page?.stop?.();
    current = { name, page };
    document.title = page?.title ? `${page.title} · slowlens` : "slowlens";
  } catch (error) {
    if (mine === turn) failed(place, error);
  } finally {
    clearTimeout(wait);
  }
  return undefined;
}

document.documentElement.dataset.theme = setting("theme");
dress();
addEventListener("slowlens-theme", dress);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("slowlens-theme")));
onMove(render);
addEventListener("hashchange", render);
addEventListener("pagehide", () => {
  current?.page?.save?.();
  flush();
});
if ("scrollRestoration" in history) history.scrollRestoration = "manual";
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  (main.querySelector("[data-first]") || main).focus();
});
keys.listen(() => current?.page);
server().then((status) => {
  for (const name of status.features || []) document.getElementById(`nav-${name}`)?.removeAttribute("hidden");
  // A link may open the viewer for reading only.
  document.documentElement.toggleAttribute("data-reads", Boolean(status.may && !status.may.includes("change")));
  if (status.problem) notice(status.problem);
});
render();
