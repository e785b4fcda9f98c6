"""peewee."""

from __future__ import annotations

from . import Row

ROWS = (Row("peewee", "Database.execute_sql", "db", "sql", "sql"),)
