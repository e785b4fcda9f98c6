"""What a request waited for, beside the kernel's own numbers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slowlens import _core

from conftest import record

if _core.engine_info()["sampler"]["why_not"] is not None or not os.path.exists("/proc/thread-self/schedstat"):
    pytest.skip("the kernel does not tell", allow_module_level=True)

both = pytest.mark.parametrize("sampled", (False, True), ids=("deterministic", "sampled"))
KINDS = ("lock_ns", "socket_ns", "disk_ns", "sleep_ns", "poll_ns", "child_ns")


@pytest.fixture(autouse=True)
def _every_millisecond() -> None:
    _core.sampler_configure(0.001, 0)


def sleeps() -> None:
    time.sleep(0.3)


def waits_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    lock.acquire()
    timer.join()


def waits_for_a_socket() -> None:
    mine, other = socket.socketpair()
    timer = threading.Timer(0.3, other.send, (b"x",))
    timer.start()
    mine.recv(1)
    timer.join()
    mine.close()
    other.close()


def waits_for_a_process() -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)"], check=True)


@both
@pytest.mark.parametrize("kind, wait", [
    ("sleep_ns", sleeps), ("lock_ns", waits_for_a_lock), ("socket_ns", waits_for_a_socket),
    ("child_ns", waits_for_a_process),
], ids=lambda one: one if isinstance(one, str) else "")
def test_what_blocked(sampled: bool, kind: str, wait: Callable[[], None]) -> None:
    totals = record(wait, "none", sampled=sampled).totals()
    assert totals[kind] > 200e6
    assert totals[kind] >= 0.7 * sum(totals[name] for name in KINDS)
    assert sum(totals[name] for name in (*KINDS, "run_queue_ns", "cpu_ns")) <= 1.02 * totals["wall_ns"]


STARVED = """
import json, os, subprocess, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
try:
    from slowlens import _core, engine
    engine.prepare()
    _core.sampler_configure(0.001, 0)
    def delay(): return int(open("/proc/thread-self/schedstat").read().split()[1])
    def compute(seconds=0.2):
        end = time.thread_time() + seconds
        while time.thread_time() < end: pass
    recording = _core.Recording("none", sampled=%r)
    before = delay()
    recording.enter(); compute(); recording.leave()
    waited = delay() - before
    recording.finish()
    # These requests, but for the first, end before anybody has looked at them. One of them has to wait.
    _core.sampler_configure(10, 0)
    for seconds in 0, *[0.05] * 20:
        late = _core.Recording("none", sampled=%r)
        before = delay()
        late.enter(); time.sleep(10 * seconds); compute(seconds); late.leave()
        late_waited = delay() - before
        late.finish()
        if seconds and late_waited > 10e6: break
    numbers = _core.Numbers(60)
    numbers.add(recording, "/r", "GET", False, False, 0)
    print(json.dumps([recording.totals(), waited, json.loads(numbers.report())["rows"][0]["sums"],
                      late.totals()["run_queue_ns"], late_waited]))
finally:
    for hog in hogs: hog.kill()
"""


@both
def test_waiting_for_a_cpu_is_the_kernels_number(sampled: bool, tmp_path: Path) -> None:
    import json

    import slowlens

    packages = os.path.dirname(os.path.dirname(os.path.abspath(slowlens.__file__)))
    done = subprocess.run([sys.executable, "-c", STARVED % (sampled, sampled)], capture_output=True, text=True,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": packages}, timeout=120)
    assert done.returncode == 0, done.stderr
    totals, waited, sums, late, late_waited = json.loads(done.stdout)
    assert waited > 100e6
    assert 0.9 * waited < totals["run_queue_ns"] < 1.05 * waited
    assert sum(totals[name] for name in KINDS) < 0.1 * waited
    assert late_waited > 10e6 and 0.7 * late_waited < late < 1.3 * late_waited
    # All requests are counted so, also those of which nothing is kept.
    assert sums["run_queue_ns"] == min(totals["run_queue_ns"], totals["wall_ns"] - totals["cpu_ns"])
    assert sums.get("blocked_ns", 0) < 0.1 * waited
