"""What profiling costs where requests run side by side: one and four threads of the Django page and of the Flask
page, one and four tasks of a Starlette endpoint, and what each await costs.

    concurrency.py [--rounds N] [--json FILE]

Each round runs every variant once, in an order of chance, and every request of a variant under a profile of its
own, as a middleware has it; what is reported is the median of the RATIO to the bare run of the same round.

Variants: slowlens-sampling (1 kHz, no brake), slowlens-deterministic (as installed while debugging), cprofile and
pyinstrument (1 ms) where they let each request have a profile, and on CPython 3.15 tachyon: ``profiling.sampling
attach`` from another process, for all requests together. A profiler that refuses a second profile while one is
running is told with the share of requests it refused; those ran bare, so its ratio flatters it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bench

AWAITS = 2000


class Refused(Exception):
    """The profiler has one already."""


# ---- a profile of one request: an object with start() and stop() ----


class Bare:
    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    async def run(self, call: Callable[[], Awaitable[None]]) -> None:
        self.start()
        try:
            await call()
        finally:
            self.stop()


def slowlens(mode: str) -> Callable[[], Bare]:
    from slowlens import _core

    class Ours(Bare):
        def start(self) -> None:
            self.profile = _core.Recording("chosen", sampled=mode == "sampling")
            self.profile.enter()

        def stop(self) -> None:
            self.profile.leave()
            self.profile.discard()

        async def run(self, call: Callable[[], Awaitable[None]]) -> None:
            profile = _core.Recording("chosen", sampled=mode == "sampling", follows=True)
            await profile.step(call())
            profile.discard()

    return Ours


class WithCProfile(Bare):
    def start(self) -> None:
        self.profiler = cProfile.Profile()
        try:
            self.profiler.enable()
        except ValueError as error:
            raise Refused from error

    def stop(self) -> None:
        self.profiler.disable()


class WithPyinstrument(Bare):
    def start(self) -> None:
        import pyinstrument

        self.profiler = pyinstrument.Profiler(interval=0.001)
        try:
            self.profiler.start()
        except RuntimeError as error:
            raise Refused from error

    def stop(self) -> None:
        self.profiler.stop()


@contextmanager
def tachyon() -> Iterator[None]:
    """CPython 3.15's sampler, attached to this process."""
    watcher = subprocess.Popen([sys.executable, "-m", "profiling.sampling", "attach", "-r", "1khz", "-a", "-d", "60",
                                "--collapsed", "-o", os.devnull, str(os.getpid())],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    assert watcher.poll() is None, "profiling.sampling cannot attach here"
    try:
        yield
    finally:
        watcher.terminate()
        watcher.wait()


def variants() -> dict[str, Callable[[], Bare]]:
    found: dict[str, Callable[[], Bare]] = {
        "none": Bare, "slowlens-sampling": slowlens("sampling"), "slowlens-deterministic": slowlens("deterministic"),
        "cprofile": WithCProfile,
    }
    if find_spec("pyinstrument") is not None:
        found["pyinstrument"] = WithPyinstrument
    if sys.version_info >= (3, 15):
        found["tachyon"] = Bare
    return found


# ---- workloads: -> (seconds of so many requests, how many of them the profiler refused) ----


def in_threads(call: Callable[[], None], make: Callable[[], Bare], threads: int, requests: int) -> tuple[float, int]:
    refused = []

    def request(_: int) -> None:
        profile = make()
        try:
            profile.start()
        except Refused:
            refused.append(1)
            return call()
        try:
            call()
        finally:
            profile.stop()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: time.sleep(0.001), range(threads)))  # its threads exist
        start = time.perf_counter()
        list(pool.map(request, range(requests)))
        return time.perf_counter() - start, len(refused)


