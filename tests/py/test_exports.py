"""Exports, judged by the tools that read them."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import marshal
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
    return sum(row["calls"] for row in rows), sum(row["self_ns"] for row in rows)


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
    costs = b"".join(re.findall(rb"^fn=.*\n((?:\d+ \d+\n)+)", data, re.M))
    assert sum(int(cost) for cost in costs.split()[1::2]) == self_ns
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


def test_dot_gives_each_function_its_box() -> None:
    dot = _core.Profile(record(library).encode({})).export("dot").decode()
    boxes = re.findall(r'^  (n\d+) \[label="((?:[^"\\]|\\["\\])*)', dot, re.M)
    assert len({box for box, _ in boxes}) == len(boxes) > 1  # small ones are left out
    assert {"[request]", "programs.library"} <= {label for _, label in boxes}
    edges = re.findall(r"^  (n\d+) -> (n\d+) ", dot, re.M)
    assert edges and {end for edge in edges for end in edge} <= {box for box, _ in boxes}


def spin_deep(depth: int = 20) -> None:
    until = time.perf_counter() + 0.02
    if depth:
        spin_deep(depth - 1)
    while time.perf_counter() < until:
        sum(range(100))


def cheap() -> None:
    pass


def two_calls() -> None:
    cheap()

    fib(12)


def test_callgrind_charges_calls_to_their_lines() -> None:
    data = _core.Profile(record(two_calls).encode({})).export("callgrind").decode()
    number = re.search(r"\((\d+)\) two_calls$", data, re.M)
    assert number is not None
    block = next(one for one in data.split("\n\n") if re.search(rf"^fn=\({number[1]}\)", one, re.M))
    first = two_calls.__code__.co_firstlineno
    assert {int(line) for line in re.findall(r"^calls=.*\n(\d+) ", block, re.M)} == {first + 1, first + 3}


def test_the_time_of_a_sampled_profile_stands_on_its_lines() -> None:
    data = _core.Profile(record(busy_and_idle, sampled=True).encode({"mode": "sampling"})).export("callgrind").decode()
    number = re.search(r"\((\d+)\) busy_and_idle$", data, re.M)
    assert number is not None
    block = next(one for one in data.split("\n\n") if re.search(rf"^fn=\({number[1]}\)", one, re.M))
    first = busy_and_idle.__code__.co_firstlineno
    called = {int(line): int(ns) for line, ns in re.findall(r"^calls=.*\n(\d+) (\d+)", block, re.M)}
    assert called[first + 4] > 5e6, "the sleep, a C function that the line calls"


def nested(depth: int) -> None:
    if depth:
        nested(depth - 1)


def test_exports_of_very_deep_stacks_are_linear() -> None:
    import sys
    import threading

    sizes = []

    def run() -> None:
        sys.setrecursionlimit(100_000)
        for depth in (5_000, 10_000):
            profile = _core.Profile(record(functools.partial(nested, depth), max_bytes=64 << 20).encode({}))
            sizes.append([len(profile.export(form)) for form in _core.EXPORT_FORMATS])

    limit, room = sys.getrecursionlimit(), threading.stack_size(256 << 20)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(room)
        sys.setrecursionlimit(limit)
    assert len(sizes) == 2
    for form, before, after in zip(_core.EXPORT_FORMATS, *sizes, strict=True):
        assert after < 2.6 * before + 1000, form


def test_exports_are_utf8_whatever_a_folder_is_called(tmp_path: Path) -> None:
    import importlib.util
    import os

    folder = os.path.join(os.fsencode(tmp_path), b"jos\xe9")
    os.mkdir(folder)
    path = os.fsdecode(os.path.join(folder, b"sh\xe9p.py"))
    Path(path).write_text("import time\n"
                          "def total():\n"
                          "    until = time.perf_counter() + 0.05\n"
                          "    while time.perf_counter() < until:\n"
                          "        pass\n")
    spec = importlib.util.spec_from_file_location("shop", path)
    assert spec is not None and spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)
    for sampled in (False, True):
        profile = _core.Profile(record(shop.total, sampled=sampled).encode({}))
        for form in _core.EXPORT_FORMATS:
            data = profile.export(form)
            if form == "pprof":
                data = gzip.decompress(data)
                assert b"\xe9p.py" not in data
            elif form == "pstats":
                assert any("total" in key[2] for key in marshal.loads(data))
            else:
                assert "total" in data.decode("utf-8")


@pytest.mark.parametrize("sampled", [False, True])
def test_each_export_says_what_it_counts(sampled: bool) -> None:
    mode = "sampling" if sampled else "deterministic"
    profile = _core.Profile(record(library, sampled=sampled).encode({"mode": mode}))
    calls = "samples" if sampled else "calls"
    assert {name: counts for name, *_, counts in _core.EXPORTS if counts != "calls"} == {
        "collapsed": "", "gecko": "", "json": "calls, resumes", "speedscope": "",
    }
    assert json.loads(profile.export("json"))["counts"] == (calls if sampled else "calls, resumes")
    assert f"# counts are {calls}\n".encode() in profile.export("callgrind")
    assert f"// counts are {calls}\n".encode() in profile.export("dot")
    assert f"<th class=n>{calls}<th>".encode() in profile.export("html")


def callgrind_counts(data: str) -> dict[str, int]:
    """Calls of each function, as its callers' lines tell them."""
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    callee = ""
    for line in data.splitlines():
        named = re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line)
        if named is not None:
            callee = names.setdefault(named[1], named[2] or "")
        elif line.startswith("calls="):
            counts[callee] = counts.get(callee, 0) + int(line[6:].split()[0])
    return counts


