"""Numbers of all requests: each equal to what was sent, whatever is kept."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.options import load
from slowlens.store import Query, open_store
from slowlens.store.directory import DirectoryStore
from slowlens.store.numbers import HOUR, Hours, split
from slowlens.wsgi import ProfilerMiddleware

from conftest import record

ERROR = 0.022


def environ(path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "wsgi.url_scheme": "http",
            "SERVER_NAME": "x", "SERVER_PORT": "1", **more}


def app(env: dict[str, Any], start_response: Any) -> list[bytes]:
    env["slowlens.transaction"].seen.route = env["PATH_INFO"]
    time.sleep(env.get("seconds", 0))
    start_response(env.get("status", "200 OK"), [])
    return [b"xyz"]


def nearest(values: list[int], share: float) -> int:
    """The value that this share of all is at or below."""
    values = sorted(values)
    exact = share * len(values)
    return values[max(0, int(exact) + (exact > int(exact)) - 1)]


def close(found: int, true: int) -> bool:
    return abs(found - true) <= ERROR * true + 1


def test_every_request_counts_whatever_is_kept(store_path: str) -> None:
    """As in production: nothing is kept but the slow ones, and the route's numbers are those of all."""
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", log=False, keep="error")
    for number in range(520):
        status = "500 x" if number % 104 == 103 else "200 OK"
        list(middleware(environ("/p", seconds=0.02 if number % 26 == 25 else 0, status=status), lambda *a: None))
    list(middleware(environ("/p", "POST"), lambda *a: None))
    assert middleware.recorder.writer.flush(20)
    store = middleware.recorder.store
    get, post = store.routes()
    assert (get["route"], get["method"], get["count"]) == ("/p", "GET", 520)
    assert (post["method"], post["count"]) == ("POST", 1)
    assert get["error_share"] == 5 / 520
    assert get["sums"]["response_bytes"] == 520 * 3 and get["sums"]["kept"] == 5
    assert get["p50"] < 20e6 * 0.9 < get["p99"] and get["total"] >= 20 * 20e6
    assert sum(get["counts"]) == 520
    assert len(store.list(Query()).rows) == 5
    assert [one["method"] for one in store.routes("/p")] == ["GET", "POST"] and store.routes("/q") == []


def test_percentiles_are_those_of_what_was_sent(store_path: str) -> None:
    """Of recordings whose times are known: each quantile within 2.2 %, the count and the sums exact."""
    numbers = _core.Numbers(60, "r1", "h1")
    walls, cpus = [], []
    for number in range(400):
        recording = _core.Recording("none", sampled=True)
        recording.enter()
        total = sum(range(number * 20))
        assert total >= 0
        recording.leave()
        recording.finish()
        walls.append(recording.wall_ns)
        cpus.append(recording.cpu_ns)
        numbers.add(recording, "/x", "GET", False, False, 0)
        recording.discard()
    taken = numbers.take()
    assert taken is not None and numbers.take() is None
    store = DirectoryStore(store_path)
    store.put_numbers(*taken)
    (row,) = store.numbers(apart=15)["rows"]
    assert (row["count"], row["wall_ns"], row["cpu_ns"], row["max_ns"]) == (400, sum(walls), sum(cpus), max(walls))
    assert (row["release"], row["host"]) == ("r1", "h1")
    for share, key in ((0.5, "p50_ns"), (0.9, "p90_ns"), (0.95, "p95_ns"), (0.99, "p99_ns")):
        assert close(row[key], nearest(walls, share)), key
    assert close(row["cpu_p50_ns"], nearest(cpus, 0.5))


