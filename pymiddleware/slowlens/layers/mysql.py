"""PyMySQL, mysqlclient (its cursors are Python), aiomysql, MySQL's own connector. (asyncmy is compiled, and what it
awaits cannot be seen.)"""

from __future__ import annotations

from . import Row

_CURSORS = (
    ("pymysql.cursors", "Cursor"), ("MySQLdb.cursors", "BaseCursor"), ("aiomysql.cursors", "Cursor"),
    *((f"mysql.connector.{module}", f"{cursor}{kind}") for kind in ("", "Prepared") for module, cursor in (
        ("cursor", "MySQLCursor"), ("cursor_cext", "CMySQLCursor"), ("aio.cursor", "MySQLCursor"))),
)

ROWS = (
    *(Row(module, f"{cursor}.{name}", "db", "query|operation", "sql", "=mysql", whole=True)
      for module, cursor in _CURSORS for name in ("execute", "executemany")),
    # Without a cursor; with one, the query has its values in it by now.
    *(Row(module, "Connection.query", "db", "sql", "sql", "=mysql")
      for module in ("pymysql.connections", "aiomysql.connection")),
    *(Row(module, f"{cursor}.callproc", "db", "procname", "name", whole=True) for module, cursor in _CURSORS),
)
