"""How often the answers are right: the first sentence, cohorts, regressions.

    PYTHONPATH=build/py/python python tests/bench/insight.py [sentences|cohorts|regressions] [--rates PROGRAM]

Prints a table each and, with --json FILE, appends the rows. Takes minutes; nothing here is a test (a steady slice of it
is: tests/py/test_insight.py, test_regressions.py, tests/c/test_cohort.c).
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "py"))


def sentences(rounds: int) -> Iterator[dict[str, Any]]:
    """Each cause of tests/py/causes.py and causes_shapes.py in each mode: whether the core's sentence names it."""
    import causes
    import causes_shapes

    right = total = 0
    wrong: dict[str, str] = {}
    for mode in ("deterministic", "sampling"):
        for turn in range(rounds):
            done = subprocess.run([sys.executable, causes_shapes.__file__, mode], stdout=subprocess.PIPE, text=True,
                                  check=True, stderr=subprocess.DEVNULL,
                                  env={**os.environ, "CAUSES_SIZE": ("0.06", "0.12", "0.2")[turn % 3]})
            said = {row["name"]: row["summary"]["headline"] for row in map(json.loads, done.stdout.splitlines())}
            for one in causes.CAUSES:
                if one.name in said:
                    total += 1
                    if re.search(one.says, said[one.name]):
                        right += 1
                    else:
                        wrong[f"{one.name} {mode}"] = said[one.name]
    for name, sentence in wrong.items():
        print(f"  {name}: {sentence}")
    yield {"what": "sentence names the cause", "n": total, "right": right / total}


def cohorts(program: str, routes: int) -> Iterator[dict[str, Any]]:
    """Sixteen causes at several numbers of requests: tests/bench/cohort_rates.c."""
    for requests in (100, 300, 1000):
        done = subprocess.run([program, str(routes), str(requests)], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines()[1:]:
            name, first, three, wrong, silent = line[:14].strip(), *line[14:].split()
            yield {"what": f"cohort: {name}", "n": requests, "routes": routes, "right": float(first),
                   "top 3": float(three), "wrong": float(wrong), "silent": float(silent)}


def route(chance: random.Random, common: list[float], an_hour: float, shift: float, at: int) -> dict[int, float]:
    """Hourly means: a daily cycle, the host's and the route's own noise, requests that vary by 100 %."""
    own, spread, found = 0.0, math.sqrt(math.log(2)), {}
    for hour, host in enumerate(common):
        own = 0.85 * own + chance.gauss(0, 0.008)
        load = max(1.0, an_hour * (1 + 0.7 * math.sin(2 * math.pi * hour / 24)))
        found[hour] = 50e6 * math.exp(host + own + chance.gauss(0, spread / math.sqrt(load))) * (
            1 + 0.15 * math.sin(2 * math.pi * hour / 24)) * (1 + shift * (hour >= at))
    return found


def regressions(routes: int) -> Iterator[dict[str, Any]]:
    """Releases with and without a change, beside nine other routes of the same machine."""
    from slowlens.insight.regressions import judge

    chance = random.Random(4)
    for a_minute in (10, 1):
        for shift in (0.0, 0.05, 0.1, 0.2):
            hits, times = 0, routes * (5 if shift == 0 else 1)
            for _ in range(times):
                level, common = 0.0, []
                for _hour in range(96):
                    level = 0.85 * level + chance.gauss(0, 0.02)
                    common.append(level)
                mine = route(chance, common, a_minute * 60, shift, 48)
                others = [route(chance, common, a_minute * 120, 0, 0) for _ in range(9)]
                judged = judge(mine, others, 48)
                hits += judged is not None and judged.sure
            yield {"what": f"release: {shift:+.0%} at {a_minute}/min", "n": times, "said": hits / times}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("suites", nargs="*", default=["sentences", "cohorts", "regressions"])
    parser.add_argument("--rates", default=str(ROOT / "build/c/tests/cohort_rates"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for suite in options.suites:
        found = {"sentences": lambda: sentences(options.rounds),
                 "cohorts": lambda: cohorts(options.rates, options.routes),
                 "regressions": lambda: regressions(options.routes)}[suite]()
        for row in found:
            rows.append(row)
            print("  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{value}" if key == "what" else
                            f"{key} {value}" for key, value in row.items()), flush=True)
    if options.json:
        about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
                 "load": round(os.getloadavg()[0], 1), "machine": platform.machine()}
        with open(options.json, "a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({**about, **row}) + "\n")


if __name__ == "__main__":
    main()
