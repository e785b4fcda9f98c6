"""psycopg 3, whichever of its implementations (their cursors are Python)."""

from __future__ import annotations

from . import Row

_CURSORS = (("psycopg.cursor", "Cursor"), ("psycopg.cursor_async", "AsyncCursor"))
_SERVERS = (
    ("psycopg._server_cursor", "ServerCursor"), ("psycopg._server_cursor_async", "AsyncServerCursor"),
    ("psycopg.server_cursor", "ServerCursor"), ("psycopg.server_cursor", "AsyncServerCursor"),
)

ROWS = (
    *(Row(module, f"{cursor}.{name}", "db", "query", "sql", "=postgresql")
      for module, cursor in (*_CURSORS, *_SERVERS) for name in ("execute", "executemany")),
    # To the server a COPY lasts as long as its `with`, a stream until its last row.
    *(Row(module, f"{cursor}.{name}", "db", "query|statement", "sql", "=postgresql")
      for module, cursor in _CURSORS for name in ("copy", "stream")),
)
