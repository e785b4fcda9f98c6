"""What runs for seconds is on disk while it runs, and is what remains of it when it is killed."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from slowlens import _core, killed, live
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import Query, open_store
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from test_board import call, eventually, worker

__all__ = ["worker"]


def names(blob: bytes) -> set[str]:
    return {row["function"]["name"] for row in json.loads(_core.Profile(blob).functions())["rows"]}


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
@pytest.mark.parametrize(("path", "function"), [("/wait/a", "waits_for_it"), ("/busy/a", "computes")])
def test_a_killed_request_has_the_tree_of_its_last_checkpoint(
    worker: Any, store_path: str, mode: str, path: str, function: str
) -> None:
    one = worker(store_path, mode)
    one.say(path)
    (running,) = live.running(store_path)
    eventually(lambda: killed.read_checkpoint(store_path, running["id"]))
    one.kill()
    store = open_store(load({"store": store_path}))
    assert killed.recover(store, store_path) == 1
    (row,) = store.list(Query()).rows
    assert row["id"] == running["id"] and row["flags"] == "killed" and row["kind"] == "profile"
    data = store.get(row["id"])
    assert data is not None and function in names(data)
    meta = json.loads(_core.read_meta(data))["meta"]
    profile = json.loads(_core.Profile(data).summary())
    assert meta["as_of_ns"] >= 1.9e9 and abs(profile["wall_ns"] - meta["as_of_ns"]) < 1e6
    assert row["wall_ns"] >= meta["as_of_ns"] and function in row["hot"]
    assert killed.read_checkpoint(store_path, row["id"]) is None
    if function == "waits_for_it":  # what it asked for, and what it was in the middle of
        spans = {row["text"]: row for row in json.loads(_core.Profile(data).spans())["rows"]}
        assert spans["looks it up"]["count"] == meta["db_count"] == 3
        assert spans["looks it up"]["total_ns"] <= meta["db_ns"] + 300
        assert spans["waits for it"]["kind"] == "payment" and spans["waits for it"]["total_ns"] > 1.5e9


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_who_is_told_to_end_writes_down_what_runs(worker: Any, store_path: str, mode: str) -> None:
    """The server's own handlers stay what they are, and are called; then it is killed before the request has ended."""
    one = worker(store_path, mode)
    one.say("handles")
    one.say("/wait/a")
    (running,) = live.running(store_path)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        for _ in range(200):  # the first may come before the writer has looked at who handles it
            one.process.send_signal(number)
            assert one.process.stdout.readline() == f"told {int(number)}\n"
            if killed.read_checkpoint(store_path, running["id"]) is not None or sys.version_info < (3, 12):
                break
            time.sleep(0.1)
        else:
            raise AssertionError("no checkpoint")
        killed.drop_checkpoint(store_path, running["id"])
    if sys.version_info < (3, 12):
        return  # no probes outside of requests there
    one.process.send_signal(signal.SIGTERM)
    eventually(lambda: killed.read_checkpoint(store_path, running["id"]))
    one.kill()
    store = open_store(load({"store": store_path}))
    assert killed.recover(store, store_path) == 1
    (row,) = store.list(Query()).rows
    data = store.get(row["id"])
    assert row["flags"] == "killed" and data is not None and "waits_for_it" in names(data)


def test_handlers_of_any_kind() -> None:
    class Server:
        def stop(self, number: int, frame: Any) -> None: ...

        __call__ = stop

    for handler in (Server().stop, functools.partial(Server().stop, 1), Server.stop):
        assert killed._code_of(handler) is Server.stop.__code__
    for handler in (signal.SIG_DFL, signal.SIG_IGN, None, signal.default_int_handler, Server()):
        assert killed._code_of(handler) is None


