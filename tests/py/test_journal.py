"""Numbers of a process that was killed: what it had counted and not stored is counted by who comes next, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slowlens import _core, killed, live
from slowlens.options import load
from slowlens.store import open_store
from slowlens.store.interface import StoreError

#: Answers so many requests, one in three of them profiled, says so and waits to be killed.
WORKER = """
import random, sys, time
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("500 Oh" if environ["PATH_INFO"] == "/bad" else "200 OK", [])
    return [b"12345"]
random.seed(int(sys.argv[3]))
app = ProfilerMiddleware(app, store=sys.argv[1], sample_rate=0.3, keep="slow", log=False)
for number in range(int(sys.argv[2])):
    path = "/bad" if number % 10 == 0 else "/good"
    b"".join(app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda *given: None))
print("done", flush=True)
time.sleep(600)
"""


def worker(store_path: str, requests: int, seed: int = 1) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WORKER, store_path, str(requests), str(seed)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "done\n"
    return process


def end(process: subprocess.Popen[str], by: int = signal.SIGKILL) -> None:
    process.send_signal(by)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()


def counted(store: Any) -> dict[str, tuple[int, int]]:
    return {row["route"]: (row["count"], row["errors"]) for row in store.numbers()["rows"]}


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_that_was_counted_is_lost_by_a_kill(store_path: str, by: int) -> None:
    end(worker(store_path, 100), by)
    store = open_store(load({"store": store_path}))
    assert counted(store) == {}
    killed.recover(store, store_path)
    assert counted(store) == {"/good": (90, 0), "/bad": (10, 10)}
    killed.recover(store, store_path)
    assert counted(store) == {"/good": (90, 0), "/bad": (10, 10)}
    assert not live.boards(store_path)


def test_the_next_process_finds_them(store_path: str) -> None:
    """What waitress, cheroot and wsgiref leave: SIGTERM ends them at once."""
    end(worker(store_path, 50), signal.SIGTERM)
    other = worker(store_path, 50, 2)
    store = open_store(load({"store": store_path}))
    deadline = time.monotonic() + 60
    while counted(store) != {"/good": (45, 0), "/bad": (5, 5)} and time.monotonic() < deadline:
        time.sleep(0.05)  # its writer looks for dead ones when it begins
    assert counted(store) == {"/good": (45, 0), "/bad": (5, 5)}
    end(other)
    killed.recover(store, store_path)
    assert counted(store) == {"/good": (90, 0), "/bad": (10, 10)}


def test_many_finders_count_once(store_path: str) -> None:
    for seed in range(3):
        end(worker(store_path, 40, seed))
    stores = [open_store(load({"store": store_path})) for _ in range(4)]
    barrier = threading.Barrier(4)

    def find(store: Any) -> None:
        barrier.wait()
        for _ in range(5):
            killed.recover(store, store_path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(find, stores))
    killed.recover(stores[0], store_path)
    assert counted(stores[0]) == {"/good": (108, 0), "/bad": (12, 12)}


class Dies(Exception):
    """Instead of a process."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_finder_that_dies_on_the_way(store_path: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    end(worker(store_path, 40))
    store: Any = open_store(load({"store": store_path}))
    real = store.put_numbers

    def put(*given: Any) -> None:
        if when == "after":
            real(*given)
        raise Dies

    monkeypatch.setattr(store, "put_numbers", put)
    with pytest.raises(Dies):
        killed.recover(store, store_path)
    monkeypatch.undo()
    killed.recover(store, store_path)
    assert counted(store) == {"/good": (36, 0), "/bad": (4, 4)}


