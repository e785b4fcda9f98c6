// state.js - the whole state of the page lives in the URL's fragment. Pure.
import { textOf } from "./filter.js";

/** An object from "#a=b&c=d"; unknown names are kept. */
export function parse(hash) {
  const state = {};
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) state[name] = value;
  if (!state.page) state.page = state.r ? "request" : "requests";
  return state;
}

/** The fragment of a state; empty values and what `page` says anyway left out. */
export function format(state) {
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value === "" || value === null || value === undefined) continue;
    if (name === "page" && (value === "request" || (value === "requests" && !state.r && Object.keys(state).length > 1))) continue;
    values.set(name, value);
  }
  return `#${values}`;
}

/** The list's query for the server from the page's state. Times in it are this reader's. */
export const listQuery = (state) => ({
  sort: state.sort || "-ended", ...(textOf(state) ? { filter: textOf(state), zone: -new Date().getTimezoneOffset() } : {}),
});

/** The sort after a click on `column`: falling first, then rising. */
export function toggleSort(sort, column) {
  return sort === `-${column}` ? column : `-${column}`;
}

export const without = (state, ...names) => Object.fromEntries(Object.entries(state).filter(([name]) => !names.includes(name)));
