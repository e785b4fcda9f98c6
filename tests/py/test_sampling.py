"""The sampler: shares that are known, states that are known, nobody else's frames, and no crash."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import platform
import random
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core

from conftest import SECCOMP, functions, loops, patient, record, tree

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="sampling is for Linux"),
              pytest.mark.usefixtures("no_brake")]


def sampler() -> dict[str, Any]:
    return _core.engine_info()["sampler"]


def spin(seconds: float) -> float:
    """Busy for so long of wall time; how long it was."""
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        pass
    return time.perf_counter() - start


def spin_a(seconds: float) -> float:
    return spin(seconds)


def spin_b(seconds: float) -> float:
    return spin(seconds)


def total(profile: _core.Recording, name: str) -> float:
    """Seconds, of a function by the last part of its name."""
    return sum(row["total_ns"] for row in functions(profile) if row["function"]["name"].split(".")[-1] == name) / 1e9


#: Times are stored in units of up to so many nanoseconds.
QUANTUM = 100


def self_times(profile: _core.Recording) -> int:
    return sum(row["self_ns"] for row in tree(profile)["rows"])


def test_it_works_on_this_interpreter() -> None:
    assert sampler()["why_not"] is None
    assert sampler()["children"] is True
    assert sampler()["memory"] == "process_vm_writev"
    assert sampler()["codes_watched"] is (sys.version_info >= (3, 12))


@patient
def test_a_stack_of_new_functions_is_seen_though_a_look_learns_few_of_them() -> None:
    """The sampler's lock is given back in between; nothing is lost, or told of anybody else."""

    def link(chain: list[Any], at: int) -> None:
        if at == len(chain):
            time.sleep(0.1)
        else:
            chain[at](chain, at + 1)

    def bottom() -> None:
        chain = [types.FunctionType(link.__code__.replace(co_firstlineno=first + n), globals()) for n in range(300)]
        link(chain, 0)

    first = random.randrange(1 << 20, 1 << 28)  # patient may come again
    _core.sampler_lock_measure(False)
    profile = record(bottom, sampled=True)
    assert 0 < sampler()["lock_learnt"] <= 32
    rows = [row for row in functions(profile) if first <= row["function"]["line"] < first + 300]
    assert len(rows) == 300
    assert min(row["total_ns"] for row in rows) > 0.05e9


@patient
def test_known_shares() -> None:
    known: dict[str, float] = {"spin_a": 0, "spin_b": 0, "doze": 0}

    def doze(seconds: float) -> float:
        start = time.perf_counter()
        time.sleep(seconds)
        return time.perf_counter() - start

    def program() -> None:
        for i in range(40):
            known["spin_a"] += spin_a(0.004 + i % 3 * 0.0013)
            known["spin_b"] += spin_b(0.002 + i % 5 * 0.0007)
            known["doze"] += doze(0.003)

    profile = record(program, sampled=True)
    wall = profile.totals()["wall_ns"] / 1e9
    for name, seconds in known.items():
        assert total(profile, name) / wall == pytest.approx(seconds / wall, abs=0.06), name
    assert total(profile, "program") == pytest.approx(sum(known.values()), rel=0.05)
    assert self_times(profile) == pytest.approx(profile.totals()["wall_ns"], abs=QUANTUM)


@patient
def test_the_parts_add_up() -> None:
    lock = threading.Lock()
    lock.acquire()

    def program() -> None:
        spin(0.1)
        time.sleep(0.1)
        lock.acquire(timeout=0.1)

    profile = record(program, sampled=True)
    totals = profile.totals()
    assert totals["seen_ns"] == pytest.approx(totals["wall_ns"], rel=0.02)
    assert totals["seen_cpu_ns"] == pytest.approx(totals["cpu_ns"], rel=0.1, abs=5_000_000)
    assert totals["gil_ns"] < 0.03e9, "nobody else wanted it"
    blocked = totals["wall_ns"] - totals["cpu_ns"] - totals["gil_ns"]
    assert blocked >= 0.19e9
    for row in tree(profile)["rows"]:
        assert row["cpu_ns"] + row["gil_ns"] <= row["seen_ns"] <= row["self_ns"] + 1000
    slept = {row["name"]: row["seen_ns"] - row["cpu_ns"] for row in tree(profile)["rows"]}
    assert slept["time.sleep"] >= 0.09e9 and slept["_thread.lock.acquire"] >= 0.09e9


