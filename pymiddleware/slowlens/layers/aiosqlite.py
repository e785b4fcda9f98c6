"""aiosqlite."""

from __future__ import annotations

from . import Row

_CONNECTION = ("execute", "executemany", "executescript", "execute_insert", "execute_fetchall")

ROWS = (
    *(Row("aiosqlite.core", f"Connection.{name}", "db", "sql|sql_script", "sql", "=sqlite") for name in _CONNECTION),
    *(Row("aiosqlite.cursor", f"Cursor.{name}", "db", "sql|sql_script", "sql", "=sqlite") for name in _CONNECTION[:3]),
)
