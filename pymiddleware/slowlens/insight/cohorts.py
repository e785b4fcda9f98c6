"""What the slow requests of a route do differently: which ones are compared. The rule is ``core/cohort.h``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .. import _core
from ..log import several
from ..store import Query, Store, StoreError
from ..store.interface import QueryError, each_row

__all__ = ["LEAST", "NoProfiles", "Selection", "compare", "further"]

#: Profiles of a route that are read at most, newest first, and their bytes.
PROFILES_MAX = 2000
BYTES_MAX = 256 << 20
#: Fewer say nothing.
LEAST = 60

#: What a condition may name, beside tags: words of the metadata.
KEYS = ("host", "release", "status", "method", "framework", "python", "thread", "kept")

_REST, _USUAL, _SLOW = 0, 1, 2


class NoProfiles(StoreError):
    """Nothing is stored of what was asked for."""


class Selection(NamedTuple):
    """Which requests are compared with which.

    ``slow``: "p90" (the slowest tenth) or "500ms". ``where``: conditions ``key=value`` instead of it, all of which the
    one side fulfils; ``against``: those of the other side (none: whatever is not in the first). A key is one of
    :data:`KEYS` or a tag; a status may be a class, as 5xx.
    """

    route: str
    method: str | None = None
    mode: str | None = None
    slow: str = "p90"
    where: Sequence[str] = ()
    against: Sequence[str] = ()
    limit: int = 500


class Found(NamedTuple):
    id: str
    profile: _core.Profile
    meta: dict[str, Any]


def compare(store: Store, selection: Selection) -> dict[str, Any]:
    """sl_report_cohort's document (slowlens/merge.h), with ``route``, ``mode``, ``ids`` (of the profiles compared), and
    in each row ``worst_id``.

    :raises NoProfiles: there is none of the route. :raises QueryError: a selection that makes no sense.
    """
    choose = _chooser(selection)
    profiles = _read(store, selection)
    if not profiles:
        raise NoProfiles(f"no stored profile of the route {selection.route}")
    groups = choose(profiles)
    by_wall = not (selection.where or selection.against)
    for conditions, group in ((selection.where, _SLOW), (selection.against, _USUAL)):
        if conditions and groups is not None and group not in groups:
            raise NoProfiles(f"none of {several(len(profiles), 'profile')} of {selection.route} has "
                             f"{' and '.join(conditions)}")
    found: dict[str, Any] = json.loads(_core.cohort([one.profile for one in profiles], groups, by_wall))
    ids = [one.id for one in profiles]
    for row in (*found["counts"], *found["named"], *found["largest"]):
        row["worst_id"] = ids[row["worst"]]
    return {"route": selection.route, "mode": profiles[0].meta.get("mode", ""), **found, "ids": ids}


def further(found: dict[str, Any]) -> list[str]:
    """What is told beside an answer, counts first. A function and the place that is all of it are told once;
    so are a kind and the text that is all of it."""
    lines: list[str] = []
    known: set[tuple[Any, ...]] = set()
    for row in found["counts"]:
        told = str(row["text"])
        counts = row["kind"], row["slow"], row["usual"]
        if told not in found["answer"] and counts not in known:
            lines.append(told)
        known.add(counts)
    for row in found["named"]:
        numbers = row["slow_ns"], row["usual_ns"], row["slow_has"], row["usual_has"]
        if row["text"] not in found["answer"] and numbers not in known:
            lines.append(str(row["text"]))
        known.add(numbers)
    return lines


def _read(store: Store, selection: Selection) -> list[Found]:
    """The newest profiles of a route, all of one mode: the other one counts something else."""
    most = max(1, min(selection.limit, PROFILES_MAX))
    rows = list(islice(each_row(store, Query(
        route=selection.route, method=selection.method, mode=selection.mode, limit=min(most, 500))), most))
    modes = Counter(row["mode"] for row in rows)
    mode = modes.most_common(1)[0][0] if modes else ""
    found: list[Found] = []
    size = 0
    for row in rows:
        if row["mode"] != mode or row.get("kind") == "checkpoint":
            continue
        data = store.get(row["id"])
        if data is None:
            continue
        size += len(data)
        if size > BYTES_MAX:
            break
        try:
            profile = _core.Profile(data)
        except _core.CorruptError:
            continue
        found.append(Found(row["id"], profile, json.loads(profile.meta())["meta"]))
    return found


def _chooser(selection: Selection) -> Callable[[list[Found]], bytes | None]:
    """Puts each profile into its group; None: the core does, by wall time. :raises QueryError: nonsense."""
    if selection.where or selection.against:
        first = [_condition(text) for text in selection.where or selection.against]
        second = [_condition(text) for text in selection.against] if selection.where else []
        turned = not selection.where  # only --against: whatever is not that, beside it

        def by_condition(profiles: list[Found]) -> bytes:
            groups = bytearray(len(profiles))
            for at, one in enumerate(profiles):
                inside = all(condition(one.meta) for condition in first)
                if turned:
                    inside = not inside
                if inside:
                    groups[at] = _SLOW
                elif turned or not second or all(condition(one.meta) for condition in second):
                    groups[at] = _USUAL
            return bytes(groups)

        return by_condition
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*ms", selection.slow.strip())
    if match is None:
        raise QueryError(f"slow is a percentile as p90, or a time as 500ms, not {selection.slow!r}")
    if match[1] is not None and float(match[1]) == 90:
        return lambda profiles: None

    def by_wall(profiles: list[Found]) -> bytes:
        order = sorted(range(len(profiles)), key=lambda at: _wall(profiles[at]))
        groups = bytearray(len(profiles))
        for at in order[len(order) // 4: len(order) - len(order) // 4]:
            groups[at] = _USUAL
        if match[2] is not None:
            slow = [at for at in order if _wall(profiles[at]) >= float(match[2]) * 1e6]
        else:
            slow = order[int(len(order) * float(match[1]) / 100):]
        for at in slow:
            groups[at] = _SLOW
        return bytes(groups)

    return by_wall


def _wall(one: Found) -> int:
    wall = one.meta.get("wall_ns")
    return wall if isinstance(wall, int) else 0


def _condition(text: str) -> Callable[[dict[str, Any]], bool]:
    """``host=web-1``, ``status=5xx``, ``user=anna`` (a tag)."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise QueryError(f"a condition is key=value, not {text!r}")
    if key == "status" and re.fullmatch(r"[1-9]xx", value):
        return lambda meta: str(meta.get("status", ""))[:1] == value[0]
    if key in KEYS:
        return lambda meta: str(meta.get(key, "")) == value
    name = "tag." + key.removeprefix("tag.").removeprefix("tag:")
    return lambda meta: str(meta.get(name, "")) == value
