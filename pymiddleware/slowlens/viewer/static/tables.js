// The views that are lists.
import { KINDS, category } from "./colors.js";
import { button, el, header, numbers, plainTable, tableRow } from "./dom.js";
import { OWN_COST, count, duration, label, middle, percent, several, shortPath, tame } from "./format.js";
import { sorted } from "./state.js";

const COLUMNS = [
  { title: "Function", class: "path" }, { title: "Calls", number: true, sort: "calls" },
  { title: "Self", number: true, sort: "self_ns" }, { title: "Self share", number: true },
  { title: "Total", number: true, sort: "total_ns" }, { title: "Per call", number: true, sort: "per_call" },
];
const SHOWN = 300;

/** Where a function is defined, in words. */
export const where = (callee) => {
  if (callee.file) return `${tame(shortPath(callee.file, 3))}:${callee.line}`;
  if (callee.kind === "c") return "C function";
  const kind = category(callee);
  return kind === "other" ? "not code" : kind === "cost" ? "what recording every call took, taken off all others" : KINDS[kind][0];
};


const PAIR = [numbers(), numbers(), numbers(), { class: "path" }];

function sandwichTable(title, pairs, functions, side, page, open) {
  const rows = [...pairs].sort((a, b) => b.total_ns - a.total_ns);
  return el("section", { class: "sandwich" }, el("h2", {}, title), rows.length ? el("table", { "aria-label": title },
    el("tbody", {}, rows.map((pair) => {
      const one = functions.get(pair[side]);
      return tableRow(PAIR, [page.share(pair.total_ns), duration(pair.total_ns), page.times(pair.calls),
        [button(label(one), () => open(one.id), { class: "link" }), " ", el("span", { class: "hot" }, where(one))]]);
    }))) : el("p", {}, "None."));
}

/** The chosen function with its callers and callees. `actions`: nodes to show beside its name. */
async function sandwich(page, id, open, actions) {
  const report = await page.profile.calls({ function: id });
  const functions = new Map(report.functions.map((one) => [one.id, one]));
  const chosen = functions.get(id);
  page.side.show({ callee: chosen, total: chosen.total_ns, self: chosen.self_ns, calls: chosen.calls });
  return el("div", { class: "chosen" },
    sandwichTable("Called by", report.pairs.filter((pair) => pair.callee === id), functions, "caller", page, open),
    el("p", { class: "middle" }, el("strong", {}, label(chosen)), ` ${where(chosen)} · self ${duration(chosen.self_ns)} (${page.share(chosen.self_ns)}) · `,
      `total ${duration(chosen.total_ns)} · ${page.counted(chosen, chosen.calls)} `, actions(chosen)),
    sandwichTable("Calls", report.pairs.filter((pair) => pair.caller === id), functions, "callee", page, open));
}

export async function functionsView(page) {
  const { profile, state } = page;
  const report = await profile.functions({ limit: 100000 });
  const rows = report.rows.map((row) => ({ ...row, per_call: row.calls ? row.total_ns / row.calls : 0 }));
  let found = [];
  let sort = state.fsort || "-self_ns";
  // Samples are no calls: what one took is not known.
  const shown = page.sampled ? COLUMNS.slice(0, -1).map((column) => (column.sort === "calls" ? { ...column, title: "Samples" } : column)) : COLUMNS;
  const place = el("div");
  const body = el("tbody");
  const table = el("table", { class: "functions", "aria-label": "Functions" });
  const more = el("p", { class: "hint" });
  const root = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Functions" }, place, table, more);
  const choose = (id) => {
    page.keep({ fn: id, node: undefined });
    return showChosen();
  };
  const actions = (one) => [
    one.kind === "python" ? button("Source", () => page.open({ view: "source", fn: one.id })) : null,
    button("In the tree", () => page.open({ view: "tree", fn: one.id, node: undefined })),
    button("Close", () => {
      page.keep({ fn: undefined, node: undefined });
      showChosen();
    }),
  ];
  async function showChosen() {
    const id = page.chosenFunction();
    place.replaceChildren(id === undefined ? "" : await sandwich(page, id, choose, actions));
    for (const row of body.children) row.classList.toggle("chosen", row.dataset.fn === String(id));
    if (id !== undefined) root.scrollTop = 0;
  }
  const draw = () => {
    found = sorted(rows, sort).filter((row) => !page.test || page.test(row.function));
    body.replaceChildren(...found.slice(0, SHOWN).map((row) => {
      const values = [
        [el("span", { class: `mark k-${category(row.function)}`, "aria-hidden": "true" }), button(middle(label(row.function), 90), () => choose(row.function.id), { class: "link", "data-row": true }), " ",
          el("span", { class: "where" }, where(row.function))],
        count(row.calls), duration(row.self_ns), row.function.name === OWN_COST ? "–" : page.share(row.self_ns), duration(row.total_ns), row.calls ? duration(row.per_call) : "",
      ];
      const made = tableRow(shown, values, { "data-fn": row.function.id });
      made.style.setProperty("--part", `${(row.self_ns / (page.wall || 1)) * 100}%`);
      return made;
    }));
    table.replaceChildren(header(shown, sort, (next) => {
      sort = next;
      page.keep({ fsort: next });
      draw();
    }), body);
    more.textContent = found.length > SHOWN ? `${several(found.length - SHOWN, "more function")}: search for them.` : "";
  };
  draw();
  return {
    root,
    async ready(saved) {
      await showChosen();
      if (saved) root.scrollTop = saved.scroll;
    },
    save: () => ({ scroll: root.scrollTop }),
    choose: ({ fn }) => (fn === undefined ? undefined : choose(fn)),
    find() {
      draw();
      return { count: found.length, show: (i) => choose(found[i].function.id) };
    },
  };
}

