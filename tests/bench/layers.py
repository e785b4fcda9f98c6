"""What knowing every query costs, beside others.

One probed call; a Django page of 120 queries and a template; a Flask page (SQLAlchemy, Jinja2) and a Starlette page
(SQLAlchemy over aiosqlite) of 30 queries.

    python tests/bench/layers.py [--page django|flask|starlette] [--rounds N] [--requests N] [--json FILE]

Each variant is a process of its own with the same application; they take turns, a few requests each, and what is
compared is the CPU time of a turn over that of the bare application in the same round. Peers that are not installed are
left out: OpenTelemetry's instrumentation of the framework and of what it asks with (spans to an exporter that drops
them), django-silk, django-debug-toolbar, asgi-profiler.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from apps import opentelemetry

QUERIES = 120
QUERIES_SMALL = 30
PAGE = """<ul>{% for author in authors %}<li>{{ author.name }}: {{ author.book_set.first.title }}</li>
{% endfor %}</ul>"""

VARIANTS = {
    "bare": {},
    "sampling, layers off": {"mode": "sampling", "layers": "off"},
    "sampling, layers on": {"mode": "sampling", "layers": "shape"},
    "deterministic, layers off": {"mode": "deterministic", "layers": "off"},
    "deterministic, layers on": {"mode": "deterministic", "layers": "shape"},
}
PEERS = {
    "django": ("OpenTelemetry", "django-silk", "django-debug-toolbar"),
    "flask": ("OpenTelemetry",),
    "starlette": ("OpenTelemetry", "asgi-profiler"),
}
#: What makes one request, and how many queries that makes.
Page = tuple[Callable[[], None], int]


# ---- in a child ----


def options(variant: str) -> dict[str, Any]:
    return {**VARIANTS[variant], "store": tempfile.mkdtemp(), "keep": "slow", "slow_ms": 1e6, "log": False,
            "debug": False}


def settings(variant: str) -> None:
    from django.conf import settings

    middleware = ["slowlens.django.ProfilerMiddleware"] if VARIANTS.get(variant) else []
    apps = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
    if variant == "django-silk":
        middleware.append("silk.middleware.SilkyMiddleware")
        apps.append("silk")
    if variant == "django-debug-toolbar":
        middleware.append("debug_toolbar.middleware.DebugToolbarMiddleware")
        apps += ["django.contrib.staticfiles", "debug_toolbar"]
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, ROOT_URLCONF=__name__,
        INSTALLED_APPS=apps, ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=middleware, USE_TZ=True,
        SLOWLENS=options(variant) if VARIANTS.get(variant) else {}, STATIC_URL="/static/",
        DEBUG_TOOLBAR_CONFIG={"SHOW_TOOLBAR_CALLBACK": lambda request: True, "IS_RUNNING_TESTS": False},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [
            ("django.template.loaders.locmem.Loader", {"page.html": PAGE}),
            "django.template.loaders.app_directories.Loader"]}}],
    )


def django_page(variant: str) -> Page:
    settings(variant)
    if variant == "OpenTelemetry":
        from opentelemetry.instrumentation.django import DjangoInstrumentor
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

        opentelemetry()
        SQLite3Instrumentor().instrument()
        DjangoInstrumentor().instrument()
    import django

    django.setup()
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpResponse
    from django.template.loader import get_template
    from django.urls import include, path
    from django.utils.functional import SimpleLazyObject

    call_command("migrate", verbosity=0)
    groups = [Group.objects.create(name=f"group {i}") for i in range(QUERIES - 1)]

    class Author:
        def __init__(self, number: int) -> None:
            self.name = str(number)
            self.book_set = SimpleLazyObject(lambda: Group.objects.filter(id=groups[number].id))

    def page(request: Any) -> Any:
        Group.objects.count()
        return HttpResponse(get_template("page.html").render({"authors": [Author(i) for i in range(QUERIES - 1)]}))

    globals()["urlpatterns"] = [path("", page)]
    if variant == "django-debug-toolbar":
        globals()["urlpatterns"].append(path("__debug__/", include("debug_toolbar.urls")))
    app = get_wsgi_application()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
               "HTTP_HOST": "x", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "wsgi.input": sys.stdin.buffer}

    def request() -> None:
        response = app(dict(environ), lambda *arguments: None)
        assert len(b"".join(response)) > 1000
        response.close()

    with connection.execute_wrapper(lambda execute, *arguments: (count.append(1), execute(*arguments))[1]):
        count: list[int] = []
        request()
    return request, len(count)


class Counted:
    """How many statements an engine ran."""

    def __init__(self, engine: Any) -> None:
        from sqlalchemy import event

        self.count = 0
        event.listen(engine, "before_cursor_execute", self._add)
        self.stop = lambda: event.remove(engine, "before_cursor_execute", self._add)

    def _add(self, *arguments: Any) -> None:
        self.count += 1


SETUP = ("CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)", *(
    f"INSERT INTO author VALUES ({number}, 'author {number}')" for number in range(QUERIES_SMALL)))


def flask_page(variant: str) -> Page:
    import sqlalchemy as sa
    from flask import Flask, render_template_string
    from sqlalchemy.pool import StaticPool

    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        for statement in SETUP:
            connection.exec_driver_sql(statement)
    app = Flask("bench")

    @app.get("/")
    def page() -> str:
        with engine.connect() as connection:
            names = [connection.execute(sa.text("SELECT name FROM author WHERE id = :id"), {"id": number}).scalar_one()
                     for number in range(QUERIES_SMALL)]
        return render_template_string("<ul>{% for name in names %}<li>{{ name }}</li>{% endfor %}</ul>", names=names)

    if VARIANTS.get(variant):
        from slowlens.flask import Slowlens

        Slowlens(app, **options(variant))
    elif variant == "OpenTelemetry":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.instrumentation.jinja2 import Jinja2Instrumentor
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

        opentelemetry()
        FlaskInstrumentor().instrument_app(app)
        Jinja2Instrumentor().instrument()
        SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True)
    client = app.test_client()

    def request() -> None:
        assert len(client.get("/").data) > 500

    counted = Counted(engine)
    request()
    counted.stop()
    return request, counted.count


def starlette_page(variant: str) -> Page:
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import StaticPool
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    loop = asyncio.new_event_loop()

    async def fill() -> None:
        async with engine.begin() as connection:
            for statement in SETUP:
                await connection.exec_driver_sql(statement)

    async def page(request: Request) -> HTMLResponse:
        query = sa.text("SELECT name FROM author WHERE id = :id")
        async with engine.connect() as connection:
            names = [(await connection.execute(query, {"id": number})).scalar_one() for number in range(QUERIES_SMALL)]
        return HTMLResponse("".join(f"<li>{name}</li>" for name in names))

    app: Any = Starlette(routes=[Route("/", page)])
    if VARIANTS.get(variant):
        from slowlens.asgi import ProfilerMiddleware

        app = ProfilerMiddleware(app, **options(variant))
    elif variant == "OpenTelemetry":
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        opentelemetry()
        StarletteInstrumentor().instrument_app(app)
        SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)
    elif variant == "asgi-profiler":
        from asgi_profiler import install

        install(app)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/",
             "raw_path": b"/", "query_string": b"", "root_path": "", "scheme": "http", "headers": [(b"host", b"x")],
             "client": ("127.0.0.1", 1), "server": ("x", 80), "state": {}}

    async def one() -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(dict(scope), receive, send)
        assert sum(len(message.get("body", b"")) for message in sent) > 500

    def request() -> None:
        loop.run_until_complete(one())

    loop.run_until_complete(fill())
    counted = Counted(engine.sync_engine)
    request()
    counted.stop()
    return request, counted.count


def child(page: str, variant: str) -> None:
    """Answers each line, a number of requests, with the CPU time they took, and how many queries each made."""
    request, queries = {"django": django_page, "flask": flask_page, "starlette": starlette_page}[page](variant)
    for line in sys.stdin:
        began = time.process_time_ns()
        for _ in range(int(line)):
            request()
        print((time.process_time_ns() - began) / int(line), queries, flush=True)


# ---- one call ----


def probed_call() -> list[dict[str, Any]]:
    from slowlens import _core, engine, layers

    engine.prepare()
    layers.install([layers.Row("__main__", "Probed.execute", "db", "sql", "sql", "=sqlite")])
    sql = 'SELECT "book"."id", "book"."title", "book"."author_id" FROM "book" WHERE "book"."author_id" = 1234 LIMIT 21'

    def best(of: Any) -> float:
        execute, times = of.execute, []
        for _ in range(200):
            began = time.thread_time_ns()
            for _ in range(500):
                execute(sql)
            times.append((time.thread_time_ns() - began) / 500)
        return min(times)

    rows = []
    for name, sampled in (("no request", None), ("sampling", True), ("deterministic", False)):
        recording = None if sampled is None else _core.Recording(sampled=sampled)
        if recording is not None:
            recording.enter()
        plain, probed = best(Plain()), best(Probed())
        if recording is not None:
            recording.leave()
            recording.discard()
        rows.append({"suite": "layers", "workload": "one probed call", "variant": name, "ns": round(probed - plain)})
        print(f"one probed call, {name:<14} {probed - plain:6.0f} ns added")
    return rows


class Plain:
    def execute(self, sql: str) -> None:
        pass


class Probed:
    def execute(self, sql: str) -> None:
        pass


# ---- the table ----


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", choices=PEERS, default="django")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--requests", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = probed_call()
    least = QUERIES if options.page == "django" else QUERIES_SMALL
    children = {name: subprocess.Popen(
        [sys.executable, __file__, "--child", options.page, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True) for name in (*VARIANTS, *PEERS[options.page])}

    def turn(name: str) -> float | None:
        process = children[name]
        try:
            process.stdin.write(f"{options.requests}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            ns, queries = process.stdout.readline().split()  # type: ignore[union-attr]
        except (OSError, ValueError):
            return None
        assert int(queries) >= least, queries
        return float(ns)

    there = [name for name in children if turn(name) is not None]
    times: dict[str, list[float]] = {name: [] for name in there}
    for number in range(options.rounds):
        for name in there[number % len(there):] + there[:number % len(there)]:
            times[name].append(turn(name) or 0)
    print(f"{options.page} page, {least} queries, CPython {platform.python_version()}, {options.rounds} rounds")
    for name in there:
        ratios = [mine / bare for mine, bare in zip(times[name], times["bare"], strict=True)]
        row = {"suite": "layers", "python": platform.python_version(), "workload": f"{options.page}, {least} queries",
               "variant": name, "median_ms": round(statistics.median(times[name]) / 1e6, 3),
               "ratio_to_bare": round(statistics.median(ratios), 3)}
        rows.append(row)
        print(f"{name:<28} {row['median_ms']:8.2f} ms CPU   {row['ratio_to_bare']:.2f}x")
    for process in children.values():
        process.kill()
        process.wait()
    if options.json:
        with open(options.json, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3])
    else:
        main()
