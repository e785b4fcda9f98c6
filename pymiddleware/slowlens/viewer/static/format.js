// Numbers and names as people read them.

/** Milliseconds: three digits that matter, never exponents. */
export function ms(value) {
  if (value >= 1e6) return `${(value / 1e3).toFixed(0)} s`;
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  if (value >= 1) return value.toFixed(2);
  return value.toFixed(3);
}

export function duration(ns) {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  if (ns >= 1e6) return `${ms(ns / 1e6)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toFixed(1)} µs`;
  return `${Math.round(ns)} ns`;
}

export function percent(part, whole) {
  return whole > 0 ? `${((part / whole) * 100).toFixed(1)} %` : "0.0 %";
}

export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "1 query", "2 queries". */
export const several = (many, one, more = `${one}s`) => `${count(many)} ${Math.round(many) === 1 ? one : more}`;

export function bytes(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} MB`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} kB`;
  return `${value} B`;
}

/** How a request was recorded, in the reader's words. */
export const modeOf = (mode) => ({ deterministic: "exact", sampling: "sampled" })[mode] || tame(mode || "", 20);

/** Whether a sampled profile counts samples of a function; of waits, tasks and threads it counts how many there were. */
export const hasSamples = (callee) => callee.kind !== "pseudo" || /^\[(request|gc|not seen)/.test(callee.name);

/** What profiling took itself: a row, but nothing of the app. */
export const OWN_COST = "[own cost]";

/** Samples below which a share is a rough one. */
export const FEW = 100;

/**
 * A share in as many digits as are known: `samples` of them saw it (undefined: it was measured). Few samples look
 * few: "about 80 %".
 */
export function share(part, whole, samples) {
  // Tasks and threads beside a request may take longer than it, all together.
  if (part > whole * 1.0005 && whole > 0) return `${(part / whole).toFixed(1)}×`;
  if (samples === undefined || samples >= FEW) return percent(part, whole);
  return `${samples < FEW / 4 ? "about " : ""}${whole > 0 ? Math.round((part / whole) * 100) : 0} %`;
}

/** A long name without its middle: both ends tell more than one. */
export function middle(text, most = 60) {
  if (text.length <= most) return text;
  const left = Math.ceil((most - 1) / 2);
  return `${text.slice(0, left)}…${text.slice(text.length - (most - 1 - left))}`;
}

/** As much of a name as has room on a canvas, whose letters are `letter` wide on average. */
export function fitted(context, name, room, letter) {
  const fits = Math.floor(room / letter);
  const text = middle(name, fits);
  const over = context.measureText(text).width / room;
  return over > 1 ? middle(name, Math.floor(fits / over)) : text;
}

/** Unix milliseconds as local time: 2025-11-20 15:04:05. (The browser's own way takes 10 ms to wake up.) */
export const moment = (at) => (Number.isFinite(at) ? new Date(at - new Date(at).getTimezoneOffset() * 6e4).toISOString().slice(0, 19).replace("T", " ") : "–");

/** The same, short: 15:04:05 today, 11-20 15:04 this year, 2025-11-20 before. */
export function when(started, now = Date.now()) {
  const [then, today] = [moment(started), moment(now)];
  const same = (length) => then.slice(0, length) === today.slice(0, length);
  return same(10) ? then.slice(11, 19) : same(4) ? `${then.slice(5, 10)} ${then.slice(11, 16)}` : then.slice(0, 10);
}

/** "14 frames of django, copy": what is folded, by the packages it is of. */
export function packages(callees) {
  const names = [...new Set(callees.map(({ file }) => /.*(?:(?:site|dist)-packages|lib\/python[\d.]+)\/([^/.]+)/.exec(file)?.[1]).filter(Boolean))];
  return `${callees.length} frames${names.length ? ` of ${tame(names.slice(0, 3).join(", "), 60)}${names.length > 3 ? "…" : ""}` : ""}`;
}

export function shortPath(path, parts = 2) {
  return path.split("/").slice(-parts).join("/");
}

/** Text without what would reorder or hide its neighbours, and no longer than `most`. */
export function tame(text, most = 300) {
  const clean = String(text).replace(/[\u0000-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, "\ufffd");
  return clean.length > most ? `${clean.slice(0, most)}…` : clean;
}

/** A function's name with its module, as in the log line: "copy.deepcopy". */
export function label(callee) {
  if (callee.kind !== "python" || !callee.file || callee.file.startsWith("<")) return tame(callee.name);
  const stem = callee.file.replace(/\.py$/, "").replace(/\/__init__$/, "").split("/").pop();
  return tame(`${stem}.${callee.name}`);
}

/**
 * A test of functions from a text ("deepcopy") or a regular expression
 * ("/^copy\./"); null: nothing is looked for. Throws an Error with one sentence.
 */
export function matcher(text) {
  if (!text) return null;
  const expression = /^\/(.+)\/$/.exec(text);
  if (expression) {
    let regular;
    try {
      regular = new RegExp(expression[1], "iu");
    } catch {
      throw new Error("that regular expression cannot be read");
    }
    return (callee) => regular.test(label(callee)) || regular.test(callee.file);
  }
  const low = text.toLowerCase();
  return (callee) => label(callee).toLowerCase().includes(low) || callee.file.toLowerCase().includes(low);
}
