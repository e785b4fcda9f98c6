"""Shares beside what the programs did, sampled and by events, for slowlens and its peers.

    accuracy.py [--rounds N] [--busy N] [--only PROGRAM,...] [--tools TOOL,...] [--json FILE]

Each program runs two seconds and measures by itself how long each of its
functions took. A tool's error is how far its share of a function is from that,
in points of a percent, for the worst function; its total is what it says the
program took over what it took. Every run is a process of its own; tools take
turns; medians over the rounds. `--busy 10` has ten processes beside it that do
nothing but count; the load that a row was measured at stands in it.

slowlens samples as shipped (1 ms, at most 2 % of a core) and counts by events
as installed. Where functions make calls ("twenty"), what counting costs is no
time of theirs: profilers that count are compared with runs without them, in
turns in one process. pyinstrument (1 ms) and yappi (wall clock) where they are
installed. Tachyon is CPython 3.15's ``profiling.sampling run -r 1khz``, which
reads from another process.
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
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PYTHON = ".".join(map(str, sys.version_info[:3]))
SECONDS = 2.0
TOOLS = ("slowlens", "slowlens-events", "pyinstrument", "tachyon", "yappi")
COUNTING = ("slowlens-events", "yappi")

# ---- programs: functions "part_*", which measure themselves ----

truth: dict[str, float] = {}


def measured(call: Callable[[], None]) -> Callable[..., None]:
    """The function itself, whatever it is called with, and what it took added up outside of it."""

    def run(*_: Any) -> None:
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


def program_queue() -> None:
    """Beside two others on one CPU: two thirds of the time it waits for it."""
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        alternate(part_long, part_short, part_sleep)
    finally:
        for one in others:
            one.kill()
            one.wait()


def part_greenlet() -> None:
    spin(0.003)


def program_greenlets() -> None:
    """A greenlet that waits, computes and spawns, among strangers that keep the hub busy."""
    import gevent

    def stranger() -> None:
        while True:
            spin(0.0005)
            gevent.sleep(0.002)

    def part_pause() -> None:
        gevent.sleep(0.004)

    spawned = measured(part_greenlet)

    def part_spawn() -> None:
        gevent.spawn(spawned).join()

    strangers = [gevent.spawn(stranger) for _ in range(3)]
    alternate(part_pause, part_short, part_spawn)
    gevent.killall(strangers)


def part_job() -> None:
    spin(random.uniform(0.002, 0.005))


def program_executors() -> None:
    job = measured(part_job)
    with ThreadPoolExecutor(2) as pool:

        def part_wait() -> None:
            for one in [pool.submit(job) for _ in range(3)]:
                one.result()

        alternate(part_wait, part_short)


def small(x: int) -> int:
    return x + 1


def twenty() -> list[Callable[[int], int]]:
    """Functions of one to twenty units; every second one calls another for each 60 ns that it works."""
    space: dict[str, Any] = {"small": small}
    for i in range(20):
        step = "small(x)" if i % 2 else "(x * 3 + 1)"
        exec(compile(f"def part_{i:02d}(n):\n    x = 1\n    for _ in range(n): x = {step} & 1023\n    return x\n",
                     __file__, "exec"), space)
    return [space[f"part_{i:02d}"] for i in range(20)]


def program_twenty() -> None:
    parts = twenty()
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        for i, part in enumerate(parts):
            started = time.perf_counter()
            part(60 * (i + 1))
            truth[part.__name__] = truth.get(part.__name__, 0.0) + time.perf_counter() - started


PROGRAMS = {name[8:]: value for name, value in list(globals().items()) if name.startswith("program_")}

# ---- tools: seconds of each part, and of the program ----


def with_slowlens(program: Callable[[], None], sampled: bool = True,
                  less_own: bool = False) -> tuple[dict[str, float], float]:
    from slowlens import _core, engine

    engine.prepare()
    engine.sampling(1000, 2.0)
    profile = _core.Recording("chosen", sampled=sampled)
    profile.enter()
    program()
    profile.leave()
    profile.finish()
    _core.engine_idle(0)  # or the bare runs after it have events, too
    meta: dict[str, Any] = {"mode": "sampling"}
    if not sampled:
        # A truth that is taken meanwhile has what recording cost in it, too; one of bare runs has not.
        meta = {"mode": "deterministic", "c_mode": "chosen", **(engine.cost_meta() if less_own else {})}
    report = json.loads(_core.Profile(profile.encode(meta)).functions())
    return ({row["function"]["name"].rpartition(".")[2]: row["total_ns"] / 1e9 for row in report["rows"]},
            report["wall_ns"] / 1e9)


def with_slowlens_events(program: Callable[[], None]) -> tuple[dict[str, float], float]:
    return with_slowlens(program, sampled=False)


def with_yappi(program: Callable[[], None]) -> tuple[dict[str, float], float]:
    import yappi

    yappi.set_clock_type("wall")
    if "gevent" in sys.modules:
        yappi.set_context_backend("greenlet")
    started = time.perf_counter()
    yappi.start()
    program()
    yappi.stop()
    seconds = time.perf_counter() - started
    found: dict[str, float] = {}
    for row in yappi.get_func_stats():
        name = row.name.rpartition(".")[2]
        found[name] = found.get(name, 0.0) + row.ttot
    yappi.clear_stats()
    return found, seconds


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
        subprocess.run([sys.executable, "-m", "profiling.sampling", "run", "-r", "1khz", "-a", "--collapsed", "-o",
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


WITH = {"slowlens": with_slowlens, "slowlens-events": with_slowlens_events, "pyinstrument": with_pyinstrument,
        "yappi": with_yappi}


def beside_bare(tool: str) -> dict[str, float]:
    """Shares of the twenty functions by a profiler that counts and of runs without it, in turns; medians."""
    parts = twenty()
    bare: list[list[float]] = []
    counted: list[list[float]] = []
    seconds: list[tuple[float, float]] = []

    def once() -> None:
        for _ in range(3):
            for i, part in enumerate(parts):
                part(60 * (i + 1))

    for _ in range(120):
        truth.clear()
        for _ in range(3):
            for i, part in enumerate(parts):
                started = time.perf_counter()
                part(60 * (i + 1))
                truth[part.__name__] = truth.get(part.__name__, 0.0) + time.perf_counter() - started
        found, total = with_slowlens(once, False, True) if tool == "slowlens-events" else WITH[tool](once)
        bare.append([truth[part.__name__] for part in parts])
        counted.append([found.get(part.__name__, 0.0) for part in parts])
        seconds.append((sum(bare[-1]), total))
    shares = []
    for runs in (bare, counted):
        middle = [statistics.median(column) for column in zip(*runs, strict=True)]
        shares.append([one / sum(middle) for one in middle])
    return {"points": max(abs(a - b) for a, b in zip(*shares, strict=True)) * 100,
            "total": statistics.median(total / real for real, total in seconds)}


def run_one(tool: str, name: str) -> dict[str, float]:
    program = PROGRAMS[name]
    if name == "twenty" and tool in COUNTING:
        return beside_bare(tool)
    if tool == "tachyon":
        found, total, known, seconds = with_tachyon(name)
    else:
        took: list[float] = []

        def timed() -> None:
            started = time.perf_counter()
            program()
            took.append(time.perf_counter() - started)

        if name == "greenlets":  # as a server does before its first request
            import gevent  # noqa: F401
        found, total = WITH[tool](timed)
        seconds, known = took[0], truth
    errors = [abs(found.get(part, 0.0) - real) / seconds for part, real in known.items()]
    return {"points": max(errors) * 100, "total": total / seconds}


def available(tool: str) -> bool:
    module = {"tachyon": "profiling.sampling", "slowlens-events": "slowlens"}.get(tool, tool)
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def measure(rounds: int, names: list[str], tools: list[str]) -> tuple[dict[tuple[str, str], list[dict[str, float]]],
                                                                      list[float]]:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    loads: list[float] = []
    for _ in range(rounds):
        for name in names:
            for tool in random.sample(tools, len(tools)):
                done = subprocess.run([sys.executable, __file__, "--one", tool, name], capture_output=True, text=True)
                loads.append(os.getloadavg()[0])
                if done.returncode != 0:
                    print(f"{tool}, {name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                    continue
                found.setdefault((name, tool), []).append(json.loads(done.stdout))
    return found, loads


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--only", default=",".join(PROGRAMS))
    parser.add_argument("--tools", default=",".join(TOOLS))
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
    tools = [tool for tool in options.tools.split(",") if available(tool)]
    names = [name for name in options.only.split(",") if name != "greenlets" or find_spec("gevent") is not None]
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        found, loads = measure(options.rounds, names, tools)
    finally:
        for one in others:
            one.kill()
            one.wait()
    state = f"{options.busy} busy processes beside it" if options.busy else "as the machine is"
    print(f"Python {PYTHON}, {options.rounds} rounds, {state}, load {min(loads):.0f} to {max(loads):.0f}: "
          "worst error in points (total said / real)")
    print(f"{'program':10}" + "".join(f"{tool:>24}" for tool in tools))
    rows: list[dict[str, Any]] = []
    for name in names:
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
                         "points": round(points, 3), "total": round(total, 4), "runs": len(runs),
                         "busy": options.busy, "load": round(statistics.median(loads), 1)})
        print(line)
    if options.json:
        with open(options.json, "a" if options.busy else "w") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
