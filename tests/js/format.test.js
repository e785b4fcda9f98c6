import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, duration, hasSamples, label, middle, modeOf, moment, ms, packages, percent, several, share, shortPath, tame, when } from "../../pymiddleware/slowlens/viewer/static/format.js";

test("milliseconds keep three digits that matter", () => {
  assert.deepEqual([1234.5, 99.95, 12.34, 1.234, 0.1234, 0].map(ms), ["1235", "100.0", "12.3", "1.23", "0.123", "0.000"]);
  assert.equal(ms(86_400_000), "86400 s", "as short as a column");
});

test("durations choose their unit", () => {
  assert.deepEqual([2.5e9, 12e6, 4500, 17, 0].map(duration), ["2.50 s", "12.0 ms", "4.5 µs", "17 ns", "0 ns"]);
});

test("shares of nothing are nothing", () => {
  assert.equal(percent(1, 0), "0.0 %");
  assert.equal(percent(1, 3), "33.3 %");
});

test("numbers and sizes", () => {
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.deepEqual([12, 1234, 12345678].map(bytes), ["12 B", "1.2 kB", "12.3 MB"]);
  assert.deepEqual([0, 1, 1.25, 1.5].map((many) => several(many, "call")), ["0 calls", "1 call", "1 call", "2 calls"], "means, too, as they are told");
});

test("times of today have no date", () => {
  const now = new Date(2026, 10, 21, 15, 4, 5).getTime();
  assert.equal(when(now, now), "15:04:05");
  assert.match(moment(now), /^\d{4}-\d\d-\d\d 15:04:05$/);
  assert.equal(when(now - 86400000, now), "11-20 15:04", "as short as the column of the list");
  assert.equal(when(now - 366 * 86400000, now), "2025-11-20");
  assert.deepEqual([undefined, NaN, Infinity, "2026", null].map((one) => when(one, now)), ["–", "–", "–", "–", "–"], "a file of another tool may say anything");
});

test("names carry their module", () => {
  const python = (file, name) => ({ kind: "python", file, name });
  assert.equal(label(python("/lib/copy.py", "deepcopy")), "copy.deepcopy");
  assert.equal(label(python("/lib/json/__init__.py", "dumps")), "json.dumps");
  assert.equal(label(python("<string>", "f")), "f");
  assert.equal(label({ kind: "c", file: "", name: "dict.get" }), "dict.get");
  assert.equal(shortPath("/a/b/c.py"), "b/c.py");
});

test("hostile text is tamed", () => {
  assert.equal(tame("a\u0000b\u202ec\nd"), "a\ufffdb\ufffdc\ufffdd");
  assert.equal(tame("x".repeat(1000000)).length, 301);
  assert.equal(tame("<b>"), "<b>");
});

test("shares have the digits that are known", () => {
  assert.equal(share(1, 3), "33.3 %");
  assert.equal(share(1, 3, 500), "33.3 %");
  assert.equal(share(1, 3, 60), "33 %");
  assert.equal(share(1, 3, 12), "about 33 %");
  assert.equal(share(5, 2), "2.5×", "tasks beside a request may take longer than it");
});

test("long names lose their middle", () => {
  assert.equal(middle("short", 10), "short");
  assert.equal(middle("abcdefghijklmnop", 7), "abc…nop");
  assert.equal(middle("x".repeat(1000), 60).length, 60);
});

test("folded frames are told by the packages they are of", () => {
  const files = (...names) => names.map((file) => ({ file }));
  assert.equal(packages(files("/v/lib/python3.13/site-packages/django/core/a.py", "/v/lib/python3.13/site-packages/django/b.py", "/usr/lib/python3.13/copy.py")), "3 frames of django, copy");
  assert.equal(packages(files("/usr/lib/python3/dist-packages/six.py", "", "<string>")), "3 frames of six");
  assert.equal(packages(files("/srv/vendored.py")), "1 frames");
  assert.equal(packages(files(...["a", "b", "c", "d"].map((one) => `/site-packages/${one}/x.py`))), "4 frames of a, b, c…");
});

test("how it was recorded, in words, and what is counted then", () => {
  assert.deepEqual(["deterministic", "sampling", "", undefined, "other"].map(modeOf), ["exact", "sampled", "", "", "other"]);
  const pseudo = (name) => hasSamples({ kind: "pseudo", name });
  assert.deepEqual(["[request]", "[gc]", "[not seen] torn", "[await]", "[task]", "[thread]"].map(pseudo), [true, true, true, false, false, false]);
  assert.ok(hasSamples({ kind: "python", name: "[await]" }));
});

test("letters without width are seen", () => {
  assert.equal(tame("/a\u200bb\u2060\ufeff"), "/a\ufffdb\ufffd\ufffd");
  assert.equal(tame("/\u{1f468}\u200d\u{1f469}"), "/\u{1f468}\u200d\u{1f469}", "what joins a picture stays");
});
