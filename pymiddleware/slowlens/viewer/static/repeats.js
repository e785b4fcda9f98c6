// repeats.js - calls made again and again from one line.
import { button, el } from "./dom.js";
import { count, duration, label, percent, shortPath, tame } from "./format.js";

const LEAST = 0.005; // share of the request that is worth a line

/** "cursor.execute 212 times from repo.py:20, 61.0 % of the request". Pure. */
export function sentence(row, wall) {
  const line = row.call_line || row.caller.line;
  const place = row.caller.file ? `${tame(shortPath(row.caller.file, 1))}:${line}` : label(row.caller);
  return `${label(row.function)} ${count(row.calls)} times from ${place}, ${percent(row.total_ns, wall)} of the request`;
}

export async function repeatsView(page) {
  const { profile } = page;
  const report = await profile.repeats({ limit: 200 });
  if (!report.exact) {
    return { root: el("p", { class: "empty" }, "Samples count no calls. Ask for this request with ?slowlens=deterministic, and its repeated calls stand here.") };
  }
  if (!report.rows.length) return { root: el("p", { class: "empty" }, "No call is made ten times or more from one line.") };
  const shown = report.rows.filter((row, i) => i < 3 || row.total_ns >= LEAST * report.wall_ns);
  const rest = report.rows.length - shown.length;
  const items = shown.map((row) => el("li", {},
    button(sentence(row, report.wall_ns), () => page.open({ view: "tree", node: row.node, fn: undefined }), { class: "link", "data-row": true }),
    el("span", { class: "hot" }, `${duration(row.total_ns)} in all, ${duration(row.total_ns / row.calls)} each, called by ${label(row.caller)}`)));
  return {
    root: el("div", { class: "scroller padded", tabindex: 0, role: "region", "aria-label": "Repeats" }, el("ol", { class: "repeats" }, items),
      rest ? el("p", { class: "hint" }, `${rest} more that take less than ${percent(LEAST, 1)} of the request each.`) : null),
    find(test) {
      const found = items.filter((_, i) => test && (test(shown[i].function) || test(shown[i].caller)));
      items.forEach((one) => one.classList.toggle("found", found.includes(one)));
      return { count: found.length, show: (i) => found[i].querySelector("button").focus() };
    },
  };
}
