"""Memory and references before and after every function of the module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("references.py")


@pytest.fixture(scope="module")
def report() -> Any:
    env = {**os.environ, "PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_function_is_called(report: Any) -> None:
    assert report["missing"] == [], "add them to a case of references.py"
    assert report["unknown"] == []
    assert report["names"] > 100 and report["cases"] > 80


def test_a_leak_would_be_seen(report: Any) -> None:
    assert report["leak"] > 40
    assert list(report["reference"]) == ["junk 0"]


def test_nothing_is_left_behind(report: Any) -> None:
    assert report["left"] == {}
    assert report["active"] == 0


def test_what_is_wrong_is_refused(report: Any) -> None:
    assert report["taken"] == []
