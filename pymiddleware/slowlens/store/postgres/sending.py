"""A batch of profiles into the database: binary COPY into a table of this session, and from there what is not known.

Ids and routes go in by their order: two that store the same ones wait for each
other, but never both at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from ..interface import COLUMNS
from .columns import DDL, KEPT, STAGED
from .schema import Schema

__all__ = ["CHANNEL", "send"]

#: Where ids of new profiles are told: LISTEN "slowlens_SCHEMA".
CHANNEL = "slowlens_{}"
#: A notification has at most 8,000 bytes.
IDS_OF_ONE = 250

#: Behind a pooler the session, and the table with it, may come from a slowlens with other columns.
_STAGED = f"slowlens_staged_{crc32(DDL.encode()):08x}"
_ROW = ", ".join((*COLUMNS, "day"))


def send(
    connection: Any, schema: Schema, rows: Sequence[Sequence[Any]], ids: Sequence[str], own_session: bool = True,
) -> None:
    """Stores ``rows`` (as columns.staged makes them), all or none; those that are known already stay as they are.

    :param own_session: nobody gets the session after us, so the table that they go by stays in it for the next batch.
    :raises psycopg.Error: none is stored, or it is not known whether: to send them once more is right then.
    """
    import psycopg

    try:
        _send(connection, schema.name, rows, ids, own_session)
    except psycopg.errors.CheckViolation:  # no partition of that day yet, or no longer
        days = STAGED[0].index("day")
        schema.add_days(connection, {row[days] for row in rows})
        _send(connection, schema.name, rows, ids, own_session)
    except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
        _send(connection, schema.name, rows, ids, own_session)


def _send(connection: Any, s: str, rows: Sequence[Sequence[Any]], ids: Sequence[str], own_session: bool) -> None:
    names, types = STAGED
    with connection.transaction(), connection.cursor() as cursor:
        # Empty, or gone, after each commit; nothing of it is in the log of changes.
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {_STAGED} ({DDL}, blob bytea NOT NULL)"
                       f" ON COMMIT {'DELETE ROWS' if own_session else 'DROP'}")
        with cursor.copy(f"COPY {_STAGED} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"WITH fresh AS ("
            f" INSERT INTO {s}.profiles ({_ROW}) SELECT {_ROW} FROM {_STAGED} one WHERE NOT EXISTS ("
            f"  SELECT FROM {s}.profiles kept WHERE kept.id = one.id AND kept.day = {KEPT})"
            f" ORDER BY id ON CONFLICT DO NOTHING RETURNING id"
            f") INSERT INTO {s}.blobs (id, day, blob) SELECT DISTINCT ON (id) id, day, blob FROM {_STAGED}"
            f" WHERE id IN (SELECT id FROM fresh) ORDER BY id ON CONFLICT DO NOTHING")
        if cursor.rowcount:
            cursor.execute(
                f"INSERT INTO {s}.routes SELECT DISTINCT day, route, method FROM {_STAGED}"
                f" ORDER BY day, route, method ON CONFLICT DO NOTHING")
            for at in range(0, len(ids), IDS_OF_ONE):
                cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL.format(s), ",".join(ids[at:at + IDS_OF_ONE])))
