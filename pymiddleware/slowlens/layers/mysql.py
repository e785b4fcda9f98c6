"""PyMySQL, mysqlclient (its cursors are Python), aiomysql, MySQL's own connector. (asyncmy is compiled, and what it
awaits cannot be seen.)"""

from __future__ import annotations

from . import Row

_CURSORS = (
    ("pymysql.cursors", "Cursor"), ("MySQLdb.cursors", "BaseCursor"), ("aiomysql.cursors", "Cursor"),
    ("mysql.connector.cursor", "MySQLCursor"), ("mysql.connector.cursor_cext", "CMySQLCursor"),
)

ROWS = (
    *(Row(module, f"{cursor}.{name}", "db", "query|operation", "sql", "=mysql", name == "executemany")
      for module, cursor in _CURSORS for name in ("execute", "executemany")),
    *(Row(module, f"{cursor}.callproc", "db", "procname", "name", whole=True) for module, cursor in _CURSORS),
)
