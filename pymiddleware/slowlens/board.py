"""This process's board: which requests run now, in memory that outlives a kill.

    TMPFS/slowlens-UID/STORE/PID-TOKEN.board     one a process and store, 0600; behind the board a journal of
                                                 what was counted and is not stored yet (``slowlens/journal.h``)
    STORE/live/boards                            names the folders that hold boards

A board is a mapped file (``slowlens/board.h``), on a tmpfs where there is one:
on a disk that is busy a plain store into mapped memory may wait for it. Its
owner holds a POSIX lock on it for as long as it lives. That kind of lock is
not inherited by a forked child, which would keep a dead parent's board alive;
but it is lost when the process closes any other descriptor of the file, so a
process never opens its own board by name.

A forked child lets go of the parent's board and makes one of its own at its
first request.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import mmap
import os
import secrets
import socket
import stat
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from . import _core, engine
from .descriptor import kept, standard_streams
from .lock import RLock
from .store.private import make_folders

__all__ = [
    "SUFFIX", "Board", "Owner", "board_of", "boot_id", "candidates", "is_own", "is_running", "live_folder", "namespace",
    "own_boards", "owner_of", "private_folder", "remove",
]

SUFFIX = ".board"
SLOTS = 1024
#: Two halves: some 3,000 requests each, between two times that numbers are stored.
JOURNAL = 1024 + 2 * (256 << 10)
SIZE = 4096 + SLOTS * 384 + JOURNAL

#: Where mapped memory is safe: elsewhere a full disk is a SIGBUS at the first store.
_FILE_SYSTEMS = ("tmpfs", "ramfs", "ext4", "ext3", "xfs", "overlay")

_own: dict[tuple[int, int], int] = {}  # (device, inode) of the boards of this process -> its pid
#: By store: several recorders of a process share one, and it goes with the last of them.
_shared: weakref.WeakValueDictionary[str, Board] = weakref.WeakValueDictionary()


def board_of(store: str) -> Board:
    """This process's board for the store."""
    key = store if "://" in store else os.path.realpath(store)
    found = _shared.get(key)
    if found is None:
        found = _shared.setdefault(key, Board(store, live_folder(store)))
    return found


def own_boards(store: str) -> list[tuple[str, mmap.mmap]]:
    """(path, memory) of this process's boards for the store: one, or none."""
    found = _shared.get(store if "://" in store else os.path.realpath(store))
    memory = None if found is None else found.memory()
    return [] if found is None or memory is None else [(found.path, memory)]


class Owner(NamedTuple):
    """Which process it is, so that no later one of the same number is taken for it."""

    pid: int
    started: int  # field 22 of /proc/PID/stat; 0: not known
    boot: bytes
    namespaces: int  # inode of its pid namespace


def _started(pid: int) -> tuple[int, str]:
    """When the process began, in ticks since the machine did, and its state; (0, ""): there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read(2048)
    except OSError:
        return 0, ""
    fields = text[text.rfind(b")") + 2:].split()
    return (int(fields[19]), fields[0].decode()) if len(fields) > 19 else (0, "")


def is_running(pid: int, started: int) -> bool:
    """Whether that very process runs: a zombie does not."""
    now, state = _started(pid)
    return now != 0 and now == started and state not in ("Z", "X")


@lru_cache(maxsize=1)
def boot_id() -> bytes:
    """Which start of the machine this is, 16 bytes."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def namespace() -> int:
    """Which pid namespace this process is in; 0: not known."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def owner_of() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(pid, _started(pid)[0], boot_id(), namespace())


def is_own(info: os.stat_result) -> bool:
    """Whether the file is a board of this very process: it must not be opened."""
    return _own.get((info.st_dev, info.st_ino)) == os.getpid()


def _file_system(path: str) -> str:
    """The kind of file system that holds ``path``; "": not known."""
    path = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields, _, rest = line.partition(" - ")
                point = fields.split()[4].encode().decode("unicode_escape")
                inside = point == "/" or path == point or path.startswith(point + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, rest.split()[0]
    except (OSError, IndexError):
        return ""
    return kind


def private_folder(path: str, uid: int) -> bool:
    """Whether ``path`` is a real folder that only ``uid`` may write to."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid and not info.st_mode & 0o022


