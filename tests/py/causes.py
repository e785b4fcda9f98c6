"""Requests that are slow for a reason that we know: what the first sentence must name.

Each cause is a small application; ``profile`` sends it one request, as slowlens is used, and gives what the core says
of it. The test and tests/bench/insight.py read the same table, and run it in a process of its own (Django is set up
once in a process):

    causes.py deterministic|sampling [NAME ...]     a line of JSON each: {"name", "mode", "summary"}
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import json
import os
import queue
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from slowlens import _core
from slowlens.asgi import ProfilerMiddleware as AsgiMiddleware
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware

from conftest import wsgi_call

#: How much a request does: seconds of work or waiting.
SIZE = float(os.environ.get("CAUSES_SIZE", "0.06"))


class Cause(NamedTuple):
    name: str
    says: str  #: what the sentence must match
    view: Callable[[], Any]  #: sync: the request; async: a coroutine function
    modes: tuple[str, ...] = ("deterministic", "sampling")
    beside: Callable[[], Any] | None = None  #: a context manager around the request


CAUSES: list[Cause] = []


def cause(says: str, *modes: str, beside: Callable[[], Any] | None = None) -> Callable[[Any], Any]:
    def add(view: Any) -> Any:
        CAUSES.append(Cause(view.__name__, says, view, modes or ("deterministic", "sampling"), beside))
        return view

    return add

LISTS = [list(range(50)) for _ in range(600)]


def until(seconds: float = SIZE) -> Iterator[int]:
    """Turns, until so much time has passed."""
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end:
        yield turn
        turn += 1


# ---- code ----


@cause(r"copy\.deepcopy, called by causes\.copies at py/causes\.py:\d+")
def copies() -> None:
    data = {"rows": [{"id": i, "tags": ["a", "b"]} for i in range(40)]}
    for _ in until():
        copy.deepcopy(data)


@cause(r"causes\.compute\b.* at py/causes\.py:\d+")
def computes() -> int:
    return compute(SIZE)


def compute(seconds: float) -> int:
    total = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i in range(200):
            total += i * i
    return total


@cause(r"json.*called by causes\.as_json at py/causes\.py:\d+")
def as_json() -> None:
    data = [{"id": i, "text": "x" * 50} for i in range(300)]
    for _ in until():
        json.dumps(data, indent=1)


@cause(r"re\..*called by causes\.searches at py/causes\.py:\d+|re.*[Pp]attern.*called by causes\.searches")
def searches() -> None:
    for _ in until():
        re.sub(r"(a+)+c", "", "a" * 16)


@cause(r"(zlib.*called by causes\.packs|causes\.packs itself.*) at py/causes\.py:\d+")
def packs() -> None:
    data = os.urandom(100_000)
    for _ in until():
        zlib.compress(data, 9)


def passes_on(function: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(function)
    def wrapper() -> Any:
        return function()

    return wrapper


@cause(r"copy\.deepcopy, called by causes\.wrapped at py/causes\.py:\d+")
@passes_on
@passes_on
def wrapped() -> None:
    copies_of([list(range(50)) for _ in range(20)])


def copies_of(data: Any) -> None:
    for _ in until():
        copy.deepcopy(data)


CAUSES[-1] = CAUSES[-1]._replace(
    says=r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")


@cause(r"garbage collector.*py/causes\.py:\d+")
def collects() -> None:
    kept = [[i] for i in range(200_000)]
    for _ in until():
        gc.collect()
    del kept


# ---- waiting ----


@cause(r"sleep.*causes\.sleeps at py/causes\.py:\d+")
def sleeps() -> None:
    time.sleep(SIZE)


_lock = threading.Lock()


@contextmanager
def lock_is_held() -> Iterator[None]:
    ready = threading.Event()

    def hold() -> None:
        with _lock:
            ready.set()
            time.sleep(SIZE * 2)

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    yield
    thread.join()


@cause(r"(lock|acquire).*causes\.locked at py/causes\.py:\d+", beside=lock_is_held)
def locked() -> None:
    with _lock:
        pass


_queue: queue.Queue[int] = queue.Queue()


@contextmanager
def late_item() -> Iterator[None]:
    timer = threading.Timer(SIZE, _queue.put, (1,))
    timer.start()
    yield
    timer.join()


@cause(r"queue\.Queue\.get, called by causes\.takes at py/causes\.py:\d+", beside=late_item)
def takes() -> None:
    _queue.get()


@cause(r"socket.*causes\.asks at py/causes\.py:\d+|recv.*causes\.asks at py/causes\.py:\d+")
def asks() -> None:
    one, other = socket.socketpair()
    timer = threading.Timer(SIZE, other.sendall, (b"x",))
    timer.start()
    one.recv(1)
    timer.join()
    one.close()
    other.close()


@cause(r"subprocess.*called by causes\.runs at py/causes\.py:\d+")
def runs() -> None:
    subprocess.run(["sleep", str(SIZE)], check=True)


@contextmanager
def spinning_threads() -> Iterator[None]:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(500))

    threads = [threading.Thread(target=spin) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@cause(r"GIL", "sampling", beside=spinning_threads)
def fights() -> None:
    compute(SIZE * 4)


@contextmanager
def starved() -> Iterator[None]:
    """Four other processes on the only CPU that this thread may use."""
    cpu = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    code = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint('on', flush=True)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code, str(cpu)], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        os.sched_setaffinity(0, {cpu})
        yield
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.communicate()


@cause(r"waiting for a CPU.*py/causes\.py:\d+", "sampling", beside=starved)
def hungry() -> None:
    compute(SIZE * 8)


# ---- threads ----


@cause(r"causes\.compute.* at py/causes\.py:\d+")
def pooled() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(compute, SIZE).result()


@cause(r"causes\.compute.* at py/causes\.py:\d+")
def joins() -> None:
    thread = threading.Thread(target=compute, args=(SIZE,))
    thread.start()
    thread.join()


# Who hands work to a thread waits for the GIL that this takes, 5 ms at a time, before it waits for the work.
@cause(r"(copy\.deepcopy, awaited by |(the GIL|a CPU), which .*)causes\.pooled_library at py/causes\.py:\d+",
       "deterministic")
def pooled_library() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy.deepcopy, LISTS).result()


# ---- database and templates ----


@cause(r"(database|sqlite3|queries).*causes\.slow_query at py/causes\.py:\d+")
def slow_query() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT sum(i) FROM n"
    ).fetchall()
    connection.close()


@functools.cache
def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, author INTEGER, title TEXT)")
    connection.executemany("INSERT INTO book VALUES (?, ?, ?)", [(i, i % 50, f"book {i}") for i in range(2000)])
    return connection


@cause(r"(database|sqlite3|queries).*causes\.each_author at py/causes\.py:\d+")
def each_author() -> None:
    for author in range(400):
        database().execute("SELECT title FROM book WHERE author = ?", (author,)).fetchall()


@functools.cache
def jinja_page() -> Any:
    import jinja2

    return jinja2.Environment().from_string(
        "{% for row in rows %}<p>{{ row.a|upper }} {{ row.b|length }} {{ row.a|replace('x', 'y') }}</p>{% endfor %}")


@cause(r"(templates|[Tt]emplate\.render).*causes\.renders at py/causes\.py:\d+")
def renders() -> None:
    jinja_page().render(rows=[{"a": "xyz", "b": [1, 2]} for _ in range(6000)])


@functools.cache
def django_page() -> Any:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
        django.setup()
    from django.template import engines

    return engines["django"].from_string(
        "{% for row in rows %}{% if row.a %}<p>{{ row.a|upper }} {{ row.b|length }}</p>{% endif %}{% endfor %}")


@cause(r"(templates|[Tt]emplate\.render).*causes\.renders_django at py/causes\.py:\d+")
def renders_django() -> None:
    django_page().render({"rows": [{"a": "xyz", "b": [1, 2]} for _ in range(1500)]})


@cause(r"(database|queries).*causes\.django_queries at py/causes\.py:\d+")
def django_queries() -> None:
    django_page()
    from django.db import connection

    for number in range(150):
        with connection.cursor() as cursor:
            cursor.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
                           "SELECT sum(i) + %s FROM n", [number])
            cursor.fetchall()


# ---- the event loop ----


@cause(r"(sleep|awaiting).*causes\.pauses at py/causes\.py:\d+")
async def pauses() -> None:
    await asyncio.sleep(SIZE)


@cause(r"causes\.compute.*py/causes\.py:\d+")
async def in_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, compute, SIZE)


async def slow_service() -> None:
    await asyncio.sleep(SIZE)


async def quick_service() -> None:
    await asyncio.sleep(SIZE / 20)


@cause(r"(causes\.slow_service|sleep).*py/causes\.py:\d+")
async def gathers() -> None:
    await asyncio.gather(quick_service(), slow_service(), quick_service())


async def heavy_task() -> None:
    await asyncio.sleep(0)
    compute(SIZE)


@cause(r"causes\.compute.*py/causes\.py:\d+")
async def own_task() -> None:
    await asyncio.create_task(heavy_task())


async def busy() -> None:
    """Another request, which takes the loop for itself."""
    await asyncio.sleep(SIZE / 20)
    compute(SIZE * 2)


@cause(r"event loop, which was busy with .*/busy.*py/causes\.py:\d+")
async def held_up() -> None:
    for _ in range(5):
        await asyncio.sleep(SIZE / 50)


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")
async def keeps_the_loop() -> None:
    copies_of([list(range(50)) for _ in range(20)])


# ---- behind a middleware of Starlette's, which runs the view in a task of its own ----


async def through(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@functools.cache
def behind(endpoint: Callable[[Any], Any]) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    return Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=through)])


async def behind_middleware(endpoint: Callable[[Any], Any]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    await behind(endpoint)({"type": "http", "method": "GET", "path": "/", "query_string": b"", "root_path": "",
                            "headers": [], "scheme": "http", "http_version": "1.1"}, receive, send)


async def quick_endpoint(request: Any) -> Any:
    return answer()


@functools.cache
def starlette_is_loaded() -> None:
    """What it imports when it first answers is not the request's cause."""
    asyncio.run(behind_middleware(quick_endpoint))


