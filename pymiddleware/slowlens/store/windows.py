"""What all sampled requests did: a tree for each route and minute, kept or not the profiles were.

    STORE/windows/FIRST-LAST-TOKEN.slw    a SLICE: one process's requests that ended in that time (Unix ms, 13 digits)
    STORE/windows/FIRST-LAST-TOKEN.slx    slices of ten minutes as one, once they are an hour old; says of which.
                                          Where there are many: of a minute, at once
    STORE/windows/FIRST-LAST-ORIGIN-REQUESTS.slc   ten minutes as another store gathered them (``slowlens copy``)

A slice is "SLW1", the length of its index (u32), the index (JSON: a row for each tree), and the trees: ordinary blobs.
A slice is written as a whole under another name and renamed; who reads needs no lock. Whoever makes one of several
names them in it, so that those which a killed process left beside it are not counted twice.

What was copied from another store is never made one with anything: of an origin and ten minutes the copy that speaks
for the most requests counts, and a later one, which speaks for more, takes its place.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

from .. import _core
from .derived import DAMAGED
from .interface import Gathered
from .private import make_folders

__all__ = [
    "MANY", "MANY_SLOT_MS", "SLOTS_AT_ONCE", "SLOT_MS", "SUMMED", "WHOLE_MS", "Slice", "Tree", "Windows", "add_up",
    "pack", "together", "unpack", "whole_slots",
]

MAGIC = b"SLW1"
#: Slices of so long become one...
SLOT_MS = 600_000
#: ... when they ended so long ago: until then "the last N seconds" can be told to the slice.
WHOLE_MS = 3_600_000
#: So many slices are of processes that live for one task each: those of a minute, which is what any other process
#: tells at once, become one without waiting. Each takes a block of the disk, however little is in it.
MANY, MANY_SLOT_MS = 500, 60_000
#: Slots that are made at once at most: the writer has other things to do.
SLOTS_AT_ONCE = 2
#: Metadata of requests that has a sum.
SUMMED = (
    "merged", "requests", "wall_ns", "cpu_ns", "await_ns", "loop_ns", "idle_ns", "gc_ns", "waiting_ns", "run_queue_ns",
    "gil_wait_ns", "blocked_ns", "lock_ns", "socket_ns", "disk_ns", "sleep_ns", "poll_ns", "child_ns", "samples",
    "db_count", "db_ns", "http_count", "http_ns", "cache_count", "cache_ns", "template_count", "template_ns",
)
KEY = ("route", "method", "mode", "release")

_LENGTH = struct.Struct("<I")
_COPIED = re.compile(r"([0-9]{13,19})-([0-9]{13,19})-([0-9a-f]{32})-([0-9]{1,19})\.slc\Z", re.ASCII)


class Tree(NamedTuple):
    """What a route's requests did in one slice: the metadata of the blob, and the blob."""

    meta: dict[str, Any]
    blob: bytes


class Slice(NamedTuple):
    """Trees of one time; ``first`` and ``last``: Unix ms in which its requests ended."""

    first: int
    last: int
    #: Rows of the index, and the bytes that they point into.
    rows: list[dict[str, Any]]
    data: bytes

    def trees(self, **which: str | None) -> Iterator[Tree]:
        """Those of this ``route``, ``method``, ``mode``, ``release`` (None: any)."""
        for row in self.rows:
            meta = row["meta"]
            if all(wanted is None or meta.get(name, "") == wanted for name, wanted in which.items()):
                yield Tree(meta, self.data[row["at"]:row["at"] + row["size"]])


def pack(trees: Iterable[Tree], of: Sequence[str] = ()) -> bytes:
    """A slice as bytes. ``of``: names of the slices that it stands for."""
    rows, parts, at = [], [], 0
    for tree in trees:
        rows.append({"meta": tree.meta, "at": at, "size": len(tree.blob)})
        parts.append(tree.blob)
        at += len(tree.blob)
    index = json.dumps({"of": list(of), "rows": rows}, separators=(",", ":")).encode()
    return b"".join((MAGIC, _LENGTH.pack(len(index)), index, *parts))


