import assert from "node:assert/strict";
import { test } from "node:test";

import { asColumns, asTree, scale, signed } from "../../pymiddleware/slowlens/viewer/static/diff.js";
import { FlameModel } from "../../pymiddleware/slowlens/viewer/static/flamemodel.js";
import { acyclic, layout } from "../../pymiddleware/slowlens/viewer/static/graph.js";
import { sentence } from "../../pymiddleware/slowlens/viewer/static/repeats.js";
import { points } from "../../pymiddleware/slowlens/viewer/static/routes.js";
import { matcher } from "../../pymiddleware/slowlens/viewer/static/search.js";
import { lines } from "../../pymiddleware/slowlens/viewer/static/source.js";
import { comparison, notices, phases, timeSplit } from "../../pymiddleware/slowlens/viewer/static/summary.js";
import { squarify, treemap } from "../../pymiddleware/slowlens/viewer/static/treemap.js";

const callee = (name, file = "/app/shop.py") => ({ id: 0, name, file, line: 3, kind: "python", origin: "project" });

test("the parts of wall time add up to it", () => {
  for (const meta of [{}, { cpu_ns: 60, gc_ns: 10, blocked_ns: 20, gil_wait_ns: 5, await_ns: 7 }, { cpu_ns: 500, await_ns: 70 }]) {
    assert.equal(timeSplit(meta, 100).reduce((sum, part) => sum + part.ns, 0), 100);
  }
  const parts = Object.fromEntries(timeSplit({ cpu_ns: 60, gc_ns: 10, blocked_ns: 20 }, 100).map((part) => [part.kind, part.ns]));
  assert.deepEqual(parts, { cpu: 50, gil: 0, blocked: 20, await: 0, loop: 0, gc: 10, other: 20 });
  assert.equal(timeSplit({ cpu_ns: 10, loop_ns: 30 }, 100).find((part) => part.kind === "loop").ns, 30);
});

test("what a reader must know beside the numbers", () => {
  assert.deepEqual(notices({ cpu_ns: 5, step_ns: 1e6 }), []);
  const [held, kept, sampled] = notices({ held_ns: 15e7, held_by: "GET /slow: views.pdf\u202e", held_id: "01j", step_ns: 2e8, sampled_from_ns: 3e9 });
  assert.match(held.text, /^For 150 ms .* busy with GET \/slow: views\.pdf[^\u202e]*\.$/);
  assert.equal(held.id, "01j");
  assert.match(kept.text, /for 200 ms without a break/);
  assert.match(sampled.text, /from 3\.00 s on by sampling/);
});

test("phases end where the wall time ends", () => {
  assert.deepEqual(phases({}, 100), []);
  assert.deepEqual(phases({ headers_ns: 30, body_ns: 70 }, 100).map((part) => part.ns), [30, 40, 30]);
  assert.deepEqual(phases({ headers_ns: 130, body_ns: 70 }, 100).map((part) => part.ns), [100, 0, 0]);
});

test("a request beside its route", () => {
  assert.equal(comparison(1e8, { count: 2, p50_ms: 10 }), "", "too few to compare");
  assert.match(comparison(1e8, { count: 31, p50_ms: 10 }), /^10 times the median .*31 stored/);
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

test("a trend leaves out the times without requests", () => {
  assert.equal(points([1, 0, 2]).split(" ").length, 2);
  assert.equal(points([0, 0]), "");
});