@patient
def test_waiting_for_the_gil_is_told_from_blocking() -> None:
    stop = threading.Event()

    def rival() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=rival) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        profile = record(lambda: spin(0.6), sampled=True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    totals = profile.totals()
    on_cpu_or_gil = totals["wall_ns"] - totals["run_queue_ns"]  # other processes want the CPU, too
    assert totals["gil_ns"] > 0.35 * on_cpu_or_gil, "two others share it"
    assert totals["gil_ns"] + totals["cpu_ns"] > 0.6 * on_cpu_or_gil


@patient
def test_c_code_that_lets_the_gil_go_is_no_wait() -> None:
    data = bytes(1 << 20)

    def digest() -> None:
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            hashlib.sha256(data).digest()

    totals = record(digest, sampled=True).totals()
    assert totals["gil_ns"] < 0.1 * totals["wall_ns"]


@patient
def test_lines() -> None:
    def work() -> None:
        spin_a(0.06)
        spin_b(0.02)
        for _ in range(100):
            time.sleep(0.0004)

    profile = record(work, sampled=True)
    blob = _core.Profile(profile.encode({"mode": "sampling"}))
    row = next(row for row in functions(profile) if row["function"]["name"].endswith("work"))
    lines = {line["line"]: line for line in json.loads(blob.lines(row["function"]["id"]))["rows"]}
    first = work.__code__.co_firstlineno
    assert lines[first + 1]["called_ns"] == pytest.approx(60e6, rel=0.35)
    assert lines[first + 2]["called_ns"] == pytest.approx(20e6, rel=0.5)
    assert lines[first + 4]["called_ns"] > 35e6  # a C function is called, too
    with pytest.raises(ValueError):
        blob.lines(1 << 20)


@patient
def test_timeline_follows_time() -> None:
    def program() -> None:
        spin_a(0.03)
        spin_b(0.03)
        spin_a(0.03)

    profile = record(program, sampled=True)
    report = json.loads(_core.Profile(profile.encode({})).timeline())
    rows = {row["node"]: row for row in tree(profile)["rows"]}

    def top(row: dict[str, Any]) -> str:
        while not rows[row["node"]]["name"].startswith("spin_"):
            if row["node"] == 0:
                return ""
            row = rows[row["parent"]]
        return rows[row["node"]]["name"]

    order = [top(rows[row["node"]]) for row in report["rows"]]
    order = [name for i, name in enumerate(order) if name and (i == 0 or order[i - 1] != name)]
    assert order == ["spin_a", "spin_b", "spin_a"]
    at = 0
    for row in report["rows"]:
        assert at <= row["from_ns"] <= row["to_ns"] <= report["wall_ns"] + 100_000
        at = row["to_ns"]


@patient
def test_the_collector_is_a_node() -> None:
    def program() -> None:
        for _ in range(6):
            heap = [[] for _ in range(150_000)]
            heap.append(heap)
            del heap
            gc.collect()

    profile = record(program, sampled=True)
    assert any(row["name"] == "[gc]" and row["self_ns"] > 0 for row in tree(profile)["rows"])
    assert profile.totals()["gc_ns"] > 0


@patient
def test_deterministic_profiles_have_the_split_too() -> None:
    def program() -> None:
        spin(0.08)
        time.sleep(0.08)

    profile = record(program, "none")
    totals = profile.totals()
    assert totals["events"] >= 2 and totals["samples"] > 30
    assert totals["seen_ns"] > 0.1e9
    assert totals["seen_ns"] - totals["seen_cpu_ns"] > 0.06e9
    assert json.loads(_core.Profile(profile.encode({})).timeline())["rows"]


@patient
def test_recursion_and_depth() -> None:
    def down(n: int) -> float:
        return down(n - 1) if n else spin(0.05)

    for depth in (300, 1500):  # of the second the outermost frames are told
        took = 0.0

        def program(depth: int = depth) -> None:
            nonlocal took
            took = down(depth)

        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(3000)
        try:
            profile = record(program, sampled=True)
        finally:
            sys.setrecursionlimit(limit)
        totals = profile.totals()
        # What the machine gave to others between two samples is in both.
        assert total(profile, "down") == pytest.approx(took, rel=0.3, abs=0.02)
        assert totals["rejected"] <= totals["samples"] * 0.1 + 2
        assert self_times(profile) == pytest.approx(totals["wall_ns"], abs=QUANTUM)


@patient
def test_generators_and_frames_on_other_stacks() -> None:
    def leaf() -> Iterator[float]:
        for _ in range(10):
            yield spin(0.005)

    def middle() -> Iterator[float]:
        yield from leaf()

    took: list[float] = []
    profile = record(lambda: took.extend(middle()), sampled=True)
    assert total(profile, "leaf") == pytest.approx(sum(took), rel=0.3, abs=0.02)
    assert total(profile, "middle") == pytest.approx(sum(took), rel=0.3, abs=0.02)


@patient
def test_a_reused_address_is_not_another_function() -> None:
    took: dict[str, int] = {}

    def program() -> None:
        for i in range(150):
            space: dict[str, Any] = {"spin": spin}
            exec(f"def made_{i}(n):\n    return spin(n)", space)
            began = time.perf_counter_ns()
            space[f"made_{i}"](0.0015)
            took[f"made_{i}"] = time.perf_counter_ns() - began
            del space
            gc.collect(0)

    found: dict[str, float] = {}
    for row in functions(record(program, sampled=True)):
        name = row["function"]["name"]
        if name.startswith("made_"):
            if name in found:
                pytest.fail(f"{name} is there twice")
            found[name] = row["total_ns"]
    assert len(found) > 50
    assert all(ns < took[name] + 28e6 for name, ns in found.items()), "each ran for 1.5 ms or so"


# ---- whose time it is ----

REQUESTS = 200


def markers(number: int) -> dict[str, Any]:
    space: dict[str, Any] = {"asyncio": asyncio, "time": time, "spin": spin, "known": [], "known_of_children": []}
    exec(textwrap.dedent(f"""
        async def own_{number}_child(n):
            spin(0.002)
            start = time.perf_counter()
            await asyncio.sleep(0.01)
            known_of_children.append(time.perf_counter() - start)

        def own_{number}_thread():
            spin(0.003)

        async def own_{number}_app():
            spin(0.002)
            start = time.perf_counter()
            await asyncio.sleep(0.02)
            known.append(time.perf_counter() - start)
            await asyncio.gather(*(own_{number}_child(n) for n in range(2)))
            await asyncio.to_thread(own_{number}_thread)
    """), space)
    return space


async def one_request(number: int, space: dict[str, Any]) -> _core.Recording:
    profile = _core.Recording(sampled=True, follows=True)
    try:
        await profile.step(space[f"own_{number}_app"]())
    finally:
        profile.finish()
    return profile


@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)
@patient
def test_200_requests_on_one_loop_keep_apart(loop: Any) -> None:
    spaces = [markers(i) for i in range(REQUESTS)]

    async def main() -> list[_core.Recording]:
        return await asyncio.gather(*(one_request(i, spaces[i]) for i in range(REQUESTS)))

    with asyncio.Runner(loop_factory=loop) as runner:
        profiles = runner.run(main())
    children = threads = 0
    off: list[float] = []
    off_children: list[float] = []
    for i, profile in enumerate(profiles):
        report = tree(profile)
        names = {row["name"] for row in report["rows"] if row["name"].startswith("own_")}
        if not all(name.startswith(f"own_{i}_") for name in names):
            pytest.fail(f"request {i} has frames of others: {names}")
        children += f"own_{i}_child" in names
        threads += f"own_{i}_thread" in names
        sleep = next(row for row in report["rows"] if row["name"] == "sleep" and row["call_line"] == 14)
        off.append(abs(sleep["total_ns"] / 1e9 - spaces[i]["known"][0]))
        in_children = next(row for row in report["rows"] if row["name"] == "sleep" and row["call_line"] == 5)
        off_children.append(abs(in_children["total_ns"] / 1e9 - sum(spaces[i]["known_of_children"])) / 2)
        own = sum(row["self_ns"] for row in report["rows"] if not strand_of(report, row))
        assert own == pytest.approx(report["wall_ns"], abs=QUANTUM)
    # The chain that awaited the sleep has its time; a thread that loses its core in between is no fault of either.
    assert sorted(off)[REQUESTS * 3 // 4] < 0.002 and max(off) < 0.1
    assert sorted(off_children)[REQUESTS * 3 // 4] < 0.002 and max(off_children) < 0.1
    if children != REQUESTS:
        pytest.fail(f"{REQUESTS - children} requests lack their tasks")
    assert threads > REQUESTS * 0.6


def strand_of(report: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether the row lies in a strand beside the request."""
    rows = {one["node"]: one for one in report["rows"]}
    while row["node"] != 0:
        if row["strand"]:
            return True
        row = rows[row["parent"]]
    return False


@patient
def test_fifty_requests_in_eight_threads() -> None:
    def view(number: int) -> _core.Recording:
        space: dict[str, Any] = {"spin": spin}
        exec(f"def own_{number}_view():\n    return spin(0.012)", space)
        return record(space[f"own_{number}_view"], sampled=True)

    with ThreadPoolExecutor(8) as pool:
        profiles = list(pool.map(view, range(50)))
    hits = 0
    for i, profile in enumerate(profiles):
        names = {row["function"]["name"] for row in functions(profile) if row["function"]["name"].startswith("own_")}
        if not names <= {f"own_{i}_view"}:
            pytest.fail(f"request {i} holds {names}")
        hits += bool(names)
        assert self_times(profile) == pytest.approx(profile.totals()["wall_ns"], abs=QUANTUM)
    assert hits > 40


@patient
def test_threads_that_a_request_starts() -> None:
    def work() -> None:
        """Until the sampler has come round a hundred times: without probes (3.11) it looks here each sixteenth."""
        since, seen, end = time.perf_counter(), samples(), time.monotonic() + 30
        while samples() < seen + 100 and time.monotonic() < end:
            spin(0.001)
        took.append(time.perf_counter() - since)

    def samples() -> int:
        return int(_core.engine_info()["sampler"]["samples"])

    def program() -> None:
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()

    took: list[float] = []
    profile = record(program, sampled=True)
    report = tree(profile)
    rows = [row for row in report["rows"] if row["name"].endswith("work")]
    assert rows and all(strand_of(report, row) for row in rows)
    assert took[-1] / 4 < sum(row["total_ns"] for row in rows) / 1e9 < took[-1] + 0.02


@patient
def test_other_tasks_are_never_charged() -> None:
    async def stranger() -> None:
        for _ in range(20):
            spin(0.003)
            await asyncio.sleep(0)

    async def app() -> None:
        for _ in range(10):
            await asyncio.sleep(0.001)

    async def main() -> _core.Recording:
        other = asyncio.create_task(stranger())
        profile = _core.Recording(sampled=True, follows=True)
        await profile.step(app())
        profile.finish()
        await other
        return profile

    profile = asyncio.run(main())
    if any("stranger" in row["name"] for row in tree(profile)["rows"]):
        pytest.fail("another task's work is charged to the request")
    totals = profile.totals()  # the stranger holds up the loop, and is named for it, not charged here
    assert totals["await_ns"] + totals["loop_ns"] > 0.8 * totals["wall_ns"]


def test_what_a_coroutine_of_cython_awaits_is_seen() -> None:
    """Such a one has no frame, nor `cr_await` as CPython's have it; it is known by its type's name. (This one is not
    C, but waits as that does.)"""
    class Awaits:
        __slots__ = ("of",)

        def __init__(self, of: Any) -> None:
            self.of = of

        def __await__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self.of)

        def send(self, value: Any) -> Any:
            return self.of.send(value)

    coroutine = type("_cython_3_1_4.coroutine", (Awaits,), {"__slots__": ()})
    wrapper = type("_cython_3_1_4.coroutine_wrapper", (Awaits,), {"__slots__": ()})

    async def handler() -> None:
        await asyncio.sleep(0.02)

    async def app() -> None:
        await wrapper(coroutine(handler().__await__()))

    async def main() -> _core.Recording:
        profile = _core.Recording(sampled=True, follows=True)
        await profile.step(app())
        profile.finish()
        return profile

    rows = {row["name"].rpartition(".")[2]: row["total_ns"] / 1e9 for row in tree(asyncio.run(main()))["rows"]}
    assert rows["handler"] > 0.015 and rows["sleep"] > 0.015, rows


# ---- a deterministic profile that is full goes on by sampling ----


def many_functions(count: int) -> Callable[[], None]:
    space: dict[str, Any] = {}
    exec("\n".join(f"def many_{i}():\n    pass" for i in range(count)), space)
    made = [space[f"many_{i}"] for i in range(count)]

    def call_them() -> None:
        for one in made:
            one()

    return call_them


@patient
def test_a_full_profile_goes_on_by_sampling() -> None:
    call_them = many_functions(300)

    took: dict[str, float] = {}

    def seen(spin: Callable[[float], float], times: int) -> float:
        """Spins until it was looked at so often, however late the sampler is."""
        until = sampler()["samples"] + times
        since = time.perf_counter()
        while sampler()["samples"] < until:
            spin(0.005)
        return time.perf_counter() - since

    def program() -> None:
        call_them()
        took["spin_a"] = seen(spin_a, 100)
        took["spin_b"] = seen(spin_b, 50)

    users = _core.engine_info()["users"]
    profile = _core.Recording("none", max_nodes=200, goes_on=True)
    profile.enter()
    program()
    assert _core.engine_info()["users"] == users, "nobody wants its events any more"
    profile.leave()
    profile.finish()
    totals = profile.totals()
    report = tree(profile)
    assert 0 < totals["sampled_from_ns"] < report["wall_ns"] - sum(took.values()) * 1e9
    assert totals["truncated"] and totals["samples"] >= 150 and totals["nodes"] <= 200
    assert 100 < totals["events"] < 190, "calls are counted up to there"
    rows = {row["node"]: row for row in report["rows"]}
    assert sum(row["self_ns"] for row in rows.values()) == pytest.approx(report["wall_ns"], abs=QUANTUM)
    (sampled,) = (row for row in rows.values() if row["name"] == "[by sampling]")
    assert sampled["parent"] == 0

    def below(row: dict[str, Any]) -> bool:
        while row["node"] != 0 and row["node"] != sampled["node"]:
            row = rows[row["parent"]]
        return row["node"] != 0

    found = {row["name"].rsplit(".", 1)[-1]: row for row in rows.values() if below(row)}
    assert found["spin_a"]["total_ns"] == pytest.approx(took["spin_a"] * 1e9, rel=0.2)
    assert found["spin_b"]["total_ns"] == pytest.approx(took["spin_b"] * 1e9, rel=0.3)
    assert found["spin_a"]["calls"] == 0, "samples are no calls"
    assert found["spin_a"]["call_line"] == seen.__code__.co_firstlineno + 5
    assert not below(next(row for row in rows.values() if row["name"] == "many_5"))


def test_a_full_profile_of_a_coroutine_goes_on_by_sampling() -> None:
    call_them = many_functions(300)

    async def child() -> None:
        spin(0.03)

    async def app() -> None:
        call_them()
        await asyncio.sleep(0.03)
        await asyncio.create_task(child())
        await asyncio.sleep(0.02)

    async def main() -> _core.Recording:
        profile = _core.Recording("none", max_nodes=200, goes_on=True, follows=True)
        await profile.step(app())
        profile.finish()
        return profile

    profile = asyncio.run(main())
    totals = profile.totals()
    assert totals["sampled_from_ns"] > 0
    assert totals["await_ns"] + totals["loop_ns"] > 0.075e9
    report = tree(profile)
    rows = {row["node"]: row for row in report["rows"]}
    waits = [row for row in rows.values() if row["name"] == "[await]" and row["self_ns"] > 15e6]
    assert {rows[row["parent"]]["name"] for row in waits} >= {"sleep"}
    assert any(row["name"].endswith("child") and strand_of(report, row) for row in rows.values())


def test_without_leave_to_go_on_paths_are_folded() -> None:
    call_them = many_functions(300)
    profile = _core.Recording("none", max_nodes=200)
    profile.enter()
    call_them()
    profile.leave()
    profile.finish()
    totals = profile.totals()
    assert totals["sampled_from_ns"] == 0 and totals["truncated"]
    assert totals["events"] == 301, "no call is lost"


# ---- the process around it ----


@patient
def test_it_sleeps_when_nothing_is_sampled() -> None:
    record(lambda: spin(0.005), sampled=True)
    time.sleep(0.1)
    assert sampler()["parked"]
    before = sampler()["ticks"]
    time.sleep(0.05)
    assert sampler()["ticks"] == before


@patient
def test_the_brake() -> None:
    _core.sampler_configure(0.0001, 0.1)
    for _ in range(30):  # on a busy machine it looks less often than it may, and uses its purse up later
        profile = record(lambda: spin(0.8), sampled=True)
        if profile.totals()["interval_ns"] > 500_000:
            break
    assert profile.totals()["interval_ns"] > 500_000
    assert sampler()["current_ns"] > 100_000
    _core.sampler_configure(0.001, 0)
    assert sampler()["current_ns"] == 1_000_000
    with pytest.raises(ValueError):
        _core.sampler_configure(0, 0)


@patient
def test_the_brake_says_so(tmp_path: Path) -> None:
    done = run(PRELUDE + f"""
    import logging
    logging.basicConfig(level=logging.INFO)
    from slowlens.wsgi import ProfilerMiddleware
    def page(environ, start_response):
        start_response("200 OK", [])
        spin(0.8)
        return [b""]
    app = ProfilerMiddleware(page, store={str(tmp_path)!r}, mode="sampling", keep="all", log=False, interval_us=100,
                             sampler_cpu=0.1)
    for _ in range(2):
        body = app({{"REQUEST_METHOD": "GET", "PATH_INFO": "/"}}, lambda *_: None)
        list(body); getattr(body, "close", int)()
    app.recorder.writer.flush()
    from slowlens.store import Query
    for row in app.recorder.store.list(Query()).rows:
        meta = json.loads(_core.Profile(app.recorder.store.get(row["id"])).meta())["meta"]
        assert meta["interval_ns"] > 200_000
    """)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("instead of every 0.1 ms: the sampler reached its limit") == 1, done.stderr


def run(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True,
                          timeout=120, **options)


PRELUDE = """
    import os, sys, time, json, threading
    from slowlens import _core, engine
    def spin(seconds):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until: pass
    def sampled(seconds=0.05):
        profile = _core.Recording(sampled=True)
        profile.enter(); spin(seconds); profile.leave(); profile.finish()
        return profile.totals()["samples"]
"""


@patient
def test_fork() -> None:
    done = run(PRELUDE + """
    engine.prepare()
    _core.sampler_configure(0.001, 0)
    stop = time.monotonic() + 2
    def soon(): return any(sampled() > 0 for _ in range(10))
    def busy():
        while time.monotonic() < stop: sampled(0.01)
    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads: thread.start()
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            assert soon(), "the sampler works in the child"
            grandchild = os.fork()
            if grandchild == 0: os._exit(0 if soon() else 3)
            os._exit(os.waitpid(grandchild, 0)[1] >> 8)
        assert os.waitpid(pid, 0)[1] == 0
    for thread in threads: thread.join()
    assert soon()
    """)
    if done.returncode < 0:
        pytest.fail(f"it crashed: {done.returncode} {done.stderr[-2000:]}")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("way", ["pass", "sys.exit(0)", "os._exit(0)",
                                 "threading.Thread(target=spin, args=(.05,)).start()"])
def test_exit_at_any_moment(way: str) -> None:
    for delay in (0, 0.003, 0.02):
        done = run(PRELUDE + f"""
    engine.prepare()
    profile = _core.Recording(sampled=True)
    profile.enter()
    threading.Thread(target=lambda: [sampled(0.005) for _ in range(1000)], daemon=True).start()
    spin({delay})
    {way}
    """)
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls")
def test_without_the_first_method_the_next_serves() -> None:
    done = run(PRELUDE + SECCOMP + """
    forbid(311)  # process_vm_writev
    engine.prepare()
    info = _core.engine_info()["sampler"]
    assert info["memory"] == "memfd", info
    assert sampled() > 0
    """)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("forbidden", ["", "forbid(311)"])
@pytest.mark.parametrize("where", ["here", "in a child"])
def test_descriptors_that_the_application_closed_are_not_used(tmp_path: Path, forbidden: str, where: str) -> None:
    """Daemons close all numbers; those that were ours are then the application's files."""
    done = run(PRELUDE + SECCOMP + f"""
    {forbidden}
    engine.prepare()
    _core.sampler_configure(0.001, 0)
    def waits(seconds=0.03):  # so that the kernel is asked what for
        profile = _core.Recording(sampled=True)
        profile.enter(); spin(seconds); time.sleep(seconds); spin(seconds); profile.leave(); profile.finish()
        return profile.totals()["samples"]
    def soon(): return any(waits() > 3 for _ in range(50))
    def elsewhere():
        seen = []
        thread = threading.Thread(target=lambda: seen.append(soon()))
        thread.start(); thread.join()
        return seen == [True]
    assert soon()
    if {where!r} != "here" and (child := os.fork()):
        sys.exit(os.waitpid(child, 0)[1] >> 8)
    assert soon()
    ours = [int(name) for name in os.listdir("/proc/self/fd")]
    os.closerange(3, 256)
    paths = [{str(tmp_path)!r} + f"/file{{i}}" for i in range(40)]
    files = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
    for fd in files: os.write(fd, b"ours")
    assert set(files) & set(ours), "what the sampler looks for next may be below"
    assert elsewhere() and soon(), "and it goes on"
    for fd, path in zip(files, paths):
        assert os.path.samestat(os.fstat(fd), os.stat(path)), fd
        assert os.pread(fd, 100, 0) == b"ours", fd
    """)
    assert done.returncode == 0, done.stderr[-2000:]


def test_instructions_that_are_told_in_another_way() -> None:
    """A CPython whose dis has other names costs the names of C functions, and nothing else."""
    done = run(PRELUDE + """
    import dis
    del dis.deoptmap
    engine.prepare()
    info = _core.engine_info()["sampler"]
    assert info["why_not"] is None, info
    assert any(sampled() > 0 for _ in range(20))
    """)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_childs_end_of_a_request_is_by_its_own_clock() -> None:
    done = run(PRELUDE + """
    engine.prepare()
    profile = _core.Recording(sampled=True)
    profile.enter(); spin(0.01)
    if child := os.fork():
        sys.exit(os.waitpid(child, 0)[1] >> 8)
    assert profile.totals()["wall_ns"] < 60e9, profile.totals()
    """)
    assert done.returncode == 0, done.stderr[-2000:]


def test_signals_and_faulthandler_go_on() -> None:
    done = run(PRELUDE + """
    import faulthandler, signal
    faulthandler.enable()
    engine.prepare()
    hits = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    seen = 0
    assert any((seen := seen + sampled(0.2)) > 20 for _ in range(50))  # a busy machine looks less often
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(hits) > 5
    """)
    assert done.returncode == 0, done.stderr[-2000:]


@patient
def test_greenlets_do_not_crash_it() -> None:
    greenlet = pytest.importorskip("greenlet")

    def other() -> None:
        for _ in range(20):
            spin(0.002)
            main.switch()

    main = greenlet.getcurrent()

    def program() -> None:
        one = greenlet.greenlet(other)
        for _ in range(20):
            spin_a(0.002)
            one.switch()

    profile = record(program, sampled=True)
    assert self_times(profile) == pytest.approx(profile.totals()["wall_ns"], abs=QUANTUM)
    assert total(profile, "spin_a") > 0


@patient
def test_asgi_app_by_default_options(store_path: str) -> None:
    from slowlens.asgi import ProfilerMiddleware

    async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        seen, until = sampler()["samples"], time.perf_counter() + 30
        while sampler()["samples"] < seen + 10 and time.perf_counter() < until:
            spin(0.001)
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    wrapped = ProfilerMiddleware(app, mode="sampling", keep="all", store=store_path, sampler_cpu=0)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [],
             "client": ("127.0.0.1", 1)}

    async def send(message: Any) -> None:
        pass

    asyncio.run(wrapped(scope, send, send))
    assert wrapped.recorder.writer.flush()
    row = wrapped.recorder.store.list(_query()).rows[0]
    meta = json.loads(_core.Profile(wrapped.recorder.store.get(row["id"])).meta())["meta"]
    assert meta["mode"] == "sampling" and meta["samples"] > 5
    assert meta["await_ns"] >= 19e6
    parts = meta["blocked_ns"] + meta["gil_wait_ns"] + meta.get("run_queue_ns", 0)
    assert parts == meta["waiting_ns"]


def _query() -> Any:
    from slowlens.store.interface import Query

    return Query()


@patient
def test_self_time_of_a_deterministic_profile_stands_on_its_lines() -> None:
    def works() -> int:
        total = 0
        until = sampler()["samples"] + 100
        while sampler()["samples"] < until:
            for i in range(2000):
                total ^= i  # most of its time
            total += 1
        return total

    first = works.__code__.co_firstlineno
    blob = _core.Profile(record(works).encode({"mode": "deterministic"}))
    rows = json.loads(blob.functions())["rows"]
    row = next(row for row in rows if row["function"]["name"].endswith("works"))
    lines = {line["line"]: line for line in json.loads(blob.lines(row["function"]["id"]))["rows"]}
    own = sum(line["self_ns"] for line in lines.values())
    assert own == pytest.approx(row["self_ns"], abs=len(lines)), "samples divide it, events say how long it was"
    assert lines[first + 4]["self_ns"] + lines.get(first + 5, {"self_ns": 0})["self_ns"] > 0.8 * own
    assert lines.get(0, {"self_ns": 0})["self_ns"] < 0.1 * own
