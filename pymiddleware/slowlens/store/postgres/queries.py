"""SQL of what lists ask. Values are parameters, names are out of our own tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, NamedTuple

from ...request import id_value
from ..interface import COLUMNS, Query, QueryError
from ..rows import LIMIT_MAX, layer_of, read_cursor, sort_of, statuses, words_of
from .columns import ADDED, ENDED, MOST, clean, inside
from .schema import SEARCHED, SLOW_NS

__all__ = ["Asked", "asked", "counted"]

#: A snapshot of the database, as pg_current_snapshot() writes it.
_MARK = re.compile(r"[0-9]{1,19}:[0-9]{1,19}:(?:[0-9]{1,19}(?:,[0-9]{1,19})*)?\Z")
MARK_MAX = 100_000
#: So many days are asked one by one: each costs the database some tenths of a millisecond to plan.
DAYS_APART = 40
_BOUNDS = (("min_ns", "wall_ns >="), ("max_ns", "wall_ns <"), ("since", "started >="), ("until", "started <"))
#: Where a word must occur beside SEARCHED, which has the index and is all of it.
_PARTS = {"path": ("lower((path || chr(10) || route) COLLATE \"C\")",), "function": ("lower(hot COLLATE \"C\")",)}


class Asked(NamedTuple):
    """A query, ready to be executed: the answer's first column is the mark, then NAMES; one row without an id: none."""

    sql: str
    values: dict[str, Any]
    names: tuple[str, ...]
    sort: str
    limit: int


def _filter(query: Query, earlier: bool) -> tuple[list[str], dict[str, Any]]:
    """Conditions and their values. :raises QueryError: nonsense."""
    conditions: list[str] = []
    values: dict[str, Any] = {}

    def add(condition: str, **named: Any) -> None:
        conditions.append(condition)
        values.update(named)

    for name in ("route", "mode", "host", "release"):
        value = getattr(query, name)
        if value is not None:
            add(f"{name} = %({name})s", **{name: inside(name, value)})
    if query.method is not None:
        add("method = %(method)s", method=inside("method", query.method.upper()))
    if query.status is not None:
        first, last = statuses(query.status)
        if first == last:
            add("status = %(status)s", status=first)
        else:
            add("status BETWEEN %(first)s AND %(last)s", first=first, last=last)
    for name, condition in _BOUNDS:
        bound = getattr(query, name)
        if bound is not None:
            add(f"{condition} %({name})s", **{name: max(0, min(bound, MOST))})
    for at, (text, where) in enumerate(words_of(query)):
        pattern = re.sub(r"([\\%_])", r"\\\1", clean(text).encode().lower().decode())
        for searched in (SEARCHED, *_PARTS.get(where, ())):
            add(f"{searched} LIKE %(word{at})s", **{f"word{at}": f"%{pattern}%"})
    if query.layer is not None:
        column = layer_of(query)
        add("false" if earlier else f"{column} > 0")
    if query.tag is not None:
        add("tags @> ARRAY[%(tag)s::text]", tag=inside("tags", query.tag.replace("\n", " ")))
    if query.finding is not None:
        add("findings @> ARRAY[%(finding)s::text]", finding=inside("findings", query.finding))
    if query.stored_since is not None:
        if len(query.stored_since) > MARK_MAX or _MARK.match(query.stored_since) is None:
            raise QueryError("a mark that is none")
        add("stored >= pg_snapshot_xmin(%(mark)s::pg_snapshot) "
            "AND NOT pg_visible_in_snapshot(stored, %(mark)s::pg_snapshot)", mark=query.stored_since)
    return conditions, values


def counted(schema: str, query: Query, most: int, *, earlier: bool = False) -> tuple[str, dict[str, Any]]:
    """How many rows pass, ``most`` at most. :raises QueryError: nonsense."""
    conditions, values = _filter(query, earlier)
    where = " AND ".join(conditions) or "true"
    return f"SELECT count(*) FROM (SELECT FROM {schema}.profiles WHERE {where} LIMIT {int(most)}) one", values


