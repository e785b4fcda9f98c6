"""The first version's folder store, for tests/bench/store.py to compare with. Nothing else uses it.

    STORE/blobs/20261121/09/01k...xyz.slowlens   immutable, mode 0600
    STORE/tmp/                                   being written
    STORE/index.sqlite3                          may be deleted at any time
    STORE/gc.lock                                who cleans up holds it

Any number of processes share a folder. A blob is written to ``tmp`` and
renamed, so a reader sees all of it or nothing; its place follows from its id.
The index is rebuilt from the blobs' metadata when it is missing, damaged (old
SQLite releases could do that to a WAL database used by many processes), or of
another version.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from slowlens import _core
from slowlens.request import ID, id_time_ns
from slowlens.store.interface import TREND, Page, Query, RouteStats, StoreError

COLUMNS = (
    "id", "started", "wall_ns", "cpu_ns", "await_ns", "waiting_ns", "method", "path", "route",
    "status", "mode", "calls", "c_calls", "bytes", "kept", "flags", "hot", "framework", "host", "pid", "tags",
)
SORTS = ("started", "wall_ns", "cpu_ns", "waiting_ns", "bytes", "calls", "status", "method", "route", "mode")

__all__ = ["DirectoryStore", "row_of"]

SUFFIX = ".slowlens"
INDEX_VERSION = 2
PENDING_MAX = 1000
TMP_AGE = 3600.0
LIMIT_MAX = 500

_TEXT_COLUMNS = frozenset(
    ("id", "method", "path", "route", "mode", "kept", "flags", "hot", "framework", "host", "tags")
)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS profiles ("
    + ", ".join(
        f"{name} {'TEXT' if name in _TEXT_COLUMNS else 'INTEGER'}"
        + (" PRIMARY KEY" if name == "id" else "")
        for name in COLUMNS
    )
    + ")",
    "CREATE INDEX IF NOT EXISTS by_started ON profiles (started, id)",
    "CREATE INDEX IF NOT EXISTS by_wall ON profiles (wall_ns, id)",
    "CREATE INDEX IF NOT EXISTS by_route ON profiles (route, wall_ns)",
)
_INSERT = (
    f"INSERT OR REPLACE INTO profiles ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(':' + name for name in COLUMNS)})"
)


def row_of(meta: dict[str, Any], size: int, hot: str | None = None) -> dict[str, Any]:
    """An index row from a blob's metadata."""
    row = {name: meta.get(name) for name in COLUMNS}
    row["bytes"] = size
    row["route"] = meta.get("route") or meta.get("path") or ""
    row["flags"] = meta.get("flags") or ""
    row["hot"] = hot if hot is not None else meta.get("hot") or ""
    row["calls"] = meta.get("calls") or meta.get("samples")
    # A newline at both ends: what is looked for is then a whole line, or the beginning of one.
    tags = [f"{key[4:]}={value}".replace("\n", " ") for key, value in meta.items() if key.startswith("tag.")]
    row["tags"] = "\n" + "\n".join(tags) + "\n" if tags else ""
    for name in ("started", "wall_ns", "cpu_ns", "await_ns", "waiting_ns", "status", "calls", "c_calls"):
        if not isinstance(row[name], int):
            row[name] = 0
    return row


