"""The interface of a store, and of a sink: what leaves the writer, and who takes it.

A store keeps profiles and answers lists. It is named by a URL (``store=``):
its scheme finds it among the entry points ``slowlens.stores``; a plain path is
the folder of segments. Every store passes ``tests/py/store_contract.py``.

A sink takes each :class:`Finished` profile: the store is one, the slow log
another; others come by the entry points ``slowlens.sinks``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

from .. import _core

__all__ = [
    "COLUMNS", "LAYERS", "SORTS", "TREND", "Counted", "Finished", "Gathered", "Page", "Query", "QueryError",
    "RouteStats", "Sink", "Store", "StoreError", "Stored", "each_row", "name_of",
]


class StoreError(Exception):
    """The store cannot do what was asked, in one sentence."""

    #: Profiles that are stored nowhere by it.
    lost = 1


class QueryError(StoreError):
    """What was asked makes no sense: a sort, status or cursor that is none."""


#: What a row of a list holds: metadata of the profile, ``bytes`` (of the blob), ``hot`` (path),
#: ``tags`` (lines of ``key=value``). ``kind`` is "profile", or "checkpoint": the request had not ended.
#: A store adds ``pinned`` (kept for ever) and ``ended`` (its end, in ns). What a slowlens of before did not store is 0
#: and "": its waiting is not told apart then, and ``waiting_ns`` is all of it.
COLUMNS = (
    "id", "started", "wall_ns", "cpu_ns", "await_ns", "waiting_ns", "method", "path", "route",
    "status", "mode", "calls", "c_calls", "bytes", "kept", "flags", "hot", "framework", "host", "release", "pid",
    "tags", "findings", "kind",
    "run_queue_ns", "gil_wait_ns", "blocked_ns", "gc_ns", "loop_ns", "idle_ns", "db_ns", "db_count",
    "http_count", "cache_count", "template_count",
)

#: Parts of a route's trend.
TREND = 12

#: Columns a list can be sorted by; ``-`` before one means falling.
SORTS = (
    "started", "ended", "wall_ns", "cpu_ns", "await_ns", "waiting_ns", "bytes", "calls", "c_calls", "status", "method",
    "route", "mode", "host", "release", "run_queue_ns", "gil_wait_ns", "blocked_ns", "gc_ns", "loop_ns", "idle_ns",
    "db_ns", "db_count",
)

#: What a request may have asked: of each there is a column ``NAME_count``.
LAYERS = ("db", "http", "cache", "template")


@dataclass(frozen=True)
class Query:
    """Which rows, in which order. ``cursor`` is what the page before gave as ``next``.

    Every condition must hold. Pages follow each other by (value, id), never by
    a number of rows: what is stored meanwhile moves nothing.
    """

    sort: str = "-started"
    route: str | None = None
    method: str | None = None
    status: str | None = None  # "404", a class as "5xx", or "error" (500 and up)
    mode: str | None = None
    host: str | None = None
    release: str | None = None
    min_ns: int | None = None
    max_ns: int | None = None  # shorter than this
    since: int | None = None  # Unix ns, by when the request began
    until: int | None = None
    text: str | None = None  # in path, route or hot path; ASCII letters in any case
    #: (text, where): all of them must occur, "path" (path or route), "function" (hot path) or "any" of these.
    words: tuple[tuple[str, str], ...] = ()
    layer: str | None = None  # asked it at least once: one of LAYERS
    tag: str | None = None  # "key", or "key=value"
    finding: str | None = None
    #: What a page before gave as ``mark``: only what was stored after it.
    stored_since: str | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass
class Page:
    """Some rows, and where to go on (None: that was all).

    ``mark``: the moment of this list, for ``Query.stored_since``.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None
    mark: str = ""


class RouteStats(TypedDict):
    """One route: all requests where a store counts them, else what is stored. Times in ns, ``error_share`` 0 to 1."""

    route: str
    method: str
    count: int
    p50: int
    p95: int
    p99: int
    max: int
    total: int
    error_share: float
    worst: str  # id of the slowest that is stored; "": none is
    trend: list[int]  # medians over the stored time in TREND parts; 0: none in that part
    counts: NotRequired[list[int]]  # requests in each of these parts
    p90: NotRequired[int]
    cpu: NotRequired[int]
    #: Sums of all requests: keys as sl_report_numbers has them; only where all are counted.
    sums: NotRequired[dict[str, int]]


def name_of(store: object) -> str:
    """What processes of this host call a store: whose boards and checkpoints are its; "": it has none."""
    return str(getattr(store, "name", "") or getattr(store, "root", ""))


class Stored(NamedTuple):
    """A profile as it leaves one store for another (``slowlens copy``)."""

    row: dict[str, Any]
    blob: bytes


