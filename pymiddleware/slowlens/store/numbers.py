"""Numbers of all requests in a folder store: a record a minute and process, a file an hour for all.

    STORE/segments/*.sls     records of kind NUMBERS, one process's minute each, among its profiles
    STORE/numbers/HOUR.sln   all routes of that hour: an encoded table (slowlens/numbers.h)
    STORE/numbers/HOUR-ORIGIN.sln   the same as another store counted it (``slowlens copy``; its name, see identity.py)
    STORE/numbers/read.json  how far each segment was read; may be deleted at any time
    STORE/numbers/lock       whoever adds records to hours holds it

A record's inside is its hour (u64, hours since 1970); its outside is the
table, one zstd frame; its id names what it was counted in (zeros: nothing), so
that what a process wrote down before it died is not stored again. An hour's
file holds, besides the sums, up to where each segment was added to it, and is
replaced as a whole: a record is in it with its mark, or not at all, whenever
who adds is killed. A segment is deleted only when its records were added.

What was copied from another store is never added to anything: its hour is
replaced by a later copy of that hour, which has more. So it counts once,
however often, in how many pieces and on which way it comes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .. import _core
from ..request import id_text
from . import segments
from .derived import read_json
from .private import make_folders

__all__ = ["HOUR", "Hours", "counted_in", "period_of", "split"]

HOUR = 3600
SUFFIX = ".sln"
#: Hours are kept for longer than profiles, yet not for ever.
KEPT_HOURS = 400 * 24
#: A segment's places fit into so much.
PLACE_MAX = (1 << 32) - 1
#: Digits of an hour: the year 13,000 has nine.
DIGITS_MAX = 8
#: The core's longest period (SL_NUMBERS_PERIOD_MAX).
PERIOD_MAX = 366 * 86400

_INSIDE = struct.Struct("<Q")
_COPIED = re.compile(r"([0-9]{1,8})-([0-9a-f]{32})\.sln\Z", re.ASCII)


def split(first_s: int, last_s: int, table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(inside, outside) of the records that a table of these seconds becomes: one an hour."""
    first, last = first_s // HOUR, last_s // HOUR
    if first == last:
        yield _INSIDE.pack(first), table
        return
    spans = [(first, last + 1)]
    while spans:
        begin, end = spans.pop()
        part = _core.Numbers(60)
        part.merge(table, from_s=begin * HOUR, to_s=end * HOUR)
        if not part.count:
            continue
        if end - begin == 1:
            yield _INSIDE.pack(begin), part.encode()
            continue
        # By halves: a clock that was set from 1970 to now has half a million hours in between, all but two empty.
        middle = (begin + end) // 2
        spans += [(middle, end), (begin, middle)]


