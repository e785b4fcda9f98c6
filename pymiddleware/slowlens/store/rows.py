"""What every store shares: rows out of metadata, filters and cursors out of queries, numbers out of rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from ..request import ID
from .interface import COLUMNS, LAYERS, SORTS, TREND, Query, QueryError, RouteStats

__all__ = [
    "LIMIT_MAX", "TEXTS", "cursor_of", "filters", "layer_of", "lines_of", "read_cursor", "route_stats", "row_of",
    "sort_of", "words_of",
]

LIMIT_MAX = 500

#: Columns of text; the others are whole numbers from 0 on.
TEXTS = frozenset((
    "id", "method", "path", "route", "mode", "kept", "flags", "hot", "framework", "host", "release", "tags",
    "findings", "kind",
))


def lines_of(items: Iterable[str]) -> str:
    """Lines with a newline at both ends: what is looked for is then a whole line, or the beginning of one."""
    lines = [item.replace("\n", " ") for item in items]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def row_of(meta: dict[str, Any], size: int, hot: str | None = None, kind: str = "profile") -> dict[str, Any]:
    """A row from a blob's metadata, as core/rows_meta.c makes it."""
    row: dict[str, Any] = {}
    for name in COLUMNS:
        value = meta.get(name)
        if name in TEXTS:
            row[name] = value if isinstance(value, str) else ""
        else:
            row[name] = max(0, value) if isinstance(value, int) else 0
    row["kind"] = kind
    row["bytes"] = size
    row["route"] = row["route"] or row["path"]
    row["hot"] = hot if hot is not None else row["hot"]
    if not isinstance(meta.get("calls"), int):
        row["calls"] = max(0, int(meta.get("samples") or 0))
    row["tags"] = lines_of(f"{key[4:]}={value}" for key, value in meta.items() if key.startswith("tag."))
    found = meta.get("findings")
    row["findings"] = lines_of(found.split(",")) if found and isinstance(found, str) else ""
    return row


def sort_of(query: Query) -> tuple[str, bool]:
    """(column, whether falling). :raises QueryError: it cannot be sorted by that."""
    column = query.sort.removeprefix("-")
    if column not in SORTS:
        raise QueryError(f"cannot sort by {column!r}")
    return column, query.sort.startswith("-")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "replace")


def statuses(status: str) -> tuple[int, int]:
    """The first and the last status that is meant. :raises QueryError: nonsense."""
    if status == "error":
        return 500, 0xFFFFFFFF
    if len(status) == 3 and status[0] in "0123456789" and status[1:] == "xx":
        return int(status[0]) * 100, int(status[0]) * 100 + 99
    if status.isascii() and status.isdigit() and len(status) < 9:
        return int(status), int(status)
    raise QueryError(f"status is a number, a class as 5xx, or 'error', not {status!r}")


#: Where a word may occur, as the core knows it: in path or route, in the hot path.
_WHERE = {"path": 1, "function": 2, "any": 3}
WORDS_MAX = 16


def words_of(query: Query) -> list[tuple[str, str]]:
    """(text, where) of all that must occur. :raises QueryError: that are too many, or nowhere."""
    words = [*query.words, *([(query.text, "any")] if query.text else [])]
    if len(words) > WORDS_MAX:
        raise QueryError(f"at most {WORDS_MAX} words can be looked for at once")
    if any(where not in _WHERE for _, where in words):
        raise QueryError("a word is looked for in path, function or any")
    return words


def layer_of(query: Query) -> str:
    """The column that must not be 0. :raises QueryError: there is no such layer."""
    if query.layer not in LAYERS:
        raise QueryError(f"a layer is one of {', '.join(LAYERS)}")
    return f"{query.layer}_count"


def filters(query: Query) -> dict[str, Any]:
    """The query's conditions and order, as ``_core.Rows.list`` takes them. :raises QueryError: nonsense."""
    column, falling = sort_of(query)
    found: dict[str, Any] = {"sort": column, "falling": falling}
    for name in ("route", "mode", "host", "release", "tag", "finding"):
        found[name] = _bytes(getattr(query, name))
    found["words"] = [(text.encode("utf-8", "replace"), _WHERE[where]) for text, where in words_of(query)]
    if query.layer is not None:
        found["some"] = layer_of(query)
    found["method"] = None if query.method is None else _bytes(query.method.upper())
    if query.status is not None:
        found["status_from"], found["status_to"] = statuses(query.status)
    for name, key in (("min_ns", "min_ns"), ("max_ns", "max_ns"), ("since", "since"), ("until", "until")):
        value = getattr(query, name)
        if value is not None:
            found[key] = max(0, min(value, 0xFFFFFFFFFFFFFFFF))
    if query.cursor is not None:
        found["after"] = read_cursor(query.cursor, column)
    found["limit"] = max(1, min(query.limit, LIMIT_MAX))
    return found


def cursor_of(column: str, row: dict[str, Any]) -> str:
    """Where a page ended: the value of its last row, and its id."""
    return base64.urlsafe_b64encode(json.dumps([column, row[column], row["id"]]).encode()).decode()


def read_cursor(cursor: str, column: str) -> tuple[int | bytes, str]:
    """(value, id). :raises QueryError: it is none, or one of another list."""
    try:
        of, value, profile_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError, RecursionError):
        raise QueryError("a cursor that is none") from None
    if of != column or not isinstance(profile_id, str) or ID.match(profile_id) is None:
        raise QueryError("a cursor of another list")
    if column in TEXTS:
        if not isinstance(value, str):
            raise QueryError("a cursor of another list")
        return value.encode("utf-8", "replace"), profile_id
    if type(value) is not int or not 0 <= value <= 0xFFFFFFFFFFFFFFFF:
        raise QueryError("a cursor of another list")
    return value, profile_id


def route_stats(report: bytes) -> list[RouteStats]:
    """Numbers of each route and method out of what ``_core.Rows.routes`` wrote, most total time first."""
    found: list[RouteStats] = []
    for one in json.loads(report):
        one["error_share"] = one.pop("errors") / one["count"]
        found.append(one)
    found.sort(key=lambda stats: -stats["total"])
    return found


def with_numbers(stored: Sequence[RouteStats], report: dict[str, Any]) -> list[RouteStats]:
    """Routes by the numbers of all their requests; those without any, by what is stored."""
    by_route = {(one["route"], one["method"]): one for one in stored}
    periods = sorted({start for row in report["rows"] for start in row["series"]["from_s"]})
    period = min((later - start for start, later in pairwise(periods)), default=1)
    found = []
    for row in report["rows"]:
        kept = by_route.pop((row["route"], row["method"]), None)
        trend, counts = [0] * TREND, [0] * TREND
        series = row["series"]
        for start, count, median in zip(series["from_s"], series["count"], series["p50_ns"], strict=True):
            at = min(TREND - 1, (start - periods[0]) // period)
            trend[at], counts[at] = median, counts[at] + count
        found.append(RouteStats(
            route=row["route"], method=row["method"], count=row["count"], p50=row["p50_ns"], p90=row["p90_ns"],
            p95=row["p95_ns"], p99=row["p99_ns"], max=row["max_ns"], total=row["wall_ns"], cpu=row["cpu_ns"],
            error_share=row["errors"] / row["count"], worst="" if kept is None else kept["worst"], trend=trend,
            counts=counts, sums=row["sums"],
        ))
    found += by_route.values()
    found.sort(key=lambda stats: -stats["total"])
    return found
