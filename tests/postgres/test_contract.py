"""The PostgreSQL store does what every store must do, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slowlens.store import Store
from slowlens.store.postgres import PostgresStore

from cluster import Server
from store_contract import StoreContract


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: Server, schema: str) -> Iterator[None]:
        self._url: Callable[..., str] = server.url
        self._schema = schema
        self._opened: list[PostgresStore] = []
        yield
        for store in self._opened:
            store.close()

    def open(self, place: Path) -> Store:
        name = self._schema + (f"_{place.name}" if place.name in ("other", "third") else "")
        self._opened.append(PostgresStore(self._url(schema=name, waiting=str(place / "waiting"))))
        return self._opened[-1]
