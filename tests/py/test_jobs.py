"""What a request hands to other threads is its work: a strand of it, in both modes, however short."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import operator
import sys
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.thread import BrokenThreadPool
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

from slowlens import _core

from conftest import functions, loops, patient, record, tree

# Without local events (3.11) only the hook of the deterministic engine sees work that changes threads.
MODES = (False, True) if sys.version_info >= (3, 12) else (False,)


def mode_of(sampled: bool) -> str:
    return "sampled" if sampled else "deterministic"


both = pytest.mark.parametrize("sampled", MODES, ids=mode_of)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds  # its own CPU, however busy the machine is: samples find it
    while time.thread_time() < end:
        pass


def below_threads(recording: _core.Recording) -> set[str]:
    """Names of all that runs in a [thread] or [task]."""
    report = tree(recording)
    by_node = {row["node"]: row for row in report["rows"]}
    found = set()
    for row in report["rows"]:
        at = row
        while at["node"] != 0 and at["name"] not in ("[thread]", "[task]"):
            at = by_node[at["parent"]]
        if at["node"] != 0:
            found.add(row["name"])
    return found


def names(recording: _core.Recording) -> set[str]:
    return {row["function"]["name"] for row in functions(recording)}


def in_pool() -> None:
    spin(0.03)


def in_thread() -> None:
    spin(0.03)


def in_context() -> None:
    spin(0.03)


class Worker(threading.Thread):
    def run(self) -> None:
        in_thread()


@both
def test_pools_and_threads_with_and_without_the_context(sampled: bool) -> None:
    def view() -> None:
        with ThreadPoolExecutor(2) as pool:
            pool.submit(in_pool).result()
            pool.submit(contextvars.copy_context().run, in_context).result()
        for thread in (threading.Thread(target=in_thread), Worker()):
            thread.start()
            thread.join()

    recording = record(view, sampled=sampled)
    found = below_threads(recording)
    assert {"in_pool", "Thread.run", "Worker.run", "[queued]"} <= found
    assert {"in_thread", "in_context"} <= names(recording)


def in_map(number: int) -> int:
    spin(0.01)
    return number


def in_callback(result: object) -> None:
    spin(0.02)


# 3.11 tells of no calls where they are made. Of what ends a worker's thread pytest warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("sampled", MODES if sys.version_info >= (3, 12) else (), ids=mode_of)
def test_pools_of_multiprocessing(sampled: bool) -> None:
    with ThreadPool(2) as pool:  # there before the request
        others = pool.map_async(in_thread_of_nobody, range(2))

        def view() -> None:
            assert pool.map(in_map, range(4), chunksize=2) == [0, 1, 2, 3]
            assert list(pool.imap_unordered(int, ["7"] * 3)) == [7] * 3
            assert pool.apply(in_pool) is None
            pool.apply_async(in_context, callback=in_callback).get()
            with pytest.raises(ZeroDivisionError):
                pool.apply(divmod, (1, 0))
            pool.apply_async(exits)  # and with it the worker's thread
            done = pool.map_async(in_map, range(2), callback=in_callback)
            assert done.get() == [0, 1]

        recording = record(view, sampled=sampled)
        others.wait()
    found = below_threads(recording)
    expected = {"in_map", "in_pool", "in_context", "in_callback", "[queued]"}
    assert expected <= found and "in_thread_of_nobody" not in names(recording)
    if not sampled:
        calls = {row["function"]["name"]: row["calls"] for row in functions(recording)}
        assert [calls[name] for name in ("in_map", "in_pool", "in_context", "in_callback", "exits")] == [6, 1, 1, 2, 1]
    assert recording.totals()["mended"] == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 tells of no calls where they are made")
def test_results_of_others_where_one_with_a_callback_lay() -> None:
    """A result is known by its address, and that by the next that lies there."""
    asked, answered = threading.Event(), threading.Event()
    with ThreadPool(1) as pool:
        def others() -> None:
            asked.wait()
            for _ in range(20):
                for one in [pool.apply_async(int) for _ in range(30)]:
                    one.get()
            answered.set()

        other = threading.Thread(target=others)
        other.start()

        def view() -> None:
            for _ in range(20):
                pool.apply_async(int, callback=in_result).get()
            pool.map_async(int, range(3), callback=in_result).get()
            asked.set()
            answered.wait()

        recording = record(view)
        other.join()
    calls = {row["function"]["name"]: row["calls"] for row in functions(recording)}
    assert calls["in_result"] == 21
    assert calls["_PoolCache.__delitem__"] == 21, "its own alone"


def in_result(result: object) -> None:
    pass


def in_thread_of_nobody(number: int) -> None:
    spin(0.005)


def exits() -> None:
    raise SystemExit


def in_initializer(number: int) -> None:
    spin(0.02)


def fails_to_initialize() -> None:
    spin(0.02)
    raise ValueError


@both
@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 tells of no calls where they are made")
def test_what_threads_of_a_pool_are_initialized_with(sampled: bool) -> None:
    def view() -> None:
        with ThreadPoolExecutor(2, initializer=in_initializer, initargs=(1,)) as pool:
            wait([pool.submit(in_pool) for _ in range(4)])
        with ThreadPool(2, in_initializer, (1,)) as processes:
            processes.map(in_map, range(2))
        with ThreadPoolExecutor(1, initializer=fails_to_initialize) as pool, pytest.raises(BrokenThreadPool):
            pool.submit(in_pool).result()
        in_initializer(2)

    recording = record(view, sampled=sampled)
    report = tree(recording)
    by_node = {row["node"]: row for row in report["rows"]}
    above = [by_node[row["parent"]]["name"] for row in report["rows"] if row["name"] == "in_initializer"]
    assert sorted(set(above)) == ["[thread]", "test_what_threads_of_a_pool_are_initialized_with.<locals>.view"]
    assert {"in_pool", "in_map", "fails_to_initialize"} <= below_threads(recording)
    if not sampled:
        calls = {row["function"]["name"]: row["calls"] for row in functions(recording)}
        assert (calls["in_initializer"], calls["fails_to_initialize"], calls["in_pool"]) == (5, 1, 4)
    assert recording.totals()["mended"] == 0


@both
def test_very_short_jobs_are_all_found(sampled: bool) -> None:
    jobs = 300
    with ThreadPoolExecutor(3) as pool:
        recording = record(lambda: wait([pool.submit(int, "7") for _ in range(jobs)]), sampled=sampled)
    report = tree(recording)
    queued = sum(row["calls"] for row in report["rows"] if row["name"] == "[queued]")
    assert queued == jobs


def first() -> None:
    time.sleep(0.002)


def second() -> None:
    time.sleep(0.001)


def third() -> None:
    time.sleep(0.001)


def timed(call: Callable[[], None]) -> Callable[[], None]:
    def wrapped() -> None:
        call()

    return wrapped


class Odd:
    def method(self) -> None:
        time.sleep(0.001)

    def __call__(self) -> None:
        time.sleep(0.001)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="without local events nobody tells of jobs")
@patient
def test_sampled_jobs_that_no_look_met_are_told_by_their_function() -> None:
    """As long as nobody looks their time is known all the same, and what they call is not."""
    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(10):
                pool.submit(first).result()
                pool.submit(functools.partial(contextvars.copy_context().run, second)).result()
            pool.submit(timed(first)).result()
            pool.submit(Odd().method).result()
            pool.submit(Odd()).result()
        thread = threading.Thread(target=third)
        thread.start()
        thread.join()

    _core.sampler_configure(0.2, 1)  # not more: a sampler that sleeps meets nothing of the next test either
    try:
        recording = record(view, sampled=True)
    finally:
        _core.sampler_configure(0.001, 1)
    threads = [row for row in tree(recording)["rows"] if row["name"] == "[thread]"]
    took = {row["function"]["name"]: row["total_ns"] / 1e6 for row in functions(recording)}
    assert took["first"] >= 20
    assert took["second"] >= 10  # whatever the first tick of the sampler met
    assert took["timed.<locals>.wrapped"] >= 2
    assert took["Odd.method"] >= 1
    assert took["Odd.__call__"] >= 1
    assert "third" in names(recording)
    assert sum(row["self_ns"] for row in threads) == 0


def work(function: Callable[..., object], *args: object) -> int:
    return _core.work_of(function, args)[0]


def by_rows(function: object, rows: object = None) -> None: ...


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 tells of jobs by events only")
@patient
def test_sampled_threads_that_nobody_could_look_at_have_their_time() -> None:
    """There are more of them than the sampler looks at: what they took is told, as not seen."""
    begun, ended = threading.Event(), threading.Event()
    took: list[float] = []

    def job() -> None:
        started = time.perf_counter()
        if threading.active_count() > COUNT:
            begun.set()
        ended.wait()
        took.append(time.perf_counter() - started)

    def app() -> None:
        threads = [threading.Thread(target=job) for _ in range(COUNT)]
        for one in threads:
            one.start()
        begun.wait(5)
        time.sleep(0.05)
        ended.set()
        for one in threads:
            one.join()

    COUNT = 300
    profile = record(app, sampled=True)
    told = sum(row["total_ns"] for row in tree(profile)["rows"] if row["name"] == "[thread]") / 1e9
    assert profile.totals()["unseen_room"] >= COUNT - 256
    assert told > 0.9 * sum(took)


def test_work_is_alike_that_does_the_same() -> None:
    class A: ...

    class B(A): ...

    cached = functools.lru_cache(first), functools.lru_cache(second)
    calls = operator.methodcaller("a"), operator.methodcaller("b")
    called = (first, second), (timed(first), timed(second)), (Odd().method, Odd())
    for one, other in ((A, B), cached, calls, *called):
        assert work(one) == work(one) != work(other)
        assert work(by_rows, one) == work(by_rows, one) != work(by_rows, other)
        assert work(by_rows, (one, [1])) != work(by_rows, (other, [1]))  # as a pool's mapstar is called
        assert work(functools.partial(by_rows, one)) != work(functools.partial(by_rows, other))
    rows = [(1, None, "a"), (1, 2, "a"), (), (1.5,), ((1, 2), (3,)), ((),)]
    assert len({work(first, *row) for row in rows} | {work(first, row) for row in rows}) == 1
    assert _core.work_of(contextvars.copy_context().run, (1, timed(first)))[1] is timed(first).__code__


def test_what_holds_itself_is_looked_at_for_a_while() -> None:
    def wide(depth: int) -> Callable[[], object]:
        inside = [wide(depth - 1) for _ in range(8)] if depth else [first] * 8
        a, b, c, d, e, f, g, h = inside
        return lambda: (a, b, c, d, e, f, g, h)

    itself: Any = types.CellType()
    itself.cell_contents = itself
    method: Any = first
    for _ in range(100_000):
        method = types.MethodType(method, 0)
    assert work(first, itself) == work(first)
    for one in (method, wide(4)):
        assert work(one) == work(one)
    while method is not first:  # one by one: their end is as deep
        method = method.__func__


def begins() -> None:
    spin(0.001)


def goes_on() -> None:
    spin(0.001)


def ends() -> None:
    spin(0.001)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="without local events nobody tells of jobs")
@patient
def test_sampled_what_jobs_begin_with_is_not_met_more_often() -> None:
    """Looks do not come because a job began."""
    parts = (begins, goes_on, ends)
    took = dict.fromkeys(parts, 0.0)

    def all_parts() -> None:
        for part in parts:
            started = time.perf_counter()
            part()
            took[part] += time.perf_counter() - started

    def view() -> None:
        until = time.perf_counter() + 1.2
        with ThreadPoolExecutor(1) as pool:
            while time.perf_counter() < until:
                pool.submit(all_parts).result()

    rows = functions(record(view, sampled=True))
    told = [sum(row["total_ns"] for row in rows if row["function"]["name"] == part.__name__) for part in parts]
    assert sum(told) > 0
    # When they did, a job's first third was told as six tenths of it.
    assert told[0] / sum(told) == pytest.approx(took[begins] / sum(took.values()), abs=0.2)


@both
def test_a_job_that_waits_for_a_thread_is_queued(sampled: bool) -> None:
    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            go_on = threading.Event()
            pool.submit(go_on.wait, 60)
            pool.submit(in_pool)
            time.sleep(0.05)
            go_on.set()

    report = tree(record(view, sampled=sampled))
    assert sum(row["self_ns"] for row in report["rows"] if row["name"] == "[queued]") > 40e6


def test_who_handed_work_over_ends_beside_another() -> None:
    """On 3.11 threads are hooked: the end of one request takes no hook from the thread of another."""
    inside, go_on, found = threading.Event(), threading.Event(), []

    def counted() -> None:
        pass

    def other() -> None:
        inside.set()
        go_on.wait(60)
        for _ in range(100):
            counted()

    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_pool).result()

    thread = threading.Thread(target=lambda: found.append(record(other)))
    thread.start()
    assert inside.wait(60)
    record(view)
    go_on.set()
    thread.join()
    calls = {row["function"]["name"].rpartition(".")[2]: row["calls"] for row in functions(found[0])}
    assert calls.get("counted") == 100 and not found[0].totals()["displaced"], calls


def test_jobs_hang_where_they_were_handed_over() -> None:
    def first_half(pool: ThreadPoolExecutor) -> None:
        pool.submit(in_pool)

    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            first_half(pool)

    report = tree(record(view))
    by_node = {row["node"]: row for row in report["rows"]}
    row = next(row for row in report["rows"] if row["name"].endswith("in_pool"))
    above = []
    while row["node"] != 0:
        row = by_node[row["parent"]]
        above.append(row["name"].rpartition(".")[2])
    at = above.index("[thread]")
    assert above[at:at + 4] == ["[thread]", "submit", "first_half", "view"]


@both
def test_a_pool_that_serves_two_requests_mixes_nothing(sampled: bool) -> None:
    spaces: list[dict[str, Any]] = []
    for number in range(8):
        space: dict[str, Any] = {"spin": spin}
        exec(f"def own_{number}(): spin(0.002)", space)
        spaces.append(space)
    pool = ThreadPoolExecutor(3)
    results: dict[int, set[str]] = {}

    def request(number: int) -> None:
        recording = record(lambda: wait([pool.submit(spaces[number][f"own_{number}"]) for _ in range(30)]),
                           sampled=sampled)
        results[number] = {name for name in names(recording) if name.startswith("own_")}

    threads = [threading.Thread(target=request, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.shutdown()
    assert results == {number: {f"own_{number}"} for number in range(8)}


@both
def test_a_job_outlives_its_request(sampled: bool) -> None:
    go_on = threading.Event()
    late: list[Future[None]] = []

    def after() -> None:
        go_on.wait(10)
        in_pool()

    pool = ThreadPoolExecutor(1)
    recording = record(lambda: late.extend([pool.submit(after), pool.submit(in_thread)]), sampled=sampled)
    go_on.set()
    wait(late)
    assert all(one.exception() is None for one in late)
    assert not {"in_pool", "in_thread"} & names(recording)
    # The pool's thread is nobody's afterwards, and the next request's when it is asked.
    recording = record(lambda: pool.submit(in_context).result(), sampled=sampled)
    assert "in_context" in names(recording)
    pool.shutdown()


@both
@pytest.mark.parametrize("new_loop", loops())
def test_run_in_executor(sampled: bool, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def view() -> None:
        await asyncio.get_running_loop().run_in_executor(None, in_pool)
        await asyncio.to_thread(in_context)

    async def main() -> _core.Recording:
        recording = _core.Recording("none", follows=True, sampled=sampled)
        await recording.step(view())
        recording.finish()
        return recording

    with asyncio.Runner(loop_factory=new_loop) as runner:
        recording = runner.run(main())
    assert {"in_pool", "in_context"} <= names(recording)
    report = tree(recording)
    for row in report["rows"]:
        if row["name"].endswith(("in_pool", "in_context")):
            assert row["total_ns"] > 2e6


def test_a_coroutine_that_a_synchronous_request_gives_to_another_threads_loop() -> None:
    async def work() -> None:
        in_pool()
        await asyncio.sleep(0)
        in_context()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        recording = record(lambda: asyncio.run_coroutine_threadsafe(work(), loop).result())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert {"in_pool", "in_context"} <= below_threads(recording)


@pytest.mark.parametrize("sampled", (False, True), ids=("deterministic", "sampled"))
def test_a_context_of_its_own_on_the_requests_stack(sampled: bool) -> None:
    def view() -> None:
        contextvars.Context().run(in_context)

    recording = record(view, sampled=sampled)
    report = tree(recording)
    by_node = {row["node"]: row for row in report["rows"]}
    row = next(row for row in report["rows"] if row["name"].endswith("in_context"))
    assert by_node[row["parent"]]["name"].endswith("view") or "Context.run" in by_node[row["parent"]]["name"]
    strands = [row["node"] for row in report["rows"] if row["name"] in ("[thread]", "[task]")]
    assert strands == [], [(row["node"], row["parent"], row["name"], row["total_ns"]) for row in report["rows"]]


def test_the_own_thread_of_a_sampled_request_is_no_other_one() -> None:
    """The sampler may look between the moment when the thread's context becomes the request's and its first section."""
    _core.sampler_configure(50e-6, 0)
    try:
        strands = [contextvars.copy_context().run(record, int, sampled=True).totals()["strands"] for _ in range(3000)]
    finally:
        _core.sampler_configure(0.001, 1)
    assert set(strands) == {1}


def test_without_a_request_nothing_is_kept() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert [one.result() for one in [pool.submit(int, str(n)) for n in range(50)]] == list(range(50))
    assert names(record(in_pool, "none")) >= {"in_pool", "spin"}


@pytest.mark.parametrize("sampled", MODES)
def test_a_job_that_raises(sampled: bool) -> None:
    def fails() -> None:
        spin(0.03)
        raise KeyError("mine")

    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(KeyError):
                pool.submit(fails).result()
            pool.submit(in_pool).result()

    assert any("fails" in name for name in below_threads(record(view, sampled=sampled)))
