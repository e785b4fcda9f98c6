"""Added cost of both engines beside their peers, interleaved.

    bench.py [--rounds N] [--suite micro|pages|middleware] [--json FILE]

Each round runs every variant once, in an order of chance; what is reported is
the median over the rounds of the RATIO to the bare run of the same round, so
that a machine that changes speed between rounds changes nothing. Spread is
half the distance between the quartiles.

Variants: none; noop, noop-c (callbacks that do nothing: the floor);
slowlens-none/-chosen/-all (by c_calls); slowlens-sampling and -sampling-10k
(every 1 ms and every 100 us, without the brake); cprofile; yappi (wall clock);
pyinstrument (1 ms) where they are installed.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ".".join(map(str, sys.version_info[:3]))

# ---- workloads: name -> (call, units in one run) ----


def empty() -> None:
    pass


def micro_call() -> None:
    for _ in range(20000):
        empty()


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def micro_fib() -> None:
    fib(19)


def micro_ccall() -> None:
    value = ()
    for _ in range(20000):
        callable(value)


def counter(n: int) -> Any:
    for i in range(n):  # noqa: UP028 - a generator of its own is the point
        yield i


def micro_generator() -> None:
    for _ in counter(20000):
        pass


def micro_tree() -> None:
    def a(n: int) -> None:
        for _ in range(3):
            b(n)
            c(n)

    def b(n: int) -> None:
        c(n)
        d()

    def c(n: int) -> None:
        if n:
            a(n - 1)

    def d() -> None:
        pass

    a(3)


MICRO: dict[str, tuple[Callable[[], None], int]] = {
    "call": (micro_call, 20000), "fib": (micro_fib, 13529), "c_call": (micro_ccall, 20000),
    "generator": (micro_generator, 20000), "tree": (micro_tree, 1),
}


def django_page() -> tuple[Callable[[], None], int]:
    """The list page of the demo shop with 120 books, through the WSGI handler."""
    sys.path.insert(0, str(ROOT / "examples" / "shop"))
    os.environ.setdefault("SHOP_DATA", os.environ.get("BENCH_DATA", "/tmp"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    os.environ["SLOWLENS_DISABLE"] = "1"  # the page alone: we profile from outside
    import django

    django.setup()
    from django.core.management import call_command

    call_command("fill_shop")
    from django.core.wsgi import get_wsgi_application

    app = get_wsgi_application()
    return lambda: get(app, "/", "size=120"), 1


def flask_page() -> tuple[Callable[[], None], int]:
    """Sixty rows by Jinja."""
    os.environ["SLOWLENS_DISABLE"] = "1"
    sys.path.insert(0, str(ROOT / "examples" / "flask_prices"))
    import app as module

    return lambda: get(module.app.wsgi_app, "/"), 1


def get(app: Any, path: str, query: str = "") -> None:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "HTTP_HOST": "localhost", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
        "REMOTE_ADDR": "127.0.0.1",
    }
    body = app(environ, lambda status, headers, exc_info=None: None)
    b"".join(body)
    if hasattr(body, "close"):
        body.close()


# ---- variants: each returns (start, stop) ----


def variants() -> dict[str, Callable[[Callable[[], None]], float]]:
    """Name -> a function that runs a call under the variant and returns its seconds."""
    from slowlens import _core, engine

    engine.prepare()
    found: dict[str, Callable[[Callable[[], None]], float]] = {"none": timed}

    def ours(mode: str, interval: float = 0.0) -> Callable[[Callable[[], None]], float]:
        def run(call: Callable[[], None]) -> float:
            if interval:
                _core.sampler_configure(interval, 0)
            profile = _core.Recording(mode, max_bytes=64 << 20, sampled=interval > 0)
            profile.enter()
            call()  # re-instrumentation is the first run's: measured apart (suite middleware)
            profile.leave()
            profile.enter()
            spent = timed(call)
            profile.leave()
            profile.discard()
            _core.engine_idle(0)
            call()
            return spent
        return run

    for mode in ("none", "chosen", "all"):
        found["slowlens-" + mode] = ours(mode)
    found["slowlens-sampling"] = ours("none", 0.001)
    found["slowlens-sampling-10k"] = ours("none", 0.0001)

    def with_cprofile(call: Callable[[], None]) -> float:
        profiler = cProfile.Profile()
        profiler.enable()
        call()
        spent = timed(call)
        profiler.disable()
        call()
        return spent

    found["cprofile"] = with_cprofile
    try:
        import noop
    except ImportError:
        pass
    else:
        def floor(every: bool) -> Callable[[Callable[[], None]], float]:
            def run(call: Callable[[], None]) -> float:
                noop.on(every)
                call()
                spent = timed(call)
                noop.off()
                call()
                return spent
            return run

        found["noop"] = floor(False)
        found["noop-c"] = floor(True)
    try:
        import yappi
    except ImportError:
        pass
    else:
        def with_yappi(call: Callable[[], None]) -> float:
            yappi.set_clock_type("wall")
            yappi.start(builtins=True)
            call()
            spent = timed(call)
            yappi.stop()
            yappi.clear_stats()
            call()
            return spent

        found["yappi"] = with_yappi
    try:
        import pyinstrument
    except ImportError:
        pass
    else:
        def with_pyinstrument(call: Callable[[], None]) -> float:
            profiler = pyinstrument.Profiler(interval=0.001)
            profiler.start()
            call()
            spent = timed(call)
            profiler.stop()
            call()
            return spent

        found["pyinstrument"] = with_pyinstrument
    return found


def timed(call: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e9


def measure(name: str, call: Callable[[], None], units: int, rounds: int, suite: str) -> list[dict[str, Any]]:
    """Rows of one workload."""
    runs = variants()
    for run in runs.values():
        run(call)
    seconds: dict[str, list[float]] = {variant: [] for variant in runs}
    chance = random.Random(1)
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        order = list(runs)
        chance.shuffle(order)
        for variant in order:
            seconds[variant].append(min(runs[variant](call), runs[variant](call)))
        gc.enable()
    rows = []
    for variant, found in seconds.items():
        ratios = [one / bare for one, bare in zip(found, seconds["none"], strict=True)]
        shares = [(one - bare) / max(1e-12, profiled - bare)
                  for one, bare, profiled in zip(found, seconds["none"], seconds["cprofile"], strict=True)]
        added = [(one - bare) / units * 1e9 for one, bare in zip(found, seconds["none"], strict=True)]
        quartiles = statistics.quantiles(ratios, n=4)
        rows.append({
            "suite": suite, "python": PYTHON, "workload": name, "variant": variant,
            "median": statistics.median(found), "spread": (quartiles[2] - quartiles[0]) / 2,
            "ratio_to_none": statistics.median(ratios), "ratio_to_cprofile": statistics.median(shares),
            "added_ns_per_unit": statistics.median(added) if units > 1 else None,
        })
    return rows


def middleware(rounds: int) -> list[dict[str, Any]]:
    """What a WSGI request pays when it is not selected, and at the end of one that is."""
    import tempfile

    from slowlens import _core
    from slowlens.wsgi import ProfilerMiddleware

    os.environ.pop("SLOWLENS_DISABLE", None)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x"]

    def spent(call: Callable[[], None], count: int) -> float:
        start = time.perf_counter_ns()
        for _ in range(count):
            call()
        return (time.perf_counter_ns() - start) / count

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as store:
        off = ProfilerMiddleware(app, store=store, sample_rate=0.0)
        plain: list[float] = []
        skipped: list[float] = []
        for _ in range(rounds):
            plain.append(spent(lambda: get(app, "/"), 2000))
            skipped.append(spent(lambda: get(off, "/"), 2000))
        added = [b - a for a, b in zip(plain, skipped, strict=True)]
        rows.append(row("middleware", "wsgi not selected", "added ns a request", added))

        finish: list[float] = []
        for _ in range(rounds * 3):
            profile = _core.Recording("all")
            profile.enter()
            micro_wide()
            profile.leave()
            start = time.perf_counter_ns()
            profile.finish()
            finish.append(time.perf_counter_ns() - start)
            totals = profile.totals()
            blobs = time.perf_counter_ns()
            blob = profile.encode({})
            encode = (time.perf_counter_ns() - blobs) / totals["nodes"]
            decode_start = time.perf_counter_ns()
            _core.Profile(blob)
            decode = (time.perf_counter_ns() - decode_start) / totals["nodes"]
            profile.discard()
            rows.append({"nodes": totals["nodes"], "encode": encode, "decode": decode,
                         "memory": totals["bytes"] / totals["nodes"], "blob": len(blob) / totals["nodes"]})
        details = [one for one in rows if "nodes" in one]
        rows = [one for one in rows if "nodes" not in one]
        nodes = int(statistics.median(one["nodes"] for one in details))
        rows.append(row("middleware", f"finish, {nodes} nodes", "ns on the request's thread", finish))
        for key, title in (("encode", "encode with zstd, ns a node"), ("decode", "decode, ns a node"),
                           ("memory", "bytes a node while running"), ("blob", "bytes a node in the file")):
            rows.append(row("middleware", f"{nodes} nodes", title, [one[key] for one in details]))
    return rows


def kept(rounds: int) -> list[dict[str, Any]]:
    """What it takes to keep a profile of some 300 nodes: CPU of the process, the writer's included."""
    import tempfile

    from slowlens import _core
    from slowlens.store import Query
    from slowlens.wsgi import ProfilerMiddleware

    os.environ.pop("SLOWLENS_DISABLE", None)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for one in WIDE[:4]:
            one()
        start_response("200 OK", [])
        return [b"x"]

    def spent(middleware: Any) -> float:
        writer, start = middleware.recorder.writer, time.process_time_ns()
        for _ in range(100):
            get(middleware, "/")
        while writer._jobs or writer._working:
            time.sleep(0.002)
        return (time.process_time_ns() - start) / 100 / 1e3

    with tempfile.TemporaryDirectory() as store:
        options: dict[str, Any] = {"mode": "deterministic", "log": False, "slow_ms": 1e6, "debug": False}
        every = ProfilerMiddleware(app, store=os.path.join(store, "every"), keep="all", **options)
        none = ProfilerMiddleware(app, store=os.path.join(store, "none"), keep="slow", **options)
        added: list[float] = []
        for _ in range(rounds * 3):
            without = spent(none)
            added.append(spent(every) - without)
        assert every.recorder.counters()["stored"] == rounds * 300
        store_of = every.recorder.store
        blob = store_of.get(store_of.list(Query(limit=1)).rows[0]["id"])
        assert blob is not None
        title = f"{json.loads(_core.Profile(blob).summary())['nodes']} nodes"
    return [row("middleware", title, "a kept profile, everything: us of CPU", added)]