def test_checkpoints_whose_board_is_gone_are_stored_and_removed(
    worker: Any, store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of the machine: nothing is left but files. What runs, or has ended well, stays as it is."""
    one, other = worker(store_path, "sampling"), worker(store_path, "sampling")
    one.say("/busy/a")
    (lost,) = live.running(store_path)
    eventually(lambda: killed.read_checkpoint(store_path, lost["id"]))
    (found,) = [found for found in live.boards(store_path) if found.board["requests"]]
    one.kill()
    os.unlink(found.path)
    other.say("/busy/b")
    (running,) = live.running(store_path)
    eventually(lambda: killed.read_checkpoint(store_path, running["id"]))
    store = open_store(load({"store": store_path}))
    assert killed.sweep(store, store_path) == 0, "too young"
    monkeypatch.setattr(killed, "STRAY_SECONDS", -1.0)
    assert killed.sweep(store, store_path) == 1
    assert killed.sweep(store, store_path) == 0
    (row,) = store.list(Query()).rows
    data = store.get(row["id"])
    assert row["id"] == lost["id"] and row["flags"] == "killed" and data is not None and "computes" in names(data)
    assert killed.read_checkpoint(store_path, lost["id"]) is None
    assert killed.read_checkpoint(store_path, running["id"]) is not None
    # One that is stored already is only removed, and so is what is none.
    for junk in (store.get(row["id"]), b"half a file"):
        killed.write_checkpoint(store_path, lost["id"], junk or b"")
        assert killed.sweep(store, store_path) == 1
    assert len(store.list(Query()).rows) == 1 and store.get(row["id"]) == data
    assert [name for name in os.listdir(os.path.join(store_path, "live")) if lost["id"] in name] == []
    other.tell("end")


def test_one_that_ends_is_a_profile_and_no_checkpoint(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    one.say("/wait/a")
    (running,) = live.running(store_path)
    eventually(lambda: live.running(store_path)[0]["stored"])
    one.tell("end")
    eventually(lambda: not os.path.exists(killed.checkpoint_path(store_path, running["id"])))
    one.say("flush")
    (row,) = open_store(load({"store": store_path})).list(Query()).rows
    assert (row["id"], row["flags"]) == (running["id"], "")
    assert os.listdir(os.path.join(store_path, "live")) == ["boards"]


def test_the_viewer_shows_the_tree_of_what_runs(worker: Any, store_path: str) -> None:
    one = worker(store_path, "sampling")
    one.say("/busy/a")
    (running,) = live.running(store_path)
    eventually(lambda: live.running(store_path)[0]["stored"])
    viewer = Viewer(open_store(load({"store": store_path})), None)
    headers = {"sec-fetch-site": "same-origin"}
    incoming = Incoming("GET", "/x", "", "localhost", "127.0.0.1", False, headers, None, False)
    response = viewer.handle(incoming, f"api/requests/{running['id']}", "/")
    assert response is not None and response.status == 200
    assert json.loads(response.body)["meta"]["path"] == "/busy/a"


@pytest.mark.parametrize("sampled", [True, False])
def test_a_checkpoint_says_what_has_run_so_far(sampled: bool) -> None:
    def inner() -> None:
        end = time.perf_counter() + 0.05
        while time.perf_counter() < end:
            sum(range(500))
        blobs.append(_core.checkpoint(recording, {"id": "x"}))

    def outer() -> None:
        inner()
        inner()

    blobs: list[bytes] = []
    recording = _core.Recording("none", sampled=sampled)
    recording.enter()
    outer()
    recording.leave()
    recording.finish()
    with pytest.raises(RuntimeError):
        _core.checkpoint(recording, {})
    profiles = [json.loads(_core.Profile(blob).summary()) for blob in blobs]
    assert 0.04e9 < profiles[0]["wall_ns"] < profiles[1]["wall_ns"] <= recording.wall_ns
    assert profiles[0]["meta"]["id"] == "x"
    assert {name.rsplit(".", 1)[-1] for name in names(blobs[1])} >= {"outer", "inner"}
    final = _core.Profile(recording.encode({}))
    assert abs(json.loads(final.summary())["wall_ns"] - recording.wall_ns) < 1000
    recording.discard()


def grow(depth: int) -> None:
    """2^depth paths: a tree of megabytes."""
    if depth:
        grow(depth - 1)
        grow_too(depth - 1)


def grow_too(depth: int) -> None:
    grow(depth)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no sampler, and no lock")
def test_a_copy_is_not_taken_under_the_lock() -> None:
    """The longest hold of the lock is far shorter than copying so many bytes takes."""
    recording = _core.Recording("none", max_bytes=64 << 20, max_nodes=1 << 20)
    recording.enter()
    grow(16)
    copied, held = [], []
    try:
        for _ in range(5):
            _core.sampler_lock_measure(True)
            assert json.loads(_core.read_meta(_core.checkpoint(recording, {})))["meta"]["nodes"] > 100_000
            held.append(_core.engine_info()["sampler"]["lock_held_ns"])
            _core.sampler_lock_measure(False)
            began = time.thread_time_ns()
            bytes(bytearray(recording.memory))
            copied.append(time.thread_time_ns() - began)
    finally:
        recording.discard()
    assert 0 < min(held) < min(copied) / 8


def test_what_is_copied_is_looked_at_again_afterwards() -> None:
    recording = _core.Recording("none", sampled=True)
    recording.enter()
    seen = 0
    for _ in range(3):
        before, end = seen, time.monotonic() + 60
        while seen <= before and time.monotonic() < end:
            sum(range(2000))
            seen = json.loads(_core.Profile(_core.checkpoint(recording, {})).summary())["meta"].get("samples", 0)
        assert seen > before
    recording.leave()
    recording.discard()


def test_checkpoints_beside_requests_that_end(store_path: str) -> None:
    """Copies taken while other threads run, end and throw away what is copied."""
    stop = threading.Event()
    core_boards: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for number in range(50):
            sorted(range(number), key=lambda one: -one)
        start_response("200 OK", [])
        return [b""]

    def copy() -> None:
        while not stop.is_set():
            for recording, seen, _ in _core.running(core_boards[0], 0):
                try:
                    _core.Profile(_core.checkpoint(recording, {"id": seen.id}))
                    copies.append(1)
                except RuntimeError:
                    pass

    copies: list[int] = []
    apps = [ProfilerMiddleware(app, store=store_path, mode=mode, log=False, keep="error")
            for mode in ("deterministic", "sampling")]
    call(apps[0], "/")
    core_boards.append(apps[0].recorder.board.core)
    copier = threading.Thread(target=copy)
    copier.start()
    try:
        def many(one: Any) -> None:
            for _ in range(150):
                call(one, "/")

        threads = [threading.Thread(target=many, args=(apps[n % 2],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        stop.set()
        copier.join(30)
    assert copies and apps[0].recorder.faults == apps[1].recorder.faults == 0
