"""A short form of stress.py: no crash, no hang, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_everything_at_once() -> None:
    script = Path(__file__).with_name("stress.py")
    done = subprocess.run([sys.executable, "-W", "ignore", str(script), "4"], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    assert counts["sync"] > 100 and counts["async"] > 50 and counts["forks"] > 2
    assert counts["active"] == 0
