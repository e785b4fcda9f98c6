import assert from "node:assert/strict";
import { test } from "node:test";

import { asColumns, asTree, caution, scale, signed, verdict } from "../../pymiddleware/slowlens/viewer/static/diff.js";
import { FlameModel } from "../../pymiddleware/slowlens/viewer/static/flamemodel.js";
import { acyclic, layout } from "../../pymiddleware/slowlens/viewer/static/graph.js";
import { sentence } from "../../pymiddleware/slowlens/viewer/static/tables.js";
import { hotPath, ranked } from "../../pymiddleware/slowlens/viewer/static/requests.js";
import { amount, grown, isNew, points, sides } from "../../pymiddleware/slowlens/viewer/static/routes.js";
import { matcher } from "../../pymiddleware/slowlens/viewer/static/format.js";
import { lines, toShow } from "../../pymiddleware/slowlens/viewer/static/source.js";
import { parts, rowSplit, timeSplit } from "../../pymiddleware/slowlens/viewer/static/colors.js";
import { answer, comparison, curl, guilty, how, linked, markdown, notices, phases, samplesOf } from "../../pymiddleware/slowlens/viewer/static/summary.js";
import { squarify, treemap } from "../../pymiddleware/slowlens/viewer/static/treemap.js";

const callee = (name, file = "/app/shop.py") => ({ id: 0, name, file, line: 3, kind: "python", origin: "project" });

const total = (split) => split.reduce((sum, part) => sum + part.ns, 0);

test("the parts of wall time add up to it, in the list and on the page", () => {
  for (const meta of [{}, { cpu_ns: 60, gc_ns: 10, blocked_ns: 20, gil_wait_ns: 5, await_ns: 7 }, { cpu_ns: 500, await_ns: 70 }]) {
    assert.equal(total(timeSplit(meta, 100)), 100);
  }
  const split = Object.fromEntries(timeSplit({ cpu_ns: 60, gc_ns: 10, blocked_ns: 20 }, 100).map((part) => [part.kind, part.ns]));
  assert.deepEqual(split, { cpu: 50, blocked: 20, gc: 10, other: 20 });
  assert.equal(timeSplit({ cpu_ns: 10, loop_ns: 30 }, 100).find((part) => part.kind === "loop").ns, 30);
  assert.equal(total(rowSplit({ wall_ms: 3, cpu_ms: 1, await_ms: 1, waiting_ms: 0.5 })), 3e6);
  assert.equal(total(rowSplit({ wall_ms: 3, cpu_ms: 9, await_ms: 1, waiting_ms: 1 })), 3e6, "clocks of two kinds may differ");
  const told = (row) => rowSplit(row).find((part) => part.kind === "blocked").title;
  assert.deepEqual([told({ wall_ms: 3, waiting_ms: 1 }), told({ wall_ms: 3, waiting_ms: 1, blocked_ms: 1 })], ["waiting, for what is not known", "blocked"], "rows of before know that they waited, not for what");
  const whole = rowSplit({ wall_ms: 9, cpu_ms: 3, gc_ms: 1, run_queue_ms: 1, gil_wait_ms: 1, blocked_ms: 1, waiting_ms: 3, loop_ms: 1, await_ms: 1, idle_ms: 1 });
  assert.deepEqual(whole.map((part) => part.kind), ["cpu", "runq", "gil", "blocked", "await", "loop", "idle", "gc"]);
  assert.equal(total(whole), 9e6);
  assert.deepEqual(parts({}, 0), []);
});

test("what a reader must know beside the numbers", () => {
  assert.deepEqual(notices({ cpu_ns: 5, step_ns: 1e6 }), []);
  const [held, sampled, ...more] = notices({ held_ns: 15e7, held_by: "GET /slow: views.pdf\u202e", held_id: "01j", step_ns: 2e8, sampled_from_ns: 3e9 });
  assert.match(held.text, /^For 150 ms .* busy with GET \/slow: views\.pdf[^\u202e]*\.$/);
  assert.equal(held.id, "01j");
  assert.deepEqual(more, [], "that it kept the loop itself is a finding");
  assert.match(sampled.text, /from 3\.00 s on by sampling/);
});

test("phases end where the wall time ends", () => {
  assert.deepEqual(phases({}, 100), []);
  assert.deepEqual(phases({ headers_ns: 30, body_ns: 70 }, 100).map((part) => part.ns), [30, 40, 30]);
  assert.deepEqual(phases({ headers_ns: 130, body_ns: 70 }, 100).map((part) => part.ns), [100, 0, 0]);
});

