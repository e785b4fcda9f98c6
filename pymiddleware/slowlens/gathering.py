"""Every sampled request, kept or not, adds its tree to its route's tree of the running minute.

A request asks ``draw`` whether it is one of those that speak for all: one of ``stride``, each of which counts so often.
The choice is made by chance and knows nothing of the request, so the sums are those of all requests without bias; how
many are chosen follows from what one costs, so that the writer's thread spends no more than :data:`CPU` of one CPU on
it. How many pass until the next is drawn beforehand (``skip``): those that pass are counted in C, with the rest of
their end. What a request did is encoded, read back and added in C, by that thread. After a minute, or when it has taken
too much memory, the trees go to the store as one slice (store/windows.py).
"""

from __future__ import annotations

import math
import random
import time
from typing import Any, NamedTuple

from . import _core, engine
from .bounded import Bounded
from .store.windows import SUMMED, Tree, pack

__all__ = ["Gathering"]

#: Share of one CPU.
CPU = 0.005
#: Requests that wait to be added, and bytes of them; those beyond are not in it (counted).
WAITING_MAX, WAITING_BYTES = 64, 8 << 20
#: Trees of one slice: what comes then is of the route ``[other]``.
ROUTES_MAX = 200
NODES_MAX = 8000
#: Memory that the trees of a slice take at most; then they are stored at once.
BYTES_MAX = 16 << 20
EVERY = 60.0
ADAPT_EVERY = 1.0
STRIDE_MAX = 10_000
OTHER = "[other]"

#: Not the one that the app may have seeded: its sequence is the app's.
_chance = random.SystemRandom().random


class _Waiting(NamedTuple):
    recording: _core.Recording
    route: str
    method: str
    mode: str
    weight: int


class _Route:
    """One tree that grows."""

    __slots__ = ("gather", "memory", "sums")

    def __init__(self) -> None:
        self.gather = _core.Gather(NODES_MAX)
        self.sums: dict[str, int] = {}
        self.memory = 0


def _now() -> int:
    """Unix ns, as metadata and names of files can hold them, wherever the clock stands."""
    return max(0, min(time.time_ns(), (1 << 63) - 1))


