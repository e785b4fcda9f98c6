"""The folder store, beside the first version's layout (a file and an index row a profile) in the same run.

    python tests/bench/store.py [--sizes 1000,10000,100000,1000000] [--old-max 10000] [--json FILE]

    put       CPU of the process for a put (user and system), and how long one takes
    writers   1, 4, 8 processes flat out; 8 processes at 50 a second each: how long a put takes
    disk      what the disk counts, over the bytes of the blobs
    cold      a new process's first list: every footer read
    lists     each filter with each sort, the table being warm: median and worst, CPU of the process
    routes    all routes with their percentiles
    gc        one pass that finds nothing to do
    numbers   the page of routes, of a day's requests that were counted and not kept

Blobs are of a small real recording, each with metadata of its own: 200 routes
(the n-th as often as 1/n), a path a profile, tags on a third.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from old_store import DirectoryStore as OldStore

from slowlens import _core
from slowlens.request import new_id
from slowlens.store import Query
from slowlens.store.directory import DirectoryStore
from slowlens.store.numbers import HOUR

ROUTES = 200
WEIGHTS = list(itertools.accumulate(1 / (n + 1) for n in range(ROUTES)))
FILTERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none", {}), ("common route", {"route": "/app0/section0/<id>"}),
    ("rare route", {"route": "/app9/section180/<id>"}),
    ("method", {"method": "POST"}), ("5xx", {"status": "5xx"}), ("status none has", {"status": "418"}),
    ("mode", {"mode": "deterministic"}), ("20 ms and more", {"min_ns": 20_000_000}), ("host", {"host": "web-3"}),
    ("release", {"release": "r1"}), ("route and 5xx", {"route": "/app0/section0/<id>", "status": "5xx"}),
    ("tag", {"tag": "tenant=77"}), ("tag key", {"tag": "tenant"}), ("text, some", {"text": "7712"}),
    ("text, none", {"text": "zzqx"}), ("text, common", {"text": "App1"}),
    ("text and route", {"text": "771", "route": "/app0/section0/<id>"}),
)
SORTS = ("-started", "started", "-wall_ns", "-cpu_ns", "-bytes", "-calls", "status", "method", "route")


def recording() -> _core.Recording:
    one = _core.Recording("none")
    one.enter()
    sorted(range(50), key=lambda n: -n)
    one.leave()
    one.finish()
    return one


def profiles(count: int, seed: int = 1) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Metadata and blobs, a week's worth."""
    chance = random.Random(seed)
    made = recording()
    now = time.time_ns()
    for i in range(count):
        number = chance.choices(range(ROUTES), cum_weights=WEIGHTS)[0]
        started = now - (count - i) * 604_800_000_000_000 // count
        wall = int(math.exp(chance.gauss(0, 1.1)) * (5 + number % 40) * 1e6)
        meta = {
            "id": new_id(started), "started": started, "wall_ns": wall, "cpu_ns": wall * chance.randrange(100) // 100,
            "waiting_ns": wall * chance.randrange(30) // 100, "method": "POST" if chance.random() < 0.2 else "GET",
            "route": f"/app{number // 20}/section{number}/<id>",
            "path": f"/app{number // 20}/section{number}/{chance.randrange(10**5)}/",
            "status": chance.choices((200, 302, 404, 500), (876, 100, 20, 4))[0],
            "mode": "sampling" if chance.random() < 0.97 else "deterministic", "calls": chance.randrange(20000),
            "host": f"web-{chance.randrange(8)}", "release": f"r{i * 4 // count}", "kept": "slow", "pid": 1234,
            "framework": "Django 5.2",
        }
        if chance.random() < 0.3:
            meta["tag.tenant"] = str(chance.randrange(2000))
        yield meta, made.encode(meta)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def disk(folder: str) -> int:
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def fill(store: Any, batch: list[tuple[dict[str, Any], bytes]]) -> tuple[float, list[float]]:
    """(CPU seconds in all, seconds of each put)."""
    took = []
    rows = [({**meta, "hot": "views.detail > copy.deepcopy 76%", "headline": ""}, blob) for meta, blob in batch]
    before = cpu()
    for row, blob in rows:
        start = time.perf_counter()
        store.put(row, blob)
        took.append(time.perf_counter() - start)
    return cpu() - before, took


