// spread.js - a route's profiles as one tree: mean, p95 and worst of each node.
import { button, el } from "./dom.js";
import { ms, percent } from "./format.js";
import { go } from "./shell.js";
import { Tree } from "./tree.js";
import { whole } from "./treemodel.js";

/** The report (sl_report_aggregate) as an answer for a tree. Pure. */
export function asTree(report) {
  const rows = report.rows.map((row) => ({ ...row, resumes: 0, strand: false }));
  return {
    wall_ns: report.total_ns, functions: report.functions, truncated: false,
    ...whole(rows, (row) => row.total_ns, (row, parent) => row.total_ns > parent.total_ns / 2),
  };
}

export async function spreadView(page) {
  const report = await page.profile.spread();
  const answer = asTree(report);
  let worst = null;
  const open = button("Open the request where this node is worst", () => go({ r: report.ids[worst.worst] }));
  const tree = new Tree({
    label: `${report.count} profiles as one tree`, load: async () => answer,
    onSelect: (node) => {
      worst = report.rows.find((row) => row.node === node);
      page.side.show(tree.chosen(node));
    },
    columns: [
      { title: "Mean ms", value: (row) => ms(row.total_ns / report.count / 1e6) },
      { title: "Share", value: (row, wall) => percent(row.total_ns, wall), share: (row, wall) => row.total_ns / (wall || 1) },
      { title: "p95 ms", value: (row) => ms(row.p95_ns / 1e6) },
      { title: "Worst ms", value: (row) => ms(row.max_ns / 1e6), alone: true },
      { title: "Calls each", value: (row) => (row.calls / report.count).toFixed(1), alone: true },
    ],
  });
  tree.root.classList.add("wide");
  return {
    root: tree.root, tools: [el("span", { class: "hint" }, `${report.count} stored profiles, newest first, of one mode`), open],
    async ready() {
      await tree.load(undefined, true);
      // As on the page of one request: what own code called last on the hot path.
      const origin = (one) => answer.functions.find((each) => each.id === report.rows.find((row) => row.node === one).function)?.origin;
      const at = answer.hot.findLastIndex((one) => origin(one) === "project");
      const node = at < 0 ? answer.hot.at(-1) : answer.hot[at + 1] ?? answer.hot[at];
      if (node !== undefined) tree.select(node, false);
    }, step: (by) => tree.move(tree.current + by),
    find: (test) => {
      const found = report.rows.filter((row) => test && test(answer.functions.find((one) => one.id === row.function)));
      tree.mark(test ? new Set(found.map((row) => row.node)) : null);
      return { count: found.length, show: (i) => tree.select(found[i].node, false) };
    },
  };
}
