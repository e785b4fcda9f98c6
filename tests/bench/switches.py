"""What a recorded request adds to a greenlet's switch and to a job of a thread pool.

    switches.py [--rounds N] [--json FILE]

Each round runs every variant once, in turns, in one process; CPU time, so that a busy machine counts little; told is
the least of each, and what is added to the bare one. A switch is half of a round trip between two greenlets of the
request ("nested"), or between strangers while the request waits ("strangers"). A job is an empty function, handed over
and waited for in batches of a hundred: the CPU of both threads and of the sampler.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import greenlet

from slowlens import _core, engine

PYTHON = ".".join(map(str, sys.version_info[:3]))
SWITCHES, JOBS = 20_000, 1000


def nothing() -> None:
    pass


def trips(n: int) -> float:
    """ns a switch, between the calling greenlet and one that it starts."""

    def other() -> None:
        switch = here.switch
        while True:
            switch()

    here = greenlet.getcurrent()
    there = greenlet.greenlet(other)
    there.switch()
    switch = there.switch
    started = time.thread_time_ns()
    for _ in range(n // 2):
        switch()
    took = time.thread_time_ns() - started
    there.throw()
    return took / n


def jobs(pool: ThreadPoolExecutor) -> float:
    """ns a job."""
    started = time.process_time_ns()
    for _ in range(JOBS // 100):
        wait([pool.submit(nothing) for _ in range(100)])
    return (time.process_time_ns() - started) / JOBS


def recorded(work: Callable[[], float], sampled: bool) -> float:
    recording = _core.Recording("none", sampled=sampled)
    recording.enter()
    took = work()
    recording.leave()
    recording.discard()
    return took


def while_it_waits(sampled: bool) -> float:
    """Switches of strangers, in a thread whose request waits in a greenlet."""
    main = greenlet.getcurrent()

    def request() -> float:
        return recorded(lambda: main.switch() or 0.0, sampled)

    waits = greenlet.greenlet(request)
    waits.switch()
    took = trips(SWITCHES)
    waits.switch()
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    options = parser.parse_args()
    engine.prepare()
    engine.sampling(1000, 2.0)
    pool = ThreadPoolExecutor(1)
    variants: dict[tuple[str, str], Callable[[], float]] = {
        ("switch, nested", "none"): lambda: trips(SWITCHES),
        ("switch, strangers", "none"): lambda: trips(SWITCHES),
        ("job", "none"): lambda: jobs(pool),
    }
    for mode, sampled in (("sampled", True), ("by events", False)):
        variants["switch, nested", mode] = lambda sampled=sampled: recorded(lambda: trips(SWITCHES), sampled)
        variants["switch, strangers", mode] = lambda sampled=sampled: while_it_waits(sampled)
        variants["job", mode] = lambda sampled=sampled: recorded(lambda: jobs(pool), sampled)
    took: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for one, run in variants.items():
            took.setdefault(one, []).append(run())
            if one[1] == "by events":
                _core.engine_idle(0)
    pool.shutdown()
    rows: list[dict[str, Any]] = []
    print(f"Python {PYTHON}, {options.rounds} rounds: least CPU ns (added)")
    for (what, variant), runs in took.items():
        least, bare = min(runs), min(took[what, "none"])
        print(f"{what:20}{variant:12}{least:9.0f}{least - bare:9.0f}")
        rows.append({"suite": "switches", "python": PYTHON, "workload": what, "variant": variant, "ns": round(least),
                     "added_ns": round(least - bare)})
    if options.json:
        Path(options.json).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
