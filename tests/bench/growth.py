"""How costs grow: with calls, paths, depth, threads, concurrent requests, the profile's size, stored profiles.

    growth.py [--json FILE] [--plots FOLDER] [NAME ...]

For each: CPU time of the thread (least of some runs) at sizes that double, the law that was expected, and the exponent
that was found (the slope of a line through the logarithms: 0 is "does not grow", 1 "as the size"). Plots are SVG files
``growth-NAME.svg``, both axes logarithmic, with the law as a broken line through the first point.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from slowlens import _core, engine
from slowlens.options import load
from slowlens.request import new_id
from slowlens.store import open_store

RUNS = 7
META: dict[str, Any] = {"method": "GET", "path": "/r", "route": "/r", "status": 200, "mode": "deterministic",
                        "wall_ns": 1000, "cpu_ns": 10}


def least(work: Callable[[], object]) -> float:
    """Microseconds of the calling thread's CPU, the least of some runs."""
    found = []
    for _ in range(RUNS):
        began = time.thread_time_ns()
        work()
        found.append((time.thread_time_ns() - began) / 1000)
    return max(0.01, min(found))


@contextmanager
def recorded(**options: Any) -> Iterator[_core.Recording]:
    recording = _core.Recording(**options)
    recording.enter()
    try:
        yield recording
    finally:
        recording.leave()
        recording.finish()


def small() -> None:
    pass


def branch(levels: int) -> None:
    """Twice as many paths with each level: no two calls have the same one."""
    if levels:
        branch(levels - 1)
        other(levels - 1)


def other(levels: int) -> None:
    if levels:
        branch(levels - 1)
        other(levels - 1)


def down(levels: int) -> None:
    if levels:
        down(levels - 1)


def calls(n: int) -> float:
    def work() -> None:
        for _ in range(n):
            small()

    with recorded():
        return least(work)


def paths(n: int) -> float:
    levels = n.bit_length() - 1

    def once() -> None:
        with recorded():
            branch(levels)

    return least(once)


def depth(n: int) -> float:
    sys.setrecursionlimit(20_000)
    with recorded():
        return least(lambda: [down(n) for _ in range(20)]) / 20


def _request() -> None:
    recording = _core.Recording(sampled=True)
    recording.enter()
    recording.leave()
    recording.discard()


def _requests() -> float:
    return least(lambda: [_request() for _ in range(300)]) / 300


def threads(n: int) -> float:
    end = threading.Event()
    started = [threading.Thread(target=end.wait, daemon=True) for _ in range(n)]
    for thread in started:
        thread.start()
    try:
        return _requests()
    finally:
        end.set()
        for thread in started:
            thread.join()


def concurrent(n: int) -> float:
    others = [_core.Recording(sampled=True) for _ in range(n)]
    try:
        return _requests()
    finally:
        for other in others:
            other.discard()


def _profile(n: int) -> _core.Recording:
    with recorded() as recording:
        branch(n.bit_length() - 1)
    return recording


def encoding(n: int) -> float:
    recording = _profile(n)
    return least(lambda: recording.encode({**META, "id": "0" * 26, "started": 1}))


def decoding(n: int) -> float:
    blob = _profile(n).encode({**META, "id": "0" * 26, "started": 1})
    return least(lambda: _core.Profile(blob).summary())


@contextmanager
def _stored(n: int) -> Iterator[Any]:
    blob = _profile(16).encode({**META, "id": "0" * 26, "started": 1})
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(load({"store": folder, "max_bytes": 1 << 30}))
        now = time.time_ns() - n * 1_000_000

        def put(number: int) -> None:
            began = now + number * 1_000_000
            store.put({**META, "id": new_id(began), "started": began, "bytes": len(blob)}, blob)

        for number in range(n):
            put(number)
        yield store, lambda: [put(n + number) for number in range(100)]
        store.close()


def storing(n: int) -> float:
    with _stored(n) as (_, put):
        return least(put) / 100


def listing(n: int) -> float:
    from slowlens.store import Query

    with _stored(n) as (store, _):
        return least(lambda: store.list(Query(limit=50)))


class Growth(NamedTuple):
    """One thing that grows."""

    measure: Callable[[int], float]
    sizes: tuple[int, ...]
    what: str
    size: str
    #: The exponent that was expected.
    law: int


