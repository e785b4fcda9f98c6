"""What a call costs, in instructions: the same on a busy machine. And a step, a child task, a greenlet's switch, a job
of a thread pool: in instructions, and in CPU time beside it.

    instructions.py [--only NAME,...] [--json FILE] [PATH ...]

Each PATH is a folder that has a ``slowlens`` in it (a build's ``python``); without one, the slowlens that is installed.
Needs valgrind. Each workload runs in a process of its own under callgrind, which counts only inside the builtin sum()
that drives it; told is what recording adds to one call, beside cProfile. Clocks are system calls under valgrind, whose
insides it does not see: the tables in README.md say what a call costs in time.

What is more than a call (``REQUESTS``) happens in requests, and not in one thread alone: told is what a process ran in
all its threads, for so many and for twice as many, less the same without slowlens. The sampler sleeps meanwhile (a look
a second). The time is the process' CPU without valgrind, least of several, by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

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


# ---- what is more than a call ----

Run = Callable[[int], None]


def in_asgi(variant: str, body: Callable[[int], Any]) -> Run:
    """A request of ``body(n)``, by the middleware."""
    import asyncio

    import request

    amount = [0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body(amount[0])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    served: Any = app
    if variant in ("sampled", "by events"):
        from slowlens.asgi import ProfilerMiddleware

        mode = "sampling" if variant == "sampled" else "deterministic"
        served = ProfilerMiddleware(app, mode=mode, keep="slow", slow_ms=1e6, interval_us=1_000_000, log=False,
                                    debug=False, store=tempfile.mkdtemp())

    async def nothing(message: Any = None) -> None:
        pass

    loop = asyncio.new_event_loop()

    def run(n: int) -> None:
        amount[0] = n
        loop.run_until_complete(served(request.a_scope(), nothing, nothing))

    return run


def a_step(variant: str) -> Run:
    from asyncio import sleep

    async def steps(n: int) -> None:
        for _ in range(n):
            await sleep(0)

    return in_asgi(variant, steps)


def a_task(variant: str) -> Run:
    from asyncio import gather

    async def child() -> None:
        pass

    async def tasks(n: int) -> None:
        for _ in range(n // 4):
            await gather(child(), child(), child(), child())

    return in_asgi(variant, tasks)


def in_request(variant: str, work: Run) -> Run:
    if variant not in ("sampled", "by events"):
        return work
    from slowlens import _core, engine

    engine.prepare()
    engine.sampling(1_000_000, 0)

    def run(n: int) -> None:
        recording = _core.Recording("none", sampled=variant == "sampled")
        recording.enter()
        work(n)
        recording.leave()
        recording.discard()

    return run


def a_switch(variant: str) -> Run:
    import switches

    return in_request(variant, switches.trips)


def a_job(variant: str) -> Run:
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(1)

    def jobs(n: int) -> None:
        for _ in range(n // 50):
            wait([pool.submit(small) for _ in range(50)])

    return in_request(variant, jobs)


REQUESTS = {"a step": a_step, "a child task": a_task, "a switch of greenlets": a_switch, "a job of a pool": a_job}
UNITS = 1000
REQUEST_VARIANTS = ("sampled", "by events", "cProfile")


def work_in_requests(name: str, variant: str, units: str) -> None:
    """So many of them once; or, where it says "time", prints the least ns of CPU of one."""
    run = REQUESTS[name](variant)
    if variant == "cProfile":
        import cProfile

        plain = run

        def run(n: int) -> None:
            cProfile.Profile().runcall(plain, n)
    if units != "time":
        for _ in range(20):  # code is specialised, probes are known
            run(UNITS // 10)
        run(int(units))
    else:
        took = []
        for _ in range(25):
            began = time.process_time_ns()
            run(UNITS)
            took.append((time.process_time_ns() - began) / UNITS)
        print(min(took))
    sys.stdout.flush()
    os._exit(0)  # nothing of what ends is counted, or waited for


def count_in_requests(path: str | None, name: str, variant: str) -> float:
    whole = []
    for units in (UNITS, 2 * UNITS):
        said = subprocess.run(
            ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--callgrind-out-file=/dev/null", sys.executable,
             __file__, "--requests", name, variant, str(units)],
            env=environ(path), stderr=subprocess.PIPE, text=True, check=True)
        found = re.search(r"Collected : (\d+)", said.stderr)
        assert found is not None, said.stderr[-500:]
        whole.append(int(found[1]))
    return (whole[1] - whole[0]) / UNITS


def tell_requests(paths: list[str | None], only: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in REQUESTS:
        if only and name not in only:
            continue
        variants = [(path, variant) for variant in REQUEST_VARIANTS
                    for path in (paths if variant != "cProfile" else paths[:1])]
        took: dict[Any, float] = {}
        for _ in range(3):
            for path, variant in [(paths[0], "bare"), *variants]:
                said = subprocess.run([sys.executable, __file__, "--requests", name, variant, "time"], check=True,
                                      env=environ(path), stdout=subprocess.PIPE, text=True).stdout
                took[path, variant] = min(float(said), took.get((path, variant), 1e99))
        bare, bare_ns = count_in_requests(paths[0], name, "bare"), took[paths[0], "bare"]
        told = []
        for path, variant in variants:
            added, added_ns = count_in_requests(path, name, variant) - bare, took[path, variant] - bare_ns
            told.append(f"{variant} {added:.0f} ({added_ns:.0f} ns)")
            rows.append({"suite": "instructions", "python": sys.version.split()[0], "workload": name,
                         "variant": variant, "build": path, "added": round(added), "bare": round(bare),
                         "added_ns": round(added_ns),
                         "bare_ns": round(bare_ns), "date": time.strftime("%Y-%m-%d"), "machine": platform.platform(),
                         "load": round(os.getloadavg()[0], 1)})
        print(f"{name} ({bare:.0f} bare, {bare_ns:.0f} ns): added " + ", ".join(told), flush=True)
    return rows


def environ(path: str | None) -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0", **({"PYTHONPATH": path} if path else {})}


def count(path: str | None, name: str, variant: str) -> int:
    said = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=builtin_sum", "--callgrind-out-file=/dev/null",
         sys.executable, __file__, "--work", name, variant],
        env=environ(path), stderr=subprocess.PIPE, text=True, check=True).stderr
    found = re.search(r"Collected : (\d+)", said)
    if found is None or int(found[1]) < CALLS:
        sys.exit(f"callgrind counted nothing; this Python's symbols are needed\n{said[-500:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--json", help="a file to write rows to")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--requests", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--only", help="names of workloads, with commas between them")
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    if options.requests:
        work_in_requests(*options.requests)
        return
    paths = options.paths or [None]
    only = options.only.split(",") if options.only else []
    rows: list[dict[str, Any]] = []
    for name in WORKLOADS:
        if only and name not in only:
            continue
        bare = count(paths[0], name, "bare")
        told = []
        for variant in (*VARIANTS, "sampling") if name == "queries" else VARIANTS:
            # cProfile is the same beside every build.
            for path in paths if variant != "cProfile" else paths[:1]:
                added = (count(path, name, variant) - bare) / CALLS
                told.append(f"{variant} {added:.0f}")
                rows.append({"suite": "instructions", "python": sys.version.split()[0], "workload": name,
                             "variant": variant, "build": path, "added": round(added), "bare": round(bare / CALLS),
                             "date": time.strftime("%Y-%m-%d"), "machine": platform.platform()})
        print(f"{name} ({bare / CALLS:.0f} bare): added " + ", ".join(told), flush=True)
    rows += tell_requests(paths, only)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
