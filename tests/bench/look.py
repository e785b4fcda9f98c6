"""What one look of the sampler costs: instructions of its thread, and system calls, at one stack that stands still.

    look.py [PATH ...]

Each PATH is a folder that has a ``slowlens`` in it (a build's ``python``); without one, the slowlens that is installed.
Needs valgrind and strace. A thread stands at the bottom of 35 functions and computes, is within a call of a C function,
or sleeps; it is looked at every 20 ms, so that it has run since. Told is the difference of two runs, by the looks in
between. Under valgrind one thread runs at a time, and the machine has other work: how often a look finds its thread off
the CPU, and asks why, is a matter of chance, and so is a tenth of what is told.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

DEPTH = 35
LOOKS = (150, 450)
INTERVAL = 0.02


def look(kind: str, looks: int) -> None:
    from slowlens import _core, engine

    engine.prepare()
    _core.sampler_configure(INTERVAL, 0)
    many = range(400_000)

    def done() -> bool:
        return bool(_core.engine_info()["sampler"]["samples"] >= looks)

    def computes() -> None:
        while not done():
            i = 0
            while i < 300_000:
                i += 1

    def calls() -> None:
        while not done():
            sum(many)

    def sleeps() -> None:
        while not done():
            time.sleep(0.05)

    space: dict[str, Any] = {"bottom": locals()[kind]}
    exec("".join(f"def f{n}(): f{n + 1}()\n" for n in range(DEPTH)) + f"def f{DEPTH}(): bottom()", space)
    recording = _core.Recording("none", sampled=True)
    recording.enter()
    space["f0"]()
    print(_core.engine_info()["sampler"]["samples"], flush=True)
    os._exit(0)  # nothing of what ends is counted


def run(path: str | None, kind: str, looks: int, *before: str) -> int:
    """Looks there were."""
    environ = {**os.environ, "PYTHONHASHSEED": "0", **({"PYTHONPATH": path} if path else {})}
    said = subprocess.run([*before, sys.executable, __file__, "--look", kind, str(looks)], env=environ, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return int(said)


def tell(path: str | None, kind: str) -> dict[str, Any]:
    instructions, calls, counts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for looks in LOOKS:
            for old in Path(folder).iterdir():
                old.unlink()
            count = run(path, kind, looks, "valgrind", "--tool=callgrind", "--fair-sched=yes", "--separate-threads=yes",
                        f"--callgrind-out-file={folder}/out")
            found = re.search(r"^totals: (\d+)", (Path(folder) / "out-02").read_text(), re.M)
            assert found is not None
            instructions.append((count, int(found[1])))
            count = run(path, kind, looks, "strace", "-f", "-qq", "-o", f"{folder}/calls")
            lines = [line.split(None, 1) for line in (Path(folder) / "calls").read_text().splitlines()]
            others = Counter(line[1].split("(")[0] for line in lines if line[0] != lines[0][0])
            counts.append(others)
            calls.append(count)
    (few, a), (many, b) = instructions
    each = {name: round((counts[1][name] - counts[0][name]) / (calls[1] - calls[0]), 1) for name in counts[1]}
    return {"workload": kind, "build": path, "instructions": round((b - a) / (many - few)),
            "calls": {name: number for name, number in each.items() if number >= 0.1 and name.isidentifier()}}


def main() -> None:
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2], int(sys.argv[3]))
        return
    for kind in ("computes", "calls", "sleeps"):
        for path in sys.argv[1:] or [None]:
            print(json.dumps(tell(path, kind)), flush=True)


if __name__ == "__main__":
    main()
