import assert from "node:assert/strict";
import { test } from "node:test";
import { format, listQuery, parse, toggleSort } from "../../pymiddleware/slowlens/viewer/static/state.js";

test("an empty fragment is the list", () => {
  assert.deepEqual(parse(""), { page: "requests" });
  assert.deepEqual(parse("#"), { page: "requests" });
});

test("a request is known by its id", () => {
  assert.equal(parse("#r=01abc&view=tree").page, "request");
});

test("what is formatted is parsed", () => {
  for (const state of [
    { page: "requests", sort: "-wall_ms", q: "a&b=c #d", status: "5xx" },
    { page: "routes" }, { page: "requests" }, { r: "01abc", view: "tree", node: "17", page: "request" },
  ]) assert.deepEqual(parse(format(state)), state);
});

test("empty values are left out", () => {
  assert.equal(format({ r: "x", view: "", node: undefined }), "#r=x");
});

test("the list's query is one text, in this reader's times", () => {
  assert.deepEqual(listQuery({ page: "requests", foo: "y" }), { sort: "-ended" });
  assert.deepEqual(listQuery({ q: "x", filter: "5xx", sort: "route" }), { sort: "route", filter: "text:x 5xx", zone: -new Date().getTimezoneOffset() });
});

test("a column sorts falling, then rising", () => {
  assert.equal(toggleSort("-started", "wall_ms"), "-wall_ms");
  assert.equal(toggleSort("-wall_ms", "wall_ms"), "wall_ms");
  assert.equal(toggleSort("wall_ms", "wall_ms"), "-wall_ms");
});
