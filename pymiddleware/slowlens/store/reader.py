"""The reading side of a folder of segments: a table of its rows in memory, made when first asked for.

Needs no right to write. A refresh looks at names and sizes, and reads what is
new: the footers of sealed segments, what was appended to the others.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .. import _core
from ..lock import RLock
from . import segments
from .interface import Page, Query, QueryError, StoreError
from .rows import cursor_of, filters

__all__ = ["OLD", "Reader"]

#: Memory that the table may take. Past it the oldest segments are not listed; the store says so.
ROWS_MAX = 512 << 20
#: Segments that may be growing at once, for "stored since"; those of more processes are told by the newest.
MARKS_MAX = 250
#: The first version's folders are looked through once in so many seconds.
OLD_EVERY = 2.0
#: The number that files of the first version's layout have instead of a segment's: they are oldest.
OLD = 0


class _Known(NamedTuple):
    size: int  # of the file when it was read
    read: int  # up to there
    sealed: bool
    begin: segments.Begin | None
    inode: int


class Reader:
    """One per store and process; any thread."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = os.path.join(root, "segments")
        #: Said by ``problem``: not all profiles are listed.
        self.partial = False
        #: A segment that was there the last time and could not be read, and why; "": there was none.
        self.unread = ""
        #: Profiles that were listed and turned out to be damaged: they are listed no more.
        self.damaged = 0
        self._lock = RLock()
        self._rows = _core.Rows(ROWS_MAX)
        self._known: dict[int, _Known] = {}
        self._deletions = (0, 0)  # inode of the list, and how much of it was read
        self._old: dict[str, str] = {}
        self._old_again = 0.0

    @property
    def memory(self) -> int:
        """Of the table, in bytes."""
        with self._lock:
            return self._rows.bytes

    def count(self) -> int:
        """Profiles that are listed."""
        with self._lock:
            self.refresh()
            return self._rows.count

    # ---- what is new ----

    def refresh(self) -> None:
        """:raises StoreError: the folder cannot be read."""
        with self._lock:
            try:
                there = segments.segments_in(self.folder)
            except FileNotFoundError:
                there = []
            except OSError as error:
                raise StoreError(f"{self.root} cannot be read: {error.strerror}") from None
            gone = self._known.keys() - {one.number for one in there}
            for number in gone:
                self._forget(number)
            self._refresh_old()
            self.unread = ""
            # Newest first: if there is no room for all, it is the oldest that are not listed.
            for listed in reversed(there):
                known = self._known.get(listed.number)
                if known is None or (known.size, known.inode) != (listed.size, listed.inode):
                    self._load(listed, known)
            self._read_deletions()

    def _forget(self, number: int) -> None:
        del self._known[number]
        self._rows.drop_segment(number)

    def _load(self, listed: segments.Listed, known: _Known | None) -> None:
        if known is not None and (known.sealed or listed.size < known.read):
            self._forget(listed.number)  # changed, not appended to
            known = None
        if self.partial and known is None:
            return
        try:
            fd = os.open(listed.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return  # deleted meanwhile
        except OSError as error:
            self.unread = f"{listed.path}: {error.strerror}"
            return
        try:
            size = os.fstat(fd).st_size
            begin = segments.begin_of(fd)
            if known is not None and known.begin != begin:
                self._forget(listed.number)  # another one of that number: the store was removed, and made again
                known = None
            if begin is not None and begin.version > segments.VERSION:
                return  # of a later slowlens
            read, full = segments.load(self._rows, listed.number, fd, known.read if known else 0, size)
            sealed = segments.footer_of(fd, size) is not None
        except OSError as error:
            self.unread = f"{listed.path}: {error.strerror}"
            return
        finally:
            os.close(fd)
        self.partial = self.partial or full
        self._known[listed.number] = _Known(size, read, sealed, begin, listed.inode)

    def _read_deletions(self) -> None:
        """What others deleted in places that were read already."""
        try:
            with open(os.path.join(self.root, "deletions"), "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                at = self._deletions[1] if inode == self._deletions[0] else 0
                file.seek(at)
                data = file.read()
        except OSError:
            return
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            with suppress(ValueError):  # half a line of a full disk stands before the next one
                self._rows.drop(line[-26:].decode("ascii", "replace"))
        self._deletions = (inode, at + whole)

    def _refresh_old(self) -> None:
        """Files of the first version's layout, until they are moved over."""
        from .old import files_of

        now = time.monotonic()
        if now < self._old_again:
            return
        there = dict(files_of(self.root))
        self._old_again = now + (OLD_EVERY if there else 0)
        for profile_id in self._old.keys() - there.keys():
            self._rows.drop_in(profile_id, OLD)
        for profile_id in there.keys() - self._old.keys():
            with suppress(OSError, ValueError):
                with open(there[profile_id], "rb") as file:
                    blob = file.read()
                hot = None if json.loads(_core.read_meta(blob)).get("summary") else (
                    str(json.loads(_core.Profile(blob).summary())["hot_text"]).encode("utf-8", "replace"))
                self._rows.add_blob(OLD, blob, profile_id, hot)
        self._old = there

    # ---- answers ----

    def page(self, query: Query, pins: frozenset[str]) -> Page:
        wanted = filters(query)
        with self._lock:
            self.refresh()
            if query.stored_since is not None:
                wanted["marks"] = _read_mark(query.stored_since)
            mark = self._mark()
            try:
                found = json.loads(self._rows.list(**wanted))
            except ValueError as error:
                raise QueryError(str(error)) from None
        rows: list[dict[str, Any]] = found["rows"]
        for row in rows:
            row["pinned"] = row["id"] in pins
        following = cursor_of(wanted["sort"], rows[-1]) if found["more"] else None
        return Page(rows, following, mark)

    def count_of(self, query: Query) -> int:
        """How many rows pass, on all pages."""
        with self._lock:
            self.refresh()
            return int(json.loads(self._rows.list(**{**filters(query), "limit": 0}))["count"])

    def route_report(self, route: str | None = None) -> bytes:
        """Of all rows, what ``rows.route_stats`` reads."""
        with self._lock:
            self.refresh()
            return self._rows.routes(None if route is None else route.encode("utf-8", "replace"))

    def _mark(self) -> str:
        newest = max(self._known, default=0)
        growing = [(number, known.read) for number, known in sorted(self._known.items()) if not known.sealed]
        numbers = [newest, *(value for pair in growing[-MARKS_MAX:] for value in pair)]
        return base64.urlsafe_b64encode(struct.pack(f"<{len(numbers)}I", *numbers)).decode()

    def find(self, profile_id: str) -> tuple[int, int] | None:
        with self._lock:
            self.refresh()
            return self._rows.find(profile_id)

    def places(self, profile_id: str) -> list[tuple[int, int]]:
        with self._lock:
            self.refresh()
            return self._rows.places(profile_id)

    def drop(self, profile_id: str) -> None:
        with self._lock:
            self._rows.drop(profile_id)

    def get(self, profile_id: str) -> bytes | None:
        with self._lock:
            place = self._rows.find(profile_id)  # the record itself says whether it is still there
        blob = None if place is None else self._read(profile_id, *place)
        for _ in range(3):  # a segment may go, and what is kept of it move on, between finding and reading
            if blob is not None:
                return blob
            before, place = place, self.find(profile_id)
            if place is None:
                return None
            blob = self._read(profile_id, *place)
            if blob is None and place == before and place[0] in self._known:
                with self._lock:
                    self._rows.drop_in(profile_id, place[0])
                    self.damaged += not self._is_erased(*place)
        return blob

    def _is_erased(self, number: int, at: int) -> bool:
        """Deleted by hand, by one that could not say so: the record is whole."""
        with suppress(OSError):
            fd = os.open(os.path.join(self.folder, segments.name_of(number)), os.O_RDONLY | os.O_CLOEXEC)
            try:
                found = segments.read_record(fd, at)
                return found is not None and found[0].kind == segments.ERASED
            finally:
                os.close(fd)
        return True  # it is gone

    def _read(self, profile_id: str, number: int, at: int) -> bytes | None:
        path = self._old.get(profile_id) if number == OLD else None
        try:
            if number == OLD:
                with open(path or "", "rb") as file:
                    return file.read()
            path = os.path.join(self.folder, segments.name_of(number))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            found = segments.read_record(fd, at)
        finally:
            os.close(fd)
        if found is None or found[0].kind not in segments.PROFILES or found[0].id != profile_id:
            return None
        return found[2]

    def everything(self) -> Iterator[tuple[segments.Segment, bytes, bytes]]:
        """(record, inside, blob) of all profiles that are listed, oldest stored first."""
        self.refresh()
        for profile_id in list(self._old):
            blob = self._read(profile_id, OLD, 0)
            if blob is not None and self.find(profile_id) == (OLD, 0):
                yield segments.Segment(segments.PROFILE, profile_id, 0, 0, len(blob)), b"", blob
        for number in sorted(self._known):
            try:
                fd = os.open(os.path.join(self.folder, segments.name_of(number)), os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                for record, _ in segments.records_of(fd):
                    if record.kind not in segments.PROFILES:
                        continue
                    with self._lock:
                        shown = self._rows.find(record.id) == (number, record.at)
                    whole = segments.read_record(fd, record.at) if shown else None
                    if whole is not None:
                        yield whole
            finally:
                os.close(fd)


def _read_mark(mark: str) -> tuple[int, list[tuple[int, int]]]:
    try:
        data = base64.b64decode(mark.encode(), b"-_", validate=True)
    except ValueError:
        data = b""
    if len(data) % 8 != 4:
        raise QueryError("a mark that is none")
    newest, *rest = struct.unpack(f"<{len(data) // 4}I", data)
    return newest, list(zip(rest[::2], rest[1::2], strict=True))
