"""Pictures of every page and state, light and dark, wide and narrow, of the demo's shop.

    python tests/browser/screenshots.py FOLDER [PAGE...]
    python tests/browser/screenshots.py --manual [PAGE...]   the README's and the manual's, into examples/images

Needs what tests/run.sh has installed: slowlens importable, Django, gunicorn,
selenium, Chromium.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains

sys.path.insert(0, str(Path(__file__).resolve().parent))

import conftest
from conftest import VIEWER, chromium, fetch, size

#: What is done before the picture is taken: (what, on which element, with which text).
Step = tuple[str, str, str]


class Folders:
    """What the fixture wants of pytest."""

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=name))


def pages(base: str) -> dict[str, tuple[str, list[Step]]]:
    """Name -> (fragment of the URL, steps): every page in every state that a reader can meet."""
    def one(path: str, mode: str = "deterministic") -> str:
        listed = json.loads(fetch(f"{base}{VIEWER}api/requests?q={path}&mode={mode}&sort=-wall_ms"))["requests"]
        same = [str(row["id"]) for row in listed if row["path"] == path]
        return same[len(same) // 2]  # neither the first, which imports, nor one that the machine kept waiting

    report, repaired, authors = one("/report/"), one("/report/repaired/"), one("/authors/")
    few = one("/books/7/", "sampling")
    found: dict[str, tuple[str, list[Step]]] = {
        view: (f"#r={report}&view={view}", []) for view in
        ("tree", "flame", "timeline", "functions", "source", "treemap", "graph")}
    compared = f"#page=diff&a={report}&b={repaired}"
    return {
        "requests": ("#page=requests", []),
        "requests-filtered": ("#page=requests&status=5xx", [("type", ".filter input", "ta")]),
        "requests-refused": ("#page=requests", [("type", ".filter input", "colour:red\n")]),
        "requests-empty": ("#page=requests&q=nothing", []),
        "requests-keys": ("#page=requests", [("click", "#help", "")]),
        "routes": ("#page=routes", []), "live": ("#page=live", []), "missing": ("#r=01zzzzzzzzzzzzzzzzzzzzzzzz", []),
        **found,
        "flame-card": (f"#r={report}&view=flame", [("hover", "canvas.flame", "")]),
        "tree-menu": (f"#r={report}", [("click", ".actions .menu:nth-of-type(3) summary", "")]),
        "tree-palette": (f"#r={report}", [("click", "#palette", ""), ("type", "dialog input", "auth")]),
        "tree-noside": (f"#r={report}&side=0", []), "tree-few-samples": (f"#r={few}", []),
        "functions-chosen": (f"#r={report}&view=functions&q=deepcopy",
                             [("click", "button[aria-label='Next match']", "")]),
        "repeats": (f"#r={authors}&view=repeats", []),
        "difference": (compared, []), "difference-flame": (compared + "&view=flame", []),
        "difference-functions": (compared + "&view=functions", []),
        "merged": ("#r=aggregate&route=/authors/&method=GET", []),
    }


#: Pages of the README and the manual, light alone: examples/images/NAME.png.
MANUAL = ("requests", "tree", "flame", "difference", "repeats")
#: Pages that are seen on small windows, too.
NARROW = ("requests", "routes", "tree", "flame", "difference")


def do(driver: Any, step: Step) -> None:
    what, css, text = step
    found = driver.find_element("css selector", css)
    if what == "click":
        found.click()
    elif what == "type":
        found.send_keys(text)
    else:
        left, top = -found.size["width"] // 2, -found.size["height"] // 2
        ActionChains(driver).move_to_element_with_offset(found, left + 300, top + 100).perform()
    time.sleep(0.8)


def picture(driver: Any, base: str, page: tuple[str, list[Step]], file: Path, width: int, height: int) -> None:
    size(driver, width, height)
    driver.get("about:blank")
    driver.get(base + VIEWER + page[0])
    time.sleep(1.5)
    for step in page[1]:
        do(driver, step)
    driver.save_screenshot(str(file))


def main() -> None:
    manual = sys.argv[1] == "--manual"
    folder = Path(__file__).resolve().parents[2] / "examples" / "images" if manual else Path(sys.argv[1])
    wanted = tuple(sys.argv[2:]) or (MANUAL if manual else ())
    folder.mkdir(parents=True, exist_ok=True)
    fixture: Any = conftest.shop
    shop = inspect.unwrap(getattr(fixture, "_fixture_function", fixture))(Folders())
    base = next(shop)
    for _ in range(3):
        for path in conftest.PAGES:
            fetch(base + path)
    fetch(base + "/books/7/?slowlens=sampling")
    time.sleep(1)
    driver = chromium("--hide-scrollbars")
    try:
        for name, page in pages(base).items():
            if wanted and name not in wanted:
                continue
            for scheme in ("light",) if manual else ("light", "dark"):
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                       {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
                picture(driver, base, page, folder / (f"{name}.png" if manual else f"{name}-{scheme}.png"), 1440, 900)
            if name in NARROW and not manual:
                for width, height in ((1280, 720), (768, 1024), (360, 740)):
                    picture(driver, base, page, folder / f"{name}-{width}.png", width, height)
    finally:
        driver.quit()
        shop.close()


if __name__ == "__main__":
    main()
