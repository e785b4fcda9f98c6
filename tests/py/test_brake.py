"""What the sampler may cost, and who pays when it may not look at all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slowlens import _core

from conftest import patient, record

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sampling is for Linux")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    _core.sampler_configure(0.001, 1)


def sampler() -> dict[str, Any]:
    return _core.engine_info()["sampler"]


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_other_settings_wake_a_sampler_that_sleeps_by_the_old_ones() -> None:
    _core.sampler_configure(10, 0)
    recording = _core.Recording("none", sampled=True)
    recording.enter()
    try:
        spin(0.05)  # it sleeps by now, for ten seconds or so
        _core.sampler_configure(0.001, 0)
        until = time.perf_counter() + 5
        while (before := sampler()["samples"]) == 0 and time.perf_counter() < until:
            spin(0.01)
        while sampler()["samples"] == before and time.perf_counter() < until:
            spin(0.01)  # and one look is not all
        assert sampler()["samples"] > before
        _core.sampler_configure(10, 0)
        spin(0.05)
        assert _core.sampler_stop()  # which does not wait for that, either
        _core.sampler_resume()
    finally:
        recording.leave()
        recording.finish()


@patient
def test_long_requests_pay_first() -> None:
    _core.sampler_configure(0.0005, 0.4)  # 4 ms of CPU time in its purse: gone after some dozen looks
    long = record(lambda: spin(1.0), sampled=True).totals()["samples"]
    # A twentieth of what was asked for would be left of it if all paid alike; each has its hundred.
    assert 100 <= long < 1600


def test_under_load_usual_requests_pay_first() -> None:
    """Those that are no older than requests get are looked at seldomer, and a slow one as often as ever."""
    _core.sampler_configure(0.0001, 1)  # thirty times what it may cost
    for _ in range(2000):
        record(lambda: spin(0.005), sampled=True)
        now = sampler()
        if now["current_ns"] > 3 * now["interval_ns"] and now["unusual_ns"] == now["interval_ns"]:
            break
    else:
        pytest.fail(f"a debt did not make it slower for those alone: {now}")


def test_how_long_requests_get() -> None:
    """It follows what most of them take, and neither one that stands still nor a burst of short ones throws it off."""
    _core.sampler_configure(0.001, 1)
    for _ in range(1500):  # whatever other tests took
        record(lambda: None, sampled=True)
    short = sampler()["usual_ns"]
    record(lambda: time.sleep(0.5), sampled=True)
    assert sampler()["usual_ns"] <= short + (8 * short + 1_000_000) / 64 + 1
    for _ in range(80):
        record(lambda: time.sleep(0.005), sampled=True)
    assert sampler()["usual_ns"] > 2_000_000 > short
    # By events, too: their waiting is told by samples.
    for _ in range(400):
        record(lambda: None)
    assert sampler()["usual_ns"] < 2_000_000


def test_who_slept_is_not_late() -> None:
    """Looks that were missed are those of the time in which there was somebody to look at."""
    began, before = time.monotonic(), sampler()
    for _ in range(3):
        record(lambda: spin(0.005), sampled=True)
        while not sampler()["parked"]:
            time.sleep(0.01)
    passed = (time.monotonic() - began) * 1e9 / before["interval_ns"]
    assert sampler()["late"] - before["late"] <= passed + 10


@patient
def test_after_quiet_a_request_is_seen_in_full() -> None:
    _core.sampler_configure(0.001, 2)
    for _ in range(100):  # on a busy machine it gets no CPU each time; braked, it would look five times
        profile = record(lambda: spin(0.05), sampled=True).totals()
        if profile["samples"] >= 15 and profile["interval_ns"] == 1_000_000:
            break
        _core.sampler_configure(0.001, 2)
    else:
        pytest.fail(f"50 ms were not looked at every millisecond: {profile}")
