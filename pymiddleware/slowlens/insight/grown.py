"""Which functions a route's requests take longer in since a release: from the trees of all requests around it.

24 hours before it and 24 after it are each added up to one tree (option ``continuous``), both brought to the same
number of requests; what the second has more than the first is a tree again, of which the core's first sentence is
asked. Nothing is tested here: that the route became slower is known, so no function is accused by chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .. import _core
from ..store import Store, StoreError

__all__ = ["functions"]

HOUR_MS = 3_600_000
#: Both sides are brought to a sum of so many requests, which keeps shares to a tenth of a percent.
SCALE = 1000
NODES_MAX = 50_000
#: Functions that are told, if they have this part of what it takes more.
MOST, PART_LEAST = 3, 0.1

Key = tuple[str, str]


class _Side:
    """The requests of one route on one side of the release, by mode."""

    def __init__(self) -> None:
        self.blobs: dict[str, list[bytes]] = {}
        self.requests: dict[str, int] = {}

    def add(self, mode: str, requests: int, blob: bytes) -> None:
        self.blobs.setdefault(mode, []).append(blob)
        self.requests[mode] = self.requests.get(mode, 0) + requests

    def tree(self, mode: str, weight: int) -> _core.Profile | None:
        gather = _core.Gather(NODES_MAX)
        for blob in self.blobs[mode]:
            try:
                gather.add(blob, weight)
            except _core.CorruptError:
                continue
        return _core.Profile(gather.encode({"mode": mode})) if gather.count else None


def functions(
        store: Store, routes: Iterable[Key], release: str, hour: int, window: int = 24) -> dict[Key, dict[str, Any]]:
    """By route and method: ``sentence`` about what it takes longer in, and ``functions``: [{"name", "file", "line",
    "before_ms", "after_ms"}] (a request, by themselves), what grew most first. Routes of which no trees are there are
    not in it.

    :param hour: in which the release began, since 1970.
    """
    read = getattr(store, "windows", None)
    wanted = set(routes)
    if read is None or not wanted:
        return {}
    sides: dict[Key, tuple[_Side, _Side]] = {key: (_Side(), _Side()) for key in wanted}
    begin = hour * HOUR_MS
    try:
        for part in read(begin - window * HOUR_MS, begin + window * HOUR_MS):
            for one in part.trees():
                key = (str(one.meta.get("route")), str(one.meta.get("method")))
                mine = str(one.meta.get("release") or "") == release
                # An hour in which both ran is the new one's, as in regressions.py.
                if key in wanted and mine == (part.last > begin):
                    sides[key][mine].add(str(one.meta.get("mode")), int(one.meta.get("requests") or 1), one.blob)
    except (StoreError, OSError):
        return {}
    found = {key: grown for key, (before, after) in sides.items() if (grown := _grown(before, after)) is not None}
    return found


def _grown(before: _Side, after: _Side) -> dict[str, Any] | None:
    modes = before.blobs.keys() & after.blobs.keys()
    if not modes:
        return None
    mode = max(modes, key=lambda one: min(before.requests[one], after.requests[one]))
    old_requests, new_requests = before.requests[mode], after.requests[mode]
    most = max(old_requests, new_requests)
    old = before.tree(mode, max(1, round(SCALE * most / old_requests)))
    new = after.tree(mode, max(1, round(SCALE * most / new_requests)))
    if old is None or new is None:
        return None
    requests = most * SCALE
    more = json.loads(_core.Profile(_core.growth(old, new, {"mode": mode})).summary())
    report = json.loads(old.diff(new, 1))
    rows = [{"name": one["name"], "file": one["file"], "line": one["line"],
             "before_ms": one["before"]["self_ns"] / requests / 1e6,
             "after_ms": one["after"]["self_ns"] / requests / 1e6} for one in report["functions"]]
    least = max(0.0, (report["after_ns"] - report["before_ns"]) / requests / 1e6) * PART_LEAST
    rows = sorted((row for row in rows if row["after_ms"] - row["before_ms"] > least),
                  key=lambda row: row["before_ms"] - row["after_ms"])
    return {"sentence": more["headline"] if more["wall_ns"] else "", "functions": rows[:MOST]}