export const LAYERS = { db: "Queries", http: "HTTP requests", cache: "Cache calls", template: "Templates" };

/** Spans by text and by the line of own code that asked. */
export async function spansView(page) {
  const { kinds, rows, count: all, lost } = await page.profile.spans({ limit: SHOWN });
  if (!rows.length) return { root: el("p", { class: "empty" }, "No query, template or other span was seen.") };
  const head = [{ title: "What", class: "path" }, ...["Count", "Total", "Share", "Longest"].map(numbers), { title: "Asked at", class: "path" }];
  const named = (kind) => LAYERS[kind] || tame(kind, 40);
  const made = rows.map((row) => tableRow(head, [
    [button(middle(tame(row.text, 2000) || row.kind, 400), () => page.open({ view: "tree", node: row.node, fn: undefined }), { class: "link", "data-row": true, title: tame(row.text, 2000) }), row.where ? el("span", { class: "where" }, ` in ${tame(row.where, 120)}`) : null],
    count(row.count), duration(row.total_ns), page.share(row.total_ns), duration(row.longest_ns),
    row.function.file ? button(`${label(row.function)}:${row.line || row.function.line}`, () => page.open({ view: "source", fn: row.function.id, node: undefined }), { class: "link" }) : ""]));
  const sections = kinds.sort((a, b) => b.total_ns - a.total_ns).flatMap((one) => [
    el("h2", {}, `${named(one.kind)}: ${count(one.count)}, ${duration(one.total_ns)}`),
    plainTable(named(one.kind), head, made.filter((_, i) => rows[i].kind === one.kind), { class: "functions spans" })]);
  return {
    root: el("div", { class: "scroller padded", tabindex: 0, role: "region", "aria-label": "Queries" }, sections,
      all > rows.length || lost ? el("p", { class: "hint" }, `${count(all - rows.length + lost)} more.`) : null),
    find(test) {
      const found = made.filter((_, i) => test && (test(rows[i].function) || test({ ...rows[i].function, name: rows[i].text })));
      made.forEach((one) => one.classList.toggle("found", found.includes(one)));
      return { count: found.length, show: (i) => found[i].querySelector("button").focus() };
    },
  };
}

const LEAST = 0.005; // share of the request that is worth a line

/** "cursor.execute 212 times from repo.py:20, 61.0 % of the request". Pure. */
export function sentence(row, wall) {
  const line = row.call_line || row.caller.line;
  const place = row.caller.file ? `${tame(shortPath(row.caller.file, 1))}:${line}` : label(row.caller);
  return `${row.text ? tame(row.text, 90) : label(row.function)} ${several(row.calls, "time")} from ${place}, ${percent(row.total_ns, wall)} of the request`;
}

export async function repeatsView(page) {
  const { profile } = page;
  const report = await profile.repeats({ limit: 200 });
  if (!report.exact && !report.rows.length) {
    return { root: el("p", { class: "empty" }, "Samples count no calls: ask for this request with ?slowlens=deterministic.") };
  }
  if (!report.rows.length) return { root: el("p", { class: "empty" }, "No call is made ten times or more from one line.") };
  const shown = report.rows.filter((row, i) => i < 3 || row.total_ns >= LEAST * page.shared);
  const rest = report.rows.length - shown.length;
  const items = shown.map((row) => el("li", {},
    button(sentence(row, page.shared), () => page.open({ view: "tree", node: row.node, fn: undefined }), { class: "link", "data-row": true }),
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
