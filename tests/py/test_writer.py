"""Losses are counted, never silent, never the app's: full disks, queues, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.store.directory import DirectoryStore
from slowlens.store.interface import StoreError
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call
from programs import fib


def app(environ: Any, start_response: Any) -> list[bytes]:
    fib(5)
    start_response("200 OK", [])
    return [b"ok"]


def make(store: str, **options: Any) -> ProfilerMiddleware:
    return ProfilerMiddleware(app, store=store, debug=True, **options)


def test_a_full_disk(store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    middleware = make(store_path)
    wsgi_call(middleware)
    Stored(middleware.recorder).rows()

    write = os.writev

    def full(fd: int, parts: Any) -> int:
        return write(fd, [b"".join(parts)[:100]])  # what a disk does that has room for a part of it

    monkeypatch.setattr("slowlens.store.segments.os.writev", full)
    for _ in range(5):
        assert wsgi_call(middleware)[2] == b"ok"
    middleware.recorder.writer.flush()
    counters = middleware.recorder.counters()
    assert (counters["stored"], counters["failed"]) == (1, 5)
    assert caplog.text.count("No space left on device") == 1, "once a minute"
    monkeypatch.undo()
    segment = next((Path(store_path) / "segments").iterdir())
    assert len(_core.records(segment.read_bytes())[0]) == 2, "nothing half-written is left"
    wsgi_call(middleware)
    middleware.recorder.writer.flush()
    assert middleware.recorder.counters()["stored"] == 2


@pytest.mark.skipif(not os.path.exists("/dev/full") or os.geteuid() != 0, reason="needs a small file system")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(small)],
                      capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        middleware = make(str(small / "store"))
        for _ in range(200):
            assert wsgi_call(middleware)[2] == b"ok"
            middleware.recorder.writer.flush()
        counters = middleware.recorder.counters()
        assert counters["stored"] + counters["failed"] == 200
        assert counters["failed"] > 0 and counters["stored"] > 0
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_an_unusable_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    middleware = make(str(tmp_path / "file" / "store"))
    assert wsgi_call(middleware)[2] == b"ok"
    middleware.recorder.writer.flush()
    assert middleware.recorder.counters()["failed"] == 1
    assert "cannot make the store" in caplog.text


def test_a_full_queue_drops_and_counts(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slowlens.writer.QUEUE_MAX", 3)
    middleware = make(store_path)
    stuck, go = threading.Event(), threading.Event()
    put = middleware.recorder.store.put

    def slow_put(row: Any, blob: bytes) -> None:
        stuck.set()
        assert go.wait(20)
        put(row, blob)

    monkeypatch.setattr(middleware.recorder.store, "put", slow_put)
    start = time.monotonic()
    wsgi_call(middleware)
    assert stuck.wait(20)
    for _ in range(9):
        wsgi_call(middleware)
    assert time.monotonic() - start < 10, "no request waits for the store"
    go.set()
    assert middleware.recorder.writer.flush(10)
    counters = middleware.recorder.counters()
    assert counters["stored"] == 3
    assert counters["dropped"] == 7


def test_a_store_that_fails_in_unforeseen_ways(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = make(store_path)
    for error in (StoreError("x"), ValueError("y"), MemoryError()):
        def fail(row: Any, blob: bytes, error: BaseException = error) -> None:
            raise error
        monkeypatch.setattr(middleware.recorder.store, "put", fail)
        wsgi_call(middleware)
        assert middleware.recorder.writer.flush(10)
    assert middleware.recorder.counters()["failed"] == 3
    monkeypatch.undo()
    wsgi_call(middleware)
    assert middleware.recorder.writer.flush(10)
    assert middleware.recorder.counters()["stored"] == 1


def test_events_go_off_after_the_linger(store_path: str) -> None:
    middleware = make(store_path, keep="error")
    wsgi_call(middleware)
    deadline = time.monotonic() + 10
    while _core.engine_info()["events_on"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _core.engine_info()["events_on"] is False
    assert middleware.recorder.counters()["stored"] == 0
    middleware.recorder.policy._debug = lambda: True
    wsgi_call(middleware)
    assert _core.engine_info()["events_on"] is (sys.version_info >= (3, 12))


FORK = """
import os, sys
sys.path[:0] = {path!r}
from conftest import wsgi_call, Stored
from test_writer import make
middleware = make({store!r})
wsgi_call(middleware, "/parent")
middleware.recorder.writer.flush()
children = []
for i in range(3):
    pid = os.fork()
    if pid == 0:
        wsgi_call(middleware, f"/child{{i}}")
        os._exit(0 if middleware.recorder.writer.flush(10) else 1)
    children.append(pid)
wsgi_call(middleware, "/parent-again")
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
print(sorted(row["path"] for row in Stored(middleware.recorder).rows()))
"""


def test_every_forked_worker_writes(store_path: str) -> None:
    script = FORK.format(path=[str(Path(__file__).parent)], store=store_path)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["/child0", "/child1", "/child2", "/parent", "/parent-again"])


EXIT = """
import sys
sys.path[:0] = {path!r}
from conftest import wsgi_call
from test_writer import make
middleware = make({store!r})
for i in range(20):
    wsgi_call(middleware, f"/{{i}}")
"""


def test_exit_flushes_and_is_clean(store_path: str) -> None:
    script = EXIT.format(path=[str(Path(__file__).parent)], store=store_path)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert DirectoryStore(store_path).contents()["profiles"] == 20
