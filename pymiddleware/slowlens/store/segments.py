"""Segment files: names, records, locks. What they hold is drawn in slowlens/segment.h.

    STORE/segments/0000002a.sls   numbered in the order in which they were begun
    STORE/gc.lock                 held (flock) while segments are begun, sealed, changed or deleted

Whoever appends to a segment holds a lock (flock) on it as long as the process
lives, so a killed writer's is told by its lock, not by its age. Numbers are
given under gc.lock: the order does not depend on anybody's clock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .. import _core
from ..descriptor import kept

__all__ = [
    "BEGIN", "CHECKPOINT", "ERASED", "FOOTER", "HEAD", "MOVED", "NOTE", "NUMBERS", "PROFILE", "PROFILES", "Begin",
    "Listed", "Segment", "Writing", "begin_of", "boot_id", "boottime_ns", "erase", "find", "footer_of", "is_stale",
    "load", "locked", "name_of", "number_of", "read_record", "records_of", "segments_in",
]

BEGIN, PROFILE, MOVED, CHECKPOINT, NUMBERS, FOOTER, ERASED, NOTE = range(1, 9)
PROFILES = frozenset((PROFILE, MOVED, CHECKPOINT))
HEAD = 32
SUFFIX = ".sls"
FOOTER_END = 28
VERSION = 1
WINDOW = 1 << 20
#: A wall clock that moved by more than this against the time since boot has jumped.
JUMP_NS = 3600 * 10**9
#: Eight hexadecimal digits: what comes behind would be listed by nobody.
NUMBER_MAX = 0xFFFFFFFF

#: What some network file systems, and some in user space, answer to flock.
_LOCKLESS = frozenset((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP))

_BEGIN = struct.Struct("<IIqq")  # version, pid, time since boot, wall clock; ns


def name_of(number: int) -> str:
    return f"{number:08x}{SUFFIX}"


def number_of(name: str) -> int | None:
    """None: not the name of a segment."""
    if len(name) != 12 or not name.endswith(SUFFIX):
        return None
    try:
        return int(name[:8], 16)
    except ValueError:
        return None


def boottime_ns() -> int:
    """Time since boot: nobody sets it."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock)


def boot_id() -> bytes:
    """16 bytes that are others after a reboot; zeros: not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)


def is_stale(boottime: int, realtime: int, most_ns: float) -> bool:
    """Whether that was longer ago than ``most_ns``, or under another clock than now's: it has jumped since."""
    now = boottime_ns()
    return now - boottime > most_ns or abs(time.time_ns() - now - (realtime - boottime)) > JUMP_NS


class Listed(NamedTuple):
    """A segment as the folder has it."""

    number: int
    path: str
    size: int
    #: What it takes: the disk counts in blocks.
    disk: int
    inode: int


def segments_in(folder: str) -> list[Listed]:
    """Oldest first. :raises OSError: the folder cannot be read."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            number = number_of(entry.name)
            if number is None:
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # deleted meanwhile
            if stat.S_ISREG(info.st_mode):  # whoever opens a pipe waits for its other end
                found.append(Listed(number, entry.path, info.st_size, max(info.st_size, info.st_blocks * 512),
                                    info.st_ino))
    found.sort()
    return found


@contextmanager
def locked(path: str, wait: bool = True) -> Iterator[None]:
    """Holds a lock between processes; waits for it. :raises OSError: BlockingIOError: another has it (not ``wait``)."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in _LOCKLESS:
                raise
            raise OSError(error.errno, f"its file system has no locks ({error.strerror}), which a store cannot do "
                                       "without: keep it on a disk of this machine") from None
        yield
    finally:
        os.close(fd)


class Begin(NamedTuple):
    """The first record: under which clock the segment is written."""

    version: int
    boot: bytes
    boottime: int
    realtime: int


def begin_of(fd: int) -> Begin | None:
    """None: it has none, or it is damaged."""
    head = os.pread(fd, HEAD + _BEGIN.size, 0)
    try:
        found = _core.records(head)[0]
    except ValueError:
        return None
    if not found or found[0][0] != BEGIN or found[0][3] < _BEGIN.size:
        return None
    version, _, boottime, realtime = _BEGIN.unpack_from(head, HEAD)
    return Begin(version, head[16:HEAD], boottime, realtime)


class Segment(NamedTuple):
    """A record: where it is and what it is."""

    kind: int
    id: str
    at: int
    inside: int
    outside: int

    @property
    def size(self) -> int:
        return HEAD + self.inside + self.outside


