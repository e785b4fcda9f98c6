"""Sampled shares beside what the programs did, for slowlens and its peers.

    accuracy.py [--rounds N] [--json FILE]

Each program runs two seconds and measures by itself how long each of its
functions took. A tool's error is how far its share of a function is from that,
in points of a percent, for the worst function; its total is what it says the
program took over what it took. Every run is a process of its own; tools take
turns; medians over the rounds.

pyinstrument samples at 1 ms where it is installed. Tachyon is CPython 3.15's
``profiling.sampling run -r 1khz``, which reads from another process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PYTHON = ".".join(map(str, sys.version_info[:3]))
SECONDS = 2.0
TOOLS = ("slowlens", "pyinstrument", "tachyon")

# ---- programs: functions "part_*", which measure themselves ----

truth: dict[str, float] = {}


def measured(call: Callable[[], None]) -> Callable[[], None]:
    """The function itself, with what it took added up outside of it."""

    def run() -> None:
        started = time.perf_counter()
        call()
        truth[call.__name__] = truth.get(call.__name__, 0.0) + time.perf_counter() - started

    return run


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def part_long() -> None:
    spin(random.uniform(0.005, 0.009))


def part_short() -> None:
    spin(random.uniform(0.001, 0.005))


def part_sleep() -> None:
    time.sleep(random.uniform(0.004, 0.008))


LOCK = threading.Lock()


def part_lock() -> None:
    with LOCK:
        pass


DATA = os.urandom(1 << 20)


def part_hash() -> None:
    """A C call that releases the interpreter's lock."""
    hashlib.sha256(DATA).digest()


def part_sum() -> None:
    """A C call that does not."""
    sum(range(200_000))


def part_crc() -> None:
    zlib.crc32(DATA)


def alternate(*parts: Callable[[], None]) -> None:
    runs = [measured(part) for part in parts]
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        for run in runs:
            run()


def program_cpu() -> None:
    alternate(part_long, part_short)


def program_sleep() -> None:
    alternate(part_short, part_sleep)


def program_lock() -> None:
    stop = threading.Event()

    def hold() -> None:
        while not stop.is_set():
            with LOCK:
                time.sleep(0.004)
            time.sleep(0.002)

    holder = threading.Thread(target=hold)
    holder.start()
    alternate(part_lock, part_short)
    stop.set()
    holder.join()


def program_gil() -> None:
    stop = threading.Event()

    def fight() -> None:
        while not stop.is_set():
            pass

    others = [threading.Thread(target=fight) for _ in range(2)]
    for one in others:
        one.start()
    alternate(part_long, part_sum)
    stop.set()
    for one in others:
        one.join()


def program_c() -> None:
    alternate(part_hash, part_sum, part_crc)


PROGRAMS = {name[8:]: value for name, value in list(globals().items()) if name.startswith("program_")}

# ---- tools: seconds of each part, and of the program ----


def with_slowlens(program: Callable[[], None]) -> tuple[dict[str, float], float]:
    from slowlens import _core, engine

    engine.prepare()
    _core.sampler_configure(0.001, 0)
    profile = _core.Recording("none", sampled=True)
    profile.enter()
    program()
    profile.leave()
    profile.finish()
    report = json.loads(_core.Profile(profile.encode({})).functions())
    return ({row["function"]["name"]: row["total_ns"] / 1e9 for row in report["rows"]}, report["wall_ns"] / 1e9)


def with_pyinstrument(program: Callable[[], None]) -> tuple[dict[str, float], float]:
    from pyinstrument import Profiler

    profiler = Profiler(interval=0.001)
    profiler.start()
    program()
    session = profiler.stop()
    found: dict[str, float] = {}
    todo = [session.root_frame()]
    while todo:
        frame = todo.pop()
        if frame is not None:
            found[frame.function] = found.get(frame.function, 0.0) + frame.time
            todo.extend(frame.children)
    return found, session.duration


def with_tachyon(name: str) -> tuple[dict[str, float], float, dict[str, float], float]:
    with tempfile.TemporaryDirectory() as folder:
        stacks, says = Path(folder) / "stacks", Path(folder) / "truth"
        subprocess.run([sys.executable, "-m", "profiling.sampling", "run", "-r", "1khz", "--collapsed", "-o",
                        str(stacks), __file__, "--bare", name, "--json", str(says)], check=True, capture_output=True)
        done = json.loads(says.read_text())
        found: dict[str, float] = {}
        total = 0
        for line in stacks.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            names = {frame.split(":")[-2] for frame in stack.split(";") if frame.count(":") > 1}
            if "program_" + name in names:
                total += int(count)
                for one in names:
                    found[one] = found.get(one, 0.0) + int(count)
    # It counts samples: their share of the program's is what it says.
    return ({one: count / total * done["seconds"] for one, count in found.items()}, total / 1000, done["truth"],
            done["seconds"])


def run_one(tool: str, name: str) -> dict[str, float]:
    program = PROGRAMS[name]
    if tool == "tachyon":
        found, total, known, seconds = with_tachyon(name)
    else:
        started = time.perf_counter()
        found, total = (with_slowlens if tool == "slowlens" else with_pyinstrument)(program)
        seconds, known = time.perf_counter() - started, truth
    errors = [abs(found.get(part, 0.0) / seconds - took / seconds) for part, took in known.items()]
    return {"points": max(errors) * 100, "total": total / seconds}


def available(tool: str) -> bool:
    module = {"slowlens": "slowlens", "pyinstrument": "pyinstrument", "tachyon": "profiling.sampling"}[tool]
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        started = time.perf_counter()
        PROGRAMS[options.bare]()
        Path(options.json).write_text(json.dumps({"truth": truth, "seconds": time.perf_counter() - started}))
        return
    if options.one:
        print(json.dumps(run_one(*options.one)))
        return
    tools = [tool for tool in TOOLS if available(tool)]
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for name in PROGRAMS:
            for tool in random.sample(tools, len(tools)):
                done = subprocess.run([sys.executable, __file__, "--one", tool, name], capture_output=True, text=True)
                if done.returncode != 0:
                    print(f"{tool}, {name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                    continue
                found.setdefault((name, tool), []).append(json.loads(done.stdout))
    print(f"Python {PYTHON}, {options.rounds} rounds: worst error in points (total said / real)")
    print(f"{'program':10}" + "".join(f"{tool:>24}" for tool in tools))
    rows: list[dict[str, Any]] = []
    for name in PROGRAMS:
        line = f"{name:10}"
        for tool in tools:
            runs = found.get((name, tool), [])
            if not runs:
                line += f"{'-':>24}"
                continue
            points = statistics.median(run["points"] for run in runs)
            total = statistics.median(run["total"] for run in runs)
            line += f"{points:14.2f} ({total:6.3f})"
            rows.append({"suite": "accuracy", "python": PYTHON, "program": name, "tool": tool,
                         "points": round(points, 3), "total": round(total, 4)})
        print(line)
    if options.json:
        Path(options.json).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
