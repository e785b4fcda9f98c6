"""Requests whose process was killed: each stands in the list, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, board, killed, live
from slowlens.cli import main
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import Query, Store, StoreError, open_store
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from test_board import Worker, call, eventually, worker

__all__ = ["worker"]


def store_of(path: str) -> Store:
    return open_store(load({"store": path}))


def meta_of(store: Store, profile_id: str) -> dict[str, Any]:
    data = store.get(profile_id)
    assert data is not None
    meta: dict[str, Any] = json.loads(_core.read_meta(data))["meta"]
    return meta


def boards_left(path: str) -> list[str]:
    return [found.path for found in live.boards(path)]


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_a_killed_request_is_a_row(worker: Any, store_path: str, mode: str) -> None:
    one = worker(store_path, mode)
    one.say("/quick/a")
    one.say("/wait/b")
    one.say("flush")
    (running,) = live.running(store_path)
    assert one.kill() == -signal.SIGKILL
    store = store_of(store_path)
    assert killed.recover(store, store_path) == 1
    rows = {row["path"]: row for row in store.list(Query()).rows}
    assert set(rows) == {"/quick/a", "/wait/b"}
    row = rows["/wait/b"]
    assert row["id"] == running["id"] and row["flags"] == row["kept"] == "killed"
    assert (row["method"], row["mode"], row["pid"], row["status"]) == ("GET", mode, one.process.pid, 0)
    assert row["started"] == running["started"]
    meta = meta_of(store, row["id"])
    assert meta["last_word"].startswith("ran since 0.0")
    assert "killed" not in (rows["/quick/a"]["flags"] or "")
    assert boards_left(store_path) == [] and killed.recover(store, store_path) == 0


def test_a_killed_request_counts_among_its_routes_once(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    one.say("/quick/a")
    one.say("/wait/b")
    one.say("flush")
    one.kill()
    store = store_of(store_path)
    assert killed.recover(store, store_path) == 1
    assert killed.recover(store, store_path) == 0
    report = store.numbers(apart=15)  # type: ignore[attr-defined]
    assert (report["count"], report["errors"]) == (2, 1)
    (failed,) = [row for row in report["rows"] if row["errors"]]
    (row,) = store.list(Query(text="/wait/b")).rows
    assert failed["wall_ns"] == row["wall_ns"] and failed["method"] == "GET" and failed["host"] == row["host"]


def test_a_starting_worker_finds_it(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    one.say("/wait/a")
    one.kill()
    call(ProfilerMiddleware(lambda e, s: [b""], store=store_path, mode="deterministic", log=False), "/other")
    store = store_of(store_path)
    eventually(lambda: [row for row in store.list(Query()).rows if row["path"] == "/wait/a"])


def test_one_store_does_not_wait_for_another(worker: Any, store_path: str, tmp_path: Any) -> None:
    """A thread that is at one store's dead keeps nobody from another's (it had to wait for the next round)."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, store: Store) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        def put(self, row: dict[str, Any], blob: bytes) -> None:
            inside.set()
            assert go_on.wait(30)
            self.store.put(row, blob)

    for folder in (str(tmp_path / "other"), store_path):
        one = worker(folder, "deterministic")
        one.say("/wait/a")
        one.kill()
    slow: Any = Slow(store_of(str(tmp_path / "other")))
    other = threading.Thread(target=killed.recover, args=(slow, str(tmp_path / "other")))
    other.start()
    assert inside.wait(30)
    assert killed.recover(slow, str(tmp_path / "other")) == 0  # somebody is at it
    assert killed.recover(store_of(store_path), store_path) == 1
    go_on.set()
    other.join(30)