test("a request beside its route", () => {
  assert.equal(comparison(1e8, { count: 2, p50_ms: 10 }), null, "too few to compare");
  assert.equal(comparison(8e6, { count: 31, p50_ms: 10 }).text, "0.8× usual");
  assert.match(comparison(8e6, { count: 31, p50_ms: 10 }).whole, /over 31 stored profiles/);
  assert.match(comparison(8e6, { count: 31, p50_ms: 10, all_requests: true }).whole, /over 31 requests, kept or not/);
  assert.match(comparison(1e8, { count: 31, p50_ms: 10 }).whole, /^10 times the median .*31 stored/);
});

test("squares: areas are weights, within the rectangle, nothing overlaps", () => {
  const items = [60, 25, 10, 3, 2].map((weight) => ({ weight }));
  const placed = squarify(items, 100, { x: 0, y: 0, w: 200, h: 100 });
  assert.equal(placed.length, 5);
  placed.forEach((box, i) => {
    assert.ok(Math.abs(box.w * box.h - items[i].weight * 200) < 1e-6);
    assert.ok(box.x >= -1e-9 && box.y >= -1e-9 && box.x + box.w <= 200 + 1e-9 && box.y + box.h <= 100 + 1e-9);
    for (const other of placed.slice(0, i)) {
      assert.ok(box.x >= other.x + other.w - 1e-9 || other.x >= box.x + box.w - 1e-9 || box.y >= other.y + other.h - 1e-9 || other.y >= box.y + box.h - 1e-9);
    }
  });
});

test("a treemap nests callees in their callers", () => {
  const model = new FlameModel({
    wall_ns: 100, truncated: false, functions: [callee("f")], nodes: [0, 1, 2], parents: [0, 0, 1], function: [0, 0, 0],
    call_lines: [0, 0, 0], calls: [1, 1, 1], self_ns: [0, 0, 0], total_ns: [100, 90, 80], strands: [0, 0, 0],
  });
  const boxes = treemap(model, 0, 400, 300);
  assert.deepEqual(boxes.map((box) => box.node), [0, 1, 2]);
  for (let i = 1; i < 3; i++) assert.ok(boxes[i].x >= boxes[i - 1].x && boxes[i].w <= boxes[i - 1].w && boxes[i].h <= boxes[i - 1].h);
});

test("a graph with circles has an above and a below", () => {
  const functions = [1, 2, 3, 4].map((id) => ({ id }));
  const pairs = [[1, 2], [2, 3], [3, 2], [3, 4], [4, 4], [1, 4]].map(([caller, callee_]) => ({ caller, callee: callee_ }));
  assert.equal(acyclic([1, 2, 3, 4], pairs).length, 4, "without 3 to 2 and 4 to itself");
  const { places } = layout(functions, pairs);
  for (const [a, b] of [[1, 2], [2, 3], [3, 4]]) assert.ok(places.get(a).y < places.get(b).y);
  const rows = new Map();
  for (const { x, y } of places.values()) {
    for (const other of rows.get(y) || []) assert.ok(Math.abs(other - x) >= 190, "boxes of a row stand apart");
    rows.set(y, [...(rows.get(y) || []), x]);
  }
});

test("search by text and by expression", () => {
  assert.equal(matcher(""), null);
  assert.ok(matcher("SHOP.f")(callee("f")));
  assert.ok(matcher("app/shop")(callee("f")));
  assert.ok(!matcher("/^f/")(callee("f")));
  assert.ok(matcher("/^shop\\.(f|g)$/")(callee("g")));
  assert.throws(() => matcher("/(/"), /cannot be read/);
});

test("a repeated call as a sentence", () => {
  const row = { function: callee("Cursor.execute", "/lib/db.py"), caller: callee("load"), call_line: 20, calls: 212, total_ns: 61 };
  assert.equal(sentence(row, 100), "db.Cursor.execute 212 times from shop.py:20, 61.0 % of the request");
  assert.match(sentence({ ...row, calls: 1 }, 100), / 1 time from /);
});

const sum = (calls, total_ns) => ({ calls, self_ns: total_ns / 2, total_ns });
const diffOf = () => ({
  before_ns: 100, after_ns: 40, functions: [callee("a"), callee("b")].map((one) => ({ ...one, before: sum(1, 90), after: sum(1, 30) })),
  rows: [
    { node: 0, parent: 0, function: 0, depth: 0, strand: false, before: sum(1, 100), after: sum(1, 40) },
    { node: 2, parent: 0, function: 1, depth: 1, strand: false, before: sum(9, 80), after: sum(0, 0) },
    { node: 1, parent: 0, function: 1, depth: 1, strand: false, before: sum(1, 10), after: sum(1, 12) },
  ],
});

