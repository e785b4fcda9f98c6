"""The interface of a store: eight methods. Rows are plain dicts of metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

__all__ = ["COLUMNS", "SORTS", "TREND", "Page", "Query", "RouteStats", "Store", "StoreError"]


class StoreError(Exception):
    """The store cannot do what was asked, in one sentence."""


#: What a row of a list holds: metadata of the profile, ``bytes`` (of the blob), ``hot`` (path),
#: ``tags`` (lines of ``key=value``).
#: A store adds ``pinned``: kept for ever.
COLUMNS = (
    "id", "started", "wall_ns", "cpu_ns", "await_ns", "waiting_ns", "method", "path", "route",
    "status", "mode", "calls", "c_calls", "bytes", "kept", "flags", "hot", "framework", "host", "pid", "tags",
)

#: Parts of a route's trend.
TREND = 12

#: Columns a list can be sorted by; ``-`` before one means falling.
SORTS = ("started", "wall_ns", "cpu_ns", "waiting_ns", "bytes", "calls", "status", "method", "route", "mode")


@dataclass(frozen=True)
class Query:
    """Which rows, in which order. ``cursor`` is what the page before gave as ``next``."""

    sort: str = "-started"
    route: str | None = None
    method: str | None = None
    status: str | None = None  # "404", a class as "5xx", or "error"
    mode: str | None = None
    min_ns: int | None = None
    since: int | None = None  # Unix ns
    until: int | None = None
    text: str | None = None  # in path, route or hot path
    tag: str | None = None  # "key", or "key=value"
    limit: int = 50
    cursor: str | None = None


@dataclass
class Page:
    """Some rows, and where to go on (None: that was all)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None


class RouteStats(TypedDict):
    """One route, over what is stored of it. Times in ns, ``error_share`` 0 to 1."""

    route: str
    method: str
    count: int
    p50: int
    p95: int
    p99: int
    max: int
    total: int
    error_share: float
    worst: str  # id of the slowest
    trend: list[int]  # medians over the stored time in TREND parts; 0: none in that part


class Store(Protocol):
    """Implementations are used by several threads and processes at once."""

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        """Stores one profile. :raises StoreError: it is not stored."""

    def get(self, profile_id: str) -> bytes | None:
        """The blob of a profile; None: there is none of that id."""

    def list(self, query: Query) -> Page:
        """A page of rows. :raises StoreError: a sort or cursor that makes no sense."""

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        """All routes, or the methods of one, most total time first."""

    def delete(self, profile_id: str) -> bool:
        """False: there was none."""

    def pin(self, profile_id: str, on: bool) -> bool:
        """Keeps a profile for ever, or no longer. False: there is none of that id."""

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        """One bounded step of retention, if nobody else is at it. What it did and what is there."""

    def problem(self) -> str | None:
        """Why nothing can be stored; None: all is well."""
