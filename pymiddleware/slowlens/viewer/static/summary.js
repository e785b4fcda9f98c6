// What is said about a profile.
import { bytes, count, duration, label, modeOf, moment, several, share, shortPath, tame } from "./format.js";

export const isSampled = (summary) => summary.meta.mode === "sampling";

/** How many samples stand behind the shares of a summary; undefined: most of the time was measured, waits are. */
export function samplesOf(summary) {
  const { meta, wall_ns: wall } = summary;
  const measured = (meta.await_ns || 0) + (meta.loop_ns || 0) + (meta.idle_ns || 0);
  return isSampled(summary) && measured < wall / 2 ? meta.samples : undefined; // of many merged it is not known
}

export function phases(meta, wall) {
  if (!meta.headers_ns) return [];
  const headers = Math.min(meta.headers_ns, wall);
  const body = Math.min(Math.max(meta.body_ns || headers, headers), wall);
  return [
    { title: "until the headers", ns: headers }, { title: "body", ns: body - headers },
    { title: "background", ns: meta.body_ns ? wall - body : 0 },
  ];
}

/** The node to begin at: what own code called last on the hot path, else what the sentence names; undefined without a hot path. */
export function guilty(summary) {
  const path = summary.hot_path;
  const at = path.findLastIndex((step) => step.function.origin === "project");
  if (at >= 0) return (path[at + 1] || path[at]).node;
  return linked(answer(summary), summary).find((part) => part.node !== undefined)?.node ?? path.at(-1)?.node;
}

/** The sentence that says why: the core's own, as the log and the command line tell it. */
export const answer = (summary) => tame(summary.headline || "", 600);

