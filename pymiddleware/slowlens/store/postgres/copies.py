"""What other stores counted and gathered, moved here by ``slowlens copy``: a row an origin and hour, or ten minutes.

A row is replaced by a later copy, which has more, and never added to anything: see store/copying.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from ... import _core
from ..derived import DAMAGED
from ..interface import Counted, Gathered
from ..numbers import HOUR, counted_in
from ..windows import SLOT_MS, unpack, whole_slots

__all__ = ["TABLES", "counted", "gathered", "identity", "put_counted", "put_gathered"]

TABLES = """
ALTER TABLE {s}.about ADD COLUMN store uuid NOT NULL DEFAULT gen_random_uuid();
CREATE TABLE {s}.copied_hours (
  hour integer NOT NULL, origin uuid NOT NULL, requests bigint NOT NULL, total bytea NOT NULL,
  PRIMARY KEY (hour, origin)
);
ALTER TABLE {s}.copied_hours ALTER total SET STORAGE EXTERNAL;
CREATE TABLE {s}.copied_windows (
  slot bigint NOT NULL, origin uuid NOT NULL, first bigint NOT NULL, last bigint NOT NULL, requests bigint NOT NULL,
  slice bytea NOT NULL, PRIMARY KEY (slot, origin)
);
ALTER TABLE {s}.copied_windows ALTER slice SET STORAGE EXTERNAL;
CREATE INDEX ON {s}.copied_windows (last);
"""

#: Asks the database for rows.
Read = Callable[[str, Any], list[Any]]


def identity(read: Read, s: str) -> bytes | None:
    """The schema's name among stores."""
    found = read(f"SELECT store FROM {s}.about", ())
    return bytes(found[0][0].bytes) if found else None


def counted(read: Read, s: str, own: bytes) -> Iterator[Counted]:
    """All hours: those that were counted here, and those of other stores."""
    hours = read(f"SELECT hour FROM {s}.hours UNION SELECT hour FROM {s}.parts WHERE part IS NOT NULL ORDER BY 1", ())
    for (hour,) in hours:
        table = _core.Numbers(HOUR)
        # One statement, so one moment: a part is in its hour or by itself.
        for (data,) in read(
                f"SELECT total FROM {s}.hours WHERE total <> '' AND hour = %(hour)s UNION ALL "
                f"SELECT part FROM {s}.parts WHERE part IS NOT NULL AND hour = %(hour)s", {"hour": hour}):
            with suppress(_core.CorruptError):
                table.merge(data)
        yield Counted(own, hour, table.encode())
    for hour, origin in read(f"SELECT hour, origin FROM {s}.copied_hours ORDER BY 1, 2", ()):
        for (data,) in read(f"SELECT total FROM {s}.copied_hours WHERE hour = %s AND origin = %s", (hour, origin)):
            yield Counted(origin.bytes, hour, bytes(data))


def put_counted(connection: Any, s: str, one: Counted) -> bool:
    """False: no more than is there. :raises psycopg.Error: :raises CorruptError:"""
    return bool(connection.execute(
        f"INSERT INTO {s}.copied_hours (hour, origin, requests, total) VALUES (%s, %s::uuid, %s, %b)"
        f" ON CONFLICT (hour, origin) DO UPDATE SET requests = excluded.requests, total = excluded.total"
        f" WHERE copied_hours.requests < excluded.requests",
        (one.hour, one.origin.hex(), counted_in(one.table), one.table)).rowcount)


def gathered(read: Read, s: str, own: bytes) -> Iterator[Gathered]:
    """All trees, ten minutes at a time: those that were gathered here, and those of other stores."""
    for (slot,) in read(f"SELECT DISTINCT last / {SLOT_MS} FROM {s}.windows ORDER BY 1", ()):
        slices = []
        for first, last, data in read(
                f"SELECT first, last, slice FROM {s}.windows WHERE last >= %s AND last < %s ORDER BY last",
                (slot * SLOT_MS, (slot + 1) * SLOT_MS)):
            with suppress(*DAMAGED):
                slices.append(unpack(first, last, data)[0])
        for one in whole_slots(slices):
            yield one._replace(origin=own)
    for slot, origin in read(f"SELECT slot, origin FROM {s}.copied_windows ORDER BY 1, 2", ()):
        for row in read(f"SELECT first, last, requests, slice FROM {s}.copied_windows WHERE slot = %s AND origin = %s",
                        (slot, origin)):
            yield Gathered(origin.bytes, row[0], row[1], row[2], bytes(row[3]))


def put_gathered(connection: Any, s: str, one: Gathered) -> bool:
    """False: no more than is there. :raises psycopg.Error: :raises ValueError: it is none."""
    unpack(one.first, one.last, one.data)
    return bool(connection.execute(
        f"INSERT INTO {s}.copied_windows (slot, origin, first, last, requests, slice)"
        f" VALUES (%s, %s::uuid, %s, %s, %s, %b) ON CONFLICT (slot, origin) DO UPDATE SET first = excluded.first,"
        f" last = excluded.last, requests = excluded.requests, slice = excluded.slice"
        f" WHERE copied_windows.requests < excluded.requests",
        (one.last // SLOT_MS, one.origin.hex(), one.first, one.last, one.requests, one.data)).rowcount)
