"""What a whole request costs in process, beside everyone: six pages, each alone and under each profiler.

    pages.py [--rounds N] [--variants V,...] [--json FILE] [PAGE ...]

Pages: the demo's list and detail page and its JSON (Django, SQLite), Jinja2 by Flask, a Starlette endpoint of three
awaits and two child tasks, FastAPI with ten queries by SQLAlchemy over aiosqlite. Each variant is a process of its own
with the same application; they take turns of some 60 ms of the bare one's time, a turn a round, one request after the
other, without a socket. Told is the median over the rounds of what a request takes, as a ratio to the bare one's of the
same round: its process' CPU (all threads, so the sampler and the writer, too), and the time by the clock. All on one
CPU, as a worker of a server has it: threads that hand work to each other over two cost what the kernel makes of it.

Between its turns a process does nothing, so the sampler has its budget saved and looks as often as it is asked to (what
is left of that under full load: load.py). Nothing is kept but by ``all kept``, where a turn ends when all is stored.

Peers: cProfile (Werkzeug's middleware; around the request where the page is ASGI), pyinstrument, yappi (around each
request), django-silk without and with its profiler, ddtrace's profiler (PyPI; as it comes), OpenTelemetry's
instrumentation of framework, templates and queries with spans that go nowhere, and on CPython 3.15 Tachyon
(``profiling.sampling``, 1 kHz, all threads) attached from another process on another CPU, which is not counted. What
is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apps

TURN_NS = 60e6
#: name: the page's path
PAGES = {"django-list": "/", "django-detail": "/books/7/", "django-json": "/api/books/", "flask-jinja2": "/",
         "starlette": "/", "fastapi-sqlalchemy": "/"}
#: Options beside those that keep it quiet.
OURS: dict[str, dict[str, Any]] = {
    "not selected": {"sample_rate": 0.0},
    "sampling": {},
    "sampling, layers off": {"layers": "off"},
    "sampling, 10 kHz, no limit": {"interval_us": 100, "sampler_cpu": 0},
    "sampling, all kept": {"keep": "all"},
    "deterministic": {"mode": "deterministic"},
    "deterministic, layers off": {"mode": "deterministic", "layers": "off"},
}
AROUND = {"cProfile": apps.cprofile, "pyinstrument": apps.pyinstrument, "yappi": apps.yappi}
SILK = ("django-silk", "django-silk, its profiler")
PEERS = (*AROUND, *SILK, "ddtrace's profiler", "OpenTelemetry", "Tachyon, attached")
VARIANTS = ("bare", *OURS, *PEERS)


# ---- in a child ----


def options(variant: str) -> dict[str, Any]:
    return {"mode": "sampling", "keep": "slow", "slow_ms": 1e6, "log": False, "debug": False,
            "store": tempfile.mkdtemp(dir=os.environ["PAGES_DATA"]), **OURS[variant]}


def django_instrumented() -> None:
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

    apps.opentelemetry()
    SQLite3Instrumentor().instrument()
    DjangoInstrumentor().instrument()


def django_page(page: str, variant: str) -> Any:
    first, more, installed = (), {}, ()
    if variant in OURS:
        first, more = ("slowlens.django.ProfilerMiddleware",), {"SLOWLENS": options(variant)}
    elif variant in SILK:
        first, installed = ("silk.middleware.SilkyMiddleware",), ("silk",)
        more = {"SILKY_PYTHON_PROFILER": variant != SILK[0]}
    data = os.environ["PAGES_DATA"]
    if installed:  # what it stores is not in the way of the others' queries
        data = tempfile.mkdtemp(dir=data)
    return apps.shop(data, first, installed, fill=bool(installed),
                     instrument=django_instrumented if variant == "OpenTelemetry" else None, **more)


def flask_page(page: str, variant: str) -> Any:
    app = apps.flask_app()
    if variant in OURS:
        from slowlens.flask import Slowlens

        Slowlens(app, **options(variant))
    elif variant == "OpenTelemetry":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.instrumentation.jinja2 import Jinja2Instrumentor

        apps.opentelemetry()
        Jinja2Instrumentor().instrument()
        FlaskInstrumentor().instrument_app(app)
    return app.wsgi_app


def asgi_page(page: str, variant: str) -> tuple[Any, Any]:
    """-> (application, what fills its database)"""
    engine = None
    if page == "starlette":
        app = apps.starlette_app()
    else:
        app, engine = apps.fastapi_app(os.environ["PAGES_DATA"])
    if variant in OURS:
        from slowlens.asgi import ProfilerMiddleware

        return ProfilerMiddleware(app, **options(variant)), getattr(app.state, "fill", None)
    if variant == "OpenTelemetry":
        apps.opentelemetry()
        if engine is None:
            from opentelemetry.instrumentation.starlette import StarletteInstrumentor

            StarletteInstrumentor().instrument_app(app)
        else:
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
            from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

            FastAPIInstrumentor().instrument_app(app)
            SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)
    return app, getattr(app.state, "fill", None)


def wsgi_requests(app: Any, path: str) -> Callable[[int], None]:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "HTTP_HOST": "localhost", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.multithread": False,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }

    def requests(count: int) -> None:
        for _ in range(count):
            said: list[str] = []
            body = app({**environ, "wsgi.input": io.BytesIO()}, lambda status, headers, exc_info=None,
                       said=said: said.append(status))
            length = len(b"".join(body))
            if hasattr(body, "close"):
                body.close()
            assert said[0].startswith("200") and length > 500, said

    return requests


def asgi_requests(app: Any, path: str, fill: Callable[[], Awaitable[None]] | None) -> Callable[[int], None]:
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
             "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
             "headers": [(b"host", b"localhost"), (b"accept", b"*/*")], "client": ("127.0.0.1", 1),
             "server": ("localhost", 80)}
    loop = asyncio.new_event_loop()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def one() -> None:
        """A task of its own, as servers have it."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app({**scope, "state": {}}, receive, send)
        assert sent[0]["status"] == 200 and sum(len(each.get("body", b"")) for each in sent) > 200, sent

    async def several(count: int) -> None:
        for _ in range(count):
            await asyncio.create_task(one())

    if fill is not None:
        loop.run_until_complete(fill())
    return lambda count: loop.run_until_complete(several(count))


