"""What knowing every query costs: a Django page of 120 queries and a template, and one probed call, beside others.

    python tests/bench/layers.py [--rounds N] [--requests N] [--json FILE]

Each variant is a process of its own with the same application; they take turns, a few requests each, and what is
compared is the CPU time of a turn over that of the bare application in the same round. Peers that are not installed are
left out: opentelemetry-instrumentation-django and -sqlite3 (spans to an exporter that drops them), django-silk.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

QUERIES = 120
PAGE = """<ul>{% for author in authors %}<li>{{ author.name }}: {{ author.book_set.first.title }}</li>
{% endfor %}</ul>"""

VARIANTS = {
    "bare": {},
    "sampling, layers off": {"mode": "sampling", "layers": "off"},
    "sampling, layers on": {"mode": "sampling", "layers": "shape"},
    "deterministic, layers off": {"mode": "deterministic", "layers": "off"},
    "deterministic, layers on": {"mode": "deterministic", "layers": "shape"},
    "OpenTelemetry": None,
    "django-silk": None,
}


# ---- in a child ----


def settings(variant: str) -> None:
    from django.conf import settings

    silk = variant == "django-silk"
    middleware = ["slowlens.django.ProfilerMiddleware"] if VARIANTS[variant] else []
    apps = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
    if silk:
        middleware.append("silk.middleware.SilkyMiddleware")
        apps.append("silk")
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, ROOT_URLCONF=__name__,
        INSTALLED_APPS=apps, ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=middleware, USE_TZ=True,
        SLOWLENS={**(VARIANTS[variant] or {}), "store": tempfile.mkdtemp(), "keep": "slow", "slow_ms": 1e6,
                  "log": False, "debug": False},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [
            ("django.template.loaders.locmem.Loader", {"page.html": PAGE})]}}],
    )


def opentelemetry() -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    SQLite3Instrumentor().instrument()
    DjangoInstrumentor().instrument()


def child(variant: str) -> None:
    """Answers each line, a number of requests, with the CPU time they took, and how many queries each made."""
    settings(variant)
    if variant == "OpenTelemetry":
        opentelemetry()
    import django

    django.setup()
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpResponse
    from django.template.loader import get_template
    from django.urls import path
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
    queries = len(count)
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
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--requests", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = probed_call()
    children = {name: subprocess.Popen(
        [sys.executable, __file__, "--child", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True) for name in VARIANTS}

    def turn(name: str) -> float | None:
        process = children[name]
        try:
            process.stdin.write(f"{options.requests}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            ns, queries = process.stdout.readline().split()  # type: ignore[union-attr]
        except (OSError, ValueError):
            return None
        assert int(queries) >= QUERIES, queries
        return float(ns)

    there = [name for name in VARIANTS if turn(name) is not None]
    times: dict[str, list[float]] = {name: [] for name in there}
    for number in range(options.rounds):
        for name in there[number % len(there):] + there[:number % len(there)]:
            times[name].append(turn(name) or 0)
    print(f"Django page, {QUERIES} queries, CPython {platform.python_version()}, {options.rounds} rounds")
    for name in there:
        ratios = [mine / bare for mine, bare in zip(times[name], times["bare"], strict=True)]
        row = {"suite": "layers", "python": platform.python_version(), "workload": f"django, {QUERIES} queries",
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
        child(sys.argv[2])
    else:
        main()
