"""Tasks of a sampled request: each wait of each of them is known to the millisecond, whether or not a sample saw it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core

from conftest import loops, patient, profiled, stepped, tree

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="sampling is for Linux"),
              pytest.mark.usefixtures("no_brake")]


@pytest.fixture(params=loops(), ids=lambda loop: loop.__module__)
def loop(request: pytest.FixtureRequest) -> Any:
    return request.param


def awaits(profile: _core.Recording) -> dict[str, float]:
    """Seconds that tasks awaited: the path of the function below [task], and the sum there."""
    rows = {row["node"]: row for row in tree(profile)["rows"]}
    found: dict[str, float] = {}
    for row in rows.values():
        if row["name"] != "[await]":
            continue
        path, at = [], rows[row["parent"]]
        while at["node"] != 0 and not at["strand"]:
            path.append(at["name"].rsplit(".", 1)[-1])
            at = rows[at["parent"]]
        if at["strand"]:
            key = " > ".join(reversed(path))
            found[key] = found.get(key, 0) + row["self_ns"] / 1e9
    return found


#: How long each wait took at most, by what the app's own clock says, and how much of that its thread had nothing to do.
took: dict[str, float] = {}
idled: dict[str, float] = {}


def forget() -> None:
    took.clear()
    idled.clear()


def idle() -> float:
    """Seconds in which this thread neither ran nor waited for a CPU, but for a constant."""
    waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    return time.perf_counter() - time.thread_time() - waited


@contextmanager
def timed(name: str) -> Iterator[None]:
    since, idle_since = time.perf_counter(), idle()
    try:
        yield
    finally:
        idled[name] = idled.get(name, 0) + idle() - idle_since
        took[name] = took.get(name, 0) + time.perf_counter() - since


def holds(found: dict[str, float], path: str, least: float) -> None:
    """A wait is no longer than the app saw it take, on whatever machine, and most of what was asked for: of a busy one,
    which may take the CPU away between the call and the wait, as much as its thread slept meanwhile."""
    assert min(least / 2, idled.get(path, least) - 0.002) <= found[path] <= took[path] + 0.001, path


async def nap(seconds: float, name: str) -> None:
    with timed(f"{name} > nap > sleep"):
        await asyncio.sleep(seconds)


async def first() -> None:
    await nap(0.03, "first")


async def second() -> None:
    await nap(0.05, "second")
    await nap(0.02, "second")


def test_each_wait_stands_where_it_was_awaited(loop: Any) -> None:
    async def app() -> None:
        await asyncio.gather(first(), second())
        async with asyncio.TaskGroup() as group:
            group.create_task(first())

    forget()
    found = awaits(profiled(app, loop))
    holds(found, "first > nap > sleep", 0.06)
    holds(found, "second > nap > sleep", 0.07)


def test_a_failure_and_a_timeout_end_a_wait(loop: Any) -> None:
    """They are thrown into the coroutine, not sent."""

    async def breaks() -> None:
        await asyncio.sleep(0.02)
        raise KeyError

    async def fails() -> None:
        try:
            with timed("fails"):
                await asyncio.ensure_future(breaks())
        except KeyError:
            await nap(0.04, "fails")

    async def gives_up() -> None:
        try:
            async with asyncio.timeout(0.03):
                await nap(9, "gives_up")
        except TimeoutError:
            with timed("gives_up > sleep"):
                await asyncio.sleep(0.05)

    async def app() -> None:
        await asyncio.gather(fails(), gives_up())

    forget()
    found = awaits(profiled(app, loop))
    holds(found, "fails", 0.02)
    holds(found, "fails > nap > sleep", 0.04)
    # Its time began before it did.
    holds(found, "gives_up > nap > sleep", 0.02)
    holds(found, "gives_up > sleep", 0.05)


@patient
def test_what_no_sample_saw_is_there() -> None:
    """Two hundred functions of some microseconds each."""
    space: dict[str, Any] = {}
    for i in range(200):
        exec(f"async def brief_{i}(): return sum(range(200))", space)

    async def app() -> list[int]:
        return await asyncio.gather(*(space[f"brief_{i}"]() for i in range(200)))

    rows = tree(profiled(app))["rows"]
    tasks = {row["node"] for row in rows if row["name"] == "[task]"}
    # One that a sample meets while its coroutine is made has a row there, too.
    briefs = [row for row in rows if row["name"].startswith("brief_") and row["parent"] in tasks]
    assert len({row["name"] for row in briefs}) == len(briefs) == 200
    assert all(row["total_ns"] > 0 for row in briefs)


both = pytest.mark.parametrize("sampled", (False, True), ids=("deterministic", "sampled"))


@both
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(sampled: bool) -> None:
    async def app() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await asyncio.sleep(0.01)
        for task in tasks:
            await task

    forget()
    found = awaits(profiled(app, sampled=sampled))
    holds(found, "first > nap > sleep", 0.03)
    holds(found, "second > nap > sleep", 0.07)


def computes(seconds: float = 0.03) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@both
@pytest.mark.parametrize("in_thread", (False, True), ids=("here", "in a thread"))
def test_a_loop_that_the_request_runs_itself(sampled: bool, in_thread: bool) -> None:
    """Its steps run on the request's own stack, or on that of a job, and stand there alone; its waits stand
    where they were awaited."""
    if sampled and in_thread and sys.version_info < (3, 12):
        pytest.skip("3.11 tells of jobs by events only")

    async def main() -> None:
        await nap(0.07, "main")
        computes()

    def view() -> None:
        if in_thread:
            thread = threading.Thread(target=asyncio.run, args=(main(),))
            thread.start()
            thread.join()
        else:
            asyncio.run(main())

    forget()
    profile = _core.Recording("none", sampled=sampled, follows=True)
    profile.enter()
    view()
    profile.leave()
    profile.finish()
    holds(awaits(profile), "main > nap > sleep", 0.07)
    rows = [row for row in tree(profile)["rows"] if row["name"] == "computes"]
    assert len(rows) == 1, "on one stack"


@both
def test_a_wait_behind_a_long_step(sampled: bool) -> None:
    """Which has us look at the loop more closely: what that runs is no call of the task's."""
    async def computes_and_waits() -> None:
        for _ in range(3):
            computes()
            await nap(0.03, "computes_and_waits")

    async def app() -> None:
        await asyncio.create_task(computes_and_waits())

    forget()
    profile = profiled(app, sampled=sampled)
    found = awaits(profile)
    holds(found, "computes_and_waits > nap > sleep", 0.09)


