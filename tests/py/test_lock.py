"""Our locks are locks of the system's threads, whatever gevent or eventlet make of Python's, and whenever."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from slowlens.lock import Lock, RLock

PROGRAM = """
import sys
library, when, store = sys.argv[1:]
def patch():
    if library == "gevent":
        from gevent import monkey
        monkey.patch_all()
    else:
        import eventlet
        eventlet.monkey_patch()
if when == "early":
    patch()
from slowlens.wsgi import ProfilerMiddleware
from slowlens import lock
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
middleware = ProfilerMiddleware(app, store=store, debug=True, log=False)
if when == "late":
    patch()
if library == "gevent":
    import gevent
    spawn, join = gevent.spawn, lambda one: one.join()
else:
    import eventlet
    spawn, join = eventlet.spawn, lambda one: one.wait()
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "wsgi.url_scheme": "http",
           "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
store = middleware.recorder.store
def request():
    b"".join(middleware(dict(environ), lambda *a: None))
    store.list(Query(limit=5))
from slowlens.store import Query
for _ in range(5):
    for one in [spawn(request) for _ in range(10)]:
        join(one)
assert middleware.recorder.writer.flush(30)
assert len(store.list(Query(limit=500)).rows) == 50
assert type(store._lock) is type(store._reader._lock) is lock.RLock
held = []
def first():
    with store._lock, store._lock:
        held.append("in")
        import time
        time.sleep(0.05)  # switches to the other one
        held.append("out")
def second():
    with store._lock:
        held.append("second")
for one in [spawn(first), spawn(second)]:
    join(one)
assert held == ["in", "out", "second"], held
assert store._lock._taken == store._lock.qsize()
print("ok")
"""


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_whatever_is_patched_and_whenever(library: str, when: str, store_path: str) -> None:
    if subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {library}"], capture_output=True).returncode:
        return  # Debian has it for some of its interpreters only
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, library, when, store_path],
                          capture_output=True, text=True, timeout=120)
    assert done.stdout.endswith("ok\n"), done.stderr


def test_threads_exclude_each_other() -> None:
    lock, inside, most = RLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock, lock:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and inside == 0


def test_an_exception_gives_it_back() -> None:
    lock = RLock()
    with pytest.raises(ValueError), lock:
        raise ValueError
    assert lock._taken == lock.qsize()
    done = threading.Event()

    def take() -> None:
        with lock:
            done.set()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(30)
    assert done.is_set()


def test_not_in_time() -> None:
    lock = Lock()
    assert lock.acquire(0) and not lock.acquire(0)
    lock.release()
    assert lock.acquire(0)


class Told(BaseException):
    """What a handler of signals raises."""


if sys.version_info[:2] != (3, 14):  # which runs handlers between any lock's __enter__ and the block

    @pytest.mark.parametrize("made", [Lock, RLock])
    def test_a_handler_that_raises_at_any_step_leaves_it_free(made: type[Lock] | type[RLock]) -> None:
        lock, times, held = made(), 0, 0

        def tell(*_: object) -> None:
            raise Told

        def take_and_take(seconds: float) -> None:
            """A function: 3.13 does not have in a ``try`` what the jump back of a loop there raises."""
            nonlocal held
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                with lock:
                    held += 1
                    if made is RLock:
                        with lock:
                            held += 1

        before = signal.signal(signal.SIGALRM, tell)
        try:
            for n in range(3000):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n % 40))
                    take_and_take(5)  # what is raised in a __del__ or a collector's callback goes nowhere
                except Told:
                    times += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        free = []
        thread = threading.Thread(target=lambda: (lock.__enter__(), free.append(True)), daemon=True)
        thread.start()
        thread.join(30)
        assert free and 2900 < times <= 3000 and held > 0
