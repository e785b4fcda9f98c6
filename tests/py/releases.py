"""Numbers of all requests over two releases, made by hand."""

from __future__ import annotations

import math
import random
from typing import Any

HOUR = 3600
NOON = 480_000  # an hour since 1970


class Numbers:
    """A store that only counts: DirectoryStore.numbers of these (hour, route, release, count, mean ms, sums)."""

    root = ""

    def __init__(self, rows: list[tuple[int, str, str, int, float, dict[str, float]]]) -> None:
        self.rows = rows

    def numbers(self, *, since_s: int = 0, until_s: int = 1 << 40, parts: int = 0, apart: int = 0,
                **_: Any) -> dict[str, Any]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for hour, route, release, count, mean, sums in sorted(self.rows, key=lambda row: row[0]):
            if not since_s <= hour * HOUR < until_s:
                continue
            row = found.setdefault((route, release), {
                "route": route, "method": "GET", "release": release, "host": "", "count": 0, "errors": 0, "wall_ns": 0,
                "cpu_ns": 0, "sums": {}, "series": {"from_s": [], "count": [], "wall_ns": []}})
            wall = int(count * mean * 1e6)
            row["count"] += count
            row["wall_ns"] += wall
            row["cpu_ns"] += wall // 2
            for name, each in sums.items():
                row["sums"][name] = row["sums"].get(name, 0) + int(each * count)
            if parts:
                for name, value in (("from_s", hour * HOUR), ("count", count), ("wall_ns", wall)):
                    row["series"][name].append(value)
        return {"rows": list(found.values())}


def made(shift: float = 1.0, queries: float = 3, more: float = 0, others: int = 5, hours: int = 24) -> Numbers:
    """Release b at NOON: /a takes ``shift`` times as long and asks ``more`` queries; the machine is slower, too."""
    chance = random.Random(5)
    rows: list[tuple[int, str, str, int, float, dict[str, float]]] = []
    for hour in range(NOON - 24, NOON + hours):
        after = hour >= NOON
        busy = 1.3 if after else 1.0
        day = 1 + 0.2 * math.sin(hour / 24 * 2 * math.pi)
        for route in ["/a", *[f"/{n}" for n in range(others)]]:
            mine = route == "/a" and after
            mean = 50 * busy * day * (shift if mine else 1) * chance.gauss(1, 0.01)
            sums = {"db_count": queries + (more if mine else 0), "db_ns": mean * 3e5}
            rows.append((hour, route, "b" if after else "a", 100, mean, sums))
    return Numbers(rows)
