// All of the page's state is the URL's fragment; what words of a filter mean, the server says (store/filter.py).

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

/** Rows by a column, "name" or "-name": numbers or text. Pure. */
export function sorted(rows, sort) {
  const name = sort.replace(/^-/, "");
  const sign = sort === name ? 1 : -1;
  return [...rows].sort((a, b) => sign * ((a[name] > b[name]) - (a[name] < b[name])));
}

export const only = (state, ...names) => Object.fromEntries(names.filter((name) => state[name]).map((name) => [name, state[name]]));

export const without = (state, ...names) => Object.fromEntries(Object.entries(state).filter(([name]) => !names.includes(name)));

/** Short forms that a link may use instead of `filter`: #page=requests&route=/books/. */
const SHORT = ["route", "method", "status", "min_ms", "mode", "tag", "finding", "release", "host", "last", "since", "until", "q"];

const quoted = (text) => (/[\s"]|^$/.test(text) ? `"${text.replaceAll('"', "")}"` : text);

export const write = (name, value) => (name === "min_ms" ? `>${value}ms` : `${name === "q" ? "text" : name}:${quoted(value)}`);

export const textOf = (state) => [...SHORT.filter((name) => state[name]).map((name) => write(name, state[name])), state.filter].filter(Boolean).join(" ");

/** The state with another text, or with another sort too. */
export const withText = (state, text) => ({ ...Object.fromEntries(Object.entries(state).filter(([name]) => !SHORT.includes(name))), filter: text });

/** The text of some terms [{name, text}]; `but`: the name of those that are left out. */
export const join = (terms, but, more = "") => [...terms.filter((one) => one.name !== but).map((one) => one.text), more].filter(Boolean).join(" ");

/** The word that ends where somebody writes. */
export const lastWord = (text) => text.match(/(?:[^\s"]|"[^"]*"?)*$/)[0];

/**
 * What could be meant by the word that is being written: [{text, hint, whole}]; `whole` terms are ready, others go
 * on. `fields`: the server's [{name, hint, values}]; `known`: {route: [..], tag: [..]} as far as the page knows them.
 */
export function complete(word, fields, known = {}) {
  const split = /^([a-z]+):"?(.*)$/.exec(word);
  const of = (field) => [...new Set([...field.values, ...(known[field.name] || [])])];
  const field = split && fields.find((one) => one.name === split[1]);
  const whole = (one, hint, values) => values.map((value) => ({ text: write(one.name, value), hint, whole: true }));
  if (field) return whole(field, "", of(field).filter((one) => one.toLowerCase().includes(split[2].toLowerCase()))).slice(0, 8);
  const start = word.toLowerCase();
  return [
    ...fields.filter((one) => one.name.startsWith(start)).map((one) => ({ text: `${one.name}:`, hint: one.hint, whole: false })),
    ...(start ? fields.flatMap((one) => whole(one, one.name, of(one).filter((value) => value.toLowerCase().startsWith(start)))) : []),
  ].slice(0, 12);
}
