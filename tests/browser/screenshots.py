"""Pictures of the viewer for the README: ``screenshots.py VIEWER_URL FOLDER``, against a running demo."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import chromium


def main() -> None:
    viewer, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(viewer + "api/requests?route=/report/&sort=-wall_ms") as response:
        slow = json.load(response)["requests"][0]["id"]
    pages = {"requests": "#page=requests&sort=-wall_ms", "routes": "#page=routes", "request": f"#r={slow}",
             "functions": f"#r={slow}&view=functions"}
    for theme in ("light", "dark"):
        browser = chromium("--force-dark-mode") if theme == "dark" else chromium()
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        for name, fragment in pages.items():
            browser.get("about:blank")
            browser.get(viewer + fragment)
            time.sleep(1.5)
            browser.save_screenshot(str(folder / f"{name}-{theme}.png"))
        browser.quit()


if __name__ == "__main__":
    main()
