"""The CPU time of a request's sections is the kernel's, although hardly one of them asks the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from slowlens import _core, engine

engine.prepare()
both = pytest.mark.parametrize("sampled", (False, True), ids=("deterministic", "sampled"))


def spin(ns: int) -> None:
    until = time.thread_time_ns() + ns
    while time.thread_time_ns() < until:
        pass


def sections(work: int, rest: float, times: int, sampled: bool) -> tuple[int, int]:
    """CPU of so many sections: as recorded, and by the kernel (with what entering and leaving take)."""
    recording = _core.Recording(sampled=sampled)
    before = time.thread_time_ns()
    for _ in range(times):
        recording.enter()
        spin(work)
        if rest:
            time.sleep(rest)
        recording.leave()
    after = time.thread_time_ns()
    recording.finish()
    return recording.cpu_ns, after - before


@both
def test_work_in_many_sections_adds_up(sampled: bool) -> None:
    recorded, kernel = sections(400_000, 0, 300, sampled)
    assert 0.97 * 300 * 400_000 < recorded <= kernel


@both
def test_sleep_between_work_is_not_cpu(sampled: bool) -> None:
    recorded, kernel = sections(100_000, 0.002, 100, sampled)
    assert 0.97 * 100 * 100_000 < recorded <= kernel


@both
def test_another_threads_work_is_not_this_ones(sampled: bool) -> None:
    """Two threads take turns at the interpreter's lock: each has its own share, together they have all."""
    recorded: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda: recorded.append(sections(300_000, 0, 100, sampled))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for cpu, kernel in recorded:
        assert 0.97 * 100 * 300_000 < cpu <= kernel


@both
def test_a_childs_clock_begins_anew(sampled: bool) -> None:
    sections(5_000_000, 0, 1, sampled)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            recorded, kernel = sections(5_000_000, 0, 4, sampled)
            os.write(write, b"right" if 0.97 * 20_000_000 < recorded <= kernel else b"%d %d" % (recorded, kernel))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"right"
    os.waitpid(pid, 0)


def test_where_the_kernel_tells_nobody_asks() -> None:
    """glibc registers the thread's area since 2.35; without it each reading is a system call, and right as well."""
    name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "none 0").split()
    newer = name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    if newer and "glibc.pthread.rseq=0" not in os.environ.get("GLIBC_TUNABLES", ""):
        assert _core.engine_info()["sampler"]["cpu_clock"] == "rseq"


def test_without_the_kernels_word_it_is_asked() -> None:
    program = "from slowlens import _core, engine; engine.prepare(); print(_core.engine_info()['sampler']['cpu_clock'])"
    out = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "GLIBC_TUNABLES": "glibc.pthread.rseq=0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "system call"
