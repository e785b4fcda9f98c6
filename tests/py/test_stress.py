"""A short form of stress.py: no crash, no hang, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("mode", ["deterministic", "sampling", "both"])
def test_everything_at_once(mode: str) -> None:
    script = Path(__file__).with_name("stress.py")
    done = subprocess.run([sys.executable, "-W", "ignore", str(script), "3", mode], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    assert counts["sync"] > 50 and counts["async"] > 20 and counts["messages"] > 2 and counts["forks"] > 1
    assert counts["active"] == 0
    sampler = counts["sampler"]
    if mode == "sampling":
        assert sampler["samples"] > 1000
    # Greenlets and stacks deeper than it walks aside, a torn look is rare.
    assert sampler["rejected"] <= 0.01 * (sampler["samples"] + sampler["rejected"]) + 5
