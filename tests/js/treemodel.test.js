import assert from "node:assert/strict";
import { test } from "node:test";
import { TreeModel } from "../../pymiddleware/slowlens/viewer/static/treemodel.js";

const row = (node, parent, children, function_ = 0) => ({
  node, parent, function: function_, call_line: 0, calls: 1, resumes: 0, self_ns: 1, total_ns: 1, children, strand: false,
});
const answer = (rows, hot = []) => ({
  node: 0, wall_ns: 10, truncated: false, functions: [{ id: 0, name: "f", file: "", line: 0, origin: "project" }], hot, rows,
});

test("what is open shows, heaviest first as it came", () => {
  const model = new TreeModel();
  model.add(answer([row(0, 0, 2), row(5, 0, 1), row(1, 0, 0), row(6, 5, 1)], [5, 6]));
  assert.deepEqual(model.visible(), [{ node: 0, depth: 0, folded: [] }]);
  model.openHotPath();
  assert.deepEqual(model.visible().map((at) => at.node), [0, 5, 6, 1]);
  assert.equal(model.missing(6), true);
  assert.equal(model.missing(1), false);
  model.add(answer([row(7, 6, 0)]));
  model.open.add(6);
  assert.deepEqual(model.visible().map((at) => [at.node, at.depth]), [[0, 0], [5, 1], [6, 2], [7, 3], [1, 1]]);
});

test("a node is revealed", () => {
  const model = new TreeModel();
  model.add(answer([row(0, 0, 1), row(1, 0, 1), row(2, 1, 1), row(3, 2, 0)]));
  model.reveal(3);
  assert.equal(model.visible().length, 4);
});

test("a stack 100,000 deep opens without recursion", () => {
  const model = new TreeModel();
  const rows = [row(0, 0, 1)];
  for (let i = 1; i < 100000; i++) rows.push(row(i, i - 1, 1));
  model.add(answer(rows));
  for (let i = 0; i < 100000; i++) model.open.add(i);
  assert.equal(model.visible().length, 100000);
});

test("a folded stack 100,000 deep is one row", () => {
  const model = new TreeModel();
  const rows = [row(0, 0, 1)];
  for (let i = 1; i < 100000; i++) rows.push(row(i, i - 1, 1));
  model.add({ ...answer(rows), functions: [{ id: 0, name: "f", file: "", line: 0, origin: "library" }] });
  for (let i = 0; i < 100000; i++) model.open.add(i);
  assert.equal(model.visible().length, 3);
});

const origins = ["library", "project", "stdlib"];
const withOrigins = (rows) => ({
  ...answer(rows), functions: origins.map((origin, id) => ({ id, name: origin, file: "", line: 0, origin })),
});
const timed = (node, parent, children, function_, total) => ({ ...row(node, parent, children, function_), total_ns: total });

/** request > 4 library frames > own > copy > copy > copy > copy, and a small child on the way. */
function wrapped() {
  const model = new TreeModel();
  const rows = [timed(0, 0, 1, 0, 100)];
  for (let i = 1; i <= 4; i++) rows.push(timed(i, i - 1, 1, 0, 99));
  rows.push(timed(5, 4, 1, 1, 98));
  for (let i = 6; i <= 10; i++) rows.push(timed(i, i - 1, 1, 2, 97));
  rows.push(timed(11, 2, 0, 0, 1));
  model.add(withOrigins(rows));
  for (let i = 0; i <= 10; i++) model.open.add(i);
  return model;
}

test("library frames that only pass on fold into one row", () => {
  const model = wrapped();
  const shown = model.visible();
  assert.deepEqual(shown.map((at) => [at.node, at.depth, at.folded.length]), [
    [0, 0, 0], [1, 1, 4], [5, 2, 0], // own code is never folded
    [6, 3, 0], // nor what it called itself
    [7, 4, 3], [10, 5, 0]]);
});

test("folding drops nothing: unfolded, all is there", () => {
  const model = wrapped();
  model.fold = false;
  assert.equal(model.visible().length, 12);
  model.fold = true;
  model.reveal(3, true);
  assert.ok(model.visible().some((at) => at.node === 3));
  assert.ok(model.visible().some((at) => at.node === 11));
});