def test_a_generator_that_goes_on_is_not_called_again_in_any_export() -> None:
    def numbers() -> Any:
        yield from range(5)

    def three_times() -> None:
        for _ in range(3):
            made = numbers()
            next(made)
            assert sum(made) == 10
            fib(3)

    profile = _core.Profile(record(three_times, "all").encode({"mode": "deterministic"}))
    summary = json.loads(profile.summary())
    rows = json.loads(profile.functions())["rows"]
    expected = {row["function"]["name"]: row["calls"] for row in rows}
    name = next(name for name in expected if name.endswith("numbers"))
    assert expected[name] == 3 and expected["fib"] == 15
    assert next(row["resumes"] for row in rows if row["function"]["name"] == name) >= 15
    python = {row["function"]["name"] for row in rows if row["function"]["kind"] == "python"}
    assert summary["calls"] == sum(expected[one] for one in python)
    listed = json.loads(profile.tree(depth=100))
    functions_of = {one["id"]: one["name"] for one in listed["functions"]}
    for one in (name, "fib"):
        assert sum(row["calls"] for row in listed["rows"] if functions_of[row["function"]] == one) == expected[one]
        told = callgrind_counts(profile.export("callgrind").decode())
        assert told[one] == expected[one]
        (stats,) = [value for key, value in marshal.loads(profile.export("pstats")).items() if key[2] == one]
        assert stats[1] == expected[one]
        box = next(line for line in profile.export("dot").decode().splitlines() if f".{one}\\n" in line)
        assert f"\\n{expected[one]}x" in box


def test_samples_are_no_calls() -> None:
    """The page says as many as a list does, not each function's added up."""
    recording = record(spin_deep, sampled=True)
    samples = recording.totals()["samples"]
    profile = _core.Profile(recording.encode({"mode": "sampling", "samples": samples}))
    summary = json.loads(profile.summary())
    assert (summary["calls"], summary["c_calls"]) == (samples, 0)
    assert max(row["calls"] for row in json.loads(profile.functions())["rows"]) <= samples


def test_an_export_flows_in_pieces_and_has_a_cap() -> None:
    profile = _core.Profile(record(library).encode({}))
    for form, ending, media_type, title, _ in _core.EXPORTS:
        pieces: list[bytes] = []
        profile.export_to(form, pieces.append)
        assert b"".join(pieces) == profile.export(form)
        assert ending.startswith(".") and "/" in media_type and title
        with pytest.raises(ValueError, match="limit"):
            profile.export_to(form, pieces.append, 20)
    assert tuple(row[0] for row in _core.EXPORTS) == _core.EXPORT_FORMATS

    def refuse(piece: bytes) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="the client is gone"):
        profile.export_to("json", refuse)