/** A sentence cut where it names what can be gone to: [text | {text, node} | {text, fn, line} | {text, id} | {text, view}]. */
export function linked(text, summary) {
  const found = [];
  const put = (words, values) => {
    const at = words ? text.indexOf(words) : -1;
    if (at < 0 || found.some((one) => at < one.at + one.text.length && one.at < at + words.length)) return;
    found.push({ at, text: words, ...values });
  };
  const { meta } = summary;
  put(/\d+ quer(?:y|ies)( that are alike)?/.exec(text)?.[0], { view: "queries" });
  if (meta.held_id && meta.held_by) put(tame(meta.held_by), { id: meta.held_id });
  for (const step of [...summary.hot_path].reverse()) {
    if (step.function.kind === "pseudo") continue;
    put(label(step.function), { node: step.node });
    const file = step.function.file && tame(shortPath(step.function.file));
    const place = file && new RegExp(`${file.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}:(\\d+)`).exec(text);
    if (place) put(place[0], { fn: step.function.id, line: Number(place[1]), file: step.function.file });
  }
  found.sort((a, b) => a.at - b.at);
  const parts = [];
  let from = 0;
  for (const { at, ...one } of found) {
    if (at > from) parts.push(text.slice(from, at));
    parts.push(one);
    from = at + one.text.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** {times, text} beside the route: "4.2× usual" and the whole sentence; null: too little is known. */
export function comparison(wall, route) {
  if (!route || route.count < 3 || !route.p50_ms) return null;
  const times = wall / 1e6 / route.p50_ms;
  const said = times >= 10 ? times.toFixed(0) : times.toFixed(1);
  return { times, text: `${said}× usual`, whole: `${said} times the median of its route (${duration(route.p50_ms * 1e6)} over ${count(route.count)} ${route.all_requests ? "requests, kept or not" : "stored profiles"}).` };
}

/** How it was profiled: "sampled, 12 samples (few)". */
export function how(summary) {
  const { meta } = summary;
  if (meta.merged) return `profiles merged: ${count(meta.merged)}, ${modeOf(meta.mode)}`;
  if (meta.mode !== "sampling") return `exact: ${several(summary.calls + summary.c_calls, "call")}`;
  const samples = meta.samples || 0;
  return `sampled, ${several(samples, "sample")}${samples < 30 ? " (few)" : ""}`;
}

/** What a reader must know beside the numbers: [{text, id}], `id` a profile to go to or "". */
export function notices(meta) {
  const found = [];
  if (meta.held_ns) {
    found.push({ text: `For ${duration(meta.held_ns)} this request could have gone on, but the event loop was busy with ${tame(meta.held_by || "")}.`, id: meta.held_id || "" });
  }
  if (meta.sampled_from_ns) {
    found.push({ text: `Too many different calls to record them all: from ${duration(meta.sampled_from_ns)} on by sampling, where calls are not counted.`, id: "" });
  }
  return found;
}

const UNSEEN = { torn: "torn", greenlet: "another greenlet", shim: "between frames", deep: "too deep", moved: "moved on", room: "no slot", late: "late" };

const unseen = (meta) => Object.keys(UNSEEN).filter((why) => meta[`unseen_${why}`])
  .map((why) => `${count(meta[`unseen_${why}`])} ${UNSEEN[why]}`).join(", ");

/** [title, value] of all that is known and not shown elsewhere; what is empty is left out. */
export function facts(summary) {
  const { meta } = summary;
  const sampled = meta.mode === "sampling";
  return [
    ["Started", meta.started ? moment(meta.started / 1e6) : ""],
    ["Route", meta.route], ["Mode", modeOf(meta.mode)], ["Profiles", meta.merged ? count(meta.merged) : ""],
    ["Samples", sampled && meta.samples ? count(meta.samples) : ""], ["Not seen", sampled ? unseen(meta) : ""],
    ["Sampled every", sampled && meta.interval_ns ? duration(meta.interval_ns) : ""],
    ["Python calls", sampled ? "" : count(summary.calls)], ["C calls", sampled ? "" : count(summary.c_calls)],
    ["Own cost", meta.own_ns ? `about ${duration(meta.own_ns)}${meta.cost_python_ps ? ", taken off every function" : ""}` : ""],
    ["Framework", meta.framework], ["Python", meta.python], ["Process", meta.pid ? `${meta.host || ""} ${meta.pid} ${meta.thread || ""}` : ""],
    ["Release", meta.release], ["Response", meta.response_bytes ? bytes(meta.response_bytes) : ""], ["Kept as", meta.kept], ["Flags", meta.flags],
    ["Trace", meta.trace_id], ["Id", meta.id],
  ].filter(([, value]) => value).map(([title, value]) => [title, tame(value)]);
}

export const tags = (meta) => Object.keys(meta).filter((key) => key.startsWith("tag.")).map((key) => `${key.slice(4)}=${meta[key]}`);

export function markdown(summary, href, split) {
  const { meta, wall_ns: wall, shared_ns: shared } = summary;
  const samples = samplesOf(summary);
  const place = (step) => (step.function.file ? `${tame(shortPath(step.function.file, 3))}:${step.call_line || step.function.line}` : "");
  return [
    `**${tame(meta.method || "")} ${tame(meta.path || meta.route || "")}** ${meta.status || ""} · ${duration(wall)} · ${how(summary)}`,
    "", answer(summary), "",
    split.map((part) => `${part.title} ${duration(part.ns)}`).join(" · "), "",
    "| self | function | defined at |", "|---:|---|---|",
    ...summary.heaviest.map((one) => `| ${share(one.self_ns, shared, samples)} | \`${label(one.function)}\` | ${tame(shortPath(one.function.file || "", 3))}${one.function.file ? `:${one.function.line}` : ""} |`),
    "", "Hot path:", "",
    ...summary.hot_path.filter((step) => step.function.origin === "project" || step === summary.hot_path.at(-1)).map((step) => `- \`${label(step.function)}\` ${share(step.total_ns, shared, samples)} ${place(step)}`),
    "", href, "",
  ].join("\n");
}

/** A request as a curl command that asks for exact counts. */
export function curl(meta, origin) {
  const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
  const method = meta.method && meta.method !== "GET" ? ` -X ${/^[A-Z]+$/.test(meta.method) ? meta.method : quote(meta.method)}` : "";
  return `curl${method} -H 'X-Slowlens: deterministic' ${quote(origin + encodeURI(meta.path || "/"))}`;
}
