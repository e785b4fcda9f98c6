"""Drivers whose cursors are C: sqlite3, psycopg2. Their calls are seen at the places that make them; what stands above
them (Django, SQLAlchemy, aiosqlite) asked for the same query already."""

from __future__ import annotations

from . import Row

_SQLITE = tuple((f"{of}.{name}", "=sqlite") for of in ("Connection", "Cursor")
                for name in ("execute", "executemany", "executescript"))

#: What calls what it was given: in another thread (`executor.submit(connection.execute, sql)`, `asyncio.to_thread`), or
#: as part of what a tracer of others has put in the cursor's place.
_HANDS = (
    ("concurrent.futures.thread", "_WorkItem.run"), ("concurrent.futures.thread", "WorkerContext.run"),
    ("threading", "Thread.run"), ("asgiref.sync", "SyncToAsync.thread_handler"),
    ("asgiref.sync", "SyncToAsync.__call__.<locals>.func.<locals>.run_child"),
    ("ddtrace.contrib.dbapi", "TracedCursor._trace_method"),
    ("elasticapm.instrumentation.packages.dbapi2", "CursorProxy._trace_sql"),
)

ROWS = (
    *(Row(module, name, "", "", "hands") for module, name in _HANDS),
    *(Row("sqlite3", name, "db", "()", "sql", dialect) for name, dialect in _SQLITE),
    Row("psycopg2.extensions", "cursor.execute", "db", "()", "sql", "=postgresql"),
    Row("psycopg2.extensions", "cursor.executemany", "db", "()", "sql", "=postgresql"),
    Row("psycopg2.extensions", "cursor.copy_expert", "db", "()", "sql", "=postgresql"),
    Row("psycopg2.extensions", "cursor.copy_from", "db", "()=COPY", "name"),
    Row("psycopg2.extensions", "cursor.copy_to", "db", "()=COPY", "name"),
    Row("psycopg2.extensions", "cursor.callproc", "db", "()", "name"),
)
