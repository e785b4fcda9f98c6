"""An app whose profiles go to PostgreSQL, and every command on them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slowlens.cli import main
from slowlens.store.postgres import PostgresStore
from slowlens.store.postgres.connections import Place
from slowlens.wsgi import ProfilerMiddleware

from cluster import Server
from programs import fib
from store_contract import fill

LOCAL = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
         "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "SCRIPT_NAME": "", "QUERY_STRING": ""}


def app(environ: Any, start_response: Any) -> list[bytes]:
    fib(5)
    start_response("200 OK", [])
    return [b"ok"]


def call(middleware: Any, path: str) -> bytes:
    body = middleware({"REQUEST_METHOD": "GET", "PATH_INFO": path, **LOCAL}, lambda status, headers, info=None: None)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


@pytest.fixture
def url(server: Server, schema: str, tmp_path: Path) -> str:
    return server.url(schema=schema, waiting=str(tmp_path / "waiting"))


def test_a_request_ends_in_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = ProfilerMiddleware(app, store=url, debug=True)
    recorder = middleware.recorder
    batches: list[int] = []
    put_many = recorder.store.put_many
    monkeypatch.setattr(recorder.store, "put_many", lambda batch: (batches.append(len(batch)), put_many(batch)))
    for i in range(40):
        assert call(middleware, f"/page/{i}") == b"ok"
    assert recorder.writer.flush(30)
    assert sum(batches) == 40
    counters = recorder.counters()
    assert (counters["stored"], counters["failed"], counters["dropped"]) == (40, 0, 0)
    listed = json.loads(call(middleware, "/__slowlens__/api/requests"))
    assert len(listed["requests"]) == 40 and listed["mark"]
    routes = json.loads(call(middleware, "/__slowlens__/api/routes"))
    assert routes["all_requests"] and sum(row["count"] for row in routes["routes"]) == 40
    one = listed["requests"][0]["id"]
    assert json.loads(call(middleware, f"/__slowlens__/api/requests/{one}"))
    assert json.loads(call(middleware, "/__slowlens__/api/status"))["problem"] is None
    recorder.store.close()


def test_a_database_that_stands_still_delays_no_request(
        own_server: Server, schema: str, tmp_path: Path) -> None:
    """Its processes are stopped: connections are open and nothing answers. What does not fit is counted."""
    url = own_server.url(schema=schema, waiting=str(tmp_path / "waiting"))
    middleware = ProfilerMiddleware(app, store=url, debug=True)
    recorder = middleware.recorder
    call(middleware, "/first")
    assert recorder.writer.flush(30)
    with psycopg.connect(Place(url).conninfo, autocommit=True) as connection:
        pids = [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
    pids.append(int((own_server.folder / "data" / "postmaster.pid").read_text().split()[0]))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for i in range(600):
            assert call(middleware, f"/page/{i}") == b"ok"
        assert recorder.counters()["stored"] == 1, "the database did stand still"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert recorder.writer.flush(60)
    counters = recorder.counters()
    assert counters["dropped"] > 0 and counters["failed"] == 0
    assert counters["stored"] + counters["dropped"] == 601
    store = PostgresStore(url)
    assert store.contents()["profiles"] == counters["stored"]
    store.close()
    recorder.store.close()


def test_an_app_without_its_database_goes_on(own_server: Server, schema: str, tmp_path: Path) -> None:
    """Also from the start; and what waits is sent on without another request."""
    own_server.stop()
    url = own_server.url(schema=schema, waiting=str(tmp_path / "waiting"))
    middleware = ProfilerMiddleware(app, store=url, debug=True)
    for i in range(5):
        assert call(middleware, f"/page/{i}") == b"ok"
    assert middleware.recorder.writer.flush(30)
    status = json.loads(call(middleware, "/__slowlens__/api/status"))
    assert "5 profiles wait" in status["problem"]
    assert "error" in json.loads(call(middleware, "/__slowlens__/api/requests"))
    own_server.start()
    store = PostgresStore(url)
    deadline = time.monotonic() + 100
    while store.contents()["profiles"] < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.contents()["profiles"] == 5 and store.contents()["waiting"] == 0
    assert sum(row["count"] for row in store.numbers()["rows"]) == 5
    store.close()
    middleware.recorder.store.close()


# ---- commands ----

def test_list_show_delete(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = PostgresStore(url)
    ids = fill(store, 4)
    assert main(["list", "--store", url, "--json", "--host", "web-1"]) == 0
    assert {row["id"] for row in json.loads(capsys.readouterr().out)} == {ids[1], ids[3]}
    assert main(["list", "--store", url, "--routes"]) == 0
    assert "/r/0" in capsys.readouterr().out
    assert main(["show", "slowest", "--store", url]) == 0
    assert "/p/3" in capsys.readouterr().out
    assert main(["delete", ids[0], "--store", url]) == 0
    assert main(["delete", ids[0], "--store", url]) == 2
    assert main(["merge", url, "-o", os.devnull]) == 0
    store.close()


@pytest.mark.parametrize("to", ["folder", "schema"])
def test_copy_there_and_back(to: str, url: str, server: Server, schema: str, tmp_path: Path,
                             capsys: pytest.CaptureFixture[str]) -> None:
    store = PostgresStore(url)
    ids = fill(store, 30)
    store.pin(ids[3], True)
    other = str(tmp_path / "folder") if to == "folder" else server.url(schema=schema + "_other")
    back = server.url(schema=schema + "_back")
    for source, target in ((url, other), (other, back)):
        assert main(["copy", source, target, "--json"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert (done["copied"], done["known"]) == (30, 0)
        assert main(["copy", source, target, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["known"] == 30
    again = PostgresStore(back)
    assert [(one.row, one.blob) for one in again.everything()] == [(one.row, one.blob) for one in store.everything()]
    again.close()
    store.close()


def test_copy_says_when_the_target_is_away(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To a store that would keep them waiting on this host nothing is called copied."""
    store = PostgresStore(url)
    fill(store, 2)
    away = f"postgresql:///none?host={tmp_path}&waiting={tmp_path / 'w'}"
    assert main(["copy", url, away]) == 2
    assert "connection" in capsys.readouterr().err
    store.close()


