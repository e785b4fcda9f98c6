"""Many requests at once, each with child tasks, jobs of a shared pool and greenlets, all functions its own: not one of
another's, not one missing. ``MIXED_REQUESTS=200`` runs it with so many."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest

from slowlens import _core

from conftest import functions, loops

if find_spec("greenlet") is None:  # a library that may not be there for the newest interpreter yet
    pytest.skip("greenlet is not installed", allow_module_level=True)
from greenlet import greenlet

REQUESTS = int(os.environ.get("MIXED_REQUESTS", "24"))
BACKENDS = [name for name in ("asyncio", "trio") if find_spec("anyio") and find_spec(name)]

SOURCE = """
def own_{n}_job(x):
    time.sleep(0.001)
    return own_{n}_leaf(x)

def own_{n}_leaf(x):
    return sum(range(x))

def own_{n}_green(x):
    back = greenlet.getcurrent().parent
    for i in range(3):
        own_{n}_leaf(x)
        back.switch(i)
    return x

async def own_{n}_child(x):
    await sleep(0.001 * (x % 3))
    own_{n}_leaf(x)
    return await own_{n}_deeper(x)

async def own_{n}_deeper(x):
    await sleep(0)
    return own_{n}_leaf(x)
"""


def space(number: int, sleep: Callable[[float], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"time": time, "greenlet": greenlet, "sleep": sleep}
    exec(SOURCE.format(n=number), found)
    return found


def owned(profile: _core.Recording) -> dict[str, int]:
    return {row["function"]["name"]: row["calls"] for row in functions(profile)
            if row["function"]["name"].startswith("own_")}


def check(profiles: list[_core.Recording], sampled: bool, calls: dict[str, int], told: set[str]) -> None:
    """``told``: what a sampled profile has, however short it was, because something tells of it (CPython 3.12+)."""
    for number, profile in enumerate(profiles):
        found = owned(profile)
        mine = {f"own_{number}_{name}": count for name, count in calls.items()}
        assert set(found) - set(mine) == set(), "another request's"
        if not sampled:
            assert found == mine
        elif sys.version_info >= (3, 12):
            assert {f"own_{number}_{name}" for name in told} <= set(found)


@pytest.mark.parametrize("sampled", [False, True], ids=["deterministic", "sampling"])
@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)
def test_on_one_loop(loop: Any, sampled: bool) -> None:
    if sampled and _core.engine_info()["sampler"]["why_not"] is not None:
        pytest.skip("nothing is sampled here")
    pool = ThreadPoolExecutor(4)

    async def request(number: int) -> _core.Recording:
        own = space(number, asyncio.sleep)

        async def app() -> None:
            async with asyncio.TaskGroup() as group:
                for x in range(4):
                    group.create_task(own[f"own_{number}_child"](x))
                jobs = [pool.submit(own[f"own_{number}_job"], x) for x in range(3)]
                await asyncio.gather(*map(asyncio.wrap_future, jobs))
                await asyncio.get_running_loop().run_in_executor(pool, own[f"own_{number}_job"], 7)
            other = greenlet(own[f"own_{number}_green"])
            while not other.dead:
                other.switch(5)
                await asyncio.sleep(0.001)

        profile = _core.Recording("none", sampled=sampled, follows=True)
        await profile.step(app())
        profile.finish()
        return profile

    async def main() -> list[_core.Recording]:
        return await asyncio.gather(*(request(number) for number in range(REQUESTS)))

    with asyncio.Runner(loop_factory=loop) as runner:
        profiles = runner.run(main())
    pool.shutdown()
    check(profiles, sampled, {"child": 4, "deeper": 4, "job": 4, "green": 1, "leaf": 4 * 2 + 4 + 3}, {"child"})


@pytest.mark.parametrize("sampled", [False, True], ids=["deterministic", "sampling"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_under_anyio(backend: str, sampled: bool) -> None:
    import anyio

    if sampled and _core.engine_info()["sampler"]["why_not"] is not None:
        pytest.skip("nothing is sampled here")
    profiles: list[_core.Recording] = [None] * REQUESTS  # type: ignore[list-item]

    async def request(number: int) -> None:
        own = space(number, anyio.sleep)

        async def app() -> None:
            async with anyio.create_task_group() as group:
                for x in range(4):
                    group.start_soon(own[f"own_{number}_child"], x)
                for x in range(2):
                    group.start_soon(anyio.to_thread.run_sync, own[f"own_{number}_job"], x)

        profile = _core.Recording("none", sampled=sampled, follows=True)
        await profile.step(app())
        profile.finish()
        profiles[number] = profile

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(REQUESTS):
                group.start_soon(request, number)

    anyio.run(main, backend=backend)
    calls = {"child": 4, "deeper": 4, "job": 2, "leaf": 4 * 2 + 2}
    # trio drives coroutines by their methods, which nothing tells of. Its threads serve whoever comes.
    check(profiles, sampled, calls, {"child"} if backend == "asyncio" else set())
