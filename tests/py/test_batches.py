"""Profiles are made many at once: what waits of them is counted, handed out one by one, and never left behind."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slowlens import _core, process
from slowlens.store import Query
from slowlens.store.directory import DirectoryStore
from slowlens.store.interface import Finished
from slowlens.wsgi import ProfilerMiddleware

from conftest import wsgi_call

COUNT = 12


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"ok"]


def make(store: str, **options: Any) -> ProfilerMiddleware:
    return ProfilerMiddleware(app, store=store, keep="all", **options)


@pytest.fixture
def held(store_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ProfilerMiddleware, Callable[[], Any]]]:
    """A middleware whose writer stands still until it is let go on, with a batch before it."""
    middleware = make(store_path)
    writer = middleware.recorder.writer
    wsgi_call(middleware)
    assert writer.flush(10)
    entered, gate = threading.Event(), threading.Event()

    def collect() -> None:
        entered.set()
        assert gate.wait(20)

    monkeypatch.setattr(writer, "_collect", collect)
    writer.start()
    assert entered.wait(20)
    for _ in range(COUNT):
        wsgi_call(middleware)
    yield middleware, gate.set
    gate.set()


def test_the_end_of_the_process_tells_all_that_could_not_be_stored(
    held: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    middleware, go_on = held
    writer = middleware.recorder.writer
    there, free = threading.Event(), threading.Event()
    put = writer.store.put

    def stands(row: Any, blob: bytes) -> None:
        there.set()
        assert free.wait(30)
        put(row, blob)

    monkeypatch.setattr(writer.store, "put", stands)
    monkeypatch.setattr("slowlens.writer.LAST_SECONDS", 0.05)
    monkeypatch.setattr(writer, "end", lambda seconds: None)
    go_on()
    assert there.wait(20)
    writer.close()
    assert writer.dropped == COUNT - 1  # one is with the store, which may still take it
    assert f"{COUNT - 1} profiles could not be stored" in caplog.text
    free.set()


def test_a_fork_waits_for_the_one_that_is_being_stored(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware, go_on = held
    writer = middleware.recorder.writer
    put, stored_at_fork = writer.store.put, []
    there, free = threading.Event(), threading.Event()

    def stands(row: Any, blob: bytes) -> None:
        if not there.is_set():
            there.set()
            assert free.wait(20)
        put(row, blob)

    monkeypatch.setattr(writer.store, "put", stands)
    end = writer.end

    def ends(seconds: float) -> None:
        free.set()
        end(20)
        stored_at_fork.append(writer.stored)

    monkeypatch.setattr(writer, "end", ends)
    go_on()
    assert there.wait(20)
    child = os.fork()
    if child == 0:
        os._exit(0 if not writer._made and not writer._jobs else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert stored_at_fork == [2]  # the first of all, and the one that stood there
    assert writer.flush(20)
    assert (writer.stored, writer.dropped) == (COUNT + 1, 0)


def test_what_waits_is_stored_though_its_app_is_gone(store_path: str) -> None:
    for _ in range(5):
        middleware = make(store_path)
        wsgi_call(middleware)
        writer = weakref.ref(middleware.recorder.writer)
        del middleware
        gc.collect()
        left = writer()
        assert left is None or left.flush(20)
        del left
    assert len(DirectoryStore(store_path).list(Query()).rows) == 5


def test_one_that_cannot_be_made_keeps_nothing(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware, go_on = held
    writer = middleware.recorder.writer
    encode, first = _core.encode_many, []

    def broken(pairs: Any) -> Any:
        made = encode(pairs)
        if not first:
            first.append(True)
            made[0] = ValueError("no")
        return made

    monkeypatch.setattr(_core, "encode_many", broken)
    gc.collect()
    gc.disable()
    try:
        go_on()
        assert writer.flush(20)
        assert writer.failed == 1
        # By type alone: a lazy object of Django's would be made to say its class.
        assert not [one for one in gc.get_objects() if type(one) is Finished]
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_no_sink_may_raise_ends_no_writing(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware, go_on = held
    writer = middleware.recorder.writer
    put, times = writer.store.put, []

    def leaves(row: Any, blob: bytes) -> None:
        times.append(1)
        if len(times) == 3:
            raise SystemExit(3)
        put(row, blob)

    monkeypatch.setattr(writer.store, "put", leaves)
    go_on()
    assert writer.flush(20)
    assert (writer.stored, writer.failed, writer.dropped) == (COUNT, 1, 0)
    assert not process.parked()


def test_small_limits_do_not_wait_for_a_batch(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is full of what waits for each other would drop what comes next."""
    monkeypatch.setattr("slowlens.writer.SOON", 3600.0)
    middleware = make(store_path, max_queued_bytes=1 << 20)
    writer = middleware.recorder.writer
    limit = writer._batch_bytes
    assert limit <= 1 << 18
    wsgi_call(middleware)
    size = 0
    for _ in range(COUNT):
        wsgi_call(middleware)
        size = max(size, writer._jobs.bytes)
    assert size < 4 * limit
    assert writer.flush(20)
    assert writer.dropped == 0