def live_folder(store: str) -> str:
    """Where what is known of running requests lies on disk: of a folder, inside it."""
    if "://" in store:
        from .options import default_store

        return os.path.join(default_store() + ".live", store_key(store))
    return os.path.join(os.path.abspath(store), "live")


def store_key(store: str) -> str:
    """The folder name that boards of this store have in common."""
    place = store if "://" in store else os.path.realpath(store)
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:16]


def candidates(store: str, uid: int) -> Iterator[tuple[str, str]]:
    """(outer folder, folder of boards) where the boards of ``store`` may be, best first."""
    key = store_key(store)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and uid == os.geteuid():
        yield runtime, os.path.join(runtime, "slowlens", key)
    yield "/dev/shm", f"/dev/shm/slowlens-{uid}/{key}"


#: Those of this process; hooks are registered once, however many come and go.
_boards: weakref.WeakSet[Board] = weakref.WeakSet()
_hooked = False


def _watch(board: Board) -> None:
    global _hooked
    _boards.add(board)
    if not _hooked:
        _hooked = True
        engine.on_fork(_forget_all)
        atexit.register(_close_all)


def _forget_all() -> None:
    for board in list(_boards):
        board._forget()


def _close_all() -> None:
    for board in list(_boards):
        board.close()


class Board:
    """The board of this process for one store; made by the first request.

    Never raises into a request: without a board (``why_not`` says why) requests
    run as ever, and are not seen by others.
    """

    def __init__(self, store: str, folder: str) -> None:
        #: What the store is called, and where its own ``live`` folder is.
        self.store = store
        self._folder = folder
        self._lock = RLock()
        self._reset()
        _watch(self)

    def _reset(self) -> None:
        self.core: _core.Board | None = None
        self.path = ""
        self.why_not = ""
        self.tried = False
        self._inside = False  # of what follows, while a finalizer, a handler of a signal comes back into it
        self._fd = -1
        self._file: tuple[int, int] | None = None
        self._memory: mmap.mmap | None = None

    def open(self) -> None:
        """Once a process: memory on a tmpfs, which no disk can delay. Idempotent."""
        with self._lock:
            if self.tried or self._inside:
                return
            self._inside = True
            uid = os.geteuid()
            try:
                for outer, folder in candidates(self.store, uid):
                    if _file_system(outer) in ("tmpfs", "ramfs") and self._try(outer, folder, uid):
                        return
            finally:
                self._inside = False
                self.tried = True  # last: requests that begin meanwhile wait for it

    def announce(self) -> None:
        """Names the folder in the store, or makes the board there. By the writer: it may wait for a disk."""
        with self._lock:
            if not self.tried or not self._folder or self._inside:
                return
            self._inside = True
            try:
                self._announce()
            finally:
                self._inside = False

    def _announce(self) -> None:
        if self.core is not None:
            self._name_folder(os.path.dirname(self.path))
            return
        try:
            make_folders(self._folder)
        except OSError as error:
            self.why_not = f"{self._folder}: {error.strerror}"
            return
        kind = _file_system(self._folder)
        if kind in _FILE_SYSTEMS:
            self._try(self._folder, self._folder, os.geteuid())
        else:
            self.why_not = f"{self._folder} is on {kind or 'an unknown file system'}: not safe to map"

    def _name_folder(self, folder: str) -> None:
        try:
            make_folders(self._folder)
            names = os.path.join(self._folder, "boards")
            line = f"{socket.gethostname()} {folder}\n"
            fd = os.open(names, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            with open(fd, "r+", encoding="utf-8") as file:
                if line not in file.read(65536):
                    file.write(line)
        except OSError:
            pass  # a reader of this user finds the folder without

    def _try(self, outer: str, folder: str, uid: int) -> bool:
        """Whether the board could be made there; else ``why_not``."""
        try:
            if folder != outer:
                for one in (os.path.dirname(folder), folder):
                    try:
                        os.mkdir(one, 0o700)
                    except FileExistsError:
                        pass
                    if not private_folder(one, uid):
                        self.why_not = f"{one} is not a folder of this user alone"
                        return False
            try:
                self._make(folder)
            except FileNotFoundError:  # the last board of another process was just removed, folder and all
                os.mkdir(folder, 0o700)
                self._make(folder)
            return True
        except (OSError, ValueError, RuntimeError) as error:
            self.why_not = f"{folder}: {error}"
            return False

    def _make(self, folder: str) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        path, making = os.path.join(folder, name + SUFFIX), os.path.join(folder, f".{name}.tmp")
        fd = kept(os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(fd, 0, SIZE)  # a full disk says so now, not by a signal later
            info = os.fstat(fd)
            memory = _map(fd)
            who = owner_of()
            core = _core.Board(memory, secrets.token_bytes(8), who.pid, who.started, who.boot, who.namespaces, JOURNAL)
            _own[info.st_dev, info.st_ino] = who.pid
            os.rename(making, path)
        except BaseException:
            os.close(fd)
            os.unlink(making)
            raise
        self._fd, self._memory, self.core, self.path = fd, memory, core, path
        self._file = info.st_dev, info.st_ino

    def info(self) -> dict[str, Any]:
        """Where it is, and how many requests found no room; or why there is none."""
        if self._memory is None or self.core is None:
            return {"path": None, "why_not": self.why_not or None, "missed": 0}
        return {"path": self.path, "why_not": None, "missed": _core.board_read(self._memory)["missed"]}

    def memory(self) -> mmap.mmap | None:
        """For reading; None: there is no board."""
        return self._memory if self.core is not None else None

    def _forget(self) -> None:
        """In a forked child: the board is the parent's."""
        fd, file, memory, core = self._fd, self._file, self._memory, self.core
        self._lock = RLock()
        self._reset()
        if core is not None and memory is not None:
            core.close()
            if file is not None:
                _own.pop(file, None)  # the number may be another one's soon
            ours = False
            with suppress(OSError):
                info = os.fstat(fd)
                ours = (info.st_dev, info.st_ino) == file
            if ours:
                os.close(fd)
            if ours or _UNTRACKED:
                memory.close()
            else:  # the application has closed what it does not know: the number that memory keeps is another file's
                _left.append(memory)

    def __del__(self) -> None:
        """The last app that used it is gone, and nothing of it runs."""
        try:
            self.close()
            self._forget()
        except Exception:
            pass  # half made, or the interpreter is ending

    def close(self) -> None:
        """The process ends. What still runs then, or was counted and is not stored, stays for whoever looks next."""
        if self.core is None or self._memory is None or not self.path:
            return
        try:
            if not _core.board_read(self._memory)["requests"] and not _core.board_numbers(self._memory):
                remove(self.path)
        except (OSError, ValueError):
            pass
        self.path = ""


#: Mapped memory keeps, and closes, a number of its own where it cannot be told not to.
_UNTRACKED = sys.version_info >= (3, 13)
_left: list[mmap.mmap] = []


def _map(fd: int) -> mmap.mmap:
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, SIZE, flags, trackfd=False)
    with standard_streams():  # it keeps a descriptor of its own
        return mmap.mmap(fd, SIZE, flags)


def remove(path: str) -> None:
    """Removes a board, and its folder with the last one. :raises OSError: it is still there."""
    os.unlink(path)
    try:
        if os.path.basename(os.path.dirname(path)) != "live":
            os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # there are others