def doubling(first: int, last: int) -> tuple[int, ...]:
    return tuple(first << i for i in range(0, (last // first).bit_length(), 2))


GROWTHS = {
    "calls": Growth(calls, doubling(256, 262_144), "recording, by events", "calls", 1),
    "paths": Growth(paths, doubling(64, 65_536), "recording, by events", "paths", 1),
    "depth": Growth(depth, doubling(8, 8192), "recording, by events", "calls deep", 1),
    "threads": Growth(threads, doubling(1, 256), "a request, begun and finished", "threads that wait", 0),
    "concurrent": Growth(concurrent, doubling(1, 4096), "a request, begun and finished", "requests that run beside", 0),
    "encoding": Growth(encoding, doubling(64, 65_536), "encoding", "nodes", 1),
    "decoding": Growth(decoding, doubling(64, 65_536), "decoding, with its summary", "nodes", 1),
    "storing": Growth(storing, doubling(64, 16_384), "a put", "stored profiles", 0),
    "listing": Growth(listing, doubling(64, 16_384), "the newest 50", "stored profiles", 0),
}


def exponent(points: list[tuple[int, float]]) -> float:
    """The slope through the logarithms, of the upper half: at first fixed costs are most of it."""
    upper = [(math.log(size), math.log(cost)) for size, cost in points[len(points) // 3:]]
    x, y = (sum(values) / len(upper) for values in zip(*upper, strict=True))
    return sum((a - x) * (b - y) for a, b in upper) / sum((a - x) ** 2 for a, _ in upper)


def short(number: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:g}"


def plot(name: str, growth: Growth, points: list[tuple[int, float]], found: float) -> str:
    """The points and the law, both axes logarithmic."""
    width, height, left, right, top, bottom = 420, 260, 56, 26, 40, 40
    costs = [cost for _, cost in points]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    high = max(high, low + 1)
    first, last = math.log10(points[0][0]), math.log10(points[-1][0])

    def at(size: float, cost: float) -> str:
        x = left + (math.log10(size) - first) / (last - first) * (width - left - right)
        y = height - bottom - (math.log10(cost) - low) / (high - low) * (height - top - bottom)
        return f"{x:.1f},{max(top, y):.1f}"

    law = {0: "does not grow", 1: "as the size"}[growth.law]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        ' font-size="11">',
        f'<title>{growth.what} with {growth.size}</title><rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="16" font-size="13">{growth.what}: microseconds of CPU</text>',
        f'<text x="{left}" y="31" fill="#666">expected: {law}; found: exponent {found:.2f}</text>',
    ]
    for power in range(low, high + 1):
        y = at(points[0][0], 10.0 ** power).split(",")[1]
        lines.append(f'<path d="M{left} {y}H{width - right}" stroke="#ddd"/>'
                     f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{short(10.0 ** power)}</text>')
    for size, _ in points:
        x = at(size, 10.0 ** low).split(",")[0]
        lines.append(f'<text x="{x}" y="{height - bottom + 15}" text-anchor="middle">{short(size)}</text>')
    end = points[0][1] * (points[-1][0] / points[0][0]) ** growth.law
    lines += [
        f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle" fill="#666">{growth.size}'
        '</text>',
        f'<path d="M{at(*points[0])}L{at(points[-1][0], min(end, 10.0 ** high))}" stroke="#999"'
        ' stroke-dasharray="4 3"/>',
        f'<polyline points="{" ".join(at(*point) for point in points)}" fill="none" stroke="#06c" stroke-width="1.5"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="#06c"/>' for x, y in (at(*point).split(",") for point in points)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--plots", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("names", nargs="*", choices=[*GROWTHS, []])
    chosen = parser.parse_args()
    engine.prepare()
    rows = []
    print("| cost | with | law | found | least and most size: us |\n|---|---|---|---|---|")
    for name in chosen.names or GROWTHS:
        growth = GROWTHS[name]
        points = [(size, growth.measure(size)) for size in growth.sizes]
        found = exponent(points)
        with open(os.path.join(chosen.plots, f"growth-{name}.svg"), "w", encoding="utf-8") as file:
            file.write(plot(name, growth, points, found))
        told = ", ".join(f"{short(size)}: {cost:.3g}" for size, cost in (points[0], points[-1]))
        print(f"| {growth.what} | {growth.size} | {growth.law} | {found:.2f} | {told} |", flush=True)
        rows.append({"suite": "growth", "name": name, "python": platform.python_version(), "law": growth.law,
                     "exponent": round(found, 3), "points": points, "date": time.strftime("%Y-%m-%d"),
                     "machine": f"{platform.machine()}, {os.cpu_count()} CPUs", "load": round(os.getloadavg()[0], 1)})
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
