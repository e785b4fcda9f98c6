"""Which routes became slower, or ask more, with which release: from the numbers of all requests.

A release is a known point in time: 24 hours before it are compared with 24 after it, hour by hour, so that each hour
of the day stands on both sides; each hour of a route is divided by what the other routes took in it, so that a busy
machine or a slow database is nobody's regression. A rank test of the hours, one-sided, must be beyond 1e-4, and the
effect beyond 3 %. Hours are not independent: that number is a threshold, and is not shown. Counts come before times: a
constant number of queries that grew is certain from twenty requests on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import _core
from ..store import Store, StoreError
from . import grown

__all__ = ["Judged", "judge", "regressions"]

HOUR = 3600
WINDOW = 24
#: Hours with requests that each side needs, and requests that counts need.
HOURS_LEAST = 12
COUNT_LEAST = 20
#: Beyond these it is a regression.
P_MOST = 1e-4
EFFECT_LEAST = 0.03
#: Mean counts this close to a whole number are constant ones.
WHOLE = 0.02
#: Counts that vary need more requests, and a larger part.
VARIES_LEAST = 200
VARIES_EFFECT = 0.10
#: Releases that are looked at, newest first.
RELEASES_MAX = 10

_ROUTE, _METHOD, _RELEASE = 1, 2, 4
#: Sums of the numbers that are counts, and that are times; as slowlens/meta.h calls them.
_COUNTS = ("db_count", "http_count", "template_count", "cache_count", "task_count")
_TIMES = ("cpu_ns", "run_queue_ns", "gil_wait_ns", "blocked_ns", "await_ns", "loop_ns", "gc_ns", "db_ns", "http_ns",
          "template_ns")
#: By hour (since 1970): mean ns of a route's requests.
Series = Mapping[int, float]


class Judged(NamedTuple):
    effect: float  #: 0.2: it takes a fifth more
    sure: bool


def judge(series: Series, others: Sequence[Series], release: int) -> Judged | None:
    """Whether a route's hours from hour ``release`` on take more than those before it; None: too few hours.

    :param others: the other routes' hours, to divide by; of fewer than three nothing is divided.
    """
    before = _normal(series, others, range(release - WINDOW, release))
    after = _normal(series, others, range(release, release + WINDOW))
    if len(before) < HOURS_LEAST or len(after) < HOURS_LEAST:
        return None
    effect = math.exp(statistics.median(after) - statistics.median(before)) - 1
    return Judged(effect, effect > EFFECT_LEAST and _rank_sum(before, after) < P_MOST)


def _normal(series: Series, others: Sequence[Series], hours: range) -> list[float]:
    found = []
    for hour in hours:
        mine = series.get(hour, 0.0)
        if mine <= 0:
            continue
        beside = [math.log(other[hour]) for other in others if other.get(hour, 0.0) > 0]
        found.append(math.log(mine) - (statistics.median(beside) if len(beside) >= 3 else 0.0))
    return found


def _rank_sum(before: Sequence[float], after: Sequence[float]) -> float:
    """One-sided p that ``after`` is larger (Wilcoxon, Mann and Whitney; normal, with its correction; ties share)."""
    n, m = len(before), len(after)
    values = sorted([(one, 0) for one in before] + [(one, 1) for one in after])
    ranks, at = 0.0, 0
    while at < len(values):
        end = at
        while end < len(values) and values[end][0] == values[at][0]:
            end += 1
        ranks += (at + end + 1) / 2 * sum(group for _, group in values[at:end])
        at = end
    over = ranks - m * (m + 1) / 2
    spread = math.sqrt(n * m * (n + m + 1) / 12)
    return 0.5 * math.erfc((over - n * m / 2 - 0.5) / spread / math.sqrt(2))


def regressions(store: Store, release: str | None = None, since_s: int = 0) -> dict[str, Any]:
    """``{"releases": [{"release", "previous", "since" (Unix s), "complete" (24 hours have passed), "timed" (of how many
    routes the times could be judged), "routes": [ROW]}]}``

    newest first; only ``release``, if one is named. ROW: ``route``, ``method``, ``what`` ("count" or "time"), ``name``
    ("queries", "time"), ``before``, ``after`` (a request; ms, or a number), ``change`` (0.2: a fifth more),
    ``requests`` ([before, after]), ``grew`` ([{"name", "before_ms", "after_ms"}]: what of the time, most first),
    ``functions`` (the same of functions by themselves, with ``file`` and ``line``) and ``sentence`` (what it takes
    longer in), where trees of all requests are there (grown.py), ``text``.

    :param since_s: Unix s; what was before is not looked at.

    :raises StoreError: the store counts nothing, or knows no such release.
    """
    read = getattr(store, "numbers", None)
    if read is None:
        raise StoreError("this store keeps no numbers of all requests")
    report = read(parts=1 << 20, apart=_ROUTE | _METHOD | _RELEASE, since_s=since_s)
    rows = report["rows"]
    begins: dict[str, int] = {}
    for row in rows:
        for start in row["series"]["from_s"]:
            begins[row["release"]] = min(start // HOUR, begins.get(row["release"], start // HOUR))
    order = sorted((hour, name) for name, hour in begins.items() if name)
    last = max((start // HOUR for row in rows for start in row["series"]["from_s"]), default=0)
    found: list[dict[str, Any]] = []
    for at in range(len(order) - 1, 0, -1):
        hour, name = order[at]
        if release in (None, name) and len(found) < RELEASES_MAX:
            worse, timed = _routes(read, rows, name, hour)
            found.append({"release": name, "previous": order[at - 1][1], "since": hour * HOUR,
                          "complete": last >= hour + WINDOW, "timed": timed,
                          "routes": _with_functions(store, worse, name, hour)})
    if release is not None and not found:
        raise StoreError(f"no release {release} with another one before it: {', '.join(name for _, name in order)}")
    return {"releases": found}


def _with_functions(store: Store, rows: list[dict[str, Any]], name: str, hour: int) -> list[dict[str, Any]]:
    slower = [(row["route"], row["method"]) for row in rows if row["what"] == "time"]
    for key, found in grown.functions(store, slower, name, hour, WINDOW).items():
        for row in rows:
            if (row["route"], row["method"], row["what"]) == (*key, "time"):
                row |= found
                if found["sentence"]:
                    row["text"] += f"; of what it takes more: {found['sentence'].rstrip('.')}"
    return rows


def _routes(read: Any, rows: list[dict[str, Any]], name: str, hour: int) -> tuple[list[dict[str, Any]], int]:
    """The routes that got worse with the release that began in this hour, certain counts first; and of how many the
    times could be judged."""
    series: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        mine = series.setdefault((row["route"], row["method"]), {})
        sums: dict[int, tuple[int, int]] = {}
        one = row["series"]
        for start, count, wall in zip(one["from_s"], one["count"], one["wall_ns"], strict=True):
            # Hours in which both ran: those of the release that is asked about.
            if (start // HOUR >= hour) == (row["release"] == name):
                sums[start // HOUR] = (count, wall)
        for at, (count, wall) in sums.items():
            if count:
                mine[at] = wall / count
    window = {"apart": _ROUTE | _METHOD | _RELEASE}
    before = _sums(read(since_s=(hour - WINDOW) * HOUR, until_s=(hour + 1) * HOUR, **window)["rows"],
                   lambda release: release != name)
    after = _sums(read(since_s=hour * HOUR, until_s=(hour + WINDOW) * HOUR, **window)["rows"],
                  lambda release: release == name)
    found, timed = [], 0
    for key, mine in series.items():
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            continue
        found += _counts(key, old, new)
        others = [other for another, other in series.items() if another != key]
        judged = judge(mine, others, hour)
        timed += judged is not None
        if judged is not None and judged.sure:
            found.append(_time(key, old, new, judged))
    found.sort(key=lambda row: (row["what"] != "count", -row["change"]))
    return found, timed


Sums = dict[str, float]


def _sums(rows: list[dict[str, Any]], takes: Any) -> dict[tuple[str, str], Sums]:
    found: dict[tuple[str, str], Sums] = {}
    for row in rows:
        if not takes(row["release"]):
            continue
        mine = found.setdefault((row["route"], row["method"]), {"requests": 0, "known": 0, "wall": 0, "cpu_ns": 0})
        mine["requests"] += row["count"]
        # Of those that were not selected nothing but their times is known.
        mine["known"] += row["count"] - row["sums"].get("timed", 0)
        mine["wall"] += row["wall_ns"]
        mine["cpu_ns"] += row["cpu_ns"]
        for name, value in row["sums"].items():
            mine[name] = mine.get(name, 0) + value
    return found


def _row(key: tuple[str, str], what: str, name: str, old: Sums, new: Sums, before: float, after: float,
         change: float, unit: str) -> dict[str, Any]:
    digits = ".1f" if what == "time" else "g"
    text = (f"{key[1]} {key[0]}: {name} {before:{digits}} -> {after:{digits}}{unit} a request "
            f"({change:+.0%}; {old['requests']:.0f} and {new['requests']:.0f} requests)")
    return {"route": key[0], "method": key[1], "what": what, "name": name, "before": before, "after": after,
            "change": change, "requests": [int(old["requests"]), int(new["requests"])], "grew": [], "functions": [],
            "sentence": "", "text": text}


def _counts(key: tuple[str, str], old: Sums, new: Sums) -> list[dict[str, Any]]:
    found = []
    least = min(old["known"], new["known"])
    for field in _COUNTS:
        before = old.get(field, 0) / max(1, old["known"])
        after = new.get(field, 0) / max(1, new["known"])
        constant = all(abs(value - round(value)) < WHOLE for value in (before, after))
        more = after - before
        if least < (COUNT_LEAST if constant else VARIES_LEAST) or more <= 0:
            continue
        if more >= 1 - 2 * WHOLE if constant else more > max(0.5, VARIES_EFFECT * before):
            change = more / before if before else 1.0
            name = _core.TITLES.get(field, "tasks sent")
            found.append(_row(key, "count", name, old, new, round(before, 2), round(after, 2), change, ""))
    return found


def _time(key: tuple[str, str], old: Sums, new: Sums, judged: Judged) -> dict[str, Any]:
    row = _row(key, "time", "time", old, new, old["wall"] / old["requests"] / 1e6, new["wall"] / new["requests"] / 1e6,
               judged.effect, " ms")
    for field in _TIMES:
        before = old.get(field, 0) / max(1, old["known"]) / 1e6
        after = new.get(field, 0) / max(1, new["known"]) / 1e6
        if after - before > 0.1 * max(0.0, row["after"] - row["before"]) and after - before > 0.01:
            row["grew"].append({"name": _core.TITLES[field], "before_ms": before, "after_ms": after})
    row["grew"].sort(key=lambda one: one["before_ms"] - one["after_ms"])
    if row["grew"]:
        row["text"] += "; most of it " + row["grew"][0]["name"]
    return row
