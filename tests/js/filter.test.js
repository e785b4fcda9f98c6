import assert from "node:assert/strict";
import { test } from "node:test";
import { complete, join, lastWord, textOf, withText, write } from "../../pymiddleware/slowlens/viewer/static/state.js";

test("links may use short forms; all of it is one text", () => {
  assert.equal(textOf({ page: "requests", sort: "-wall_ms" }), "");
  assert.equal(textOf({ route: "/a b/", status: "error", min_ms: "200", q: "two words", filter: "det x" }), 'route:"/a b/" status:error >200ms text:"two words" det x');
  assert.deepEqual(withText({ page: "requests", sort: "route", tag: "a=b", filter: "x" }, "y"), { page: "requests", sort: "route", filter: "y" });
  assert.equal(write("tag", 'a="b c"'), 'tag:"a=b c"');
});

test("terms make the text that they came from", () => {
  const terms = [{ name: "status", text: "5xx" }, { name: "text", text: '"a b"' }, { name: "last", text: "last:1h" }];
  assert.equal(join(terms), '5xx "a b" last:1h');
  assert.equal(join(terms, "last", "last:2h"), '5xx "a b" last:2h');
  assert.equal(join([], null, ""), "");
});

test("completion: the server's fields, their values, and what the page has seen", () => {
  const fields = [{ name: "status", hint: "404…", values: ["5xx", "404"] }, { name: "tag", hint: "", values: [] }, { name: "route", hint: "", values: [] }];
  const texts = (word, known) => complete(word, fields, known).map((one) => one.text);
  assert.deepEqual(texts("st"), ["status:"]);
  assert.deepEqual(texts("status:4"), ["status:404"]);
  assert.deepEqual(texts("tag:us", { tag: ["user=anna b", "tenant=7"] }), ['tag:"user=anna b"']);
  assert.deepEqual(texts('tag:"user=a', { tag: ["user=anna b"] }), ['tag:"user=anna b"']);
  assert.deepEqual(texts("/bo", { route: ["/books/", "/authors/"] }), ["route:/books/"]);
  assert.ok(complete("", fields).every((one) => !one.whole), "nothing written: which fields there are");
  assert.deepEqual(texts("zzz"), []);
  assert.equal(lastWord('det tag:"a b'), 'tag:"a b');
});