def timed(call: Callable[[], Any], rounds: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """The least of some, in ms."""
    best = math.inf
    for _ in range(rounds):
        start = clock()
        call()
        best = min(best, clock() - start)
    return best * 1e3


def cpu_of(call: Callable[[], Any], rounds: int = 3) -> float:
    """What its caller waits where nobody else wants the processor."""
    return timed(call, rounds, time.process_time)


def one_size(kind: type, name: str, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def say(what: str, value: float, unit: str) -> None:
        print(f"{name:9}{count:>9}  {what:44}{value:12.2f} {unit}", flush=True)
        rows.append({"suite": "store", "layout": name, "profiles": count, "what": what, "value": round(value, 3),
                     "unit": unit})

    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o700)
        store = kind(root, max_bytes=1 << 40)
        used, took, size = 0.0, [], 0
        source = profiles(count)
        while batch := list(itertools.islice(source, 5000)):
            spent, times = fill(store, batch)
            used += spent
            took += times
            size += sum(len(blob) for _, blob in batch)
        say("put: CPU", used / count * 1e6, "us")
        for label, share in (("half", 0.5), ("99 %", 0.99), ("all", 1.0)):
            say(f"put: {label} within", quantile(took, share) * 1e6, "us")
        if hasattr(store, "close"):
            store.close()
        say("blob", size / count, "bytes")
        say("disk over blobs", disk(root) / size, "x")
        fresh = kind(root, max_bytes=1 << 40)
        if name == "old":
            for path in Path(root).glob("index.sqlite3*"):
                path.unlink()
        start = time.perf_counter()
        fresh.list(Query())
        say("cold: first list of a new process" + (", index rebuilt" if name == "old" else ""),
            (time.perf_counter() - start) * 1e3, "ms")
        times_of = {}
        for (label, values), sort in itertools.product(FILTERS, SORTS):
            if name == "old" and ("host" in values or "release" in values):
                continue
            query = Query(sort=sort, **values)
            times_of[label, sort] = cpu_of(lambda query=query: fresh.list(query))
        say("lists, CPU: median", statistics.median(times_of.values()), "ms")
        worst = max(times_of, key=lambda key: times_of[key])
        say(f"lists, CPU: worst ({worst[0]} by {worst[1]})", times_of[worst], "ms")
        say("lists within 50 ms of CPU", 100 * sum(one <= 50 for one in times_of.values()) / len(times_of), "%")
        if name != "old" or count <= 100_000:
            say("routes", timed(fresh.routes, 1), "ms")
        say("gc", timed(lambda: fresh.gc(10), 1), "ms")
        if hasattr(fresh, "contents"):
            say("memory of the table", fresh.contents()["memory"] / count, "bytes a profile")
    return rows


def _write(kind: type, root: str, count: int, rate: float, seed: int, answers: Any, go: Any) -> None:
    batch = list(profiles(count, seed))
    store = kind(root, max_bytes=1 << 40)
    go.wait()
    took = []
    before = cpu()
    begin = time.perf_counter()
    for i, (meta, blob) in enumerate(batch):
        if rate:
            time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
        start = time.perf_counter()
        store.put({**meta, "hot": "", "headline": ""}, blob)
        took.append(time.perf_counter() - start)
    answers.put((time.perf_counter() - begin, cpu() - before, took))


def writers(kind: type, name: str, processes: int, each: int, rate: float) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("fork")
    answers, go = context.Queue(), context.Event()
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o700)
        workers = [context.Process(target=_write, args=(kind, root, each, rate, i, answers, go))
                   for i in range(processes)]
        for worker in workers:
            worker.start()
        time.sleep(1 + each / 5000)
        go.set()
        found = [answers.get() for _ in workers]
        for worker in workers:
            worker.join()
    took = [one for _, _, times in found for one in times]
    label = f"{processes} writers" + (f" at {rate:g} a second" if rate else " flat out")
    rows = []
    for what, value, unit in (
        ("puts a second", len(took) / max(one[0] for one in found), "/s"),
        ("CPU a put", sum(one[1] for one in found) / len(took) * 1e6, "us"),
        ("half within", quantile(took, 0.5) * 1e6, "us"), ("99 % within", quantile(took, 0.99) * 1e6, "us"),
        ("all within", max(took) * 1e6, "us"),
    ):
        print(f"{name:9}{'':9}  {label + ': ' + what:44}{value:12.2f} {unit}", flush=True)
        rows.append({"suite": "store", "layout": name, "what": f"{label}: {what}", "value": round(value, 3),
                     "unit": unit})
    return rows


def all_requests(count: int, hours: int = 24) -> list[dict[str, Any]]:
    """The routes page of so many requests of one day, counted and not kept."""
    chance = random.Random(1)
    now = int(time.time()) // HOUR * HOUR
    rows: list[dict[str, Any]] = []

    def say(what: str, value: float, unit: str) -> None:
        print(f"{'numbers':9}{count:9,}  {what:44}{value:12.2f} {unit}", flush=True)
        rows.append({"suite": "store", "layout": "numbers", "count": count, "what": what, "value": round(value, 3),
                     "unit": unit})

    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o700)
        store = DirectoryStore(root)
        for hour in range(hours):
            at = now - hour * HOUR
            table = _core.Numbers(60, "r1", "web-1")
            for n in chance.choices(range(ROUTES), cum_weights=WEIGHTS, k=count // hours):
                table.add_killed(f"/app{n % 10}/section{n}/<id>", "GET", int(chance.lognormvariate(17, 0.8)),
                                 at + chance.randrange(HOUR - 1))
            taken = table.take()
            assert taken is not None
            store.put_numbers(at, at + HOUR - 1, taken[2])
        fresh = DirectoryStore(root)
        before, memory = cpu(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fresh.routes()
        say("routes: first, CPU", (cpu() - before) * 1e3, "ms")
        warm = []
        for _ in range(30):
            before = cpu()
            fresh.routes()
            warm.append(cpu() - before)
        say("routes: warm, CPU, median", statistics.median(warm) * 1e3, "ms")
        say("routes: memory", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024, "MiB")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--old-max", type=int, default=10_000, help="larger sizes only of the new layout")
    parser.add_argument("--json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size in map(int, options.sizes.split(",")):
        rows += one_size(DirectoryStore, "segments", size)
        if size <= options.old_max:
            rows += one_size(OldStore, "old", size)
    for processes, each, rate in ((1, 4000, 0), (4, 4000, 0), (8, 4000, 0), (8, 500, 50)):
        rows += writers(DirectoryStore, "segments", processes, each, rate)
        rows += writers(OldStore, "old", processes, min(each, 1000), rate)
    rows += all_requests(max(map(int, options.sizes.split(","))))
    if options.json:
        lines = (json.dumps({**row, "python": platform.python_version()}) for row in rows)
        Path(options.json).write_text("".join(line + "\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
