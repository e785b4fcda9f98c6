import assert from "node:assert/strict";
import { test } from "node:test";

import { FlameModel, asAnswer, boxAt, boxOf, firstAfter, folds, invert, laneOf, leftHeavy, mergeRecursion, ticks, timeOrder } from "../../pymiddleware/slowlens/viewer/static/flamemodel.js";

const named = (name) => ({ id: 0, name, file: "", line: 0, kind: "python", origin: "project" });
const report = (parents, total, more = {}) => ({
  wall_ns: total[0], truncated: false, functions: [named("f"), named("g")], nodes: parents.map((_, i) => i), parents,
  function: parents.map(() => 0), call_lines: parents.map(() => 0), calls: parents.map(() => 1),
  self_ns: parents.map(() => 0), total_ns: total, strands: parents.map(() => 0), ...more,
});

//   0 (100) ── 1 (30) ── 2 (10)
//          └── 3 (60) ── 4 (50)
const tree = () => new FlameModel(report([0, 0, 1, 0, 3], [100, 30, 10, 60, 50]));

test("children stand heaviest first, depths follow parents", () => {
  const model = tree();
  assert.deepEqual(Array.from(model.children(0)), [3, 1]);
  assert.deepEqual(Array.from(model.depth), [0, 1, 2, 1, 2]);
  assert.deepEqual(model.path(4), [0, 3, 4]);
});

test("left heavy: children lie within their parent, side by side", () => {
  const picture = leftHeavy(tree());
  assert.deepEqual(Array.from(picture.levels[1].node), [3, 1]);
  assert.deepEqual(Array.from(picture.levels[1].x), [0, 60]);
  assert.deepEqual(Array.from(picture.levels[2].x), [0, 60]);
  assert.equal(picture.width, 100);
  assert.equal(boxAt(picture, 1, 75).node, 1);
  assert.equal(boxAt(picture, 1, 95), null, "the request's own time");
  assert.deepEqual(boxOf(picture, 4), { node: 4, x: 0, w: 50, depth: 2 });
});

test("what ran beside the request takes nothing of its width: a lane below, shut until it is opened", () => {
  const model = new FlameModel(report([0, 0, 1, 2, 1], [100, 80, 500, 400, 20], { strands: [0, 0, 1, 0, 0] }));
  const shut = leftHeavy(model);
  assert.equal(shut.width, 100);
  assert.deepEqual(boxOf(shut, 1), { node: 1, x: 0, w: 80, depth: 1 });
  assert.deepEqual(shut.lanes, [{ key: "2", node: 2, depth: 4, open: false }]);
  assert.deepEqual(boxOf(shut, 2), { node: 2, x: 0, w: 100, depth: 4 }, "500 at a scale of its own");
  assert.equal(boxOf(shut, 3), null);
  const open = leftHeavy(model, { open: new Set(["2"]) });
  assert.deepEqual(boxOf(open, 3), { node: 3, x: 0, w: 80, depth: 5 });
  assert.equal(laneOf(model, 3), 2);
  assert.equal(laneOf(model, 1), -1);
});

//   0 > 1 > 2 > 3 > 4 (own) > 5 (own's callee) > 6 > 7 > 8, all of them nearly all of the time; 9 beside 3 below 2
const wrapped = () => new FlameModel(report([0, 0, 1, 2, 3, 4, 5, 6, 7, 2], [100, 99, 98, 97, 96, 95, 94, 93, 92, 1], {
  functions: ["library", "project"].map((origin) => ({ ...named(origin), origin })), function: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
}));

test("library frames that only pass on are one box, own code and what it called always show", () => {
  const model = wrapped();
  const fold = folds(model);
  assert.equal(fold.next[1], 4);
  assert.equal(fold.count[1], 3);
  assert.deepEqual([1, 2, 3].map((i) => fold.head[i]), [1, 1, 1]);
  assert.equal(fold.head[4], -1, "own code");
  assert.equal(fold.head[5], -1, "what own code called");
  const picture = leftHeavy(model, { fold });
  assert.deepEqual(picture.levels.map((level) => level.node[0]), [0, 1, 4, 5, 6, 7, 8], "two frames are not worth a fold");
  assert.equal(boxOf(picture, 1).w, 99);
  assert.equal(folds(tree()), null);
});

