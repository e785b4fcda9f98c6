"""The applications that are measured, and the peers around them: in process (pages.py), by servers (load.py)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHOP = Path(__file__).resolve().parent.parent.parent / "examples" / "shop"
QUERIES = 10


# ---- the applications ----


def shop(data: str, first: tuple[str, ...] = (), apps: tuple[str, ...] = (), fill: bool = False,
         instrument: Callable[[], None] | None = None, **more: Any) -> Any:
    """The demo's Django shop as WSGI application, without slowlens; ``first``: middleware in front of its own,
    ``instrument``: called when Django's settings are known and nothing is imported yet."""
    sys.path.insert(0, str(SHOP))
    os.environ["SHOP_DATA"] = data
    from shop import settings

    mine = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    mine["MIDDLEWARE"] = [*first, *(name for name in mine["MIDDLEWARE"] if "slowlens" not in name)]
    mine["INSTALLED_APPS"] = [*(name for name in mine["INSTALLED_APPS"] if "slowlens" not in name), *apps]
    mine.pop("SLOWLENS", None)
    mine.update(DEBUG=False, LOGGING_CONFIG=None, **more)
    from django.conf import settings as configured

    configured.configure(**mine)
    if instrument is not None:
        instrument()
    import django
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    if fill or apps:
        django.setup()
        call_command("migrate", verbosity=0)
    if fill:
        call_command("fill_shop")
    return get_wsgi_application()


def starlette_app() -> Any:
    """Three awaits and two child tasks, and some JSON."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def part(number: int) -> int:
        await asyncio.sleep(0)
        return sum(range(number))

    async def endpoint(request: Request) -> JSONResponse:
        for _ in range(3):
            await asyncio.sleep(0)
        done = await asyncio.gather(part(50), part(100))
        return JSONResponse({"parts": done, "rows": [{"id": i, "name": f"row {i}"} for i in range(20)]})

    return Starlette(routes=[Route("/", endpoint)])


def flask_app() -> Any:
    """Sixty rows by Jinja2, and JSON of a hundred (/json)."""
    from flask import Flask, jsonify, render_template_string

    app = Flask("bench")
    rows = [{"id": number, "title": f"The river and the stone {number}", "price": number * 37 % 4000}
            for number in range(400)]
    page = """<!doctype html><title>Prices</title><h1>Prices</h1>
<ul>{% for row in rows %}<li>{{ row.title }}: {{ "%.2f"|format(row.price / 100) }}</li>{% endfor %}</ul>"""

    @app.get("/")
    def index() -> str:
        return render_template_string(page, rows=sorted(rows, key=lambda row: row["price"])[:60])

    @app.get("/json")
    def as_json() -> Any:
        return jsonify(rows=rows[:100])

    return app


def fastapi_app(data: str) -> tuple[Any, Any]:
    """Ten queries by SQLAlchemy over aiosqlite, answered through a pydantic model: -> (application, engine)."""
    import sqlalchemy as sa
    from fastapi import FastAPI
    from pydantic import BaseModel
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
    from sqlalchemy.orm import DeclarativeBase

    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "author"
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.String)

    class Told(BaseModel):
        id: int
        name: str

    engine = create_async_engine(f"sqlite+aiosqlite:///{data}/authors-{os.getpid()}.sqlite")
    session_of = async_sessionmaker(engine)

    async def fill() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            await connection.execute(sa.insert(Author), [{"name": f"author {one}"} for one in range(QUERIES)])

    app = FastAPI()

    @app.get("/", response_model=list[Told])
    async def authors() -> Any:
        async with session_of() as session:
            return [await session.get_one(Author, number + 1) for number in range(QUERIES)]

    app.state.fill = fill
    return app, engine


# ---- peers that are put around each request ----


def around(app: Any, asynchronous: bool, start: Callable[[], Any], stop: Callable[[Any], None]) -> Any:
    """``start()`` before a request, ``stop(what it gave)`` after it."""

    def wrapped(environ: Any, start_response: Any) -> Any:
        profiler = start()
        try:
            return app(environ, start_response)
        finally:
            stop(profiler)

    async def wrapped_async(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        profiler = start()
        try:
            await app(scope, receive, send)
        finally:
            stop(profiler)

    return wrapped_async if asynchronous else wrapped


def pyinstrument(app: Any, asynchronous: bool) -> Any:
    from pyinstrument import Profiler

    def start() -> Any:
        profiler = Profiler(async_mode="enabled" if asynchronous else "disabled")
        profiler.start()
        return profiler

    return around(app, asynchronous, start, lambda profiler: profiler.stop())


def yappi(app: Any, asynchronous: bool) -> Any:
    """By the wall clock, C functions too; what it found is thrown away after each request."""
    import yappi

    yappi.set_clock_type("wall")

    def stop(_: Any) -> None:
        yappi.stop()
        yappi.clear_stats()

    return around(app, asynchronous, lambda: yappi.start(builtins=True), stop)


def cprofile(app: Any, asynchronous: bool) -> Any:
    """Werkzeug's middleware; it has none for ASGI, so there the profiler is switched on and off around the request."""
    if not asynchronous:
        from werkzeug.middleware.profiler import ProfilerMiddleware

        return ProfilerMiddleware(app, stream=None)
    import cProfile

    def start() -> Any:
        profiler = cProfile.Profile()
        profiler.enable()
        return profiler

    return around(app, True, start, lambda profiler: profiler.disable())


def ddtrace() -> Any:
    """Its profiler as it comes: all threads, allocations, locks; nobody listens where it sends to."""
    os.environ.update(DD_TRACE_ENABLED="false", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
                      DD_REMOTE_CONFIGURATION_ENABLED="false", DD_TRACE_STARTUP_LOGS="false")
    from ddtrace.profiling import Profiler

    profiler = Profiler()
    profiler.start()
    return profiler


def opentelemetry() -> None:
    """A provider whose spans go nowhere."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)


def version(name: str) -> str:
    """``name 1.2``, or nothing where it is not installed."""
    import importlib.metadata

    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
