"""What it costs that every sampled request adds its tree to its route's (the option ``continuous``).

    continuous.py [--rounds N] [--page MS] [--routes N] [--instructions]

A WSGI page of about so many ms of Python (some hundred functions, as a template page has), sampled, nothing is
kept. Rounds with and without the option take turns in processes of their own; told is the CPU of the whole process, the
writer's thread included, for one request: the median over the rounds of the ratio, and its quartiles.

``--instructions``: what one request costs more, in instructions (callgrind; the same on a busy machine): ``draw`` and
``put`` in the request, and encoding and adding a tree in the writer, which is done for as many requests as half a
percent of one CPU allows.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any


def functions(count: int) -> list[Callable[[int], int]]:
    """So many functions, each of which calls two others."""
    space: dict[str, Any] = {}
    lines = ["def f0(n):\n    return sum(range(n % 7 + 40))\n"]
    lines += [f"def f{i}(n):\n    return f{i // 2}(n + 1) + f{i // 3}(n) + len(str(n))\n" for i in range(1, count)]
    exec("\n".join(lines), space)
    return [space[f"f{i}"] for i in range(count)]


def page(ms: float) -> Callable[..., Any]:
    parts = functions(120)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        end = time.thread_time() + ms / 1000
        turn = 0
        while time.thread_time() < end:
            parts[turn % len(parts)](turn)
            turn += 1
        start_response("200 OK", [])
        return [b"done"]

    return app


def environ(path: str) -> dict[str, Any]:
    from wsgiref.util import setup_testing_defaults

    whole: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}
    setup_testing_defaults(whole)
    return whole


def middleware(store: str, on: bool, app: Callable[..., Any]) -> Any:
    from slowlens.wsgi import ProfilerMiddleware

    return ProfilerMiddleware(app, store=store, mode="sampling", keep="trigger", log=False, debug=False, continuous=on)


def child(on: bool, ms: float, seconds: float, routes: int) -> None:
    """Prints CPU ms of the process a request, beyond those of the page itself."""
    with tempfile.TemporaryDirectory() as folder:
        served = middleware(folder, on, page(ms))
        asked = [environ(f"/{i}") for i in range(routes)]
        for turn in range(40):
            b"".join(served(asked[turn % routes], lambda *_: None))
        began, count = time.process_time(), 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            b"".join(served(asked[count % routes], lambda *_: None))
            count += 1
        print((time.process_time() - began) * 1000 / count, served.recorder.writer.gathering is not None)


def ratios(options: argparse.Namespace) -> None:
    found: list[float] = []
    for turn in range(options.rounds):
        told: dict[bool, float] = {}
        for on in ((False, True), (True, False))[turn % 2]:
            done = subprocess.run(
                [sys.executable, __file__, "--child", "on" if on else "off", "--page", str(options.page),
                 "--routes", str(options.routes)], capture_output=True, text=True, check=True)
            ms, gathers = done.stdout.split()
            assert (gathers == "True") == on
            told[on] = float(ms)
        found.append(told[True] / told[False])
    low, middle, high = statistics.quantiles(found, n=4)
    print(f"a page of {options.page:g} ms, {options.routes} routes: CPU of the process {middle:.4f}x "
          f"(quartiles {low:.4f} to {high:.4f}, {len(found)} rounds)")


def under_callgrind(what: str) -> float:
    """Instructions of one turn of a piece."""
    counts = []
    for turns in (50, 250):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out")
            subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, __file__,
                            "--piece", what, "--turns", str(turns)], check=True, capture_output=True)
            match = re.search(r"^(?:summary|totals): (\d+)", open(out).read(), re.MULTILINE)
            assert match is not None
            counts.append(int(match[1]))
    return (counts[1] - counts[0]) / 200


def piece(what: str, turns: int) -> None:
    """One piece, so many times: a recording of some hundred nodes, and what is done with it."""
    from slowlens import _core
    from slowlens.gathering import Gathering

    gathering = Gathering("r", "h")
    parts = functions(60)
    recording = _core.Recording("chosen")
    recording.enter()
    parts[-1](1)
    recording.leave()
    recording.finish()
    blob = recording.encode({"mode": "sampling"}, 1)
    meta = {"route": "/page", "method": "GET", "mode": "sampling", "wall_ns": 12_000_000, "cpu_ns": 12_000_000}
    for _ in range(turns):
        if what == "draw":
            gathering.draw()
        elif what == "add":
            gathering.add(blob, meta, 1)
        elif what == "encode":
            recording.encode({"mode": "sampling"}, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--page", type=float, default=12)
    parser.add_argument("--routes", type=int, default=5)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--child", choices=("on", "off"))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--piece")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    if options.child:
        child(options.child == "on", options.page, options.seconds, options.routes)
    elif options.piece:
        piece(options.piece, options.turns)
    elif options.instructions:
        nothing = under_callgrind("nothing")
        for what in ("draw", "encode", "add"):
            print(f"{what}: {under_callgrind(what) - nothing:,.0f} instructions")
    else:
        ratios(options)


if __name__ == "__main__":
    main()