def test_tasks_of_trio() -> None:
    """Its tasks are driven by a method of their coroutines."""
    trio = pytest.importorskip("trio")

    async def naps() -> None:
        with timed("naps > sleep > sleep_until > sleep_forever > wait_task_rescheduled > _real_async_yield"):
            await trio.sleep(0.06)
        computes()

    async def app() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(naps)
            nursery.start_soon(naps)

    forget()
    profile = trio.run(stepped, app)
    ((name, _),) = took.items()
    holds(awaits(profile), name, 0.12)
    below = {row["node"]: row for row in tree(profile)["rows"]}
    above = {below[row["parent"]]["name"] for row in below.values() if row["name"].endswith("naps")}
    assert above == {"[task]"}, "none of what runs the loop"


@both
@patient
@pytest.mark.parametrize("deep", (0, 1, 3))
def test_a_thread_of_trios_that_has_its_request_run_something(deep: int, sampled: bool) -> None:
    """Which the request's own task does, in the thread's context; however deep below its coroutine the request is."""
    trio = pytest.importorskip("trio")

    async def step() -> None:
        computes()
        await trio.sleep(0.01)

    async def app() -> None:
        await trio.to_thread.run_sync(lambda: trio.from_thread.run(step))

    async def served(more: int = deep) -> _core.Recording:
        return await (served(more - 1) if more else stepped(app, sampled))

    report = tree(trio.run(served))
    assert len([row for row in report["rows"] if row["name"] == "computes"]) == 1
    assert not any(row["name"] == "[task]" for row in report["rows"])


@patient
def test_a_thread_that_idles_between_two_jobs() -> None:
    """trio's have no context then; the second job began when it began."""
    trio = pytest.importorskip("trio")

    def dozes() -> None:
        with timed("dozes"):
            time.sleep(0.01)

    async def app() -> None:
        for _ in range(3):
            await trio.to_thread.run_sync(dozes)
            await trio.sleep(0.06)

    forget()
    report = tree(trio.run(stepped, app))
    found = sum(row["total_ns"] for row in report["rows"] if row["name"].endswith("dozes")) / 1e9
    assert found < took["dozes"] + 0.02
    assert not any(row["name"] == "[not seen] sampler late" and row["self_ns"] > 40e6 for row in report["rows"])


def test_a_task_that_outlives_its_request() -> None:
    async def app() -> None:
        since = time.perf_counter()
        kept.append(asyncio.create_task(nap(60, "kept")))
        await asyncio.sleep(0.05)
        took["nap > sleep"] = time.perf_counter() - since

    kept: list[asyncio.Task[None]] = []
    forget()
    found = awaits(profiled(app))
    # Until the request was over, which is a little after the app.
    took["nap > sleep"] += 0.05
    holds(found, "nap > sleep", 0.04)


