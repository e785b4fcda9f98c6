"""pymongo: commands by their name (`find`, `insert`), never their documents."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("pymongo.synchronous.pool", "Connection.command", "db", "spec", "name"),
    Row("pymongo.synchronous.server", "Server.run_operation", "db", "operation.name", "name"),
    Row("pymongo.asynchronous.pool", "AsyncConnection.command", "db", "spec", "name"),
    Row("pymongo.asynchronous.server", "Server.run_operation", "db", "operation.name", "name"),
    Row("pymongo.pool", "Connection.command", "db", "spec", "name"),
    Row("pymongo.server", "Server.run_operation", "db", "operation.name", "name"),
)
