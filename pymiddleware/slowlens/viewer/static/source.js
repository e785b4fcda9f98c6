// source.js - the lines of one function with their times.
import { el } from "./dom.js";
import { count, duration, label, percent, tame } from "./format.js";
import { where } from "./functions.js";

/** Every line to show: the text's, or those that have times where there is no text. Pure. */
export function lines(report) {
  const times = new Map(report.rows.map((row) => [row.line, row]));
  const text = report.text.slice(0, report.text.findLastIndex(([, one]) => one.trim()) + 1);
  const known = text.length ? text : report.rows.filter((row) => row.line > 0).map((row) => [row.line, ""]);
  return known.map(([line, text]) => ({ line, text, ...(times.get(line) || { self_ns: 0, called_ns: 0, calls: 0, cpu_ns: 0, gil_ns: 0 }) }));
}

export async function sourceView({ profile, state, go, summary }) {
  const chosen = state.fn === undefined ? summary.hot_path.findLast((step) => step.function.origin === "project")?.function.id : Number(state.fn);
  const functions = (await profile.functions({ limit: 100000 })).rows.map((row) => row.function).filter((one) => one.kind === "python" && one.file);
  const own = functions.filter((one) => one.origin === "project");
  const at = chosen ?? own[0]?.id;
  const listed = functions.some((one) => one.id === at && one.origin !== "project") ? [...own, functions.find((one) => one.id === at)] : own;
  if (at === undefined) return el("p", { class: "empty" }, "This profile names no function of your project. Choose one among the functions.");
  const report = await profile.source({ function: at });
  const select = el("select", { change: () => go({ ...state, fn: select.value }) },
    listed.map((one) => el("option", { value: one.id, selected: one.id === at }, `${label(one)} ${where(one)}`)));
  const shown = lines(report);
  const most = Math.max(1, ...shown.map((line) => line.self_ns + line.called_ns));
  return el("div", {},
    el("label", { class: "choice" }, "Function ", select),
    report.why ? el("p", { class: "hint" }, `No text: ${tame(report.why)}.`) : null,
    el("table", { class: "source", "aria-label": `Lines of ${tame(report.name)}` },
      el("thead", {}, el("tr", {}, ["Line", "Total", "Share", "Self", "Calls made"].map((title) => el("th", { scope: "col", class: "number" }, title)), el("th", { scope: "col" }, "Source"))),
      el("tbody", {}, shown.map((line) => {
        const total = line.self_ns + line.called_ns;
        const row = el("tr", { class: total > most / 2 ? "hot" : null },
          el("td", { class: "number" }, line.line), el("td", { class: "number" }, total ? duration(total) : ""),
          el("td", { class: "number" }, total ? percent(total, report.wall_ns) : ""), el("td", { class: "number" }, line.self_ns ? duration(line.self_ns) : ""),
          el("td", { class: "number" }, line.calls ? count(line.calls) : ""), el("td", { class: "code" }, tame(line.text, 500)));
        row.style.setProperty("--part", `${(total / most) * 100}%`);
        return row;
      }))),
    el("p", { class: "hint" }, "Self times of lines come from samples; what a line called is exact where the profile is deterministic."));
}
