"""Many requests at once: each profile holds its own functions and nobody else's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from slowlens import _core, engine

from conftest import functions, record, tree
from programs import fib, generators

REQUESTS = 50


def markers(number: int) -> dict[str, Any]:
    """Functions that belong to one request alone."""
    namespace: dict[str, Any] = {"time": time, "asyncio": asyncio, "fib": fib, "generators": generators}
    exec(
        f"""
def own_{number}_leaf(n):
    return fib(n)

def own_{number}_view():
    for i in range(20):
        own_{number}_leaf(i % 8)
        if i % 5 == 0:
            time.sleep(0.001)
    generators()

async def own_{number}_child(n):
    await asyncio.sleep(0.001 * (n % 3))
    own_{number}_leaf(n)

async def own_{number}_app():
    own_{number}_leaf(3)
    await asyncio.sleep(0.002)
    await asyncio.gather(*(own_{number}_child(n) for n in range(4)))
    await asyncio.to_thread(own_{number}_leaf, 6)
    own_{number}_leaf(2)
""",
        namespace,
    )
    return namespace


def owned(profile: _core.Recording) -> dict[str, int]:
    return {row["function"]["name"]: row["calls"] for row in functions(profile)
            if row["function"]["name"].startswith("own_")}


def test_fifty_requests_in_eight_threads() -> None:
    spaces = [markers(i) for i in range(REQUESTS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            profiles = list(pool.map(lambda i: record(spaces[i][f"own_{i}_view"]), range(REQUESTS)))
    finally:
        sys.setswitchinterval(interval)
    alone = None
    for i, profile in enumerate(profiles):
        totals = profile.totals()
        assert totals["mended"] == 0
        assert owned(profile) == {f"own_{i}_view": 1, f"own_{i}_leaf": 20}
        counts = sorted((row["function"]["name"].replace(f"own_{i}_", "own_"), row["calls"], row["resumes"])
                        for row in functions(profile)
                        if row["function"]["file"].endswith(("programs.py", "<string>")))
        assert len(counts) > 5  # what the program called, not what a collection or a first import did
        alone = alone or counts
        assert counts == alone, "identical requests have identical counts"


def test_threads_that_are_not_profiled_stay_out() -> None:
    stop = threading.Event()

    def outsider() -> None:
        while not stop.is_set():
            fib(6)

    thread = threading.Thread(target=outsider)
    thread.start()
    try:
        profile = record(lambda: [fib(3) for _ in range(2000)])
    finally:
        stop.set()
        thread.join()
    assert "outsider" not in str([row["function"]["name"] for row in functions(profile)])
    assert {row["function"]["name"]: row["calls"] for row in functions(profile)}["fib"] == 2000 * 5


async def one_request(i: int, space: dict[str, Any]) -> _core.Recording:
    profile = _core.Recording("all", follows=True)
    try:
        await profile.step(space[f"own_{i}_app"]())
    finally:
        profile.finish()
    return profile


def test_fifty_requests_on_one_event_loop() -> None:
    spaces = [markers(i) for i in range(REQUESTS)]

    async def main() -> list[_core.Recording]:
        return await asyncio.gather(*(one_request(i, spaces[i]) for i in range(REQUESTS)))

    for i, profile in enumerate(asyncio.run(main())):
        found = owned(profile)
        assert found[f"own_{i}_app"] == 1
        assert found[f"own_{i}_child"] == 4
        # On 3.11 an executor's new thread may be born after the last hook was set.
        least = 1 + 4 + 1 + (sys.version_info >= (3, 12))
        assert least <= found[f"own_{i}_leaf"] <= 7
        assert all(name.startswith(f"own_{i}_") for name in found)
        totals = profile.totals()
        assert totals["await_ns"] > 0
        assert totals["mended"] == 0


def test_awaits_are_charged_to_who_awaited() -> None:
    took = []

    async def leaf() -> None:
        since = time.perf_counter()
        await asyncio.sleep(0.05)
        took.append(time.perf_counter() - since)

    async def app() -> None:
        fib(3)
        await leaf()

    async def main() -> _core.Recording:
        profile = _core.Recording("chosen", follows=True)
        await profile.step(app())
        profile.finish()
        return profile

    profile = asyncio.run(main())
    report = tree(profile)
    rows = {row["node"]: row for row in report["rows"]}
    waits = [row for row in rows.values() if row["name"] == "[await]"]
    assert len(waits) == 1
    assert 48e6 < waits[0]["self_ns"] < took[0] * 1e9
    above = []
    at = waits[0]
    while at["node"] != 0:
        at = rows[at["parent"]]
        above.append(at["name"].rsplit(".", 1)[-1])
    assert above[0] == "sleep"
    assert above[1:3] == ["leaf", "app"]
    assert rows[0]["total_ns"] == report["wall_ns"]
    assert profile.totals()["cpu_ns"] < 40e6


def test_step_passes_results_and_exceptions_through() -> None:
    async def returns() -> int:
        await asyncio.sleep(0)
        return 42

    async def raises() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    class Custom:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "custom"

    async def run(awaitable: Any) -> Any:
        profile = _core.Recording(follows=True)
        try:
            return await profile.step(awaitable)
        finally:
            profile.discard()

    async def main() -> None:
        assert await run(returns()) == 42
        assert await run(Custom()) == "custom"
        assert await run(asyncio.ensure_future(returns())) == 42
        with pytest.raises(KeyError, match="mine"):
            await run(raises())
        with pytest.raises(TypeError, match="await"):
            await run(5)
        task = asyncio.ensure_future(run(asyncio.sleep(10)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(asyncio.sleep(10)), 0.01)

    asyncio.run(main())


def test_a_step_is_awaited_once() -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        profile = _core.Recording(follows=True)
        step = profile.step(nothing())
        await step
        with pytest.raises(RuntimeError, match="already awaited"):
            await step
        profile.discard()

    asyncio.run(main())


def test_others_on_the_loop_stay_out() -> None:
    async def stranger(stop: asyncio.Event) -> None:
        while not stop.is_set():
            fib(5)
            await asyncio.sleep(0)

    async def app() -> None:
        for _ in range(20):
            await asyncio.sleep(0.001)

    async def main() -> _core.Recording:
        stop = asyncio.Event()
        task = asyncio.create_task(stranger(stop))
        profile = _core.Recording("all", follows=True)
        await profile.step(app())
        profile.finish()
        stop.set()
        await task
        return profile

    names = {row["function"]["name"] for row in functions(asyncio.run(main()))}
    assert not any("stranger" in name or name == "fib" for name in names)


def test_an_outer_middleware_is_not_recorded() -> None:
    async def inner() -> None:
        await asyncio.sleep(0.001)

    async def outer() -> _core.Recording:
        profile = _core.Recording("all", follows=True)
        await profile.step(inner())
        fib(7)  # in the request's context, outside its step
        profile.finish()
        return profile

    names = {row["function"]["name"] for row in functions(asyncio.run(outer()))}
    assert "fib" not in names


def test_a_copied_context_on_the_same_stack_is_the_same_strand() -> None:
    profile = record(lambda: copy_context().run(fib, 4))
    rows = {row["function"]["name"]: row for row in functions(profile)}
    assert rows["fib"]["calls"] == 9
    assert profile.totals()["strands"] == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no hook in other threads of a synchronous request")
def test_threads_with_the_requests_context_are_strands() -> None:
    def work() -> None:
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(fib, 6))
        thread.start()
        thread.join()

    profile = record(work)
    report = tree(profile)
    rows = {row["node"]: row for row in report["rows"]}
    strands = [row for row in rows.values() if row["strand"]]
    assert len(strands) == 1
    assert strands[0]["name"] == "[thread]"
    assert rows[0]["total_ns"] == report["wall_ns"]
    assert {row["function"]["name"]: row["calls"] for row in functions(profile)}["fib"] == 25


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no hook in other threads of a synchronous request")
def test_threads_that_started_before_the_request() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fib, [3, 3]))  # both threads live before there is any request

        def work() -> None:
            for future in [pool.submit(copy_context().run, fib, 5) for _ in range(6)]:
                future.result()

        profile = record(work, "none")
    assert {row["function"]["name"]: row["calls"] for row in functions(profile)}["fib"] == 6 * 15


STOPPED = """
import faulthandler, threading, time
faulthandler.dump_traceback_later(60, exit=True)
from slowlens import _core, engine
engine.prepare()
engine.sampling(1000, 0)
recording = _core.Recording("all", sampled=True)
recording.enter()
def work():
    for _ in range(300):
        _core.sampler_stop()
        _core.sampler_resume()
threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
ticks = _core.engine_info()["sampler"]["ticks"]
while _core.engine_info()["sampler"]["ticks"] < ticks + 5:
    sum(range(1000))
recording.leave()
recording.finish()
print(_core.engine_info()["sampler"]["cpu_ns"] < 60e9, _core.sampler_stop(), _core.sampler_stop())
"""


@pytest.mark.skipif(engine.unsampled() is not None, reason="there is no sampler")
def test_threads_that_end_the_sampler_at_once() -> None:
    """As threads do that fork at once: two joined one thread, and the next one, begun between, revived the one that
    somebody still waited for. For ever, that was."""
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("True True False\n", 0), done.stderr
