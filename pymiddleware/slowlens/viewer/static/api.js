// The server's JSON. URLs are relative: the page may be mounted anywhere.
import { only, parse } from "./state.js";

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Error("the server does not answer");
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new Error([401, 403, 404].includes(response.status) ? "not found, or you may not look any more" : `the server answered ${response.status}`);
  }
  if (!response.ok) throw Object.assign(new Error(body.error || `the server answered ${response.status}`), { status: response.status });
  return body;
}

const query = (values) => {
  const text = String(new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined)));
  return text ? `?${text}` : "";
};
const post = (path) => ask(path, { method: "POST", headers: { "X-Slowlens-Viewer": "1" }, keepalive: true });

export const requests = (values) => ask(`api/requests${query(values)}`);
export const counts = (values) => ask(`api/counts${query(values)}`);
export const routes = (values = {}) => ask(`api/routes${query(values)}`);
export const compare = (values) => ask(`api/compare${query(values)}`);
export const regressions = () => ask("api/regressions");
export const live = () => ask("api/live");
export const status = () => ask("api/status");
export const remove = (id) => post(`api/delete?id=${id}`);
export const pin = (id, on) => post(`api/pin?id=${id}&on=${on ? 1 : 0}`);

/**
 * The reports of one profile, or (id "aggregate") of a route's newest ones
 * merged, whose `extra` says which: {route, method, mode}.
 */
export function profile(id, extra = {}) {
  const report = (name) => (values = {}) => ask(`api/requests/${encodeURIComponent(id)}${name}${query({ ...extra, ...values })}`);
  return {
    id,
    summary: report(""),
    tree: report("/tree"),
    functions: report("/functions"),
    flame: (values) => report("/flame")({ limit: 120000, ...values }), // smaller boxes nobody could see
    timeline: report("/timeline"),
    calls: report("/calls"),
    repeats: report("/repeats"),
    spans: report("/spans"),
    source: report("/source"),
    diff: report("/diff"),
    spread: report("/spread"),
    download: (format) => `requests/${id}/profile${query({ ...extra, format })}`,
  };
}

/** What a tree asks for first. */
export const FIRST = { node: 0, depth: 2, hot: 1 };

export const routeOf = (state) => only(state, "route", "method", "mode", "last", "release");

function askFor(state) {
  const merged = state.r === "aggregate";
  const reports = profile(state.r, merged ? routeOf(state) : {});
  const draws = (view) => (state.view ?? (merged ? "" : "tree")) === view && !state.root && !state.recursion && !state.invert;
  const found = { flame: draws("flame") ? reports.flame() : null, tree: draws("tree") && !merged ? reports.tree(FIRST) : null, summary: reports.summary({ glance: 1 }) };
  for (const one of Object.values(found)) one?.catch(() => {}); // told when the page waits for it
  return { profile: reports, ...found };
}

// Of the link that was opened it is asked for before the other modules are here.
const hash = globalThis.location?.hash || ""; // none in tests of what is pure
const linked = parse(hash);
let early = linked.page === "request" ? askFor(linked) : null;

/** {profile, summary, tree, flame}: promises; null: not what this state shows first. */
export function asked(state) {
  const found = location.hash === hash ? early : null;
  early = null;
  return found || askFor(state);
}
