"""Spans: what the application names, in both modes, wherever the work of a request runs."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.cli import main
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, record, wsgi_call

MODES = [False, True] if sys.platform == "linux" else [False]


@pytest.fixture(params=MODES, ids=["deterministic", "sampling"][: len(MODES)])
def sampled(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def spans_of(call: Callable[[], object], sampled: bool) -> dict[str, tuple[int, int]]:
    """Runs ``call`` as a request: kind -> how many, and their ns."""
    recording = _core.Recording(sampled=sampled)
    recording.enter()
    try:
        call()
    finally:
        recording.leave()
        recording.finish()
    spans: dict[str, tuple[int, int]] = recording.totals()["spans"]
    recording.discard()
    return spans


def spans_of_async(app: Callable[[], Awaitable[object]], sampled: bool) -> dict[str, tuple[int, int]]:
    async def main() -> _core.Recording:
        recording = _core.Recording(sampled=sampled, follows=True)
        try:
            await recording.step(app())
        finally:
            recording.finish()
        return recording

    recording = asyncio.run(main())
    spans: dict[str, tuple[int, int]] = recording.totals()["spans"]
    recording.discard()
    return spans


def counts(spans: dict[str, tuple[int, int]]) -> dict[str, int]:
    return {kind: count for kind, (count, _) in spans.items()}


def test_a_context_manager(sampled: bool) -> None:
    def view() -> None:
        for _ in range(3):
            with slowlens.span("SELECT 1", kind="db") as entered:
                assert isinstance(entered, slowlens.span)
        with slowlens.span("charge card", kind="payment", amount=3):
            pass

    assert counts(spans_of(view, sampled)) == {"db": 3, "custom": 1}


def test_outside_of_requests_it_does_nothing() -> None:
    with slowlens.span("nobody looks"):
        pass
    assert spans_of(lambda: None, False) == {}


def test_an_exception_passes(sampled: bool) -> None:
    def view() -> None:
        with pytest.raises(KeyError), slowlens.span("x", "http"):
            raise KeyError("x")

    assert counts(spans_of(view, sampled)) == {"http": 1}


@pytest.mark.parametrize("arguments", [(3,), ("x", 5), (None,)])
def test_wrong_arguments(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        slowlens.span(*arguments)


def test_functions(sampled: bool) -> None:
    @slowlens.span("fib", kind="custom")
    def fib(n: int) -> int:
        """Of n."""
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    class Shop:
        @slowlens.span("sell")
        def sell(self) -> str:
            return "sold"

        @slowlens.span("open")
        @staticmethod
        def open() -> str:
            return "open"

    @slowlens.span("rows")
    def rows() -> Iterator[int]:
        yield 1
        yield 2

    def view() -> None:
        assert fib(3) == 2
        assert (Shop().sell(), Shop.open()) == ("sold", "open")
        assert list(rows()) == [1, 2]

    assert fib.__doc__ == "Of n."
    assert counts(spans_of(view, sampled)) == {"custom": 5 + 3}


def test_generators_that_overlap() -> None:
    @slowlens.span("rows")
    def rows() -> Iterator[int]:
        yield 1

    def view() -> None:
        first, second = rows(), rows()
        assert (next(first), next(second)) == (1, 1)
        assert list(first) == list(second) == []

    assert counts(spans_of(view, False)) == {"custom": 2}


def test_coroutines(sampled: bool) -> None:
    @slowlens.span("load", kind="http")
    async def load(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @slowlens.span("stream", kind="file")
    async def stream() -> AsyncIterator[int]:
        for n in range(3):
            got = yield n
            assert got is None

    async def app() -> None:
        async with slowlens.span("all", kind="task") as entered:
            assert isinstance(entered, slowlens.span)
            assert await asyncio.gather(*map(load, range(4))) == [0, 1, 2, 3]
        assert [n async for n in stream()] == [0, 1, 2]

    assert asyncio.iscoroutinefunction(load)
    assert counts(spans_of_async(app, sampled)) == {"task": 1, "http": 4, "file": 1}


def test_an_async_exit_suppresses_nothing(sampled: bool) -> None:
    async def app() -> None:
        with pytest.raises(ZeroDivisionError):
            async with slowlens.span("x", "rpc"):
                raise ZeroDivisionError

    assert counts(spans_of_async(app, sampled)) == {"rpc": 1}


def test_executors_and_threads(sampled: bool) -> None:
    def job() -> None:
        with slowlens.span("q", "db"):
            pass

    def view() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: job(), range(5)))
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
        copied = contextvars.copy_context()
        other = threading.Thread(target=copied.run, args=(job,))
        other.start()
        other.join()

    async def app() -> None:
        await asyncio.gather(*(asyncio.to_thread(job) for _ in range(3)))

    found = counts(spans_of(view, sampled))
    if sys.version_info >= (3, 12):  # 3.11 tells of no work items
        assert found == {"db": 7}
    assert counts(spans_of_async(app, sampled)) == {"db": 3}


def test_greenlets(sampled: bool) -> None:
    greenlet = pytest.importorskip("greenlet")

    def green(n: int) -> None:
        with slowlens.span(f"green {n}", "http"):
            greenlet.getcurrent().parent.switch()

    def view() -> None:
        greens = [greenlet.greenlet(green) for _ in range(3)]
        for n, one in enumerate(greens):
            one.switch(n)
        for one in greens:
            one.switch()
        assert all(one.dead for one in greens)

    assert counts(spans_of(view, sampled)) == {"http": 3}


def test_added_when_over(sampled: bool) -> None:
    def view() -> None:
        _core.span_add("GET x", "http", 5_000_000)

    spans = spans_of(view, sampled)
    assert counts(spans) == {"http": 1}
    assert 4_900_000 <= spans["http"][1] <= 5_100_000


def test_it_holds_nothing() -> None:
    class Thing:
        pass

    thing = Thing()
    weak = weakref.ref(thing)

    def view() -> None:
        with slowlens.span("x", thing=weak()):
            pass
        never_left = slowlens.span("open", thing=weak())
        never_left.__enter__()
        del never_left

    spans_of(view, False)
    before = sys.getrefcount(_core.Span)
    spans = spans_of(view, False)
    del thing
    gc.collect()
    assert counts(spans) == {"custom": 2}
    assert weak() is None
    after = sys.getrefcount(_core.Span)  # not in the assertion, which holds what it asks about
    assert after == before


def test_left_after_its_request() -> None:
    open_ones = []

    def view() -> None:
        one = slowlens.span("late")
        one.__enter__()
        open_ones.append(one)

    assert counts(spans_of(view, False)) == {"custom": 1}
    open_ones[0].__exit__(None, None, None)
    assert spans_of(lambda: None, False) == {}




# ---- in the file ----

def asks() -> None:
    for number in range(150):
        with slowlens.span("SELECT 1", kind="db", number=number):
            pass


def asks_elsewhere() -> None:
    with slowlens.span("SELECT 1", kind="db"), slowlens.span("charge", kind="payment", amount=3):
        pass


def test_a_profile_tells_them_by_text_and_line(sampled: bool) -> None:
    recording = _core.Recording(sampled=sampled)
    recording.enter()
    asks()
    asks_elsewhere()
    recording.leave()
    recording.finish()
    profile = _core.Profile(recording.encode({"mode": "sampling" if sampled else "deterministic"}))
    told = json.loads(profile.spans())
    assert {one["kind"]: one["count"] for one in told["kinds"]} == {"db": 151, "payment": 1}
    assert (told["lost"], told["count"]) == (0, 3)
    rows = {(row["text"], row["function"]["name"]): row for row in told["rows"]}
    many = rows["SELECT 1", "asks"]
    assert many["count"] == 150 and many["line"] == asks.__code__.co_firstlineno + 2
    assert many["function"]["file"] == __file__ and many["in"]["name"] == "asks"
    assert many["longest_ns"] <= many["outer_ns"] == many["total_ns"]
    assert rows["charge", "asks_elsewhere"]["line"] == asks_elsewhere.__code__.co_firstlineno + 1
    # In quanta; of each text, as the recording itself counted them.
    kept = {(kind, text): (count, total) for kind, text, _, count, total, _ in recording.spans()
            if text == "charge"}
    assert kept["payment", "charge"][0] == 1
    firsts = [one for one in told["firsts"] if one["detail"].startswith("number=")]
    assert [one["detail"] for one in firsts] == [f"number={number}" for number in range(64)], "the first of a row"
    begins = [one["from_ns"] for one in firsts]
    assert begins == sorted(begins) and begins[-1] < told["wall_ns"]
    assert json.loads(_core.Profile(recording.encode({})).spans(1))["rows"] == told["rows"][:1]


def test_damaged_spans_are_refused_or_read() -> None:
    recording = _core.Recording()
    recording.enter()
    asks_elsewhere()
    recording.leave()
    recording.finish()
    blob = recording.encode({})
    for at in range(len(blob) // 2, len(blob)):
        damaged = blob[:at] + bytes([blob[at] ^ 0x55]) + blob[at + 1:]
        try:
            json.loads(_core.Profile(damaged).spans())
        except _core.CorruptError:
            pass


def test_metadata_and_show_say_how_many(store_path: str, sampled: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for number in range(3):
            with slowlens.span("SELECT 1", kind="db", number=number):
                pass
        start_response("200 OK", [])
        return [b"ok"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling" if sampled else "deterministic", keep="all",
                                    log=False)
    wsgi_call(middleware)
    assert middleware.recorder.writer.flush(10)
    (row,) = Stored(middleware.recorder).rows()
    data = middleware.recorder.store.get(row["id"])
    assert data is not None
    meta = json.loads(_core.read_meta(data))["meta"]
    assert meta["db_count"] == 3 and 0 < meta["db_ns"] < meta["wall_ns"] and "http_count" not in meta
    assert main(["--store", store_path, "show", "last"]) == 0
    assert "asked for: 3 queries" in capsys.readouterr().out


def test_repeats_of_a_sampled_profile_are_what_was_asked_for() -> None:
    recording = _core.Recording(sampled=True) if sys.platform == "linux" else _core.Recording()
    recording.enter()
    asks()
    recording.leave()
    recording.finish()
    told = json.loads(_core.Profile(recording.encode({"mode": "sampling"})).repeats())
    assert told["exact"] is False
    (row,) = told["rows"]
    assert (row["text"], row["calls"], row["caller"]["name"]) == ("SELECT 1", 150, "asks")
    assert row["call_line"] == asks.__code__.co_firstlineno + 2


def test_a_profile_within_another_is_a_span_of_it(store_path: str, sampled: bool) -> None:
    @slowlens.profile("nightly")
    def nightly() -> None:
        pass

    @slowlens.profile("import")
    async def imports() -> None:
        await asyncio.sleep(0)

    outer = slowlens.profile("outer", store=store_path, mode="sampling" if sampled else "deterministic", log=False)

    @outer
    async def work() -> None:
        with slowlens.profile("charge card"):
            nightly()
        async with slowlens.profile("send mail"):
            await imports()

    asyncio.run(work())
    assert outer.flush(10)
    (row,) = outer.store.list(Query()).rows
    profile = _core.Profile(outer.store.get(row["id"]))
    texts = {row["text"] for row in json.loads(profile.spans())["rows"] if row["kind"] == "profile"}
    assert texts == {"charge card", "nightly", "send mail", "import"}
    tree = profile.text().decode()
    assert all(f"[profile] {text}" in tree for text in texts)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no local events")
def test_the_time_of_an_event_is_that_of_its_thread() -> None:
    """What an action drops may have a destructor, in which another thread goes on: its queries take their own time."""
    dropping, done = threading.Event(), threading.Event()

    class Callback:
        def __call__(self) -> None:
            handles.pop().cancel()  # which has ours the last reference

        def __del__(self) -> None:
            dropping.set()
            done.wait(10)

    async def app() -> None:
        handles.append(asyncio.get_running_loop().call_soon(Callback()))
        await asyncio.sleep(0.01)

    def view() -> None:
        connection = sqlite3.connect(":memory:")
        connection.create_function("nap", 1, time.sleep)
        assert dropping.wait(10)
        for _ in range(3):
            connection.execute("SELECT nap(0.02)").fetchall()
        done.set()
        connection.close()

    handles: list[asyncio.Handle] = []
    recordings: list[_core.Recording] = []
    thread = threading.Thread(target=lambda: recordings.append(record(view)))
    thread.start()
    record(lambda: asyncio.run(app()), follows=True)  # the loop's own functions are the request's, and have events
    thread.join()
    count, took = recordings[0].totals()["spans"]["db"]
    assert count >= 3 and took >= 0.059e9