@pytest.mark.parametrize("sampled", [False, True], ids=["deterministic", "sampled"])
def test_the_collectors_time_is_summed(sampled: bool) -> None:
    """As the profiles say it that have a tree, without a look at any."""
    class Slow:
        def __del__(self) -> None:
            sum(range(2000))

    def program() -> None:
        for _ in range(4):
            heap: list[Any] = [[Slow()] for _ in range(3_000)]
            heap.append(heap)
            del heap
            gc.collect()

    numbers, expected = _core.Numbers(60), 0
    deadline = time.monotonic() + 60
    while expected == 0 and time.monotonic() < deadline:  # until a sample met the collector
        recording = record(program, sampled=sampled)
        expected += recording.totals()["gc_ns"]
        numbers.add(recording, "/x", "GET", False, False, 0)
    found = json.loads(numbers.report())["rows"][0]["sums"]["gc_ns"]
    assert expected > 0 and abs(found - expected) <= 1 + expected // 1000


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_what_requests_ask_others_for_is_summed(store_path: str, mode: str) -> None:
    """Of all requests, kept or not: queries, requests to others, templates."""
    def asks(env: dict[str, Any], start_response: Any) -> list[bytes]:
        for _ in range(7):
            with slowlens.span("a query", kind="db"):
                pass
        with slowlens.span("a page", kind="template"), slowlens.span("its part", kind="template"):
            time.sleep(0.001)
        return app(env, start_response)

    middleware = ProfilerMiddleware(asks, store=store_path, mode=mode, log=False, keep="error")
    for _ in range(5):
        list(middleware(environ("/r"), lambda *a: None))
    assert middleware.recorder.writer.flush(20)
    (row,) = middleware.recorder.store.routes()
    sums = row["sums"]
    assert (sums["db_count"], sums["template_count"], sums.get("http_count", 0)) == (35, 10, 0)
    assert 5_000_000 <= sums["template_ns"] <= row["total"] and 0 < sums["db_ns"] < sums["template_ns"]


def table(count: int, route: str = "/x", release: str = "") -> bytes:
    numbers = _core.Numbers(60, release)
    recording = _core.Recording("none", sampled=True)
    recording.finish()
    for _ in range(count):
        numbers.add(recording, route, "GET", False, False, 0)
    recording.discard()
    taken = numbers.take()
    assert taken is not None
    return taken[2]


def counts(store: DirectoryStore) -> dict[str, int]:
    return {row["route"]: row["count"] for row in store.numbers()["rows"]}


def test_each_record_is_added_once_whoever_adds_and_whenever_it_is_killed(store_path: str) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    for number in range(5):
        store.put_numbers(now, now, table(number + 1))
        assert counts(store) == {"/x": sum(range(number + 2))}
        assert counts(DirectoryStore(store_path)) == counts(store)
    folder = Path(store_path, "numbers")
    (folder / "read.json").unlink()  # killed between the hour and this: all is read again, and known
    assert counts(store) == {"/x": 15}
    (folder / "read.json").write_text("nonsense")
    assert counts(store) == {"/x": 15}
    (folder / f".{now // HOUR}.sln.tmp").write_bytes(b"half of it")
    assert counts(store) == {"/x": 15}


def test_processes_count_into_one_table(store_path: str) -> None:
    program = """
import sys
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    environ["slowlens.transaction"].seen.route = "/r"
    start_response("200 OK", [])
    return [b""]
middleware = ProfilerMiddleware(app, store=sys.argv[1], mode="sampling", keep="error", log=False)
for n in range(250):
    list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/r", "QUERY_STRING": "", "wsgi.url_scheme": "http",
                     "SERVER_NAME": "x", "SERVER_PORT": "1"}, lambda *a: None))
    if n % 50 == 49:
        assert middleware.recorder.writer.flush(20)
        middleware.recorder.store.routes()
"""
    running = [subprocess.Popen([sys.executable, "-c", program, store_path],
                                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) for _ in range(4)]
    assert [one.wait(120) for one in running] == [0] * 4
    assert counts(DirectoryStore(store_path)) == {"/r": 1000}


