"""The tables: made, upgraded and partitioned by whoever comes first, one at a time.

``CREATE ... IF NOT EXISTS`` is no guard against two that do it at once: both
find nothing, one fails. So all of it happens under an advisory lock of the
database, in one transaction.

A version of slowlens knows the tables' version N and the steps to it. Tables
of a later version say up from which version a program may write to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..interface import StoreError
from . import copies, windows
from .columns import ADDED, ENDED, FIRST, KEPT, later

__all__ = ["STEPS", "Refused", "Schema"]

#: The advisory lock of everything that makes or drops tables, of all schemas: extensions belong to the database.
LOCK = 0x736C6F776C656E73
#: More days than anybody keeps; past it a clock is broken.
DAYS_MAX = 1500
#: Slow, as the viewer's list has it at hand.
SLOW_NS = 200_000_000

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}\Z")

#: Text that is searched: ASCII letters in any case, whatever the locale thinks.
SEARCHED = "lower((path || chr(10) || route || chr(10) || hot) COLLATE \"C\")"

_TABLES = f"""
CREATE TABLE {{s}}.profiles (
  {FIRST},
  pinned boolean NOT NULL DEFAULT false,
  stored xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE {{s}}.blobs (
  id uuid NOT NULL, day integer NOT NULL, blob bytea NOT NULL, PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
ALTER TABLE {{s}}.blobs ALTER blob SET STORAGE EXTERNAL;
CREATE INDEX ON {{s}}.profiles (started, id);
CREATE INDEX ON {{s}}.profiles (wall_ns, id);
CREATE INDEX ON {{s}}.profiles (cpu_ns, id);
CREATE INDEX ON {{s}}.profiles (route, wall_ns, id);
CREATE INDEX ON {{s}}.profiles (route, started, id);
CREATE INDEX ON {{s}}.profiles (release, started, id);
CREATE INDEX ON {{s}}.profiles (stored);
CREATE INDEX ON {{s}}.profiles USING gin (tags);
CREATE INDEX ON {{s}}.profiles USING gin (findings);
CREATE TABLE {{s}}.routes (
  day integer NOT NULL, route text COLLATE "C" NOT NULL, method text COLLATE "C" NOT NULL,
  PRIMARY KEY (day, route, method)
);
CREATE TABLE {{s}}.parts (hour integer NOT NULL, source uuid NOT NULL, part bytea, PRIMARY KEY (hour, source));
CREATE TABLE {{s}}.hours (hour integer PRIMARY KEY, total bytea NOT NULL);
ALTER TABLE {{s}}.hours ALTER total SET STORAGE EXTERNAL;
"""

#: Indexes of each day, beside those that the whole table has: made with the day, so a table that is there already gets
#: them day by day, and nobody waits for them. What lists show first is what ended last. Errors and slow ones are few:
#: their indexes cost next to nothing, and without them the newest of them are looked for among all.
#: A query locks each index of each day that it may read, and the database has room for 64 a connection: no more than
#: are needed.
OF_A_DAY = (
    *(f"({name}, {ENDED}, id)" for name in ("route", "status", "host", "release")),
    *(f"({order}, id) WHERE status >= 500" for order in ("started", ENDED, "wall_ns", f"route, {ENDED}")),
    *(f"({order}, id) WHERE wall_ns >= {SLOW_NS}" for order in ("started", ENDED)),
    *(f"({name}, id)" for name in ("status", "route", "method", "mode", "bytes", "calls", "waiting_ns", "db_ns",
                                    "db_count")),
)

#: What leads from version N to N + 1. A program of an earlier version goes on writing: a new column has a default.
STEPS: list[str] = [
    _TABLES,
    f"ALTER TABLE {{s}}.profiles {later(ADDED)};\nCREATE INDEX ON {{s}}.profiles ({ENDED}, id)",
    windows.TABLE,
    copies.TABLES,
]
#: The oldest version that may go on writing to tables as these steps leave them.
COMPATIBLE = 1


class Refused(StoreError):
    """This profile is not taken, now or later; others are."""


class Schema:
    """One schema of a database. Functions take a connection that commits by itself."""

    def __init__(self, name: str) -> None:
        if not _NAME.match(name):
            raise ValueError(f"schema {name!r}: lower-case letters, digits and _ only, 40 of them at most")
        self.name = name

    def state(self, connection: Any) -> int:
        """The tables' version; 0: there are none. :raises StoreError: a later slowlens made them."""
        # Not to_regclass: a session remembers what was not there, and waiting for our lock does not make it look again.
        found = connection.execute(
            "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = 'about'", (self.name,)).fetchone()
        if found is None:
            return 0
        version, oldest = connection.execute(f"SELECT version, oldest FROM {self.name}.about").fetchone() or (0, 0)
        if oldest > len(STEPS):
            raise StoreError(f"the schema {self.name} is of a later slowlens: update this one")
        return int(version)

    def prepare(self, connection: Any) -> None:
        """Makes or upgrades what is not as it shall be."""
        if self.state(connection) >= len(STEPS):
            return
        encoding = connection.execute("SHOW server_encoding").fetchone()[0]
        if encoding != "UTF8":
            raise StoreError(f"the database's encoding is {encoding}: slowlens needs one of UTF8")
        with connection.transaction():
            self._lock(connection)
            version = self.state(connection)
            if version == 0:
                if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (self.name,)).fetchone() is None:
                    connection.execute(f"CREATE SCHEMA {self.name}")
                connection.execute(
                    f"CREATE TABLE {self.name}.about (version integer NOT NULL, oldest integer NOT NULL)")
                connection.execute(f"INSERT INTO {self.name}.about VALUES (0, 0)")
            for step in STEPS[version:]:
                connection.execute(step.format(s=self.name))
            if version == 0:
                self._search(connection)
                self._add(connection, [KEPT])
            connection.execute(
                f"UPDATE {self.name}.about SET version = greatest(version, {len(STEPS)}), oldest = {COMPATIBLE}")

    def _lock(self, connection: Any) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))

    def _search(self, connection: Any) -> None:
        """An index for text, where the extension pg_trgm can be had; without it text is found by reading all rows."""
        import psycopg

        def home() -> Any:
            return connection.execute(
                "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
                "WHERE e.extname = 'pg_trgm'").fetchone()

        try:
            with connection.transaction():
                if home() is None:
                    connection.execute("CREATE EXTENSION pg_trgm")
                connection.execute(
                    f"CREATE INDEX ON {self.name}.profiles USING gin (({SEARCHED}) {home()[0]}.gin_trgm_ops)")
        except (psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.OperationalError):
            if connection.closed:
                raise

    # ---- days ----

    def days(self, connection: Any) -> list[int]:
        """Days that have a partition, oldest first."""
        rows = connection.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace "
            "WHERE n.nspname = %s AND p.relname = 'profiles'", (self.name,)).fetchall()
        names = [row[0].rpartition("_")[2] for row in rows]
        return sorted(int(name) for name in names if name.isdecimal())

    def add_days(self, connection: Any, days: Iterable[int]) -> None:
        """Makes partitions of days that have none. :raises Refused: too many."""
        with connection.transaction():
            self._lock(connection)
            there = self.days(connection)
            missing = sorted(set(days).difference(there))
            if missing and len(there) + len(missing) > DAYS_MAX:
                raise Refused(f"profiles of {len(there)} days are stored: the clock of some host must be broken")
            self._add(connection, missing)

    def _add(self, connection: Any, days: list[int]) -> None:
        # Made apart and attached: whoever reads the table is not waited for, as CREATE ... PARTITION OF does.
        for day in days:
            suffix = "kept" if day == KEPT else str(day)
            for table in ("profiles", "blobs"):
                part = f"{self.name}.{table}_{suffix}"
                connection.execute(f"CREATE TABLE {part} (LIKE {self.name}.{table} INCLUDING ALL)")
                connection.execute(
                    f"ALTER TABLE {self.name}.{table} ATTACH PARTITION {part} FOR VALUES FROM ({day}) TO ({day + 1})")
            for index in OF_A_DAY:
                connection.execute(f"CREATE INDEX ON {self.name}.profiles_{suffix} {index}")

    def drop_day(self, connection: Any, day: int) -> None:
        """Within a transaction that holds both tables."""
        connection.execute(f"DROP TABLE {self.name}.profiles_{day}, {self.name}.blobs_{day}")
        connection.execute(f"DELETE FROM {self.name}.routes WHERE day = %s", (day,))