def writers() -> list[Any]:
    import gc

    from slowlens.writer import Writer

    return [one for one in gc.get_objects() if isinstance(one, Writer)]


def child(page: str, variant: str) -> None:
    """Answers each line, a number of requests, with what one took: ns of CPU, ns by the clock."""
    profiler = apps.ddtrace() if variant == "ddtrace's profiler" else None
    asynchronous = page in ("starlette", "fastapi-sqlalchemy")
    fill = None
    if asynchronous:
        app, fill = asgi_page(page, variant)
    else:
        app = (django_page if page.startswith("django") else flask_page)(page, variant)
    if variant in AROUND:
        app = AROUND[variant](app, asynchronous)
    requests = asgi_requests(app, PAGES[page], fill) if asynchronous else wsgi_requests(app, PAGES[page])
    requests(3)
    waited_for = writers() if variant == "sampling, all kept" else []
    assert waited_for or variant != "sampling, all kept"
    for line in sys.stdin:
        cpu, clock, count = time.process_time_ns(), time.perf_counter_ns(), int(line)
        requests(count)
        clock = time.perf_counter_ns() - clock
        while any(one._jobs or one._working for one in waited_for):
            time.sleep(0.002)
        print((time.process_time_ns() - cpu) / count, clock / count, flush=True)
    del profiler


# ---- the table ----