def test_list_is_told_of_what_is_stored(
        url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    store, told = PostgresStore(url), []
    fill(store, 2)
    real = PostgresStore.changes

    def changes(self: PostgresStore, seconds: float) -> Any:
        if told:
            raise KeyboardInterrupt
        timer = threading.Timer(0.1, lambda: ids.extend(fill(store, 1, first=9)))
        timer.start()
        while not told:
            told.extend(real(self, 2))
            if not told:  # it was stored before anybody listened
                ids.extend(fill(store, 1, first=9))
        timer.join()
        return told

    ids: list[str] = []
    monkeypatch.setattr(PostgresStore, "changes", changes)
    assert not main(["list", "--follow", "--store", url])
    out = capsys.readouterr().out
    assert ids[0] in out and out.count("/p/9") == len(ids)
    store.close()


def test_gc_and_doctor(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = PostgresStore(url)
    fill(store, 3)
    fill(store, 2, started=time.time_ns() - 40 * 86400 * 10**9)
    assert main(["gc", "--store", url, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["deleted"], done["profiles"]) == (2, 3)
    assert main(["gc", "--store", url]) == 0
    capsys.readouterr()
    main(["doctor", "--store", url, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["store"] == PostgresStore(url).shown and report["contents"]["profiles"] == 3
    assert not any("store" in finding for finding in report["findings"])
    store.close()


def test_serve(url: str) -> None:
    store = PostgresStore(url)
    ids = fill(store, 3)
    process = subprocess.Popen([sys.executable, "-m", "slowlens", "serve", "--store", url, "--port", "0"],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        with urllib.request.urlopen(found[0] + "api/requests?host=web-1", timeout=30) as answer:
            assert [row["id"] for row in json.load(answer)["requests"]] == [ids[1]]
        with urllib.request.urlopen(found[0] + f"api/requests/{ids[2]}/tree", timeout=30) as answer:
            assert json.load(answer)["rows"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        store.close()
