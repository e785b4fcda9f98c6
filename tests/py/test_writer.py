"""Losses are counted, never silent, never the app's: full disks, queues, forks."""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, board, engine, killed, recorder
from slowlens.bounded import Bounded
from slowlens.options import load
from slowlens.store import Query, open_store
from slowlens.store.directory import DirectoryStore
from slowlens.store.interface import StoreError
from slowlens.store.segments import BEGIN, NUMBERS, PROFILE
from slowlens.writer import LINGER, Writer
from slowlens.wsgi import ProfilerMiddleware

from conftest import SANITIZED, Stored, patient, wsgi_call
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
    kinds = [record[0] for record in _core.records(segment.read_bytes())[0]]
    assert [kind for kind in kinds if kind != NUMBERS] == [BEGIN, PROFILE], "nothing half-written is left"
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


FULL_ALL_THE_WAY = """
import json, resource, signal, sys
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
middleware = ProfilerMiddleware(app, store=sys.argv[1], debug=True, board=False)
for i in range(200):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{i}", "QUERY_STRING": "", "wsgi.url_scheme": "http",
               "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    assert b"".join(middleware(environ, lambda *a: None)) == b"ok"
    middleware.recorder.writer.flush()
    # As a disk that has room for so much, for anybody. Not from the start: a file that begins later ends before.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
print(json.dumps(middleware.recorder.counters()))
"""


def test_a_file_that_can_grow_no_further(tmp_path: Path) -> None:
    """The kernel writes half a record, then nothing: what was stored is there, what was not is counted."""
    store = tmp_path / "store"
    packages = str(Path(_core.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", FULL_ALL_THE_WAY, str(store)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": packages})
    assert done.returncode == 0, done.stderr
    counters = json.loads(done.stdout)
    assert counters["stored"] + counters["failed"] == 200 and counters["dropped"] == 0
    assert counters["failed"] > 0 and counters["stored"] > 0
    assert "could not be stored" in done.stderr
    fresh = DirectoryStore(str(store))
    rows = fresh.list(Query(limit=500)).rows
    assert len(rows) == counters["stored"]
    assert all(fresh.get(row["id"]) is not None for row in rows)


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


