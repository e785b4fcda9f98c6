"""What a request that is sampled and not kept costs before anything is seen of it: begin and finish, WSGI and ASGI;
what a step (an await that waits) adds, and a child task.

    request.py [--rounds N] [--calls N] [--parts] [PATH ...]

Each PATH is a folder that has a ``slowlens`` in it (a build's ``python``), tried in a process of its own; without one,
the slowlens that is installed. The processes take turns, one round each, so that two builds meet the same load. Told
is the median over the rounds of the request's thread's CPU time, less that of the bare app in the same round.

``--parts``: what the pieces of it cost, each called alone, less an empty call. They are not the whole, and overlap.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from turns import by_turns

STEPS = 8
CHILDREN = 4
NAMES = ("WSGI", "ASGI", "a step", "a child task")
#: The order of what --parts tells.
PARTS = (
    "wsgi_incoming", "asgi_incoming", "Policy.decide", "Seen", "Board.begin", "Writer.wake, watch",
    "Recording, discard", "the same, with enter, leave", "Folded.name", "Policy.keep", "Policy.is_slow", "Numbers.add",
    "response_headers", "Recorder.begin, finish",
)


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def asgi_app(steps: int, children: int) -> Callable[..., Any]:
    async def child() -> None:
        pass

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        if children:
            await asyncio.gather(*[child() for _ in range(children)])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app


def an_environ() -> dict[str, Any]:
    from wsgiref.util import setup_testing_defaults

    whole: dict[str, Any] = {
        "HTTP_USER_AGENT": "a", "HTTP_ACCEPT": "*/*", "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": "",
    }
    setup_testing_defaults(whole)
    return whole


def a_scope() -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/hello",
        "raw_path": b"/hello", "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost"), (b"user-agent", b"a"), (b"accept", b"*/*"), (b"connection", b"close")],
    }


def wsgi_time(app: Callable[..., Any], calls: int) -> float:
    whole = an_environ()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        pass

    began = time.thread_time_ns()
    for _ in range(calls):
        app(dict(whole), start_response)
    return (time.thread_time_ns() - began) / calls / 1000


async def asgi_time(app: Callable[..., Any], calls: int) -> float:
    whole = a_scope()

    async def nothing(message: Any = None) -> None:
        pass

    began = time.thread_time_ns()
    for _ in range(calls):
        await app(dict(whole), nothing, nothing)
    return (time.thread_time_ns() - began) / calls / 1000


def pieces(recorder: Any) -> list[Callable[[], Any]]:
    """A call of each of PARTS."""
    from slowlens import _core
    from slowlens.request import Seen, asgi_incoming, wsgi_incoming

    environ, scope = an_environ(), a_scope()
    incoming = wsgi_incoming(environ)
    running = recorder.begin(incoming)  # it opens the board, too
    seen, decision, options = running.seen, running.decision, recorder.options
    over = _core.Recording(sampled=True)
    over.finish()

    def recording() -> Any:
        return _core.Recording(
            decision.c_calls, max_bytes=options.max_profile_bytes, sampled=True, goes_on=True, label=seen, anyway=True,
            layers=options.layers, lines=decision.lines,
        )

    def entered() -> None:
        one = recording()
        one.enter()
        one.leave()
        one.discard()

    return [
        lambda: wsgi_incoming(environ), lambda: asgi_incoming(scope), lambda: recorder.policy.decide(incoming),
        lambda: Seen("GET", "/hello"), lambda: recorder.board.core.begin(1, "GET", "/hello", True),
        lambda: (recorder.writer.wake(), recorder.writer.watch()), lambda: recording().discard(), entered,
        lambda: recorder._names.name("/hello", 200), lambda: recorder.policy.keep(decision, seen, 1000, "/hello"),
        lambda: recorder.policy.is_slow(seen, 1000),
        lambda: recorder.writer.numbers.add(over, "/hello", "GET", False, False, 5),
        lambda: recorder.response_headers(running), lambda: recorder.begin(incoming).finish(),
    ]


def piece_time(piece: Callable[[], Any], calls: int) -> float:
    began = time.thread_time_ns()
    for _ in range(calls):
        piece()
    return (time.thread_time_ns() - began) / calls / 1000


def serve(calls: int, parts: bool) -> None:
    """Answers each line of stdin with what one round costs, until there are no more."""
    from slowlens.asgi import ProfilerMiddleware as Asgi
    from slowlens.wsgi import ProfilerMiddleware as Wsgi

    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {
            "store": folder, "mode": "sampling", "keep": "slow", "slow_ms": 60_000, "debug": False, "log": False,
        }
        wsgi = Wsgi(wsgi_app, **options)
        apps = [(asgi_app(*shape), shape) for shape in ((0, 0), (STEPS, 0), (0, CHILDREN))]
        ours = [(Asgi(app, **options), app) for app, _ in apps]

        async def asgi() -> list[float]:
            return [await asgi_time(one, calls) - await asgi_time(app, calls) for one, app in ours]

        taken = pieces(wsgi.recorder) if parts else []
        gc.disable()
        for _ in sys.stdin:
            gc.collect()
            if parts:
                empty = piece_time(lambda: None, calls)
                print(*[piece_time(piece, calls) - empty for piece in taken], flush=True)
                continue
            first = wsgi_time(wsgi, calls) - wsgi_time(wsgi_app, calls)
            plain, stepped, parted = asyncio.run(asgi())
            print(first, plain, (stepped - plain) / STEPS, (parted - plain) / CHILDREN, flush=True)
        for recorder in (wsgi.recorder, *(one.recorder for one, _ in ours)):
            said = recorder.counters()
            assert not (said["faults"] or said["refused"] or said["stored"]), f"not what is to be measured: {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--parts", action="store_true", help="what its pieces cost")
    parser.add_argument("--json", help="a file to write rows to")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.calls, chosen.parts)
        return
    paths = [os.path.abspath(path) for path in chosen.paths] or [""]
    arguments = ["--calls", str(chosen.calls), *(["--parts"] if chosen.parts else [])]
    rounds = by_turns(__file__, paths, chosen.rounds, arguments)
    print(f"CPython {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}; us of CPU added, median (least) of "
          f"{chosen.rounds} rounds of {chosen.calls}")
    print("| | " + " | ".join(path or "installed" for path in paths) + " |\n|---|" + "---|" * len(paths))
    rows = []
    for index, name in enumerate(PARTS if chosen.parts else NAMES):
        columns = [[one[index] for one in told] for told in rounds]
        print(f"| {name} | " + " | ".join(f"{statistics.median(one):.2f} ({min(one):.2f})" for one in columns) + " |")
        rows += [{"suite": "request", "name": name, "python": sys.version.split()[0], "build": path or "installed",
                  "median_us": round(statistics.median(one), 3), "least_us": round(min(one), 3),
                  "date": time.strftime("%Y-%m-%d"), "load": round(os.getloadavg()[0], 1)}
                 for path, one in zip(paths, columns, strict=True)]
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
