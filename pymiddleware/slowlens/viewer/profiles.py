"""Stored profiles, decoded, for the viewer's reports: one, or many of a route as one."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from .. import _core, killed
from ..insight import windows
from ..store.interface import Query, Store, name_of

__all__ = ["AGGREGATE", "Aggregate", "Profiles"]

#: In place of an id: the profiles of a route, merged.
AGGREGATE = "aggregate"
#: How many of a route's profiles are merged, newest first, and how many bytes of them.
AGGREGATE_MAX = 50
AGGREGATE_BYTES = 32 << 20
CACHE_MAX = 4
#: How long what was gathered in the last hour or day is shown as it was: a page asks for several reports of it.
WINDOW_SECONDS = 20.0
#: Profiles larger than this are not kept decoded between two requests.
CACHE_BLOB_MAX = 8 << 20


class Aggregate(NamedTuple):
    """Profiles of one route and mode: their ids, and what all took together."""

    ids: tuple[str, ...]
    parts: tuple[_core.Profile, ...]
    merged: _core.Profile
    data: bytes


class Profiles:
    """A few decoded profiles are kept; a blob never changes, so they stay right."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._decoding = threading.Lock()
        self._decoded: OrderedDict[str, _core.Profile] = OrderedDict()
        self._aggregates: OrderedDict[tuple[str, ...], Aggregate] = OrderedDict()
        self._window: tuple[tuple[str | None, ...], float, Aggregate] | None = None

    def get(self, profile_id: str) -> _core.Profile | None:
        """None: there is no such profile.

        :raises CorruptError: it cannot be read.
        """
        profile = self._decoded.get(profile_id)
        if profile is not None:
            return profile
        with self._decoding:  # a page asks for several reports at once: large ones are decoded for the first alone
            return self._decoded.get(profile_id) or self._decode(profile_id)

    def _decode(self, profile_id: str) -> _core.Profile | None:
        data = self._store.get(profile_id)
        if data is None:  # one that runs: what is known of it by now, which is out of date the next time
            data = killed.read_checkpoint(name_of(self._store), profile_id)
            return None if data is None else _core.Profile(data)
        profile = _core.Profile(data)
        if len(data) <= CACHE_BLOB_MAX:
            self._decoded[profile_id] = profile
            while len(self._decoded) > CACHE_MAX:
                self._decoded.popitem(last=False)
        return profile

    def drop(self, profile_id: str) -> None:
        self._decoded.pop(profile_id, None)

    def aggregate(self, route: str, method: str | None, mode: str | None) -> Aggregate | None:
        """The newest profiles of a route, of one mode (None: of the newest one). None: there is none."""
        rows = self._store.list(Query(route=route, method=method, mode=mode, limit=AGGREGATE_MAX)).rows
        rows = [row for row in rows if row["mode"] == rows[0]["mode"]]
        key = tuple(row["id"] for row in rows)
        found = self._aggregates.get(key)
        if found is not None:
            return found
        ids: list[str] = []
        parts: list[_core.Profile] = []
        size = 0
        for row in rows:
            data = self._store.get(row["id"])
            if data is None or (parts and size + len(data) > AGGREGATE_BYTES):
                continue  # deleted meanwhile, or more than can be held at once
            try:
                parts.append(_core.Profile(data))
            except _core.CorruptError:
                continue
            ids.append(row["id"])
            size += len(data)
        if not parts:
            return None
        meta: dict[str, int | str | None] = {
            "route": route, "method": method or str(rows[0]["method"]), "mode": rows[0]["mode"],
            "path": route, "merged": len(parts), "started": rows[0]["started"],
        }
        data = _core.merge(parts, meta)
        found = Aggregate(tuple(ids), tuple(parts), _core.Profile(data), data)
        if size <= CACHE_BLOB_MAX:
            self._aggregates[key] = found
            while len(self._aggregates) > 1:
                self._aggregates.popitem(last=False)
        return found

    def window(self, last: str, route: str | None, method: str | None, mode: str | None,
               release: str | None) -> Aggregate:
        """All requests of the last hour (``last``: "1h") as one, kept or not; ``route`` None: of the whole site.

        :raises NoWindows: there is none. :raises QueryError: ``last`` is no time.
        """
        key = (last, route, method, mode, release)
        known = self._window
        if known is not None and known[0] == key and time.monotonic() - known[1] < WINDOW_SECONDS:
            return known[2]
        found = windows.merged(self._store, windows.seconds_of(last), route=route, method=method, mode=mode,
                               release=release)
        made = Aggregate((), (), _core.Profile(found.blob), found.blob)
        self._window = (key, time.monotonic(), made)
        return made

    def spread(self, aggregate: Aggregate) -> bytes:
        """JSON of sl_report_aggregate, with the ids of the profiles in their order."""
        report = _core.aggregate(aggregate.parts)
        return report[:-1] + b',"ids":' + json.dumps(aggregate.ids).encode() + b"}"
