"""What profiling costs a server under load: its CPU for a request, requests a second, latencies, memory.

    load.py [--rounds N] [--warm S] [--seconds S] [--variants V,...] [--before FOLDER] [CASE ...]

A case is a page of a real server, with one worker, on one CPU; the load comes from another: first a closed loop
(``wrk``, four connections, each asking again as soon as it is answered), then a fixed rate (half of what the bare
server answered in the first round, the same for all; a request's time begins when it was to be sent, so a server that
cannot keep up shows). Every variant is a server of its own, started, warmed up and
stopped once a round, so that all meet the same machine. The sampler may save CPU time for a second and spend it on
a burst: what it costs for good shows after a moment of load, so each server is warmed up for ``--warm`` seconds.
``--before``: a folder with a ``slowlens`` to compare with, as variants of its own in the same rounds.
Told are medians over the rounds: the server's CPU for a request (user and system, of its processes), as a ratio to the
bare one of the same round, requests a second, latencies and the memory.

Variants: ``bare`` (no middleware), ``sampling`` (as shipped in production, but nothing is slow enough to be kept),
``deterministic`` (nothing kept), ``all kept`` (sampling, each profile stored), ``pyinstrument`` (its profiler started
and stopped around each request, nothing rendered), ``silk`` (Django pages: django-silk's middleware, its profiler off).
Needs ``wrk``, gunicorn, uvicorn, Django, Starlette; peers that are not installed are left out, and it says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import apps

HERE = Path(__file__).resolve().parent
BEFORE = ", before: "
VARIANTS = ("bare", "sampling", "deterministic", "all kept", "pyinstrument", "silk")
#: name: (server, page)
CASES = {
    "django-list": ("gthread", "/"),
    "django-detail": ("gthread", "/books/7/"),
    "django-detail-gevent": ("gevent", "/books/7/"),
    "starlette": ("asyncio", "/"),
    "starlette-uvloop": ("uvloop", "/"),
}
#: uvicorn's; the others are gunicorn's workers.
LOOPS = ("asyncio", "uvloop")
#: What is asked at a fixed rate: this share of what the bare server answered in a closed loop.
SHARE = 0.5
CONNECTIONS = 16
#: wrk tells p99.9 only to a script.
SCRIPT = """
done = function(summary, latency, requests)
  io.write(string.format("result %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


# ---- what is served: imported by the server, which is this file's own child ----


def options(variant: str) -> dict[str, Any]:
    return {
        "mode": "deterministic" if variant == "deterministic" else "sampling",
        "keep": "all" if variant == "all kept" else "slow,error,trigger", "slow_ms": 60_000, "log": False,
        "store": os.path.join(os.environ["LOAD_DATA"], "profiles"),
    }


def django_app(variant: str) -> Any:
    data = os.environ["LOAD_DATA"]
    if variant in ("bare", "pyinstrument", "fill"):
        return apps.shop(data, fill=variant == "fill")
    if variant == "silk":
        return apps.shop(data, ("silk.middleware.SilkyMiddleware",), ("silk",))
    return apps.shop(data, ("slowlens.django.ProfilerMiddleware",), SLOWLENS=options(variant))


def starlette_app(variant: str) -> Any:
    app = apps.starlette_app()
    if variant in ("bare", "pyinstrument"):
        return app
    from slowlens.asgi import ProfilerMiddleware

    return ProfilerMiddleware(app, **options(variant))


def application() -> Any:
    """The factory that gunicorn and uvicorn call."""
    case, variant = os.environ["LOAD_CASE"], os.environ["LOAD_VARIANT"]
    asynchronous = CASES[case][0] in LOOPS
    app = (starlette_app if asynchronous else django_app)(variant)
    return apps.pyinstrument(app, asynchronous) if variant == "pyinstrument" else app


# ---- the bench ----


def processes_of(parent: int) -> list[int]:
    found, todo = [], [parent]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            pass
    return found


def cpu_seconds(parent: int) -> float:
    """User and system time of it and of its children, by the kernel's count of their threads."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in processes_of(parent):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def memory_mb(parent: int) -> float:
    """Of the largest of them: the worker."""
    most = 0
    for pid in processes_of(parent):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                most = max(most, int(line.split()[1]))
    return most / 1024


def start(case: str, variant: str, data: str, port: int) -> subprocess.Popen[bytes]:
    kind = CASES[case][0]
    variant, _, old = variant.partition(BEFORE)
    environ = {**os.environ, "LOAD_CASE": case, "LOAD_VARIANT": variant, "LOAD_DATA": data,
               "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [old or os.environ.get("PYTHONPATH")])])}
    bind = f"127.0.0.1:{port}"
    gunicorn = ["gunicorn", "-w", "1", "-k", kind, *(["--threads", "4"] if kind == "gthread" else []),
                "--keep-alive", "60", "-b", bind, "--log-level", "error", "load:application()"]
    uvicorn = ["uvicorn", "--factory", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
               "--no-access-log", "--loop", kind, "--http", "h11", "load:application"]
    command = [sys.executable, "-m", *(uvicorn if kind in LOOPS else gunicorn)]
    return subprocess.Popen(command, env=environ, process_group=0,
                            preexec_fn=lambda: os.sched_setaffinity(0, {first_cpu()}))


def first_cpu() -> int:
    return min(os.sched_getaffinity(os.getppid()))


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)


def load(url: str, seconds: float, script: str) -> tuple[int, float, list[float]]:
    """Requests, seconds, p50, p99 and p99.9 in ms."""
    cpu = max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpu), "wrk", "-t", "1", "-c", "4", "-d", f"{seconds:.0f}s", "-s", script, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
    if found is None or found[6] != "0":
        raise SystemExit(f"load.py: {url}: {done.stdout}{done.stderr}")
    numbers = [int(one) for one in found.groups()]
    return numbers[0], numbers[1] / 1e6, [one / 1e3 for one in numbers[2:5]]


class Connection:
    """One that is kept, with at most one request on its way."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.meant, self.got, self.length = 0.0, b"", -1

    def ask(self, meant: float) -> None:
        self.meant, self.got, self.length = meant, b"", -1
        self.socket.sendall(self.request)

    def answered(self) -> bool:
        """Reads what is there. True: that was all of it."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise SystemExit("load.py: the server closed a connection")
        self.got += part
        if self.length < 0:
            head, end, _ = self.got.partition(b"\r\n\r\n")
            if not end:
                return False
            found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
            if not head.startswith(b"HTTP/1.1 200") or found is None:
                raise SystemExit(f"load.py: {head!r}")
            self.length = len(head) + 4 + int(found[1])
        return len(self.got) >= self.length


def ask_at(port: int, path: str, rate: float, seconds: float) -> None:
    """Asks so many times a second, whatever the answers take. A request's time begins when it was to be sent, as wrk2
    has it: one that found every connection busy has waited. Prints requests, seconds, p50, p99 and p99.9 in ms."""
    idle = [Connection(port, path) for _ in range(CONNECTIONS)]
    busy: dict[socket.socket, Connection] = {}
    took: list[float] = []
    total = max(1, round(rate * seconds))
    began = time.perf_counter()
    sent = 0
    while len(took) < total:
        now = time.perf_counter() - began
        if now > 3 * seconds:
            break  # it cannot: what has not been answered took at least so long
        while sent < total and idle and sent / rate <= now:
            one = idle.pop()
            one.ask(began + sent / rate)
            busy[one.socket] = one
            sent += 1
        next_one = sent / rate - now if sent < total and idle else 0.2
        ready, _, _ = select.select(list(busy), [], [], max(0.0, min(next_one, 0.2)))
        now = time.perf_counter()
        for each in ready:
            one = busy[each]
            if one.answered():
                took.append((now - one.meant) * 1e3)
                idle.append(busy.pop(each))
    passed, answered = time.perf_counter() - began, len(took)
    took += [(passed - number / rate) * 1e3 for number in range(answered, total)]
    took.sort()
    print(answered, passed, *(took[min(total - 1, int(total * share))] for share in (0.5, 0.99, 0.999)))


def fixed(port: int, path: str, rate: float, seconds: float) -> tuple[int, float, list[float]]:
    cpu = max(os.sched_getaffinity(0))
    done = subprocess.run(["taskset", "-c", str(cpu), sys.executable, str(HERE / "load.py"), "--ask", str(port), path,
                           str(rate), str(seconds)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    numbers = [float(one) for one in done.stdout.split()]
    return int(numbers[0]), numbers[1], numbers[2:5]


def once(case: str, variant: str, data: str, warm: float, seconds: float, script: str,
         rate: float) -> dict[str, float]:
    """``rate``: how many a second to ask for after that; 0: none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{CASES[case][1]}"
    server = start(case, variant, data, port)
    try:
        wait_for(url, server)
        load(url, warm, script)
        before = cpu_seconds(server.pid)
        requests, took, latencies = load(url, seconds, script)
        cpu = cpu_seconds(server.pid) - before
        found = {"cpu_us": cpu / requests * 1e6, "per_second": requests / took, "p50_ms": latencies[0],
                 "p99_ms": latencies[1], "p999_ms": latencies[2], "memory_mb": memory_mb(server.pid)}
        if rate == 0:
            return found
        time.sleep(0.3)
        rate = rate if rate > 0 else SHARE * found["per_second"]
        before = cpu_seconds(server.pid)
        requests, took, latencies = fixed(port, CASES[case][1], rate, seconds)
        cpu = cpu_seconds(server.pid) - before
        return {**found, "fixed_asked": rate, "fixed_per_second": requests / took, "fixed_cpu_us": cpu / requests * 1e6,
                "fixed_p50_ms": latencies[0], "fixed_p99_ms": latencies[1], "fixed_p999_ms": latencies[2]}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warm", type=float, default=3)
    parser.add_argument("--before", metavar="FOLDER", help="slowlens is there, too, as it was")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--json", metavar="FILE", help="a row for each case and variant")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=', '.join(CASES) + ' (default: all)')
    parser.add_argument("--closed", action="store_true", help="no fixed rate after the closed loop")
    parser.add_argument("--ask", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ask:
        ask_at(int(chosen.ask[0]), chosen.ask[1], float(chosen.ask[2]), float(chosen.ask[3]))
        return
    chosen.versions = ", ".join(filter(None, map(apps.version, (
        "gunicorn", "gevent", "uvicorn", "uvloop", "django", "starlette", "pyinstrument", "django-silk"))))
    if shutil.which("wrk") is None:
        raise SystemExit("load.py: it needs wrk (apt install wrk)")
    variants = chosen.variants.split(",")
    for module, variant in (("pyinstrument", "pyinstrument"), ("silk", "silk")):
        if variant in variants and importlib.util.find_spec(module) is None:
            print(f"{variant} is not installed: left out")
            variants.remove(variant)
    if chosen.before:
        variants += [f"{one}{BEFORE}{chosen.before}" for one in variants
                     if one in ("sampling", "deterministic", "all kept")]
    if chosen.json:
        Path(chosen.json).write_text("")
    with tempfile.TemporaryDirectory() as data:
        script = os.path.join(data, "percentiles.lua")
        Path(script).write_text(SCRIPT)
        subprocess.run([sys.executable, "-c", "import load; load.application()"], check=True, cwd=HERE, env={
            **os.environ, "LOAD_CASE": "django-list", "LOAD_VARIANT": "fill", "LOAD_DATA": data})
        for case in chosen.cases or list(CASES):
            kind = CASES[case][0]
            if kind in ("gevent", "uvloop") and importlib.util.find_spec(kind) is None:
                print(f"{case}: {kind} is not installed: left out")
                continue
            tell(case, [one for one in variants if one != "silk" or kind not in LOOPS], data, script, chosen)


def tell(case: str, variants: list[str], data: str, script: str, chosen: argparse.Namespace) -> None:
    rounds: list[dict[str, dict[str, float]]] = []
    rate = 0.0 if chosen.closed or "bare" not in variants else -1.0  # from the first answers of the bare one
    for number in range(chosen.rounds):
        turn = variants[number % len(variants):] + variants[:number % len(variants)]
        done: dict[str, dict[str, float]] = {}
        for variant in turn:
            done[variant] = once(case, variant, data, chosen.warm, chosen.seconds, script, rate)
            if rate < 0:
                rate = done[variant]["fixed_asked"]
        rounds.append(done)
    load = os.getloadavg()[0]
    print(f"\n{case}, {CASES[case][0]}: medians of {chosen.rounds} rounds of {chosen.seconds:.0f} s, load {load:.1f}")
    print(f"{'':23}{'CPU us':>9}{'ratio':>8}{'(least-most)':>15}{'req/s':>8}{'p50':>8}{'p99':>8}{'p99.9':>8}{'MB':>7}"
          + (f" | at {rate:.0f}/s: req/s{'CPU us':>9}{'p50':>8}{'p99':>8}{'p99.9':>8}" if rate else ""))
    for variant in variants:
        middle = {key: statistics.median(one[variant][key] for one in rounds) for key in rounds[0][variant]}
        ratios = [one[variant]["cpu_us"] / one["bare"]["cpu_us"] for one in rounds if "bare" in one]
        ratio = statistics.median(ratios) if ratios else float("nan")
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else ""
        told = variant.partition(":")[0]
        print(f"{told:23}{middle['cpu_us']:9.0f}{ratio:8.3f}{spread:>15}{middle['per_second']:8.0f}{middle['p50_ms']:8.2f}"
              f"{middle['p99_ms']:8.2f}{middle['p999_ms']:8.2f}{middle['memory_mb']:7.0f}"
              + (f" |{middle['fixed_per_second']:18.0f}{middle['fixed_cpu_us']:9.0f}{middle['fixed_p50_ms']:8.2f}"
                 f"{middle['fixed_p99_ms']:8.2f}{middle['fixed_p999_ms']:8.2f}" if rate else ""), flush=True)
        if chosen.json:
            row = {"suite": "load", "case": case, "server": CASES[case][0], "variant": told, "ratio": round(ratio, 4),
                   "least": round(min(ratios, default=0), 4), "most": round(max(ratios, default=0), 4),
                   "rounds": chosen.rounds, "seconds": chosen.seconds, "python": sys.version.split()[0],
                   "date": time.strftime("%Y-%m-%d"), "load": round(load, 1), "machine": platform.platform(),
                   "cpus": os.cpu_count(), "versions": chosen.versions,
                   **{key: round(value, 3) for key, value in middle.items()}}
            with open(chosen.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