def test_list_finds_it(worker: Any, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = worker(store_path, "deterministic")
    one.say("/wait/a")
    one.kill()
    assert main(["list", "--json", "--store", store_path]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["path"], row["flags"]) == ("/wait/a", "killed")


def test_the_viewer_finds_it(worker: Any, store_path: str) -> None:
    one = worker(store_path, "sampling")
    one.say("/wait/a")
    one.kill()
    viewer = Viewer(store_of(store_path), None)
    incoming = Incoming("GET", "/api/requests", "", "localhost", "127.0.0.1", False,
                        {"sec-fetch-site": "same-origin"}, None, False)
    response = viewer.handle(incoming, "api/requests", "/")
    assert response is not None
    (row,) = json.loads(response.body)["requests"]
    assert row["path"] == "/wait/a" and row["killed"] is True


def test_many_finders_store_each_once(worker: Any, store_path: str) -> None:
    workers = [worker(store_path, mode) for mode in ("sampling", "deterministic", "sampling", "deterministic")]
    for number, one in enumerate(workers):
        for name in "abc":
            one.say(f"/wait/{number}{name}")
    for one in workers:
        one.kill()
    code = ("import sys; from slowlens import killed; from slowlens.options import load\n"
            "from slowlens.store import open_store\n"
            "print(killed.recover(open_store(load({'store': sys.argv[1]})), sys.argv[1]))")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: int(subprocess.run(
            [sys.executable, "-c", code, store_path], capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)}).stdout), range(4)))
    assert sum(found) <= 12  # a worker that was still alive may have found those that were killed before it
    rows = store_of(store_path).list(Query(limit=100)).rows
    assert sorted(row["path"] for row in rows) == sorted(f"/wait/{n}{c}" for n in range(4) for c in "abc")
    assert len({row["id"] for row in rows}) == 12 and boards_left(store_path) == []


class Failing:
    """A store that takes some profiles, and then no more."""

    def __init__(self, store: Store, takes: int) -> None:
        self.store, self.takes = store, takes

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        if self.takes == 0:
            raise StoreError("full")
        self.takes -= 1
        self.store.put(row, blob)


def test_what_cannot_be_stored_now_is_stored_later_and_nothing_twice(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    for name in "abcd":
        one.say(f"/wait/{name}")
    one.kill()
    store = store_of(store_path)
    with pytest.raises(StoreError):
        killed.recover(Failing(store, 2), store_path)  # type: ignore[arg-type]
    first = {row["id"] for row in store.list(Query()).rows}
    assert len(first) == 2
    assert len([row for row in live.running(store_path) if row["killed"]]) == 2
    assert killed.recover(store, store_path) == 2
    rows = store.list(Query()).rows
    assert len(rows) == 4 and first < {row["id"] for row in rows}


def test_the_living_are_left_alone(worker: Any, store_path: str) -> None:
    one = worker(store_path, "sampling")
    one.say("/wait/a")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: killed.recover(store_of(store_path), store_path), range(8))) == [0] * 8
    assert [row["path"] for row in live.running(store_path)] == ["/wait/a"]
    one.tell("end")
    eventually(lambda: live.running(store_path) == [])
    one.say("flush")
    assert [row["flags"] for row in store_of(store_path).list(Query()).rows] == [""]


def test_a_process_that_ends_well_leaves_no_board(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    one.say("/quick/a")
    folder = Path(live.boards(store_path)[0].path).parent
    assert one.process.stdin is not None
    one.process.stdin.close()
    assert one.process.wait(30) == 0
    assert boards_left(store_path) == [] and not folder.exists()


def test_requests_that_their_process_leaves_behind_are_killed_too(worker: Any, store_path: str) -> None:
    """A worker that ends while a thread of it is still in a request: the request had no end either."""
    one = worker(store_path, "deterministic")
    one.say("/wait/a")
    assert one.process.stdin is not None
    one.process.stdin.close()
    one.process.wait(30)
    assert killed.recover(store_of(store_path), store_path) == 1


def test_a_process_number_that_is_used_again_is_not_the_dead_one() -> None:
    mine = board.owner_of()
    assert board.is_running(mine.pid, mine.started)
    assert not board.is_running(mine.pid, mine.started + 1)
    zombie = subprocess.Popen([sys.executable, "-c", "pass"])
    started = board._started(zombie.pid)[0]
    eventually(lambda: not board.is_running(zombie.pid, started))
    zombie.wait(30)


def test_finders_in_threads_of_one_process(worker: Any, store_path: str) -> None:
    one: Worker = worker(store_path, "deterministic")
    one.say("/wait/a")
    one.kill()
    store = store_of(store_path)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(killed.recover(store, store_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(found) == 1
