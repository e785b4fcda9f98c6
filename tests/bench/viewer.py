"""The viewer with much to show: time until a profile is painted, frames while panning, and the server's answers.

    viewer.py [--rounds N] [--json FILE]

In headless Chromium without a GPU, on trees of 100,000 and 1,000,000 nodes
made by running such programs under the profiler. ``paint``: from the
navigation to the first boxes on the canvas, the server's work and the
transfer included. ``frame``: script time of one frame while panning, p95 of
all frames. ``composited``: from one frame that Chromium's compositor presented
to the next, while each moves the picture, by its own trace (PipelineReporter of
the category cc): p95, and how many frames it dropped; 16.7 ms is all that 60 a
second allow. The list: the first page of a store whose index has 100,000 rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "browser"), str(HERE.parent / "py")]

import websocket  # noqa: E402 - selenium's own
from exports import PYTHON, blob_file  # noqa: E402

from slowlens import _core  # noqa: E402
from slowlens.request import new_id  # noqa: E402
from slowlens.store import Query  # noqa: E402
from slowlens.store.directory import DirectoryStore  # noqa: E402

from conftest import chromium, served  # noqa: E402 - the path is set above

WATCH = """
window.frames_ = [];
const ask = window.requestAnimationFrame.bind(window);
window.plainFrame = ask;
window.requestAnimationFrame = (callback) => ask((at) => {
  const begun = performance.now();
  callback(at);
  window.frames_.push(performance.now() - begun);
});
const look = () => {
  const canvas = document.querySelector('canvas.flame');
  if (canvas?.width && canvas.getContext('2d').getImageData(20, 5, 1, 1).data[3]) window.painted = performance.now();
  else setTimeout(look, 5);
};
look();
"""
class Trace:
    """What the compositor says of its frames, over the browser's own socket."""

    def __init__(self, driver: Any) -> None:
        address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
        with urllib.request.urlopen(f"http://{address}/json/version") as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        self._socket = websocket.create_connection(url, suppress_origin=True, timeout=60)
        self._send("Tracing.start", categories="-*,cc,benchmark", transferMode="ReportEvents")
        self._socket.recv()

    def _send(self, method: str, **params: Any) -> None:
        self._socket.send(json.dumps({"id": 1, "method": method, "params": params}))

    def frames(self) -> tuple[list[float], int]:
        """(ms between frames that were presented, how many were dropped) of the page that presented most."""
        self._send("Tracing.end")
        begun: dict[Any, str] = {}
        presented: dict[int, list[float]] = {}
        dropped: dict[int, int] = {}
        while (message := json.loads(self._socket.recv())).get("method") != "Tracing.tracingComplete":
            for event in message.get("params", {}).get("value", []):
                if event.get("name") != "PipelineReporter":
                    continue
                pid, key = event["pid"], (event["pid"], event["id2"]["local"])
                if event["ph"] == "b":
                    begun[key] = event["args"]["frame_reporter"]["state"]
                    continue
                state = begun.pop(key, "")
                if state.startswith("STATE_PRESENTED"):
                    presented.setdefault(pid, []).append(event["ts"] / 1e3)
                elif state == "STATE_DROPPED":
                    dropped[pid] = dropped.get(pid, 0) + 1
        self._socket.close()
        page = max(presented, key=lambda pid: len(presented[pid]))
        times = sorted(presented[page])
        return [later - before for before, later in itertools.pairwise(times)], dropped.get(page, 0)


PAN = """
const done = arguments[0];
const canvas = document.querySelector('canvas.flame');
const bounds = canvas.getBoundingClientRect();
const at = (type, x) => canvas.dispatchEvent(new PointerEvent(type, {
  bubbles: true, pointerId: 1, clientX: bounds.left + x, clientY: bounds.top + 60, buttons: 1 }));
canvas.setPointerCapture = () => {};
document.querySelector('.flame-tools button').click();
document.querySelector('.flame-tools button').click();
window.frames_.length = 0;
at('pointerdown', 600);
let x = 600, step = -6, left = 120;
const move = () => {
  if (left-- === 0) { at('pointerup', x); done(window.frames_); return; }
  if (left === 60) step = 6;
  at('pointermove', x += step);
  window.plainFrame(move);
};
window.plainFrame(move);
"""


def timed(call: Callable[[], Any], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def in_the_browser(path: Path, profile_id: str, rounds: int) -> tuple[float, float, float, float]:
    painted, frames, shown, dropped = [], [], [], []
    with served(path) as base:
        for _ in range(rounds):
            driver = chromium()
            try:
                driver.set_script_timeout(120)
                driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
                driver.get(f"{base}#r={profile_id}&view=flame")
                while (at := driver.execute_script("return window.painted || 0")) == 0:
                    time.sleep(0.05)
                painted.append(at)
                trace = Trace(driver)
                times = driver.execute_async_script(PAN)
                between, lost = trace.frames()
                dropped.append(lost)
                for found, all_ in ((frames, times), (shown, between)):
                    found.append(sorted(all_)[int(len(all_) * 0.95)])
            finally:
                driver.quit()
    return (statistics.median(painted), statistics.median(frames), statistics.median(shown),
            statistics.median(dropped))


def large_list(rounds: int, folder: Path) -> float:
    store = DirectoryStore(str(folder))
    now = time.time_ns()
    recording = _core.Recording()
    recording.enter()
    recording.leave()
    recording.finish()
    for i in range(100_000):
        started = now - i * 1_000_000_000
        meta = {"id": new_id(started), "started": started, "wall_ns": i % 997 * 1000, "method": "GET",
                "route": f"/r/{i % 50}", "path": f"/r/{i}", "status": 200, "mode": "sampling"}
        store.put(meta, recording.encode(meta))
    return max(timed(lambda sort=sort: store.list(Query(sort=sort)), rounds) for sort in ("-started", "-wall_ns"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def say(what: str, value: float, wanted: float) -> None:
        print(f"{what:58}{value:10.1f} ms   (to reach: {wanted:g} ms)")
        rows.append({"suite": "viewer", "python": PYTHON, "what": what, "ms": round(value, 2), "to_reach_ms": wanted})

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for nodes, paint, frame in ((100_000, 1000, 16), (1_000_000, 3000, 33)):
            path = folder / f"{nodes}.slowlens"
            profile_id = new_id(started := time.time_ns())
            blob_file(nodes, path, id=profile_id, path="/million", started=started)
            data = path.read_bytes()
            blob = _core.Profile(data)
            say(f"{nodes} nodes: first painted", (found := in_the_browser(path, profile_id, options.rounds))[0], paint)
            say(f"{nodes} nodes: frame while panning, p95", found[1], frame)
            say(f"{nodes} nodes: composited while panning, frame to frame, p95", found[2], 2 * frame)
            print(f"{nodes} nodes: frames that the compositor dropped of 120: {found[3]:g}")
            say(f"{nodes} nodes: first level of the tree, blob decoded before",
                timed(lambda blob=blob: blob.tree(0, 2, True), options.rounds), 100)
            say(f"{nodes} nodes: decoding the blob", timed(lambda data=data: _core.Profile(data), options.rounds), 100)
        say("100,000 stored requests: first page", large_list(options.rounds, folder / "store"), 50)
    if options.json:
        Path(options.json).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
