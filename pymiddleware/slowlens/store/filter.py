"""The language that lists are asked in: the viewer's box, ``slowlens list --filter`` and the API's ``filter=``.

    /books/ 5xx >200ms det tag:user=anna GET last:1h function:deepcopy sort:slowest

Words are separated by blanks; ``"..."`` keeps blanks together, also behind
``name:``. A word that is nothing else is looked for in path, route and hot
path; every word must occur. Of every other kind the last one counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from .interface import LAYERS, SORTS, Query, QueryError

__all__ = ["FIELDS", "Field", "Filter", "Term", "parse"]

TEXT_MAX = 2000
#: More words than anybody writes; a store need not look for more.
WORDS_MAX = 16
#: Milliseconds from year 1 to 9999 are what clocks show.
LAST_NS = 253_402_300_800 * 10**9


class Field(NamedTuple):
    """What can be written as ``name:value``, for completion and for the list of them in an error."""

    name: str
    hint: str
    values: tuple[str, ...] = ()


class Term(NamedTuple):
    """One word as it was understood: the name of its field ("text": none), and how it is written shortest."""

    name: str
    text: str


@dataclass(frozen=True)
class Filter:
    """A text that was understood: what a store is asked, and its terms in the order of the text."""

    query: Query
    terms: tuple[Term, ...] = field(default=())


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "WS", "TASK", "TEST", "RUN")
_SORT_WORDS = {
    "newest": "-ended", "oldest": "ended", "slowest": "-wall_ns", "fastest": "wall_ns", "queries": "-db_count",
}
_MODES = {"det": "deterministic", "exact": "deterministic", "samp": "sampling", "sampled": "sampling"}

#: In the order in which they are offered.
FIELDS = (
    Field("path", "in the path or route"),
    Field("function", "in the hot path"),
    Field("tag", "key or key=value"),
    Field("time", ">200ms, <1.5s", (">200ms", ">1s", "<50ms")),
    Field("status", "404, 5xx or error", ("error", "5xx", "4xx", "404", "500")),
    Field("mode", "sampling or deterministic", ("sampling", "deterministic")),
    Field("layer", "what it asked", LAYERS),
    Field("finding", "what was noticed", ("n+1", "slow-query", "holds-loop", "loop", "gil", "lock", "gc", "repeats")),
    Field("route", "all requests of a route"),
    Field("method", "GET, POST…", _METHODS),
    Field("release", "a release of your app"),
    Field("host", "a machine"),
    Field("last", "15m, 2h, 7d", ("15m", "1h", "24h", "7d")),
    Field("since", "2026-01-31T08:00"),
    Field("until", "2026-01-31T09:00"),
    Field("sort", "newest, slowest…", (*_SORT_WORDS, "-cpu_ms", "-blocked_ms", "-db_ms", "-bytes", "status", "route")),
)
_NAMES = frozenset(one.name for one in FIELDS)
_SPANS = {"m": 60, "h": 3600, "d": 86400}
_UNITS = {"us": 1e3, "ms": 1e6, "s": 1e9}

_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_FIELD = re.compile(r"([a-z]+):(.*)", re.DOTALL)
_TIME = re.compile(r"(>=?|<)\s*(\d{1,12}(?:\.\d{1,9})?)(us|ms|s)?")
_STATUS = re.compile(r"error|[1-5]xx|[1-5]\d\d|0")
_SPAN = re.compile(r"(\d{1,6})(m|h|d)")


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"\s", text) or not text else text


def _time(value: str) -> dict[str, Any]:
    found = _TIME.fullmatch(value)
    if found is None:
        raise QueryError(f"{value!r}: a time is written >200ms, >1.5s or <50ms")
    ns = int(float(found[2]) * _UNITS[found[3] or "ms"])
    return {"max_ns": ns} if found[1] == "<" else {"min_ns": ns}


def _status(value: str) -> dict[str, Any]:
    if _STATUS.fullmatch(value) is None:
        raise QueryError("status: is 404, a class such as 5xx, or error")
    return {"status": value}


def _mode(value: str) -> dict[str, Any]:
    return {"mode": _MODES.get(value, value)}


def _one_of(name: str, known: tuple[str, ...]) -> Callable[[str], dict[str, Any]]:
    def read(value: str) -> dict[str, Any]:
        if value not in known:
            raise QueryError(f"{name}: is one of {', '.join(known)}")
        return {name: value}

    return read


def _sort(value: str) -> dict[str, Any]:
    sort = _SORT_WORDS.get(value, re.sub(r"_ms\Z", "_ns", value))
    if sort.removeprefix("-") not in SORTS:
        raise QueryError(f"sort: is newest, slowest, queries, or a column such as -cpu_ms; not {value!r}")
    return {"sort": sort}


def _last(value: str, now_ns: int) -> dict[str, Any]:
    found = _SPAN.fullmatch(value)
    if found is None:
        raise QueryError("last: wants a time such as 15m, 2h or 7d")
    return {"since": max(0, now_ns - int(found[1]) * _SPANS[found[2]] * 10**9)}


def _moment(name: str, value: str, zone: int | None) -> dict[str, Any]:
    """Unix milliseconds, or a date with a time or without, in the reader's zone where it names none."""
    if value.isascii() and value.isdigit() and len(value) < 16:
        return {name: int(value) * 10**6}
    try:
        when = datetime.fromisoformat(value)
        if when.tzinfo is None and zone is not None:
            when = when.replace(tzinfo=timezone(timedelta(minutes=zone)))
        seconds = when.timestamp()
    except (ValueError, OverflowError, OSError):
        raise QueryError(f"{name}: wants a time such as 2026-01-31T08:00") from None
    return {name: max(0, min(int(seconds * 1e6) * 1000, LAST_NS))}