def period_of(hours: int, parts: int) -> int:
    """Seconds of one of so many periods at most, whole hours each; 0: all time is one. A clock that was at 1970 for a
    minute has decades in between: then there are more.
    """
    return 0 if parts == 0 else min(-(-hours // parts) * HOUR, PERIOD_MAX)


def counted_in(table: bytes) -> int:
    """Requests in it. :raises CorruptError:"""
    read = _core.Numbers(HOUR)
    read.merge(table)
    return read.count


class Hours:
    """The hours of one store."""

    def __init__(self, root: str, folder: str) -> None:
        self.folder = os.path.join(root, "numbers")
        self._segments = folder

    # ---- adding ----

    @contextmanager
    def _locked(self, wait: bool) -> Iterator[bool]:
        """False: another process is at it. :raises OSError: this one may not write here."""
        if os.stat(os.path.dirname(self.folder)).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "another user's store", self.folder)
        make_folders(self.folder)
        fd = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(fd)

    def add_up(self) -> None:
        """Adds what segments have to the hours. :raises OSError:"""
        with self._locked(False) as mine:
            if mine:
                marks = self._marks()
                hours, marks = self._added(marks, None)
                self._write(hours, marks)

    def before_delete(self, number: int, fd: int) -> None:
        """The segment is to be deleted: what it has is added first. :raises OSError: then it stays."""
        with self._locked(True):
            marks = self._marks()
            hours, more = self._added(marks, (number, fd))
            self._write(hours, {**marks, **more})

    def named(self, source: bytes) -> set[bytes]:
        """Insides of the records of that name that segments hold. Reads all of them: seldom asked."""
        found = set()
        name = id_text(source)
        for _, fd in self._opened():
            for record in segments.find(fd, 0, segments.NUMBERS)[0]:
                if record.id == name and (whole := segments.read_record(fd, record.at)) is not None:
                    found.add(whole[1])
        return found

    def _marks(self) -> dict[str, int]:
        found = read_json(os.path.join(self.folder, "read.json"))
        if not isinstance(found, dict):
            return {}
        return {name: at for name, at in found.items() if type(at) is int and 0 <= at <= PLACE_MAX}

    def _write(self, hours: dict[int, bytes], marks: dict[str, int]) -> None:
        for hour, data in hours.items():
            self._replace(f"{hour}{SUFFIX}", data)
        self._replace("read.json", json.dumps(marks).encode())  # last: what it leaves out is read again

    def _replace(self, name: str, data: bytes) -> None:
        making = os.path.join(self.folder, f".{name}.tmp")
        fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(making, os.path.join(self.folder, name))

    def _added(self, marks: dict[str, int], one: tuple[int, int] | None) -> tuple[dict[int, bytes], dict[str, int]]:
        """Hours as they become by what was not read yet, of all segments or of one; and how far that was read."""
        records: dict[int, list[tuple[bytes, int, bytes]]] = {}
        read: dict[str, int] = {}
        for number, fd in self._opened() if one is None else iter((one,)):
            begin = segments.begin_of(fd)
            if begin is None:
                continue
            source = hashlib.blake2b(
                repr((number, begin.boot, begin.boottime, begin.realtime)).encode(), digest_size=16).digest()
            there, at = segments.find(fd, marks.get(source.hex(), 0), segments.NUMBERS)
            for record in there:
                if (found := segments.read_record(fd, record.at)) is None:
                    continue
                _, inside, outside = found
                if len(inside) == _INSIDE.size:
                    records.setdefault(_INSIDE.unpack(inside)[0], []).append((source, record.at, outside))
            read[source.hex()] = at
        hours = {}
        for hour, found_here in records.items():
            table = self._table(hour)
            for source, at, data in found_here:
                with suppress(_core.CorruptError):
                    if table.consume(source, at):
                        table.merge(data)
            hours[hour] = table.encode()
        return hours, read

    def _opened(self) -> Iterator[tuple[int, int]]:
        for listed in segments.segments_in(self._segments):
            try:
                fd = os.open(listed.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                yield listed.number, fd
            finally:
                os.close(fd)

    def _table(self, hour: int) -> _core.Numbers:
        table = _core.Numbers(HOUR)
        try:
            table.load(self._file(f"{hour}{SUFFIX}"))
        except (OSError, _core.CorruptError):
            return _core.Numbers(HOUR)  # it begins, or cannot be read: made anew of what is still there
        return table

    # ---- what other stores counted ----

    def totals(self) -> Iterator[tuple[int, bytes]]:
        """(hour, its table) of what was counted here, oldest first, without up to where segments were added."""
        pending = self._pending()
        for hour in sorted({*self.hours(), *pending}):
            table = _core.Numbers(HOUR)
            with suppress(OSError, _core.CorruptError):
                table.merge(pending[hour] if hour in pending else self._file(f"{hour}{SUFFIX}"))
                yield hour, table.encode()

    def copies(self) -> Iterator[tuple[bytes, int, bytes]]:
        """(origin, hour, table) of what was copied from elsewhere."""
        for hour, name in self._copied():
            with suppress(OSError):
                yield bytes.fromhex(name[-len(SUFFIX) - 32:-len(SUFFIX)]), hour, self._file(name)

    def put_copy(self, origin: bytes, hour: int, table: bytes) -> bool:
        """Stores what another store counted in an hour; False: no more than is there. :raises OSError: :raises
        CorruptError:
        """
        name = f"{hour}-{origin.hex()}{SUFFIX}"
        count = counted_in(table)
        with self._locked(True):
            with suppress(OSError, _core.CorruptError):
                if counted_in(self._file(name)) >= count:
                    return False
            self._replace(name, table)
        return True

    def _copied(self) -> list[tuple[int, str]]:
        """(hour, name) of what was copied from elsewhere, oldest first."""
        return sorted((int(found[1]), found[0]) for name in self._names() if (found := _COPIED.match(name)))

    def _pending(self) -> dict[int, bytes]:
        """Adds what segments have to the hours; where this process may not, those hours as they would be."""
        try:
            self.add_up()
        except OSError:
            with suppress(OSError):
                return self._added(self._marks(), None)[0]
        return {}

    def _file(self, name: str) -> bytes:
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError:
            return []

    # ---- reading ----

    def hours(self) -> list[int]:
        """Hours that have a file of what was counted here, oldest first."""
        names = self._names()
        hours = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
        return sorted(int(hour) for hour in hours if hour.isascii() and hour.isdecimal() and len(hour) <= DIGITS_MAX)

    def read(self, parts: int, apart: int, from_s: int = 0, to_s: int = 0,
             **which: str | None) -> dict[str, Any]:
        """The report of what was counted, see sl_report_numbers; also where this process may not write.

        :param parts: how many periods at most; 0: all time is one.
        :param apart: bits of the fields to tell apart: 1 route, 2 method, 4 release, 8 host.
        :param which: ``route``, ``method``, ``release``, ``host``: only these.
        """
        pending = self._pending()
        tables = sorted([*((hour, f"{hour}{SUFFIX}") for hour in {*self.hours(), *pending}), *self._copied()])
        tables = [(hour, name) for hour, name in tables
                  if (hour + 1) * HOUR > from_s and (not to_s or hour * HOUR < to_s)]
        span = tables[-1][0] - tables[0][0] + 1 if tables else 1
        table = _core.Numbers(period_of(span, parts), apart=apart)
        for hour, name in tables:
            with suppress(OSError, _core.CorruptError):
                own = pending.get(hour) if "-" not in name else None
                table.merge(self._file(name) if own is None else own, from_s=from_s, to_s=to_s, **which)
        report: dict[str, Any] = json.loads(table.report())
        return report

    # ---- retention ----

    def trim(self, max_bytes: int) -> None:
        """Deletes the oldest hours: those of more than a year ago, and what is too much."""
        total = 0
        newest = int(time.time()) // HOUR
        there = sorted([*((hour, f"{hour}{SUFFIX}") for hour in self.hours()), *self._copied()])
        for hour, name in reversed(there):
            path = os.path.join(self.folder, name)
            with suppress(OSError):
                total += os.stat(path).st_blocks * 512
                if total > max_bytes or hour < newest - KEPT_HOURS:
                    os.unlink(path)
