"""Requests whose process died: each becomes a profile, once.

A dead process leaves its board (``live``) and maybe a checkpoint of a request
that ran for seconds. Whoever looks next (a worker's writer, a viewer, the
command line) takes the board's lock, stores what ran there and removes it.
Two finders cannot have one lock; one that dies on the way leaves a board
without the requests that are stored already. A request has one id, from its
beginning on: what is stored twice is one profile.

What the process had counted (numbers of all requests) and not stored yet is on
the board, too, and is stored with them.

A killed profile's flags say ``killed``, its ``kept`` too; ``as_of_ns`` is how
long it had run when its tree was taken (absent: there is no tree), and
``last_word`` what the board said.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from . import _core, live
from .board import live_folder, remove
from .live import PARTIAL
from .request import ID
from .routes import OTHER
from .store import Store, StoreError
from .store.private import make_folders

__all__ = [
    "checkpoint_path", "drop_checkpoint", "read_checkpoint", "recover", "sweep", "watch_handlers", "write_checkpoint",
]

#: A checkpoint that was not written anew for so long has no writer any more.
STRAY_SECONDS = 3600.0

#: What a process is told to end by, and what gunicorn tells a worker that takes too long.
ENDINGS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT)

#: Stores, by process, that a thread is at: POSIX locks do not tell threads of one process apart.
_busy: dict[tuple[int, str], object] = {}


def watch_handlers() -> int:
    """How many calls of the app's handlers of such signals there were so far. The handlers stay what they are, and none
    of ours is put in (``run/handlers.h``); one in C, or the system's own, is not seen."""
    for number in ENDINGS:
        code = _code_of(signal.getsignal(number))
        if code is not None:
            _core.handler_watch(code)
    return _core.handler_calls()


def _code_of(handler: Any) -> CodeType | None:
    """Of a function, below methods and partials; runs no code of the handler's."""
    for _ in range(8):
        if isinstance(handler, FunctionType):
            return handler.__code__
        if not isinstance(handler, (MethodType, partial)):
            return None
        handler = handler.__func__ if isinstance(handler, MethodType) else handler.func
    return None


def checkpoint_path(store: str, profile_id: str) -> str:
    """Where the checkpoint of a running request is; the id is one that was checked."""
    return os.path.join(live_folder(store), profile_id + PARTIAL)