def read_record(fd: int, at: int) -> tuple[Segment, bytes, bytes] | None:
    """A record at its place: (what it is, inside, outside). None: there is none, or not all of it."""
    data = os.pread(fd, 1 << 14, at)
    while True:
        found, _, damaged = _core.records(data)
        if found or damaged or len(data) < HEAD:
            break
        more = min(8 + int.from_bytes(data[4:8], "little"), os.fstat(fd).st_size - at) - len(data)
        if more <= 0:
            break
        rest = os.pread(fd, more, at + len(data))
        if not rest:
            break
        data += rest
    if not found:
        return None
    kind, record_id, _, inside, outside = found[0]
    record = Segment(kind, record_id, at, inside, outside)
    missing = record.size - len(data)
    if missing > 0:
        data += os.pread(fd, missing, at + len(data))
    body = HEAD + inside
    if len(data) < record.size:
        return None
    return record, data[HEAD:body], data[body:body + outside]


def footer_of(fd: int, size: int) -> tuple[int, int, int, int] | None:
    """(oldest ms, newest ms, profiles, size of the footer) of a sealed segment."""
    if size < FOOTER_END:
        return None
    return _core.footer_end(os.pread(fd, FOOTER_END, size - FOOTER_END))


def records_of(fd: int, at: int = 0, end: int | None = None) -> Iterator[tuple[Segment, bytes]]:
    """(record, its head and inside) from ``at`` on, as far as they are whole; damaged places are passed over."""
    size = os.fstat(fd).st_size if end is None else end
    window = WINDOW
    while at < size:
        data = os.pread(fd, min(window, size - at), at)
        if not data:
            return
        found, used, damaged = _core.records(data)
        for kind, record_id, offset, inside, outside in found:
            record = Segment(kind, record_id, at + offset, inside, outside)
            if record.at + record.size > size:
                return  # being written, or cut off for ever
            yield record, data[offset:offset + HEAD + inside]
        if damaged:
            following = _next_record(fd, at + used + 1, size)
            if following is None:
                return
            at = following
        elif used == 0:
            if at + len(data) >= size:
                following = _next_record(fd, at + 1, size)  # cut off; or its length lies, and others are behind it
                if following is None:
                    return
                at = following
            else:
                window *= 4  # one record is longer than that
        else:
            at += used


def find(fd: int, at: int, kind: int) -> tuple[list[Segment], int]:
    """Records of one kind from ``at`` on, and up to where records are whole: ``records_of`` without the others."""
    size = os.fstat(fd).st_size
    wanted: list[Segment] = []
    window = WINDOW
    while at < size:
        data = os.pread(fd, min(window, size - at), at)
        found, used, damaged = _core.records(data, kind)
        for one, record_id, offset, inside, outside in found:
            record = Segment(one, record_id, at + offset, inside, outside)
            if record.at + record.size > size:
                return wanted, record.at  # being written, or cut off for ever
            if one == kind:
                wanted.append(record)
        if damaged:
            following = _next_record(fd, at + used + 1, size)
            if following is None:
                return wanted, at + used
            at = following
        elif used == 0:
            if not data or at + len(data) >= size:
                following = _next_record(fd, at + 1, size) if data else None
                if following is None:
                    return wanted, at
                at = following
            else:
                window *= 4  # one record is longer than that
        else:
            at += used
    return wanted, min(at, size)


def _next_record(fd: int, at: int, size: int) -> int | None:
    """The next place where a record begins, past one that is damaged. Not behind ``size``: the file may have grown
    since, and what was half a record then is a whole one now.
    """
    while at < size:
        data = os.pread(fd, min(WINDOW, size - at), at)
        place = data.find(b"*M\x18", 1)
        while place >= 0:
            start = place - 1
            if read_record(fd, at + start) is not None:
                return at + start
            place = data.find(b"*M\x18", place + 1)
        if len(data) < 4:
            return None
        at += len(data) - 3
    return None


def load(rows: _core.Rows, number: int, fd: int, at: int, size: int) -> tuple[int, bool]:
    """Adds a segment's profiles from ``at`` on: (where to go on later, whether the table is full)."""
    if at == 0 and (end := footer_of(fd, size)) is not None:
        record = read_record(fd, size - end[3])
        if record is not None and record[0].kind == FOOTER:
            state = rows.add_footer(number, record[1])
            if state != 1:
                return size, state == 2
            rows.drop_segment(number)
    window = WINDOW
    while at < size:
        data = os.pread(fd, min(window, size - at), at)
        used, state = rows.add_records(number, at, data)
        at += used
        if state == 2:
            return at, True
        if state == 1:
            following = _next_record(fd, at + 1, size)
            if following is None:
                return at, False
            at = following
        elif used == 0:
            if at + len(data) >= size or not data:
                following = _next_record(fd, at + 1, size) if data else None
                if following is None:
                    return at, False
                at = following
            else:
                window *= 4
    return at, False


