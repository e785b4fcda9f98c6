"""What must not happen to the process that we are in."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.asgi import ProfilerMiddleware as AsgiMiddleware
from slowlens.wsgi import ProfilerMiddleware

from conftest import functions, record, wsgi_call


def run(script: str, *arguments: str, seconds: float = 60) -> str:
    """What a process of its own printed; it must end by itself."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script, *arguments],
        capture_output=True, text=True, timeout=seconds, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- one writer at a time ----


def test_every_allocation_may_fail() -> None:
    script = pathlib.Path(__file__).with_name("no_memory.py")
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_samples_and_events_write_one_recording() -> None:
    """The main strand is looked at without the GIL while another thread's events begin and end waits in it."""
    recording = _core.Recording("none", follows=True)
    recording.enter()
    context = contextvars.copy_context()
    stop = threading.Event()

    def other() -> None:
        while not stop.is_set():
            context.run(len, ())
            context.run(wait_once)

    def wait_once() -> None:
        pass

    _core.sampler_configure(50e-6, 0)
    thread = threading.Thread(target=other)
    thread.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        sum(range(50))
    stop.set()
    thread.join()
    _core.sampler_configure(1e-3, 0)
    recording.leave()
    recording.finish()
    assert recording.totals()["samples"] > 1000
    rows = json.loads(_core.Profile(recording.encode({})).timeline(0))["rows"]
    assert all(row["from_ns"] <= row["to_ns"] for row in rows)


COLLECTS = """
import asyncio, gc
from slowlens import _core, engine
engine.prepare()
class Cycle:
    def __init__(self, held):
        self.me, self.held = self, held
async def child(): pass
def due(count): gc.set_threshold(gc.get_count()[0] + count - 4, 1000, 1000)
async def app():
    loop = asyncio.get_running_loop()
    for i in range(200):
        gc.set_threshold(100000)
        Cycle(_core.Recording("none", sampled=True, follows=True))
        loop.call_soon(due, i % 12)
        await loop.create_task(child())
async def main():
    recording = _core.Recording("none", sampled=True, follows=True)
    await recording.step(app())
    recording.finish()
    print(recording.totals()["strands"])
asyncio.run(main())
"""


def test_a_collection_finds_unfinished_recordings_at_any_step() -> None:
    assert int(run(COLLECTS)) >= 2


def test_a_del_comes_back_into_the_writer(store_path: str) -> None:
    """The collector may run wherever the writer takes a lock, and what it finds may be a request."""
    app = ProfilerMiddleware(lambda environ, start: iter([b"x"]), store=store_path, keep="all", log=False)

    class Connection:
        pass

    writer: Any = app.recorder.writer
    done = threading.Event()
    start = writer.start

    def collecting() -> Any:
        writer.start = start
        connection: Any = Connection()
        connection.me, connection.body = connection, app(_environ(), lambda *_: None)
        del connection
        gc.collect()
        return start()

    def serve() -> None:
        body: Any = app(_environ(), lambda *_: None)
        writer.start = collecting
        body.close()
        done.set()

    threading.Thread(target=serve, daemon=True).start()
    assert done.wait(20)
    assert writer.flush(10)
    assert writer.stored == 2


def _environ() -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}


