"""A process with requests that run until it is told: ``python board_worker.py STORE MODE [OPTION=VALUE...]``.

Each line of its input is a path: the request begins in a thread of its own, and "PATH" is printed when the app is
in it. ``/wait/...`` runs until "end" is read; ``/busy/...`` computes as long; ``/quick/...`` ends at once;
``/hold/...`` never gives the interpreter back. Everything that ended is stored ("flushed") at "flush".
"handles": from now on SIGTERM and SIGQUIT are handled as by a server that lets requests end, and nothing is
checkpointed for its age.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import slowlens
from slowlens import writer
from slowlens.wsgi import ProfilerMiddleware

ended = threading.Event()


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def waits_for_it() -> None:
    for _ in range(3):
        with slowlens.span("looks it up", kind="db"):
            pass
    with slowlens.span("waits for it", kind="payment"):
        ended.wait()


def computes() -> int:
    total = 0
    while not ended.is_set():
        total += sum(range(2000))
    return total


def hashes_all() -> int:
    return int(pow(7, 10**40000, 10**9000))


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    say(path)
    if path.startswith("/wait/"):
        waits_for_it()
    elif path.startswith("/busy/"):
        computes()
    elif path.startswith("/hold/"):
        hashes_all()
    start_response("200 OK", [])
    return [b"x"]


class Server:
    def stop(self, number: int, frame: Any) -> None:
        say(f"told {number}")


def main() -> None:
    options: dict[str, Any] = {"slow_ms": 1e9, "log": False, "keep": "all"}
    for one in sys.argv[3:]:
        name, _, value = one.partition("=")
        options[name] = value
    middleware = ProfilerMiddleware(app, store=sys.argv[1], mode=sys.argv[2], **options)

    def request(path: str) -> None:
        result = middleware({"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.url_scheme": "http",
                             "SERVER_NAME": "x", "SERVER_PORT": "1"}, lambda *a: None)
        list(result)

    for line in sys.stdin:
        word = line.strip()
        if word == "end":
            ended.set()
        elif word == "flush":
            middleware.recorder.writer.flush()
            say("flushed")
        elif word == "handles":
            writer.CHECKPOINT_AFTER = 1e6
            for number in (signal.SIGTERM, signal.SIGQUIT):
                signal.signal(number, Server().stop)
            say("handles")
        elif word == "fork":
            if os.fork() == 0:
                say(f"child {os.getpid()}")
                signal.pause()
                os._exit(0)
        elif word.startswith("/quick/"):
            request(word)
        elif word:
            threading.Thread(target=request, args=(word,), daemon=True).start()


if __name__ == "__main__":
    main()
