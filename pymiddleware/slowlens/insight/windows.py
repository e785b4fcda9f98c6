"""What all sampled requests of a route, or of the whole site, did in the last hour, day or release: as one profile.

From the trees that each process adds its requests up in (``slowlens.gathering``), whatever profiles were kept: what is
usual is in it as often as it happens. Requests that were not profiled (``sample_rate``, ``exclude``, a trigger's own)
are not in it, nor those of the last minute that other processes have not stored yet.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from .. import _core
from ..store import Store, StoreError
from ..store.interface import QueryError
from ..store.windows import Tree, add_up

__all__ = ["NoWindows", "by_route", "merged", "nothing", "seconds_of"]

#: Nodes of what is put together: more than one route's slices have.
NODES_MAX = 200_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class NoWindows(StoreError):
    """Nothing of what was asked for was gathered."""


class Window(NamedTuple):
    """``meta`` of the blob: ``merged`` profiles speak for ``requests``; ``started`` and ``until`` in ns."""

    meta: dict[str, Any]
    blob: bytes


def seconds_of(text: str) -> int:
    """Seconds of ``90s``, ``15m``, ``1h``, ``7d``, ``2w``. :raises QueryError: it is none of these."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if match is None or int(match[1]) == 0:
        raise QueryError(f"a time is 90s, 15m, 1h, 7d or 2w, not {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _gathered(store: Store, last_s: int, now_ms: int | None, **which: str | None) -> Iterator[Tree]:
    """Trees of what ended in the last seconds before ``now_ms``. :raises StoreError: this store keeps none."""
    read = getattr(store, "windows", None)
    if read is None:
        raise StoreError("this store keeps no trees of all requests")
    now = int(time.time() * 1000) if now_ms is None else now_ms
    from_ms = now - last_s * 1000 if last_s else 0
    return chain.from_iterable(part.trees(**which) for part in read(from_ms, 0 if now_ms is None else now))


def merged(store: Store, last_s: int = 0, *, route: str | None = None, method: str | None = None,
           mode: str | None = None, release: str | None = None, now_ms: int | None = None) -> Window:
    """All that ended in the last ``last_s`` seconds (0: ever) as one profile.

    :param route: None: the whole site.
    :param mode: None: the mode of most requests; the other one counts something else.
    :param now_ms: the end of that time, Unix ms.
    :raises NoWindows: there is nothing of it. :raises StoreError: this store keeps no such trees.
    """
    found = _added_up(list(_gathered(store, last_s, now_ms, route=route, method=method, mode=mode, release=release)),
                      route)
    if found is None:
        raise NoWindows("no request of this was gathered in that time (option continuous)")
    return found


def by_route(store: Store, last_s: int = 0, *, route: str | None = None, method: str | None = None,
             release: str | None = None, now_ms: int | None = None) -> list[Window]:
    """The same for each route and method by itself, the most time first.

    :raises NoWindows: there is nothing of it. :raises StoreError: this store keeps no such trees.
    """
    routes: dict[tuple[str, str], list[Tree]] = {}
    for one in _gathered(store, last_s, now_ms, route=route, method=method, release=release):
        routes.setdefault((str(one.meta.get("route")), str(one.meta.get("method"))), []).append(one)
    found = [window for key, trees in routes.items() if (window := _added_up(trees, key[0])) is not None]
    if not found:
        raise NoWindows("no request of this was gathered in that time (option continuous)")
    return sorted(found, key=lambda one: -int(one.meta.get("wall_ns", 0)))


def _added_up(trees: list[Tree], route: str | None) -> Window | None:
    """Those of the mode that most requests have, as one; None: there is none that can be read."""
    by_mode: dict[str, list[Tree]] = {}
    count: Counter[str] = Counter()
    for one in trees:
        own, requests = str(one.meta.get("mode")), one.meta.get("requests")
        by_mode.setdefault(own, []).append(one)
        count[own] += requests if isinstance(requests, int) else 0
    if not by_mode:
        return None
    chosen = count.most_common(1)[0][0]
    both = {name: {str(one.meta.get(name) or "") for one in by_mode[chosen]} for name in ("method", "release")}
    agreed = {name: values.pop() for name, values in both.items() if len(values) == 1}
    found = add_up(by_mode[chosen], {
        "mode": chosen, "route": route or "", "path": route or "the whole site", "method": agreed.get("method", ""),
        **({"release": agreed["release"]} if agreed.get("release") else {}),
    }, NODES_MAX)
    return None if found is None else Window(found.meta, found.blob)


def nothing(seconds: int) -> bytes:
    """A profile of no request, of the last ``seconds``."""
    now = time.time_ns()
    recording = _core.Recording("none", sampled=True, anyway=True)
    recording.finish()
    try:
        return recording.encode({"mode": "sampling", "started": now - seconds * 10**9, "until": now, "requests": 0})
    finally:
        recording.discard()
