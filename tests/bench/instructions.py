"""What a call costs, in instructions: the same on a busy machine.

    instructions.py [PATH ...]

Each PATH is a folder that has a ``slowlens`` in it (a build's ``python``); without one, the slowlens that is installed.
Needs valgrind. Each workload runs in a process of its own under callgrind, which counts only inside the builtin sum()
that drives it; told is what recording adds to one call, beside cProfile. Clocks are system calls under valgrind, whose
insides it does not see: the tables in README.md say what a call costs in time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

CALLS = 20_000
WARM = 2_000
VARIANTS = ("none", "all", "cProfile")


def small() -> None:
    pass


def calls(n: int) -> None:
    for _ in range(n):
        small()


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def recursion(n: int) -> None:
    for _ in range(n // 9):  # the calls of fib(4)
        fib(4)


class Thing:
    def method(self) -> None:
        pass


def methods(n: int) -> None:
    thing = Thing()
    for _ in range(n):
        thing.method()


def c_calls(n: int) -> None:
    length, nothing = len, ()
    for _ in range(n):
        length(nothing)


def endless() -> Iterator[int]:
    while True:
        yield 1


def generators(n: int) -> None:
    one = endless()
    for _ in range(n):
        next(one)


def fail() -> None:
    raise ValueError


def exceptions(n: int) -> None:
    for _ in range(n):
        try:
            fail()
        except ValueError:
            pass


def down(levels: int) -> None:
    if levels:
        down(levels - 1)


def deep_stacks(n: int) -> None:
    for _ in range(n // 50):
        down(49)


class Driver:
    def execute(self, sql: str) -> None:
        pass


def queries(n: int) -> None:
    """Each is a call that a probe tells of: a query."""
    driver = Driver()
    for _ in range(n):
        driver.execute('SELECT "book"."id", "book"."title", "book"."author_id" FROM "book" WHERE "book"."id" = 1234')


WORKLOADS: dict[str, Callable[[int], None]] = {
    one.__name__.replace("_", " "): one
    for one in (calls, recursion, methods, c_calls, generators, exceptions, deep_stacks, queries)
}


def work(name: str, variant: str) -> None:
    from slowlens import _core  # in each variant: what is imported calls sum(), too

    workload = WORKLOADS[name]

    def counted(n: int) -> int:
        workload(n)
        return 0

    def run() -> None:
        workload(WARM)
        sum(map(counted, [CALLS]))

    workload(WARM)
    if name == "queries" and variant not in ("bare", "cProfile"):
        from slowlens import engine, layers

        engine.prepare()
        layers.install([layers.Row("__main__", "Driver.execute", "db", "sql", "sql", "=sqlite")])
    if variant == "bare":
        run()
    elif variant == "cProfile":
        import cProfile

        cProfile.Profile().runcall(run)
    else:
        recording = _core.Recording(sampled=True) if variant == "sampling" else _core.Recording(variant)
        recording.enter()
        run()
        recording.leave()
        recording.finish()


def count(path: str | None, name: str, variant: str) -> int:
    environ = {**os.environ, "PYTHONHASHSEED": "0", **({"PYTHONPATH": path} if path else {})}
    said = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=builtin_sum", "--callgrind-out-file=/dev/null",
         sys.executable, __file__, "--work", name, variant],
        env=environ, stderr=subprocess.PIPE, text=True, check=True).stderr
    found = re.search(r"Collected : (\d+)", said)
    if found is None or int(found[1]) < CALLS:
        sys.exit(f"callgrind counted nothing; this Python's symbols are needed\n{said[-500:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--json", help="a file to write rows to")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    paths = options.paths or [None]
    rows = []
    for name in [options.only] if options.only else WORKLOADS:
        bare = count(paths[0], name, "bare")
        told = []
        for variant in (*VARIANTS, "sampling") if name == "queries" else VARIANTS:
            # cProfile is the same beside every build.
            for path in paths if variant != "cProfile" else paths[:1]:
                added = (count(path, name, variant) - bare) / CALLS
                told.append(f"{variant} {added:.0f}")
                rows.append({"suite": "instructions", "python": sys.version.split()[0], "workload": name,
                             "variant": variant, "build": path, "added": round(added), "bare": round(bare / CALLS)})
        print(f"{name} ({bare / CALLS:.0f} bare): added " + ", ".join(told))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
