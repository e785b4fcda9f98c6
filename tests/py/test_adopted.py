"""Tasks that a request makes in a context that does not name it, an empty one: they are its strands all the same."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slowlens import _core

from conftest import SANITIZED, functions, loops, patient, profiled, stepped, tree

pytestmark = pytest.mark.usefixtures("no_brake")

# Samples alone (3.11) do not tell who made a task.
MODES = (False, True) if sys.version_info >= (3, 12) and sys.platform == "linux" else (False,)
both = pytest.mark.parametrize("sampled", MODES, ids=lambda sampled: "sampled" if sampled else "deterministic")
every_loop = pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


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
    recording = profiled(app, loop, sampled)
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

    assert above(profiled(app, sampled=sampled), "made") == {"[task]"}


@both
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@patient
def test_eager_tasks_in_an_empty_context(sampled: bool) -> None:
    """Their first step runs on the stack of the request, the rest does not."""
    async def app() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(made(), context=contextvars.Context())

    recording = profiled(app, sampled=sampled)
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
        asyncio.get_running_loop().call_soon(of_nobody, context=contextvars.Context())
        await asyncio.sleep(0.01)

    def in_callback() -> None:
        spin(0.02)

    def of_nobody() -> None:
        spin(0.02)

    async def app() -> None:
        await asyncio.create_task(hands_on(), context=contextvars.Context())

    recording = profiled(app, sampled=sampled)
    assert "hands_on" in names(recording)
    assert above(recording, "in_thread") and above(recording, "in_thread") <= {"[thread]", "run"}
    # No task, and a strand of its own: its context is a copy of the task's, which names the request meanwhile.
    assert above(recording, "in_callback") == {"[task]"}
    assert "of_nobody" not in names(recording)


def test_ends_of_all_sorts_leave_nothing_behind() -> None:
    """Cancelled before it began, closed by who was to make its task, outliving the request: of others at its address
    nothing is told."""
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
        loop = asyncio.get_running_loop()
        loop.set_task_factory(refuses)
        closed = [unmade() for _ in range(8)]
        for one in closed:
            with pytest.raises(ValueError):
                await asyncio.create_task(one, context=context)
        loop.set_task_factory(None)
        noted.update(map(id, closed))

    def refuses(loop: Any, coroutine: Any, **_: Any) -> Any:
        coroutine.close()  # which tells nobody
        raise ValueError

    async def unmade() -> None:  # as large as the next one
        stranger()

    async def other() -> None:
        stranger()

    def stranger() -> None:
        spin(0.001)

    async def main() -> list[_core.Recording]:
        recordings = [await stepped(app, False) for _ in range(20)]
        noted.clear()
        open_one = _core.Recording("none", follows=True)  # of those that are over nobody is told anything
        try:
            await open_one.step(app())
            for task in kept:
                await task
            # Made where nothing tells of it, at addresses that are noted.
            others = [other() for _ in range(50)]
            assert SANITIZED or noted & set(map(id, others)), "used again"
            for one in others:
                await asyncio.Task(one, loop=asyncio.get_running_loop(), context=contextvars.Context())
        finally:
            open_one.finish()
        assert "late" in names(open_one)
        return [*recordings, open_one]

    noted: set[int] = set()
    kept: list[asyncio.Task[None]] = []
    for recording in asyncio.run(main()):
        assert not {"stranger", "other"} & names(recording)
        assert recording.totals()["mended"] == 0


def test_a_coroutine_at_the_address_of_one_that_was_dropped() -> None:
    """It has waited for nothing yet: what the other one waited for, until it was closed, is not its own."""
    async def waits() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(1)

    def drive() -> int:
        coroutine = waits()
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()  # which tells nobody
        return id(coroutine)

    async def app() -> None:
        addresses = []
        for _ in range(20):
            addresses.append(drive())
            time.sleep(0.002)
        assert SANITIZED or len(set(addresses)) < len(addresses), "used again"

    recording = profiled(app, sampled=False)
    assert not any(row["name"] in ("[task]", "[await]") for row in tree(recording)["rows"])