def test_what_is_counted_at_the_end_of_a_process_is_stored(store_path: str) -> None:
    program = """
import sys
from slowlens.wsgi import ProfilerMiddleware
middleware = ProfilerMiddleware(lambda e, s: [b""], store=sys.argv[1], mode="sampling", keep="error", log=False)
for n in range(7):
    list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/r", "QUERY_STRING": "", "wsgi.url_scheme": "http",
                     "SERVER_NAME": "x", "SERVER_PORT": "1"}, lambda *a: None))
"""
    subprocess.run([sys.executable, "-c", program, store_path], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert sum(counts(DirectoryStore(store_path)).values()) == 7


def test_a_forked_child_counts_its_own(store_path: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", log=False, keep="error")
    for _ in range(3):
        list(middleware(environ("/p"), lambda *a: None))
    pid = os.fork()
    if pid == 0:
        try:
            list(middleware(environ("/p"), lambda *a: None))
            os._exit(0 if middleware.recorder.writer.flush(20) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert middleware.recorder.writer.flush(20)
    assert counts(DirectoryStore(store_path)) == {"/p": 4}


def test_numbers_outlive_the_segments_they_came_in(store_path: str) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    store.put_numbers(now, now, table(3))
    (segment,) = Path(store_path, "segments").glob("*.sls")
    fd = os.open(segment, os.O_RDONLY)
    for call in store.before_delete:
        call(int(segment.stem, 16), fd)
    os.close(fd)
    store.close()
    segment.unlink()
    again = DirectoryStore(store_path)
    assert counts(again) == {"/x": 3}
    again.put_numbers(now, now, table(4))  # into a segment of the same number
    assert counts(again) == {"/x": 7}


def test_a_table_of_two_hours_becomes_two_records() -> None:
    data = table(5)
    now = int(time.time())
    (one,) = split(now, now, data)
    assert one[1] == data
    (one,) = split(now - HOUR, now, data)  # of the hour before there is nothing in it
    assert int.from_bytes(one[0], "little") == now // HOUR


def test_a_reader_that_may_not_write_sees_all(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    store.put_numbers(now, now, table(3))
    assert counts(store) == {"/x": 3}
    store.put_numbers(now, now, table(2))

    def refuse(self: Hours) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(Hours, "add_up", refuse)
    assert counts(DirectoryStore(store_path)) == {"/x": 5}


def test_numbers_by_release_and_filtered(store_path: str) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    store.put_numbers(now, now, table(3, "/a", "one"))
    store.put_numbers(now, now, table(4, "/a", "two"))
    store.put_numbers(now, now, table(5, "/b", "two"))
    assert {row["release"]: row["count"] for row in store.numbers(apart=4)["rows"]} == {"one": 3, "two": 9}
    assert {row["route"]: row["count"] for row in store.numbers(release="two")["rows"]} == {"/a": 4, "/b": 5}
    assert store.numbers(until_s=now - 2 * HOUR)["rows"] == []


def test_what_cannot_be_stored_now_is_stored_later(store_path: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", log=False, keep="error")
    store = middleware.recorder.store
    real = store.put_numbers  # type: ignore[attr-defined]

    def full(*record: Any) -> None:
        raise OSError(28, "No space left on device")

    store.put_numbers = full  # type: ignore[attr-defined]
    list(middleware(environ("/p"), lambda *a: None))
    assert middleware.recorder.writer.flush(20)
    store.put_numbers = real  # type: ignore[attr-defined]
    list(middleware(environ("/p"), lambda *a: None))
    assert middleware.recorder.writer.flush(20)
    assert counts(DirectoryStore(store_path)) == {"/p": 2} and middleware.recorder.writer.uncounted == 0


def test_the_option_switches_it_off(store_path: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", log=False, keep="error", numbers=False)
    list(middleware(environ("/p"), lambda *a: None))
    assert middleware.recorder.writer.flush(20)
    assert open_store(load({"store": store_path})).routes() == []


def test_old_hours_go(store_path: str) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    for hours in (0, 1, 2, 24 * 500):
        store.put_numbers(now - hours * HOUR, now - hours * HOUR, table(1))
    assert counts(store) == {"/x": 4}
    store._hours.trim(1 << 30)
    assert len(store._hours.hours()) == 3
    store._hours.trim(5000)
    assert store._hours.hours() == [now // HOUR]


def test_damaged_numbers_are_no_crash(store_path: str) -> None:
    store = DirectoryStore(store_path)
    now = int(time.time())
    store.put_numbers(now, now, table(3))
    store.append(5, bytes(16), b"short", b"")
    store.append(5, bytes(16), (now // HOUR).to_bytes(8, "little"), json.dumps({}).encode())
    store.put_numbers(now, now, table(2))
    assert counts(store) == {"/x": 5}
    Path(store_path, "numbers", f"{now // HOUR}.sln").write_bytes(b"damaged")
    Path(store_path, "numbers", "read.json").unlink()
    assert counts(store) == {"/x": 5}  # made anew of the segments that are still there
