import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const FOLDER = new URL("../../pymiddleware/slowlens/viewer/static/", import.meta.url);
const PURE = ["format", "state", "summary", "treemodel", "flamemodel"];
const sources = new Map(readdirSync(FOLDER).filter((name) => name.endsWith(".js")).map((name) => [name.slice(0, -3), readFileSync(new URL(name, FOLDER), "utf8")]));
const imports = (name) => [...sources.get(name).matchAll(/from "\.\/(.+)\.js"/g)].map((found) => found[1]);

test("what is pure knows no page and imports only what is pure", () => {
  for (const name of PURE) {
    assert.deepEqual(imports(name).filter((other) => !PURE.includes(other)), [], name);
    assert.ok(!/\b(document|window|location|history|fetch|localStorage)\b\s*[.(]/.test(sources.get(name)), name);
  }
});

test("a time has one unit: ms() of a long one has its own already", () => {
  for (const [name, text] of sources) {
    if (name !== "format") assert.doesNotMatch(text, /\bms\([^`]*\)\} ms/, name);
  }
  assert.doesNotMatch(readFileSync(new URL("style.css", FOLDER), "utf8"), /\.wall::after/, "only what is in ms is followed by it");
});

test("every module is used, and stands in the map", () => {
  const map = readFileSync(new URL("../README.md", FOLDER), "utf8").split("\n## ")[1];
  for (const name of sources.keys()) {
    if (name === "main") continue;
    assert.match(map, new RegExp(`\\b${name}\\b`), name);
    const used = [...sources.keys()].some((other) => imports(other).includes(name));
    assert.ok(used || ["firefox", "badge"].includes(name), `${name} is not imported`);
  }
});

test("the page names all modules, so that they come at once and not one after the other", () => {
  const page = readFileSync(new URL("index.html", FOLDER), "utf8");
  const named = [...page.matchAll(/rel="modulepreload" href="static\/(.+)\.js"/g)].map((found) => found[1]);
  assert.deepEqual(named.sort(), [...sources.keys()].filter((name) => !["main", "firefox", "badge"].includes(name)).sort());
});

test("no page imports another page, and nothing goes round", () => {
  const done = new Set();
  const visit = (name, path) => {
    assert.ok(!path.includes(name), `a circle: ${[...path, name].join(" > ")}`);
    if (done.has(name)) return;
    for (const other of imports(name)) visit(other, [...path, name]);
    done.add(name);
  };
  for (const name of sources.keys()) visit(name, []);
});

test("what a link shows first is asked for before the other modules are here", () => {
  const page = readFileSync(new URL("index.html", FOLDER), "utf8");
  assert.equal(/<script[^>]*>/.exec(page)[0], '<script type="module" async src="static/api.js">');
  assert.deepEqual(imports("api"), ["state"]);
  assert.deepEqual(imports("state"), []);
});
