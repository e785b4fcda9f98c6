"""The store itself: see the package."""

from __future__ import annotations

import hashlib
import json
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, TypeVar

from ... import _core
from ...options import Options, default_store
from ...request import ID, id_text, id_value
from .. import numbers as folder_numbers
from ..derived import DAMAGED
from ..interface import TREND, Counted, Gathered, Page, Query, RouteStats, Stored, StoreError
from ..rows import cursor_of, with_numbers
from ..windows import Slice
from . import copies, numbers, routes, windows
from .columns import KEPT, day_of, read_row, staged
from .connections import Connections, Place, away, has_session, refusals, said
from .queries import asked, counted
from .retention import Retention
from .schema import Schema
from .sending import CHANNEL, send
from .waiting import Part, Waiting

__all__ = ["PostgresStore", "open_postgres"]

#: After a failure the database is asked again in so many seconds; each time twice as many.
AGAIN_FIRST, AGAIN_MOST = 0.5, 30.0
#: What one turn of sending on may take.
SEND_SECONDS = 1.0
EVERYTHING_ROWS = 50
#: So long the days that have a partition are known for: a new one is found all the same (queries.py).
DAYS_SECONDS = 60.0
#: The folder of what waits holds no more than so much.
WAITING_MAX = 256 << 20

T = TypeVar("T")

_stores: weakref.WeakSet[PostgresStore] = weakref.WeakSet()


def _before_fork() -> None:
    for store in list(_stores):
        store._connections.before_fork()


def _after_fork() -> None:
    for store in list(_stores):
        store._connections.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


#: What takes what is sent.
_TAKE = ("profiles", "blobs", "routes", "parts")


class _EarlierTables(Exception):
    """They lack columns that this version knows."""


