"""The PostgreSQL store: how long batches, lists, routes, gc and the drop of a day take.

    python tests/bench/postgres.py [--count 1000000] [--json FILE]

Starts a cluster of its own (tests/postgres/cluster.py: Debian's package): the server's defaults, with 64 MB of shared
buffers and no fsync. Rows and filters are those of tests/bench/store.py: a week of 200 routes, tags on a third, 420
bytes a blob.

    put       128 a batch, one writer: CPU of the client, and seconds by the clock, server included
    lists     each filter with each sort: median, worst, and the share within 50 ms
    routes    with the numbers of all requests: only the slowest of each is looked up
    drop      a day goes, its worst copied out
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store import FILTERS, SORTS, cpu, profiles, quantile, timed

from slowlens import _core, engine
from slowlens.store import Query
from slowlens.store.postgres import PostgresStore

sys.path.insert(0, str(Path(__file__).parent.parent / "postgres"))
from cluster import Server, running

BATCH = 128


def measure(server: Server, count: int, say: Callable[[str, float, str], None]) -> None:
    store = PostgresStore(server.url(), max_bytes=1 << 40, max_age_days=0)
    spent, took, size = 0.0, [], 0
    source = profiles(count)
    while batch := [({**meta, "hot": "views.detail > copy.deepcopy 76%"}, blob)
                    for meta, blob in itertools.islice(source, BATCH)]:
        before, start = cpu(), time.perf_counter()
        store.put_many(batch)
        took.append(time.perf_counter() - start)
        spent += cpu() - before
        size += sum(len(blob) for _, blob in batch)
    assert store.contents()["waiting"] == 0
    say("put: CPU of the client", spent / count * 1e6, "us")
    say("put: by the clock", sum(took) / count * 1e6, "us")
    say("a batch of 128: half within", quantile(took, 0.5) * 1e3, "ms")
    say("a batch of 128: 99 % within", quantile(took, 0.99) * 1e3, "ms")
    with store._connections.lock:
        store._connections.writing().execute(f"VACUUM ANALYZE {store._s}.profiles")
    say("database over blobs", store.contents()["bytes"] / size, "x")
    times = {}
    for (label, values), sort in itertools.product(FILTERS, SORTS):
        query = Query(sort=sort, **values)
        times[label, sort] = timed(lambda query=query: store.list(query), 2)
    say("lists: median", statistics.median(times.values()), "ms")
    for worst in sorted(times, key=lambda key: -times[key])[:5]:
        say(f"lists: {worst[0]} by {worst[1]}", times[worst], "ms")
    say("lists within 50 ms", 100 * sum(one <= 50 for one in times.values()) / len(times), "%")
    slowest = Query(sort="-wall_ns", route="/app0/section0/<id>")
    say("slowest 50 of a route", timed(lambda: store.list(slowest)), "ms")
    known = store.list(slowest).rows[0]["id"]
    say("one profile", timed(lambda: store.get(known)), "ms")
    numbers = _core.Numbers(60, "r1", "h1")
    recording = _core.Recording()
    recording.finish()
    for meta, _ in profiles(5000, 2):
        numbers.add(recording, meta["route"], meta["method"], False, False, 0)
    taken = numbers.take()
    assert taken is not None
    store.put_numbers(*taken)
    say("routes", timed(store.routes), "ms")
    say("gc that finds nothing to do", timed(lambda: store.gc(10), 1), "ms")
    tight = PostgresStore(server.url(), max_bytes=int(store.contents()["bytes"] * 0.97), max_age_days=0)
    start = time.perf_counter()
    gone = tight.gc(0.0)["deleted"]
    say(f"drop of a day ({gone} profiles)", (time.perf_counter() - start) * 1e3, "ms")
    tight.close()
    store.close()


def run(count: int, file: str | None, each: Callable[[Server, Callable[[str, float, str], None]], None]) -> int:
    """``each`` server is measured; what is said of ``count`` profiles is printed, and a row of ``file``."""
    rows: list[dict[str, Any]] = []

    def say(what: str, value: float, unit: str) -> None:
        print(f"{count:>9}  {what:44}{value:14.2f} {unit}", flush=True)
        rows.append({"suite": "store", "layout": "postgres", "profiles": count, "what": what,
                     "value": round(value, 3), "unit": unit, "python": platform.python_version()})

    engine.prepare()
    for server in running():
        each(server, say)
    if file:
        Path(file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    return run(options.count, options.json, lambda server, say: measure(server, options.count, say))


if __name__ == "__main__":
    sys.exit(main())
