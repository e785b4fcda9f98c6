"""Which profiles outlive their segment: the slowest of each route, and its latest errors.

Kept in ``STORE/worst.json``, changed under gc.lock whenever a segment is
sealed: {"GET /books/<id>": {"slow": [[wall_ns, bytes, id, segment]...], "errors":
[[started, ...]...]}}. Derived: without it, it is made of the footers again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import groupby
from operator import itemgetter
from typing import Any

from .. import _core
from ..request import ID
from .derived import DAMAGED, read_json, write_json

__all__ = ["Worst"]

LISTS = ("slow", "errors")


class Worst:
    """Loaded, changed and saved under gc.lock."""

    def __init__(self, root: str, per_route: int, max_bytes: int) -> None:
        self._path = os.path.join(root, "worst.json")
        self._per_route = per_route
        self._max_bytes = max_bytes
        self._routes: dict[str, dict[str, list[list[Any]]]] = {}
        self._changed = False
        #: The file that says what stands here, so that it is not read again while nobody else has written one.
        self._file: tuple[int, ...] | None = None

    def load(self) -> bool:
        """False: it is not there, or damaged: add every segment again."""
        there = self._stands()
        if there is not None and there == self._file and not self._changed:
            return True
        self._routes, self._changed, self._file = {}, False, None
        found = read_json(self._path)
        try:
            for lists in found.values():
                for name in LISTS:
                    for rank, size, profile_id, segment in lists[name]:
                        if not (type(rank) is type(size) is type(segment) is int and ID.match(profile_id)):
                            return False
        except DAMAGED:
            return False
        self._routes, self._file = found, there
        return True

    def _stands(self) -> tuple[int, ...] | None:
        """Which file is there: whoever writes one replaces it as a whole."""
        try:
            info = os.lstat(self._path)
        except OSError:
            return None
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns

    def add(self, rows: _core.Rows, segment: int) -> None:
        """The candidates of a segment that was sealed."""
        if self._per_route <= 0:
            return
        # A list at a time: they come one behind the other.
        candidates = json.loads(rows.worst(self._per_route))
        for (route, name), found in groupby(candidates, key=itemgetter(0, 1)):
            lists = self._routes.setdefault(route, {one: [] for one in LISTS})
            full = len(lists[name]) >= self._per_route
            least = lists[name][-1][0] if full else -1
            # Of a route that has been asked often, hardly any: and each segment has candidates of all routes.
            new = {profile_id: [rank, size, profile_id, segment] for _, _, rank, size, profile_id in found
                   if rank >= least}
            if not new:
                continue
            kept = [one for one in lists[name] if one[2] not in new]
            kept += new.values()
            kept.sort(reverse=True)
            lists[name] = kept[:self._per_route]
            self._changed = True

    def of_segment(self, segment: int) -> set[str]:
        return {one[2] for lists in self._routes.values() for name in LISTS for one in lists[name]
                if one[3] == segment}

    def moved(self, profile_id: str, segment: int) -> None:
        for lists in self._routes.values():
            for name in LISTS:
                for one in lists[name]:
                    if one[2] == profile_id:
                        one[3] = segment
                        self._changed = True

    def drop(self, profile_id: str | None = None, segment: int | None = None) -> None:
        """What was deleted."""
        for route, lists in list(self._routes.items()):
            for name in LISTS:
                left = [one for one in lists[name] if one[2] != profile_id and one[3] != segment]
                self._changed = self._changed or len(left) != len(lists[name])
                lists[name] = left
            if not any(lists.values()):
                del self._routes[route]

    def fit(self, taken: int) -> None:
        """Keeps all of them below half of the store, ``taken`` bytes of which are pinned: the least bad go first."""
        room = self._max_bytes // 2 - taken
        listed: Counter[str] = Counter()  # an error that is slow stands in two lists
        total = 0
        for lists in self._routes.values():
            for _, size, profile_id, _ in (one for name in LISTS for one in lists[name]):
                total += 0 if profile_id in listed else size
                listed[profile_id] += 1
        for rank in range(self._per_route - 1, -1, -1):
            for lists in self._routes.values():
                for name in ("errors", "slow"):
                    if total <= room:
                        return
                    for _, size, profile_id, _ in lists[name][rank:]:
                        listed[profile_id] -= 1
                        total -= 0 if listed[profile_id] else size
                        self._changed = True
                    del lists[name][rank:]

    def save(self) -> None:
        if self._changed and write_json(self._path, self._routes):
            self._changed, self._file = False, self._stands()
