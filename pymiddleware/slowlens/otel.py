"""OpenTelemetry beside slowlens: its spans of a request are spans of the profile, and each finds the other.

    from opentelemetry import trace
    from slowlens.otel import SpanProcessor

    trace.get_tracer_provider().add_span_processor(SpanProcessor())

What any instrumented library asks for is then in the profile, on CPython 3.11 as well; what slowlens sees by itself
(see ``slowlens.layers``) is not told twice. The profile has the trace's id and the id of the request's span; that span
gets ``slowlens.profile_id`` and ``pyroscope.profile.id``. Needs ``opentelemetry-sdk`` (``slowlens[opentelemetry]``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace import SpanProcessor as _Base

from . import _core, recorder
from .log import late
from .recorder import Transaction, current

__all__ = ["SpanProcessor"]

#: Instrumentations of what our own probes see: the last word of their names.
SEEN = frozenset("""
    aiohttp_client aiosqlite asyncpg botocore celery grpc httpx jinja2 mysql mysqlclient psycopg psycopg2 pymemcache
    pymongo pymysql redis requests sqlalchemy sqlite3 urllib urllib3
""".split())
#: Of these, the C drivers whose ``execute`` is handed on by ``f(cursor, execute, *args)``: what was unpacked into a
#: call is known from 3.14 on (``native/look/own_stack.c``).
UNPACKED = frozenset(("psycopg2", "sqlite3"))

_log = late("slowlens")


def _first(attributes: Mapping[str, Any], *names: str) -> str:
    """The first of these attributes that is there, as text."""
    return next((str(attributes[name]) for name in names if attributes.get(name)), "")


class SpanProcessor(_Base):
    """Give it to the tracer provider. It never raises, and does nothing where no request is being profiled."""

    def __init__(self) -> None:
        self._failed = False
        #: What probes see in every profile.
        self._seen: frozenset[str] = frozenset()
        if sys.version_info >= (3, 12):
            self._seen = SEEN if sys.version_info >= (3, 14) else SEEN - UNPACKED
        recorder.begun.append(self._begun)

    def _fault(self) -> None:
        if not self._failed:
            self._failed = True
            _log.exception("slowlens: a fault of its own with OpenTelemetry; told once. Please report it")

    def _begun(self, transaction: Transaction) -> None:
        """A request begins: the span around it, if there is one, is its."""
        try:
            self._take(transaction, trace.get_current_span())
        except Exception:
            self._fault()

    def _take(self, transaction: Transaction, span: Any) -> None:
        """``span`` is that of the request itself, from now on."""
        context = span.get_span_context()
        if not context.is_valid or transaction.seen.trace is not None:
            return
        transaction.seen.trace = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        if span.is_recording():
            span.set_attribute("slowlens.profile_id", transaction.seen.id)
            span.set_attribute("pyroscope.profile.id", transaction.seen.id)

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        try:
            transaction = current()
            if transaction is not None and transaction.seen.trace is None:
                self._take(transaction, span)
        except Exception:
            self._fault()

    def on_end(self, span: ReadableSpan) -> None:
        try:
            transaction = current()
            if transaction is not None and span.kind is not trace.SpanKind.SERVER:
                self._add(span, transaction.layers)
        except Exception:
            self._fault()

    def _add(self, span: ReadableSpan, layers: str) -> None:
        scope = span.instrumentation_scope.name.rpartition(".")[2] if span.instrumentation_scope else ""
        if layers == "off" or scope in self._seen:
            return
        ns = max(0, (span.end_time or 0) - (span.start_time or 0))
        attributes = span.attributes or {}
        database = _first(attributes, "db.system.name", "db.system")
        url = _first(attributes, "url.full", "http.url", "server.address", "net.peer.name")
        if database:
            if _core.layers_open("db"):  # Django over psycopg2: it is the same query
                return
            query = _first(attributes, "db.query.text", "db.statement") or _first(attributes, "db.operation.name")
            _core.span_add(query, "db", ns, keep="shape" if layers == "shape" else "names", dialect=database)
        elif span.kind is trace.SpanKind.CLIENT and url:
            _core.span_add(url if "//" in url else f"//{url}", "http", ns, keep="host")
        elif attributes.get("messaging.system"):
            _core.span_add(_first(attributes, "messaging.destination.name") or span.name, "task", ns)
        elif attributes.get("rpc.system"):
            _core.span_add(span.name, "rpc", ns)
        else:
            _core.span_add(span.name, None, ns)

    def shutdown(self) -> None:
        if self._begun in recorder.begun:
            recorder.begun.remove(self._begun)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True
