"""What all sampled requests did: a tree for each route and minute, kept or not the profiles were.

    STORE/windows/FIRST-LAST-TOKEN.slw    a SLICE: one process's requests that ended in that time (Unix ms, 13 digits)
    STORE/windows/FIRST-LAST-TOKEN.slx    slices of ten minutes as one, once they are an hour old; says of which.
                                          Where there are many: of a minute, at once

A slice is "SLW1", the length of its index (u32), the index (JSON: a row for each tree), and the trees: ordinary blobs.
A slice is written as a whole under another name and renamed; who reads needs no lock. Whoever makes one of several
names them in it, so that those which a killed process left beside it are not counted twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from .. import _core
from .derived import DAMAGED
from .private import make_folders

__all__ = [
    "MANY", "MANY_SLOT_MS", "SLOTS_AT_ONCE", "SLOT_MS", "SUMMED", "WHOLE_MS", "Slice", "Tree", "Windows", "add_up",
    "pack", "together", "unpack",
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
        making = os.path.join(self.folder, f".{name}.tmp")
        fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.replace(making, os.path.join(self.folder, name))
        except BaseException:
            with suppress(OSError):
                os.unlink(making)
            raise
        return name

    def _names(self) -> list[tuple[int, int, str]]:
        """(first, last, name), by when they ended."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        found = []
        for name in names:
            first, _, rest = name.partition("-")
            last = rest.partition("-")[0]
            if name.endswith((".slw", ".slx")) and first.isdecimal() and last.isdecimal():
                found.append((int(first), int(last), name))
        return sorted(found, key=lambda one: (one[1], one[2]))

    def _load(self, one: tuple[int, int, str]) -> tuple[Slice | None, list[str]] | None:
        """The slice (None: damaged), and the names of those that it stands for. None: it cannot be read."""
        try:
            with open(os.path.join(self.folder, one[2]), "rb") as file:
                data = file.read()
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

    # ---- keeping house ----

    def tend(self, max_bytes: int, max_age_s: float, now_ms: int | None = None) -> None:
        """Old slices of a slot become one; the oldest go when all are too much, or too old. :raises OSError:"""
        now = int(time.time() * 1000) if now_ms is None else now_ms
        there = self._names()
        if not there:
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
        for _, last, name in reversed(self._names()):
            path = os.path.join(self.folder, name)
            with suppress(OSError):
                total += os.stat(path).st_blocks * 512
                if total > max_bytes or last < oldest_ms:
                    os.unlink(path)
        with suppress(OSError):
            for name in os.listdir(self.folder):  # what a killed process had begun
                path = os.path.join(self.folder, name)
                if name.endswith(".tmp") and time.time() - os.stat(path).st_mtime > 60:
                    os.unlink(path)