test("the order of time is folded as the flame graph is", () => {
  const model = wrapped();
  const picture = timeOrder(model, { rows: [{ node: 8, lane: 0, from_ns: 0, to_ns: 90 }] }, { fold: folds(model) });
  assert.deepEqual(picture.levels.map((level) => level.node[0]), [0, 1, 4, 5, 6, 7, 8]);
});

test("marks of a ruler stand at round numbers, as many as there is room for", () => {
  const { at, step } = ticks(0, 417e6, 1080);
  assert.equal(step, 50e6);
  assert.deepEqual(at.slice(0, 3), [0, 50e6, 100e6]);
  assert.ok(ticks(3.2e6, 3.3e6, 300).at.every((ns) => ns >= 3.2e6 && ns <= 3.3e6 && ns % 1000 === 0));
  assert.ok(ticks(0, 1, 900).at.length >= 1);
});

test("boxes of a level are sorted and never overlap", () => {
  const parents = [0];
  const total = [1e6];
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const left = [1e6];
  for (let i = 1; i < 3000; i++) {
    // Preorder: a new node goes under one that is open.
    let at = i - 1;
    while (at > 0 && (random(3) === 0 || left[at] < 2)) at = parents[at];
    const ns = Math.min(left[at], 1 + random(Math.max(1, Math.floor(left[at]))));
    if (left[at] < 1) break;
    parents.push(at);
    total.push(ns);
    left[at] -= ns;
    left.push(ns);
  }
  const picture = leftHeavy(new FlameModel(report(parents, total)));
  for (const level of picture.levels) {
    for (let i = 1; i < level.x.length; i++) assert.ok(level.x[i] >= level.x[i - 1] + level.w[i - 1] - 1e-6);
  }
});

test("a stack 200,000 deep is laid out without recursion", () => {
  const size = 200000;
  const model = new FlameModel(report(Array.from({ length: size }, (_, i) => Math.max(0, i - 1)), Array.from({ length: size }, (_, i) => size - i)));
  assert.equal(leftHeavy(model).levels.length, size);
});

test("the order of time: what goes on is one box, what comes again another", () => {
  const model = tree();
  const row = (node, from_ns, to_ns, lane = 0) => ({ node, lane, from_ns, to_ns });
  const picture = timeOrder(model, { rows: [row(2, 0, 10), row(1, 10, 30), row(4, 30, 70), row(2, 70, 80), row(4, 90, 95)] });
  assert.deepEqual(Array.from(picture.levels[0].x), [0, 90], "a gap ends everything");
  assert.deepEqual(Array.from(picture.levels[1].node), [1, 3, 1, 3]);
  assert.deepEqual(Array.from(picture.levels[1].w), [30, 40, 10, 5]);
  assert.deepEqual(Array.from(picture.levels[2].x), [0, 30, 70, 90]);
});

test("lanes stand below each other, one row high until they are opened", () => {
  const model = new FlameModel(report([0, 0, 1, 2], [100, 80, 50, 40], { strands: [0, 0, 1, 0] }));
  const rows = [{ node: 1, lane: 0, from_ns: 0, to_ns: 80 }, { node: 3, lane: 1, from_ns: 20, to_ns: 60 }, { node: 3, lane: 2, from_ns: 30, to_ns: 50 }];
  const shut = timeOrder(model, { rows });
  assert.deepEqual(shut.lanes.map((lane) => [lane.key, lane.depth, lane.open]), [["1", 3, false], ["2", 4, false]]);
  assert.equal(boxOf(shut, 3), null);
  const open = timeOrder(model, { rows }, { open: new Set(["1"]) });
  const strand = boxOf(open, 2);
  assert.ok(strand.depth > boxOf(open, 1).depth);
  assert.equal(boxOf(open, 3).depth, strand.depth + 1);
  assert.equal(strand.x, 20);
  assert.equal(open.lanes[1].depth, 5);
});

test("what goes on after a gap that nobody could see is one box", () => {
  const row = (node, from_ns, to_ns) => ({ node, lane: 0, from_ns, to_ns });
  const model = new FlameModel(report([0, 0], [1e6, 9e5]));
  const picture = timeOrder(model, { rows: [row(1, 0, 4e5), row(1, 4e5 + 100, 9e5)] });
  assert.deepEqual(Array.from(picture.levels[1].x), [0]);
  assert.deepEqual(Array.from(picture.levels[1].w), [9e5]);
});

