"""Where a finished profile goes: the store, the slow log, and those of the entry points ``slowlens.sinks``."""

from __future__ import annotations

import shlex
from typing import Any

from . import log
from .ledger import Ledger
from .log import SlowLog, late, several
from .options import Options, default_store
from .store import Store, open_sinks
from .store.interface import Finished, Sink

__all__ = ["Sinks"]

#: What a store that takes many at once is given at most.
BATCH, BATCH_BYTES = 128, 4 << 20

_log = late("slowlens")


class _StoreSink:
    """Puts what is kept into the store; many at once where that wants them so."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        self._put_many = hasattr(store, "put_many")
        self._reads_blobs = "reads_blobs" in vars(type(store))  # not of a class made of it, whose put() may want them
        self._batch: list[tuple[dict[str, Any], bytes]] = []
        self._batch_bytes = 0

    def take(self, profile: Finished) -> None:
        if not profile.kept:
            return
        row = {**profile.meta, "bytes": len(profile.blob)}
        if not self._reads_blobs:
            row |= profile.summary
        if not self._put_many:
            self._store.put(row, profile.blob)
            self._ledger.stored += 1
            return
        self._batch.append((row, profile.blob))
        self._batch_bytes += len(profile.blob)
        if len(self._batch) >= BATCH or self._batch_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Stores what was collected. Never raises."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if not batch:
            return
        lost = 0
        try:
            self._store.put_many(batch)  # type: ignore[attr-defined]
        except Exception as error:
            lost = min(getattr(error, "lost", len(batch)), len(batch))
            self._ledger.failed += lost
            self._ledger.complain(f"slowlens: {several(lost, 'profile')} could not be stored: {error}")
        self._ledger.stored += len(batch) - lost

    def close(self) -> None:
        self._store.close()


class _SlowSink:
    """Writes a line for each slow one."""

    def __init__(self, options: Options) -> None:
        self._link = options.viewer_path
        self._opens = options.key is not None or options.authorize is not None
        self._store = options.store
        self._command = ""
        self._log = SlowLog()

    def take(self, profile: Finished) -> None:
        if profile.slow:
            self._log.write(profile.meta, profile.summary, self._where(profile) if profile.kept else "")

    def _where(self, profile: Finished) -> str:
        """A link, if the viewer may be open to anybody; else the command that shows the same."""
        if self._opens or log.viewer_is_open:
            return f"{log.server_url}{self._link}#r={profile.meta['id']}"
        if not self._command:
            store, named = self._store, ""
            if "://" not in store and store != default_store():  # a database's address may hold a password
                named = f"--store {shlex.quote(log.printable(store))} "
            self._command = f"slowlens {named}show"
        return f"`{self._command} {profile.meta['id']}`"

    def close(self) -> None:
        """Nothing is open."""


class Sinks:
    """All of one writer's. They know nothing of it: whoever holds them alone may close them."""

    def __init__(self, store: Store, options: Options, ledger: Ledger) -> None:
        self._options, self._ledger = options, ledger
        self._storing = _StoreSink(store, ledger)
        self._sinks: list[tuple[str, Sink]] = [
            ("store", self._storing), ("slow log", _SlowSink(options))]
        self._has_all = False

    def hand_out(self, profile: Finished) -> None:
        """To each; one that fails is no other's affair."""
        if not self._has_all:
            try:
                self._sinks += open_sinks(self._options)
                self._has_all = True
            except OSError as error:  # no descriptor left to look for them, say: they are looked for again
                self._ledger.complain(f"slowlens: other sinks cannot be found now: {error}", "sinks")
        for name, sink in self._sinks:
            try:
                sink.take(profile)
            except Exception as error:
                self._ledger.failed += 1
                what = "stored" if name == "store" else f"taken by {name}"
                self._ledger.complain(f"slowlens: profile {profile.meta['id']} could not be {what}: {error}")

    def flush(self) -> None:
        """What the store takes many at once of is stored. Never raises."""
        self._storing.flush()

    def close(self) -> None:
        """Never raises."""
        for name, sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                _log.error("slowlens: %s: %s", name, error)