_PLAIN = frozenset(("route", "release", "host", "tag", "finding"))


def _value(name: str, value: str, now_ns: int, zone: int | None) -> dict[str, Any]:
    if name in _PLAIN:
        return {name: value}
    if name == "last":
        return _last(value, now_ns)
    if name in ("since", "until"):
        return _moment(name, value, zone)
    if name == "method":
        return {name: value.upper()}
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "time": _time, "status": _status, "mode": _mode, "layer": _one_of("layer", LAYERS), "sort": _sort,
    }
    return readers[name](value)


def _short(word: str) -> str:
    """The name of the field that a word is of without saying so; "": of none."""
    if word[0] in "<>":
        return "time"
    if _STATUS.fullmatch(word) and word != "0":
        return "status"
    if word in _MODES or word in _MODES.values():
        return "mode"
    return "method" if word in _METHODS else ""


def _written(name: str, value: str, found: dict[str, Any]) -> str:
    if name == "mode":
        return {"deterministic": "det"}.get(found["mode"], found["mode"]) if found["mode"] in _MODES.values() else (
            f"mode:{_quoted(value)}")
    short = name in ("time", "status", "method") and _short(value) == name
    return value if short else f"{name}:{_quoted(value)}"


def parse(text: str, *, base: Query | None = None, now_ns: int | None = None, zone: int | None = None) -> Filter:
    """Understands a text.

    :param base: what holds beside it; the text's own terms come before its values.
    :param zone: minutes east of UTC in which times without a zone are written; None: this machine's.
    :raises QueryError: in one sentence, what is wrong with it and how it would be right.
    """
    if len(text) > TEXT_MAX:
        raise QueryError(f"a filter has at most {TEXT_MAX} characters")
    now = time.time_ns() if now_ns is None else now_ns
    values: dict[str, Any] = {}
    terms: dict[str, Term] = {}
    words: list[tuple[str, str]] = []
    for one in _WORD.findall(text):
        word = one.replace('"', "")
        split = _FIELD.fullmatch(word) if not one.startswith('"') and "://" not in word else None
        name, value = (split[1], split[2]) if split else ("" if one.startswith('"') or not word else _short(word), word)
        if not word:
            continue
        if name == "text":
            name = ""
        elif name and name not in _NAMES:
            raise QueryError(f"no field is called {name!r}: there are {', '.join(one.name for one in FIELDS)}")
        if not value:
            raise QueryError(f"{name or 'text'}: wants a value: {_hint(name)}")
        if name in ("", "path", "function"):
            where = name or "any"
            if len(words) == WORDS_MAX:
                raise QueryError(f"at most {WORDS_MAX} words can be looked for at once")
            words.append((value, where))
            terms[f"{where} {value}"] = Term(name or "text", _looked_for(name, value))
            continue
        found = _value(name, value, now, zone)
        values.update(found)
        key = next(iter(found))
        terms.pop(key, None)
        terms[key] = Term(name, _written(name, value, found))
    query = replace(base or Query(), **values)
    if words:
        query = replace(query, words=(*query.words, *words))
    return Filter(query, tuple(terms.values()))


def _looked_for(name: str, value: str) -> str:
    if name:
        return f"{name}:{_quoted(value)}"
    plain = not re.search(r"\s", value) and not _short(value) and ("://" in value or not _FIELD.fullmatch(value))
    return value if plain else f'"{value}"'


def _hint(name: str) -> str:
    return next((one.hint for one in FIELDS if one.name == name), "in path, route or hot path")