def erase(path: str, record: Segment) -> None:
    """Overwrites a record for good. :raises OSError:"""
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)  # not the one that appends: its writes go to the end
    try:
        data = _core.record_erase(record.size) + bytes(record.size - HEAD)
        os.pwrite(fd, data, record.at)
    finally:
        os.close(fd)


class Writing:
    """A segment that this process appends to. Its lock lasts as long as the file is open."""

    def __init__(self, fd: int, number: int, path: str, size: int, boottime: int, realtime: int) -> None:
        self.fd = fd
        self.number = number
        self.path = path
        self.size = size
        #: When it was begun, by both clocks.
        self._boottime, self._realtime = boottime, realtime
        self.pid = os.getpid()
        info = os.fstat(fd)
        #: Where it is and what it is, as ``file_is_at`` asks.
        self._file = (os.fsencode(path), info.st_dev, info.st_ino)

    @classmethod
    def create(cls, folder: str, number: int) -> Writing:
        """A new one, with its first record. :raises OSError:"""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            if number > NUMBER_MAX:
                raise OSError(errno.EOVERFLOW, f"no number is left for a segment behind {name_of(NUMBER_MAX)}")
            path = os.path.join(folder, name_of(number))
            try:
                fd = kept(os.open(path, flags, 0o600))
                break
            except FileExistsError:  # no file, so not listed
                number += 1
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            boottime, realtime = boottime_ns(), time.time_ns()
            realtime = max(-(1 << 63), min(realtime, (1 << 63) - 1))
            segment = cls(fd, number, path, 0, boottime, realtime)
            segment.append(_core.record_head(BEGIN, boot_id(), _BEGIN.pack(VERSION, os.getpid(), boottime, realtime)))
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                os.unlink(path)
            raise
        return segment

    @classmethod
    def adopt(cls, listed: Listed, most: int, most_ns: float) -> Writing | None:
        """Goes on where a process that is gone left off: many short ones make few files.

        None: it is in use, sealed, larger than ``most``, begun longer ago than ``most_ns`` or under another clock, or
        damaged.
        """
        try:
            fd = kept(os.open(listed.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW))
        except OSError:
            return None
        segment = None
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return None
            size = os.fstat(fd).st_size
            begin = begin_of(fd)
            if begin is None or begin.version != VERSION or size > most or footer_of(fd, size) is not None:
                return None
            if begin.boot != boot_id() or is_stale(begin.boottime, begin.realtime, most_ns):
                return None
            whole = mend(fd, size)
            if whole is None:
                return None
            segment = cls(fd, listed.number, listed.path, whole, begin.boottime, begin.realtime)
            return segment
        finally:
            if segment is None:
                os.close(fd)

    def append(self, *parts: bytes) -> int:
        """Writes one record by one system call; returns its place. :raises OSError: it is not there."""
        if not self.is_open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.append_now(*parts)

    def append_now(self, *parts: bytes) -> int:
        """``append`` by one who has just asked whether it is where it was (``vanished``)."""
        size = sum(map(len, parts))
        at = self.size
        written = os.writev(self.fd, parts)
        if written != size:
            # What went in goes out again; if that cannot be, it is a torn tail, as after a kill.
            os.ftruncate(self.fd, at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size = at + size
        return at

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is still the file's. The application may have closed it with all that it does not know
        (as daemons do), and have a file of its own under the number.
        """
        return bool(_core.file_is_at(self.fd, *self._file) & 1)

    @property
    def vanished(self) -> bool:
        """Whether the file is no longer where it was: deleted, its folder moved, its disk gone, its descriptor closed.
        What is written to it would be lost.
        """
        return _core.file_is_at(self.fd, *self._file) != 3

    def is_stale(self, most_ns: float) -> bool:
        """Whether it was begun longer ago, or under another clock: the wall clock has jumped since."""
        return is_stale(self._boottime, self._realtime, most_ns)

    def close(self) -> None:
        ours = self.is_open
        fd, self.fd = self.fd, -1
        if ours:
            os.close(fd)


def mend(fd: int, size: int) -> int | None:
    """Cuts off a record that is not whole, at the end. Returns the size then; None: damaged, leave it."""
    end = 0
    for record, _ in records_of(fd, 0, size):
        if record.at != end:
            return None
        end = record.at + record.size
    if end == 0:
        return None
    if end < size:
        os.ftruncate(fd, end)
    return end