class DirectoryStore:
    """See the module. ``root`` is made when the first profile is stored."""

    def __init__(
        self, root: str, *, max_bytes: int = 1 << 29, max_age_days: float = 14, worst_per_route: int = 10
    ) -> None:
        self.root = os.path.abspath(root)
        self.max_bytes = max_bytes
        self.max_age_days = max_age_days
        self.worst_per_route = worst_per_route
        self._local = threading.local()
        self._pending: list[dict[str, Any]] = []
        self._pid = os.getpid()
        self._ready = False

    # ---- files ----

    def problem(self) -> str | None:
        try:
            self._prepare()
            if not os.access(os.path.join(self.root, "tmp"), os.W_OK):
                return f"{self.root} is not writable"
        except (OSError, StoreError) as error:
            return str(error)
        return None

    def _prepare(self) -> None:
        if self._ready:
            return
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            for name in ("blobs", "tmp", "pins"):
                os.makedirs(os.path.join(self.root, name), mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the store {self.root}: {error.strerror}") from None
        info = os.stat(self.root)
        if info.st_uid != os.geteuid():
            raise StoreError(f"{self.root} belongs to another user")
        if stat.S_IMODE(info.st_mode) & 0o022:
            raise StoreError(f"{self.root} is writable by other users: chmod go-w it")
        self._ready = True

    def _path(self, profile_id: str) -> str:
        """Where a blob lies. The id comes from outside: nothing is joined unchecked."""
        if ID.match(profile_id) is None:
            raise StoreError("not a profile id")
        when = datetime.fromtimestamp(id_time_ns(profile_id) // 1_000_000_000, UTC)
        return os.path.join(
            self.root, "blobs", when.strftime("%Y%m%d"), when.strftime("%H"), profile_id + SUFFIX
        )

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        self._prepare()
        path = self._path(row["id"])
        temporary = os.path.join(self.root, "tmp", f"{row['id']}.{os.getpid()}")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                with open(fd, "wb") as file:
                    file.write(blob)
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._ready = False  # somebody removed the folder: make it anew next time
            raise StoreError(f"{self.root}: {error.strerror}") from None
        self._index_row(row_of(row, len(blob), row.get("hot")))

    def get(self, profile_id: str) -> bytes | None:
        if ID.match(profile_id) is None:
            return None
        try:
            fd = os.open(self._path(profile_id), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        with open(fd, "rb") as file:
            return file.read()

    def delete(self, profile_id: str) -> bool:
        if ID.match(profile_id) is None:
            return False
        try:
            os.unlink(self._path(profile_id))
            found = True
        except FileNotFoundError:
            found = False
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}") from None
        self._unpin(profile_id)
        with self._index() as index:
            index.execute("DELETE FROM profiles WHERE id = ?", (profile_id,))
        return found

    # A pin is an empty file named after its profile, beside the blobs: it outlives the index, as they do.

    def pin(self, profile_id: str, on: bool) -> bool:
        if ID.match(profile_id) is None or not os.path.exists(self._path(profile_id)):
            return False
        self._prepare()
        pin = os.path.join(self.root, "pins", profile_id)
        try:
            if on:
                os.close(os.open(pin, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            else:
                self._unpin(profile_id)
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}") from None
        return True

    def _unpin(self, profile_id: str) -> None:
        try:
            os.unlink(os.path.join(self.root, "pins", profile_id))
        except OSError:
            pass  # it was not pinned, or somebody else was faster

    def _pins(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(os.path.join(self.root, "pins")))
        except OSError:
            return frozenset()

    def _blobs(self) -> Iterator[tuple[str, str]]:
        """(id, path) of every blob, hour by hour."""
        top = os.path.join(self.root, "blobs")
        for folder, _, names in os.walk(top):
            for name in names:
                profile_id = name[: -len(SUFFIX)]
                if name.endswith(SUFFIX) and ID.match(profile_id):
                    yield profile_id, os.path.join(folder, name)

    # ---- the index ----

    @property
    def _index_path(self) -> str:
        return os.path.join(self.root, "index.sqlite3")

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread and process: SQLite must not cross a fork."""
        try:
            yield self._connection()
        except sqlite3.OperationalError as error:
            # Busy, or a full or read-only disk: nothing is wrong with the index itself.
            raise StoreError(f"the index cannot be used now: {error}") from None
        except sqlite3.DatabaseError as error:
            self._drop_index()  # damaged: the next use rebuilds it
            raise StoreError(f"the index was damaged and will be rebuilt: {error}") from None

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        known: sqlite3.Connection | None = getattr(local, "connection", None)
        if known is not None and local.pid == os.getpid() and self._same_file(local):
            return known
        self._prepare()
        try:
            connection = self._open_index()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._drop_index()
            connection = self._open_index()
        local.connection, local.pid = connection, os.getpid()
        info = os.stat(self._index_path)
        local.file = (info.st_dev, info.st_ino)
        return connection

    def _same_file(self, local: threading.local) -> bool:
        """Whether the index has not been deleted or replaced under us."""
        try:
            info = os.stat(self._index_path)
        except OSError:
            return False
        return bool(local.file == (info.st_dev, info.st_ino))

    def _open_index(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._index_path, timeout=2.0, isolation_level=None)
        os.chmod(self._index_path, 0o600)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, INDEX_VERSION):
            connection.close()
            raise sqlite3.DatabaseError("an index of another version")
        if version == 0:
            self._rebuild(connection)
        return connection

    def _drop_index(self) -> None:
        self._local.connection = None
        for end in ("", "-wal", "-shm"):
            try:
                os.unlink(self._index_path + end)
            except OSError:
                pass

    def _rebuild(self, connection: sqlite3.Connection) -> None:
        """Fills an empty index from the blobs' own metadata."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.executemany(_INSERT, self._rows_of_blobs())
                connection.execute(f"PRAGMA user_version = {INDEX_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _rows_of_blobs(self) -> Iterator[dict[str, Any]]:
        for profile_id, path in self._blobs():
            try:
                with open(path, "rb") as file:
                    head = file.read()
                meta = json.loads(_core.read_meta(head))["meta"]
            except (OSError, ValueError):
                continue  # half a file of a crashed disk, or not ours: left alone
            meta["id"] = profile_id
            yield row_of(meta, len(head))

    def _index_row(self, row: dict[str, Any]) -> None:
        """Not being in the index is no failure: the file is there; it is tried again later."""
        self._pending.append(row)
        del self._pending[:-PENDING_MAX]
        try:
            with self._index() as index:
                while self._pending:
                    index.execute(_INSERT, self._pending[0])
                    self._pending.pop(0)
        except (StoreError, sqlite3.Error):
            pass

    # ---- reading ----

    def list(self, query: Query) -> Page:
        falling = query.sort.startswith("-")
        column = query.sort.lstrip("-")
        if column not in SORTS:
            raise StoreError(f"cannot sort by {column!r}")
        where, values = _where(query)
        order = "DESC" if falling else "ASC"
        if query.cursor is not None:
            at, last = _decode_cursor(query.cursor, column)
            where.append(f"({column}, id) {'<' if falling else '>'} (?, ?)")
            values += [at, last]
        limit = max(1, min(query.limit, LIMIT_MAX))
        clause = " WHERE " + " AND ".join(where) if where else ""
        sql = f"SELECT * FROM profiles{clause} ORDER BY {column} {order}, id {order} LIMIT {limit + 1}"
        with self._index() as index:
            rows = [dict(row) for row in index.execute(sql, values)]
        pins = self._pins()
        for row in rows:
            row["pinned"] = row["id"] in pins
        following = None
        if len(rows) > limit:
            rows.pop()
            following = _encode_cursor(column, rows[-1][column], rows[-1]["id"])
        return Page(rows, following)

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        found = []
        where, values = ("", ()) if route is None else (" WHERE route = ?", (route,))
        with self._index() as index:
            rows = index.execute(
                f"SELECT route, method, wall_ns, status, id, started FROM profiles{where} "
                "ORDER BY route, method, wall_ns", values).fetchall()
        start = 0
        while start < len(rows):
            end = start
            key = (rows[start]["route"], rows[start]["method"])
            while end < len(rows) and (rows[end]["route"], rows[end]["method"]) == key:
                end += 1
            found.append(_route_stats(rows[start:end]))
            start = end
        found.sort(key=lambda stats: -stats["total"])
        return found

    # ---- retention ----

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        done = {"deleted": 0, "kept": 0, "bytes": 0}
        self._prepare()
        lock = os.open(os.path.join(self.root, "gc.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return done  # another process is at it
            deadline = time.monotonic() + budget_seconds
            self._clean_tmp()
            for profile_id in self._surplus():
                self.delete(profile_id)
                done["deleted"] += 1
                if time.monotonic() > deadline:
                    break
            self._remove_empty_folders(deadline)
            with self._index() as index:
                row = index.execute("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM profiles").fetchone()
                done["kept"], done["bytes"] = row[0], row[1]
        finally:
            os.close(lock)
        return done

    def _surplus(self) -> Iterator[str]:
        """Ids to delete: too old; then, over the size, oldest first, the worst of each route last; never pins."""
        pins = self._pins()
        with self._index() as index:
            if self.max_age_days > 0:
                oldest = time.time_ns() - int(self.max_age_days * 86400e9)
                yield from [row[0] for row in index.execute(
                    "SELECT id FROM profiles WHERE started < ? ORDER BY started LIMIT ?",
                    (oldest, 1000 + len(pins))) if row[0] not in pins]
            total = index.execute("SELECT COALESCE(SUM(bytes), 0) FROM profiles").fetchone()[0]
            if total <= self.max_bytes:
                return
            rows = index.execute(
                "SELECT id, bytes, ROW_NUMBER() OVER (PARTITION BY route ORDER BY wall_ns DESC) <= ? AS worst "
                "FROM profiles ORDER BY worst, started LIMIT 5000", (self.worst_per_route,)).fetchall()
        for row in rows:
            if total <= self.max_bytes:
                return
            if row["id"] in pins:
                continue
            total -= row["bytes"]
            yield row["id"]

    def _clean_tmp(self) -> None:
        folder = os.path.join(self.root, "tmp")
        for entry in os.scandir(folder):
            try:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > TMP_AGE:
                    os.unlink(entry.path)
            except OSError:
                pass

    def _remove_empty_folders(self, deadline: float) -> None:
        """Of hours gone by; a folder in use is not empty, or not of an hour gone by."""
        top = os.path.join(self.root, "blobs")
        current = datetime.now(UTC).strftime("%Y%m%d")
        for day in sorted(os.listdir(top)):
            if day >= current or time.monotonic() > deadline:
                return
            folder = os.path.join(top, day)
            try:
                for hour in os.listdir(folder):
                    os.rmdir(os.path.join(folder, hour))
                os.rmdir(folder)
            except OSError:
                continue


def _where(query: Query) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []

    def add(condition: str, *items: Any) -> None:
        where.append(condition)
        values.extend(items)

    if query.route is not None:
        add("route = ?", query.route)
    if query.method is not None:
        add("method = ?", query.method.upper())
    if query.mode is not None:
        add("mode = ?", query.mode)
    if query.min_ns is not None:
        add("wall_ns >= ?", query.min_ns)
    if query.since is not None:
        add("started >= ?", query.since)
    if query.until is not None:
        add("started < ?", query.until)
    if query.status is not None:
        if query.status == "error":
            add("status >= 500")
        elif len(query.status) == 3 and query.status[0].isdigit() and query.status[1:] == "xx":
            add("status BETWEEN ? AND ?", int(query.status[0]) * 100, int(query.status[0]) * 100 + 99)
        elif query.status.isascii() and query.status.isdigit():
            add("status = ?", int(query.status))
        else:
            raise StoreError(f"status is a number, a class as 5xx, or 'error', not {query.status!r}")
    if query.tag:
        add("instr(tags, ?) > 0", "\n" + query.tag + ("\n" if "=" in query.tag else "="))
    if query.text:
        like = "%" + query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        add("(path LIKE ? ESCAPE '\\' OR route LIKE ? ESCAPE '\\' OR hot LIKE ? ESCAPE '\\')", like, like, like)
    return where, values


def _encode_cursor(column: str, value: Any, profile_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([column, value, profile_id]).encode()).decode()


def _decode_cursor(cursor: str, column: str) -> tuple[Any, str]:
    try:
        of, value, profile_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        raise StoreError("a cursor that is none") from None
    if of != column or not isinstance(value, (int, str)) or not isinstance(profile_id, str):
        raise StoreError("a cursor of another list")
    return value, profile_id


def _route_stats(rows: list[sqlite3.Row]) -> RouteStats:
    walls = [row["wall_ns"] for row in rows]  # rising

    def rank(share: float) -> int:
        return int(walls[min(len(walls) - 1, int(share * len(walls)))])

    return RouteStats(
        route=rows[0]["route"], method=rows[0]["method"], count=len(rows),
        p50=rank(0.5), p95=rank(0.95), p99=rank(0.99), max=walls[-1], total=sum(walls),
        error_share=sum(row["status"] >= 500 for row in rows) / len(rows), worst=rows[-1]["id"],
        trend=_trend(rows),
    )


def _trend(rows: list[sqlite3.Row]) -> list[int]:
    """Medians of wall time, oldest part first. ``rows`` stand by rising wall time."""
    first = min(row["started"] for row in rows)
    span = max(row["started"] for row in rows) - first + 1
    parts: list[list[int]] = [[] for _ in range(TREND)]
    for row in rows:
        parts[(row["started"] - first) * TREND // span].append(row["wall_ns"])
    return [part[len(part) // 2] if part else 0 for part in parts]
