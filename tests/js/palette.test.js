import assert from "node:assert/strict";
import { test } from "node:test";
import { best, editorLink, score } from "../../pymiddleware/slowlens/viewer/static/keys.js";

const items = ["Requests", "GET /report/", "GET /authors/repaired/", "copy.deepcopy", "books.reports.build"].map((text) => ({ text }));

test("what begins a word comes first, letters in order come too", () => {
  assert.equal(best("report", items)[0].text, "GET /report/");
  assert.deepEqual(best("deep", items).map((one) => one.text), ["copy.deepcopy"]);
  assert.equal(best("cdc", items)[0].text, "copy.deepcopy");
  assert.deepEqual(best("zq", items), []);
  assert.equal(score("x", "y"), -1);
  assert.equal(best("", items).length, items.length, "nothing written: all, as they stand");
});

test("links to an editor: only such, paths put where they are here", () => {
  const code = "vscode://file/{file}:{line}";
  assert.equal(editorLink(code, "", "/home/me/a b.py", 3), "vscode://file//home/me/a%20b.py:3");
  assert.equal(editorLink(code, "/app=/home/me/site", "/app/views.py", 7), "vscode://file//home/me/site/views.py:7");
  for (const bad of ["javascript:alert({line})//{file}", "data:text/html,{file}", "", "no scheme"]) assert.equal(editorLink(bad, "", "/a.py", 1), "");
  assert.equal(editorLink(code, "", "<string>", 1), "");
});