def switching(name: str, call: Callable[[], None], rounds: int) -> list[dict[str, Any]]:
    """What turning events on and off costs, beyond the steady cost of a profile."""
    from slowlens import _core

    names = ("turn on, us", "first profiled run beyond the next, ms", "turn off, us",
             "first plain run after beyond the bare, ms", "second plain run after, ms")
    found: dict[str, list[float]] = {one: [] for one in names}
    for _ in range(rounds):
        bare = min(timed(call) for _ in range(3))
        start = time.perf_counter_ns()
        profile = _core.Recording("none", max_bytes=64 << 20)
        found[names[0]].append((time.perf_counter_ns() - start) / 1e3)
        profile.enter()
        first = timed(call)
        steady = min(timed(call) for _ in range(3))
        profile.discard()
        start = time.perf_counter_ns()
        _core.engine_idle(0)
        found[names[2]].append((time.perf_counter_ns() - start) / 1e3)
        found[names[1]].append((first - steady) * 1e3)
        found[names[3]].append((timed(call) - bare) * 1e3)
        found[names[4]].append((timed(call) - bare) * 1e3)
    return [row("switching", name, key, values) for key, values in found.items()]


def sampler_cost(name: str, call: Callable[[], None]) -> list[dict[str, Any]]:
    """What the sampler's own thread takes, and how often it really looks."""
    from slowlens import _core

    rows = []
    for interval, rate in ((0.001, "1 kHz"), (0.0001, "10 kHz")):
        cpu, gaps = [], []
        for _ in range(5):
            _core.sampler_configure(interval, 0)
            profile = _core.Recording("none", max_bytes=64 << 20, sampled=True)
            before, start = _core.engine_info()["sampler"], time.perf_counter_ns()
            profile.enter()
            while (passed := time.perf_counter_ns() - start) < 1_000_000_000:
                call()
            after = _core.engine_info()["sampler"]
            profile.leave()
            profile.discard()
            ticks = after["ticks"] - before["ticks"]
            cpu.append((after["cpu_ns"] - before["cpu_ns"]) / ticks / 1e3)
            gaps.append(passed / ticks / 1e3)
        rows.append(row("sampler", name, f"at {rate}: CPU of a tick, us", cpu))
        rows.append(row("sampler", name, f"at {rate}: achieved interval, us", gaps))
    return rows


