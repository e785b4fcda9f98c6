// main.js - from the URL's fragment to a page, and back.
import { format, parse } from "./state.js";
import * as diff from "./diff.js";
import * as profile from "./profile.js";
import * as requests from "./requests.js";
import * as routes from "./routes.js";

const PAGES = { requests, routes, request: profile, diff };
const main = document.getElementById("main");
const notice = document.getElementById("notice");
let stop = null;
let turn = 0;

const go = (state) => {
  const hash = format(state);
  if (location.hash === hash) render();
  else location.hash = hash;
};
// Moving within a page must not fill the history, nor draw the page anew.
const replace = (state) => history.replaceState(null, "", format(state));

async function render() {
  const mine = ++turn;
  const state = parse(location.hash);
  const page = PAGES[state.page] || requests;
  for (const name of ["requests", "routes"]) {
    const link = document.getElementById(`nav-${name}`);
    if (state.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (stop) stop();
  stop = null;
  // A place of its own: a page that is slow to load must not draw over the next one.
  const place = document.createElement("div");
  main.replaceChildren(place);
  try {
    const ended = await page.show(place, state, go, replace);
    if (mine !== turn) {
      if (ended) ended();
      return;
    }
    stop = ended;
    notice.textContent = "";
    const title = place.querySelector("h2")?.textContent;
    document.title = title ? `${title} · slowlens` : "slowlens";
  } catch (error) {
    if (mine !== turn) return;
    notice.textContent = error.message;
  }
}

addEventListener("hashchange", render);
render();
