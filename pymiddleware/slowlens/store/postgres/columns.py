"""Rows and how the database keeps them: one table of columns, ids as 16 bytes, days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...request import ID, id_text, id_time_ns, id_value
from ..interface import COLUMNS, StoreError
from ..rows import TEXTS, row_of

__all__ = [
    "ADDED", "DDL", "ENDED", "FIRST", "KEPT", "NAMES", "STAGED", "clean", "day_of", "inside", "later", "read_row",
    "staged",
]

DAY_MS = 86_400_000
#: The partition of profiles that outlived their day.
KEPT = -1
#: Longest texts; what has an index must fit into one of its pages.
WIDTH = {"route": 500, "host": 250, "release": 250, "method": 20, "mode": 20, "kind": 20, "framework": 100,
         "path": 2000, "hot": 1000, "kept": 200, "flags": 500}
MOST = (1 << 63) - 1
#: When a request ended: what lists are sorted by, by an index on this very expression.
ENDED = f"(started + least(wall_ns, {MOST} - started))"

_LISTS = frozenset(("tags", "findings"))


def _sql_type(name: str) -> str:
    if name == "id":
        return "uuid"
    if name in _LISTS:
        return "text[]"
    return 'text COLLATE "C"' if name in TEXTS else "bigint"


def _ddl(names: Iterable[str]) -> str:
    return ",\n  ".join([f"{name} {_sql_type(name)} NOT NULL" for name in names] + ["day integer NOT NULL"])


#: Columns that the tables' second version has more than the first.
ADDED = ("run_queue_ns", "gil_wait_ns", "blocked_ns", "gc_ns", "loop_ns", "idle_ns", "db_ns", "db_count",
         "http_count", "cache_count", "template_count")
#: Columns of a row in the database, but for what it fills in itself.
NAMES = (*COLUMNS, "day")
DDL = _ddl(COLUMNS)
#: What the first version had.
FIRST = _ddl(name for name in COLUMNS if name not in ADDED)


def later(names: Iterable[str]) -> str:
    """As what a column is added to a table that has rows."""
    return ", ".join(f"ADD COLUMN {name} {_sql_type(name)} NOT NULL DEFAULT 0" for name in names)


#: As binary COPY writes them: a uuid is 16 bytes whatever made them.
TYPES = tuple("bytea" if name == "id" else "text[]" if name in _LISTS else "text" if name in TEXTS else "int8"
              for name in COLUMNS)
STAGED = ((*NAMES, "blob"), (*TYPES, "int4", "bytea"))

def day_of(profile_id: str) -> int:
    """Days since 1970 by the id's own time."""
    return id_time_ns(profile_id) // 1_000_000 // DAY_MS


def clean(text: str) -> str:
    """As the database can hold it: UTF-8, without NUL."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\x00", "?") if "\x00" in text else text


def inside(name: str, text: str) -> str:
    """``text`` as column ``name`` has it, or an element of it."""
    return clean(text[:WIDTH.get(name, 500)])


def _elements(name: str, lines: str) -> list[str]:
    """Elements of a list that can be looked up: whole lines, and the keys of tags."""
    if not lines:
        return []
    found = [inside(name, line) for line in lines.split("\n") if line]
    if name == "tags":
        found += dict.fromkeys(line.partition("=")[0] for line in found)
    return found


#: Of each column but the id: what it is, and how long a text may be.
_PLAN = tuple((name, "list" if name in _LISTS else "text" if name in TEXTS else "number", WIDTH.get(name, 500))
              for name in COLUMNS[1:])


def staged(row: dict[str, Any], blob: bytes) -> list[Any]:
    """Values for STAGED. :raises StoreError: an id that is none."""
    profile_id = row.get("id")
    if not isinstance(profile_id, str) or ID.match(profile_id) is None:
        raise StoreError(f"{profile_id!r} is no id of a profile")
    whole = row_of(row, len(blob), str(row.get("hot") or ""))
    key = id_value(profile_id)
    values: list[Any] = [key]
    for name, kind, width in _PLAN:
        value = whole[name]
        if kind == "number":
            values.append(value if value <= MOST else MOST)
        elif kind == "text":
            values.append(value if len(value) <= width and value.isascii() and "\x00" not in value
                          else clean(value[:width]))
        else:
            values.append(_elements(name, value) if value else [])
    values.append(int.from_bytes(key[:6], "big") // DAY_MS)
    values.append(blob)
    return values


def read_row(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """A row of a list out of what the database answered."""
    row = dict(zip(names, values, strict=True))
    row["id"] = id_text(row["id"].bytes)
    row["ended"] = row["started"] + min(row["wall_ns"], MOST - row["started"])
    tags = [line for line in row["tags"] if "=" in line]
    row["tags"] = "\n" + "\n".join(tags) + "\n" if tags else ""
    row["findings"] = "\n" + "\n".join(row["findings"]) + "\n" if row["findings"] else ""
    return row