class PostgresStore:
    """See the package. Any thread."""

    def __init__(
        self, url: str, *, max_bytes: int = 1 << 29, max_age_days: float = 14, worst_per_route: int = 10,
    ) -> None:
        place = Place(url)
        #: What this store is called among processes of this host.
        self.name = url
        #: The same for people: without user and password.
        self.shown = place.shown
        self._schema = Schema(place.schema)
        self._s = self._schema.name
        self._connections = Connections(place, self._schema.prepare)
        self._max_bytes, self._max_age_days = max_bytes, max_age_days
        self._retention = Retention(self._schema, max_bytes, max_age_days, worst_per_route)
        key = hashlib.sha256(os.fsencode(url)).hexdigest()[:16]
        self._waiting = Waiting(
            place.waiting or os.path.join(default_store() + ".waiting", key), min(max_bytes, WAITING_MAX))
        self._again = 0.0
        self._pause = AGAIN_FIRST
        self._days: list[int] = []
        self._days_until = 0.0
        #: What the database said last when it could not be reached; "": it could.
        self.trouble = ""
        _stores.add(self)

    # ---- storing ----

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        self.put_many([(row, blob)])

    def put_many(self, profiles: Sequence[tuple[dict[str, Any], bytes]]) -> None:
        """Stores a batch; while the database is away, in the folder of what waits.

        :raises StoreError: with the number of those that are nowhere as ``lost``.
        """
        import psycopg

        try:
            rows = [staged(row, blob) for row, blob in profiles]
        except StoreError:
            if len(profiles) == 1:
                raise
            self._each(profiles)
            return
        with self._connections.lock:
            if time.monotonic() >= self._again:
                try:
                    self._send(profiles, rows)
                    return
                except (psycopg.Error, StoreError) as error:
                    if not away(error):
                        self._one_by_one(profiles, rows, error)
                        return
                    self._is_away(error)
            self._wait(profiles)

    def _each(self, profiles: Sequence[tuple[dict[str, Any], bytes]]) -> None:
        """One of a batch is no profile. :raises StoreError:"""
        lost, why = 0, ""
        for profile in profiles:
            try:
                self.put_many([profile])
            except StoreError as error:
                lost, why = lost + error.lost, str(error)
        failed = StoreError(why)
        failed.lost = lost
        raise failed

    def _one_by_one(
        self, profiles: Sequence[tuple[dict[str, Any], bytes]], rows: Sequence[Sequence[Any]], why: Exception,
    ) -> None:
        """One of a batch is refused by the database: that is no reason to lose the others. :raises StoreError:"""
        import psycopg

        lost = 0
        for at, profile in enumerate(profiles):
            try:
                self._send([profile], [rows[at]])
            except refusals() as error:
                lost, why = lost + 1, error
            except (psycopg.Error, StoreError) as error:
                self._is_away(error)
                self._wait(profiles[at:])
                break
        if lost:
            failed = StoreError(f"{self.shown}: {said(why)}")
            failed.lost = lost
            raise failed

    def _send(self, profiles: Sequence[tuple[dict[str, Any], bytes]], rows: Sequence[Sequence[Any]]) -> None:
        """:raises psycopg.Error: :raises StoreError: the database takes nothing now."""
        import psycopg

        connection = self._connections.writing()
        try:
            send(connection, self._schema, rows, [row["id"] for row, _ in profiles], self._connections.own_session)
        except psycopg.errors.UndefinedTable:  # somebody dropped them: they are made again
            self._schema.prepare(connection)
            send(connection, self._schema, rows, [row["id"] for row, _ in profiles], self._connections.own_session)
        self._is_back()

    def _is_back(self) -> None:
        self._pause, self._again, self.trouble = AGAIN_FIRST, 0.0, ""

    def _is_away(self, error: Exception) -> None:
        self._connections.let_go()
        self.trouble = said(error)
        self._again = time.monotonic() + self._pause
        self._pause = min(AGAIN_MOST, self._pause * 2)

    def _wait(self, profiles: Sequence[tuple[dict[str, Any], bytes]]) -> None:
        lost = 0
        why = ""
        for row, blob in profiles:
            try:
                self._waiting.put(row, blob)
            except StoreError as error:
                lost, why = lost + 1, str(error)
        if lost:
            failed = StoreError(f"{self.shown}: {self.trouble}; nor can profiles wait: {why}")
            failed.lost = lost
            raise failed

    def tend(self) -> float | None:
        """Sends on what waits, if the database is back. Seconds until it is worth another try; None: nothing waits."""
        import psycopg

        if not self._waiting.any():
            return None
        with self._connections.lock:
            now = time.monotonic()
            if now < self._again:
                return self._again - now
            try:
                self._connections.writing()
                deadline = now + SEND_SECONDS
                self._waiting.send(self._send_waiting, self._send_parts, lambda: time.monotonic() < deadline)
            except (psycopg.Error, StoreError) as error:
                self._is_away(error)
                return max(0.0, self._again - time.monotonic())
            self._is_back()
            return 1.0 if self._waiting.any() else None

    def _send_waiting(self, profiles: list[tuple[dict[str, Any], bytes]]) -> None:
        rows = [staged(row, blob) for row, blob in profiles]
        try:
            self._send(profiles, rows)
        except refusals() as error:
            try:
                self._one_by_one(profiles, rows, error)
            except StoreError as refused:
                self._waiting.lost += refused.lost

    def _send_parts(self, parts: list[Part]) -> None:
        numbers.put(self._connections.writing(), self._s, parts)

    def put_numbers(
        self, first_s: int, last_s: int, table: bytes, source: bytes = b"", again: bool = False,
    ) -> None:
        """What a process counted between two Unix times. :raises StoreError: it is not stored.

        :param source: 16 bytes that name it: it is stored once, however often it is put (so ``again`` does not matter).
        """
        import psycopg

        parts = [Part(int.from_bytes(inside, "little"), source or os.urandom(16), outside)
                 for inside, outside in folder_numbers.split(first_s, last_s, table)]
        with self._connections.lock:
            if time.monotonic() >= self._again:
                try:
                    self._send_parts(parts)
                    self._is_back()
                    return
                except (psycopg.Error, StoreError) as error:
                    self._is_away(error)
            for part in parts:
                self._waiting.put_part(part)

    def put_window(self, first_ms: int, last_ms: int, data: bytes) -> None:
        """Stores a slice of windows.py. While the database is away it is lost: it is much, and others tell the same.

        :raises StoreError: it is not stored.
        """
        import psycopg

        with self._connections.lock:
            if time.monotonic() < self._again:
                raise StoreError(f"{self.shown}: {self.trouble}")
            try:
                windows.put(self._connections.writing(), self._s, first_ms, last_ms, data)
                self._is_back()
            except psycopg.Error as error:
                if away(error):
                    self._is_away(error)
                raise StoreError(f"{self.shown}: {said(error)}") from None

    # ---- reading ----

    def gathers(self, since_ms: int) -> bool:
        """Whether slices are there that ended after ``since_ms``: none of them is read for that."""
        return bool(self._either(lambda connection, earlier: windows.gathers(connection, self._s, since_ms, earlier)))

    def windows(self, from_ms: int, to_ms: int = 0) -> Iterator[Slice]:
        """Slices that ended after ``from_ms``, up to ``to_ms`` (0: no end)."""
        return iter(self._either(
            lambda connection, earlier: list(windows.read(connection, self._s, from_ms, to_ms, earlier))) or ())

    def _either(self, ask: Callable[[Any, bool], T]) -> T | None:
        """Asks tables of this version, or of one before that another may not upgrade; None: there are none."""
        import psycopg

        with self._connections.reading() as connection:
            for earlier in (False, True):
                try:
                    return ask(connection, earlier)
                except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                    pass
                except psycopg.errors.InsufficientPrivilege:
                    if earlier:
                        raise  # else: somebody who only reads, and was granted the tables before there were these
        return None

    def _read(self, sql: str, values: Any = None) -> list[Any]:
        """:raises StoreError: the database does not answer."""
        import psycopg

        with self._connections.reading() as connection:
            try:
                found: list[Any] = connection.execute(sql, values, binary=True).fetchall()
                return found
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return []  # nothing was ever stored
            except psycopg.errors.UndefinedColumn:
                raise _EarlierTables from None

    def count(self, query: Query, most: int) -> int:
        try:
            found = self._read(*counted(self._s, query, most))
        except _EarlierTables:
            found = self._read(*counted(self._s, query, most, earlier=not self._upgrade()))
        return int(found[0][0]) if found else 0

    def _upgrade(self) -> bool:
        """Brings the tables up to this version, where that is allowed."""
        import psycopg

        with self._connections.lock:
            try:
                self._connections.writing()
            except (StoreError, psycopg.Error):
                self._connections.let_go()
                return False
        return True

    def get(self, profile_id: str) -> bytes | None:
        if ID.match(profile_id) is None:
            return None
        found = self._read(f"SELECT blob FROM {self._s}.blobs WHERE id = %s::uuid AND day IN (%s, {KEPT})",
                           (id_value(profile_id).hex(), day_of(profile_id)))
        return bytes(found[0][0]) if found else None

    def known(self, ids: Sequence[str]) -> set[str]:
        """Which of these are stored: one question for many."""
        found = self._read(f"SELECT id FROM {self._s}.profiles WHERE id = ANY(%s::uuid[])",
                           ([id_value(one).hex() for one in ids if ID.match(one)],))
        return {id_text(row[0].bytes) for row in found}

    def list(self, query: Query) -> Page:
        wanted = asked(self._s, query, days=self._known_days())
        try:
            found = self._read(wanted.sql, wanted.values)
        except _EarlierTables:  # nobody has written since slowlens was updated
            wanted = asked(self._s, query, earlier=not self._upgrade())
            found = self._read(wanted.sql, wanted.values)
        mark = found[0][0] if found else "1:1:"
        rows = [read_row(wanted.names, row[1:]) for row in found if row[1] is not None]
        more = len(rows) > wanted.limit
        del rows[wanted.limit:]
        return Page(rows, cursor_of(wanted.sort, rows[-1]) if more else None, mark)

    def _known_days(self) -> Sequence[int]:
        now = time.monotonic()
        if now >= self._days_until:
            with self._connections.reading() as connection:
                self._days = self._schema.days(connection)
            self._days_until = now + DAYS_SECONDS
        return self._days

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        counted = self.numbers(route=route, parts=TREND)
        known = {(row["route"], row["method"]) for row in counted["rows"]}
        return with_numbers(routes.stored(self._read, self._s, known, route), counted)

    def numbers(
        self, *, route: str | None = None, method: str | None = None, release: str | None = None,
        host: str | None = None, since_s: int = 0, until_s: int = 0, parts: int = 0, apart: int = 3,
    ) -> dict[str, Any]:
        """What all requests took, kept or not, as DirectoryStore.numbers documents it."""
        found = self._either(lambda connection, earlier: numbers.read(
            connection, self._s, parts, apart, since_s, until_s, earlier=earlier,
            route=route, method=method, release=release, host=host))
        if found is None:
            found = json.loads(_core.Numbers(apart=apart).report())
        return found

    def contents(self) -> dict[str, int]:
        """``profiles``, ``bytes`` of their tables; ``waiting``: those on this host that are to be sent on."""
        found = self._read(f"SELECT count(*) FROM {self._s}.profiles")
        with self._connections.reading() as connection:
            size = self._retention.size(connection)
        return {"profiles": found[0][0] if found else 0, "bytes": size, "memory": 0, "waiting": self._waiting.count()}

    def everything(self) -> Iterator[Stored]:
        after = (-2, "0" * 32)
        while True:
            # A page at a time: no transaction is open while the caller works.
            found = self._read(
                f"SELECT p.day, p.id, p.hot, p.pinned, b.blob FROM {self._s}.profiles p JOIN {self._s}.blobs b"
                f" USING (id, day) WHERE (p.day, p.id) > (%s, %s::uuid) ORDER BY p.day, p.id LIMIT {EVERYTHING_ROWS}",
                after)
            if not found:
                return
            for day, value, hot, pinned, blob in found:
                after = (day, value.hex)
                try:
                    meta = json.loads(_core.read_meta(blob))["meta"]
                except ValueError:
                    continue
                yield Stored({**meta, "id": id_text(value.bytes), "hot": hot, "pinned": pinned}, bytes(blob))

    # ---- moving on what all requests did ----

    def identity(self) -> bytes | None:
        """The schema's name among stores; None: its tables are of an earlier version, and not ours to upgrade."""
        import psycopg

        with self._connections.lock, suppress(psycopg.Error, StoreError):
            self._connections.writing()
        try:
            return copies.identity(self._read, self._s)
        except _EarlierTables:
            return None

    def counted(self) -> Iterator[Counted]:
        """All hours, its own and those of others."""
        own = self.identity()
        return iter(()) if own is None else copies.counted(self._read, self._s, own)

    def gathered(self) -> Iterator[Gathered]:
        """All trees, ten minutes at a time, its own and those of others."""
        own = self.identity()
        return iter(()) if own is None else copies.gathered(self._read, self._s, own)

    def put_counted(self, one: Counted) -> bool:
        """See interface.py. :raises StoreError: it is not stored."""
        return self._put_copy(one.origin, lambda connection: copies.put_counted(connection, self._s, one))

    def put_gathered(self, one: Gathered) -> bool:
        """See interface.py. :raises StoreError: it is not stored."""
        return self._put_copy(one.origin, lambda connection: copies.put_gathered(connection, self._s, one))

    def _put_copy(self, origin: bytes, put: Callable[[Any], bool]) -> bool:
        import psycopg

        with self._connections.lock:
            try:
                connection = self._connections.writing()
                found = connection.execute(f"SELECT store FROM {self._s}.about").fetchone()
                return (found is None or found[0].bytes != origin) and put(connection)
            except psycopg.Error as error:
                self._connections.let_go()
                raise StoreError(f"{self.shown}: {said(error)}") from None
            except DAMAGED as error:
                raise StoreError(f"{self.shown}: {error}") from None

    def changes(self, seconds: float) -> Sequence[str]:
        """Waits until something is stored, by whatever host: ids; empty: nothing was in that time.

        :raises StoreError: the database does not answer.
        """
        with self._connections.reading() as connection:
            if not has_session(connection):
                time.sleep(min(seconds, 1.0))  # behind a pooler somebody else would be told
                return []
            channel = f'"{CHANNEL.format(self._s)}"'
            connection.execute(f"LISTEN {channel}")
            try:
                ids: list[str] = []
                for told in connection.notifies(timeout=seconds, stop_after=1):
                    ids += told.payload.split(",")
                return ids
            finally:
                if not connection.closed:
                    connection.execute(f"UNLISTEN {channel}")

    # ---- changing ----

    def _change(self, *statements: tuple[str, Any]) -> int:
        """Executes all in one transaction; rows that the first one changed. :raises StoreError:"""
        import psycopg

        with self._connections.lock:
            try:
                connection = self._connections.writing()
                with connection.transaction():
                    counts = [connection.execute(sql, values).rowcount for sql, values in statements]
            except psycopg.Error as error:
                self._connections.let_go()
                raise StoreError(f"{self.shown}: {said(error)}") from None
        return int(counts[0])

    def delete(self, profile_id: str) -> bool:
        if ID.match(profile_id) is None:
            return False
        which = (id_value(profile_id).hex(), day_of(profile_id))
        condition = f"WHERE id = %s::uuid AND day IN (%s, {KEPT})"
        return self._change((f"DELETE FROM {self._s}.profiles {condition}", which),
                            (f"DELETE FROM {self._s}.blobs {condition}", which)) > 0

    def pin(self, profile_id: str, on: bool) -> bool:
        if ID.match(profile_id) is None:
            return False
        return self._change((
            f"UPDATE {self._s}.profiles SET pinned = %s WHERE id = %s::uuid AND day IN (%s, {KEPT})",
            (on, id_value(profile_id).hex(), day_of(profile_id)))) > 0

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        import psycopg

        with self._connections.lock:
            if time.monotonic() < self._again:
                return {"deleted": 0, "bytes": 0}
            try:
                connection = self._connections.writing()
                numbers.add_up(connection, self._s)
                numbers.trim(connection, self._s)
                windows.tend(connection, self._s, self._max_bytes // 20, self._max_age_days * 86400)
                return self._retention.pass_by(connection, budget_seconds)
            except psycopg.Error as error:
                self._connections.let_go()
                raise StoreError(f"{self.shown}: {said(error)}") from None

    def problem(self) -> str | None:
        import psycopg

        with self._connections.lock:
            waits = self._who_waits()
            closed = []
            try:
                connection = self._connections.writing()
                standby, refuses = connection.execute(
                    "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean").fetchone()
                if waits:  # another process may know why, and this one sends nothing
                    closed = connection.execute(
                        "SELECT name, there IS NULL FROM (SELECT name, to_regclass(%s || '.' || name) AS there"
                        " FROM unnest(%s::text[]) name) tables WHERE there IS NULL"
                        " OR NOT has_table_privilege(there, 'INSERT')", (self._s, list(_TAKE))).fetchall()
            except (psycopg.Error, StoreError) as error:
                self._connections.let_go()
                return f"{self.shown}: {said(error)}{waits}"
        if standby:
            return f"{self.shown} is a standby: nothing can be stored there{waits}"
        if refuses:
            return f"{self.shown} is read-only for this role: nothing can be stored there{waits}"
        if closed:
            name, gone = closed[0]
            return f"{self.shown}: {'there is no' if gone else 'this role may not write to the'} table {name}{waits}"
        if self.trouble and waits:
            return f"{self.shown}: {self.trouble}{waits}"
        if self._waiting.lost:
            lost = "1 profile was" if self._waiting.lost == 1 else f"{self._waiting.lost} profiles were"
            return f"{lost} given up while {self.shown} was away: there is no room for more"
        return None

    def _who_waits(self) -> str:
        count = self._waiting.count()
        who = "1 profile waits" if count == 1 else f"{count} profiles wait"
        return f"; {who} in {self._waiting.folder}" if count else ""

    def close(self) -> None:
        with self._connections.lock:
            self._connections.close()
            self._waiting.close()


def open_postgres(url: str, options: Options) -> PostgresStore:
    """:raises ValueError: psycopg is not installed, or the URL makes no sense."""
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise ValueError("PostgreSQL needs psycopg: pip install 'slowlens[postgres]'")
    return PostgresStore(url, max_bytes=options.max_bytes, max_age_days=options.max_age_days,
                         worst_per_route=options.worst_per_route)
