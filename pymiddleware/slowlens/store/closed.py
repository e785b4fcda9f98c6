"""In place of a store that may not be used: says why, and keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .interface import Page, Query, RouteStats, Stored, StoreError

__all__ = ["ClosedStore"]


class ClosedStore:
    """Every use raises StoreError with the reason."""

    def __init__(self, root: str, why: str) -> None:
        self.root = root
        self._why = f"{why}: no profile is written there; set the option store to a folder of your own"

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        raise StoreError(self._why)

    def get(self, profile_id: str) -> bytes | None:
        raise StoreError(self._why)

    def list(self, query: Query) -> Page:
        raise StoreError(self._why)

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        raise StoreError(self._why)

    def delete(self, profile_id: str) -> bool:
        raise StoreError(self._why)

    def pin(self, profile_id: str, on: bool) -> bool:
        raise StoreError(self._why)

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        return {"deleted": 0, "kept": 0, "bytes": 0}

    def problem(self) -> str | None:
        return self._why

    def everything(self) -> Iterator[Stored]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""
