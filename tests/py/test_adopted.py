"""Tasks that a request makes in a context that does not name it, an empty one: they are its strands all the same."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slowlens import _core

from conftest import functions, loops, patient, tree

# Samples alone (3.11) do not tell who made a task.
MODES = (False, True) if sys.version_info >= (3, 12) and sys.platform == "linux" else (False,)
both = pytest.mark.parametrize("sampled", MODES, ids=lambda sampled: "sampled" if sampled else "deterministic")
every_loop = pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def stepped(app: Callable[[], Awaitable[Any]], sampled: bool) -> _core.Recording:
    recording = _core.Recording("none", follows=True, sampled=sampled)
    try:
        await recording.step(app())
    finally:
        recording.finish()
    return recording


def profiled(app: Callable[[], Awaitable[Any]], sampled: bool, loop: Any = asyncio.new_event_loop) -> _core.Recording:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(stepped(app, sampled))


def names(recording: _core.Recording) -> set[str]:
    return {row["function"]["name"].rpartition(".")[2] for row in functions(recording)}


def calls(recording: _core.Recording) -> dict[str, int]:
    return {row["function"]["name"].rpartition(".")[2]: row["calls"] for row in functions(recording)}


def above(recording: _core.Recording, name: str) -> set[str]:
    """What the rows of that name hang below."""
    rows = tree(recording)["rows"]
    called = {row["node"]: row["name"].rpartition(".")[2] for row in rows}
    return {called[row["parent"]] for row in rows if called[row["node"]] == name}


async def made() -> None:
    computes()
    await asyncio.sleep(0.01)
    computes()


def computes() -> None:
    spin(0.01)


async def makes_another() -> None:
    await asyncio.create_task(made())


async def by_create_task() -> None:
    await asyncio.create_task(made(), context=contextvars.Context())


async def by_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(made(), context=contextvars.Context())


async def from_within() -> None:
    await contextvars.Context().run(asyncio.create_task, made())


async def one_of_one() -> None:
    await asyncio.create_task(makes_another(), context=contextvars.Context())


@every_loop
@both
@pytest.mark.parametrize("app", (by_create_task, by_group, from_within, one_of_one), ids=lambda app: app.__name__)
@patient
def test_tasks_in_an_empty_context(app: Callable[[], Awaitable[None]], sampled: bool, loop: Any) -> None:
    recording = profiled(app, sampled, loop)
    assert above(recording, "made") == {"[task]"}
    assert above(recording, "computes") == {"made"}
    if not sampled:
        assert (calls(recording)["made"], calls(recording)["computes"]) == (1, 2)
    assert recording.totals()["mended"] == 0


@both
@patient
def test_tasks_that_the_loop_is_asked_for(sampled: bool) -> None:
    """asyncio's own; uvloop's is no Python function."""
    async def app() -> None:
        await asyncio.get_running_loop().create_task(made(), context=contextvars.Context())

    assert above(profiled(app, sampled), "made") == {"[task]"}


@both
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@patient
def test_eager_tasks_in_an_empty_context(sampled: bool) -> None:
    """Their first step runs on the stack of the request, the rest does not."""
    async def app() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(made(), context=contextvars.Context())

    recording = profiled(app, sampled)
    assert "[task]" in above(recording, "made")
    assert above(recording, "computes") == {"made"}
    if not sampled:
        assert len(above(recording, "made")) == 2
        assert (calls(recording)["made"], calls(recording)["computes"]) == (1, 2)


@both
@patient
def test_one_context_of_several_requests_mixes_nothing(sampled: bool) -> None:
    """It names each of them while a step of its runs, and none in between."""
    shared = contextvars.Context()

    def steps_of(name: str) -> Callable[[], Awaitable[None]]:
        space: dict[str, Any] = {"asyncio": asyncio, "spin": spin}
        exec(
            f"async def {name}():\n    for _ in range(8):\n        {name}_computes()\n        await asyncio.sleep(0)\n"
            f"def {name}_computes(): spin(0.002)\n", space)
        function: Callable[[], Awaitable[None]] = space[name]
        return function

    nobody, one, two = (steps_of(name) for name in ("nobody", "one", "two"))

    def request(steps: Callable[[], Awaitable[None]]) -> Awaitable[_core.Recording]:
        async def app() -> None:
            await asyncio.create_task(steps(), context=shared)  # type: ignore[arg-type]
        return stepped(app, sampled)

    async def main() -> tuple[_core.Recording, _core.Recording]:
        background = asyncio.create_task(nobody(), context=shared)  # type: ignore[arg-type]
        recordings = await asyncio.gather(request(one), request(two))
        await background
        assert not shared, "as it was"
        return recordings

    for own, recording in zip(("one", "two"), asyncio.run(main()), strict=True):
        found = names(recording)
        others = {"nobody", "nobody_computes", "one", "one_computes", "two", "two_computes"} - {own, f"{own}_computes"}
        assert {own, f"{own}_computes"} <= found and not found & others


@both
@patient
def test_what_such_a_task_hands_on_is_the_requests(sampled: bool) -> None:
    def in_thread() -> None:
        spin(0.02)

    async def hands_on() -> None:
        await asyncio.to_thread(in_thread)
        asyncio.get_running_loop().call_soon(in_callback)
        await asyncio.sleep(0.01)

    def in_callback() -> None:
        spin(0.02)

    async def app() -> None:
        await asyncio.create_task(hands_on(), context=contextvars.Context())

    recording = profiled(app, sampled)
    # A callback that is no task is a strand of its own where samples met it.
    assert {"hands_on", "in_thread"} <= names(recording)
    assert above(recording, "in_thread") <= {"[thread]", "run"}


def test_ends_of_all_sorts_leave_nothing_behind() -> None:
    """Cancelled before it began, closed, dropped, outliving the request: of others at its address nothing is told."""
    async def never() -> None:
        raise AssertionError

    async def goes_on() -> None:
        for _ in range(4):
            await asyncio.sleep(0)
            late()

    def late() -> None:
        spin(0.001)

    async def app() -> None:
        context = contextvars.Context()
        task = asyncio.create_task(never(), context=context)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept.append(asyncio.create_task(goes_on(), context=context))

    async def other() -> None:
        stranger()

    def stranger() -> None:
        spin(0.001)

    async def main() -> list[_core.Recording]:
        recordings = [await stepped(app, False) for _ in range(20)]
        for task in kept:
            await task
        # Made where nothing tells of it, at addresses that were noted.
        for _ in range(50):
            await asyncio.Task(other(), loop=asyncio.get_running_loop(), context=contextvars.Context())
        return recordings

    kept: list[asyncio.Task[None]] = []
    for recording in asyncio.run(main()):
        assert not {"stranger", "other"} & names(recording)
        assert recording.totals()["mended"] == 0
    kept.clear()
    gc.collect()


def test_a_coroutine_at_the_address_of_one_that_was_dropped() -> None:
    """It has waited for nothing yet: what the other one waited for, until it was closed, is not its own."""
    async def waits() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(1)

    def drive() -> None:
        coroutine = waits()
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()  # which tells nobody

    async def app() -> None:
        for _ in range(20):  # each at the same address, by any allocator but a sanitizer's
            drive()
            time.sleep(0.002)

    recording = profiled(app, False)
    assert not any(row["name"] in ("[task]", "[await]") for row in tree(recording)["rows"])
