"""The writing side of a folder of segments: who appends, seals what is full, and deletes what is too much or too old.

What is bounded is bounded by bytes written: whenever a segment is full, whole old ones go before the next is begun.
What is kept of them (pins, the worst of each route, the latest errors) is copied on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from .. import _core
from ..lock import RLock
from ..request import ID
from . import segments
from .clock import Clock
from .identity import made_identity
from .interface import StoreError
from .private import make_folders
from .worst import Worst

__all__ = ["Appending"]

#: A segment is at least, and at most, so large; in between it is a 16th of a writer's share of the store.
PART_MIN, PART_MAX = 16 << 10, 16 << 20
#: No larger than this where that makes no more than 2,048 of them: sealing one takes the writer's time.
PART_USUAL = 4 << 20
SHARES = 16
#: The store is brought down to this share of its limit; what others append meanwhile fits in the rest.
FULL = 0.97
#: Segments that gone writers left are sealed when there are more, or when they are half full.
LOOSE_MAX = 8
#: So often less of the worst is kept when the store is still too large.
PASSES = 4

_stores: weakref.WeakSet[Appending] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Appending:
    """See the module. ``root`` is made when the first record is appended. Any thread, any number of processes."""

    def __init__(
        self, root: str, *, max_bytes: int, max_age_days: float, worst_per_route: int, refused: str | None,
    ) -> None:
        self.root = os.path.abspath(root)
        self.folder = os.path.join(self.root, "segments")
        self._lock_path = os.path.join(self.root, "gc.lock")
        self.max_bytes = max_bytes
        self.max_age_days = max_age_days
        #: Why nothing may be written here; None: it may.
        self.refused = refused
        #: Called under gc.lock with (number, fd) of each segment before it is deleted.
        self.before_delete: list[Callable[[int, int], None]] = []
        self._clock = Clock(self.root)
        self._worst = Worst(self.root, worst_per_route, max_bytes)
        self._part = _part_of(max_bytes, 1)
        #: How long a segment is written at most: what is too old goes a segment at a time.
        self._open_ns = (max_age_days if max_age_days > 0 else 365) * 86400e9 / SHARES
        self._segment: segments.Writing | None = None
        self._sealed: dict[int, tuple[int, int, segments.Begin | None]] = {}  # size, newest ms
        #: Segments that stay whatever they take, as nearly all in them is kept: their size, whether they were too
        #: old (then less is kept), and what is kept.
        self._staying: dict[int, tuple[int, bool, frozenset[str]]] = {}
        self._lock = RLock()
        self._pid = os.getpid()
        self._ready = False
        _stores.add(self)

    def _forked(self) -> None:
        """In the child: the parent's segment is the parent's, and so is its lock."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()  # a copy of the descriptor would hold the lock
        self._lock = RLock()
        self._pid = os.getpid()

    # ---- the folder ----

    def _prepare(self) -> None:
        if self._ready:
            return
        if self.refused is not None:
            raise StoreError(self.refused)
        try:
            make_folders(self.root)
            for name in ("segments", "pins"):
                os.makedirs(os.path.join(self.root, name), mode=0o700, exist_ok=True)
            info = os.stat(self.root)
        except OSError as error:
            raise StoreError(f"cannot make the store {self.root}: {error.strerror}") from None
        if info.st_uid != os.geteuid():
            raise StoreError(f"{self.root} belongs to another user")
        if stat.S_IMODE(info.st_mode) & 0o022:
            raise StoreError(f"{self.root} is writable by other users: chmod go-w it")
        made_identity(self.root)
        self._ready = True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds gc.lock. :raises StoreError:"""
        self._prepare()
        try:
            with segments.locked(self._lock_path):
                yield
        except OSError as error:
            self._ready = os.path.isdir(self.folder)  # removed by somebody: it is made anew next time
            raise StoreError(f"{self.root}: {error.strerror}") from None

    # ---- appending ----

    def append(self, kind: int, record_id: str | bytes, inside: bytes = b"", outside: bytes = b"") -> tuple[int, int]:
        """Appends one record of any kind; (segment, place). :raises StoreError: it is not stored."""
        try:
            head = _core.record_head(kind, record_id, inside, len(outside))
        except ValueError as error:
            raise StoreError(str(error)) from None
        with self._lock:
            segment = self._writable()
            try:
                return segment.number, segment.append_now(head, outside)
            except OSError as error:
                if not segment.is_open or (error.filename is None and os.fstat(segment.fd).st_size != segment.size):
                    self._let_go()  # half a record that could not be taken back: a torn tail, no more behind it
                raise StoreError(f"{self.root}: {error.strerror}") from None

    def _writable(self) -> segments.Writing:
        segment = self._segment
        if segment is not None and segment.pid != os.getpid():
            self._forked()
            segment = None
        if segment is not None and segment.vanished:
            self._let_go()
            self._ready = False
            segment = None
        if segment is None or segment.size >= self._part or segment.is_stale(self._open_ns):
            segment = self._rotate()
        return segment

    def _let_go(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            with suppress(OSError):  # of a disk that went away
                segment.close()

    def _rotate(self) -> segments.Writing:
        """Seals the full segment, makes room, and begins the next."""
        with self._changing():
            full, self._segment = self._segment, None
            worst_known = self._worst.load()
            if full is not None:
                try:
                    self._seal(full.number, full.path, full.fd, full.size)
                finally:
                    full.close()
            there = segments.segments_in(self.folder)
            segment = self._adopt(there)
            if segment is None:
                segment = segments.Writing.create(self.folder, there[-1].number + 1 if there else 1)
                there.append(segments.Listed(segment.number, segment.path, segment.size, segment.size, 0))
            self._segment = segment
            self._retain(worst_known, there)
            return segment

    def _adopt(self, there: Sequence[segments.Listed]) -> segments.Writing | None:
        for listed in reversed(there[-2 * LOOSE_MAX:]):
            if listed.size < self._part // 2 and listed.number not in self._sealed:
                found = segments.Writing.adopt(listed, self._part // 2, self._open_ns)
                if found is not None:
                    return found
        return None

    def _seal(self, number: int, path: str, fd: int, size: int) -> _core.Rows | None:
        """Appends the footer. None: that cannot be; readers then read the whole segment."""
        try:
            rows = _core.Rows()
            segments.load(rows, number, fd, 0, size)
            footer = rows.footer(number)
            written = os.writev(fd, (footer,))
            if written != len(footer):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except (OSError, ValueError, MemoryError):  # a full disk; more than a footer can hold; no memory for it now
            with suppress(OSError):
                if os.fstat(fd).st_size > size:
                    os.ftruncate(fd, size)
            return None
        self._worst.add(rows, number)
        return rows

    def close(self) -> None:
        """Lets go of the segment: the next process goes on with it, or it is sealed."""
        with self._lock:
            segment = self._segment
            if segment is None or segment.pid != os.getpid():
                return
            with suppress(StoreError, OSError):
                if segment.size >= self._part // 2 and not segment.vanished:
                    with self._changing():
                        self._worst.load()
                        self._seal(segment.number, segment.path, segment.fd, segment.size)
                        self._worst.save()
            self._let_go()

    # ---- retention, under gc.lock ----

    def _retain(
        self, worst_known: bool, there: Sequence[segments.Listed], deadline: float | None = None,
    ) -> int:
        """Deletes what is too much or too old. Returns how many profiles.

        :param there: what was in the folder a moment ago: of thousands, to look again takes longer than all the rest.
        """
        self._clock.look()
        if not worst_known:
            self._learn_worst(there)
        live, grown = self._tidy_loose(there)
        if grown:
            there = segments.segments_in(self.folder)
        self._part = _part_of(self.max_bytes, live)
        pins = self._pins()
        pinned = self._pinned_bytes(pins)
        deleted, excess = 0, 0
        for _ in range(PASSES):
            # What is kept takes more than its blobs: rows of long texts, others beside it in a segment that stays.
            if sum(one.disk for one in there) + pinned + excess > self.max_bytes // 2:
                self._worst.fit(pinned + excess)
            gone, over = self._delete_segments(there, pins, deadline)
            deleted, excess = deleted + gone, excess + over
            if over <= 0 or (deadline is not None and time.monotonic() > deadline):
                break
            there = segments.segments_in(self.folder)
        self._worst.save()
        return deleted

    def _delete_segments(
        self, there: Sequence[segments.Listed], pins: frozenset[str], deadline: float | None,
    ) -> tuple[int, int]:
        """Those that are too old, and the oldest while all are too much: (profiles, bytes that are still too much)."""
        total = sum(one.disk for one in there)
        deleted = 0
        for listed in there:
            own = self._segment is not None and listed.number == self._segment.number
            too_old = self._is_too_old(listed)
            if own or not (too_old or total > self.max_bytes * FULL):
                continue
            if deadline is not None and deleted and time.monotonic() > deadline:
                break
            done = self._delete_segment(listed, pins, too_old)
            if done is not None:
                total -= done[0]
                deleted += done[1]
        return deleted, int(total - self.max_bytes * FULL)

    def _learn_worst(self, there: Sequence[segments.Listed]) -> None:
        """From the footers, when worst.json is not there."""
        for listed in there:
            with suppress(OSError):
                fd = os.open(listed.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    if segments.footer_of(fd, listed.size) is not None:
                        rows = _core.Rows()
                        segments.load(rows, listed.number, fd, 0, listed.size)
                        self._worst.add(rows, listed.number)
                finally:
                    os.close(fd)

    def _tidy_loose(self, there: Sequence[segments.Listed]) -> tuple[int, bool]:
        """Seals what gone writers left, and cuts off their torn tails: (how many writers live, whether it did)."""
        live, loose, grown = 0, 0, False
        known = {listed.number for listed in there}
        for number in [number for number in self._sealed if number not in known]:
            del self._sealed[number]
        for number in [number for number in self._staying if number not in known]:
            del self._staying[number]
        for listed in reversed(there):
            if self._segment is not None and listed.number == self._segment.number:
                live += 1
                continue
            sealed = self._sealed.get(listed.number)
            if sealed is not None and sealed[0] == listed.size:
                continue
            try:
                fd = os.open(listed.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                live, loose = self._tidy_one(listed, fd, live, loose)
            except OSError:
                continue
            finally:
                os.close(fd)
            sealed = self._sealed.get(listed.number)
            grown = grown or (sealed is not None and sealed[0] != listed.size)
        return live, grown

    def _tidy_one(self, listed: segments.Listed, fd: int, live: int, loose: int) -> tuple[int, int]:
        size = os.fstat(fd).st_size
        end = segments.footer_of(fd, size)
        begin = segments.begin_of(fd)
        if end is None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return live + 1, loose
            if begin is not None and begin.version > segments.VERSION:
                return live, loose  # of a later slowlens, and not ours to change
            stale = begin is None or begin.boot != segments.boot_id() or segments.is_stale(
                begin.boottime, begin.realtime, self._open_ns)
            if size < self._part // 2 and loose < LOOSE_MAX and not stale:
                return live, loose + 1  # somebody may go on with it
            size = segments.mend(fd, size) or size
            if self._seal(listed.number, listed.path, fd, size) is None:
                return live, loose + 1
            size = os.fstat(fd).st_size
            end = segments.footer_of(fd, size)
        if end is not None:
            self._sealed[listed.number] = (size, end[1], begin)
        return live, loose

    def _is_too_old(self, listed: segments.Listed) -> bool:
        sealed = self._sealed.get(listed.number)
        if self.max_age_days <= 0 or sealed is None or sealed[1] == 0:
            return False
        return self._clock.age_ns(sealed[2], sealed[1]) > self.max_age_days * 86400e9

    def _delete_segment(self, listed: segments.Listed, pins: frozenset[str], too_old: bool) -> tuple[int, int] | None:
        """Copies on what is kept, deletes the rest: (bytes that it gave, profiles). None: it stays."""
        try:
            fd = os.open(listed.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            if listed.number not in self._sealed:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return None  # its writer lives
            kept = pins if too_old else pins | self._worst.of_segment(listed.number)
            if self._staying.get(listed.number) == (listed.size, too_old, kept):
                return None
            rows = _core.Rows()
            size = os.fstat(fd).st_size
            end = segments.footer_of(fd, size)
            segments.load(rows, listed.number, fd, 0, size)
            places = sorted(place[1] for one in kept if (place := rows.find(one)) is not None)
            records = [found for at in places if (found := segments.read_record(fd, at)) is not None]
            moving = sum(record[0].size for record in records)
            if moving * 4 >= (size - (end[3] if end else 0)) * 3 and (not too_old or rows.count <= len(records)):
                self._staying[listed.number] = (listed.size, too_old, kept)
                return None  # nearly all of it is kept: copying would gain nothing, and be done for ever
            for call in self.before_delete:
                call(listed.number, fd)
            moved = 0
            for record, inside, blob in records:
                moved += self._move(record, inside, blob)
            os.unlink(listed.path)
        except OSError:
            return None
        finally:
            os.close(fd)
        self._sealed.pop(listed.number, None)
        self._worst.drop(segment=listed.number)
        return listed.disk - moved, rows.count - len(records)

    def _move(self, record: segments.Segment, inside: bytes, blob: bytes) -> int:
        segment = self._segment
        if segment is None:
            there = segments.segments_in(self.folder)
            segment = self._segment = segments.Writing.create(self.folder, there[-1].number + 1 if there else 1)
        kind = segments.MOVED if record.kind == segments.PROFILE else record.kind
        segment.append(_core.record_head(kind, record.id, inside, len(blob)), blob)
        self._worst.moved(record.id, segment.number)
        return record.size

    def _pinned_bytes(self, pins: frozenset[str]) -> int:
        """A pin says how large its profile is."""
        total = 0
        for name in pins:
            with suppress(OSError, ValueError), open(os.path.join(self.root, "pins", name), encoding="ascii") as file:
                total += int(file.read(20) or 0)
        return total

    def _pins(self) -> frozenset[str]:
        try:
            return frozenset(name for name in os.listdir(os.path.join(self.root, "pins")) if ID.match(name))
        except OSError:
            return frozenset()


def _part_of(max_bytes: int, live: int) -> int:
    """How large a segment may become where so many processes write."""
    most = min(PART_MAX, max(PART_USUAL, max_bytes // 2048))
    part = max(PART_MIN, min(most, max_bytes // (SHARES * max(1, live))))
    # Where no file may become so large, one that is full for good would take nothing more, and no other be begun.
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return part if largest == resource.RLIM_INFINITY else min(part, largest // 2)
