// filter.js - the language of the list's one box: words to terms, terms to the
// page's state, and back. Pure.
//
//   /books/ 5xx >200ms det tag:user=anna GET last:1h deepcopy
//
// A term that is no other is text, looked for in path, route and hot path.
// Each kind of term but text stands once: a later one takes the place of an
// earlier one.

const UNITS = { us: 1e-3, ms: 1, s: 1000 };
const SPANS = { m: 60e3, h: 3600e3, d: 86400e3 };
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "WS"];

/** Kinds of terms that are written `name:value`; what they are, for completion. */
export const FIELDS = {
  route: "all requests of a route", tag: "key or key=value", status: "404, 5xx or error", method: "GET, POST…",
  mode: "sampling or deterministic", finding: "n+1…", release: "a release of your app", host: "a machine", last: "15m, 2h, 7d", since: "2026-01-31T08:00", until: "2026-01-31T09:00",
};

/** State's names of the terms, in the order in which they stand in the box. */
export const NAMES = ["route", "method", "status", "min_ms", "mode", "tag", "finding", "release", "host", "last", "since", "until"];

const quoted = (text) => (/[\s"]/.test(text) || text === "" ? `"${text.replaceAll('"', "")}"` : text);

/** Words of a text; `"..."` keeps blanks together, also behind `name:`. */
export function words(text) {
  return Array.from(text.matchAll(/(?:[^\s"]+|"[^"]*")+/g), ([word]) => word.replaceAll('"', ""));
}

/** One word as {name: value} of the state. Throws an Error with one sentence. */
export function term(word) {
  const least = /^>=?(\d+(?:\.\d+)?)(us|ms|s)?$/.exec(word);
  if (least) return { min_ms: String(Number(least[1]) * UNITS[least[2] || "ms"]) };
  if (/^[<>]/.test(word)) throw new Error(`“${word}”: a least time is written >200ms or >1.5s`);
  if (/^[1-5]xx$|^[1-5]\d\d$|^error$/.test(word)) return { status: word };
  if (/^(det|deterministic|exact)$/.test(word)) return { mode: "deterministic" };
  if (/^(samp|sampled|sampling)$/.test(word)) return { mode: "sampling" };
  if (METHODS.includes(word)) return { method: word };
  const field = /^([a-z]+):(.*)$/.exec(word);
  if (!field || word.includes("://")) return { q: word };
  const [, name, value] = field;
  if (name === "text") return { q: value };
  if (!(name in FIELDS)) throw new Error(`no field is called “${name}”: there are ${Object.keys(FIELDS).join(", ")}`);
  if (!value) throw new Error(`“${name}:” wants a value: ${FIELDS[name]}`);
  if (name === "last" && span(value) === null) throw new Error(`“last:” wants a time such as 15m, 2h or 7d`);
  if (name === "status" && !/^([1-5]xx|[1-5]\d\d|error)$/.test(value)) throw new Error("“status:” is 404, a class such as 5xx, or error");
  if ((name === "since" || name === "until") && Number.isNaN(new Date(value).getTime())) throw new Error(`“${name}:” wants a time such as 2026-01-31T08:00`);
  if (name === "mode") return { mode: /^det/.test(value) ? "deterministic" : /^samp/.test(value) ? "sampling" : value };
  return { [name]: value };
}

/** A text as parts of the state. Throws an Error with one sentence. */
export function read(text) {
  const found = {};
  const rest = [];
  for (const word of words(text)) {
    const one = term(word);
    if ("q" in one) rest.push(one.q);
    else Object.assign(found, one);
  }
  if (rest.length) found.q = rest.join(" ");
  return found;
}

/** How one term of the state is written. */
export function write(name, value) {
  if (name === "min_ms") return `>${value >= 1000 ? `${value / 1000}s` : `${value}ms`}`;
  if (name === "status" && /^([1-5]xx|[1-5]\d\d|error)$/.test(value)) return value;
  if (name === "mode" && value === "deterministic") return "det";
  if (name === "mode" && value === "sampling") return "sampling";
  if (name === "method" && METHODS.includes(value)) return value;
  return `${name}:${quoted(value)}`;
}

/** The chips of a state: [{name, value, text}]. */
export const chips = (state) => NAMES.filter((name) => state[name]).map((name) => ({ name, value: state[name], text: write(name, state[name]) }));

/** "15m" in milliseconds; null: that is no length of time. */
export function span(text) {
  const found = /^(\d+)(m|h|d)$/.exec(text);
  return found ? Number(found[1]) * SPANS[found[2]] : null;
}

/**
 * What could be meant by the word that is being written: [{text, hint, whole}]; `whole` terms are ready, others go
 * on. `known`: {route: [..], tag: [..]} as far as the page knows them.
 */
export function complete(word, known = {}) {
  const field = /^([a-z]+):(.*)$/.exec(word);
  const values = { status: ["error", "4xx", "5xx", "404", "500"], method: METHODS, mode: ["sampling", "deterministic"], last: ["15m", "1h", "24h", "7d"], ...known };
  if (field && field[1] in FIELDS) {
    const low = field[2].toLowerCase();
    return (values[field[1]] || []).filter((one) => one.toLowerCase().includes(low)).slice(0, 8)
      .map((one) => ({ text: `${field[1]}:${quoted(one)}`, hint: "", whole: true }));
  }
  const ready = [[">200ms", "at least so long"], ["5xx", "status"], ["error", "status 500 and up"], ["det", "exact counts"], ["sampling", "sampled"], ["GET", "method"], ["POST", "method"]];
  const start = word.toLowerCase();
  return [
    ...Object.entries(FIELDS).filter(([name]) => name.startsWith(start)).map(([name, hint]) => ({ text: `${name}:`, hint, whole: false })),
    ...(start ? ready.filter(([text]) => text.toLowerCase().startsWith(start)).map(([text, hint]) => ({ text, hint, whole: true })) : []),
    ...(start.startsWith("/") ? (known.route || []).filter((one) => one.toLowerCase().startsWith(start)).slice(0, 6).map((one) => ({ text: `route:${quoted(one)}`, hint: "route", whole: true })) : []),
  ].slice(0, 9);
}
