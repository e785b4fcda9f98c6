// repeats.js - calls made again and again from one line.
import { el } from "./dom.js";
import { count, duration, label, percent, shortPath, tame } from "./format.js";

const LEAST = 0.005; // share of the request that is worth a line

/** "cursor.execute 212 times from repo.py:20, 61.0 % of the request". Pure. */
export function sentence(row, wall) {
  const line = row.call_line || row.caller.line;
  const place = row.caller.file ? `${tame(shortPath(row.caller.file, 1))}:${line}` : label(row.caller);
  return `${label(row.function)} ${count(row.calls)} times from ${place}, ${percent(row.total_ns, wall)} of the request`;
}

export async function repeatsView({ profile, state, go }) {
  const report = await profile.repeats({ limit: 200 });
  if (!report.exact) {
    return el("p", { class: "empty" }, "Samples count no calls. Ask for this request with ?slowlens=deterministic, and its repeated calls stand here.");
  }
  if (!report.rows.length) return el("p", { class: "empty" }, "No call is made ten times or more from one line.");
  const shown = report.rows.filter((row, i) => i < 3 || row.total_ns >= LEAST * report.wall_ns);
  const rest = report.rows.length - shown.length;
  return el("div", {}, el("ol", { class: "repeats" }, shown.map((row) => el("li", {},
    el("button", { type: "button", class: "link", click: () => go({ ...state, view: "tree", node: row.node }) }, sentence(row, report.wall_ns)),
    el("span", { class: "hot" }, `${duration(row.total_ns)} in all, ${duration(row.total_ns / row.calls)} each, called by ${label(row.caller)}`)))),
  rest ? el("p", { class: "hint" }, `${rest} more that take less than ${percent(LEAST, 1)} of the request each.`) : null);
}