def test_tasks_of_another_thread() -> None:
    def elsewhere() -> None:
        asyncio.run(second())

    async def app() -> None:
        await asyncio.to_thread(elsewhere)

    forget()
    holds(awaits(profiled(app)), "second > nap > sleep", 0.07)


def test_thousands_one_after_another_take_few_strands() -> None:
    async def app() -> None:
        for _ in range(300):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))

    profile = profiled(app)
    totals = profile.totals()
    assert totals["dropped"] == 0
    assert 20 <= totals["strands"] < 120
    tasks = [row["calls"] for row in tree(profile)["rows"] if row["strand"]]
    assert len(tasks) <= 2, "at the place where they were begun, and where no sample saw that"
    # ...and callbacks in the context of one that is over, as samples see them: more where a busy machine takes longer.
    assert 6000 <= sum(tasks) < 6300 + totals["samples"]


def test_thousands_at_once() -> None:
    async def app() -> None:
        await asyncio.gather(*(asyncio.sleep(0.01) for _ in range(3000)))

    totals = profiled(app).totals()
    assert totals["dropped"] == 0
    assert totals["strands"] > 3000


def lock_steps() -> int:
    return _core.engine_info()["sampler"]["lock_steps"]


def test_the_lock_is_given_back_while_thousands_of_tasks_are_ended() -> None:
    """A request that leaves its tasks behind: all of them are gone through, a few at a time."""

    async def app() -> None:
        never = asyncio.get_running_loop().create_future()

        async def waits() -> None:
            await never

        kept.extend(asyncio.create_task(waits()) for _ in range(2000))
        await asyncio.sleep(0)
        _core.sampler_lock_measure(False)

    kept: list[asyncio.Task[None]] = []
    totals = profiled(app).totals()
    assert totals["dropped"] == 0
    assert totals["strands"] > 2000
    assert 0 < lock_steps() <= 64


def test_the_lock_is_given_back_while_tasks_that_are_gone_are_looked_for() -> None:
    async def app() -> None:
        async def waits() -> None:
            await asyncio.get_running_loop().create_future()

        kept.extend(asyncio.create_task(waits()) for _ in range(2000))
        await asyncio.sleep(0)
        _core.sampler_lock_measure(False)
        # No room is left at the 2,048th and none of those before is gone: all are asked.
        kept.extend(asyncio.create_task(waits()) for _ in range(200))
        await asyncio.sleep(0)
        seen.append(lock_steps())

    kept: list[asyncio.Task[None]] = []
    seen: list[int] = []
    profiled(app)
    assert 0 < seen[0] <= 64


def test_one_of_thousands_of_tasks_is_found_in_a_few_steps() -> None:
    """They go on in another order than they were suspended in: no guess at the next one helps."""

    async def app() -> None:
        gates = [asyncio.Event() for _ in range(4000)]

        async def waits(gate: asyncio.Event) -> None:
            await gate.wait()
            await asyncio.sleep(0)

        tasks = [asyncio.create_task(waits(gate)) for gate in gates]
        await asyncio.sleep(0)
        random.Random(4000).shuffle(gates)
        _core.sampler_lock_measure(False)
        for at in range(0, len(gates), 100):
            for gate in gates[at:at + 100]:
                gate.set()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    totals = profiled(app).totals()
    assert totals["dropped"] == 0 and totals["strands"] > 4000
    assert 0 < lock_steps() <= 64


def test_nothing_is_kept_alive() -> None:
    """Neither by a task that was closed by hand, nor by one whose loop went away."""
    alive: list[weakref.ref[Any]] = []

    class Held:
        pass

    async def holds() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        await asyncio.sleep(60)

    async def app() -> None:
        for _ in range(100):
            task = asyncio.create_task(holds())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    profile = profiled(app)
    gc.collect()
    assert len(alive) == 100
    assert all(one() is None for one in alive)
    assert profile.totals()["strands"] < 10


def test_tasks_of_others_are_no_business_of_ours() -> None:
    async def app() -> None:
        await asyncio.sleep(0.02)

    async def main() -> _core.Recording:
        stranger = asyncio.create_task(second())
        profile = _core.Recording(sampled=True, follows=True)
        await profile.step(app())
        profile.finish()
        await stranger
        return profile

    names = {row["name"] for row in tree(asyncio.run(main()))["rows"]}
    assert "second" not in names and "nap" not in names