def answer() -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("done")


async def holding_endpoint(request: Any) -> Any:
    copies_of([list(range(50)) for _ in range(20)])
    return answer()


def sync_endpoint(request: Any) -> Any:
    copies_of([list(range(50)) for _ in range(20)])
    return answer()


async def awaiting_endpoint(request: Any) -> Any:
    await slow_service()
    return answer()


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")
async def middleware_holds() -> None:
    await behind_middleware(holding_endpoint)


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")
async def middleware_sync() -> None:
    await behind_middleware(sync_endpoint)


@cause(r"(causes\.slow_service|sleep).*py/causes\.py:\d+")
async def middleware_awaits() -> None:
    await behind_middleware(awaiting_endpoint)


async def job_beside() -> None:
    await asyncio.to_thread(time.sleep, SIZE / 2)


@cause(r"(causes\.slow_service|sleep).*py/causes\.py:\d+")
async def gathers_a_job() -> None:
    """The job is another task's: what the first one awaits is not it."""
    await asyncio.gather(slow_service(), job_beside())


# ---- the client; too short ----


def slow_client() -> Iterator[bytes]:
    for _ in range(4):
        yield b"x"


CAUSES.append(Cause("slow_client", r"the client", slow_client))


@cause(r"Not enough samples|waiting for a CPU", "sampling")  # that much of it is measured
def short() -> None:
    compute(0.001)


