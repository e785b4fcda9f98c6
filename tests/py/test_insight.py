"""Why a request was slow: what the core's sentence names, for causes that we know."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import causes
import pytest

#: Sampled ones that do not ask how many CPUs the machine has left; all of them: tests/bench/insight.py.
SAMPLED = ["fights", "hungry", "short", "takes", "in_executor", "held_up"]
CASES = [(one, "deterministic") for one in causes.CAUSES if "deterministic" in one.modes]
CASES += [(one, "sampling") for one in causes.CAUSES if one.name in SAMPLED]


def run(mode: str, *names: str) -> dict[str, dict[str, Any]]:
    """By name, what the core says of each."""
    done = subprocess.run([sys.executable, causes.__file__, mode, *names], stdout=subprocess.PIPE, text=True,
                          timeout=300, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row["summary"] for row in rows}


@functools.cache
def told(mode: str) -> dict[str, dict[str, Any]]:
    return run(mode, *[one.name for one, other in CASES if other == mode])


@pytest.mark.parametrize(("one", "mode"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_sentence_names_the_cause(one: causes.Cause, mode: str) -> None:
    said = [told(mode)[one.name]["headline"]]
    while not re.search(one.says, said[-1]) and len(said) < 4:  # a machine full of others has causes of its own
        said.append(run(mode, one.name)[one.name]["headline"])
    assert re.search(one.says, said[-1]), said


def test_findings_are_complete() -> None:
    found: list[dict[str, Any]] = []
    for summary in (told("deterministic")["copies"], run("deterministic", "copies")["copies"]):
        assert all(finding["advice"] and finding["text"].endswith(".") for finding in summary["findings"])
        found += [finding for finding in summary["findings"] if finding["rule"] == "hot"]
    first, second = found
    assert first["fingerprint"] == second["fingerprint"], "the same thing in another run"
    lines = Path(first["file"]).read_text().splitlines()
    assert "copy.deepcopy" in lines[first["line"] - 1]
    assert first["function"]["name"] == "deepcopy" and first["count"] > 10