test("a difference as a tree opens the greatest change", () => {
  const answer = asTree(diffOf());
  assert.deepEqual(answer.hot, [0, 2]);
  assert.deepEqual(answer.rows.map((row) => row.node), [0, 2, 1]);
  assert.equal(answer.rows[1].total_ns, 80);
  const columns = asColumns(diffOf());
  assert.deepEqual(columns.parents, [0, 0, 0]);
  assert.deepEqual(columns.total_ns, [100, 80, 12]);
});

test("a merged side is brought down to its mean", () => {
  const report = diffOf();
  scale(report, "before", { meta: { merged: 10 } });
  assert.equal(report.before_ns, 10);
  assert.equal(report.rows[1].before.total_ns, 8);
  assert.equal(report.after_ns, 40);
});

test("changes have a sign in words", () => {
  assert.equal(signed(0), "±0");
  assert.equal(signed(2e6), "+2.00 ms");
  assert.equal(signed(-2e6), "−2.00 ms");
});

test("lines with and without text", () => {
  const rows = [{ line: 5, self_ns: 1, called_ns: 2, calls: 3, cpu_ns: 0, gil_ns: 0 }];
  assert.deepEqual(lines({ text: [], rows }).map((line) => line.line), [5]);
  const shown = lines({ text: [[4, "def f():"], [5, "  g()"], [6, ""]], rows });
  assert.deepEqual(shown.map((line) => [line.line, line.calls]), [[4, 0], [5, 3]]);
});

test("a row of the list: few samples look few", () => {
  assert.equal(hotPath({ mode: "sampling", calls: 3, hot: "views.a > b.c 76%" }), "views.a > b.c about 76 %");
  assert.equal(hotPath({ mode: "sampling", calls: 300, hot: "views.a > b.c 76%" }), "views.a > b.c 76 %");
  assert.equal(hotPath({ mode: "deterministic", calls: 3, hot: "b.c 76%" }), "b.c 76 %");
  // The share stays at the end, and what called at the left, also between names that are written from right to left.
  assert.equal(hotPath({ mode: "sampling", calls: 3, hot: "שלום > עולם 76%" }), "שלום\u200e > עולם\u200e about 76 %");
});

test("a trend leaves out the times without requests", () => {
  assert.equal(points([1, 0, 2]).split(" ").length, 2);
  assert.equal(points([0, 0]), "");
});

// ---- the sentence ----

const step = (node, name, origin, total_ns, call_line = 0, file = "/app/books/reports.py") => ({
  node, total_ns, call_line, function: { id: node, name, file, line: 31, kind: "python", origin },
});
const summaryOf = (meta, hot_path, more = {}) => ({
  meta: { mode: "deterministic", method: "GET", path: "/report/", status: 200, ...meta }, wall_ns: 1000, shared_ns: 1000, hot_path, hot_text: "", self_ns: {},
  heaviest: [{ function: hot_path[0]?.function || callee("f"), self_ns: 100, calls: 1, total_ns: 100 }], calls: 5, c_calls: 2, ...more,
});
const REPORT = [step(0, "[request]", "none", 1000), step(1, "build", "project", 900), step(2, "deepcopy", "stdlib", 700, 35, "/lib/copy.py")];

const HEADLINE = "70 % in copy.deepcopy, called by reports.build at books/reports.py:35, 800 times.";

test("the sentence is the core's; what it names can be gone to", () => {
  const summary = summaryOf({}, REPORT, { headline: HEADLINE });
  assert.equal(answer(summary), HEADLINE);
  const cut = linked(HEADLINE, summary);
  assert.equal(cut.map((part) => part.text ?? part).join(""), HEADLINE, "nothing is lost");
  assert.deepEqual(cut.filter((part) => part.text), [
    { text: "copy.deepcopy", node: 2 }, { text: "reports.build", node: 1 }, { text: "books/reports.py:35", fn: 1, line: 35, file: "/app/books/reports.py" }]);
  assert.equal(answer(summaryOf({}, REPORT)), "");
  assert.equal(guilty(summaryOf({}, [REPORT[0], REPORT[2]])), 2, "no own code: the last of the hot path");
  const inner = { ...REPORT[2], node: 9, function: { ...REPORT[2].function, name: "_inner" } };
  assert.equal(guilty(summaryOf({}, [REPORT[0], REPORT[2], inner], { headline: "50 % in copy.deepcopy." })), 2, "or what the sentence names");
});

test("who held the loop can be gone to", () => {
  const summary = summaryOf({ held_by: "GET /blocking/: app.render", held_id: "01j" }, REPORT, { headline: "80 % waiting for the event loop, held by GET /blocking/: app.render." });
  assert.deepEqual(linked(answer(summary), summary).find((part) => part.id), { text: "GET /blocking/: app.render", id: "01j" });
});

