// The lines of one function with their times.
import { el } from "./dom.js";
import { count, duration, label, tame } from "./format.js";
import { where } from "./tables.js";
import { place } from "./side.js";

/** Every line to show: the text's, or those that have times where there is no text. Pure. */
export function lines(report) {
  const times = new Map(report.rows.map((row) => [row.line, row]));
  const full = ([, one]) => one.trim();
  const text = report.text.slice(Math.max(0, report.text.findIndex(full)), report.text.findLastIndex(full) + 1);
  const known = text.length ? text : report.rows.filter((row) => row.line > 0).map((row) => [row.line, ""]);
  return known.map(([line, text]) => ({ line, text, ...(times.get(line) || { self_ns: 0, called_ns: 0, calls: 0, cpu_ns: 0, gil_ns: 0 }) }));
}

/** The function to show: the chosen one where it has lines, else the last of your own on the hot path, else any of your own. Pure. */
export function toShow(chosen, functions, hotPath) {
  const has = (id) => functions.some((one) => one.id === id);
  if (chosen !== undefined && has(chosen)) return chosen;
  const hot = hotPath.findLast((step) => step.function.origin === "project")?.function.id;
  return has(hot) ? hot : functions.find((one) => one.origin === "project")?.id;
}

export async function sourceView(page) {
  const { profile, summary } = page;
  const functions = (await profile.functions({ limit: 100000 })).rows.map((row) => row.function).filter((one) => one.kind === "python" && one.file);
  const own = functions.filter((one) => one.origin === "project");
  const at = toShow(page.chosenFunction(), functions, summary.hot_path);
  if (at === undefined) return { root: el("p", { class: "empty" }, "This profile names no function of your project. Choose one among the functions.") };
  const listed = functions.some((one) => one.id === at && one.origin !== "project") ? [...own, functions.find((one) => one.id === at)] : own;
  const report = await profile.source({ function: at });
  const callee = functions.find((one) => one.id === at);
  const select = el("select", { "aria-label": "Function", change: () => page.redraw({ fn: select.value, node: undefined }) },
    listed.map((one) => el("option", { value: one.id, selected: one.id === at }, `${label(one)} ${where(one)}`)));
  const shown = lines(report);
  const counted = report.rows.some((row) => row.hits);
  const most = Math.max(1, ...shown.map((line) => line.self_ns + line.called_ns));
  const rows = shown.map((line) => {
    const total = line.self_ns + line.called_ns;
    const row = el("tr", { class: total > most / 2 ? "hot" : null, "data-line": line.line },
      el("td", { class: "number" }, place(report.file, line.line, String(line.line))),
      counted ? el("td", { class: "number" }, line.hits ? count(line.hits) : "") : null, counted ? el("td", { class: "number" }, line.hits ? duration(total / line.hits) : "") : null,
      el("td", { class: "number" }, total ? duration(total) : ""),
      el("td", { class: "number" }, total ? page.share(total) : ""), el("td", { class: "number" }, line.self_ns ? duration(line.self_ns) : ""),
      el("td", { class: "number" }, line.calls ? count(line.calls) : ""), el("td", { class: "code" }, tame(line.text, 500)));
    row.style.setProperty("--part", `${(total / most) * 100}%`);
    return row;
  });
  const root = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Source" },
    el("p", { class: "bar-line" }, select, " ", place(report.file, report.line, where(callee))),
    report.why ? el("p", { class: "hint padded" }, `No text: ${tame(report.why)}.`) : null,
    el("table", { class: "source", "aria-label": `Lines of ${tame(report.name)}` },
      el("thead", {}, el("tr", {}, ["Line", ...(counted ? ["Hits", "Per hit"] : []), "Total", "Share", "Self", page.sampled ? "Samples" : "Calls made"].map((title) => el("th", { scope: "col", class: "number" }, title)), el("th", { scope: "col" }, "Source"))),
      el("tbody", {}, rows)),
    el("p", { class: "hint padded" }, counted ? "Every line was counted." : "Self times of lines come from samples (?slowlens=lines counts each); what a line called is exact where the profile is."));
  return {
    root,
    async ready(saved) {
      const total = report.rows.reduce((sum, row) => sum + row.self_ns + row.called_ns, 0);
      page.side.show({ callee, total: Math.min(total, page.wall), self: report.rows.reduce((sum, row) => sum + row.self_ns, 0) });
      if (saved?.fn === at) root.scrollTop = saved.scroll;
      else root.querySelector("tr.hot")?.scrollIntoView({ block: "center" });
    },
    save: () => ({ fn: at, scroll: root.scrollTop }),
    choose: ({ fn }) => (fn === undefined ? undefined : page.redraw({ fn })),
    find(test) {
      // Lines whose text names it: a line is tried as a function of that name.
      const found = rows.filter((_, i) => test && test({ kind: "c", name: shown[i].text, file: "" }));
      rows.forEach((one) => one.classList.toggle("found", found.includes(one)));
      return { count: found.length, show: (i) => found[i].scrollIntoView({ block: "center" }) };
    },
  };
}
