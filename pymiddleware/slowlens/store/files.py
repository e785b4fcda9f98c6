"""A store over single ``.slowlens`` files, read-only: ``slowlens serve FILE...``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .. import _core
from ..lock import Lock
from ..request import ID, new_id
from .interface import Page, Query, RouteStats, Stored, StoreError
from .rows import cursor_of, filters, route_stats

__all__ = ["FileStore"]


class FileStore:
    """The files' own metadata, in a table in memory.

    :raises StoreError: a file that cannot be read or is no profile.
    """

    def __init__(self, paths: list[str]) -> None:
        self._paths: dict[str, str] = {}
        self._rows = _core.Rows()
        self._lock = Lock()
        for path in paths:
            self._add(path)

    def _add(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                blob = file.read()
            summary = json.loads(_core.Profile(blob).summary())
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise StoreError(f"{path}: {error}") from None
        meta = summary["meta"]
        profile_id = meta.get("id")
        if not isinstance(profile_id, str) or not ID.match(profile_id) or profile_id in self._paths:
            started = meta.get("started")
            profile_id = new_id(started if isinstance(started, int) else 0)
        self._paths[profile_id] = path
        self._rows.add_blob(len(self._paths), blob, profile_id, str(summary["hot_text"]).encode("utf-8", "replace"))

    def get(self, profile_id: str) -> bytes | None:
        path = self._paths.get(profile_id)
        if path is None:
            return None
        with open(path, "rb") as file:
            return file.read()

    def list(self, query: Query) -> Page:
        wanted = filters(query)
        with self._lock:
            found = json.loads(self._rows.list(**wanted))
        rows: list[dict[str, Any]] = [{**row, "pinned": False} for row in found["rows"]]
        if query.stored_since is not None:
            return Page([], None, "files")  # nothing is ever added
        return Page(rows, cursor_of(wanted["sort"], rows[-1]) if found["more"] else None, "files")

    def count(self, query: Query, most: int) -> int:
        wanted = {**filters(query), "limit": 0}
        with self._lock:
            return min(most, int(json.loads(self._rows.list(**wanted))["count"]))

    def routes(self, route: str | None = None) -> Sequence[RouteStats]:
        text = None if route is None else route.encode("utf-8", "replace")
        with self._lock:
            return route_stats(self._rows.routes(text))

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        raise StoreError("single files are shown, not written")

    def delete(self, profile_id: str) -> bool:
        raise StoreError("single files are shown, not deleted")

    def pin(self, profile_id: str, on: bool) -> bool:
        raise StoreError("single files are shown, not kept")

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        return {"deleted": 0, "bytes": 0}

    def contents(self) -> dict[str, int]:
        with self._lock:
            return {"profiles": len(self._paths), "bytes": 0, "memory": self._rows.bytes}

    def problem(self) -> str | None:
        return None

    def everything(self) -> Iterator[Stored]:
        for profile_id in self._paths:
            blob = self.get(profile_id)
            if blob is not None:
                summary = json.loads(_core.Profile(blob).summary())
                yield Stored({**summary["meta"], "id": profile_id, "hot": summary["hot_text"]}, blob)

    def close(self) -> None:
        """Holds nothing."""