def store(rounds: int) -> list[dict[str, Any]]:
    """The folder store: a put, the rows of all its segments, the first page of 100,000."""
    import tempfile

    from slowlens import _core
    from slowlens.request import new_id
    from slowlens.store import Query
    from slowlens.store.directory import DirectoryStore

    profile = _core.Recording("none")
    profile.enter()
    micro_wide()
    profile.finish()
    rows = []
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o700)
        there = DirectoryStore(root)

        def fill(count: int) -> list[float]:
            puts = []
            for i in range(count):
                meta = {"id": new_id(time.time_ns()), "started": time.time_ns(), "wall_ns": i * 7 % 100003,
                        "path": f"/{i}", "route": f"/{i % 50}", "method": "GET", "status": 200,
                        "mode": "deterministic"}
                if i % 100 == 0:
                    blob = profile.encode(meta)
                start = time.perf_counter_ns()
                there.put(meta, blob)
                puts.append((time.perf_counter_ns() - start) / 1e3)
            return puts

        rows.append(row("store", "a profile", "put, us in the writer thread", fill(2000)))
        rates = []
        for _ in range(3):
            start = time.perf_counter_ns()
            assert len(DirectoryStore(root).list(Query(limit=10)).rows) == 10
            rates.append(2000 / ((time.perf_counter_ns() - start) / 1e9))
        rows.append(row("store", "2,000 blobs", "rebuild, blobs a second", rates))
        fill(98000)
        there.list(Query())
        for sort in ("-started", "-wall_ns"):
            pages = []
            for _ in range(rounds * 3):
                start = time.perf_counter_ns()
                there.list(Query(sort=sort))
                pages.append((time.perf_counter_ns() - start) / 1e6)
            rows.append(row("store", "100,000 profiles", f"first page by {sort}, ms", pages))
    profile.discard()
    return rows


