"""Trees of all requests in the database: stored by several processes, read in one moment, made fewer and let go."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slowlens.insight import windows
from slowlens.store import StoreError
from slowlens.store.postgres import PostgresStore
from slowlens.store.postgres import windows as rows
from slowlens.store.windows import SLOT_MS, WHOLE_MS, Tree, pack
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from cluster import Server
from store_contract import profile

LOCAL = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
         "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "SCRIPT_NAME": "", "QUERY_STRING": ""}

Open = Callable[..., PostgresStore]


def slice_of(route: str = "/p", requests: int = 3, release: str = "a") -> bytes:
    meta = {"route": route, "method": "GET", "mode": "deterministic", "release": release, "merged": 1,
            "requests": requests, "started": 5, "until": 9}
    return pack([Tree(meta, profile(1)[1])])


def count(server: Server, schema: str) -> int:
    with psycopg.connect(server.url()) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {schema}.windows").fetchone()[0])  # type: ignore[index]


def test_what_several_processes_stored_is_one(open_store: Open) -> None:
    now = int(time.time() * 1000)
    one, other = open_store(), open_store()
    one.put_window(now - 5000, now - 4000, slice_of(requests=3))
    other.put_window(now - 5000, now - 3000, slice_of(requests=4))
    other.put_window(now - 90_000, now - 80_000, slice_of("/q"))
    assert windows.merged(one, 60, route="/p").meta["requests"] == 7
    assert windows.merged(other, 600).meta["requests"] == 10
    assert [window.meta["route"] for window in windows.by_route(one, 600)] != []
    with pytest.raises(windows.NoWindows):
        windows.merged(one, 60, route="/none")


def test_old_ones_of_ten_minutes_become_one_and_the_oldest_go(open_store: Open, server: Server, schema: str) -> None:
    store = open_store()
    now = int(time.time() * 1000)
    old = now - WHOLE_MS - 3 * SLOT_MS
    old -= old % SLOT_MS
    for at in (old + 1000, old + 2000, old + 3000, now):
        store.put_window(at - 500, at, slice_of(requests=2))
    store.gc()
    assert count(server, schema) == 2
    assert windows.merged(store, 0, route="/p").meta["requests"] == 8
    store.gc()
    assert count(server, schema) == 2
    with psycopg.connect(server.url(), autocommit=True) as connection:
        rows.tend(connection, schema, 1 << 30, 60, now + 1000)
        assert count(server, schema) == 1, "too old"
        rows.tend(connection, schema, 10, 0)
        assert count(server, schema) == 0, "too much"


def test_whether_there_is_one_is_known_without_reading_any(
    open_store: Open, monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store()
    monkeypatch.setattr(rows, "read", lambda *args: pytest.fail("slices were read"))
    viewer = Viewer(store, None)
    assert not viewer._gathers(), "there is no table yet"
    now = int(time.time() * 1000)
    store.put_window(now - 3 * 86_400_000, now - 2 * 86_400_000, slice_of())
    assert not viewer._gathers(), "of the last day"
    store.put_window(now - 5000, now - 4000, slice_of())
    assert viewer._gathers()


def test_a_slice_that_is_refused_is_no_reason_to_wait(open_store: Open, server: Server, schema: str) -> None:
    store = open_store()
    with pytest.raises(StoreError, match="out of range"):
        store.put_window(1, 1 << 70, slice_of())
    assert store.trouble == ""
    store.put_window(1, 2, slice_of())
    assert count(server, schema) == 1


def test_a_database_that_is_away_is_said_and_costs_nothing_more(tmp_path: Path) -> None:
    store = PostgresStore(f"postgresql://127.0.0.1:1/none?waiting={tmp_path}")
    for _ in range(2):
        with pytest.raises(StoreError):
            store.put_window(1, 2, slice_of())
    store.close()


def test_an_app_gathers_into_it(open_store: Open, server: Server, schema: str, tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["slowlens.transaction"].seen.route = "/p"
        start_response("200 OK", [])
        return [b"x"]

    middleware = ProfilerMiddleware(app, store=server.url(schema=schema, waiting=str(tmp_path / "w")), mode="sampling",
                                    keep="error", log=False, continuous=True)
    for _ in range(5):
        list(middleware({**LOCAL, "REQUEST_METHOD": "GET", "PATH_INFO": "/p"}, lambda status, headers: None))
    assert middleware.recorder.writer.flush(20)
    assert windows.merged(open_store(), 600, route="/p").meta["merged"] >= 1
    middleware.recorder.writer.close()