def unpack(first: int, last: int, data: bytes) -> tuple[Slice, list[str]]:
    """The slice, and the names of those that it stands for. :raises ValueError: it is none."""
    if data[:4] != MAGIC or len(data) < 8:
        raise ValueError("not a slice")
    start = 8 + _LENGTH.unpack_from(data, 4)[0]
    found = json.loads(data[8:start])
    rows = found["rows"]
    for row in rows:
        at, size = row["at"], row["size"]
        if not (isinstance(at, int) and isinstance(size, int) and isinstance(row["meta"], dict)
                and 0 <= at <= at + size <= len(data) - start):
            raise ValueError("not a slice")
        row["at"] += start
    return Slice(first, last, rows, data), [str(name) for name in found["of"]]


def add_up(trees: Iterable[Tree], meta: dict[str, Any], max_nodes: int = 0) -> Tree | None:
    """All as one tree, with ``meta`` and the sums of theirs. None: there is none that can be read."""
    gather = _core.Gather(max_nodes)
    sums: dict[str, int] = {}
    started, until, full = 0, 0, False
    for tree in trees:
        try:
            gather.add(tree.blob)
        except _core.CorruptError:
            continue
        for name in SUMMED:
            value = tree.meta.get(name)
            if isinstance(value, int):
                sums[name] = sums.get(name, 0) + value
        began, ended = tree.meta.get("started"), tree.meta.get("until")
        if isinstance(began, int) and isinstance(ended, int):
            started = min(started or began, began)
            until = max(until, ended)
        full = full or "truncated" in str(tree.meta.get("flags") or "")
    if not gather.count:
        return None
    most = 1 << 62
    meta = {**meta, **{name: min(value, most) for name, value in sums.items()}, "started": started, "until": until}
    if full or gather.full:
        meta["flags"] = "truncated"
    return Tree(meta, gather.encode(meta))


def together(slices: Iterable[Slice]) -> list[Tree]:
    """All trees of several slices, those of the same route, method, mode and release as one."""
    by_key: dict[tuple[Any, ...], list[Tree]] = {}
    for part in slices:
        for tree in part.trees():
            by_key.setdefault(tuple(tree.meta.get(name) for name in KEY), []).append(tree)
    found = [add_up(trees, {name: value for name, value in trees[0].meta.items() if name in (*KEY, "path")})
             for trees in by_key.values()]
    return [tree for tree in found if tree is not None]


