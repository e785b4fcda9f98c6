"""Trees of all requests in the database: slices as ``store/windows.py`` has them, a row each.

A process adds one a minute. Those of ten minutes become one when they are an hour old, by one process at a time, in one
transaction: whoever reads sees the ones or the other, for they read in one statement.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ..derived import DAMAGED
from ..windows import SLOT_MS, SLOTS_AT_ONCE, WHOLE_MS, Slice, pack, together, unpack

__all__ = ["TABLE", "gathers", "put", "read", "tend"]

TABLE = """
CREATE TABLE {s}.windows (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), first bigint NOT NULL, last bigint NOT NULL, slice bytea NOT NULL
);
ALTER TABLE {s}.windows ALTER slice SET STORAGE EXTERNAL;
CREATE INDEX ON {s}.windows (last);
"""


def put(connection: Any, schema: str, first_ms: int, last_ms: int, data: bytes) -> None:
    """Stores a slice. :raises psycopg.Error:"""
    connection.execute(f"INSERT INTO {schema}.windows (first, last, slice) VALUES (%s, %s, %b)",
                       (first_ms, last_ms, data))


def _also_copied(select: str, schema: str, earlier: bool) -> str:
    """Of both tables; ``earlier``: of a version that copied none."""
    own = f"SELECT {select} FROM {schema}.windows WHERE last > %(from)s AND last <= %(to)s"
    return own if earlier else f"{own} UNION ALL {own.replace('.windows', '.copied_windows')}"


def read(connection: Any, schema: str, from_ms: int, to_ms: int, earlier: bool = False) -> Iterator[Slice]:
    """Slices that ended after ``from_ms``, up to ``to_ms`` (0: no end). :raises psycopg.Error:"""
    found = connection.execute(
        f"{_also_copied('first, last, slice', schema, earlier)} ORDER BY last",
        {"from": from_ms, "to": to_ms or 1 << 62}, binary=True).fetchall()
    for first, last, data in found:
        with suppress(*DAMAGED):
            yield unpack(first, last, data)[0]


def gathers(connection: Any, schema: str, since_ms: int, earlier: bool = False) -> bool:
    """Whether there is one that ended after ``since_ms``. :raises psycopg.Error:"""
    return connection.execute(f"{_also_copied('1', schema, earlier)} LIMIT 1",
                              {"from": since_ms, "to": 1 << 62}).fetchone() is not None


def tend(connection: Any, schema: str, max_bytes: int, max_age_s: float, now_ms: int | None = None) -> None:
    """Old slices of a slot become one; the oldest go when all are too much, or too old. :raises psycopg.Error:"""
    now = int(time.time() * 1000) if now_ms is None else now_ms
    with connection.transaction():
        # A transaction's lock: behind a pooler the next statement may be another session's.
        (mine,) = connection.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), 2)", (schema,)).fetchone()
        if not mine:
            return
        slots = connection.execute(
            f"SELECT last / {SLOT_MS} FROM {schema}.windows WHERE (last / {SLOT_MS} + 1) * {SLOT_MS} + {WHOLE_MS} < %s"
            f" GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT {SLOTS_AT_ONCE}", (now,)).fetchall()
        for (slot,) in slots:
            _merge(connection, schema, slot)
        _trim(connection, schema, max_bytes, now - int(max_age_s * 1000) if max_age_s > 0 else 0)


def _trim(connection: Any, schema: str, max_bytes: int, oldest_ms: int) -> None:
    # The newest of both tables that fit: all that ended earlier goes.
    (until,) = connection.execute(
        f"SELECT coalesce(max(last), 0) FROM (SELECT last, sum(size) OVER (ORDER BY last DESC) AS upto FROM"
        f" (SELECT last, octet_length(slice) AS size FROM {schema}.windows UNION ALL"
        f" SELECT last, octet_length(slice) FROM {schema}.copied_windows) one) two WHERE upto > %s",
        (max_bytes,)).fetchone()
    for table in ("windows", "copied_windows"):
        connection.execute(f"DELETE FROM {schema}.{table} WHERE last < %s OR last <= %s", (oldest_ms, until))


def _merge(connection: Any, schema: str, slot: int) -> None:
    with connection.transaction():
        rows = connection.execute(
            f"DELETE FROM {schema}.windows WHERE last >= %s AND last < %s RETURNING first, last, slice",
            (slot * SLOT_MS, (slot + 1) * SLOT_MS), binary=True).fetchall()
        parts = []
        for first, last, data in rows:
            with suppress(*DAMAGED):
                parts.append(unpack(first, last, data)[0])
        made = together(parts)
        if made:
            put(connection, schema, min(row[0] for row in rows), max(row[1] for row in rows), pack(made))