#: What is found in its order by an index (schema.py): a filter that stands alone, and the order.
_ORDERED = {
    "route": ("started", "ended", "wall_ns"), "host": ("ended",), "release": ("started", "ended"), "status": ("ended",),
    "min_ns": ("started", "ended"),
}
_FILTERS = tuple(one.name for one in fields(Query) if one.name not in ("sort", "limit", "cursor"))


def _is_ordered(query: Query, column: str) -> bool:
    """Whether the database finds the rows where they stand, the first one first."""
    given = [name for name in _FILTERS if getattr(query, name) not in (None, ())]
    if len(given) != 1:
        return not given
    if given == ["status"]:
        first, last = statuses(query.status or "")
        if first != last:
            return first >= 500 and column in ("started", "ended", "wall_ns")
    if given == ["min_ns"] and (query.min_ns or 0) < SLOW_NS:
        return False
    return column in _ORDERED.get(given[0], ())


def _apart(days: Sequence[int]) -> list[str]:
    """Conditions that divide all rows there are, or may be by now, into days and what is between them."""
    known = sorted(days)
    if not 1 < len(known) <= DAYS_APART:
        return []
    # With >=, for the database does not know that nothing is between two whole numbers.
    between = [f"day < {known[0]}", *(f"day >= {one + 1} AND day < {following}" for one, following in pairwise(known)
                                      if following - one > 1), f"day >= {known[-1] + 1}"]
    return [*(f"day = {one}" for one in known), f"({' OR '.join(between)})"]


def asked(schema: str, query: Query, *, days: Sequence[int] = (), earlier: bool = False) -> Asked:
    """:param days: that have a partition, as far as is known: a list that leaves rows out is asked of each for itself.
    For all at once the database takes for each day what is best for most, and reads the whole of one without any.
    :param earlier: the tables are of the first version, and not ours to upgrade.

    :raises QueryError: nonsense.
    """
    column, falling = sort_of(query)
    if earlier and column in ADDED:
        raise QueryError(f"cannot sort by {column}: the tables are of an earlier slowlens")
    by = ENDED if column == "ended" else column
    conditions, values = _filter(query, earlier)
    if query.cursor is not None:
        value, profile_id = read_cursor(query.cursor, column)
        conditions.append(f"({by}, id) {'<' if falling else '>'} (%(after)s, %(after_id)s::uuid)")
        values["after"] = (
            clean(value.decode("utf-8", "replace")) if isinstance(value, bytes) else min(value, MOST))
        values["after_id"] = id_value(profile_id).hex()
    where = " AND ".join(conditions) or "true"
    direction = "DESC" if falling else "ASC"
    limit = max(1, min(query.limit, LIMIT_MAX))
    names = (*COLUMNS, "pinned")
    order = f"ORDER BY {by} {direction}, id {direction}"
    inner = ", ".join(f"0::bigint AS {name}" if earlier and name in ADDED else name for name in names)
    chosen = [f"SELECT {inner} FROM {schema}.profiles WHERE {more}{where} {order} LIMIT {limit + 1}"
              for more in ([] if _is_ordered(query, column) else [f"{one} AND " for one in _apart(days)]) or [""]]
    found = chosen[0]
    if len(chosen) > 1:
        each = " UNION ALL ".join(f"({one})" for one in chosen)
        found = f"SELECT * FROM ({each}) each {order} LIMIT {limit + 1}"
    # The mark and the rows are of one moment, for they are of one statement.
    sql = (f"SELECT pg_current_snapshot()::text, {', '.join('p.' + name for name in names)} FROM (SELECT 1) one "
           f"LEFT JOIN ({found}) p "
           f"ON true ORDER BY {by if column == 'ended' else 'p.' + column} {direction}, p.id {direction}")
    return Asked(sql, values, names, column, limit)
