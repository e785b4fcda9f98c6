"""The Profile object: its states, its caps, its references, fork."""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slowlens import _core, engine
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, functions, patient, record, tree, wsgi_call
from programs import fib, library


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="c_calls must be 'none', 'chosen' or 'all', not 'some'"):
        _core.Recording("some")
    with pytest.raises(ValueError, match="max_bytes"):
        _core.Recording(max_bytes=-1)
    with pytest.raises(ValueError, match="limit"):
        _core.Recording(max_bytes=1000)
    with pytest.raises(TypeError):
        _core.Recording(unknown=1)  # type: ignore[call-arg]


def test_states() -> None:
    profile = _core.Recording()
    with pytest.raises(RuntimeError, match="running"):
        profile.totals()
    with pytest.raises(RuntimeError, match="finished"):
        profile.encode({})
    profile.enter()
    with pytest.raises(RuntimeError, match="already"):
        profile.enter()
    profile.leave()
    profile.leave()
    profile.finish()
    profile.finish()
    assert profile.finished
    with pytest.raises(RuntimeError, match="finished"):
        profile.enter()
    with pytest.raises(RuntimeError, match="finished"):
        profile.step(None)  # type: ignore[arg-type]
    profile.discard()
    profile.discard()
    assert profile.wall_ns > 0
    for call in (profile.totals, lambda: profile.encode({})):
        with pytest.raises(RuntimeError):
            call()


def test_metadata_is_checked_and_kept() -> None:
    profile = record(lambda: None)
    with pytest.raises(TypeError, match="metadata"):
        profile.encode({"a": 1.5})  # type: ignore[dict-item]
    with pytest.raises(OverflowError):
        profile.encode({"a": 1 << 70})
    blob = profile.encode({"a": -5, "b": "caf\xe9 \udc80", "c": None, "big": 2**63 - 1})
    assert json.loads(_core.read_meta(blob))["meta"] == {"a": -5, "b": "caf\xe9 \\udc80", "big": 2**63 - 1}


def test_gaps_between_sections_are_named() -> None:
    profile = _core.Recording()
    for _ in range(3):
        profile.enter()
        fib(3)
        profile.leave()
        time.sleep(0.01)
    profile.finish()
    idle = profile.totals()["idle_ns"]
    assert 20e6 < idle < profile.wall_ns
    rows = {row["name"]: row for row in tree(profile)["rows"]}
    assert rows["[between chunks]"]["calls"] == 2
    assert abs(rows["[between chunks]"]["self_ns"] - idle) < 1000


def test_garbage_collection_has_a_node() -> None:
    profile = record(gc.collect)
    rows = {row["name"]: row for row in tree(profile)["rows"]}
    assert rows["[gc]"]["calls"] == 1
    assert profile.totals()["gc_ns"] > 0


def test_caps_lose_no_call() -> None:
    library()  # the first time fills caches (regular expressions)
    full = {row["function"]["name"]: row["calls"] for row in functions(record(library))}
    capped = record(library, max_nodes=30)
    assert capped.totals()["truncated"] is True
    assert capped.totals()["nodes"] < 30 + len(full) + 10
    assert {row["function"]["name"]: row["calls"] for row in functions(capped)
            if row["function"]["name"] != "[truncated]"} == full


def test_a_small_memory_cap_is_kept() -> None:
    namespace: dict[str, Any] = {}
    exec("\n".join(f"def f{i}(): pass" for i in range(20000)), namespace)
    calls = [value for name, value in namespace.items() if name.startswith("f")]
    profile = record(lambda: [call() for call in calls], max_bytes=300_000)
    totals = profile.totals()
    assert totals["truncated"] is True
    assert totals["bytes"] < 320_000
    assert totals["dropped"] > 0
    blob = _core.Profile(profile.encode({}))
    assert json.loads(blob.summary())["wall_ns"] > 0


def test_references_before_equal_references_after() -> None:
    code = fib.__code__
    callee = record(library)  # warm
    callee.discard()
    gc.collect()

    def counts() -> tuple[int, ...]:
        return (sys.getrefcount(code), sys.getrefcount(dict), sys.getrefcount(len), sys.getrefcount(None) * 0)

    for _ in range(3):
        record(lambda: (fib(5), library(), {}.get(1), len("")), "all").discard()
    before = counts()
    for _ in range(50):
        profile = record(lambda: (fib(5), library(), {}.get(1), len("")), "all")
        profile.encode({"a": 1})
        profile.discard()
    _core.engine_idle(0)
    after = counts()
    # One leaked reference a round would make 50.
    assert all(abs(a - b) < 25 for a, b in zip(before, after, strict=True)), (before, after)


