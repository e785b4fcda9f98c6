"""Routes of what is stored: for those that are counted only the slowest's id, for others their numbers too."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ...request import id_text
from ..interface import TREND, RouteStats
from .columns import inside

__all__ = ["stored"]


def stored(
    read: Callable[[str, Any], list[Any]], s: str, counted: Collection[tuple[str, str]], route: str | None,
) -> list[RouteStats]:
    """``counted``: routes and methods whose numbers are of all requests, and so taken from elsewhere."""
    one = None if route is None else inside("route", route)
    there = read(f"SELECT DISTINCT route, method FROM {s}.routes WHERE %(one)s::text IS NULL OR route = %(one)s",
                 {"one": one})
    numbered = [pair for pair in there if (pair[0], pair[1]) in counted]
    rest = [pair for pair in there if (pair[0], pair[1]) not in counted]
    return _worst(read, s, numbered) + _numbers(read, s, rest)


def _pairs(pairs: list[Any]) -> dict[str, Any]:
    return {"routes": [pair[0] for pair in pairs], "methods": [pair[1] for pair in pairs]}


def _worst(read: Callable[[str, Any], list[Any]], s: str, pairs: list[Any]) -> list[RouteStats]:
    found = read(
        f"SELECT one.route, one.method, slowest.id FROM unnest(%(routes)s::text[], %(methods)s::text[])"
        f" AS one (route, method) CROSS JOIN LATERAL (SELECT id FROM {s}.profiles p WHERE p.route = one.route"
        f" AND p.method = one.method ORDER BY p.wall_ns DESC LIMIT 1) slowest", _pairs(pairs)) if pairs else []
    return [_stats(route, method, worst=id_text(value.bytes)) for route, method, value in found]


def _numbers(read: Callable[[str, Any], list[Any]], s: str, pairs: list[Any]) -> list[RouteStats]:
    if not pairs:
        return []
    chosen = (f"FROM {s}.profiles p JOIN unnest(%(routes)s::text[], %(methods)s::text[]) AS one (route, method)"
              f" ON p.route = one.route AND p.method = one.method")
    rows = read(
        f"SELECT p.route, p.method, count(*), percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY wall_ns),"
        f" max(wall_ns), sum(wall_ns)::bigint, count(*) FILTER (WHERE status >= 500),"
        f" (array_agg(id ORDER BY wall_ns DESC, id DESC))[1], min(started), max(started)"
        f" {chosen} GROUP BY p.route, p.method", _pairs(pairs))
    found = {}
    for route, method, count, (p50, p95, p99), most, total, errors, worst, first, last in rows:
        found[route, method] = _stats(
            route, method, count=count, p50=p50, p95=p95, p99=p99, max=most, total=total,
            error_share=errors / count, worst=id_text(worst.bytes)), first, (last - first) // TREND + 1
    values = _pairs(pairs)
    for route, method, part, median in read(
            f"SELECT p.route, p.method, (p.started - span.first) / span.step AS part,"
            f" percentile_disc(0.5) WITHIN GROUP (ORDER BY wall_ns) {chosen}"
            f" JOIN unnest(%(r)s::text[], %(m)s::text[], %(firsts)s::bigint[], %(steps)s::bigint[])"
            f" AS span (route, method, first, step) ON span.route = p.route AND span.method = p.method"
            f" WHERE p.started >= span.first GROUP BY 1, 2, 3",
            {**values, "r": [pair[0] for pair in found], "m": [pair[1] for pair in found],
             "firsts": [one[1] for one in found.values()], "steps": [one[2] for one in found.values()]}):
        if 0 <= part < TREND:
            found[route, method][0]["trend"][part] = median
    return [one[0] for one in found.values()]


def _stats(route: str, method: str, **values: Any) -> RouteStats:
    stats: Any = {
        "route": route, "method": method, "count": 0, "p50": 0, "p95": 0, "p99": 0, "max": 0, "total": 0,
        "error_share": 0.0, "worst": "", "trend": [0] * TREND, **values}
    found: RouteStats = stats
    return found
