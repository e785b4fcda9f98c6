"""Exactness: counts equal cProfile's, times add up, other tools are left alone."""

from __future__ import annotations

import cProfile
import pstats
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from slowlens import _core

from conftest import functions, record, tree
from programs import PROGRAMS, c_callbacks, fib, generators, library, recursion

OURS = {"record", "enter", "leave", "disable", "enable"}


def c_name(label: str) -> str:
    """The bare name in cProfile's label of a C function."""
    found = re.match(r"<method '([^']+)' of|<built-in method (?:.*\.)?(\w+)(?: of type object at .*)?>", label)
    assert found, label
    return found[1] or found[2]


def cprofile_counts(call: Callable[[], Any]) -> Counter[Any]:
    profiler = cProfile.Profile()
    profiler.enable()
    call()
    profiler.disable()
    counts: Counter[Any] = Counter()
    for (file, line, name), (_, calls, *_rest) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        key = c_name(name) if file == "~" else (file, line, name)
        if key not in OURS:
            counts[key] += calls
    return counts


def our_counts(call: Callable[[], Any]) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for row in functions(record(call, "all")):
        one = row["function"]
        bare = one["name"].rsplit(".", 1)[-1]
        if one["kind"] == "pseudo":
            continue
        key = bare if one["kind"] == "c" else (one["file"], one["line"], bare)
        if key not in OURS:
            counts[key] += row["calls"] + row["resumes"]
    return counts


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_every_function_is_called_as_often_as_cprofile_says(program: Callable[[], None]) -> None:
    program()  # caches and lazy imports
    expected = cprofile_counts(program)
    found = our_counts(program)
    assert sum(expected.values()) > 20
    assert found == expected


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_times_add_up(program: Callable[[], None]) -> None:
    profile = record(program, "all")
    totals = profile.totals()
    assert totals["mended"] == 0
    assert totals["dropped"] == 0
    report = tree(profile)
    rows = {row["node"]: row for row in report["rows"]}
    assert sum(row["self_ns"] for row in rows.values()) == report["wall_ns"]
    quantum = 1 if totals["wall_ns"] < 1e6 else 10 if totals["wall_ns"] < 1e7 else 100
    assert abs(report["wall_ns"] - totals["wall_ns"]) <= quantum
    for row in rows.values():
        below = sum(child["total_ns"] for child in rows.values()
                    if child["parent"] == row["node"] and child["node"] != 0)
        assert row["total_ns"] == row["self_ns"] + below


@pytest.mark.parametrize("c_calls", ["none", "chosen", "all"])
def test_python_calls_are_counted_in_every_mode(c_calls: str) -> None:
    counts = {row["function"]["name"]: row["calls"] for row in functions(record(recursion, c_calls))}
    assert counts["fib"] == 465
    assert counts["recursion.<locals>.even"] + counts["recursion.<locals>.odd"] == 42


def test_chosen_records_c_calls_of_the_project_only() -> None:
    names = Counter({row["function"]["name"]: row["calls"] for row in functions(record(c_callbacks, "chosen"))
                     if row["function"]["kind"] == "c"})
    assert names["builtins.sorted"] == 1
    assert names["builtins.max"] == 1
    assert names["list.sort"] == 1
    everything = functions(record(library, "all"))
    chosen = functions(record(library, "chosen"))
    count = lambda rows: sum(row["calls"] for row in rows if row["function"]["kind"] == "c")  # noqa: E731
    assert 0 < count(chosen) < count(everything) / 5


def test_none_records_no_c_call() -> None:
    record(c_callbacks, "chosen")  # leaves local events behind
    rows = functions(record(c_callbacks, "none"))
    assert not [row for row in rows if row["function"]["kind"] == "c"]


def test_calls_know_their_line() -> None:
    def caller() -> None:
        fib(1)
        fib(2)

    first = caller.__code__.co_firstlineno + 1
    rows = [row for row in tree(record(caller, "chosen"))["rows"] if row["name"] == "fib"]
    lines = sorted(row["call_line"] for row in rows if row["call_line"] > first - 1)
    assert lines[-2:] == [first, first + 1]


class Implicit:
    @property
    def one(self) -> int:
        return 1

    def __getitem__(self, key: int) -> int:
        return key

    def __bool__(self) -> bool:
        return True


def test_what_no_call_expression_calls_stands_on_its_line() -> None:
    """An attribute, an index, a truth: not on the line of the call before it."""
    def caller() -> None:
        thing = Implicit()
        len("a")
        thing.one  # noqa: B018
        len("b")
        thing[1]
        len("c")
        if thing:
            len("d")

    first = caller.__code__.co_firstlineno
    rows = tree(record(caller, "chosen"))["rows"]
    found = {row["name"]: row["call_line"] - first for row in rows if row["name"].startswith("Implicit.")}
    assert found == {"Implicit.one": 3, "Implicit.__getitem__": 5, "Implicit.__bool__": 7}


def test_cprofile_beside_us_counts_the_same() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("3.11 has one slot for both")
    alone = cprofile_counts(generators)
    inside: list[Any] = []
    ours = Counter()
    for row in functions(record(lambda: inside.append(cprofile_counts(generators)), "all")):
        ours[row["function"]["name"].rsplit(".", 1)[-1]] += row["calls"] + row["resumes"]
    assert inside[0] == alone
    assert ours["echo"] == alone[next(key for key in alone if key[2] == "echo")]


def test_another_profiler_on_3_11_is_refused_not_replaced() -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("there is room for both")
    calls: list[str] = []
    sys.setprofile(lambda frame, event, arg: calls.append(event))
    try:
        with pytest.raises(RuntimeError, match="another profiler"):
            _core.Recording("all")
        fib(2)
    finally:
        sys.setprofile(None)
    assert calls


def test_trace_functions_go_on_working() -> None:
    lines: list[int] = []

    def tracer(frame: Any, event: str, arg: Any) -> Any:
        if event == "line":
            lines.append(frame.f_lineno)
        return tracer

    def traced() -> None:
        sys.settrace(tracer)
        fib(3)
        sys.settrace(None)

    traced()
    expected, lines[:] = lines[:], []
    profile = record(traced, "all")
    assert lines == expected
    assert {row["function"]["name"]: row["calls"] for row in functions(profile)}["fib"] == 5