test("few samples look few; what was awaited is measured, not sampled", () => {
  assert.equal(how(summaryOf({ mode: "sampling", samples: 12 }, REPORT)), "sampled, 12 samples (few)");
  assert.equal(samplesOf(summaryOf({ mode: "sampling", samples: 1, await_ns: 900 }, REPORT)), undefined);
});

test("a change has its sign", () => {
  assert.deepEqual([amount("time", 12.34), amount("time", 86_400_000), amount("queries", 2.004)], ["12.3 ms", "86400.00 s", "2"], "one unit");
  assert.deepEqual([grown(0.2), grown(-0.051), grown(3)], ["+20 %", "−5 %", "+300 %"]);
});

test("which requests are compared, in words", () => {
  assert.deepEqual(sides({}), ["the slowest tenth", "the usual ones"]);
  assert.deepEqual(sides({ slow: "500ms" }), ["those over 500ms", "the usual ones"]);
  assert.deepEqual(sides({ where: "release=b", against: "release=a" }), ["release=b", "release=a"]);
  assert.deepEqual(sides({ against: "user=anna" }), ["not user=anna", "user=anna"]);
});

test("a profile as markdown and as a command", () => {
  const summary = summaryOf({ path: "/it's" }, REPORT, { headline: HEADLINE });
  const text = markdown(summary, "http://x/#r=1", [{ title: "on CPU", ns: 5 }]);
  for (const part of ["copy.deepcopy", "books/reports.py:35", "http://x/#r=1", "on CPU 5 ns"]) assert.ok(text.includes(part), part);
  assert.equal(curl({ method: "GET", path: "/it's" }, "http://h"), "curl -H 'X-Slowlens: deterministic' 'http://h/it'\\''s'");
});

test("a difference in a sentence: which function, called by whom", () => {
  const before = (calls, ns) => ({ calls, self_ns: ns, total_ns: ns });
  const functions = [["[request]", "none"], ["build", "project"], ["deepcopy", "stdlib"]].map(([name, origin]) => (
    { ...callee(name), kind: origin === "none" ? "pseudo" : "python", origin, before: before(1, 1), after: before(1, 1) }));
  const row = (node, parent, a, b) => ({ node, parent, function: node, depth: node, strand: false, before: a, after: b });
  const report = { before_ns: 1e9, after_ns: 4e8, functions, rows: [
    row(0, 0, before(1, 1e9), before(1, 4e8)), row(1, 0, before(1, 9e8), before(1, 3e8)), row(2, 1, before(800, 6e8), before(0, 0))] };
  assert.equal(verdict(report), "−600 ms (−60.0 %). −600 ms of it in shop.deepcopy, called by shop.build: 800 calls before, none after.");
  assert.ok(!verdict(report, ["sampling", "sampling"]).includes("calls"), "samples count no calls");
  const mean = { ...report, rows: [...report.rows.slice(0, 2), row(2, 1, before(1.25, 6e8), before(1, 0))] };
  assert.ok(!verdict(mean).includes("before"), "1 call before, 1 after: not why");
  assert.match(verdict({ ...report, after_ns: 1.001e9 }), /about the same/);
});

test("a difference of two kinds says so", () => {
  assert.equal(caution({ mode: "sampling", route: "/a" }, { mode: "sampling", route: "/a" }), "");
  assert.match(caution({ mode: "sampling" }, { mode: "deterministic" }), /Not of one kind: sampled before, exact after/);
  assert.match(caution({ mode: "sampling", route: "/a" }, { mode: "sampling", route: "/b" }), /Two routes/);
});

test("Source shows the chosen function, else own code on the hot path", () => {
  const functions = [callee("a"), callee("b")].map((one, id) => ({ ...one, id }));
  const hot = [{ function: functions[1] }];
  assert.equal(toShow(0, functions, hot), 0);
  assert.equal(toShow(undefined, functions, hot), 1);
  assert.equal(toShow(77, functions, hot), 1, "what has no lines");
  assert.equal(toShow(undefined, [], []), undefined);
});

test("findings that name what to mend come first; a route that is asked for only lately is new", () => {
  assert.deepEqual(ranked(["run-queue", "database", "n+1", "repeats"]), ["n+1", "repeats", "run-queue", "database"]);
  assert.deepEqual([isNew({}), isNew({ trend_count: [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1] }), isNew({ trend_count: [0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1] })], [false, true, false]);
});

test("a sentence leads to the queries that it counts", () => {
  const parts = linked("80 % in the database: 200 queries that are alike (SELECT ?).", { meta: {}, hot_path: [] });
  assert.deepEqual(parts, ["80 % in the database: ", { text: "200 queries that are alike", view: "queries" }, " (SELECT ?)."]);
});
