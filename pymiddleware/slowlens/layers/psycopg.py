"""psycopg 3, whichever of its implementations (their cursors are Python)."""

from __future__ import annotations

from . import Row

ROWS = tuple(
    Row(module, f"{cursor}.{name}", "db", "query", "sql", "=postgresql")
    for module, cursor in (
        ("psycopg.cursor", "Cursor"), ("psycopg.cursor_async", "AsyncCursor"),
        ("psycopg._server_cursor", "ServerCursor"), ("psycopg._server_cursor_async", "AsyncServerCursor"),
        ("psycopg.server_cursor", "ServerCursor"), ("psycopg.server_cursor", "AsyncServerCursor"),
    )
    for name in ("execute", "executemany")
)