def profile(one: Cause, mode: str, store: Path) -> dict[str, Any]:
    """What the core says of one request that is slow for this reason."""
    for prepare in (database, jinja_page, django_page, starlette_is_loaded):
        prepare()
    with (one.beside or _nothing)():
        recorder = _ask_asgi(one, mode, store) if inspect.iscoroutinefunction(one.view) else _ask_wsgi(one, mode, store)
    assert recorder.writer.flush(10)
    row = next(row for row in recorder.store.list(Query(sort="-started")).rows if row["path"] == f"/{one.name}")
    summary: dict[str, Any] = json.loads(_core.Profile(recorder.store.get(row["id"])).summary())
    return summary


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _options(mode: str, store: Path) -> dict[str, Any]:
    return {"store": str(store), "mode": mode, "keep": "all", "project": (str(Path(__file__).parent),),
            "sampler_cpu": 100}


def _ask_wsgi(one: Cause, mode: str, store: Path) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        if inspect.isgeneratorfunction(one.view):
            start_response("200 OK", [])
            return one.view()
        one.view()
        start_response("200 OK", [])
        return [b"done"]

    def impatient(environ: Any, start_response: Any) -> Any:
        for chunk in middleware(environ, start_response):
            if one.view is slow_client:
                time.sleep(SIZE / 4)  # the client takes it slowly
            yield chunk

    middleware = ProfilerMiddleware(app, **_options(mode, store))
    wsgi_call(impatient, "/" + one.name)
    return middleware.recorder


def _ask_asgi(one: Cause, mode: str, store: Path) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (busy if scope["path"] == "/busy" else one.view)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    middleware = AsgiMiddleware(app, **_options(mode, store))
    scope = {"type": "http", "method": "GET", "query_string": b"", "root_path": "",
             "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80),
             "scheme": "http", "http_version": "1.1"}

    async def serve() -> None:
        paths = [f"/{one.name}", "/busy"] if one.view is held_up else [f"/{one.name}"]
        await asyncio.gather(*[middleware({**scope, "path": path}, receive, send) for path in paths])

    asyncio.run(serve())
    return middleware.recorder


def main() -> None:
    mode, *names = sys.argv[1:]
    for one in CAUSES:
        if mode in one.modes and (one.name in names or not names):
            # What the one before left behind (Django's connection of a context that is over) warns when it is
            # collected, and a warning writes into the globals of whoever runs then: werkzeug's own import walks its.
            gc.collect()
            with tempfile.TemporaryDirectory() as folder:
                summary = profile(one, mode, Path(folder) / "store")
            print(json.dumps({"name": one.name, "mode": mode, "summary": summary}), flush=True)


if __name__ == "__main__":
    main()
