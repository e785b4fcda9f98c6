"""Profiles that want to be more than text, and profiles that are too much: all views show them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from slowlens import _core
from slowlens.request import new_id

from conftest import served, size, wait

EVIL = [
    "<img src=x onerror=alert(1)>", "'\"><script>alert(1)</script>", "a\u202egnp.exe", "nul\x00nul", "line\nbreak",
    "{{constructor.constructor('alert(1)')()}}", "javascript:alert(1)", "x" * 1_000_000, "\u2028\u2029", "％00＜",
]
VIEWS = ("tree", "flame", "timeline", "functions", "treemap", "graph", "source", "repeats")


def record(run: Any, file: Path, **meta: Any) -> str:
    profile = _core.Recording("none", max_nodes=1 << 20, max_bytes=1 << 30)
    profile.enter()
    run()
    profile.leave()
    profile.finish()
    profile_id = new_id(1_790_000_000_000_000_000)
    file.write_bytes(profile.encode({"id": profile_id, "started": 1_790_000_000_000_000_000, "method": "GET",
                                     "mode": "deterministic", "status": 200, "path": "/", "route": "/", **meta}))
    profile.discard()
    return profile_id


def named(name: str) -> Any:
    def call(*functions: Any) -> None:
        for one in functions:
            for _ in range(20):
                one()

    code = call.__code__.replace(co_name=name, co_qualname=name, co_filename="/app/" + name[:3000] + ".py")
    return type(call)(code, {"range": range})


def every_view(browser: Any, base: str, profile_id: str) -> None:
    for view in VIEWS:
        browser.get("about:blank")
        browser.get(f"{base}#r={profile_id}&view={view}")
        wait(browser, "[role=tab][aria-selected=true]")
        WebDriverWait(browser, 30).until(lambda _: browser.execute_script(
            "return document.querySelector('#panel').childElementCount") > 0)
        assert browser.execute_script("return document.getElementById('notice').textContent") == ""


def test_hostile_names_are_only_text(browser: Any, tmp_path: Path) -> None:
    functions = [named(name) for name in EVIL]

    def run() -> None:
        for one in functions:
            one(*functions[:3])
        for _ in range(6000):  # the most of the time, also where switching events on takes milliseconds
            functions[0](functions[1])

    evil = "<svg onload=alert(1)>'\"\u202e"
    one = record(run, tmp_path / "evil.slowlens", path="/" + evil, route="/" + evil, host=evil, thread=evil,
                 release=evil, flags=evil, framework=evil, held_ns=9_000_000, held_by=evil, held_id=evil,
                 **{"tag.<b>": evil})
    record(run, tmp_path / "other.slowlens", path="/" + evil, route="/" + evil)
    with served(tmp_path / "evil.slowlens", tmp_path / "other.slowlens") as base:
        every_view(browser, base, one)
        for page in ("#page=requests", "#page=routes", f"#r={evil}", f"#page=diff&a={one}&b={evil}",
                     "#r=aggregate&route=" + evil):
            browser.get("about:blank")
            browser.get(base + page)
            wait(browser, "main *" if "page=" in page and evil not in page else "#notice")
        size(browser, 360, 740)
        browser.get("about:blank")
        browser.get(f"{base}#r={one}")
        wait(browser, "#side .findings li")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360, "however long the names"
        made = browser.execute_script(
            "return document.querySelectorAll('main img, main script, main b, main svg[onload]').length")
        assert made == 0
        # Two of these pages do not exist, and the browser's console says so.
        browser.get_log("browser")


@pytest.mark.parametrize("many", [5000, 100_000])
def test_many_functions_and_deep_stacks(browser: Any, tmp_path: Path, many: int) -> None:
    """5,000: calls within calls, so deep. 100,000: distinct functions side by side."""
    space: dict[str, Any] = {}
    if many == 5000:
        source = [f"def f{i}(): f{i + 1}()" for i in range(many)] + [f"def f{many}(): pass"]
    else:
        source = [f"def f{i}(): pass" for i in range(many)]
        source += [f"def g{i}(): " + "; ".join(f"f{i * 1000 + j}()" for j in range(1000)) for i in range(many // 1000)]
        source += ["def f(): " + "; ".join(f"g{i}()" for i in range(many // 1000))]
    exec("\n".join(source), space)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        one = record(space["f0" if many == 5000 else "f"], tmp_path / "big.slowlens")
    finally:
        sys.setrecursionlimit(limit)
    with served(tmp_path / "big.slowlens") as base:
        every_view(browser, base, one)
        browser.get("about:blank")
        browser.get(f"{base}#r={one}&fold=0")
        wait(browser, ".tree .row")
        top = browser.execute_script("""
            const tree = document.querySelector('.tree');
            tree.scrollTop = 2000;
            return Math.floor(tree.scrollTop / 24) + 1;""")
        assert many != 5000 or top > 60
        wait(browser, f".tree .row[aria-rowindex='{top}']")
        seen = browser.execute_script("""
            const box = (one) => one.getBoundingClientRect();
            const named = (row) => box(row.querySelector('.name')).left < box(row.firstChild).right;
            return [...document.querySelectorAll('.tree .row')].map(named);""")
        assert seen and all(seen), "names of deep rows, too"
