"""Connections of one process: one that writes, and a pool for those who read. None crosses a fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ...lock import RLock
from ..interface import StoreError
from .schema import Refused

__all__ = ["Connections", "Place", "away", "has_session", "refusals", "said"]

#: A connection that does not come, or does not answer, is given up after so long; a URL may say otherwise.
DEFAULTS = {
    "connect_timeout": "5", "tcp_user_timeout": "10000", "keepalives_idle": "30", "application_name": "slowlens",
}
#: What one statement may take, in ms: of a reader, of the writer.
READING_MS, WRITING_MS = 30_000, 60_000
READERS_MAX = 4
READER_SECONDS = 5.0

#: Connections that a fork copied: they are the parent's, and to close one would end the parent's session.
_inherited: list[Any] = []


class Place:
    """A store's URL, taken apart."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.schema = query.pop("schema", "slowlens")
        #: Where profiles wait; "": the usual place.
        self.waiting = query.pop("waiting", "")
        query = {**{name: value for name, value in DEFAULTS.items() if name not in query}, **query,
                 "client_encoding": "UTF8"}  # whatever a role or PGCLIENTENCODING prefers: texts are of all scripts
        self.conninfo = f"postgresql://{parts.netloc}{parts.path}?{urlencode(query, quote_via=quote)}"
        #: What may be shown: neither user nor password.
        self.shown = (f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
                      + (f"?schema={self.schema}" if self.schema != "slowlens" else ""))


def refusals() -> tuple[type[Exception], ...]:
    """What is raised when the database does not take this profile, and takes others."""
    import psycopg

    return psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded, Refused


def away(error: Exception) -> bool:
    """Whether the database cannot take anything now, whatever it is given."""
    return not isinstance(error, refusals())


def has_session(connection: Any) -> bool:
    """Whether the session is ours. Behind a pooler (PgBouncer) it is one that others get after us, with whatever we
    left set in it; the pooler tells a process of its own making.
    """
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(pid == connection.info.backend_pid)


def _configure(connection: Any) -> None:
    if has_session(connection):
        connection.execute(f"SET statement_timeout = {READING_MS}")


class Connections:
    """See the module. Any thread; opened when they are needed, again after a failure."""

    def __init__(self, place: Place, prepare: Callable[[Any], None]) -> None:
        self._place = place
        #: Called with each new connection that writes.
        self._prepare = prepare
        self.lock = RLock()
        self._writer: Any = None
        #: Whether the session of the one that writes is ours (has_session).
        self.own_session = True
        self._pool: Any = None
        self._pid = os.getpid()

    def before_fork(self) -> None:
        """No thread of the pool shall be copied; it is made anew when it is wanted."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.close(1.0)

    def forked(self) -> None:
        _inherited.extend((self._writer, self._pool))
        self._writer = self._pool = None
        self.lock = RLock()
        self._pid = os.getpid()

    def writing(self) -> Any:
        """The connection that writes, to be used under ``lock``. :raises psycopg.Error: :raises StoreError:"""
        import psycopg

        if self._pid != os.getpid():
            self.forked()
        if self._writer is None or self._writer.closed:
            connection = psycopg.connect(self._place.conninfo, autocommit=True, prepare_threshold=None)
            try:
                self.own_session = has_session(connection)
                if self.own_session:
                    connection.execute(f"SET statement_timeout = {WRITING_MS}")
                    connection.execute(f"SET idle_in_transaction_session_timeout = {WRITING_MS}")
                    connection.execute("SET client_min_messages = warning")
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._writer = connection
        return self._writer

    def let_go(self) -> None:
        """Of the connection that writes: it failed."""
        connection, self._writer = self._writer, None
        if connection is not None:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """One that commits by itself: a reader that keeps a transaction open would hold retention up.

        :raises StoreError: the database does not answer.
        """
        import psycopg
        from psycopg_pool import ConnectionPool, PoolTimeout

        with self.lock:
            if self._pid != os.getpid():
                self.forked()
            if self._pool is None:
                # The pool would try for READER_SECONDS, log each failure and not tell why.
                try:
                    psycopg.connect(self._place.conninfo).close()
                except psycopg.Error as error:
                    raise StoreError(f"{self._place.shown}: {said(error)}") from None
                self._pool = ConnectionPool(
                    self._place.conninfo, min_size=0, max_size=READERS_MAX, open=True, timeout=READER_SECONDS,
                    max_idle=60, name="slowlens", check=ConnectionPool.check_connection,
                    kwargs={"autocommit": True, "prepare_threshold": None}, configure=_configure)
            pool = self._pool
        try:
            with pool.connection() as connection:
                yield connection
        except PoolTimeout:
            with self.lock:
                self.before_fork()
            raise StoreError(f"{self._place.shown} does not answer") from None
        except psycopg.Error as error:
            raise StoreError(f"{self._place.shown}: {said(error)}") from None

    def close(self) -> None:
        with self.lock:
            if self._pid != os.getpid():
                self.forked()
            self.let_go()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(1.0)


def said(error: Exception) -> str:
    """The first line of what the database said."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
