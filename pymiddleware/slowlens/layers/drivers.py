"""Drivers whose cursors are C: sqlite3, psycopg2. Their calls are seen at the places that make them; what stands above
them (Django, SQLAlchemy, aiosqlite) asked for the same query already."""

from __future__ import annotations

from . import Row

_SQLITE = tuple((f"{of}.{name}", "=sqlite") for of in ("Connection", "Cursor")
                for name in ("execute", "executemany", "executescript"))

ROWS = (
    *(Row("sqlite3", name, "db", "()", "sql", dialect) for name, dialect in _SQLITE),
    Row("psycopg2.extensions", "cursor.execute", "db", "()", "sql", "=postgresql"),
    Row("psycopg2.extensions", "cursor.executemany", "db", "()", "sql", "=postgresql"),
)
