"""What the tests of the PostgreSQL store share: a real server, and stores on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PY = Path(__file__).parent.parent / "py"
sys.path.insert(0, str(PY))

from slowlens import engine  # noqa: E402
from slowlens.store.postgres import PostgresStore  # noqa: E402

from cluster import Server, running  # noqa: E402

engine.prepare()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    yield from running()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """For tests that stop it."""
    yield from running()


_count = [0]


@pytest.fixture
def schema() -> str:
    _count[0] += 1
    return f"t{os.getpid()}_{_count[0]}"


@pytest.fixture
def open_store(server: Server, schema: str, tmp_path: Path) -> Iterator[Callable[..., PostgresStore]]:
    """Opens the store of this test, as another process would; all of them are closed at its end."""
    opened: list[PostgresStore] = []

    def open_it(name: str = "", **options: object) -> PostgresStore:
        url = server.url(schema=schema + name, waiting=str(tmp_path / "waiting"))
        opened.append(PostgresStore(url, **options))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