def test_a_store_that_is_away_gets_them_later(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    end(worker(store_path, 40))
    store: Any = open_store(load({"store": store_path}))

    def full(*given: Any) -> None:
        raise StoreError("no room")

    monkeypatch.setattr(store, "put_numbers", full)
    with pytest.raises(StoreError):
        killed.recover(store, store_path)
    monkeypatch.undo()
    killed.recover(store, store_path)
    assert counted(store) == {"/good": (36, 0), "/bad": (4, 4)}


def board(size: int = 4096) -> tuple[_core.Board, bytearray]:
    journal = 1024 + 2 * size
    memory = bytearray(4096 + 384 + journal)
    return _core.Board(memory, b"s" * 8, os.getpid(), 1, b"b" * 16, 2, journal), memory


def add(numbers: _core.Numbers, count: int) -> None:
    for _ in range(count):
        _core.Tally(numbers, lambda path, status, given: "/a", "GET", "/a").finish(200, 1)


def test_killed_between_storing_and_saying_so(store_path: str) -> None:
    """The process itself: its record is in the store already, and its journal does not know it yet."""
    store: Any = open_store(load({"store": store_path}))
    shown, memory = board()
    numbers = _core.Numbers(60, "v1", "host")
    assert numbers.note_in(shown, b"12345678") and numbers.note_in(shown, b"12345678")
    add(numbers, 7)
    taken = numbers.take()
    assert taken is not None and len(taken[3]) == 16
    add(numbers, 2)  # and goes on counting
    store.put_numbers(*taken)
    left = _core.board_numbers(memory)
    assert [(one[5], one[1] == taken[3]) for one in left] == [(True, True), (False, False)]
    killed._store_numbers(store, memory)
    assert counted(store) == {"/a": (9, 0)}
    row = store.numbers(apart=15)["rows"][0]
    assert (row["release"], row["host"]) == ("v1", "host")
    assert _core.board_numbers(memory) == []


def test_two_hours_of_which_one_was_stored(store_path: str) -> None:
    store: Any = open_store(load({"store": store_path}))
    numbers = _core.Numbers()
    numbers.add_killed("/a", "GET", 5, 3599)
    numbers.add_killed("/a", "GET", 5, 3600)
    first_s, last_s, table, _ = numbers.take() or (0, 0, b"", b"")
    source = b"x" * 16
    store.put_numbers(3599, 3599, *_only(table, 0, 3600), source)
    store.put_numbers(first_s, last_s, table, source, True)
    store.put_numbers(first_s, last_s, table, source, True)
    assert counted(store) == {"/a": (2, 2)}


def _only(table: bytes, from_s: int, to_s: int) -> tuple[bytes]:
    part = _core.Numbers()
    part.merge(table, from_s=from_s, to_s=to_s)
    return (part.encode(),)


def test_a_journal_is_bounded_and_has_one_owner() -> None:
    shown, memory = board()
    numbers, other = _core.Numbers(), _core.Numbers()
    assert numbers.wants and not numbers.full
    assert numbers.note_in(shown, b"12345678") and not other.note_in(shown, b"12345678")
    add(numbers, 1)
    assert not numbers.wants
    while not numbers.full:
        add(numbers, 1)
    add(numbers, 1000)  # more than it holds: in the table all the same
    assert numbers.wants and numbers.count > 1000
    assert len(_core.board_numbers(memory)) == 1
    taken = numbers.take()
    assert taken is not None and not numbers.full
    numbers.stored(taken[3])
    assert _core.board_numbers(memory) == []
    del numbers
    assert other.note_in(shown, b"12345678")
    shown.close()
    add(other, 1)  # closed, or a parent's
    assert other.count == 1 and not other.full
    memory.clear()  # and nothing holds it


def test_what_is_refused() -> None:
    shown, memory = board()
    numbers = _core.Numbers()
    with pytest.raises(ValueError, match="8 bytes"):
        numbers.note_in(shown, b"1")
    with pytest.raises(ValueError, match="no board"):
        _core.board_numbers(bytearray(10000))
    with pytest.raises(ValueError, match="no board"):
        _core.board_numbers_mark(bytearray(10000), 0, True)
    _core.board_numbers_mark(memory, 7, True)
    without = _core.Board(bytearray(4096 + 384), b"s" * 8, 1, 1, b"b" * 16, 2)
    assert not numbers.note_in(without, b"12345678")
    with pytest.raises(TypeError):
        numbers.stored("x")  # type: ignore[arg-type]


BEFORE_ANYTHING = """
import os, signal, sys
from slowlens import writer
writer.Writer.start = lambda self: True  # a machine so busy that its thread never ran
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
app = ProfilerMiddleware(app, store=sys.argv[1], keep="all", log=False)
for number in range(40):
    b"".join(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *given: None))
assert not os.path.exists(sys.argv[1])
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_process_that_ends_before_there_is_a_store(store_path: str) -> None:
    """Its thread had not even made the folder: the next one who looks makes it, and counts."""
    done = subprocess.run([sys.executable, "-c", BEFORE_ANYTHING, store_path], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == -signal.SIGTERM, done.stderr
    store: Any = open_store(load({"store": store_path}, environ={}))
    killed.recover(store, store_path)
    assert sum(row["count"] for row in store.numbers()["rows"]) == 40