def test_profiles_are_encoded_together_and_one_that_cannot_be_harms_no_other(
    store_path: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Being woken, and getting the interpreter back, once for each costs as much as a small profile."""
    given: list[int] = []
    encode = _core.encode_many

    def counted(pairs: Any) -> Any:
        given.append(len(pairs))
        return [ValueError("no") if meta["path"] == "/broken" else blob
                for (_, meta), blob in zip(pairs, encode(pairs), strict=True)]

    monkeypatch.setattr(_core, "encode_many", counted)
    middleware = make(store_path)
    writer = middleware.recorder.writer
    wsgi_call(middleware)
    assert writer.flush(10)
    entered, gate = threading.Event(), threading.Event()
    collect = writer._collect

    def held() -> None:
        entered.set()
        assert gate.wait(20)
        collect()

    monkeypatch.setattr(writer, "_collect", held)
    writer.start()
    assert entered.wait(20)
    for path in ("/one", "/broken", *["/more"] * 30):
        wsgi_call(middleware, path)
    gate.set()
    assert writer.flush(20)
    assert given == [1, 16, 16], given
    assert (writer.stored, writer.failed, writer.dropped) == (32, 1, 0)


def test_what_is_stored_soon_is_stored_without_being_asked_for(store_path: str) -> None:
    middleware = make(store_path)
    writer = middleware.recorder.writer
    for number in range(1, 4):
        wsgi_call(middleware)
        until = time.monotonic() + 20
        while writer.stored < number and time.monotonic() < until:
            time.sleep(0.002)
        assert writer.stored == number


def test_a_store_that_takes_many_is_given_many(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits goes in batches; what one batch loses is counted, the next is tried again; and it is tended."""
    batches: list[list[str]] = []
    entered, gate = threading.Event(), threading.Event()
    tended: list[int] = []

    def put_many(profiles: Any) -> None:
        entered.set()
        gate.wait(60)
        batches.append([row["id"] for row, _ in profiles])
        if len(batches) == 2:
            error = StoreError("two of them are too much")
            error.lost = 2
            raise error

    def tend() -> float | None:
        tended.append(len(batches))
        return 0.01 if len(tended) < 50 else None

    monkeypatch.setattr(DirectoryStore, "put_many", lambda self, profiles: put_many(profiles), raising=False)
    monkeypatch.setattr(DirectoryStore, "tend", lambda self: tend(), raising=False)
    middleware = make(store_path)
    wsgi_call(middleware)
    assert entered.wait(60)
    for _ in range(200):
        wsgi_call(middleware)
    gate.set()
    assert middleware.recorder.writer.flush(30)
    assert [len(batch) for batch in batches] == [1, 128, 72]
    assert len({one for batch in batches for one in batch}) == 201
    counters = middleware.recorder.counters()
    assert (counters["stored"], counters["failed"], counters["dropped"]) == (199, 2, 0)
    deadline = time.monotonic() + 60
    while len(tended) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(tended) >= 50, "without another request"


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


def test_events_go_off_however_long_a_profile_takes_to_begin(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the thread looks for what is to be turned off, and goes to sleep, before the events are on."""
    middleware = make(store_path, keep="error")
    writer = middleware.recorder.writer
    begin = recorder.Transaction

    def late(*args: Any) -> Any:
        deadline = time.monotonic() + 30
        while (writer._ticking or writer._begun or writer._working) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _core.engine_info()["events_on"]
        return begin(*args)

    monkeypatch.setattr(recorder, "Transaction", late)
    wsgi_call(middleware)
    deadline = time.monotonic() + 30
    while _core.engine_info()["events_on"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _core.engine_info()["events_on"] is False


@pytest.mark.parametrize("mode", ("deterministic", "sampling"))
def test_the_thread_is_not_woken_for_each_request(store_path: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Writer] = []
    turn = Writer._turn
    monkeypatch.setattr(Writer, "_turn", lambda self: turns.append(self) or turn(self))
    middleware = make(store_path, keep="error", mode=mode)
    began = time.monotonic()
    for _ in range(300):
        wsgi_call(middleware)
        time.sleep(0.001)  # a request of another client may come: the thread gets its chance
    passed = time.monotonic() - began
    assert 1 <= turns.count(middleware.recorder.writer) <= 5 + 2 * passed / LINGER
    assert middleware.recorder.writer.flush(10)


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


ABRUPT = """
import multiprocessing, os, sys, time
import slowlens
from slowlens.store import Query

@slowlens.profile("job", store=sys.argv[1])
def job():
    time.sleep(0.01)

def horse():
    if os.fork() == 0:
        job()
        os._exit(0)
    os.wait()

def process():
    child = multiprocessing.get_context("fork").Process(target=job)
    child.start()
    child.join()
    assert child.exitcode == 0

if __name__ == "__main__":
    job()
    for _ in range(3):
        horse()
        process()
        job()
    profile = slowlens.profile("job", store=sys.argv[1])
    assert profile.flush()
    print(len(profile.store.list(Query(limit=100)).rows))
"""


def test_children_that_end_abruptly_lose_nothing_and_no_fork_warns(store_path: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", ABRUPT, store_path],
                          capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("10\n", "")


GOES_ON = """
import os, sys
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    environ["child"] = os.fork() == 0
    start_response("200 OK", [])
    return [b"ok"]
site = ProfilerMiddleware(app, store=sys.argv[1], keep="all", log=False, mode=sys.argv[2])
for number in range(3):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "", "wsgi.url_scheme": "http"}
    b"".join(site(environ, lambda *arguments: None))
    assert site.recorder.writer.flush(20)
    if environ["child"]:
        os._exit(0)
    assert os.wait()[1] == 0
print(len(site.recorder.store.list(Query()).rows), site.recorder.counters()["failed"],
      sum(row["count"] for row in site.recorder.store.numbers()["rows"]))
"""


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_a_child_that_goes_on_with_its_parents_request_says_nothing_and_stores_nothing(
    store_path: str, mode: str
) -> None:
    """The parent has the profile. The child called its own a fault, once a minute."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", GOES_ON, store_path, mode], capture_output=True,
                          text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("3 0 3\n", "")


LOADED_IN_CHILD = """
import os, sys
pid = os.fork()
if pid == 0:  # as RQ's children: what they run is imported by them
    import slowlens
    slowlens.profile("job", store=sys.argv[1])(lambda: None)()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
from slowlens.options import load
from slowlens.store import Query, open_store
print(len(open_store(load({"store": sys.argv[1]})).list(Query()).rows))
"""