def read_checkpoint(store: str, profile_id: str) -> bytes | None:
    """The profile so far of a request that runs, or was killed a moment ago; None: there is none."""
    try:
        fd = os.open(checkpoint_path(store, profile_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read()
    except OSError:
        return None


def write_checkpoint(store: str, profile_id: str, blob: bytes) -> None:
    """Replaces the one before. :raises OSError:"""
    path = checkpoint_path(store, profile_id)
    make_folders(os.path.dirname(path))
    making = f"{path}.{os.getpid()}.tmp"
    fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(blob)
    os.replace(making, path)


def drop_checkpoint(store: str, profile_id: str) -> None:
    """The request has ended by itself."""
    try:
        os.unlink(checkpoint_path(store, profile_id))
    except OSError:
        pass  # it had none


def recover(store: Store, name: str) -> int:
    """Stores what dead processes left. How many requests that were. Does input and output; cheap when all live.

    :raises StoreError: it cannot be stored now; the board stays for the next one.
    """
    here, mine = (os.getpid(), name), object()
    if not name or _busy.setdefault(here, mine) is not mine:
        return 0
    try:
        return sum(_bury(store, name, found.path) for found in live.boards(name) if found.dead)
    finally:
        del _busy[here]


def sweep(store: Store, name: str) -> int:
    """Checkpoints without a board (the machine was restarted): stored as killed, and removed. How many there were.

    A request that runs writes its own anew within seconds, on whatever host: what is an hour old is nobody's.
    :raises StoreError: they cannot be stored now, and stay.
    """
    try:
        with os.scandir(live_folder(name)) as entries:
            found = [entry.name for entry in entries if ID.match(entry.name[:26]) is not None
                     and time.time() - entry.stat(follow_symlinks=False).st_mtime > STRAY_SECONDS]
    except OSError:
        return 0
    running = {row["id"] for row in live.running(name)} if found else set()
    return sum(_sweep(store, name, file) for file in found if file[:26] not in running)


def _sweep(store: Store, name: str, file: str) -> bool:
    profile_id = file[:26]
    path = os.path.join(live_folder(name), file)
    taken = os.path.join(live_folder(name), f"{profile_id}.{os.getpid()}.taken")
    try:
        os.rename(path, taken)  # of several that look at once one gets it
        os.utime(taken)
        with open(taken, "rb") as read:
            blob = read.read()
    except OSError:
        return False
    meta, whole = _of_checkpoint(blob, profile_id)
    try:
        if whole is not None and store.get(profile_id) is None:
            wall = meta.get("wall_ns") or 0
            kept = {**{key: value for key, value in meta.items() if value is not None}, "as_of_ns": wall,
                    "kept": "killed", "flags": ",".join(filter(None, (meta.get("flags"), "killed"))),
                    "last_word": "nothing but its last checkpoint is left"}
            data = _core.with_meta(whole, kept)
            hot = json.loads(_core.Profile(data).summary())["hot_text"]
            store.put({**kept, "hot": hot, "bytes": len(data)}, data)
            _count(store, kept)
    except StoreError:
        os.rename(taken, path)
        raise
    os.unlink(taken)
    return True


def _bury(store: Store, name: str, path: str) -> int:
    taken = live.take_dead(path)
    if taken is None:
        return 0
    fd, memory, board = taken
    try:
        _store_numbers(store, memory)
        for request in board["requests"]:
            _store(store, name, board, request)
            _core.board_clear(memory, request["slot"])  # one that is stored is not stored again
            try:
                os.unlink(checkpoint_path(name, request["id"]))
            except OSError:
                pass  # it had none
        try:
            remove(path)
        except OSError:
            pass  # empty: nothing will be stored of it
        return len(board["requests"])
    finally:
        memory.close()
        os.close(fd)


def _store_numbers(store: Store, memory: Any) -> None:
    """What the process had counted since it stored numbers last. Each part has a name, and is in the store once: also
    when the process, or who stores it here, dies between storing it and saying so."""
    put_numbers = getattr(store, "put_numbers", None)
    for half, source, first_s, last_s, table, storing in _core.board_numbers(memory):
        if put_numbers is not None:
            _core.board_numbers_mark(memory, half, False)
            put_numbers(first_s, last_s, table, source, storing)
        _core.board_numbers_mark(memory, half, True)


def _store(store: Store, name: str, board: dict[str, Any], request: dict[str, Any]) -> None:
    """One request as a profile: its checkpoint, or else what the board says."""
    lived = max(board["beat_mono"], request["changed_mono"], request["seen_mono"]) - request["started_mono"]
    meta, blob = _of_checkpoint(read_checkpoint(name, request["id"]), request["id"])
    hot = ""
    if blob is not None:
        hot = json.loads(_core.Profile(blob).summary())["hot_text"]
        meta["as_of_ns"] = meta.get("wall_ns")
    wall = max(lived, meta.get("wall_ns") or 0, 0)
    meta.update({
        "id": request["id"], "started": request["started"], "mode": request["mode"], "method": request["method"],
        "path": meta.get("path") or request["path"], "route": meta.get("route") or request["route"] or None,
        "status": 0, "wall_ns": wall, "kept": "killed", "host": socket.gethostname(), "pid": board["pid"],
        "flags": ",".join(filter(None, (meta.get("flags"), "killed"))), "last_word": _last_word(request),
    })
    kept = {key: value for key, value in meta.items() if value is not None}
    data = _core.unseen(kept, wall) if blob is None else _core.with_meta(blob, kept)
    store.put({**kept, "hot": hot or live.where(request), "bytes": len(data)}, data)
    _count(store, kept)


def _count(store: Store, meta: dict[str, Any]) -> None:
    """A request that was killed is one of its route's, and failed."""
    put_numbers = getattr(store, "put_numbers", None)
    if put_numbers is None:
        return
    numbers = _core.Numbers(60, str(meta.get("release") or "")[:200], str(meta.get("host") or "")[:200])
    ended = (meta["started"] + meta["wall_ns"]) // 10**9
    numbers.add_killed(meta.get("route") or OTHER, meta.get("method") or "", meta["wall_ns"], max(0, ended))
    taken = numbers.take()
    if taken is not None:
        put_numbers(*taken)


def _of_checkpoint(blob: bytes | None, profile_id: str) -> tuple[dict[str, Any], bytes | None]:
    """Its metadata and itself; nothing, where it is none of this request or cannot be read."""
    if blob is None:
        return {}, None
    try:
        meta: dict[str, Any] = json.loads(_core.Profile(blob).meta())
        if isinstance(meta.get("meta"), dict):
            meta = meta["meta"]
    except (ValueError, MemoryError):
        return {}, None
    return (meta, blob) if meta.get("id") == profile_id else ({}, None)


def _last_word(request: dict[str, Any]) -> str:
    state = "ran" if request["state"] == "runs" else "waited"
    since = max(0, request["changed_mono"] - request["started_mono"]) / 1e9
    text = f"{state} since {since:.3f} s after its beginning"
    seen = live.where(request)
    if seen:
        text += f"; seen last in {seen}, {max(0, request['seen_mono'] - request['started_mono']) / 1e9:.3f} s after"
    return text