class Gathering(_core.Draw):
    """What one process gathers."""

    def __init__(self, release: str, host: str) -> None:
        super().__init__()
        self._release, self._host = release, host
        self.waiting: Bounded[_Waiting] = Bounded()
        self._routes: dict[tuple[str, str, str], _Route] = {}
        self._bytes = 0
        self._began = _now()
        self._flushed = self._adapted = time.monotonic()
        self.stride = 1
        #: Chosen ones that found no room, or whose slice could not be stored.
        self.missed = 0
        self._taken = 0
        self._spent = self._rate = self._mean = 0.0

    # ---- called by requests ----

    def draw(self) -> int:
        """How many requests this one speaks for; 0: it was not chosen."""
        self.seen += 1
        if self.skip > 0:
            self.skip -= 1
            return 0
        stride = self.stride  # once: the writer's thread may change it meanwhile
        self.skip = self._gap(stride)
        return stride

    @staticmethod
    def _gap(stride: int) -> int:
        """How many pass until one is chosen, if each is with a chance of 1 in ``stride``, whatever came before."""
        return 0 if stride == 1 else int(math.log(1.0 - _chance()) / math.log1p(-1.0 / stride))

    def put(self, recording: _core.Recording, route: str, method: str, mode: str, weight: int) -> bool:
        """Takes over a recording that is not kept. False: no room (counted)."""
        recording.let_go()
        if not self.waiting.put(_Waiting(recording, route, method, mode, weight), recording.memory, WAITING_MAX,
                                WAITING_BYTES):
            self.missed += 1
            return False
        return True

    # ---- called by the writer's thread ----

    def work(self) -> int:
        """Adds one of those that wait. Bytes of the recording, which is given back. Raises what encoding raises."""
        try:
            one, size = self.waiting.take()
        except IndexError:
            return 0
        began = time.thread_time()
        try:
            meta: dict[str, Any] = {"mode": one.mode}
            if one.mode != "sampling":
                meta.update(engine.cost_meta())
            blob = one.recording.encode(meta, 1)
            sums: dict[str, Any] = {"mode": one.mode}
            one.recording.complete(sums)
            self._add(blob, sums, one.route, one.method, one.mode, one.weight)
        finally:
            one.recording.discard()
            self._spent += time.thread_time() - began
            self._taken += 1
        return size

    def add(self, blob: bytes, meta: dict[str, Any], weight: int) -> None:
        """Adds a kept one."""
        began = time.thread_time()
        try:
            route, method = str(meta.get("route") or ""), str(meta.get("method") or "")
            self._add(blob, meta, route, method, str(meta["mode"]), weight)
        finally:
            self._spent += time.thread_time() - began
            self._taken += 1

    def _add(self, blob: bytes, meta: dict[str, Any], route: str, method: str, mode: str, weight: int) -> None:
        key = (route[:500], method[:20], mode)
        found = self._routes.get(key)
        if found is None:
            if len(self._routes) >= ROUTES_MAX:
                key = (OTHER, "", mode)
            found = self._routes.get(key)
            if found is None:
                found = self._routes[key] = _Route()
        try:
            found.gather.add(blob, weight)
        except MemoryError:
            del self._routes[key]
            self._bytes -= found.memory
            self.missed += found.gather.count + 1
            raise
        sums = found.sums
        for name in SUMMED:
            value = meta.get(name)
            if value:
                sums[name] = sums.get(name, 0) + value * weight
        sums["merged"] = sums.get("merged", 0) + 1
        sums["requests"] = sums.get("requests", 0) + weight
        memory = found.gather.memory
        self._bytes += memory - found.memory
        found.memory = memory

    def adapt(self) -> None:
        """Chooses how many are chosen, by what they cost."""
        now = time.monotonic()
        elapsed = now - self._adapted
        if elapsed < ADAPT_EVERY:
            return
        self._adapted = now
        seen, self.seen = self.seen, 0
        if self._taken:
            mean = self._spent / self._taken
            self._mean = mean if self._mean == 0.0 else self._mean + 0.3 * (mean - self._mean)
            self._taken, self._spent = 0, 0.0
        self._rate = max(seen / elapsed, 0.7 * self._rate)
        stride = max(1, min(STRIDE_MAX, math.ceil(self._rate * self._mean / CPU)))
        if stride != self.stride:
            self.stride = stride
            self.skip = self._gap(stride)

    @property
    def count(self) -> int:
        """Routes that have something to be stored."""
        return len(self._routes)

    @property
    def added(self) -> int:
        """Requests in the trees that are not stored yet."""
        return sum(one.gather.count for one in self._routes.values())

    def due(self) -> float:
        """In how many seconds the slice is to be stored; 0: now."""
        return 0.0 if self._bytes >= BYTES_MAX else max(0.0, self._flushed + EVERY - time.monotonic())

    def take(self) -> tuple[int, int, bytes] | None:
        """What was gathered leaves, as (first, last, slice), Unix ms; None: nothing was."""
        routes, self._routes, self._bytes = self._routes, {}, 0
        began, self._began, self._flushed = self._began, _now(), time.monotonic()
        if not routes:
            return None
        trees = []
        for (route, method, mode), one in routes.items():
            meta = {
                "route": route, "method": method, "path": route, "mode": mode, "release": self._release or None,
                "host": self._host, **one.sums, "started": min(began, self._began), "until": self._began,
                "flags": "truncated" if one.gather.full else None,
            }
            meta = {name: value for name, value in meta.items() if value is not None}
            trees.append(Tree(meta, one.gather.encode(meta)))
        last = self._began // 1_000_000
        return min(began // 1_000_000, last), last, pack(trees)
