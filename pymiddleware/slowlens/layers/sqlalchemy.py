"""SQLAlchemy 1.4 and 2, synchronous and asynchronous: the dialect's last step before the driver."""

from __future__ import annotations

from . import Row

_EXECUTE = (
    ("sqlalchemy.engine.default", "DefaultDialect.do_execute"),
    ("sqlalchemy.engine.default", "DefaultDialect.do_execute_no_params"),
    ("sqlalchemy.engine.default", "DefaultDialect.do_executemany"),
    ("sqlalchemy.dialects.postgresql.psycopg2", "PGDialect_psycopg2.do_executemany"),
    ("sqlalchemy.dialects.mysql.mysqldb", "MySQLDialect_mysqldb.do_executemany"),
    ("sqlalchemy.dialects.mssql.pyodbc", "MSDialect_pyodbc.do_executemany"),
    ("sqlalchemy.dialects.oracle.cx_oracle", "OracleDialect_cx_oracle.do_executemany"),
)

ROWS = (
    *(Row(module, name, "db", "statement", "sql", "self.name") for module, name in _EXECUTE),
    # The end of a transaction, which waits for the disk.
    Row("sqlalchemy.engine.default", "DefaultDialect.do_commit", "db", "=COMMIT", "sql", "self.name"),
)