def test_a_child_that_loads_slowlens_and_ends_abruptly_loses_nothing(store_path: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_IN_CHILD, store_path], capture_output=True, text=True,
                          timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


TWO_FORK = """
import os, sys
def pending():
    # Two threads fork at once: what the parent was to do after the first one's fork is copied by the second one's,
    # and called in its child before slowlens' own hook.
    if "slowlens.process" in sys.modules:
        sys.modules["slowlens.process"]._resume()
        threads.append(len(os.listdir("/proc/self/task")))
threads = []
os.register_at_fork(after_in_child=pending)
import slowlens, slowlens.process
job = slowlens.profile("job", store=sys.argv[1])
job(lambda: None)()
for writer in slowlens.process._all():
    writer._ticking = True
pid = os.fork()
if pid == 0:
    os._exit(0 if threads == [1] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_threads_that_fork_at_once_start_nothing_of_the_parents_in_a_child(store_path: str) -> None:
    done = subprocess.run([sys.executable, "-c", TWO_FORK, store_path], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_who_waits_for_the_threads_end_takes_no_other_one_away(store_path: str) -> None:
    writer = make(store_path).recorder.writer

    class Ended:
        def wake(self) -> None:
            pass

        def join(self, seconds: float) -> bool:
            writer._slot.pop("worker")  # it has gone, and before its end was seen here another fork was over
            assert writer.start()
            return True

    writer._slot["worker"] = Ended()  # type: ignore[assignment]
    writer.end(1.0)
    assert not isinstance(writer._slot["worker"], Ended)
    writer.close()
    assert writer._slot == {}, "and the thread leaves by itself"


def test_apps_that_are_made_and_dropped_leave_nothing(store_path: str, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/task"))
    writers = set()
    kept = make(store_path)
    for _ in range(20):
        dropped = make(store_path)
        wsgi_call(dropped)
        writers.add(id(dropped.recorder.writer))
    assert writers == {id(kept.recorder.writer)}, "one for a store"
    assert len(Stored(kept.recorder).rows(limit=50)) == 20
    for number in range(20):
        other = make(str(tmp_path / str(number)))
        wsgi_call(other)
        assert other.recorder.writer.flush()
    del kept, dropped, other
    deadline = time.monotonic() + 60
    while len(os.listdir("/proc/self/task")) > before + 1 and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert len(os.listdir("/proc/self/task")) <= before + 1, "the sampler's may have come"


def test_apps_that_are_made_and_dropped_leave_no_hook_and_no_object(tmp_path: Path) -> None:
    objects: list[weakref.ref[Any]] = []

    def use(name: str) -> None:
        recorder = make(str(tmp_path / name)).recorder
        wsgi_call(ProfilerMiddleware(app, recorder=recorder))
        objects.extend(map(weakref.ref, (recorder, recorder.writer, recorder.board)))

    def left() -> tuple[int, ...]:
        gc.collect()
        return (len(engine._children), atexit._ncallbacks(), len(board._own),  # type: ignore[attr-defined]
                sum(one() is not None for one in objects))

    use("first")
    before = left()
    for number in range(10):
        use(str(number))
    deadline = time.monotonic() + 20
    now = left()
    while max(new - old for new, old in zip(now, before, strict=True)) > 0 and time.monotonic() < deadline:
        time.sleep(0.05)  # a writer's thread may hold the last ones for a moment, again and again
        now = left()
    assert all(new <= old for new, old in zip(now, before, strict=True)), (before, now)


def test_what_is_patched_does_not_matter(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a patched thread")

    for name in ("_thread.start_new_thread", "threading.Thread.start", "threading.Event", "queue.SimpleQueue"):
        monkeypatch.setattr(name, no)
    middleware = make(store_path)
    for _ in range(5):
        wsgi_call(middleware)
    assert middleware.recorder.writer.flush()
    assert middleware.recorder.counters()["stored"] == 5


def test_a_fork_without_pythons_hooks_is_noticed(store_path: str) -> None:
    script = f"""
import ctypes, os, sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from conftest import wsgi_call, Stored
from test_writer import make
middleware = make({store_path!r})
wsgi_call(middleware, "/parent")
assert middleware.recorder.writer.flush()
pid = ctypes.PyDLL(None).fork()
wsgi_call(middleware, "/child" if pid == 0 else "/parent-again")
done = middleware.recorder.writer.flush(60)
if pid == 0:
    os._exit(0 if done else 1)