test("a search counts a match within a match once, and not what ran beside", () => {
  const model = new FlameModel(report([0, 0, 1, 0, 3], [100, 60, 40, 20, 500], { function: [0, 1, 1, 0, 1], strands: [0, 0, 0, 0, 1] }));
  const { indices, ns } = model.search((one) => one.name === "g");
  assert.deepEqual(indices, [1, 2, 4]);
  assert.equal(ns, 60);
});

test("binary search finds the first box that ends after a place", () => {
  const level = { x: Float64Array.of(0, 10, 20), w: Float64Array.of(5, 5, 5), node: Int32Array.of(1, 2, 3) };
  assert.equal(firstAfter(level, 0), 0);
  assert.equal(firstAfter(level, 5), 1);
  assert.equal(firstAfter(level, 12), 1);
  assert.equal(firstAfter(level, 99), 3);
});

test("numbers of nodes are found, those left out are not", () => {
  const model = new FlameModel(report([0, 0, 1], [9, 5, 1], { nodes: [0, 4, 9] }));
  assert.equal(model.indexOf(4), 1);
  assert.equal(model.indexOf(5), -1);
});

test("recursion merged: time is counted once, callees go to the outermost call", () => {
  // f > g > f > g, h: all of it is f's, g's and h's once.
  const one = report([0, 0, 1, 2, 3, 3], [100, 90, 80, 70, 30, 20], { function: [0, 1, 2, 1, 2, 3], self_ns: [10, 10, 10, 20, 30, 20] });
  one.functions = ["request", "f", "g", "h"].map(named);
  const merged = mergeRecursion(one);
  assert.deepEqual(merged.function, [0, 1, 2, 3]);
  assert.deepEqual(merged.parents, [0, 0, 1, 1]);
  assert.deepEqual(merged.self_ns, [10, 30, 40, 20]);
  assert.deepEqual(merged.total_ns, [100, 90, 80, 20]);
  assert.deepEqual(merged.calls, [1, 2, 2, 1]);
  assert.equal(merged.self_ns.reduce((a, b) => a + b), 100, "nothing is lost");
  const answer = asAnswer(new FlameModel(merged), [1]);
  assert.equal(answer.rows[0].node, 0);
  assert.equal(answer.rows.length, 4);
});

//   0 (100) ── 1 f (60, self 10) ── 2 g (50)
//          └── 3 g (30), and 4 f (70) beside the request
test("upside down: what took the time itself first, below it who called it", () => {
  const model = new FlameModel(invert(report([0, 0, 1, 0, 0], [100, 60, 50, 30, 70], {
    functions: [named("request"), named("f"), named("g")], function: [0, 1, 2, 2, 1], self_ns: [10, 10, 50, 30, 70], strands: [0, 0, 0, 0, 1], calls: [1, 2, 3, 4, 5],
  })));
  const names = (nodes) => Array.from(nodes, (node) => [model.callee(node).name, model.total[node]]);
  assert.deepEqual(names(model.children(0)), [["g", 80], ["request", 10], ["f", 10]], "what ran beside the request is left out");
  assert.equal(model.total[0], 100);
  const [g] = model.children(0);
  assert.equal(model.self[g], 80);
  assert.equal(model.calls[g], 7);
  assert.deepEqual(names(model.children(g)), [["f", 50]], "the request itself goes without saying");
});

test("what was asked of others stands above the order of time, what overlaps in rows of its own", () => {
  const mark = (kind, from_ns, length_ns) => ({ kind, text: `${kind} ${from_ns}`, node: 1, lane: 0, from_ns, length_ns });
  const rows = [{ node: 1, lane: 0, from_ns: 0, to_ns: 90 }];
  const marks = [mark("template", 10, 60), mark("db", 40, 5), mark("template", 20, 10), mark("db", 5, 5), mark("db", 1, 0), { ...mark("db", 3, 1), node: 99 }];
  const picture = timeOrder(tree(), { rows }, { marks, kinds: [{ kind: "db", count: 204 }, { kind: "template", count: 2 }] });
  assert.deepEqual(picture.levels.slice(0, 5).map((level) => level.text || level.node.length), [0, ["db 1", "db 5", "db 40"], ["template 10"], ["template 20"], 1]);
  assert.equal(picture.above, "asked of others: db (the first 4 of 204), template 2");
  assert.equal(boxAt(picture, 1, 42).text, "db 40");
  assert.equal(boxOf(picture, 1).depth, 5, "the box of a node is never a mark");
  assert.equal(timeOrder(tree(), { rows }).levels.length, 2);
});