def test_a_recording_that_is_encoded_is_discarded_afterwards() -> None:
    def many() -> None:
        space: dict[str, Any] = {}
        exec("\n".join(f"def f{i}(n): return n and f{(i * 7 + 1) % 300}(n - 1)" for i in range(300)), space)
        for i in range(300):
            space[f"f{i}"](40)

    recording = record(many)
    got: list[Any] = []
    start = threading.Barrier(3)

    def encode() -> None:
        start.wait()
        try:
            got.append(len(recording.encode({}, 19)))
        except RuntimeError:
            got.append(0)

    threads = [threading.Thread(target=encode) for _ in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    while not got:
        try:
            recording.totals()
        except RuntimeError:  # it is being encoded: whatever is asked of it is answered or refused
            recording.discard()
            break
    for thread in threads:
        thread.join()
    assert max(got) > 0
    recording.discard()
    with pytest.raises(RuntimeError):
        recording.encode({})


# ---- nothing of the request is kept ----


class Upload:
    pass


def test_a_request_is_freed_when_it_is_over(store_path: str) -> None:
    alive: weakref.WeakSet[Upload] = weakref.WeakSet()

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        alive.add(environ.setdefault("upload", Upload()))
        start("200 OK", [])
        return [b"x"]

    wrapped = ProfilerMiddleware(app, store=store_path, keep="slow", log=False)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            wsgi_call(wrapped)
        assert len(alive) == 0
    finally:
        gc.enable()


def test_an_asgi_request_is_freed_when_it_is_over(store_path: str) -> None:
    alive: weakref.WeakSet[Upload] = weakref.WeakSet()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        alive.add(scope.setdefault("upload", Upload()))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    wrapped = AsgiMiddleware(app, store=store_path, keep="slow", log=False)

    async def send(message: Any) -> None:
        pass

    async def main() -> None:
        for _ in range(20):
            await wrapped({"type": "http", "method": "GET", "path": "/", "headers": []}, send, send)  # type: ignore[arg-type]
        assert len(alive) == 0

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_a_task_that_outlives_its_app_sends(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def late() -> None:
            await asyncio.sleep(0.01)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        tasks.append(asyncio.create_task(late()))

    tasks: list[asyncio.Task[None]] = []
    got: list[str] = []

    async def send(message: Any) -> None:
        got.append(message["type"])

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await AsgiMiddleware(app, store=store_path, keep="slow", log=False)(scope, send, send)  # type: ignore[arg-type]
        await tasks[0]

    asyncio.run(main())
    assert got == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_a_context_made_for_a_thread_is_freed_with_it(mode: str, store_path: str) -> None:
    variable: contextvars.ContextVar[Upload | None] = contextvars.ContextVar("upload", default=None)
    seen: list[int] = []

    @slowlens.profile("uploads", mode=mode, store=store_path, log=False)
    async def work() -> None:
        alive = []
        for _ in range(12):
            upload = Upload()
            alive.append(weakref.ref(upload))
            token = variable.set(upload)
            await asyncio.to_thread(len, "x")
            variable.reset(token)
            del upload, token
            seen.append(sum(one() is not None for one in alive))

    asyncio.run(work())
    assert max(seen) <= 2


MADE = "def made(x):\n    return len(str(x))\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 watches no code objects")
def test_code_objects_of_a_request_are_freed_and_later_ones_are_watched(store_path: str) -> None:
    freed: list[int] = []

    def view(count: int) -> None:
        for n in range(count):
            space: dict[str, Any] = {}
            exec(compile(MADE, f"/app/made{n % 7}.py", "exec"), space)
            weakref.finalize(space["made"].__code__, freed.append, n)
            space["made"](n)

    profiled = slowlens.profile("made", mode="deterministic", c_calls="chosen", store=store_path, keep="slow")
    run_view = profiled(view)
    for _ in range(90):
        run_view(100)
    profiled_again = record(lambda: view(1), "chosen")
    calls = {row["function"]["name"]: row["calls"] for row in functions(profiled_again)}
    assert calls["builtins.len"] == 1
    assert profiled_again.totals()["unwatched"] == 0
    profiled_again.discard()
    assert len(freed) > 8500
    assert _core.engine_info()["watched"] < 2000


# ---- memory ----


def test_many_recordings_at_once_share_one_limit() -> None:
    def grow(n: int) -> int:
        return grow(n - 1) + other(n - 1) if n else 1

    def other(n: int) -> int:
        return grow(n - 1) + other(n - 1) if n else 1

    before = _core.engine_info()["memory"]["bytes"]
    limit = before + (6 << 20)
    _core.limit_memory(limit)
    recordings = []
    try:
        for _ in range(8):
            recordings.append(record(lambda: grow(13), "none", goes_on=True))
    except RuntimeError as error:
        assert "max_active_bytes" in str(error)
    finally:
        _core.limit_memory(128 << 20)
    assert before < _core.engine_info()["memory"]["bytes"] <= limit
    assert len(recordings) >= 3
    for recording in recordings:  # what is full is whole
        assert json.loads(_core.Profile(recording.encode({})).summary())["wall_ns"] > 0
        recording.discard()
    assert _core.engine_info()["memory"]["bytes"] < before + (1 << 20)


# ---- forks ----


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")
def test_after_fork_where_nobody_forked_leaves_one_sampler() -> None:
    """Not even while it looks at a request: it ends first, and the next request has one of its own."""
    script = """
import os, time
from slowlens import _core, engine
engine.prepare()
def samplers():
    names = [open(f"/proc/self/task/{one}/comm").read() for one in os.listdir("/proc/self/task")]
    return sum(name.startswith("slowlens-sample") for name in names)
def sampled(count):
    recording = _core.Recording("none", sampled=True)
    recording.enter()
    until, told = time.monotonic() + 60, _core.engine_info()["sampler"]["samples"]
    while _core.engine_info()["sampler"]["samples"] < told + count:
        assert time.monotonic() < until
    return recording
for _ in range(3):
    running = sampled(3)
    assert samplers() == 1, samplers()
    _core.after_fork()
    assert samplers() == 0, samplers()
    running.leave(); running.finish(); running.discard()
again = sampled(3)
assert samplers() == 1
again.leave(); again.finish()
assert again.totals()["samples"] >= 3
again.discard()
"""
    run(script)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")
def test_a_fork_without_hooks_reads_its_own_memory() -> None:
    script = """
import ctypes, json, os, time
from slowlens import _core, engine
engine.prepare()
_core.sampler_configure(200e-6, 0)
def spin_in_parent(end):
    while time.monotonic() < end: sum(range(100))
def spin_in_child(end):
    while time.monotonic() < end: sum(range(100))
def names(work):
    recording = _core.Recording("none", sampled=True)
    recording.enter(); work(time.monotonic() + 1.5); recording.leave(); recording.finish()
    rows = json.loads(_core.Profile(recording.encode({})).functions(9))["rows"]
    return {row["function"]["name"] for row in rows}
recording = _core.Recording("none", sampled=True); recording.enter(); recording.leave(); recording.discard()
pid = ctypes.PyDLL(None).fork()
found = names(spin_in_parent if pid else spin_in_child)
if pid == 0:
    os._exit("spin_in_parent" in found or "spin_in_child" not in found)
assert "spin_in_child" not in found and "spin_in_parent" in found
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    run(script)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")
def test_each_thread_of_a_child_forked_without_hooks_reads_its_own_memory() -> None:
    """Another one may be the first to read there: that says nothing of who forked."""
    script = """
import _thread, ctypes, os
from slowlens import _core, ownership
assert _core.sampler_test(ownership.OWN) is None
pid = getattr(ctypes.PyDLL(None), "_Fork", ctypes.PyDLL(None).fork)()
if pid == 0:
    done, found = _thread.allocate_lock(), []
    def other():
        found.append(_core.sampler_test(ownership.OWN))
        done.release()
    done.acquire()
    _thread.start_new_thread(other, ())
    done.acquire()
    found.append(_core.sampler_test(ownership.OWN))
    print(found, flush=True)
    os._exit(found != [None, None])
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    run(script)


# ---- frames that are no functions ----


def test_what_the_interpreter_pushes_is_no_function(store_path: str) -> None:
    """CPython 3.13+ runs a specialised call of a class through a frame of its own, which is called __init__."""
    class Report:
        def __init__(self, seconds: float) -> None:
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass

    def build() -> None:
        for _ in range(20):
            Report(0.01)

    recording = record(build, sampled=True)
    names = {(row["function"]["name"], row["function"]["file"]) for row in functions(recording)}
    assert not [name for name, file in names if file == "__init__"]
    assert any(name.endswith("Report.__init__") for name, _ in names)


SPECIALISED = """
import sys
from slowlens import _core, engine
class Stack:
    def __init__(self, test):
        if test:
            engine.prepare()
def call(*args): return Stack(*args)
class Stacked:
    def __call__(self, test): return [Stack(n) for n in test][0]
for test in [[False]] * 8 + [[True]]:
    last = Stacked()(test)
print(_core.engine_info()["sampler"]["why_not"])
"""


def test_the_self_test_holds_wherever_it_is_called_from() -> None:
    assert run(SPECIALISED).strip() == "None"


@pytest.mark.parametrize("middlewares", [0, 1, 2, 3])
def test_a_stock_django_project_is_sampled(middlewares: int) -> None:
    pytest.importorskip("django")
    names = ["common.CommonMiddleware", "security.SecurityMiddleware", "clickjacking.XFrameOptionsMiddleware"]
    script = f"""
import sys, tempfile
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__",
    MIDDLEWARE=["slowlens.django.ProfilerMiddleware",
                *("django.middleware." + name for name in {names[:middlewares]!r})],
    SLOWLENS={{"store": tempfile.mkdtemp(), "mode": "sampling", "keep": "all"}})
import django
django.setup()
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("x"))]
from django.test import Client
assert Client().get("/").status_code == 200
from slowlens.django.middleware import make_recorder
counters = make_recorder().counters()
print(counters["refused"], counters["engine"]["sampler"]["why_not"])
"""
    assert run(script).strip() == "0 None"


def test_options_that_are_lists_are_options(store_path: str) -> None:
    @slowlens.profile("lists", keep=["slow"], store=store_path)
    def work() -> int:
        return 1

    assert work() == 1


# ---- interpreters that we stay out of ----

REFUSED = """
import sys, tempfile
{pretend}
import slowlens
from slowlens import engine
from slowlens.asgi import ProfilerMiddleware as Asgi
from slowlens.cli import main
from slowlens.wsgi import ProfilerMiddleware
store = tempfile.mkdtemp()
app = ProfilerMiddleware(lambda environ, start: [b"the app runs"], store=store)
assert app({{"REQUEST_METHOD": "GET", "PATH_INFO": "/"}}, None) == [b"the app runs"]
assert slowlens.profile("task", store=store)(len)("abc") == 3
slowlens.tag("key", 1)
assert {word!r} in engine.why_not()
assert main(["doctor"]) == 1
files = [str(getattr(module, "__file__", None)) for name, module in sys.modules.items() if name.startswith("slowlens")]
assert not [file for file in files if file.endswith((".so", ".pyd"))], "the extension was loaded"
"""

FREE_THREADED = """
import sysconfig
asked = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else asked(name)
"""

SUB_INTERPRETER = """
import types
sys.modules["_interpreters"] = types.SimpleNamespace(get_current=lambda: (1, 0), get_main=lambda: (0, 0))
"""


@pytest.mark.parametrize(("pretend", "word"), [(FREE_THREADED, "free-threaded"), (SUB_INTERPRETER, "sub-interpreters")])
def test_the_extension_is_not_loaded_where_it_would_do_harm(pretend: str, word: str) -> None:
    said = run(REFUSED.format(pretend=pretend, word=word))
    assert word in said and said.count("\n") == 1


def test_a_real_sub_interpreter_is_refused() -> None:
    script = """
import sys
try:
    import _interpreters as module
except ImportError:
    import _xxsubinterpreters as module
code = '''
import sys
sys.path[:] = %r
import slowlens
from slowlens import engine
assert "sub-interpreters" in engine.why_not()
assert not hasattr(sys.modules["slowlens._core"], "__file__")
'''
failed = None
try:
    failed = module.run_string(module.create(), code % (sys.path,))
except Exception as error:
    failed = error
assert failed is None, failed
print("done")
"""
    assert run(script) == "done\n"


def test_the_type_of_coroutines_is_as_it_was_once_nothing_is_sampled() -> None:
    def watched() -> bool:
        return bool(_core.engine_info()["sampler"]["tasks"])

    async def app() -> None:
        assert watched()
        await asyncio.create_task(asyncio.sleep(0.001))
        outer.finish()  # the last one, in the middle of a task's life
        assert not watched()
        await asyncio.sleep(0)

    assert not watched()
    outer = _core.Recording("none", sampled=True, follows=True)
    inner = _core.Recording("none", sampled=True, follows=True)
    inner.finish()
    assert watched()

    async def main() -> None:
        await outer.step(app())

    asyncio.run(main())
    assert not watched()
    for recording in (outer, inner):
        assert recording.totals()["dropped"] == 0
        recording.discard()


def test_threads_that_record_before_anything_was_prepared() -> None:
    """Whoever uses the extension by itself: what looks at stacks has not been tried, and nothing looks at one."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", """
import threading
from slowlens import _core

def records():
    for _ in range(200):
        recording = _core.Recording()
        recording.enter()
        sum(range(50))
        recording.leave()
        recording.finish()
        recording.discard()

threads = [threading.Thread(target=records) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


THREADS_OF_C = """
import ctypes, threading
from slowlens import _core, engine

engine.prepare()
libc = ctypes.CDLL(None)
entered = 0

@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def inside(argument):
    global entered
    entered += 1

def make():
    for _ in range(200):
        thread = ctypes.c_ulong()
        assert libc.pthread_create(ctypes.byref(thread), None, inside, None) == 0
        libc.pthread_join(thread, None)

maker = threading.Thread(target=make)
maker.start()
while maker.is_alive():
    recording = _core.Recording(follows=True)
    for _ in range(50):
        recording.enter()
        recording.leave()
    recording.finish()
    recording.discard()
print(entered)
"""


def test_threads_that_c_code_makes_while_a_request_follows_threads() -> None:
    """Their states are in the interpreter's list before they are filled; a request on 3.11 put its hook into them."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", THREADS_OF_C], capture_output=True, text=True,
                          timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "200"), done.stderr
