"""OpenTelemetry's real SDK, and one of its instrumentations, beside slowlens."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from slowlens import _core
from slowlens.otel import SpanProcessor
from slowlens.wsgi import ProfilerMiddleware

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
           "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http"}


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider()
    processor = SpanProcessor()
    provider.add_span_processor(processor)
    yield provider
    provider.shutdown()


def request(app: Callable[[], object], sampled: bool, tmp_path: Any, around: Any = None,
            **options: Any) -> tuple[dict[str, Any], list[Any]]:
    """One request: the metadata it would be stored with, and its spans."""
    told: list[Any] = []

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        app()
        start_response("200 OK", [])
        return [b"ok"]

    middleware = ProfilerMiddleware(wsgi, mode="sampling" if sampled else "deterministic", keep="all", log=False,
                                    store=str(tmp_path), debug=False, **options)
    put = middleware.recorder.writer.put

    def seen(job: Any) -> None:
        told.extend((job.meta, job.recording.spans()))
        put(job)

    middleware.recorder.writer.put = seen  # type: ignore[method-assign]
    if around is None:
        b"".join(middleware(dict(ENVIRON), lambda *arguments: None))
    else:
        with around:
            b"".join(middleware(dict(ENVIRON), lambda *arguments: None))
    assert middleware.recorder.writer.flush(30)
    return told[0], told[1]


def test_its_spans_are_ours(provider: TracerProvider, sampled: bool, tmp_path: Any) -> None:
    tracer = provider.get_tracer("shop")

    def app() -> None:
        for i in range(3):
            with tracer.start_as_current_span("query", attributes={
                    "db.system": "postgresql", "db.statement": f"SELECT a FROM b WHERE c = 'secret{i}'"}):
                pass
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT, attributes={
                "url.full": "https://user:secret@api.example.org:8443/price?token=secret"}):
            pass
        with tracer.start_as_current_span("reckon"):
            pass

    _, spans = request(app, sampled, tmp_path)
    assert sorted((kind, text, count) for kind, text, _, count, *_ in spans) == [
        ("custom", "reckon", 1), ("db", "SELECT a FROM b WHERE c = ?", 3), ("http", "api.example.org:8443", 1)]
    _, spans = request(app, sampled, tmp_path, layers="names")
    assert ("db", "SELECT b", 3) in [(kind, text, count) for kind, text, _, count, *_ in spans]
    _, spans = request(app, sampled, tmp_path, layers="off")
    assert spans == []


def test_each_finds_the_other(provider: TracerProvider, sampled: bool, tmp_path: Any) -> None:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("server")
    server = tracer.start_as_current_span("GET /", kind=trace.SpanKind.SERVER)
    meta, spans = request(lambda: None, sampled, tmp_path, around=server)
    (span,) = exporter.get_finished_spans()
    assert span.attributes["slowlens.profile_id"] == span.attributes["pyroscope.profile.id"] == meta["id"]
    assert meta["trace_id"] == f"{span.context.trace_id:032x}" and meta["span_id"] == f"{span.context.span_id:016x}"
    assert spans == []


def test_what_probes_see_is_not_told_twice(provider: TracerProvider, sampled: bool, tmp_path: Any) -> None:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    SQLite3Instrumentor().instrument(tracer_provider=provider)
    try:
        connection = sqlite3.connect(":memory:", check_same_thread=False)

        def app() -> None:
            cursor = connection.cursor()
            for i in range(5):
                cursor.execute("SELECT ?", (i,))

        app()
        exporter.clear()
        _, spans = request(app, sampled, tmp_path)
    finally:
        SQLite3Instrumentor().uninstrument()
    assert len(exporter.get_finished_spans()) == 5
    assert [(kind, text, count) for kind, text, _, count, *_ in spans] == [("db", "SELECT ?", 5)]


def test_outside_of_requests_it_does_nothing(provider: TracerProvider) -> None:
    with provider.get_tracer("shop").start_as_current_span("nothing"):
        assert _core.active_count() == 0
