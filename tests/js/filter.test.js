import assert from "node:assert/strict";
import { test } from "node:test";
import { chips, complete, read, span, words, write } from "../../pymiddleware/slowlens/viewer/static/filter.js";

test("words to terms", () => {
  assert.deepEqual(read("/books/ 5xx >200ms det tag:user=anna GET last:1h deepcopy"), {
    q: "/books/ deepcopy", status: "5xx", min_ms: "200", mode: "deterministic", tag: "user=anna", method: "GET", last: "1h" });
  assert.deepEqual(read(">1.5s"), { min_ms: "1500" });
  assert.deepEqual(read('tag:"user=anna b" route:/a/'), { tag: "user=anna b", route: "/a/" });
  assert.deepEqual(read("http://x"), { q: "http://x" }, "an address is text");
  assert.deepEqual(read(""), {});
  assert.deepEqual(words('a "b c"  d'), ["a", "b c", "d"]);
});

test("what makes no sense says what would", () => {
  for (const [text, said] of [["foo:1", /no field is called “foo”/], ["status:abc", /404, a class/], ["last:soon", /15m/], [">fast", /200ms/], ["tag:", /wants a value/], ["since:never", /2026/]]) {
    assert.throws(() => read(text), said);
  }
});

test("what is written is read again", () => {
  for (const state of [{ status: "5xx" }, { min_ms: "200" }, { min_ms: "2500" }, { mode: "deterministic" }, { method: "POST" }, { tag: "user=anna b" }, { route: "/a b/" }, { release: "v2" }, { host: "web-1" }, { finding: "n+1" }, { last: "7d" }, { since: "2026-01-31T08:00" }]) {
    const [[name, value]] = Object.entries(state);
    assert.deepEqual(read(write(name, value)), state);
  }
});

test("chips stand in one order", () => {
  assert.deepEqual(chips({ status: "5xx", route: "/a/", q: "text", sort: "-wall_ms" }).map((chip) => chip.text), ["route:/a/", "5xx"]);
});

test("completion: fields, their values, routes", () => {
  assert.deepEqual(complete("st").map((one) => one.text), ["status:"]);
  assert.deepEqual(complete("tag:us", { tag: ["user=anna", "tenant=7"] }).map((one) => one.text), ["tag:user=anna"]);
  assert.deepEqual(complete("/bo", { route: ["/books/", "/authors/"] }).map((one) => one.text), ["route:/books/"]);
  assert.ok(complete("").every((one) => !one.whole), "nothing written: which fields there are");
  assert.deepEqual(complete("zzz"), []);
});

test("lengths of time", () => {
  assert.equal(span("2h"), 7200e3);
  assert.equal(span("soon"), null);
});
