"""A folder store whose system calls fail, one after the other; and a process that ends at each of them."""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.request import new_id
from slowlens.store import Query
from slowlens.store.directory import DirectoryStore
from slowlens.store.interface import StoreError

from conftest import record

CALLS = ("writev", "write", "open", "ftruncate", "fstat", "lstat", "stat", "pread", "pwrite", "replace", "unlink",
         "mkdir", "makedirs", "scandir", "listdir", "close")
REAL = {name: getattr(os, name) for name in CALLS}
Fault = Callable[["Injected", str, Callable[..., Any], tuple[Any, ...]], Any]


class Injected:
    """While it is entered the ``at``-th system call of Python's modules meets ``fault`` instead."""

    def __init__(self, at: int, fault: Fault, root: str) -> None:
        self.at, self.fault, self.root, self.count = at, fault, root, 0
        self.names: list[str] = []

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            self.names.append(name)
            if self.count == self.at:
                return self.fault(self, name, call, arguments)
            return call(*arguments, **keywords)

        return counted

    def __enter__(self) -> Injected:
        self._open, self._flock = builtins.open, fcntl.flock
        for name, call in REAL.items():
            setattr(os, name, self._around(name, call))
        builtins.open = self._around("open()", self._open)
        fcntl.flock = self._around("flock", self._flock)
        return self

    def __exit__(self, *ignored: object) -> None:
        for name, call in REAL.items():
            setattr(os, name, call)
        builtins.open, fcntl.flock = self._open, self._flock


def full(injected: Injected, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if name == "close":
        call(*arguments)  # gone whatever it says
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(injected: Injected, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if name == "writev":
        whole = b"".join(arguments[1])
        return REAL["write"](arguments[0], whole[:len(whole) // 2])
    return call(*arguments)


def removed(injected: Injected, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    injected.__exit__()
    shutil.rmtree(injected.root, ignore_errors=True)
    return call(*arguments)


def killed(injected: Injected, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    half(injected, name, call, arguments)
    os._exit(9)


def day(root: str, confirmed: Callable[[str], object], unsure: Callable[[str], object]) -> int:
    """What a store does, segments that are full among it; how often it said that it could not."""
    refused = 0
    store = DirectoryStore(root, max_bytes=1 << 20, worst_per_route=1)
    store._part = 8 << 10  # full after two profiles

    def tried(call: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal refused
        try:
            return call(*arguments)
        except StoreError:
            refused += 1
            return None

    recording = record(lambda: sorted(range(50)), "none")
    ids = []
    for number in range(5):
        meta = {"id": new_id(time.time_ns()), "started": time.time_ns(), "wall_ns": number, "route": f"/{number % 2}",
                "method": "GET", "status": 500 if number == 2 else 200, "mode": "sampling",
                "tag.x": os.urandom(2000).hex()}
        if tried(lambda meta=meta: store.put(meta, recording.encode(meta)) or True):
            ids.append(meta["id"])
            confirmed(meta["id"])
    numbers = _core.Numbers(60, "r1", "h1")
    numbers.add(recording, "/0", "GET", False, False, 0)
    tried(store.put_numbers, *(numbers.take() or ()))
    if ids:
        tried(store.pin, ids[0], True)
    tried(store.gc, 5)
    if len(ids) > 3:
        unsure(ids[3])
        tried(store.delete, ids[3])
    for ask in (lambda: store.list(Query()), store.routes, store.contents, store.close):
        tried(ask)
    recording.discard()
    return refused


def is_right(root: str, confirmed: list[str]) -> None:
    """What was confirmed is listed and can be read, what is listed is there, and it goes on."""
    store = DirectoryStore(root, max_bytes=1 << 20, worst_per_route=1)
    listed = [row["id"] for row in store.list(Query(limit=500)).rows]
    assert set(confirmed) <= set(listed)
    for one in listed:
        blob = store.get(one)
        assert blob is not None
        _core.Profile(blob)
    recording = record(lambda: sorted(range(50)), "none")
    meta = {"id": new_id(time.time_ns()), "started": time.time_ns(), "mode": "sampling"}
    store.put(meta, recording.encode(meta))
    recording.discard()
    store.gc(5)
    assert meta["id"] in [row["id"] for row in store.list(Query(limit=500)).rows]
    store.close()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The calls of such a day."""
    return calls_of(str(tmp_path_factory.mktemp("whole") / "store"))


def calls_of(root: str) -> list[str]:
    for _ in range(2):  # what is done once in a process is done
        shutil.rmtree(root, ignore_errors=True)
        with Injected(-1, full, root) as injected:
            assert day(root, lambda one: None, lambda one: None) == 0
    assert injected.count > 80
    return injected.names


@pytest.mark.parametrize(("fault", "each"), [(full, 1), (half, 1), (removed, 4)])
def test_each_call_fails_once(calls: list[str], fault: Fault, each: int, tmp_path: Path) -> None:
    """Only StoreError leaves a store, and nothing that was confirmed is lost."""
    refused = 0
    for at in range(1, len(calls) + 1, each):
        if fault is half and calls[at - 1] != "writev":
            continue
        root = str(tmp_path / str(at))
        confirmed: list[str] = []
        unsure: list[str] = []
        with Injected(at, fault, root):
            refused += day(root, confirmed.append, unsure.append)
        is_right(root, [] if fault is removed else [one for one in confirmed if one not in unsure])
        shutil.rmtree(root)
    assert refused > 0


def test_a_process_ends_at_each_call(tmp_path: Path) -> None:
    """As ``kill -9`` there; writes get half-way."""
    done = subprocess.run([sys.executable, "-c", f"import test_store_faults as t; t.end_at_each({str(tmp_path)!r})"],
                          capture_output=True, text=True, timeout=300, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr


def note(log: int, what: str, profile_id: str) -> None:
    REAL["write"](log, f"{what}{profile_id}\n".encode())


def end_at_each(folder: str) -> None:
    """In a process without threads: forks are safe."""
    ended = 0
    whole = calls_of(folder + "/whole")
    for at in [at for at in range(1, len(whole) + 1) if at % 4 == 0 or whole[at - 1] == "writev"]:
        root, said = f"{folder}/{at}", folder + "/said"
        log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        child = os.fork()
        if child == 0:
            try:
                with Injected(at, killed, root):
                    day(root, partial(note, log, "+"), partial(note, log, "-"))
            finally:
                os._exit(1)
        ended += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        os.close(log)
        lines = Path(said).read_text().split()
        unsure = [line[1:] for line in lines if line[0] == "-"]
        is_right(root, [line[1:] for line in lines if line[0] == "+" and line[1:] not in unsure])
        shutil.rmtree(root)
    assert ended > len(whole) // 5
