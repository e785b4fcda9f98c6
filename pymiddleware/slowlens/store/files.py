"""A store over single ``.slowlens`` files, read-only: ``slowlens serve FILE...``."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import Any

from .. import _core
from ..request import ID, new_id
from .directory import _INSERT, _SCHEMA, DirectoryStore, row_of
from .interface import StoreError

__all__ = ["FileStore"]


class FileStore(DirectoryStore):
    """The files' own metadata, in an index in memory.

    :raises StoreError: a file that cannot be read or is no profile.
    """

    def __init__(self, paths: list[str]) -> None:
        super().__init__(os.path.dirname(os.path.abspath(paths[0])))
        self._paths: dict[str, str] = {}
        self._memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._memory.row_factory = sqlite3.Row
        for statement in _SCHEMA:
            self._memory.execute(statement)
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
            profile_id = new_id(meta.get("started") or 0)
        meta["id"] = profile_id
        self._paths[profile_id] = path
        self._memory.execute(_INSERT, row_of(meta, len(blob), summary["hot_text"]))

    def _connection(self) -> sqlite3.Connection:
        return self._memory

    def get(self, profile_id: str) -> bytes | None:
        path = self._paths.get(profile_id)
        if path is None:
            return None
        with open(path, "rb") as file:
            return file.read()

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        raise StoreError("single files are shown, not written")

    def delete(self, profile_id: str) -> bool:
        raise StoreError("single files are shown, not deleted")

    def pin(self, profile_id: str, on: bool) -> bool:
        raise StoreError("single files are shown, not kept")

    def gc(self, budget_seconds: float = 0.05) -> dict[str, int]:
        return {"deleted": 0, "kept": len(self._paths), "bytes": 0}

    def problem(self) -> str | None:
        return None