def whole_slots(slices: Iterable[Slice]) -> Iterator[Gathered]:
    """Slices, in the order of their slots, as one for each slot; without an origin yet."""
    for _, group in groupby(slices, lambda one: one.last // SLOT_MS):
        parts = list(group)
        trees = list(parts[0].trees()) if len(parts) == 1 else together(parts)
        if trees:
            yield Gathered(b"", min(one.first for one in parts), max(one.last for one in parts), _spoken_for(trees),
                           pack(trees))


def _spoken_for(trees: Iterable[Tree]) -> int:
    """How many requests they speak for."""
    counts = (tree.meta.get("requests") for tree in trees)
    return sum(count for count in counts if isinstance(count, int) and count > 0)


def _requests_of(name: str) -> int:
    """As the name of a copy says."""
    return int(name.rpartition("-")[2].partition(".")[0])


def _sums_first(one: tuple[int, int, str]) -> tuple[bool, int, int]:
    """The order in which slices are read: whoever stands for others before them."""
    return not one[2].endswith(".slx"), -one[1], one[0]


class Windows:
    """The slices of a folder store."""

    def __init__(self, root: str) -> None:
        self.folder = os.path.join(root, "windows")
        #: Names of slices that this process can make no other of: another user's, a later version's.
        self._others: set[str] = set()

    def put(self, first_ms: int, last_ms: int, data: bytes, suffix: str = ".slw") -> str:
        """Stores a slice; its name. :raises OSError:"""
        make_folders(self.folder)
        name = f"{first_ms:013d}-{last_ms:013d}-{secrets.token_hex(4)}{suffix}"
        self._write(name, data)
        return name

    def _write(self, name: str, data: bytes) -> None:
        making = os.path.join(self.folder, f".{name}.{secrets.token_hex(2)}.tmp")
        fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.replace(making, os.path.join(self.folder, name))
        except BaseException:
            with suppress(OSError):
                os.unlink(making)
            raise

    def _names(self) -> list[tuple[int, int, str]]:
        """(first, last, name), by when they ended."""
        found = []
        for name in self._listed():
            first, _, rest = name.partition("-")
            last = rest.partition("-")[0]
            if name.endswith((".slw", ".slx")) and first.isdecimal() and last.isdecimal():
                found.append((int(first), int(last), name))
        return sorted(found, key=lambda one: (one[1], one[2]))

    # ---- of other stores ----

    def whole(self) -> Iterator[Gathered]:
        """What was gathered here, ten minutes at a time, oldest first; without an origin."""
        slots = sorted({last // SLOT_MS for _, last, _ in self._names()})
        for slot in slots:
            yield from whole_slots(self._of_slot(slot))

    def _of_slot(self, slot: int) -> list[Slice]:
        for _ in range(3):  # some may become one in between
            there = [one for one in self._names() if one[1] // SLOT_MS == slot]
            slices, missing = self._of(there)
            if not missing:
                break
        return slices

    def _of(self, there: list[tuple[int, int, str]]) -> tuple[list[Slice], bool]:
        """These, each request once; and whether one is no longer there."""
        slices: list[Slice] = []
        gone: set[str] = set()
        missing = False
        for one in sorted(there, key=_sums_first):
            if one[2] in gone:
                continue
            loaded = self._load(one)
            if loaded is None:
                missing = missing or one[2] not in self._others
            elif loaded[0] is not None:
                gone.update(loaded[1])
                slices.append(loaded[0])
        return slices, missing

    def copies(self) -> Iterator[Gathered]:
        """What was copied from elsewhere."""
        for (_, origin), one in sorted(self._copied()[0].items()):
            with suppress(OSError):
                yield Gathered(bytes.fromhex(origin), one[0], one[1], _requests_of(one[2]), self._file(one[2]))

    def put_copy(self, one: Gathered) -> bool:
        """Stores what another store gathered; False: no more than is there. :raises OSError: :raises ValueError:"""
        unpack(one.first, one.last, one.data)
        make_folders(self.folder)
        name = f"{one.first:013d}-{one.last:013d}-{one.origin.hex()}-{one.requests}.slc"
        known = self._copied()[0].get((one.last // SLOT_MS, one.origin.hex()))
        if known is not None and _requests_of(known[2]) >= one.requests:
            return False
        self._write(name, one.data)
        for outdated in self._copied()[1]:
            with suppress(OSError):
                os.unlink(os.path.join(self.folder, outdated))
        return True

    def _copied(self) -> tuple[dict[tuple[int, str], tuple[int, int, str]], list[str]]:
        """By slot and origin the one that counts; and names of those that do not, any more."""
        best: dict[tuple[int, str], tuple[int, int, str]] = {}
        outdated = []
        for name in self._listed():
            if (found := _COPIED.match(name)) is None:
                continue
            key, one = (int(found[2]) // SLOT_MS, found[3]), (int(found[1]), int(found[2]), name)
            known = best.get(key)
            if known is not None:
                if (_requests_of(known[2]), known[2]) > (_requests_of(name), name):
                    known, one = one, known
                outdated.append(known[2])
            best[key] = one
        return best, outdated

    def _listed(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError:
            return []

    def _file(self, name: str) -> bytes:
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def _load(self, one: tuple[int, int, str]) -> tuple[Slice | None, list[str]] | None:
        """The slice (None: damaged), and the names of those that it stands for. None: it cannot be read."""
        try:
            data = self._file(one[2])
        except PermissionError:
            self._others.add(one[2])
            return None
        except OSError:
            return None  # gone meanwhile; no descriptor is left
        if data[:3] == MAGIC[:3] and data[3:4] > MAGIC[3:]:
            self._others.add(one[2])
            return None
        try:
            return unpack(one[0], one[1], data)
        except DAMAGED:
            return None, []

    def read(self, from_ms: int, to_ms: int) -> Iterator[Slice]:
        """Slices that ended after ``from_ms``, up to ``to_ms`` (0: no end), each read when it is reached."""
        there = [one for one in self._names() if one[1] > from_ms and (not to_ms or one[1] <= to_ms)]
        gone: set[str] = set()
        for one in sorted(there, key=_sums_first):
            if one[2] in gone:
                continue
            loaded = self._load(one)
            if loaded is not None and loaded[0] is not None:
                gone.update(loaded[1])
                yield loaded[0]
        for key, copy in self._copied()[0].items():
            if copy[1] > from_ms and (not to_ms or copy[1] <= to_ms):
                # Another copy may have taken its place meanwhile.
                loaded = self._load(copy) or self._load(self._copied()[0].get(key, copy))
                if loaded is not None and loaded[0] is not None:
                    yield loaded[0]

    # ---- keeping house ----

    def tend(self, max_bytes: int, max_age_s: float, now_ms: int | None = None) -> None:
        """Old slices of a slot become one; the oldest go when all are too much, or too old. :raises OSError:"""
        now = int(time.time() * 1000) if now_ms is None else now_ms
        there = self._names()
        if not there and not self._copied()[0]:
            return
        fd = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is at it
            self._others &= {one[2] for one in there}
            old: list[tuple[int, int, str]] = []
            young: list[tuple[int, int, str]] = []
            for one in there:
                (old if (one[1] // SLOT_MS + 1) * SLOT_MS + WHOLE_MS < now else young).append(one)
            self._merge_slots(old, SLOT_MS)
            if sum(one[2].endswith(".slw") for one in young) > MANY:
                self._merge_slots(young, MANY_SLOT_MS)
            self._trim(max_bytes, now - int(max_age_s * 1000) if max_age_s > 0 else 0)
        finally:
            os.close(fd)

    def _merge_slots(self, there: list[tuple[int, int, str]], slot_ms: int) -> None:
        slots: dict[int, list[tuple[int, int, str]]] = {}
        for one in there:
            if one[2] not in self._others:
                slots.setdefault(one[1] // slot_ms, []).append(one)
        done = 0
        for parts in slots.values():
            if len(parts) > 1 and self._merge(parts):
                done += 1
                if done == SLOTS_AT_ONCE:
                    return

    def _merge(self, parts: list[tuple[int, int, str]]) -> bool:
        """Several slices become one. What cannot be read stays as it is; False: too little can be."""
        slices: list[Slice] = []
        done: list[tuple[int, int, str]] = []
        taken: set[str] = set()
        for one in sorted(parts, key=_sums_first):
            if one[2] not in taken:
                loaded = self._load(one)
                if loaded is None:
                    if one[2].endswith(".slx"):
                        return False  # which of the others are in it?
                    continue
                if loaded[0] is not None:
                    slices.append(loaded[0])
                taken.update(loaded[1])
            done.append(one)
        if len(done) < 2:
            return False
        names = {one[2] for one in done}
        made = together(slices)
        if made:
            # Wider than any sum that is in it, and so read before that.
            first = min(one[0] - one[2].endswith(".slx") for one in done)
            left = {name for name in taken - names if os.path.lexists(os.path.join(self.folder, name))}
            self.put(max(0, first), max(one[1] for one in done), pack(made, sorted(names | left)), ".slx")
        for name in names:
            with suppress(OSError):
                os.unlink(os.path.join(self.folder, name))
        return True

    def _trim(self, max_bytes: int, oldest_ms: int) -> None:
        total = 0
        best, outdated = self._copied()
        for name in outdated:  # who copied was killed in between
            with suppress(OSError):
                os.unlink(os.path.join(self.folder, name))
        there = sorted([*self._names(), *best.values()], key=lambda one: (one[1], one[2]))
        for _, last, name in reversed(there):
            path = os.path.join(self.folder, name)
            with suppress(OSError):
                total += os.stat(path).st_blocks * 512
                if total > max_bytes or last < oldest_ms:
                    os.unlink(path)
        with suppress(OSError):
            for name in self._listed():  # what a killed process had begun
                path = os.path.join(self.folder, name)
                if name.endswith(".tmp") and time.time() - os.stat(path).st_mtime > 60:
                    os.unlink(path)