def test_a_dropped_profile_ends_itself() -> None:
    profile = _core.Recording()
    profile.enter()
    del profile
    assert _core.active_count() == 0
    fib(3)


def test_functions_that_die_keep_their_name() -> None:
    def make(i: int) -> None:
        namespace: dict[str, Any] = {}
        exec(f"def short_lived_{i}(): return {i}", namespace)
        namespace[f"short_lived_{i}"]()

    profile = record(lambda: [make(i) for i in range(300)])
    gc.collect()
    rows = [row for row in functions(profile) if row["function"]["name"].startswith("short_lived_")]
    assert len(rows) == 300
    assert all(row["calls"] == 1 for row in rows)


def test_hostile_names_are_only_text() -> None:
    name = '</script><b>"\u202e\x00'
    code = fib.__code__.replace(co_name="x", co_qualname=name, co_filename="/a\udcff/<i>.py")
    call = type(fib)(code, {"fib": fib})
    blob = _core.Profile(record(lambda: call(1)).encode({}))
    assert b"<b>" not in blob.functions()
    assert name in {row["function"]["name"] for row in json.loads(blob.functions())["rows"]}
    assert b"\x00" not in blob.text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_starts_afresh() -> None:
    profile = _core.Recording()
    profile.enter()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fib(5)
            own = record(lambda: fib(5), "none")
            calls = {row["function"]["name"]: row["calls"] for row in functions(own)}["fib"]
            lost = profile.finished and _core.active_count() == 0
            os.write(writer, f"{calls} {lost}".encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    fib(4)
    profile.leave()
    profile.finish()
    os.waitpid(child, 0)
    assert os.read(reader, 1000) == b"15 True"
    assert {row["function"]["name"]: row["calls"] for row in functions(profile)}["fib"] == 9
    os.close(reader)
    os.close(writer)


def test_events_go_off_when_nobody_wants_them() -> None:
    record(lambda: fib(3), "chosen")
    assert _core.engine_idle(0) is False
    assert _core.engine_info()["events_on"] is False
    switches = _core.engine_info()["switches"]
    for _ in range(100):
        record(lambda: fib(3), "chosen").discard()
    if sys.version_info >= (3, 12):
        assert _core.engine_info()["switches"] <= switches + 1, "one switch for a hundred requests"
        assert _core.engine_idle(60) is True, "lingers"
    assert _core.engine_idle(0) is False


def test_gc_of_cycles_through_a_step() -> None:
    async def app() -> None:
        pass

    coroutine = app()
    profile = _core.Recording(follows=True)
    step = profile.step(coroutine)
    del step
    coroutine.close()
    profile.discard()
    gc.collect()


def test_a_request_that_begins_deep_in_a_stack_and_ends_higher_up() -> None:
    """Frames that were entered before are left during the request: nothing is made up, nothing lost."""
    profiles: list[_core.Recording] = []

    def down(n: int) -> None:
        if n:
            down(n - 1)
            fib(2)  # after the request began, in a frame from before it
        else:
            profile = _core.Recording("none")
            profile.enter()
            profiles.append(profile)
            fib(3)

    down(30)
    profiles[0].leave()
    profiles[0].finish()
    totals = profiles[0].totals()
    assert totals["mended"] == 0
    counts = {row["function"]["name"]: row["calls"] for row in functions(profiles[0])}
    assert counts["fib"] == 5 + 30 * 3
    assert not any(name.endswith("down") for name in counts)
    report = tree(profiles[0])
    assert sum(row["self_ns"] for row in report["rows"]) == report["wall_ns"]


def small(x: int) -> int:
    return x + 1


def loops_only(n: int) -> int:
    x = 1
    for _ in range(n):
        x = (x * 3 + 1) & 1023
    return x


def calls_only(n: int) -> int:
    x = 1
    for _ in range(n):
        x = small(x) & 1023
    return x


class Adder:
    def add(self, x: int) -> int:
        return x + 1


def methods_only(n: int) -> int:
    adder = Adder()
    x = 1
    for _ in range(n):
        x = adder.add(x) & 1023
    return x


def numbers(n: int) -> Iterator[int]:
    yield from range(n)


def resumes_only(n: int) -> int:
    x = 1
    for one in numbers(n):
        x = one & 1023
    return x


def c_calls_only(n: int) -> int:
    x = 1
    for _ in range(n):
        x = abs(x) & 1023
    return x


@patient
@pytest.mark.parametrize("calls", [calls_only, methods_only, resumes_only, c_calls_only])
def test_what_recording_costs_is_taken_off(calls: Callable[[int], int]) -> None:
    """The share of a function that only calls: as it is bare, as recorded, as read; medians of interleaved runs."""
    engine._calibrate()  # as the machine is now: who shares a core with others computes at half its speed
    mode = "all" if calls is c_calls_only else "none"
    bare, raw, read = [], [], []
    for _ in range(60):
        took = []
        for run in (loops_only, calls):
            since = time.perf_counter_ns()
            run(2000)
            took.append(time.perf_counter_ns() - since)
        bare.append(took[1] / sum(took))
        profile = _core.Recording(mode)
        profile.enter()
        loops_only(2000)
        calls(2000)
        profile.leave()
        profile.finish()
        blob = _core.Profile(profile.encode({"mode": "deterministic", "c_mode": mode, **engine.cost_meta()}))
        _core.engine_idle(0)
        report = json.loads(blob.functions())
        rows = {row["function"]["name"].rsplit(".", 1)[-1]: row for row in report["rows"]}
        own = rows[calls.__name__]
        callee = next(row for row in report["rows"] if row["calls"] + row["resumes"] >= 2000)
        loops = rows["loops_only"]["total_ns"]
        read.append(own["total_ns"] / (own["total_ns"] + loops))
        recorded = own["total_ns"] + own["own_ns"] + callee["own_ns"]
        raw.append(recorded / (recorded + loops + rows["loops_only"]["own_ns"]))
        assert sum(row["self_ns"] for row in report["rows"]) == report["wall_ns"]
        assert rows["[own cost]"]["self_ns"] == sum(row["own_ns"] for row in report["rows"]) > 0
    assert all(less < more for less, more in zip(read, raw, strict=True))
    if sys.version_info < (3, 12):
        return  # a loop without calls runs half as fast, or less, while any hook is set, which nobody can take off
    truth = statistics.median(bare)
    assert statistics.median(raw) > truth + 0.05, "without it, calls look dear"
    assert abs(statistics.median(read) - truth) < (statistics.median(raw) - truth) * 0.5


def test_a_request_says_what_it_cost(store_path: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        calls_only(500)
        start_response("200 OK", [])
        return [b"x"]

    middleware = ProfilerMiddleware(app, store=store_path, debug=True, mode="deterministic", log=False)
    wsgi_call(middleware)
    stored = Stored(middleware.recorder)
    (row,) = stored.rows()
    summary = json.loads(stored.blob(row["id"]).summary())
    functions = json.loads(stored.blob(row["id"]).functions())["rows"]
    cost = next(one for one in functions if one["function"]["name"] == "[own cost]")
    assert summary["metrics"]["own_ns"] == cost["self_ns"] > 0
    assert summary["meta"]["cost_python_ps"] > 0
    # What a list says is what the page says.
    listed = _core.read_meta(stored.recorder.store.get(row["id"]))
    listed = json.loads(listed)["summary"]
    assert listed["self_project_ns"] == summary["self_ns"]["project"]


def test_lines_of_calls_that_do_not_stand_in_the_order_of_their_calls() -> None:
    """Each call's line is looked up from where the one before was: also one further up, one after thousands of lines,
    one within an expression of several lines, and two on one line."""
    seen: list[int] = []

    def tell() -> None:
        seen.append(sys._getframe(1).f_lineno)

    source = (
        "def first(tell):\n"
        "    for step in (3, 1, 2, 0):\n"
        "        if step == 0:\n            tell()\n"
        "        elif step == 1:" + "\n" * 3000 + "            tell()\n"
        "        elif step == 2:\n            (1 +\n                (tell() or\n                 2))\n"
        "        else:\n            tell(); tell()\n"
    )
    space: dict[str, Any] = {}
    exec(compile(source, "called.py", "exec"), space)
    profile = record(lambda: space["first"](tell))
    rows = [row for row in tree(profile)["rows"] if row["name"].endswith("tell")]
    assert sorted(row["call_line"] for row in rows for _ in range(row["calls"])) == sorted(seen)
    assert len(set(seen)) == 4 and max(seen) > 3000
