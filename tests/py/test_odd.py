"""Programs that go odd ways: each function's share beside what it measured itself, in both modes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import functions, patient, record

greenlet = pytest.importorskip("greenlet")
pytestmark = pytest.mark.usefixtures("no_brake")

truth: dict[str, float] = {}


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def measured(function: Callable[[], object]) -> None:
    started = time.perf_counter()
    try:
        function()
    finally:
        truth[function.__name__] = truth.get(function.__name__, 0) + (time.perf_counter() - started) * 1e9


def first() -> None:
    spin(0.04)


def second() -> None:
    spin(0.02)


def fails() -> None:
    spin(0.03)
    raise ValueError


def in_a_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def in_a_pool(call: Callable[..., object], *args: object) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call, *args).result()


def a_generator_that_other_threads_resume() -> None:
    def generator() -> Iterator[None]:
        while True:
            measured(second)
            yield

    one = generator()
    next(one)
    for _ in range(3):
        in_a_thread(lambda: next(one))
    next(one)


def a_loop_in_a_thread() -> None:
    async def step() -> None:
        measured(first)
        await asyncio.sleep(0.01)
        measured(second)

    in_a_pool(asyncio.run, step())


def a_pool_in_a_pool_in_a_pool() -> None:
    in_a_pool(in_a_pool, in_a_pool, measured, first)


def a_switch_within_a_callback_of_c() -> None:
    def key(number: int) -> int:
        greenlet.getcurrent().parent.switch()
        measured(second)
        return number

    one = greenlet.greenlet(lambda: sorted(range(4), key=key))
    one.switch()
    for _ in range(4):
        measured(first)
        one.switch()


def exceptions_of_a_thread() -> None:
    def catches() -> None:
        try:
            measured(fails)
        except ValueError:
            measured(second)

    in_a_thread(catches)


@pytest.mark.parametrize("sampled", (False, True) if sys.version_info >= (3, 12) else (False,),
                         ids=lambda sampled: "sampled" if sampled else "deterministic")
@pytest.mark.parametrize("program", (
    a_generator_that_other_threads_resume, a_loop_in_a_thread, a_pool_in_a_pool_in_a_pool,
    a_switch_within_a_callback_of_c, exceptions_of_a_thread,
), ids=lambda program: program.__name__)
@patient
def test_odd_ways(program: Callable[[], None], sampled: bool) -> None:
    truth.clear()
    found: dict[str, float] = {}
    for row in functions(record(program, sampled=sampled)):
        name = row["function"]["name"]
        found[name] = found.get(name, 0) + row["total_ns"]
    for name, took in truth.items():
        assert found.get(name, 0) == pytest.approx(took, rel=0.25, abs=15e6), (truth, found)
