"""aiosqlite."""

from __future__ import annotations

from . import Row

_CONNECTION = ("execute", "executemany", "executescript", "execute_insert", "execute_fetchall")

ROWS = (
    *(Row("aiosqlite.core", f"Connection.{name}", "db", "sql|sql_script", "sql", "=sqlite") for name in _CONNECTION),
    *(Row("aiosqlite.cursor", f"Cursor.{name}", "db", "sql|sql_script", "sql", "=sqlite") for name in _CONNECTION[:3]),
    # What these do in the connection's thread is what they were asked for.
    *(Row("aiosqlite.core", f"Connection._{name}", "", "", "quiet") for name in _CONNECTION[3:]),
)