def micro_wide() -> None:
    """About 7,000 nodes: a hundred functions, each calling seventy others."""
    for one in WIDE:
        one()


def _make_wide() -> list[Callable[[], None]]:
    space: dict[str, Any] = {}
    leaves = "\n".join(f"def leaf{i}(): pass" for i in range(70))
    calls = "".join(f"    leaf{i}()\n" for i in range(70))
    exec(leaves + "\n" + "\n".join(f"def branch{i}():\n{calls}" for i in range(100)), space)
    return [space[f"branch{i}"] for i in range(100)]


WIDE = _make_wide()


def row(suite: str, workload: str, variant: str, values: list[float]) -> dict[str, Any]:
    quartiles = statistics.quantiles(values, n=4)
    return {"suite": suite, "python": PYTHON, "workload": workload, "variant": variant,
            "median": statistics.median(values), "spread": (quartiles[2] - quartiles[0]) / 2,
            "ratio_to_none": None, "ratio_to_cprofile": None}


def show(rows: list[dict[str, Any]]) -> None:
    """A table a workload."""
    last = None
    for one in rows:
        if one["workload"] != last:
            last = one["workload"]
            print(f"\n{one['python']}  {one['suite']}: {last}")
        if one["ratio_to_none"] is None:
            print(f"  {one['variant']:34} {one['median']:10.1f}  +-{one['spread']:.1f}")
            continue
        unit = one.get("added_ns_per_unit")
        print(f"  {one['variant']:16} x{one['ratio_to_none']:6.2f} +-{one['spread']:.2f}   "
              f"added, of cProfile's: {one['ratio_to_cprofile']:5.2f}"
              + (f"   {unit:7.1f} ns" if unit is not None else ""))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--suite", action="append", choices=("micro", "pages", "middleware", "store"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    suites = options.suite or ["micro", "pages", "middleware", "store"]
    rows: list[dict[str, Any]] = []
    if "micro" in suites:
        for name, (call, units) in MICRO.items():
            rows += measure(name, call, units, options.rounds, "micro")
    if "pages" in suites:
        for name, make in (("django list", django_page), ("flask page", flask_page)):
            try:
                call, units = make()
            except ImportError as error:
                print(f"{name}: skipped, {error}", file=sys.stderr)
                continue
            for _ in range(5):
                call()
            rows += measure(name, call, units, options.rounds, "pages")
            rows += sampler_cost(name, call)
            if sys.version_info >= (3, 12):
                rows += switching(name, call, options.rounds)
    if "middleware" in suites:
        rows += middleware(options.rounds)
        rows += kept(options.rounds)
    if "store" in suites:
        rows += store(options.rounds)
    show(rows)
    if options.json:
        options.json.write_text("".join(json.dumps(one) + "\n" for one in rows))


if __name__ == "__main__":
    main()
