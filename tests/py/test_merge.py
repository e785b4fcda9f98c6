"""Merging and comparing profiles: sums are sums, and a change has a name."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest
from test_exports import CORPUS

from slowlens import _core

from conftest import patient, record
from programs import fib, library, recursion


def blob(profile: _core.Recording, **meta: Any) -> _core.Profile:
    return _core.Profile(profile.encode(meta))


def rows(one: _core.Profile) -> list[dict[str, Any]]:
    report = json.loads(one.tree(0, 1 << 30, False, 1 << 24))
    names = {function["id"]: function for function in report["functions"]}
    for row in report["rows"]:
        row["key"] = names[row["function"]]["name"], names[row["function"]]["file"], names[row["function"]]["line"]
    return report["rows"]


def counts(one: _core.Profile) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in rows(one):
        found[row["key"]] += row["calls"] + row["resumes"]
    return found


def times(one: _core.Profile) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in rows(one):
        found[row["key"]] += row["self_ns"]
    return found


@pytest.mark.parametrize("name", CORPUS)
def test_a_profile_merged_with_itself_is_twice_it(name: str) -> None:
    one = blob(CORPUS[name](), mode="sampling" if name == "sampled" else "deterministic")
    same = _core.Profile(_core.merge([one], {"merged": 1}))
    assert counts(same) == counts(one) and times(same) == times(one)
    # Calls from two places of one line are two nodes until they are merged.
    again = _core.Profile(_core.merge([same], {}))
    assert again.tree(0, 1 << 30, False, 1 << 24) == same.tree(0, 1 << 30, False, 1 << 24)
    twice = _core.Profile(_core.merge([one, one], {"merged": 2, "path": "/x"}))
    assert counts(twice) == Counter({key: 2 * value for key, value in counts(one).items()})
    assert times(twice) == Counter({key: 2 * value for key, value in times(one).items()})
    assert json.loads(twice.meta())["meta"] == {"merged": 2, "path": "/x"}
    for seen in ("seen_ns", "cpu_ns", "gil_ns"):
        assert sum(row[seen] for row in rows(twice)) == 2 * sum(row[seen] for row in rows(one))


def test_merging_different_profiles() -> None:
    parts = [blob(record(lambda n=n: [fib(n), recursion()])) for n in (3, 5, 8)] + [blob(record(library))]
    merged = _core.Profile(_core.merge(parts, {}))
    total: Counter[Any] = Counter()
    spent: Counter[Any] = Counter()
    for part in parts:
        total += counts(part)
        spent += times(part)
    assert counts(merged) == total
    assert times(merged) == spent
    for form in _core.EXPORT_FORMATS:
        assert merged.export(form)


def slow_step() -> None:
    time.sleep(0.02)


def work(steps: int) -> None:
    for _ in range(steps):
        slow_step()
    fib(10)


@patient
def test_a_difference_names_what_changed() -> None:
    before, after = blob(record(lambda: work(1))), blob(record(lambda: work(4)))
    report = json.loads(before.diff(after))
    assert report["before_ns"] < report["after_ns"]
    first = report["functions"][0]
    assert first["name"] == "time.sleep" and first["after"]["self_ns"] > 1.5 * first["before"]["self_ns"]
    step = next(one for one in report["functions"] if one["name"] == "slow_step")
    assert (step["before"]["calls"], step["after"]["calls"]) == (1, 4)
    assert step["after"]["total_ns"] > 75e6
    for row in report["rows"]:
        assert row["parent"] <= row["node"]
        if row["node"]:
            parent = next(one for one in report["rows"] if one["node"] == row["parent"])
            assert parent["depth"] == row["depth"] - 1
            assert parent["after"]["total_ns"] >= row["after"]["total_ns"]
    grown = _core.Profile(_core.growth(before, after, {"path": "/grown"}))
    # Lines are not compared, so a function that is called from two of them is one node.
    names = {row["key"][0]: row for row in rows(grown)}
    assert names["slow_step"]["calls"] == 3
    assert names["time.sleep"]["self_ns"] == first["after"]["self_ns"] - first["before"]["self_ns"]
    nothing = _core.Profile(_core.growth(before, before, {}))
    assert sum(times(nothing).values()) == 0 and sum(counts(nothing).values()) == 0


def test_what_makes_no_sense_is_refused() -> None:
    one = blob(record(library))
    with pytest.raises(ValueError):
        _core.merge([], {})
    with pytest.raises(TypeError):
        _core.merge([one, b"x"], {})  # type: ignore[list-item]
    with pytest.raises(TypeError):
        _core.merge([one], {"a": 1.5})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        one.diff(b"x")  # type: ignore[arg-type]