def in_tasks(call: Callable[[], Awaitable[None]], make: Callable[[], Bare], tasks: int,
             requests: int) -> tuple[float, int]:
    refused = []

    async def request() -> None:
        try:
            await make().run(call)
        except Refused:
            refused.append(1)
            await call()

    async def main() -> float:
        start = time.perf_counter()
        for _ in range(requests // tasks):
            await asyncio.gather(*(request() for _ in range(tasks)))
        return time.perf_counter() - start

    return asyncio.run(main()), len(refused)


def starlette_endpoint() -> Callable[[], Awaitable[None]]:
    """The example's JSON of sixty articles, twenty times over."""
    sys.path.insert(0, str(bench.ROOT / "examples" / "starlette_feed"))
    os.environ["SLOWLENS_DISABLE"] = "1"
    import app as module

    scope = {"type": "http", "method": "GET", "path": "/blocking/", "raw_path": b"/blocking/", "query_string": b"",
             "root_path": "", "scheme": "http", "headers": [], "http_version": "1.1", "server": ("localhost", 80),
             "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    return lambda: module.app.app(dict(scope), receive, send)


async def many_awaits() -> None:
    for _ in range(AWAITS):
        await asyncio.sleep(0)


def measure(name: str, run: Callable[[Callable[[], Bare]], tuple[float, int]], requests: int,
            rounds: int) -> list[dict[str, Any]]:
    found = variants()
    seconds: dict[str, list[float]] = {variant: [] for variant in found}
    refused = dict.fromkeys(found, 0)
    chance = random.Random(1)
    for number in range(rounds + 1):
        gc.collect()
        order = list(found)
        chance.shuffle(order)
        for variant in order:
            if variant == "tachyon":
                with tachyon():
                    spent, refusals = run(found[variant])
            else:
                spent, refusals = run(found[variant])
                from slowlens import _core

                _core.engine_idle(0)
                if "deterministic" in variant:
                    run(Bare)  # the next one does not pay for putting the code back
            if number:  # the first round warms up
                seconds[variant].append(spent)
                refused[variant] += refusals
    rows = []
    for variant, times in seconds.items():
        ratios = [one / bare for one, bare in zip(times, seconds["none"], strict=True)]
        quartiles = statistics.quantiles(ratios, n=4)
        rows.append({"suite": "concurrency", "python": bench.PYTHON, "workload": name, "variant": variant,
                     "median": statistics.median(times), "spread": (quartiles[2] - quartiles[0]) / 2,
                     "ratio_to_none": statistics.median(ratios), "refused": refused[variant] / rounds / requests})
    return rows


def per_await(rounds: int) -> list[dict[str, Any]]:
    """What each await of one task adds, ns."""
    found = {name: make for name, make in variants().items() if name in ("none", "slowlens-sampling",
                                                                         "slowlens-deterministic")}
    spent: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, make in found.items():
            start = time.perf_counter_ns()
            asyncio.run(make().run(many_awaits))
            spent[name].append((time.perf_counter_ns() - start) / AWAITS)
    rows = []
    for name in list(found)[1:]:
        added = [one - bare for one, bare in zip(spent[name], spent["none"], strict=True)]
        rows.append({**bench.row("concurrency", "an await", f"{name}, added ns", added)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from slowlens import _core, engine

    engine.prepare()
    _core.sampler_configure(0.001, 0)
    rows: list[dict[str, Any]] = []
    for name, make, requests in (("django list", bench.django_page, 16), ("flask page", bench.flask_page, 160)):
        call = make()[0]
        sys.modules.pop("app", None)  # both examples have one
        sys.path.pop(0)
        for threads in (1, 4):
            rows += measure(f"{name}, {threads} thread{'s' if threads > 1 else ''}",
                            lambda variant, call=call, threads=threads, requests=requests:
                            in_threads(call, variant, threads, requests), requests, options.rounds)
    endpoint = starlette_endpoint()
    for tasks in (1, 4):
        rows += measure(f"starlette endpoint, {tasks} task{'s' if tasks > 1 else ''}",
                        lambda variant, tasks=tasks: in_tasks(endpoint, variant, tasks, 16), 16, options.rounds)
    rows += per_await(options.rounds * 3)
    last = None
    for one in rows:
        if one["workload"] != last:
            last = one["workload"]
            print(f"\n{one['python']}  {last}")
        if one["ratio_to_none"] is None:
            print(f"  {one['variant']:34} {one['median']:10.1f}  +-{one['spread']:.1f}")
        else:
            print(f"  {one['variant']:24} x{one['ratio_to_none']:6.2f} +-{one['spread']:.2f}"
                  + (f"   refused {one['refused']:.0%} of the requests" if one["refused"] else ""))
    if options.json:
        options.json.write_text("".join(json.dumps(one) + "\n" for one in rows))


if __name__ == "__main__":
    main()