class Child:
    def __init__(self, page: str, variant: str, data: str) -> None:
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([sys.executable, __file__, "--child", page, variant], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, "PAGES_DATA": data},
                                        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
        self.watcher: subprocess.Popen[bytes] | None = None

    def turn(self, count: int) -> tuple[float, float] | None:
        """None: it does not run here."""
        if self.watcher is not None:
            self.watcher.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"{count}\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            cpu, clock = self.process.stdout.readline().split()  # type: ignore[union-attr]
        except (OSError, ValueError):
            return None
        if self.watcher is not None:
            self.watcher.send_signal(signal.SIGSTOP)
        return float(cpu), float(clock)

    def why_not(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        return (self.errors.read().decode(errors="replace").strip().splitlines() or [""])[-1]

    def watch(self) -> None:
        self.watcher = subprocess.Popen(
            [sys.executable, "-m", "profiling.sampling", "attach", "-r", "1khz", "-a", "-d", "3600", "--collapsed",
             "-o", os.devnull, str(self.process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}))
        time.sleep(1.5)
        assert self.watcher.poll() is None, "profiling.sampling cannot attach here"
        self.watcher.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        for one in (self.watcher, self.process):
            if one is not None:
                one.kill()
                one.wait()


def measure(page: str, chosen: argparse.Namespace, data: str) -> list[dict[str, Any]]:
    names = chosen.variants.split(";") if chosen.variants else [
        one for one in VARIANTS if one not in SILK or page.startswith("django")]
    there: dict[str, Child] = {}
    for name in names:
        if name.startswith("Tachyon") and sys.version_info < (3, 15):
            print(f"{page}: {name} left out: it comes with CPython 3.15")
            continue
        one = Child(page, name, data)
        if one.turn(3) is None:
            print(f"{page}: {name} left out: {one.why_not()}")
            one.end()
            continue
        if name.startswith("Tachyon"):
            one.watch()
        there[name] = one
    if "bare" not in there:
        for one in there.values():
            one.end()
        return []
    bare = min(there["bare"].turn(5)[0] for _ in range(5))  # type: ignore[index]
    count = max(2, round(TURN_NS / bare))
    for one in there.values():  # caches, specialised code
        one.turn(count)
    cpu: dict[str, list[float]] = {name: [] for name in there}
    clock: dict[str, list[float]] = {name: [] for name in there}
    order = list(there)
    for number in range(chosen.rounds):
        for name in order[number % len(order):] + order[:number % len(order)]:
            told = there[name].turn(count)
            assert told is not None, f"{page}: {name}: {there[name].why_not()}"
            cpu[name].append(told[0])
            clock[name].append(told[1])
    rows = []
    load = os.getloadavg()[0]
    print(f"\n{page}: CPython {platform.python_version()}, {chosen.rounds} rounds of {count} requests, "
          f"load {load:.1f}\n"
          f"{'':30}{'CPU us':>9}{'ratio':>8}{'(quartiles)':>14}{'clock us':>10}{'ratio':>8}")
    for name, one in there.items():
        ratios = [mine / plain for mine, plain in zip(cpu[name], cpu["bare"], strict=True)]
        slower = [mine / plain for mine, plain in zip(clock[name], clock["bare"], strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        rows.append({"suite": "pages", "page": page, "variant": name, "python": platform.python_version(),
                     "cpu_us": round(statistics.median(cpu[name]) / 1e3, 1),
                     "ratio": round(statistics.median(ratios), 4),
                     "quartiles": [round(quarters[0], 4), round(quarters[2], 4)],
                     "clock_us": round(statistics.median(clock[name]) / 1e3, 1),
                     "clock_ratio": round(statistics.median(slower), 4), "rounds": chosen.rounds, "requests": count,
                     "date": time.strftime("%Y-%m-%d"), "load": round(load, 1), "machine": platform.platform(),
                     "cpus": os.cpu_count(), "versions": chosen.versions})
        row = rows[-1]
        told = f"({quarters[0]:.2f}-{quarters[2]:.2f})"
        print(f"{name:30}{row['cpu_us']:9.0f}{row['ratio']:8.3f}{told:>14}{row['clock_us']:10.0f}"
              f"{row['clock_ratio']:8.3f}", flush=True)
        one.end()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--variants", help="names, with semicolons between them; the first is bare")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=", ".join(PAGES) + " (default: all)")
    chosen = parser.parse_args()
    chosen.versions = ", ".join(filter(None, map(apps.version, (
        "django", "flask", "starlette", "fastapi", "sqlalchemy", "pyinstrument", "yappi", "django-silk", "ddtrace",
        "opentelemetry-sdk"))))
    rows = []
    with tempfile.TemporaryDirectory() as data:
        os.chmod(data, 0o700)
        subprocess.run([sys.executable, "-c", "import apps, sys; apps.shop(sys.argv[1], fill=True)", data], check=True,
                       cwd=Path(__file__).parent, stdout=subprocess.DEVNULL)
        for page in chosen.pages or PAGES:
            rows += measure(page, chosen, data)
            if chosen.json:
                Path(chosen.json).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3])
    else:
        main()
