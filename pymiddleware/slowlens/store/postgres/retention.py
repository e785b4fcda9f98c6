"""What goes when it is too old or too much: whole days, by dropping their partitions.

Of a day that is too old only pinned profiles outlive it; of one that goes for
want of room the slowest of each route and its latest errors do too, in the
partition of the kept, half of the room at most. The newest day is never
dropped: when it alone is too much, its oldest rows are deleted.

DROP waits for every open transaction that has read the table, and who comes
later waits for DROP. So it gives up after ``LOCK_MS``; the next round tries again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..interface import COLUMNS
from .columns import KEPT
from .schema import Schema

__all__ = ["Retention"]

LOCK_MS = 300
DAY_S = 86400
#: The store is brought down to this share of its limit.
FULL = 0.97
#: Rows of the newest day that go in one statement.
ROWS_OF_ONE = 2000

_ROW = ", ".join((*COLUMNS, "pinned", "stored"))


class Retention:
    """One store's rules."""

    def __init__(self, schema: Schema, max_bytes: int, max_age_days: float, worst_per_route: int) -> None:
        self._schema = schema
        self._max_bytes = max_bytes
        self._max_age_days = max_age_days
        self._worst_per_route = worst_per_route

    def pass_by(self, connection: Any, budget_seconds: float) -> dict[str, int]:
        """One bounded step; of several processes one does it. :raises psycopg.Error:"""
        deleted = self._pass_by(connection, time.monotonic() + budget_seconds)
        return {"deleted": deleted, "bytes": self.size(connection)}

    @contextmanager
    def _alone(self, connection: Any) -> Iterator[bool]:
        """A transaction in which no other process deletes; False: one does.

        The lock is the transaction's: a pooler may give the next one another session, and this one's lock to nobody.
        """
        with connection.transaction():
            (mine,) = connection.execute(
                "SELECT pg_try_advisory_xact_lock(hashtext(%s), 1)", (self._schema.name,)).fetchone()
            yield mine

    def _pass_by(self, connection: Any, deadline: float) -> int:
        deleted = 0
        # By the database's clock: hosts' clocks may be anywhere.
        (now,) = connection.execute("SELECT extract(epoch FROM now())::float8").fetchone()
        days = self._schema.days(connection)
        oldest = (now - self._max_age_days * DAY_S) / DAY_S - 1 if self._max_age_days > 0 else -1
        for day in [day for day in days if day < oldest]:
            deleted += self._drop(connection, day, keep_worst=False)
            if time.monotonic() > deadline:
                return deleted
        days = [day for day in self._schema.days(connection) if day >= oldest]
        room = self._max_bytes * FULL
        size = self.size(connection)
        while len(days) > 1 and size > room:
            gone = self._drop(connection, days.pop(0), keep_worst=True)
            left = self.size(connection)
            if left >= size and not gone:
                break  # somebody reads it: next time
            deleted, size = deleted + gone, left
            if time.monotonic() > deadline:
                return deleted
        if size > room and days:
            deleted += self._thin(connection, days[0], room, deadline)
        return deleted + self._trim_kept(connection, oldest)

    def size(self, connection: Any) -> int:
        """Bytes of rows and blobs, with their indexes."""
        (found,) = connection.execute(
            "SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint FROM pg_inherits i "
            "WHERE i.inhparent IN (to_regclass(%s), to_regclass(%s))",
            (f"{self._schema.name}.profiles", f"{self._schema.name}.blobs")).fetchone()
        return int(found)

    def _drop(self, connection: Any, day: int, keep_worst: bool) -> int:
        """Drops a day; how many profiles went. 0: somebody reads it, next time."""
        import psycopg

        s = self._schema.name
        kept: list[Any] = []
        try:
            with self._alone(connection) as mine:
                if not mine:
                    return 0
                if keep_worst and self._worst_per_route > 0:
                    # Told before anybody has to wait for us.
                    kept = [row[0] for row in connection.execute(self._worst_of(f"{s}.profiles_{day}"))]
                connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
                connection.execute(f"LOCK TABLE ONLY {s}.profiles, ONLY {s}.blobs IN ACCESS EXCLUSIVE MODE")
                connection.execute(
                    f"LOCK TABLE {s}.profiles_{day}, {s}.blobs_{day} IN ACCESS EXCLUSIVE MODE")
                (count,) = connection.execute(f"SELECT count(*) FROM {s}.profiles_{day}").fetchone()
                moved = connection.execute(
                    f"INSERT INTO {s}.profiles ({_ROW}, day) SELECT {_ROW}, {KEPT} FROM {s}.profiles_{day}"
                    f" WHERE pinned OR id = ANY(%s) ON CONFLICT DO NOTHING", (kept,)).rowcount
                connection.execute(
                    f"INSERT INTO {s}.blobs (id, day, blob) SELECT b.id, {KEPT}, b.blob FROM {s}.blobs_{day} b"
                    f" JOIN {s}.profiles_kept USING (id) ON CONFLICT DO NOTHING")
                connection.execute(
                    f"INSERT INTO {s}.routes SELECT DISTINCT {KEPT}, route, method FROM {s}.profiles_kept"
                    f" ORDER BY 2, 3 ON CONFLICT DO NOTHING")
                self._schema.drop_day(connection, day)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.UndefinedTable):
            return 0  # the last: another process dropped it meanwhile
        return int(count - moved)

    def _worst_of(self, table: str) -> str:
        per_route = int(self._worst_per_route)
        return (
            f"SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY route, method ORDER BY wall_ns DESC) AS slow,"
            f" CASE WHEN status >= 500 THEN row_number() OVER"
            f" (PARTITION BY route, method, status >= 500 ORDER BY started DESC) END AS error"
            f" FROM {table}) ranked WHERE slow <= {per_route} OR error <= {per_route}")

    def _trim_kept(self, connection: Any, oldest: float) -> int:
        """The kept: no more than so many a route, none that is too old, half of the room in all."""
        with self._alone(connection) as mine:
            return self._trim_kept_alone(connection, oldest) if mine else 0

    def _trim_kept_alone(self, connection: Any, oldest: float) -> int:
        s = self._schema.name
        table = f"{s}.profiles_kept"
        deleted = connection.execute(
            f"DELETE FROM {s}.profiles WHERE day = {KEPT} AND NOT pinned AND (started < %s OR id NOT IN ("
            f"{self._worst_of(table)}))", (max(0, int(oldest * DAY_S)) * 10**9,)).rowcount
        # The least bad go first.
        deleted += connection.execute(
            f"DELETE FROM {s}.profiles WHERE day = {KEPT} AND id IN (SELECT id FROM ("
            f" SELECT id, pinned, sum(bytes) OVER (ORDER BY pinned DESC, wall_ns DESC, id) AS upto FROM {table}) one"
            f" WHERE NOT pinned AND upto > %s)", (self._max_bytes // 2,)).rowcount
        if deleted:
            connection.execute(
                f"DELETE FROM {s}.blobs b WHERE day = {KEPT} AND NOT EXISTS ("
                f"SELECT FROM {table} p WHERE p.id = b.id)")
        return int(deleted)

    def _thin(self, connection: Any, day: int, room: float, deadline: float) -> int:
        """Deletes the oldest of the one day that is left: its space is used again by what comes."""
        s = self._schema.name
        deleted = 0
        (live,) = connection.execute(
            f"SELECT coalesce(sum(bytes + 700), 0)::bigint FROM {s}.profiles WHERE day = %s", (day,)).fetchone()
        while live > room and time.monotonic() <= deadline:
            with self._alone(connection) as mine:
                gone = connection.execute(
                    f"DELETE FROM {s}.profiles WHERE day = %s AND id IN (SELECT id FROM {s}.profiles WHERE day = %s"
                    f" AND NOT pinned ORDER BY id LIMIT {ROWS_OF_ONE}) RETURNING id, bytes",
                    (day, day)).fetchall() if mine else []
                if not gone:
                    break
                connection.execute(
                    f"DELETE FROM {s}.blobs WHERE day = %s AND id = ANY(%s)", (day, [row[0] for row in gone]))
            deleted += len(gone)
            live -= sum(row[1] + 700 for row in gone)
        return deleted
