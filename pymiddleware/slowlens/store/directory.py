"""The folder store: profiles in segment files that are only appended to. No database.

    STORE/segments/0000002a.sls   see segments.py, and slowlens/segment.h for what they hold
    STORE/pins/01k...xyz          an empty file: this profile is kept for ever
    STORE/id                      its name among stores, see identity.py
    STORE/gc.lock                 whoever begins, seals, changes or deletes segments holds it
    STORE/worst.json, clock.json  what retention knows; may be deleted at any time
    STORE/windows/                trees of all requests, see windows.py
    STORE/deletions               ids that were deleted by hand, for readers that know them already

Any number of processes share a folder. Each appends to a segment of its own,
by one system call a profile, and never touches another's that is alive; how,
and what goes when it is too much, is in appending.py. Readers need no right to write.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from .. import _core
from ..options import Options
from ..request import ID
from . import numbers, old, segments
from .appending import Appending
from .derived import DAMAGED
from .identity import made_identity, read_identity
from .interface import TREND, Counted, Gathered, Page, Query, RouteStats, Stored, StoreError
from .private import untrusted
from .reader import OLD, Reader
from .rows import route_stats, with_numbers
from .windows import Slice, Windows

__all__ = ["DirectoryStore", "open_folder"]

HOT_MAX = 500
DELETIONS_MAX = 27 * 4096

#: The fields that a list of routes tells apart: route and method.
ROUTES_APART = 3


class DirectoryStore(Appending):
    """See the module. ``root`` is made when the first profile is stored."""

    reads_blobs = True

    def __init__(
        self, root: str, *, max_bytes: int = 1 << 29, max_age_days: float = 14, worst_per_route: int = 10,
        refused: str | None = None,
    ) -> None:
        super().__init__(root, max_bytes=max_bytes, max_age_days=max_age_days, worst_per_route=worst_per_route,
                         refused=refused)
        self._hours = numbers.Hours(self.root, self.folder)
        self.before_delete.append(self._hours.before_delete)
        self._windows = Windows(self.root)
        self._reader: Reader | None = None

    def _forked(self) -> None:
        super()._forked()
        self._reader = None

    def problem(self) -> str | None:
        try:
            self._prepare()
            if not os.access(self.folder, os.W_OK | os.X_OK):
                return f"{self.root} is not writable"
            with suppress(BlockingIOError), segments.locked(self._lock_path, wait=False):
                pass
        except StoreError as error:
            return str(error)
        except OSError as error:
            return f"{self.root}: {error.strerror}"
        if self._reader is not None and self._reader.partial:
            return f"{self.root} holds more profiles than can be listed at once: the oldest are left out"
        if self._reader is not None and self._reader.unread:
            return f"not all profiles are listed: {self._reader.unread}"
        if self._reader is not None and self._reader.damaged:
            return f"{self.root} held profiles that can be read no more: {self._reader.damaged} that are damaged"
        pinned = self._pinned_bytes(self._pins())
        if pinned > self.max_bytes // 2:
            return (f"pinned profiles take {pinned >> 20} MiB of max_bytes ({self.max_bytes >> 20} MiB), and others go "
                    "early: unpin some, or raise it")
        return None

    # ---- storing ----

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        # Where a blob has a summary, that says the hot path: a row has it, and no headline, where it has not.
        hot = b"" if "headline" in row else str(row.get("hot") or "")[:HOT_MAX].encode("utf-8", "replace")
        self.append(segments.PROFILE, row["id"], hot, blob)

    def put_numbers(
        self, first_s: int, last_s: int, table: bytes, source: bytes = b"", again: bool = False,
    ) -> None:
        """Stores what a process counted between two Unix times. :raises StoreError: it is not stored.

        :param source: 16 bytes that name it.
        :param again: it, or a part of it, may be here already: only what is not is stored.
        """
        try:
            there = self._hours.named(source) if again and source else ()
        except OSError:
            there = ()  # no segment yet
        for inside, outside in numbers.split(first_s, last_s, table):
            if inside not in there:
                self.append(segments.NUMBERS, source or bytes(16), inside, outside)

    # ---- keeping house ----

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        deadline = time.monotonic() + budget_seconds
        with self._lock:
            if self._segment is not None and self._segment.pid != os.getpid():
                self._forked()
            self._move_old(deadline)
            segment = self._segment
            with self._changing():
                if segment is not None and not segment.vanished and segment.is_stale(self._open_ns):
                    self._seal(segment.number, segment.path, segment.fd, segment.size)
                    self._let_go()
                deleted = self._retain(self._worst.load(), segments.segments_in(self.folder), deadline)
                self._trim_deletions()
                with suppress(OSError):
                    self._hours.add_up()  # so that readers find it done
                self._hours.trim(self.max_bytes // 20)
                total = sum(one.disk for one in segments.segments_in(self.folder))
        with suppress(OSError):
            self._windows.tend(self.max_bytes // 20, self.max_age_days * 86400)
        return {"deleted": deleted, "bytes": total}

    def _move_old(self, deadline: float) -> None:
        """Files of the first version's layout become records, some at a time."""
        for profile_id, path in old.files_of(self.root):
            try:
                with open(path, "rb") as file:
                    blob = file.read()
                known = json.loads(_core.read_meta(blob))
                hot = ""
                if not known.get("summary"):
                    hot = str(json.loads(_core.Profile(blob).summary())["hot_text"])[:HOT_MAX]
            except (OSError, ValueError, MemoryError):
                continue  # half a file of a crashed disk: left alone
            self.append(segments.MOVED, profile_id, hot.encode("utf-8", "replace"), blob)
            with suppress(OSError):
                os.unlink(path)
            if time.monotonic() > deadline:
                return
        if os.path.isdir(os.path.join(self.root, "blobs")) or os.path.exists(os.path.join(self.root, "index.sqlite3")):
            old.remove_rest(self.root)

    # ---- deleting and pinning ----

    def delete(self, profile_id: str) -> bool:
        if ID.match(profile_id) is None:
            return False
        reader = self._reading()
        if reader.find(profile_id) is None:
            return False
        with self._lock, self._changing():
            places = reader.places(profile_id)
            self._worst.load()
            for number, at in places:
                if number == OLD:
                    self._delete_old(profile_id)
                else:
                    self._erase(profile_id, number, at)
            self._unpin(profile_id)
            self._worst.drop(profile_id)
            self._worst.save()
            self._say_deleted(profile_id)
            reader.drop(profile_id)
        return bool(places)

    def _erase(self, profile_id: str, number: int, at: int) -> None:
        path = os.path.join(self.folder, segments.name_of(number))
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return  # the segment went meanwhile
        try:
            size = os.fstat(fd).st_size
            found = segments.read_record(fd, at)
            if found is None or found[0].id != profile_id or found[0].kind not in segments.PROFILES:
                return
            end = segments.footer_of(fd, size)
            if end is not None:
                footer = segments.read_record(fd, size - end[3])
                if footer is not None and footer[0].kind == segments.FOOTER:
                    segments.erase(path, footer[0])
            segments.erase(path, found[0])
            if end is not None:
                self._seal(number, path, fd, size)
                self._sealed.pop(number, None)
        finally:
            os.close(fd)

    def _delete_old(self, profile_id: str) -> None:
        for name, path in old.files_of(self.root):
            if name == profile_id:
                os.unlink(path)

    def _say_deleted(self, profile_id: str) -> None:
        """Where there is no room to say it, others find out when they want to read it."""
        path = os.path.join(self.root, "deletions")
        with suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(fd, profile_id.encode("ascii") + b"\n")
            finally:
                os.close(fd)

    def _trim_deletions(self) -> None:
        path = os.path.join(self.root, "deletions")
        with suppress(OSError):
            if os.stat(path).st_size > DELETIONS_MAX:
                os.unlink(path)

    def pin(self, profile_id: str, on: bool) -> bool:
        if self.get(profile_id) is None:
            return False
        if not on:
            self._prepare()
            self._unpin(profile_id)
            return True
        # Under the lock: whoever deletes its segment has looked at the pins before, or will.
        with self._lock, self._changing():
            blob = self.get(profile_id)
            if blob is None:
                return False
            fd = os.open(os.path.join(self.root, "pins", profile_id),
                         os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="ascii") as file:
                file.write(str(len(blob)))
        return True

    def _unpin(self, profile_id: str) -> None:
        with suppress(OSError):  # it was not pinned, or somebody else was faster
            os.unlink(os.path.join(self.root, "pins", profile_id))

    # ---- reading ----

    def _reading(self) -> Reader:
        reader = self._reader
        if reader is None:
            reader = self._reader = Reader(self.root)
        return reader

    def get(self, profile_id: str) -> bytes | None:
        try:
            return None if ID.match(profile_id) is None else self._reading().get(profile_id)
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}") from None

    def list(self, query: Query) -> Page:
        return self._reading().page(query, self._pins())

    def count(self, query: Query, most: int) -> int:
        return min(most, self._reading().count_of(query))

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        return with_numbers(route_stats(self._reading().route_report(route)), self.numbers(route=route, parts=TREND))

    def numbers(
        self, *, route: str | None = None, method: str | None = None, release: str | None = None,
        host: str | None = None, since_s: int = 0, until_s: int = 0, parts: int = 0, apart: int = ROUTES_APART,
    ) -> dict[str, Any]:
        """What all requests took, kept or not: sl_report_numbers of slowlens/numbers.h.

        :param parts: how many periods at most (0: all time is one), of whole hours.
        :param apart: bits of what is told apart: 1 route, 2 method, 4 release, 8 host.
        """
        return self._hours.read(
            parts, apart, since_s, until_s, route=route, method=method, release=release, host=host)

    def put_window(self, first_ms: int, last_ms: int, data: bytes) -> None:
        """Stores a slice of windows.py: the trees of requests that ended in that time. :raises StoreError:"""
        self._prepare()
        try:
            self._windows.put(first_ms, last_ms, data)
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}") from None

    def windows(self, from_ms: int, to_ms: int = 0) -> Iterator[Slice]:
        """Slices that ended after ``from_ms``, up to ``to_ms`` (0: no end)."""
        return self._windows.read(from_ms, to_ms)

    # ---- moving on what all requests did ----

    def identity(self) -> bytes | None:
        """None: it has none, and none can be written."""
        if self.refused is not None:
            return read_identity(self.root)
        return made_identity(self.root) if os.path.isdir(self.root) else None

    def counted(self) -> Iterator[Counted]:
        """All hours: its own (if it has a name), and those of others."""
        own = self.identity()
        if own is not None:
            for hour, table in self._hours.totals():
                yield Counted(own, hour, table)
        for one in self._hours.copies():
            yield Counted(*one)

    def put_counted(self, one: Counted) -> bool:
        """See interface.py. :raises StoreError: it is not stored."""
        self._prepare()
        try:
            return one.origin != self.identity() and self._hours.put_copy(one.origin, one.hour, one.table)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.root}: {getattr(error, 'strerror', None) or error}") from None

    def gathered(self) -> Iterator[Gathered]:
        """All trees, ten minutes at a time: its own (if it has a name), and those of others."""
        own = self.identity()
        if own is not None:
            for one in self._windows.whole():
                yield one._replace(origin=own)
        yield from self._windows.copies()

    def put_gathered(self, one: Gathered) -> bool:
        """See interface.py. :raises StoreError: it is not stored."""
        self._prepare()
        try:
            return one.origin != self.identity() and self._windows.put_copy(one)
        except DAMAGED as error:
            raise StoreError(f"{self.root}: {getattr(error, 'strerror', None) or error}") from None

    def contents(self) -> dict[str, int]:
        """``profiles`` that are listed, ``bytes`` on disk, and ``memory`` that listing takes."""
        reader = self._reading()
        profiles = reader.count()
        try:
            total = sum(one.disk for one in segments.segments_in(self.folder))
        except OSError:
            total = 0
        return {"profiles": profiles, "bytes": total, "memory": reader.memory}

    def everything(self) -> Iterator[Stored]:
        pins = self._pins()
        for record, inside, blob in self._reading().everything():
            try:
                known = json.loads(_core.read_meta(blob))
            except ValueError:
                continue
            row = {**known["meta"], "id": record.id, "pinned": record.id in pins}
            if inside:
                row["hot"] = inside.decode("utf-8", "replace")
            else:
                row.update(known.get("summary") or {})
                row["hot"] = row.get("hot_text", "")
            yield Stored(row, blob)

    def records(self, kinds: frozenset[int]) -> Iterator[tuple[int, segments.Segment, bytes, bytes]]:
        """(segment, record, inside, outside) of these kinds, segments in their order."""
        try:
            there = segments.segments_in(self.folder)
        except OSError:
            return
        for listed in there:
            try:
                fd = os.open(listed.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                for record, _ in segments.records_of(fd):
                    if record.kind in kinds and (found := segments.read_record(fd, record.at)) is not None:
                        yield listed.number, *found
            finally:
                os.close(fd)

def open_folder(url: str, options: Options) -> DirectoryStore:
    """The folder of a path or a ``file://`` URL; where others could put something in its place it is only read."""
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    try:
        why = untrusted(path)
    except OSError:
        path, why = os.path.join(os.sep, path), f"the store {path} is to lie in the current folder, which was removed"
    return DirectoryStore(
        path, max_bytes=options.max_bytes, max_age_days=options.max_age_days, worst_per_route=options.worst_per_route,
        refused=None if why is None
        else f"{why}: no profile is written there; set the option store to a folder of your own",
    )
