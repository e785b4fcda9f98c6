"""What no sample could place stands in [not seen], with its reason, and never with a neighbour."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slowlens import _core

from conftest import record, tree

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="sampling is for Linux"),
              pytest.mark.usefixtures("no_brake")]


def sampler() -> dict[str, Any]:
    return _core.engine_info()["sampler"]


def until(done: Callable[[], bool], work: Callable[[], object]) -> None:
    """``work`` again and again until it is done; a minute at most."""
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        work()


def unseen(profile: _core.Recording) -> dict[str, dict[str, int]]:
    """Self time and samples of the [not seen] nodes, by reason."""
    found: dict[str, dict[str, int]] = {}
    for row in tree(profile)["rows"]:
        if row["name"].startswith("[not seen] "):
            sums = found.setdefault(row["name"][11:], {"self_ns": 0, "samples": 0})
            sums["self_ns"] += row["self_ns"]
            sums["samples"] += row["calls"]
    return found


def adds_up(profile: _core.Recording) -> bool:
    """Whether the self times of all nodes are the wall time, to a rounding each."""
    rows = tree(profile)["rows"]
    return abs(sum(row["self_ns"] for row in rows) - profile.totals()["wall_ns"]) <= 1000 + len(rows)


# The innermost frames of 1,500 lie on the copied chunk of the stack, those of 6,000 on a few more; of 60,000 the middle
# is left out, and what is told is the same.
@pytest.mark.parametrize("depth", (1500, 6000, 60_000))
def test_what_is_deeper_than_the_limit_is_no_time_of_the_last_that_is_told(depth: int) -> None:
    def down(n: int) -> None:
        if n:
            down(n - 1)
        else:
            seen = sampler()["samples"]
            until(lambda: sampler()["samples"] >= seen + 30, lambda: sum(range(1000)))

    limit, size = sys.getrecursionlimit(), threading.stack_size(64 << 20)
    sys.setrecursionlimit(2 * depth)
    try:
        with ThreadPoolExecutor(1) as pool:
            profile = pool.submit(record, lambda: down(depth), sampled=True).result()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    report = tree(profile)
    deep = [row for row in report["rows"] if row["name"] == "[not seen] deeper than the limit"]
    assert len(deep) == 1
    parents = {row["node"]: row for row in report["rows"]}
    assert parents[deep[0]["parent"]]["name"].endswith("down")
    downs = [row for row in report["rows"] if row["name"].endswith("down")]
    assert len(downs) > 500  # all that is told
    # Where it is whole it hangs below all of these; the time of the way down and back is theirs.
    assert deep[0]["calls"] >= 30
    assert deep[0]["self_ns"] > 4 * sum(row["self_ns"] for row in downs) or depth > 1500
    assert adds_up(profile)


@pytest.mark.skipif(importlib.util.find_spec("greenlet") is None, reason="greenlet is not installed")
def test_looks_in_vain_are_told_by_their_reason() -> None:
    import greenlet

    def other(n: int) -> None:
        if n:
            other(n - 1)
        while True:
            main.switch()

    def program() -> None:
        nonlocal main
        main = greenlet.getcurrent()
        others = [greenlet.greenlet(other) for _ in range(8)]
        for one in others:
            one.switch(30)
        seen = sampler()["rejected"]

        def turn() -> None:
            for _ in range(200):
                for one in others:
                    one.switch()

        until(lambda: sampler()["rejected"] >= seen + 3, turn)
        for one in others:
            one.throw(greenlet.GreenletExit)

    main: Any = None
    profile = record(program, sampled=True)
    totals = profile.totals()
    found = unseen(profile)
    assert totals["rejected"] >= 3
    reasons = {"torn": "unseen_torn", "another greenlet": "unseen_greenlet", "between frames": "unseen_shim",
               "deeper than the limit": "unseen_deep", "moved on": "unseen_moved"}
    for reason, key in reasons.items():
        assert found.get(reason, {"samples": 0})["samples"] == totals[key], reason
    assert sum(totals[key] for key in reasons.values()) == totals["rejected"]
    assert sum(one["self_ns"] for one in found.values()) > 0


LATE = """
    import json, os, signal, subprocess
    from slowlens import _core, engine
    engine.prepare()
    _core.sampler_configure(0.001, 0)

    def samples():
        return _core.engine_info()["sampler"]["samples"]

    def before():
        seen = samples()
        while samples() < seen + 3:
            sum(range(1000))

    def after():
        seen = samples()
        while samples() < seen + 3:
            sum(range(1000))

    def program():
        before()
        os.kill(os.getpid(), signal.SIGSTOP)  # the whole process stands still, and with it who looks
        after()

    go_on = "until grep -q '^State:.T' /proc/%d/status; do sleep 0.01; done; sleep 0.3; kill -CONT %d"
    for _ in range(20):  # a look in vain right after it may take the time
        helper = subprocess.Popen(["sh", "-c", go_on % (os.getpid(), os.getpid())])
        profile = _core.Recording("none", sampled=True)
        profile.enter()
        program()
        profile.leave()
        profile.finish()
        helper.wait()
        totals = profile.totals()
        profile = _core.Profile(profile.encode({}))
        report = json.loads(profile.tree(0, 1 << 30, False, 1 << 24))
        names = {one["id"]: one["name"] for one in report["functions"]}
        late = sum(row["self_ns"] for row in report["rows"] if names[row["function"]] == "[not seen] sampler late")
        if late > 0.1e9:
            break
    print(json.dumps({"late": late, "totals": totals, "self_ns": json.loads(profile.summary())["self_ns"]}))
"""


def test_a_gap_that_nobody_saw_is_no_time_of_who_was_there_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(LATE)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["totals"]["unseen_late"] >= 1
    # It stood still for 0.3 s; a sample speaks for 20 intervals, and for waits for a CPU.
    assert found["late"] > 0.1e9
    assert found["self_ns"]["unseen"] >= found["late"]
