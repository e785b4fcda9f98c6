// What every page has in common.
import * as api from "./api.js";
import { button, el } from "./dom.js";
import { format } from "./state.js";

let render = () => {};

export const onMove = (draw) => {
  render = draw;
};

const fresh = () => Math.random().toString(36).slice(2);

/** The key of this place in the browser's history: the same again after Back and after a reload. */
export function entry() {
  if (!history.state?.key) history.replaceState({ key: fresh() }, "");
  return history.state.key;
}

export function go(state) {
  const hash = format(state);
  if (location.hash !== hash) history.pushState({ key: fresh() }, "", hash);
  render();
}

/** Back to the list as it was left: filter, rows and scroll. */
export function toList() {
  const last = recall("last list");
  const key = fresh();
  if (last) remember(`list ${key}`, last);
  history.pushState({ key }, "", last?.hash || "#page=requests");
  render();
}

export const back = () => button("‹", toList, { class: "back", "aria-label": "Back to the list", title: "Back to the list (Esc)" });

/** Moving within a page must not fill the history, nor draw the page anew. */
export const replace = (state) => history.replaceState(history.state, "", format(state));

/** Keeps what is not worth a place in the URL (how far it was scrolled) while this tab lives. */
export function remember(name, value) {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    sessionStorage.clear(); // full: the oldest places are worth least
  }
}

export function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

/** What the reader has chosen for every visit: theme, editor, single keys. */
export function setting(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`slowlens.${name}`, value);
    return localStorage.getItem(`slowlens.${name}`) || "";
  } catch {
    return "";
  }
}

export const slot = () => document.getElementById("slot");

/** One sentence about what went wrong; "" when all is well again. */
export function notice(text) {
  document.getElementById("notice").textContent = text;
}

let away = false;

/** What asks again and again, shown in `at`, tells that it was not answered, until it is. */
export function answered(at, error) {
  if (!at.isConnected) return; // that page was left
  if (error) notice(`Not up to date: ${error.message}.`);
  else if (away) server().then(({ problem }) => notice(problem || ""));
  away = Boolean(error);
}

/** A short message that goes by itself; `act` [title, function] can be done until then. */
export function toast(text, act = null, seconds = 4) {
  const close = () => {
    clearTimeout(timer);
    box.remove();
  };
  const box = el("p", { class: "toast" }, text, act ? button(act[0], () => {
    close();
    act[1]();
  }) : null);
  const timer = setTimeout(close, seconds * 1000);
  document.getElementById("toasts").append(box);
  return close;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not allowed here (no https): the old way.
    const area = el("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(`${what} copied.`);
}

let known = null;

export const server = () => (known ||= api.status().catch(() => {
  known = null;
  return { problem: null };
}));

const UNDO_SECONDS = 8;
const waiting = new Map(); // ids that are gone to the reader -> what deletes them

export const isGone = (id) => waiting.has(id);

/** Takes profiles away at once and deletes them when it can no longer be undone. `back()`: it was undone. */
export function removeLater(ids, back) {
  const act = () => {
    clearTimeout(timer);
    for (const id of ids) {
      if (!waiting.delete(id)) continue;
      api.remove(id).catch((error) => notice(`not deleted: ${error.message}`));
    }
  };
  const timer = setTimeout(act, UNDO_SECONDS * 1000);
  for (const id of ids) waiting.set(id, act);
  toast(ids.length === 1 ? "Deleted." : `${ids.length} deleted.`, ["Undo", () => {
    clearTimeout(timer);
    for (const id of ids) waiting.delete(id);
    back();
  }], UNDO_SECONDS);
}

/** Leaving the page ends the time for undoing. */
export const flush = () => [...waiting.values()].forEach((act) => act());
