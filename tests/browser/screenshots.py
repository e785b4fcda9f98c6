"""Pictures of every view, light and dark, of the demo's shop: ``python tests/browser/screenshots.py FOLDER [VIEW...]``.

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

sys.path.insert(0, str(Path(__file__).resolve().parent))

import conftest
from conftest import VIEWER, chromium, fetch

WIDTH = 1280


class Folders:
    """What the fixture wants of pytest."""

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=name))


def pages(base: str) -> dict[str, str]:
    def one(path: str) -> str:
        listed = json.loads(fetch(f"{base}{VIEWER}api/requests?q={path}&sort=-wall_ms"))["requests"]
        return next(str(row["id"]) for row in listed if row["path"] == path)

    report, repaired, authors = one("/report/"), one("/report/repaired/"), one("/authors/")
    found = {view: f"#r={report}&view={view}" for view in
             ("tree", "flame", "timeline", "functions", "treemap", "graph", "source")}
    return {
        "requests": "#page=requests", "routes": "#page=routes", **found, "repeats": f"#r={authors}&view=repeats",
        "difference": f"#page=diff&a={report}&b={repaired}",
        "difference-flame": f"#page=diff&a={report}&b={repaired}&view=flame",
        "merged": "#r=aggregate&route=/authors/&method=GET",
    }


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    fixture: Any = conftest.shop
    shop = inspect.unwrap(getattr(fixture, "_fixture_function", fixture))(Folders())
    base = next(shop)
    for _ in range(3):
        for page in conftest.PAGES:
            fetch(base + page)
    time.sleep(1)
    driver = chromium()
    try:
        for name, fragment in pages(base).items():
            if sys.argv[2:] and name not in sys.argv[2:]:
                continue
            for scheme in ("light", "dark"):
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                       {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
                driver.set_window_size(WIDTH, 900)
                driver.get("about:blank")
                driver.get(base + VIEWER + fragment)
                time.sleep(1.5)
                height = driver.execute_script("return document.documentElement.scrollHeight")
                driver.set_window_size(WIDTH, min(1500, height + 140))
                time.sleep(0.5)
                driver.save_screenshot(str(folder / f"{name}-{scheme}.png"))
    finally:
        driver.quit()
        shop.close()


if __name__ == "__main__":
    main()
