// The panel beside every view.
import { KINDS, bar, category, timeSplit } from "./colors.js";
import { button, el, numbers, tableRow } from "./dom.js";
import { count, duration, label, middle, share, tame } from "./format.js";
import { where } from "./tables.js";
import { editorLink } from "./keys.js";
import { setting } from "./shell.js";
import { format } from "./state.js";
import { facts, notices, phases, samplesOf, tags } from "./summary.js";

const OWN = ["project", "library", "stdlib", "builtin", "await", "loop", "idle", "gc", "unseen", "cost", "other"];
const SHOWN = 5;

const line = (title, value) => (value === "" || value === null || value === undefined ? null : el("div", {}, el("dt", {}, title), el("dd", {}, value)));
const section = (title, ...content) => el("section", {}, el("h2", {}, title), ...content);

function legend(parts, whole, samples) {
  return el("ul", { class: "legend" }, parts.filter((part) => part.ns > 0).map((part) => el("li", {},
    part.kind ? el("span", { class: `key k-${part.kind}` }) : null, el("span", {}, part.title), el("span", { class: "number" }, duration(part.ns)), el("span", { class: "number" }, share(part.ns, whole, samples)))));
}

/** The link to the reader's editor, or where it is in words. */
export function place(file, at, text) {
  const href = editorLink(setting("editor"), setting("paths"), file, at);
  return href ? el("a", { href, title: "Open in your editor", class: "where" }, text) : el("span", { class: "where", title: tame(`${file || ""}:${at || ""}`, 500) }, text);
}

/** Callers above, callees below: the heaviest of each. */
function pairs(title, report, side, other, id, page) {
  const functions = new Map(report.functions.map((one) => [one.id, one]));
  const found = report.pairs.filter((pair) => pair[other] === id).sort((a, b) => b.total_ns - a.total_ns);
  if (!found.length) return null;
  return el("div", { class: "pairs" }, el("h3", {}, title), el("ul", {}, found.slice(0, SHOWN).map((pair) => {
    const one = functions.get(pair[side]);
    return el("li", {}, button(middle(label(one), 90), () => page.choose({ fn: one.id }), { class: "link", title: where(one) }), el("span", { class: "number" }, page.share(pair.total_ns)),
      el("span", { class: "number" }, page.times(pair.calls)));
  })), found.length > SHOWN ? el("p", { class: "hint" }, `and ${count(found.length - SHOWN)} more`) : null);
}

export function sidePanel(page) {
  const { summary } = page;
  const { meta, wall_ns: wall } = summary;
  const samples = samplesOf(summary);
  const chosen = el("section", { class: "chosen-box" });
  const split = timeSplit(meta, wall);
  const cost = wall - summary.shared_ns;
  const own = OWN.map((kind) => ({ kind, title: KINDS[kind][0], ns: kind === "cost" ? cost : Math.max(0, (summary.self_ns[kind] || 0) - (kind === "other" ? cost : 0)) }));
  const steps = phases(meta, wall);
  // What explains most is the sentence on top: of it the advice is here, too.
  const list = el("ul", { class: "findings" });
  const findings = section("Findings", list);
  const tell = () => {
    list.replaceChildren(...(summary.findings || []).map((one) => el("li", {},
      one.node === undefined ? el("strong", {}, tame(one.title)) : button(tame(one.title), () => page.choose({ node: one.node }), { class: "link" }),
      ` ${tame(one.text, 400)} `, el("span", { class: "hint" }, tame(one.advice || "", 300)))));
    findings.hidden = !list.firstChild;
  };
  tell();
  let turn = 0;

  async function show(one) {
    const mine = ++turn;
    const { callee } = one;
    const id = callee.fn ?? callee.id;
    const around = el("div", { class: "around" });
    const nodes = [
      el("h2", {}, el("span", { class: `key k-${category(callee)}` }), label(callee)),
      el("p", {}, place(callee.file, callee.line, where(callee))),
      one.caller && one.line && one.caller.file ? el("p", {}, "called at ", place(one.caller.file, one.line, `${label(one.caller)}:${one.line}`)) : null,
      el("dl", { class: "numbers" },
        line(page.merged ? "Total of all" : "Total", one.total === undefined ? "" : `${duration(one.total)} · ${page.share(one.total)}`),
        line("Self", one.self === undefined ? "" : `${duration(one.self)} · ${page.share(one.self)}`),
        line(page.counted(callee), one.calls ? count(one.calls) : ""),
        line("Per call", one.calls && !page.sampled ? duration(one.total / one.calls) : ""),
        line("Of its caller", one.parent ? share(one.total, one.parent, samples) : "")),
      el("p", { class: "acts" },
        callee.kind === "python" && callee.file ? button("Source", () => page.open({ view: "source", fn: id })) : null,
        button("Callers and callees", () => page.open({ view: "functions", fn: id }))),
      around];
    chosen.replaceChildren(...nodes.filter(Boolean));
    if (callee.kind === "pseudo") return;
    const report = await page.profile.calls({ function: id }).catch(() => null);
    if (report && mine === turn) {
      around.replaceChildren(...[pairs("Called by", report, "caller", "callee", id, page), pairs("Calls", report, "callee", "caller", id, page)].filter(Boolean));
    }
  }

  chosen.append(el("h2", {}, "Chosen"), el("p", { class: "hint" }, "Nothing yet: a click on a row or a box shows it here."));
  const root = el("aside", { id: "side", "aria-label": "Chosen function and facts", tabindex: 0 },
    notices(meta).map((one) => el("p", { class: "notice" }, one.text, one.id ? [" ", el("a", { href: `#r=${encodeURIComponent(one.id)}` }, "Show that request")] : null)),
    chosen, // first: a click is answered where it is seen
    findings,
    section("Heaviest by self time", el("table", { "aria-label": "Heaviest functions" }, el("tbody", {}, summary.heaviest.map((one) => tableRow([numbers(), { class: "path" }], [page.share(one.self_ns),
      button(middle(label(one.function), 90), () => page.choose({ fn: one.function.id }), { class: "link", title: where(one.function) })]))))),
    meta.cpu_ns === undefined || meta.merged ? null : section("Where the time went", legend(split, wall)),
    section("Whose code", bar("Self time", own.filter((part) => part.ns > 0), wall), legend(own, wall, samples)),
    steps.length ? section("Phases", legend(steps, wall)) : null,
    section("Facts", el("dl", { class: "facts" }, facts(summary).map(([title, value]) => line(title, title === "Route"
      ? el("a", { href: format({ page: "requests", route: meta.route, sort: "-wall_ms" }) }, value) : value)),
    tags(meta).length ? line("Tags", tags(meta).map((tag) => [el("a", { class: "tag", href: format({ page: "requests", tag }) }, tame(tag, 60)), " "])) : null)));
  return { root, show, tell };
}