class Counted(NamedTuple):
    """An hour of requests that one store counted, on its way to another."""

    #: Who counted them: 16 bytes, see identity.py.
    origin: bytes
    #: Since 1970.
    hour: int
    #: All that it has of that hour (slowlens/numbers.h): what was copied of it before is part of it.
    table: bytes


class Gathered(NamedTuple):
    """Trees of ten minutes that one store gathered, on their way to another."""

    origin: bytes
    #: When its requests ended, Unix ms.
    first: int
    last: int
    #: How many it speaks for. It is all that the store has of these ten minutes: the more, the later.
    requests: int
    #: A slice as windows.py has it.
    data: bytes


class Finished:
    """A profile on its way out of the writer.

    ``meta``: its metadata as in ``blob`` (bytes of a ``.slowlens`` file), without what is not known. ``kept``: whether
    the keep rules want it stored. ``slow``: whether it is a slow one.
    """

    __slots__ = ("_summary", "blob", "kept", "meta", "slow")

    def __init__(self, meta: dict[str, Any], blob: bytes, kept: bool, slow: bool) -> None:
        #: Metadata as in the blob, without what is not known.
        self.meta = meta
        self.blob = blob
        #: Whether the keep rules want it stored.
        self.kept = kept
        #: Whether it is a slow one.
        self.slow = slow
        self._summary: dict[str, Any] | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """What it says at a glance: ``hot`` (text). More as the blob's SUMMARY has it. Read when somebody asks for it:
        the folder does not."""
        found = self._summary
        if found is None:
            found = self._summary = json.loads(_core.read_meta(self.blob))["summary"]
            found["hot"] = found.get("hot_text", "")
        return found


class Sink(Protocol):
    """Takes finished profiles, in the writer's thread: it may do input and output, and may fail."""

    def take(self, profile: Finished) -> None:
        """``profile`` is to be read only. What this raises is counted and said once a minute; other sinks go on."""

    def close(self) -> None:
        """The process ends."""


class Store(Protocol):
    """Implementations are used by several threads and processes at once.

    Reading never needs the right to write. Nothing here is called by a request.
    """

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        """Stores ``blob``, a profile: ``row`` is its metadata with ``hot``. :raises StoreError: it is not stored."""

    def get(self, profile_id: str) -> bytes | None:
        """The blob of the profile ``profile_id``; None: there is none of that id."""

    def list(self, query: Query) -> Page:
        """The page of rows that ``query`` asks for. :raises QueryError: a sort or cursor that is none."""

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        """Numbers of all routes, or of the methods of one (``route``), most total time first."""

    def delete(self, profile_id: str) -> bool:
        """Deletes ``profile_id`` for good: its bytes are overwritten where they can be. False: there was none."""

    def pin(self, profile_id: str, on: bool) -> bool:
        """Keeps ``profile_id`` for ever (``on``), or no longer. False: there is none of that id."""

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        """A step of retention, ``budget_seconds`` long: how many profiles were ``deleted``, ``bytes`` that are left."""

    def contents(self) -> dict[str, int]:
        """``profiles`` that are listed, ``bytes`` that they take, and ``memory`` of this process that lists take."""

    def problem(self) -> str | None:
        """Why nothing can be stored; None: all is well."""

    # One that makes its rows out of blobs says so by ``reads_blobs = True``: the writer gives it no summary in ``row``.
    # A store that counts all requests has two more: ``put_numbers(first_s, last_s, table, source, again)``, which the
    # writer calls once a minute, and ``numbers(...)``, as DirectoryStore documents them. One that is better given many
    # at once has ``put_many(profiles)``: (row, blob) of each; what it raises says how many were ``lost``; and
    # ``known(ids)``: which of them it has. One that has something to do later has ``tend()``: does it, and says in how
    # many seconds it wants to be called again (None: not).
    # ``count(query, most)``: how many rows a list has on all its pages, at most ``most``.
    # One whose numbers and trees can be moved: ``identity()``, 16 bytes that are its own wherever it lies (None: it has
    # none); ``counted()`` and ``gathered()``, all of them, its own and those that came from others; ``put_counted()``
    # and ``put_gathered()`` of one, which set what is known of that origin and time if it is more than was there
    # (False: it is not, or this store is the origin itself).
    # ``name`` is what processes of this host call the store, and ``shown`` what people read: no password is in it.

    def everything(self) -> Iterator[Stored]:
        """All profiles, oldest stored first, in bounded memory."""

    def close(self) -> None:
        """Lets go of files and connections; the next use opens them again."""


def each_row(store: Store, query: Query) -> Iterator[dict[str, Any]]:
    """All rows of a query, page after page of ``query.limit`` rows, each read when it is reached.

    :raises StoreError: as ``list`` does.
    """
    while True:
        page = store.list(query)
        yield from page.rows
        if page.next is None:
            return
        query = replace(query, cursor=page.next)