assert os.waitpid(pid, 0)[1] == 0
print(sorted(row["path"] for row in Stored(middleware.recorder).rows()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["/child", "/parent", "/parent-again"])


def test_a_child_that_no_hook_told_of_loses_no_count(store_path: str) -> None:
    """uWSGI loads the app, forks, and its workers may end by a signal: the first request opened a board and then let
    go of it as the parent's, and what was counted there, or in the numbers of before, was lost."""
    script = f"""
import ctypes, os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from conftest import wsgi_call
from slowlens import killed, live
from test_writer import make
middleware = make({store_path!r})
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    for _ in range(3):
        wsgi_call(middleware, "/child")
    os.kill(os.getpid(), signal.SIGKILL)
assert os.waitpid(pid, 0)[1] == signal.SIGKILL
print(sum(found.board["pid"] == pid for found in live.boards({store_path!r})), flush=True)
killed.recover(middleware.recorder.store, {store_path!r})
print(sum(row["count"] for row in middleware.recorder.store.routes()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1", "3"], done.stderr


def test_threads_that_meet_a_fork_without_hooks_wait_for_each_other(
    store_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uWSGI's threads: the first that has a request lets go of the parent's state, and until then nobody goes on."""
    ran: list[bool] = []
    done = threading.Event()

    def busy(environ: Any, start_response: Any) -> list[bytes]:
        ran.append(done.is_set())
        return app(environ, start_response)

    middleware = ProfilerMiddleware(busy, store=store_path, debug=True)
    assert not middleware.recorder.writer._slot, "as in a child: no thread is there yet"
    barrier = threading.Barrier(4)

    def request(number: int) -> None:
        barrier.wait()
        wsgi_call(middleware, f"/{number}")

    def let_go() -> None:
        time.sleep(0.2)
        middleware.recorder.writer.reset()
        done.set()

    monkeypatch.setattr(_core, "after_fork", lambda: None)  # the core's threads are all there
    monkeypatch.setattr(engine, "_children", [let_go])
    monkeypatch.setattr(engine, "_pid", 1)  # as if this were a child
    monkeypatch.setattr(middleware.recorder.writer, "_pid", 1)
    threads = [threading.Thread(target=request, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == [True] * 4
    assert {row["path"] for row in Stored(middleware.recorder).rows()} == {"/0", "/1", "/2", "/3"}


def test_a_worker_waits_and_ends() -> None:
    log: list[Any] = []

    def run(worker: _core.Worker, argument: str) -> None:
        log.append(argument)
        log.append(worker.wait(10))
        log.append(worker.wait(0))

    worker = _core.Worker()
    worker.wake()
    worker.start(run, "x")
    assert worker.join(10) and worker.join(0)
    assert log == ["x", True, False]
    with pytest.raises(RuntimeError):
        worker.start(run, "again")
    _core.Worker().wake()


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
    assert done.returncode == 0
    assert done.stderr == "slowlens: profiling every request (deterministic); viewer http://localhost/__slowlens__/\n"
    assert DirectoryStore(store_path).contents()["profiles"] == 20


BESIDE = {
    "": "",
    # Once there has been one, PyGILState_Check() says yes to everybody.
    "sub-interpreter": """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
interpreters.create()
""",
    # As a host that ends the interpreter itself: a handler of exit() that was registered before ours.
    "host": """
import ctypes
ctypes.CDLL(None).__cxa_atexit(ctypes.cast(ctypes.CDLL(None).Py_FinalizeEx, ctypes.c_void_p), None, None)
""",
}


@pytest.mark.parametrize(("library", "beside"), [
    ("CDLL", ""), ("PyDLL", ""), ("CDLL", "sub-interpreter"), ("PyDLL", "sub-interpreter"), ("PyDLL", "host")])
def test_a_process_that_c_code_ends_stores_what_waits(library: str, beside: str, store_path: str) -> None:
    """uWSGI with threads runs no hooks of Python's in a worker that is busy when it is told to stop: it calls exit(),
    holding the interpreter's lock (PyDLL) or not."""
    script = BESIDE[beside] + EXIT.format(path=[str(Path(__file__).parent)], store=store_path)
    script += f"import ctypes; ctypes.{library}(None).exit(7)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7
    assert DirectoryStore(store_path).contents()["profiles"] == 20


#: Whoever makes a thread waits for ever, as one that holds malloc's lock does.
NO_THREADS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    while (getenv("NO_THREADS") != NULL)
        pause();
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, how, run, with);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.skipif(sys.platform != "linux" or SANITIZED, reason="a library before all others")
@patient
def test_exit_in_the_middle_of_malloc_makes_no_thread(tmp_path: Path) -> None:
    """A signal's handler may call it there. What runs without the interpreter's lock ends without one."""
    (tmp_path / "no.c").write_text(NO_THREADS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "no.so", tmp_path / "no.c", "-ldl"], check=True)
    script = ("import ctypes, os, time\nfrom slowlens import _core\nworker = _core.Worker()\n"
              "worker.start(lambda worker, argument: time.sleep(0.03), None)\n"
              "os.environ['NO_THREADS'] = '1'\nctypes.CDLL(None).exit(7)")
    environ = {**os.environ, "LD_PRELOAD": str(tmp_path / "no.so"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], timeout=20, env=environ)
    assert done.returncode == 7


@patient
def test_a_worker_that_has_ended_is_not_waited_for() -> None:
    """Woken once more, nobody says that it has nothing to do."""
    script = ("import ctypes, time\nfrom slowlens import _core\nended = []\nworker = _core.Worker()\n"
              "worker.start(lambda worker, argument: None, None)\nworker.join(5)\nworker.wake()\n"
              "print(time.monotonic(), flush=True)\nctypes.PyDLL(None).exit(7)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr
    assert time.monotonic() - float(done.stdout) < 0.9, "exit() waits for a second"


KEPT = """
from flask import Flask
from slowlens.flask import Slowlens
app = Flask(__name__)
def page():
    return "ok"
app.add_url_rule("/", "page", page)
Slowlens(app, store={store!r}, mode="deterministic")
client = app.test_client()
response = client.get("/")  # freed when modules are gone
"""


def test_a_response_that_is_never_closed_ends_without_a_word_and_is_kept(store_path: str) -> None:
    pytest.importorskip("flask")
    done = subprocess.run([sys.executable, "-c", KEPT.format(store=store_path)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    store = open_store(load({"store": store_path}))
    assert killed.recover(store, store_path) == 1
    (row,) = store.list(Query()).rows
    assert (row["path"], row["kept"]) == ("/", "killed")
    # Its tree as it was when the process began to end.
    tree = json.loads(_core.Profile(store.get(row["id"])).tree(0, 1000))
    assert "page" in [one["name"].rpartition(".")[2] for one in tree["functions"]], tree["functions"]


def deep(n: int) -> int:
    return deep(n - 1) + wide(n - 1) if n else 1


def wide(n: int) -> int:
    return deep(n - 1) + wide(n - 1) if n else 1


def test_what_waits_is_bounded_in_bytes(store_path: str) -> None:
    """A disk that stands still: put does not come back."""
    def heavy(environ: Any, start_response: Any) -> list[bytes]:
        deep(12)
        start_response("200 OK", [])
        return [b"ok"]

    middleware = ProfilerMiddleware(heavy, store=store_path, debug=True, mode="deterministic", max_queued_bytes=1 << 20)
    stuck, go = threading.Event(), threading.Event()
    store = middleware.recorder.store
    put = store.put

    def slow_put(row: Any, blob: bytes) -> None:
        stuck.set()
        assert go.wait(30)
        put(row, blob)

    store.put = slow_put
    wsgi_call(middleware)
    assert stuck.wait(20)
    for _ in range(30):
        assert wsgi_call(middleware)[2] == b"ok"
    writer = middleware.recorder.writer
    assert 0 < writer._jobs.bytes <= 1 << 20
    assert writer.dropped > 0
    go.set()
    assert writer.flush(20)
    counters = middleware.recorder.counters()
    assert counters["stored"] + counters["dropped"] == 31
    assert not writer._jobs
    wsgi_call(middleware)
    assert writer.flush(20) and middleware.recorder.counters()["stored"] == counters["stored"] + 1


def test_what_waits_is_known_without_counting() -> None:
    queue: Bounded[int] = Bounded()
    chance = random.Random(5)
    wanted: deque[tuple[int, int]] = deque()
    for number in range(3000):
        size = chance.randrange(100)
        if chance.random() < 0.55:
            room = not wanted or (len(wanted) < 20 and sum(one for _, one in wanted) + size <= 700)
            assert queue.put(number, size, 20, 700) is room
            if room:
                wanted.append((number, size))
        elif wanted and chance.random() < 0.1:
            assert queue.drop() == wanted.pop()[0]
        elif wanted:
            assert queue.take() == wanted.popleft()
        assert len(queue) == len(wanted) and queue.bytes == sum(one for _, one in wanted)
    assert not Bounded[int]().put(1, 1, 0, 1)


def test_one_profile_larger_than_the_bound_is_stored_all_the_same(store_path: str) -> None:
    def heavy(environ: Any, start_response: Any) -> list[bytes]:
        deep(16)
        start_response("200 OK", [])
        return [b"ok"]

    middleware = ProfilerMiddleware(heavy, store=store_path, debug=True, mode="deterministic", max_queued_bytes=1 << 20)
    wsgi_call(middleware)
    middleware.recorder.writer.flush(20)
    row = Stored(middleware.recorder).rows()[0]
    assert json.loads(Stored(middleware.recorder).blob(row["id"]).meta())["meta"]["profile_bytes"] > 1 << 20


PLUGIN = """
seen = []
class Sink:
    def take(self, profile):
        known = {"hot", "headline"} <= set(profile.summary)
        seen.append((profile.meta["path"], known, profile.blob[:4], profile.kept, profile.slow))
        if "broken" in profile.meta["path"]:
            raise ValueError("this sink is broken")
    def close(self):
        print("closed", len(seen))
def make(options):
    return Sink() if options.release == "r7" else None
def wrong(options):
    raise RuntimeError("cannot be made")
class Nowhere:
    def __init__(self, url, options):
        self.url, self.rows = url, []
    def put(self, row, blob):
        self.rows.append(row)
    def gc(self, budget_seconds=0.05):
        return {"deleted": 0, "bytes": 0}
    def close(self):
        pass
"""
ENTRIES = """
[slowlens.sinks]
mine = a_plugin:make
wrong = a_plugin:wrong
absent = no_such_module:make
[slowlens.stores]
nowhere = a_plugin:Nowhere
"""
WITH_PLUGIN = """
import sys
sys.path[:0] = {path!r}
import a_plugin
from conftest import wsgi_call
from test_writer import make
middleware = make("nowhere://here/x?y=1", release="r7")
for path in ("/one", "/broken", "/two"):
    wsgi_call(middleware, path)
assert middleware.recorder.writer.flush(20)
store, counters = middleware.recorder.store, middleware.recorder.counters()
print(store.url, [row["path"] for row in store.rows], counters["stored"], counters["failed"])
print(a_plugin.seen)
"""


def test_sinks_and_stores_of_others(tmp_path: Path) -> None:
    """By entry points of an installed package; one that fails is no other's affair."""
    package = tmp_path / "site"
    info = package / "a_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "a_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a_plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    script = WITH_PLUGIN.format(path=[str(package), str(Path(__file__).parent)])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "nowhere://here/x?y=1 ['/one', '/broken', '/two'] 3 1"
    assert "('/two', True, b'(\\xb5/\\xfd', True, False)" in lines[1]
    assert lines[2] == "closed 3"
    assert "wrong" in done.stderr and "cannot be made" in done.stderr and "no_such_module" in done.stderr
    assert "could not be taken by mine: this sink is broken" in done.stderr


def test_what_cannot_be_encoded_is_counted(store_path: str, caplog: pytest.LogCaptureFixture) -> None:
    middleware = make(store_path)
    middleware.recorder._meta = lambda *args: {"mode": "deterministic", "id": "x", "path": object()}
    wsgi_call(middleware)
    assert middleware.recorder.writer.flush(10)
    assert middleware.recorder.counters()["failed"] == 1
    assert "could not be made" in caplog.text
    del middleware.recorder._meta
    wsgi_call(middleware)
    assert middleware.recorder.writer.flush(10) and middleware.recorder.counters()["stored"] == 1


def test_memory_of_a_burst_is_given_back(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slowlens.writer.TRIM_EVERY", 0.0)
    monkeypatch.setattr("slowlens.writer.TRIM_BYTES", 1)
    middleware = make(store_path)
    trims = []
    monkeypatch.setattr("slowlens.writer._core.trim", lambda: trims.append(_core.active_count()))
    wsgi_call(middleware)
    assert middleware.recorder.writer.flush(10)
    deadline = time.monotonic() + 10
    while not trims and time.monotonic() < deadline:
        time.sleep(0.01)
    assert trims
    monkeypatch.undo()
    _core.trim()
