"""asyncpg: the Python above its compiled protocol."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("asyncpg.connection", "Connection.execute", "db", "query", "sql", "=postgresql"),
    Row("asyncpg.connection", "Connection._execute", "db", "query", "sql", "=postgresql"),
    Row("asyncpg.connection", "Connection._executemany", "db", "query", "sql", "=postgresql"),
    *(Row("asyncpg.connection", f"Connection.{name}", "db", "copy_stmt", "sql", "=postgresql")
      for name in ("_copy_in", "_copy_out")),
    Row("asyncpg.connection", "Connection.copy_records_to_table", "db", "=COPY", "name", "table_name"),
    Row("asyncpg.prepared_stmt", "PreparedStatement.__do_execute", "db", "self._query", "sql", "=postgresql"),
    Row("asyncpg.prepared_stmt", "PreparedStatement.executemany", "db", "self._query", "sql", "=postgresql"),
    # A cursor begins; what it fetches afterwards is no query of its own.
    Row("asyncpg.cursor", "BaseCursor._bind", "db", "self._query", "sql", "=postgresql"),
    Row("asyncpg.cursor", "BaseCursor._bind_exec", "db", "self._query", "sql", "=postgresql"),
)
