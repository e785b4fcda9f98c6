"""Shares of the parts of short requests, and of long ones in many short pieces, sampled as shipped.

    pieces.py [--rounds N] [--only PROGRAM,...] [--json FILE]

A sampler may be right about one function that runs for seconds (accuracy.py) and
wrong about what begins and ends all the time: requests of a few milliseconds,
jobs, child tasks, greenlets, steps between two awaits. Each program here calls
parts of known length and measures them itself; its error is how far slowlens's
share of a part is from that, in points of a percent of all parts, for the worst
part. Every run is a process of its own; medians over the rounds, and the worst.
With 500 looks in a run a share of a half is off by 2 points by chance alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from accuracy import measured, spin, truth

PYTHON = ".".join(map(str, sys.version_info[:3]))
SECONDS = 2.0
told: dict[str, float] = {}
until = time.perf_counter() + SECONDS


@measured
def part_long() -> None:
    spin(random.uniform(0.001, 0.004))


@measured
def part_half() -> None:
    spin(random.uniform(0.0005, 0.002))


@measured
def part_tiny() -> None:
    spin(random.uniform(0.0001, 0.0004))


@measured
def part_first() -> None:
    spin(random.uniform(0.0007, 0.0013))


@measured
def part_second() -> None:
    spin(random.uniform(0.0007, 0.0013))


@measured
def part_third() -> None:
    spin(random.uniform(0.0007, 0.0013))


def both(*_: Any) -> None:
    part_long()
    part_half()


async def stepping() -> None:
    part_long()
    await asyncio.sleep(0)
    part_half()


async def tiny() -> None:
    part_tiny()


def note(recording: Any) -> None:
    from slowlens import _core

    for row in json.loads(_core.Profile(recording.encode({"mode": "sampling"})).functions())["rows"]:
        name = row["function"]["name"].rpartition(".")[2]
        told[name] = told.get(name, 0.0) + row["total_ns"] / 1e9


def requests(app: Callable[[], None], count: int = 1, pause: float = 0.0) -> None:
    from slowlens import _core

    for _ in range(count):
        recording = _core.Recording("none", sampled=True)
        recording.enter()
        app()
        recording.leave()
        recording.finish()
        note(recording)
        time.sleep(pause)


async def asynchronous(app: Callable[[], Any], count: int = 1, pause: float = 0.0) -> None:
    from slowlens import _core

    for _ in range(count):
        recording = _core.Recording("none", sampled=True, follows=True)
        await recording.step(app())
        recording.finish()
        note(recording)
        await asyncio.sleep(pause)


# ---- programs ----


def short() -> None:
    part_first()
    part_second()
    part_third()


def program_short_requests() -> None:
    requests(short, 300, 0.005)


def program_rare_short_requests() -> None:
    requests(short, 60, 0.05)


def program_requests_in_threads() -> None:
    """More looks than the limit allows for: they are far apart."""
    def run() -> None:
        for _ in range(20):
            recording = _core.Recording("none", sampled=True)
            recording.enter()
            for _ in range(3):
                part_first()
                time.sleep(0.001)
                part_tiny()
            recording.leave()
            recording.finish()
            done.append(recording)

    from slowlens import _core

    done: list[Any] = []
    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for recording in done:
        note(recording)


def program_uneven_jobs() -> None:
    """Jobs of one function side by side, one long and six short."""
    def work(number: int) -> None:
        part_long() if number % 7 == 0 else part_tiny()

    async def app() -> None:
        while time.perf_counter() < until:
            await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(14)))

    asyncio.run(asynchronous(app))


def program_awaits() -> None:
    async def app() -> None:
        for _ in range(3):
            part_long()
            await asyncio.sleep(random.uniform(0, 0.003))
            part_half()
            await asyncio.sleep(random.uniform(0, 0.003))
            part_tiny()

    asyncio.run(asynchronous(app, 100, 0.005))


def program_tasks() -> None:
    async def app() -> None:
        while time.perf_counter() < until:
            await asyncio.gather(*(stepping() for _ in range(3)), *(tiny() for _ in range(6)))

    asyncio.run(asynchronous(app))


def program_jobs() -> None:
    def app() -> None:
        with ThreadPoolExecutor(1) as pool:
            while time.perf_counter() < until:
                pool.submit(both).result()
                pool.submit(part_tiny).result()

    requests(app)


def program_to_thread() -> None:
    async def app() -> None:
        while time.perf_counter() < until:
            await asyncio.to_thread(both)
            await asyncio.get_running_loop().run_in_executor(None, part_tiny)

    asyncio.run(asynchronous(app))


def program_threads() -> None:
    def app() -> None:
        while time.perf_counter() < until:
            for call in (both, part_tiny):
                thread = threading.Thread(target=call)
                thread.start()
                thread.join()

    requests(app)


def program_pool_of_multiprocessing() -> None:
    from multiprocessing.pool import ThreadPool

    def app() -> None:
        with ThreadPool(2) as pool:
            while time.perf_counter() < until:
                pool.apply(both)
                pool.map(part_tiny, range(4))

    requests(app)


def program_gevent() -> None:
    import gevent

    def switching() -> None:
        part_long()
        gevent.sleep(0)
        part_half()

    def app() -> None:
        while time.perf_counter() < until:
            gevent.joinall([gevent.spawn(call) for call in (switching, switching, part_tiny, part_tiny)])

    requests(app)


def program_eventlet() -> None:
    import eventlet

    def switching() -> None:
        part_long()
        eventlet.sleep(0)
        part_half()

    def app() -> None:
        while time.perf_counter() < until:
            for thread in [eventlet.spawn(call) for call in (switching, switching, part_tiny, part_tiny)]:
                thread.wait()

    requests(app)


PROGRAMS = {name[8:]: value for name, value in list(globals().items()) if name.startswith("program_")}
NEEDS = {"gevent": "gevent", "eventlet": "eventlet"}


def run_one(name: str) -> dict[str, Any]:
    if name in NEEDS:  # as a server does before its first request
        __import__(NEEDS[name])
    from slowlens import engine

    engine.prepare()
    engine.sampling(1000, 2.0)
    PROGRAMS[name]()
    total = sum(truth.values())
    shares = {part: (told.get(part, 0.0) / total, real / total) for part, real in truth.items()}
    return {"points": max(abs(said - real) for said, real in shares.values()) * 100,
            "shares": {part: [round(100 * one, 1) for one in pair] for part, pair in shares.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PROGRAMS))
    parser.add_argument("--json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one)))
        return
    names = args.only.split(",")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    loads = []
    for _ in range(args.rounds):
        for name in names:
            done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
            loads.append(os.getloadavg()[0])
            if done.returncode != 0:
                print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"Python {PYTHON}, {args.rounds} rounds, load {min(loads):.0f} to {max(loads):.0f}: error in points of the "
          "worst part, median and worst; a run: said / real")
    for name, runs in found.items():
        if not runs:
            continue
        points = sorted(one["points"] for one in runs)
        one = min(runs, key=lambda run: abs(run["points"] - statistics.median(points)))
        shares = ", ".join(f"{part[5:]} {said} / {real}" for part, (said, real) in one["shares"].items())
        print(f"{name:28}{statistics.median(points):6.1f}{points[-1]:6.1f}   {shares}")
        if args.json:
            with open(args.json, "a") as file:
                file.write(json.dumps({"suite": "pieces", "python": PYTHON, "program": name, "points":
                                       round(statistics.median(points), 2), "worst": round(points[-1], 2),
                                       "runs": len(runs), "load": round(max(loads), 1)}) + "\n")


if __name__ == "__main__":
    main()
