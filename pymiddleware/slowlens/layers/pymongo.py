"""pymongo: commands by their name (`find`, `insert`), never their documents."""

from __future__ import annotations

from . import Row

_RUNNERS = ("pymongo.synchronous.command_runner", "pymongo.asynchronous.command_runner")

ROWS = (
    # Where releases of 2026 send what a cursor asks, and many writes at once.
    *(Row(module, "run_cursor_command", "db", "command_name", "name") for module in _RUNNERS),
    *(Row(module, "run_bulk_write_command", "db", "bwc.name", "name") for module in _RUNNERS),
    Row("pymongo.synchronous.pool", "Connection.command", "db", "spec", "name"),
    Row("pymongo.synchronous.server", "Server.run_operation", "db", "operation.name", "name"),
    Row("pymongo.asynchronous.pool", "AsyncConnection.command", "db", "spec", "name"),
    Row("pymongo.asynchronous.server", "Server.run_operation", "db", "operation.name", "name"),
    Row("pymongo.pool", "Connection.command", "db", "spec", "name"),
    Row("pymongo.server", "Server.run_operation", "db", "operation.name", "name"),
)
