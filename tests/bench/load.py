"""What profiling costs a server under load: its CPU for a request, requests a second, latencies, memory.

    load.py [--rounds N] [--warm S] [--seconds S] [--variants V,...] [--before FOLDER] [CASE ...]

A case is a page of a real server, with one worker, on one CPU; the load comes from ``wrk`` on another: four
connections, each asking again as soon as it is answered. Every variant is a server of its own, started, warmed up and
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
import re
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

HERE = Path(__file__).resolve().parent
SHOP = HERE.parent.parent / "examples" / "shop"
BEFORE = ", before: "
VARIANTS = ("bare", "sampling", "deterministic", "all kept", "pyinstrument", "silk")
#: name: (server, page)
CASES = {
    "django-list": ("gthread", "/"),
    "django-detail": ("gthread", "/books/7/"),
    "starlette": ("uvicorn", "/"),
}
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


def timed_by_pyinstrument(app: Any) -> Any:
    from pyinstrument import Profiler

    def wrapped(environ: Any, start_response: Any) -> Any:
        profiler = Profiler(async_mode="disabled")
        profiler.start()
        try:
            return app(environ, start_response)
        finally:
            profiler.stop()

    async def wrapped_async(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        profiler = Profiler(async_mode="enabled")
        profiler.start()
        try:
            await app(scope, receive, send)
        finally:
            profiler.stop()

    return wrapped_async if os.environ["LOAD_CASE"] == "starlette" else wrapped


def django_app(variant: str) -> Any:
    sys.path.insert(0, str(SHOP))
    os.environ["SHOP_DATA"] = os.environ["LOAD_DATA"]
    from shop import settings

    mine = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    mine["MIDDLEWARE"] = [name for name in mine["MIDDLEWARE"] if "slowlens" not in name]
    mine["INSTALLED_APPS"] = [name for name in mine["INSTALLED_APPS"] if "slowlens" not in name]
    mine.update(DEBUG=False, LOGGING_CONFIG=None)
    if variant == "silk":
        mine["INSTALLED_APPS"].append("silk")
        mine["MIDDLEWARE"].insert(0, "silk.middleware.SilkyMiddleware")
    elif variant not in ("bare", "pyinstrument"):
        mine["MIDDLEWARE"].insert(0, "slowlens.django.ProfilerMiddleware")
        mine["SLOWLENS"] = options(variant)
    from django.conf import settings as configured

    configured.configure(**mine)
    import django
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    if os.environ.get("LOAD_FILL"):
        django.setup()
        call_command("fill_shop")
        return None
    if variant == "silk":
        django.setup()
        call_command("migrate", verbosity=0)
    app = get_wsgi_application()
    return timed_by_pyinstrument(app) if variant == "pyinstrument" else app


def starlette_app(variant: str) -> Any:
    import asyncio

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def part(number: int) -> int:
        await asyncio.sleep(0)
        return sum(range(number))

    async def endpoint(request: Request) -> JSONResponse:
        """Three awaits and two child tasks."""
        for _ in range(3):
            await asyncio.sleep(0)
        done = await asyncio.gather(part(50), part(100))
        return JSONResponse({"parts": done, "rows": [{"id": i, "name": f"row {i}"} for i in range(20)]})

    app: Any = Starlette(routes=[Route("/", endpoint)])
    if variant == "pyinstrument":
        return timed_by_pyinstrument(app)
    if variant == "bare":
        return app
    from slowlens.asgi import ProfilerMiddleware

    return ProfilerMiddleware(app, **options(variant))


def application() -> Any:
    """The factory that gunicorn and uvicorn call."""
    make = starlette_app if os.environ["LOAD_CASE"] == "starlette" else django_app
    return make(os.environ["LOAD_VARIANT"])


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
    gunicorn = ["gunicorn", "-w", "1", "-k", "gthread", "--threads", "4", "--keep-alive", "60", "-b", bind,
                "--log-level", "error", "load:application()"]
    uvicorn = ["uvicorn", "--factory", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
               "--no-access-log", "--loop", "asyncio", "--http", "h11", "load:application"]
    command = [sys.executable, "-m", *(gunicorn if kind == "gthread" else uvicorn)]
    return subprocess.Popen(command, env=environ, start_new_session=True,
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


def once(case: str, variant: str, data: str, warm: float, seconds: float, script: str) -> dict[str, float]:
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
        return {"cpu_us": cpu / requests * 1e6, "per_second": requests / took, "p50_ms": latencies[0],
                "p99_ms": latencies[1], "p999_ms": latencies[2], "memory_mb": memory_mb(server.pid)}
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
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("load.py: it needs wrk (apt install wrk)")
    variants = chosen.variants.split(",")
    for module, variant in (("pyinstrument", "pyinstrument"), ("silk", "silk")):
        if variant in variants and importlib.util.find_spec(module) is None:
            print(f"{variant} is not installed: left out")
            variants.remove(variant)
    if chosen.before:
        variants += [f"{one}{BEFORE}{chosen.before}" for one in variants if one in ("sampling", "deterministic")]
    if chosen.json:
        Path(chosen.json).write_text("")
    with tempfile.TemporaryDirectory() as data:
        script = os.path.join(data, "percentiles.lua")
        Path(script).write_text(SCRIPT)
        subprocess.run([sys.executable, "-c", "import load; load.application()"], check=True, cwd=HERE, env={
            **os.environ, "LOAD_CASE": "django-list", "LOAD_VARIANT": "bare", "LOAD_DATA": data, "LOAD_FILL": "1"})
        for case in chosen.cases or list(CASES):
            tell(case, [one for one in variants if one != "silk" or case != "starlette"], data, script, chosen)


def tell(case: str, variants: list[str], data: str, script: str, chosen: argparse.Namespace) -> None:
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(chosen.rounds):
        turn = variants[number % len(variants):] + variants[:number % len(variants)]
        rounds.append({variant: once(case, variant, data, chosen.warm, chosen.seconds, script) for variant in turn})
    print(f"\n{case}, {CASES[case][0]}: medians of {chosen.rounds} rounds of {chosen.seconds:.0f} s, "
          f"load {os.getloadavg()[0]:.1f}")
    print(f"{'':23}{'CPU us':>9}{'ratio':>8}{'(least-most)':>15}{'req/s':>8}{'p50':>8}{'p99':>8}{'p99.9':>8}{'MB':>7}")
    for variant in variants:
        middle = {key: statistics.median(one[variant][key] for one in rounds) for key in rounds[0][variant]}
        ratios = [one[variant]["cpu_us"] / one["bare"]["cpu_us"] for one in rounds if "bare" in one]
        ratio = statistics.median(ratios) if ratios else float("nan")
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else ""
        told = variant.partition(":")[0]
        print(f"{told:23}{middle['cpu_us']:9.0f}{ratio:8.3f}{spread:>15}{middle['per_second']:8.0f}{middle['p50_ms']:8.2f}"
              f"{middle['p99_ms']:8.2f}{middle['p999_ms']:8.2f}{middle['memory_mb']:7.0f}")
        if chosen.json:
            row = {"suite": "load", "case": case, "variant": told, "ratio": round(ratio, 4), "rounds": chosen.rounds,
                   "python": sys.version.split()[0], "date": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0],
                   **{key: round(value, 3) for key, value in middle.items()}}
            with open(chosen.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
