"""What runs now, on all workers of a store: reading boards of any process.

A row: id, started (Unix ns), age_ns, method, path, route, mode, state ("runs"
in a thread, or "waits" for its event loop or between two chunks), state_ns
(since when), tid, pid, host, where ("view views.py:12": the innermost function
of the project that the sampler saw; "": not sampled, or not seen yet), seen_ns
(how long ago; None), killed (its process is dead), stored (there is a checkpoint of it).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import _core
from .board import SUFFIX, boot_id, candidates, is_own, is_running, live_folder, namespace, own_boards, private_folder

__all__ = ["Found", "boards", "running", "take_dead"]

#: A process of another pid namespace counts as dead when its lock is free and it was silent for so long.
SILENT_NS = 10_000_000_000
#: What a checkpoint's file is called: ID.partial, in the store's ``live`` folder.
PARTIAL = ".partial"
BOARD_BYTES_MAX = 4096 + 65536 * 384 + (64 << 20)


class Found(NamedTuple):
    """A board of some process."""

    path: str
    #: As ``_core.board_read`` gives it.
    board: dict[str, Any]
    dead: bool


def folders(store: str) -> list[str]:
    """Where boards of this store are looked for."""
    live = live_folder(store)
    try:
        uid = os.stat(live).st_uid
    except OSError:
        uid = os.geteuid()
    found = [folder for _, folder in candidates(store, uid)]
    try:
        with open(os.path.join(live, "boards"), errors="surrogateescape", encoding="utf-8") as file:
            for line in file.read(65536).splitlines():
                host, _, folder = line.partition(" ")
                if host == socket.gethostname() and folder.startswith("/"):
                    found.append(folder)
    except OSError:
        pass
    found.append(live)
    return [folder for folder in dict.fromkeys(found) if private_folder(folder, uid)]


def _paths(store: str) -> Iterator[str]:
    for folder in folders(store):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith(SUFFIX):
                yield os.path.join(folder, name)


def _open(path: str, write: bool) -> tuple[int, mmap.mmap] | None:
    """A board that is not of this process, mapped. None: it is gone, or none."""
    try:
        if is_own(os.lstat(path)):
            return None  # to open and close it would give its lock away
        fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or not 4096 < info.st_size <= BOARD_BYTES_MAX:
            raise ValueError("no board")
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        return fd, mmap.mmap(fd, info.st_size, mmap.MAP_SHARED, protection)
    except (OSError, ValueError):
        os.close(fd)
        return None


def _locked_by_other(fd: int) -> bool:
    """Whether a process holds the board's lock. A reader may only ask."""
    # struct flock of Linux, 64 bit: l_type, l_whence, l_start, l_len, l_pid.
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, asked)
    return bool(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)


def _alive(board: dict[str, Any]) -> bool:
    """Whether the owner lives although its lock is free: lost, or not kept by this file system."""
    if board["boot"] != boot_id():
        return False
    if board["namespaces"] == namespace():
        return is_running(board["pid"], board["pid_started"])
    return bool(time.monotonic_ns() - board["beat_mono"] < SILENT_NS)


def boards(store: str) -> list[Found]:
    """All boards of this machine, this process's own among them."""
    found = [Found(path, _core.board_read(memory), False) for path, memory in own_boards(store)]
    for path in _paths(store):
        opened = _open(path, False)
        if opened is None:
            continue
        fd, memory = opened
        try:
            board = _core.board_read(memory)
            dead = not _locked_by_other(fd) and not _alive(board)
            if dead:
                board = _core.board_read(memory, True)
            if board["boot"] == boot_id() or dead:
                found.append(Found(path, board, dead))
        except (OSError, ValueError):
            pass
        finally:
            memory.close()
            os.close(fd)
    return found


def take_dead(path: str) -> tuple[int, mmap.mmap, dict[str, Any]] | None:
    """A dead process's board, locked by the caller from now on; None: it lives, or another one has it.

    The caller closes memory and descriptor; that frees the lock.
    """
    opened = _open(path, True)
    if opened is None:
        return None
    fd, memory = opened
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there, here = os.lstat(path), os.fstat(fd)
        board = _core.board_read(memory, True)
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) and not _alive(board):
            return fd, memory, board
    except (OSError, ValueError):
        pass
    memory.close()
    os.close(fd)
    return None


def where(request: dict[str, Any]) -> str:
    """``view views.py:12``: where it was seen last; "": it was not."""
    if not request["looks"]:
        return ""
    file = request["file"].rsplit("/", 1)[-1]
    return f"{request['name']} {file}:{request['line']}" if file else str(request["name"])


def running(store: str) -> list[dict[str, Any]]:
    """Rows of what runs now, longest first; see the module."""
    rows = []
    host = socket.gethostname()
    for found in boards(store):
        now = time.monotonic_ns()
        for request in found.board["requests"]:
            rows.append({
                "id": request["id"], "started": request["started"], "age_ns": max(0, now - request["started_mono"]),
                "method": request["method"], "path": request["path"], "route": request["route"],
                "mode": request["mode"], "state": request["state"],
                "state_ns": max(0, now - request["changed_mono"]), "tid": request["tid"],
                "pid": found.board["pid"], "host": host, "where": where(request),
                "seen_ns": max(0, now - request["seen_mono"]) if request["looks"] else None, "killed": found.dead,
                "stored": os.path.exists(os.path.join(live_folder(store), request["id"] + PARTIAL)),
            })
    rows.sort(key=lambda row: -row["age_ns"])
    return rows