def test_coroutines_are_what_they_were() -> None:
    """With ours in front of them, inside a sampled request and outside."""

    async def gives(value: Any) -> Any:
        try:
            await asyncio.sleep(0)
        except ZeroDivisionError as error:
            return repr(error)
        return value

    async def raises() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    def drive() -> list[Any]:
        seen: list[Any] = []
        one = gives(7)
        seen.append(inspect.getcoroutinestate(one))
        seen.append(one.send(None))
        seen.append(inspect.getcoroutinestate(one))
        seen.append(one.cr_await is not None)
        with pytest.raises(StopIteration) as stop:
            one.send(None)
        seen.append(stop.value.value)
        with pytest.raises(RuntimeError, match="already"):
            one.send(None)
        one = gives(7)
        one.send(None)
        with pytest.raises(StopIteration) as stop:
            one.throw(ZeroDivisionError("theirs"))
        seen.append(stop.value.value)
        one = gives(7)
        with pytest.raises(TypeError):
            one.throw()  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="non-None"):
            one.send(3)
        with pytest.raises(TypeError, match="must be"):
            one.throw(3)  # type: ignore[call-overload]
        one.close()
        seen.append(inspect.getcoroutinestate(one))
        return seen

    async def app() -> None:
        inside.extend(await asyncio.create_task(driven()))
        with pytest.raises(LookupError, match="mine") as caught:
            await asyncio.create_task(raises())
        frames.extend(frame.name for frame in traceback.extract_tb(caught.tb))

    async def driven() -> list[Any]:
        watched.append(_core.engine_info()["sampler"]["tasks"])
        return drive()

    inside: list[Any] = []
    frames: list[str] = []
    watched: list[bool] = []
    profiled(app)
    assert inside == drive()
    assert frames == ["app", "raises"]
    assert watched == [True]
    assert _core.engine_info()["sampler"]["tasks"] is False


def test_many_threads_with_loops_of_their_own() -> None:
    """Requests of eight loops at once, tasks in each: nothing goes to another's."""
    results: list[tuple[int, _core.Recording]] = []

    def serve(number: int) -> None:
        space: dict[str, Any] = {"asyncio": asyncio}
        exec(f"async def own_{number}(): await asyncio.sleep(0.01)\n"
             f"async def app(): await asyncio.gather(*(own_{number}() for _ in range(5)))", space)
        for _ in range(10):
            results.append((number, profiled(space["app"])))

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    for number, profile in results:
        found = awaits(profile)
        assert found.keys() == {f"own_{number} > sleep"}
        assert 0.025 <= found[f"own_{number} > sleep"] <= 5 * profile.totals()["wall_ns"] / 1e9


CODE_THAT_COMES_AND_GOES = """
import json, sys, types
from slowlens import _core, engine
import asked_here
engine.prepare()
_core.layers_add("asked_here", "ask", "db", "text", "sql", "", False)
_core.layers_open("db")
sys.setrecursionlimit(2000)

def link(chain, at):
    return asked_here.ask("SELECT 1") if at == len(chain) else chain[at](chain, at + 1)

def chain(first):
    return [types.FunctionType(link.__code__.replace(co_firstlineno=first + n), globals()) for n in range(480)]

recording = _core.Recording("none", sampled=True, max_nodes=1 << 20, max_bytes=1 << 28)
recording.enter()
_core.sampler_lock_measure(False)
kept, steps = [], []
for n in range(150):  # 72,000 functions, each on a stack of which a query's place is asked
    kept.append(chain(1000 * n))
    link(kept[-1], 0)
    steps.append(_core.engine_info()["sampler"]["lock_steps"])
learnt = _core.engine_info()["sampler"]["lock_learnt"]
link(chain(0), 0)
recording.leave(); recording.finish()
asked = recording.totals()["spans"]["db"][0]
recording.discard()
print(json.dumps([steps[100], steps[-1], learnt, asked, _core.engine_info()["sampler"]["unnamed"] > 0]))
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asks for a query's place by samples")
def test_code_objects_by_the_thousand_are_given_up_a_few_at_a_time(tmp_path: Path) -> None:
    """The sampler's lock, for which requests may wait, is not held while all that is known of them is freed."""
    (tmp_path / "asked_here.py").write_text("def ask(text):\n    pass\n")
    made = subprocess.run(
        [sys.executable, "-c", CODE_THAT_COMES_AND_GOES], capture_output=True, text=True, timeout=300, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])})
    before, most, learnt, asked, unnamed = json.loads(made.stdout)
    assert before < most <= 64
    assert 0 < learnt <= 64  # 32, and those that were given up just now
    assert (asked, unnamed) == (151, True)
