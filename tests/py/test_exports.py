"""Exports, judged by the tools that read them."""

from __future__ import annotations

import asyncio
import json
import pstats
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core

from conftest import functions, record
from programs import coroutines, exceptions, fib, generators, library, recursion


def two_lambdas() -> None:
    pair = (lambda: fib(3), lambda: fib(4))
    for one in pair:
        one()


def odd_names() -> None:
    name = 'weird;(12) <b>"\u202e\n name'
    code = fib.__code__.replace(co_name="x", co_qualname=name, co_filename="/a;b/(3) c.py")
    type(fib)(code, {"fib": fib})(5)


def nothing() -> None:
    pass


async def gather() -> None:
    async def child() -> None:
        await asyncio.sleep(0.002)
        fib(6)

    await asyncio.gather(child(), child())
    await asyncio.to_thread(fib, 7)


def asynchronous() -> _core.Recording:
    async def main() -> _core.Recording:
        profile = _core.Recording("all", follows=True)
        await profile.step(gather())
        profile.finish()
        return profile

    return asyncio.run(main())


CORPUS = {program.__name__: lambda program=program: record(program) for program in
          (recursion, generators, exceptions, library, coroutines, two_lambdas, odd_names, nothing)}
def busy_and_idle() -> None:
    until = time.perf_counter() + 0.03
    while time.perf_counter() < until:
        fib(8)
    time.sleep(0.01)


CORPUS["asynchronous"] = asynchronous
CORPUS["sampled"] = lambda: record(busy_and_idle, sampled=True)
CORPUS["truncated"] = lambda: record(library, max_nodes=20)


@pytest.fixture(params=CORPUS, name="profile")
def _profile(request: Any) -> _core.Recording:
    return CORPUS[request.param]()


def own_counts(profile: _core.Recording) -> tuple[int, int]:
    rows = functions(profile)
    return sum(row["calls"] + row["resumes"] for row in rows), sum(row["self_ns"] for row in rows)


def test_pstats(profile: _core.Recording, tmp_path: Path) -> None:
    path = tmp_path / "x.prof"
    path.write_bytes(_core.Profile(profile.encode({})).export("pstats"))
    stats: Any = pstats.Stats(str(path))
    calls, self_ns = own_counts(profile)
    assert stats.total_calls == calls
    assert stats.total_tt == pytest.approx(self_ns / 1e9, abs=1e-9)
    assert stats.prim_calls <= calls
    rows = functions(profile)
    assert len(stats.stats) == len(rows), "no function swallows another"
    wall = stats.stats["~", 0, "[request]"][3]
    heaviest = sorted(rows, key=lambda row: -row["self_ns"])[:10]
    mine = [round(row["self_ns"] / 1e9, 9) for row in heaviest]
    theirs = [round(value[2], 9) for value in sorted(stats.stats.values(), key=lambda value: -value[2])[:10]]
    assert mine == theirs
    for cc, nc, tottime, cumtime, callers in stats.stats.values():
        assert cc <= nc and tottime <= cumtime + 1e-9
        assert sum(caller[0] for caller in callers.values()) == nc or not callers
        assert sum(caller[3] for caller in callers.values()) <= cumtime + 1e-9
    if not any(row["function"]["name"] in ("[task]", "[thread]") for row in rows):
        assert all(value[3] <= wall + 1e-9 for value in stats.stats.values())
    stats.stream = open(tmp_path / "out", "w")
    stats.sort_stats("cumulative").print_stats()
    stats.print_callers()
    stats.stream.close()


def test_callgrind(profile: _core.Recording, tmp_path: Path) -> None:
    if shutil.which("callgrind_annotate") is None:
        pytest.skip("valgrind is not installed")
    path = tmp_path / "callgrind.out.1"
    data = _core.Profile(profile.encode({})).export("callgrind")
    path.write_bytes(data)
    _, self_ns = own_counts(profile)
    assert sum(int(found) for found in re.findall(rb"^fn=.*\n\d+ (\d+)$", data, re.M)) == self_ns
    for inclusive in ("no", "yes"):
        done = subprocess.run(["callgrind_annotate", f"--inclusive={inclusive}", "--threshold=100", str(path)],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        total = re.search(r"^\s*([\d,]+) \(100\.0%\)\s+PROGRAM TOTALS", done.stdout, re.M)
        assert total is not None, done.stdout
        assert int(total[1].replace(",", "")) == self_ns
        shares = [float(share) for share in re.findall(r"\(\s*([\d.]+)%\)", done.stdout)]
        assert max(shares) <= 100.05, "recursion is not counted twice"


def test_speedscope(profile: _core.Recording) -> None:
    document = json.loads(_core.Profile(profile.encode({})).export("speedscope"))
    _, self_ns = own_counts(profile)
    sampled = [one for one in document["profiles"] if one["type"] == "sampled"]
    assert sum(sum(one["weights"]) for one in sampled if not one["name"].endswith("CPU only")) == self_ns
    frames = len(document["shared"]["frames"])
    for one in document["profiles"]:
        if one["type"] == "evented":
            open_frames, at = [], 0
            for event in one["events"]:
                assert event["at"] >= at
                at = event["at"]
                if event["type"] == "O":
                    open_frames.append(event["frame"])
                else:
                    assert open_frames.pop() == event["frame"]
            assert not open_frames and one["endValue"] == at
    for one in sampled:
        assert len(one["samples"]) == len(one["weights"])
        assert one["endValue"] == sum(one["weights"])
        assert all(0 <= frame < frames for sample in one["samples"] for frame in sample)


def test_collapsed(profile: _core.Recording) -> None:
    lines = _core.Profile(profile.encode({})).export("collapsed").decode().splitlines()
    _, self_ns = own_counts(profile)
    assert abs(sum(int(line.rsplit(" ", 1)[1]) for line in lines) - self_ns / 1000) <= 1
    assert all(re.fullmatch(r"[^;]+(;[^;]+)* \d+", line) for line in lines)
