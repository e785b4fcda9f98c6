"""Runs inside other people's test suites: each test is profiled, and its outcome is written down.

As a pytest plugin (``-p suite_hooks``), or, where a suite brings its own runner, around ``unittest.TestCase.run`` by
the ``sitecustomize`` beside this file. ``SUITE_MODE``: off, deterministic or sampling; ``SUITE_OUT``: the file for
``{"outcomes": {id: outcome}, "profiles": N, ...}``.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from typing import Any

MODE = os.environ.get("SUITE_MODE", "off")
OUT = os.environ.get("SUITE_OUT", "")

_outcomes: dict[str, str] = {}
_counts = {"profiles": 0, "functions": 0, "samples": 0, "refused": 0, "faults": 0}
_faults: list[str] = []
_pid = os.getpid()
_inside = threading.local()

if MODE != "off":
    from slowlens import _core, engine

    engine.prepare()


def begin() -> Any:
    """A recording around a test; None: none (the plain run, a test inside a test, or no room for a profiler)."""
    if MODE == "off" or getattr(_inside, "test", False):
        return None
    try:
        recording = _core.Recording(follows=True, sampled=MODE == "sampling")
        recording.enter()
    except RuntimeError:
        _counts["refused"] += 1
        return None
    _inside.test = True
    return recording


def end(recording: Any) -> None:
    """The profile is encoded and read back, as the product does."""
    if recording is None:
        return
    _inside.test = False
    try:
        recording.leave()
        recording.finish()
        totals = recording.totals()
        profile = _core.Profile(recording.encode({"mode": MODE}))
        profile.summary()
        _counts["profiles"] += 1
        _counts["functions"] += totals["functions"]
        _counts["samples"] += totals["samples"]
        recording.discard()
    except Exception as error:
        if "fork" not in str(error) and os.getpid() == _pid:  # in a forked child it is the parent's
            _counts["faults"] += 1
            _faults.append(f"{type(error).__name__}: {error}")


def outcome(name: str, what: str) -> None:
    """The worst of a test's parts (set-up, call, tear-down)."""
    before = _outcomes.get(name)
    if before in (None, "passed") or what in ("failed", "error"):
        _outcomes[name] = what


def write() -> None:
    if OUT and os.getpid() == _pid:
        with open(OUT, "w") as file:
            json.dump({"outcomes": _outcomes, **_counts, "messages": _faults[:5]}, file)


# ---- pytest ----

try:
    import pytest
except ImportError:
    pass
else:

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(item: Any) -> Any:
        recording = begin()
        try:
            return (yield)
        finally:
            end(recording)

    def pytest_runtest_logreport(report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            outcome(report.nodeid, "xfailed" if hasattr(report, "wasxfail") else report.outcome)

    def pytest_sessionfinish() -> None:
        write()


# ---- unittest ----


def patch_unittest() -> None:
    """Around each test of whoever runs unittest's."""
    import unittest

    kinds = (("failures", "failed"), ("errors", "error"), ("skipped", "skipped"), ("expectedFailures", "xfailed"),
             ("unexpectedSuccesses", "unexpected success"))
    plain = unittest.TestCase.run

    def run(self: Any, result: Any = None) -> Any:
        recording = begin()
        depth = _inside.depth = getattr(_inside, "depth", 0) + 1
        before = [len(getattr(result, name, ())) for name, _ in kinds]
        try:
            return plain(self, result)
        finally:
            _inside.depth -= 1
            end(recording)
            if depth == 1 and result is not None:  # no test inside of a test
                outcome(self.id(), next((what for (name, what), n in zip(kinds, before, strict=True)
                                         if len(getattr(result, name, ())) > n), "passed"))

    unittest.TestCase.run = run  # type: ignore[method-assign]
    atexit.register(write)
