"""What a profile that is kept costs beyond one that is not: CPU of the process, the writer's thread included.

    kept.py [--rounds N] [--calls N] [--json FILE] [PATH ...]

Each PATH is a folder that has a ``slowlens`` in it (a build's ``python``), tried in a process of its own; without one,
the slowlens that is installed. The processes take turns, one round each, on one CPU, so that two builds meet the same
load.
A small page has a dozen nodes, a large one about 300; between two requests the loop polls and a byte goes through a
socket, as in a server, which is when threads take the interpreter from each other. Told are medians (and least) over
the rounds of what is added to the same requests sampled and not kept, of that the requests' own thread, and how often
the writer's thread was switched to for each.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from turns import by_turns

NAMES = ("small, sampled", "300 nodes, by events")


def small_app() -> Callable[..., Any]:
    async def part() -> int:
        await asyncio.sleep(0)
        return sum(range(100))

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.gather(part(), part())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(list(range(20))).encode()})

    return app


def large_app() -> Callable[..., Any]:
    names: dict[str, Any] = {}
    for number in range(1 + 6 + 36):  # each calls six others, of which the last call none
        inside = "".join(f"    f{number * 6 + one}()\n" for one in range(1, 7))
        exec(compile(f"def f{number}():\n    len('x')\n{inside}", f"/project/part{number % 9}.py", "exec"), names)
    for number in range(20):
        exec(compile(f"def g{number}():\n    pass\n", "/project/leaves.py", "exec"), names)
    names |= {f"f{number}": names[f"g{number % 20}"] for number in range(43, 43 + 216)}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        names["f0"]()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app


def a_scope() -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/hello",
        "raw_path": b"/hello", "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost"), (b"user-agent", b"a"), (b"accept", b"*/*"), (b"connection", b"close")],
    }


def switches() -> int:
    """Of all threads but this one: how often each gave its CPU up."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) == os.getpid():
            continue
        try:
            with open(f"/proc/self/task/{task}/status", encoding="ascii") as file:
                said = dict(line.split(":", 1) for line in file)
        except OSError:
            continue  # it has ended
        if not said["Name"].startswith("slowlens-sample"):
            total += int(said["voluntary_ctxt_switches"])
    return total


async def times(ours: Any, calls: int, here: socket.socket, there: socket.socket) -> tuple[float, float, float]:
    """CPU of the process and of this thread, us a request; switches of other threads."""
    whole = a_scope()

    async def nothing(message: Any = None) -> None:
        pass

    before, began, mine = switches(), time.process_time_ns(), time.thread_time_ns()
    for _ in range(calls):
        await ours(dict(whole), nothing, nothing)
        here.send(b"x")
        there.recv(1)
        await asyncio.sleep(0)
    ours.recorder.writer.flush()
    return ((time.process_time_ns() - began) / calls / 1000, (time.thread_time_ns() - mine) / calls / 1000,
            (switches() - before) / calls)


def serve(calls: int) -> None:
    """Answers each line of stdin with what one round costs, until there are no more."""
    from slowlens.asgi import ProfilerMiddleware

    pages = [(small_app(), "sampling"), (large_app(), "deterministic")]
    with tempfile.TemporaryDirectory() as folder:
        made = [[ProfilerMiddleware(app, store=os.path.join(folder, keep), mode=mode, keep=keep, slow_ms=60_000,
                                    debug=False, log=False, continuous=False) for keep in ("error", "all")]
                for app, mode in pages]

        async def round_of() -> list[float]:
            found: list[float] = []
            here, there = socket.socketpair()
            with here, there:
                for plain, kept in made:
                    bare, more = await times(plain, calls, here, there), await times(kept, calls, here, there)
                    found += [one - other for one, other in zip(more, bare, strict=True)]
            return found

        gc.disable()
        for _ in sys.stdin:
            gc.collect()
            print(*asyncio.run(round_of()), flush=True)
        for plain, kept in made:
            said = kept.recorder.counters()
            assert said["stored"] and not (said["faults"] or said["failed"] or said["dropped"]), said
            assert not plain.recorder.counters()["stored"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", help="a file to write rows to")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.calls)
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    paths = [os.path.abspath(path) for path in chosen.paths] or [""]
    rounds = by_turns(__file__, paths, chosen.rounds, ["--calls", str(chosen.calls)])
    print(f"CPython {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}; us of CPU a kept profile, median (least) "
          f"of {chosen.rounds} rounds of {chosen.calls}")
    print("| | " + " | ".join(path or "installed" for path in paths) + " |\n|---|" + "---|" * len(paths))
    rows = []
    for index, name in enumerate(NAMES):
        for part, what in enumerate(("", ": of it the request's thread", ": switches to the writer")):
            columns = [[one[3 * index + part] for one in told] for told in rounds]
            print(f"| {name}{what} | "
                  + " | ".join(f"{statistics.median(one):.2f} ({min(one):.2f})" for one in columns) + " |")
            rows += [{"suite": "kept", "name": name + what, "python": sys.version.split()[0],
                      "build": path or "installed", "median": round(statistics.median(one), 3),
                      "least": round(min(one), 3),
                      "date": time.strftime("%Y-%m-%d"), "load": round(os.getloadavg()[0], 1)}
                     for path, one in zip(paths, columns, strict=True)]
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
