"""Where the judges are: JUDGES is the node_modules that tests/run.sh has installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "py"), str(ROOT / "tests" / "browser")]

MODULES = Path(os.environ.get("JUDGES", str(ROOT / "tests" / "judges" / "node_modules")))
