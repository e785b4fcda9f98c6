"""Numbers of all requests in the database: a part a minute and process, a total an hour for all.

``parts`` has a row for each part that was ever sent, ``hours`` what they add up
to. A part is added to its hour and emptied in one transaction, so it is in one
of the two whenever who adds is killed; the empty row stays for a while, and a
part that is sent once more (its confirmation was lost) is not counted twice.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from ... import _core
from ..numbers import HOUR, KEPT_HOURS, period_of
from .waiting import Part

__all__ = ["add_up", "put", "read", "trim"]

#: Hours that an emptied part is remembered.
REMEMBERED_HOURS = 72
#: Hours of one adding up.
HOURS_OF_ONE = 50


def put(connection: Any, schema: str, parts: list[Part]) -> None:
    """Stores parts, each once. :raises psycopg.Error:"""
    with connection.transaction(), connection.cursor() as cursor:
        for part in sorted(parts):
            cursor.execute(
                f"INSERT INTO {schema}.parts (hour, source, part) VALUES (%s, %s::uuid, %b) ON CONFLICT DO NOTHING",
                (part.hour, part.source.hex(), part.table))


def add_up(connection: Any, schema: str) -> None:
    """Adds parts to their hours; one process at a time, by the lock of the hours. :raises psycopg.Error:"""
    hours = [row[0] for row in connection.execute(
        f"SELECT DISTINCT hour FROM {schema}.parts WHERE part IS NOT NULL ORDER BY hour LIMIT {HOURS_OF_ONE}")]
    for hour in hours:
        with connection.transaction():
            connection.execute(
                f"INSERT INTO {schema}.hours (hour, total) VALUES (%s, '') ON CONFLICT DO NOTHING", (hour,))
            (total,) = connection.execute(
                f"SELECT total FROM {schema}.hours WHERE hour = %s FOR UPDATE", (hour,), binary=True).fetchone()
            table = _core.Numbers(HOUR)
            if total:
                with suppress(_core.CorruptError):
                    table.load(total)
            found = connection.execute(
                f"UPDATE {schema}.parts p SET part = NULL FROM (SELECT source, part FROM {schema}.parts"
                f" WHERE hour = %s AND part IS NOT NULL FOR UPDATE) was"
                f" WHERE p.hour = %s AND p.source = was.source RETURNING was.part",
                (hour, hour), binary=True).fetchall()
            for (part,) in found:
                with suppress(_core.CorruptError):
                    table.merge(part)
            connection.execute(f"UPDATE {schema}.hours SET total = %b WHERE hour = %s", (table.encode(), hour))


def read(connection: Any, schema: str, parts: int, apart: int, from_s: int, to_s: int, *, earlier: bool = False,
         **which: str | None) -> dict[str, Any]:
    """The report, as Hours.read of the folder store documents it.

    :param earlier: the tables are of a version that copied none.
    """
    copied = f"UNION ALL SELECT hour, total FROM {schema}.copied_hours WHERE hour BETWEEN %(first)s AND %(last)s "
    # One statement, so one moment: a part is in its hour or by itself.
    rows = connection.execute(
        f"SELECT hour, total FROM {schema}.hours WHERE total <> '' AND hour BETWEEN %(first)s AND %(last)s UNION ALL "
        f"SELECT hour, part FROM {schema}.parts WHERE part IS NOT NULL AND hour BETWEEN %(first)s AND %(last)s "
        f"{'' if earlier else copied}ORDER BY hour",
        {"first": from_s // HOUR, "last": (to_s - 1) // HOUR if to_s else 1 << 30}, binary=True).fetchall()
    span = rows[-1][0] - rows[0][0] + 1 if rows else 1
    table = _core.Numbers(period_of(span, parts), apart=apart)
    for _, data in rows:
        with suppress(_core.CorruptError):
            table.merge(data, from_s=from_s, to_s=to_s, **which)
    report: dict[str, Any] = json.loads(table.report())
    return report


def trim(connection: Any, schema: str) -> None:
    """Forgets emptied parts, and hours of more than a year ago. :raises psycopg.Error:"""
    now = int(time.time()) // HOUR
    connection.execute(
        f"DELETE FROM {schema}.parts WHERE part IS NULL AND hour < %s", (now - REMEMBERED_HOURS,))
    for table in ("hours", "copied_hours"):
        connection.execute(f"DELETE FROM {schema}.{table} WHERE hour < %s", (now - KEPT_HOURS,))
