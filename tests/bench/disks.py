"""Disks that fail: does a request take longer? Are losses counted?

    python tests/bench/disks.py [--rounds 5] [--requests 1000] [--json FILE]      (as root: it mounts)

One worker process a disk, all in the same run; in each round each in its turn answers so many requests, every one
profiled by samples and kept. Half and 99 % within, over all rounds, and what became of the profiles:

    bare       without slowlens
    healthy    a tmpfs
    full       a tmpfs of 256 kB
    inode-less a tmpfs that has no file left to give when the store's first segment is full
    read-only  ext4 that gave up after the first round, as after an error of the device
    stalled    ext4 on a loop device, frozen in each round: whoever writes there stands still, not even kill -9 ends it
    vanishing  unmounted under the worker in the middle of each round
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from store import quantile

from slowlens.wsgi import ProfilerMiddleware

DISKS = ("bare", "healthy", "full", "inode-less", "read-only", "stalled", "vanishing")
ENVIRON = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "wsgi.url_scheme": "http", "SERVER_NAME": "localhost",
           "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1"}


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A quarter of a millisecond or so on the CPU, and as long beside it."""
    total = sum(hash(str(n)) & 7 for n in range(1500))
    time.sleep(0.0002)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % total]


def work(disk: str, place: str, pipe: Connection) -> None:
    """Answers as many requests as it is told to, and tells how long each took."""
    called: Any = app
    if disk != "bare":
        called = ProfilerMiddleware(app, store=place + "/store", mode="sampling", keep="all", debug=True,
                                    max_bytes=4 << 20, board=False)
    while (count := pipe.recv()) is not None:
        took = []
        for number in range(count):
            start = time.perf_counter()
            b"".join(called({**ENVIRON, "PATH_INFO": f"/page/{number}"}, lambda *_: None))
            took.append(time.perf_counter() - start)
            if number == count // 2:
                pipe.send(None)
        pipe.send(took)
    if disk != "bare":
        writer = called.recorder.writer
        ended = threading.Event()
        threading.Thread(target=lambda: (writer.flush(10), ended.set()), daemon=True).start()
        ended.wait(15)
        pipe.send({name: called.recorder.counters()[name] for name in ("stored", "failed", "dropped")})
    else:
        pipe.send({})
    os._exit(0)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def mount(disk: str, place: Path) -> None:
    if disk in ("stalled", "read-only"):
        image = place.with_suffix(".img")
        run("truncate", "-s", "64M", str(image))
        run("mkfs.ext4", "-q", str(image))
        run("mount", "-o", "loop", str(image), str(place))
        place.chmod(0o700)
        return
    size = {"full": "256k", "inode-less": "64m,nr_inodes=9"}.get(disk, "64m")
    run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place))


def before(disk: str, place: Path, number: int) -> None:
    if disk == "stalled":
        run("fsfreeze", "-f", str(place))
    elif disk == "read-only" and number == 1:
        run("mount", "-o", "remount,abort", str(place))


def midway(disk: str, place: Path) -> None:
    if disk == "vanishing":
        run("umount", "-l", str(place))


def behind(disk: str, place: Path) -> None:
    if disk == "stalled":
        run("fsfreeze", "-u", str(place))
    elif disk == "vanishing":
        mount(disk, place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json")
    options = parser.parse_args()
    context = get_context("spawn")
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory() as folder:
        places = {disk: Path(folder, disk) for disk in DISKS}
        workers, took = {}, {disk: [] for disk in DISKS}
        try:
            for disk, place in places.items():
                place.mkdir()
                mount(disk, place)
                pipe, end = context.Pipe()
                process = context.Process(target=work, args=(disk, str(place), end), daemon=True)
                process.start()
                workers[disk] = (pipe, process)
            for disk in DISKS:  # what is done once is done
                workers[disk][0].send(50)
                workers[disk][0].recv(), workers[disk][0].recv()
            for number in range(options.rounds):
                for disk in DISKS if number % 2 == 0 else DISKS[::-1]:
                    pipe = workers[disk][0]
                    before(disk, places[disk], number)
                    pipe.send(options.requests)
                    pipe.recv()
                    midway(disk, places[disk])
                    took[disk] += pipe.recv()
                    behind(disk, places[disk])
            for disk in DISKS:
                pipe, process = workers[disk]
                pipe.send(None)
                counted = pipe.recv()
                process.join()
                lost = 50 + options.rounds * options.requests - sum(counted.values()) if counted else 0
                wrong += lost != 0
                row = {"suite": "disks", "disk": disk, "half_ms": round(quantile(took[disk], 0.5) * 1e3, 3),
                       "p99_ms": round(quantile(took[disk], 0.99) * 1e3, 3), **counted, "not_counted": lost,
                       "python": platform.python_version()}
                rows.append(row)
                print(json.dumps(row), flush=True)
        finally:
            for place in places.values():
                subprocess.run(["fsfreeze", "-u", str(place)], stderr=subprocess.DEVNULL, check=False)
                subprocess.run(["umount", "-l", str(place)], stderr=subprocess.DEVNULL, check=False)
    if options.json:
        Path(options.json).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
