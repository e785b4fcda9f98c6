"""The matrix behind servers.sh: see there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REQUESTS = 40

WSGI = """
import os, time
from slowlens.wsgi import ProfilerMiddleware
def application(environ, start_response):
    time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
application = app = ProfilerMiddleware(application, debug=True, keep="all", log=False, store=os.environ["STORE"],
                                       mode=os.environ["MODE"])
"""
ASGI = """
import asyncio, os
from slowlens.asgi import ProfilerMiddleware
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
app = ProfilerMiddleware(app, debug=True, keep="all", log=False, store=os.environ["STORE"], mode=os.environ["MODE"])
"""

PY = [sys.executable, "-m"]
BIND = "127.0.0.1:{port}"
# Its gevent worker now and then waits for all of its graceful time after SIGTERM, with the bare app too.
GUNICORN = [*PY, "gunicorn", "-b", BIND, "-w", "2", "--graceful-timeout", "3"]
UWSGI = ["uwsgi", "--http-socket", BIND, "--master", "--need-app", "--wsgi-file", "w.py", "--die-on-term", "-L"]
# name -> (module that must be there, command)
SERVERS: dict[str, tuple[str, list[str]]] = {
    "gunicorn sync": ("gunicorn", [*GUNICORN, "w:app"]),
    "gunicorn sync preload": ("gunicorn", [*GUNICORN, "--preload", "w:app"]),
    "gunicorn max-requests": ("gunicorn", [*GUNICORN, "--max-requests", "7", "w:app"]),
    "gunicorn gthread": ("gunicorn", [*GUNICORN, "-k", "gthread", "--threads", "4", "w:app"]),
    "gunicorn gevent": ("gevent", [*GUNICORN, "-k", "gevent", "w:app"]),
    "gunicorn gevent preload": ("gevent", [*GUNICORN, "-k", "gevent", "--preload", "w:app"]),
    "gunicorn eventlet": ("gunicorn.workers.geventlet", [*GUNICORN, "-k", "eventlet", "w:app"]),
    "gunicorn uvicorn worker": ("uvicorn_worker", [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "a:app"]),
    "uwsgi": ("uwsgi", [*UWSGI, "-p", "2"]),
    "uwsgi threads": ("uwsgi", [*UWSGI, "-p", "2", "--threads", "4"]),
    "uwsgi lazy": ("uwsgi", [*UWSGI, "-p", "2", "--lazy-apps", "--enable-threads"]),
    "uwsgi gevent": ("uwsgi", [*UWSGI, "-p", "1", "--gevent", "50", "--gevent-monkey-patch"]),
    "uwsgi gevent early": ("uwsgi", [*UWSGI, "-p", "1", "--gevent", "50", "--gevent-early-monkey-patch"]),
    "uvicorn": ("uvicorn", [*PY, "uvicorn", "--port", "{port}", "a:app"]),
    "uvicorn workers": ("uvicorn", [*PY, "uvicorn", "--port", "{port}", "--workers", "2", "a:app"]),
    "hypercorn": ("hypercorn", [*PY, "hypercorn", "-b", BIND, "a:app"]),
    "granian asgi": ("granian", [*PY, "granian", "--port", "{port}", "--interface", "asgi", "a:app"]),
    "granian wsgi": ("granian", [*PY, "granian", "--port", "{port}", "--interface", "wsgi", "w:app"]),
    "daphne": ("daphne", [*PY, "daphne", "-p", "{port}", "a:app"]),
    "waitress": ("waitress", [*PY, "waitress", "--listen", BIND, "w:app"]),
    "cheroot": ("cheroot", [*PY, "cheroot", "--bind", BIND, "w:app"]),
    "wsgiref": ("wsgiref", [sys.executable, "-c", "import sys; from w import app; from wsgiref.simple_server import "
                            "make_server; make_server('127.0.0.1', int(sys.argv[1]), app).serve_forever()", "{port}"]),
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int) -> bool:
    for _ in range(3):  # a worker that is being replaced closes connections: with us or without
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/x", timeout=10) as answer:
            return bool(answer.read() == b"ok")
        time.sleep(0.2)
    return False


def stored(store: str) -> int:
    from slowlens.options import load
    from slowlens.store import Query, open_store

    return len(open_store(load({"store": store}, environ={})).list(Query(limit=500)).rows)


def run(name: str, mode: str) -> str:
    needed, command = SERVERS[name]
    binary = shutil.which(needed) or os.path.join(os.path.dirname(sys.executable), needed)
    if importlib.util.find_spec(needed) is None and not os.path.exists(binary):
        return f"{name:26} {mode:14} not here: {needed}"
    folder, port = Path(tempfile.mkdtemp(prefix="slowlens-servers-")), free_port()
    (folder / "w.py").write_text(WSGI)
    (folder / "a.py").write_text(ASGI)
    full = [part.format(port=port) if "{port}" in part else part for part in command]
    full[0] = binary if full[0] == "uwsgi" else full[0]
    store = str(folder / "store")
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    process = subprocess.Popen(full, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "STORE": store, "MODE": mode, "PYTHONPATH": paths})
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        with ThreadPoolExecutor(8) as pool:
            answered = sum(pool.map(lambda _: ask(port), range(REQUESTS)))
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status: int | str = process.wait(20)
        except subprocess.TimeoutExpired:
            status = "hangs"
        seconds = time.monotonic() - begun
        count = stored(store) if os.path.isdir(store) else 0
        verdict = "ok" if answered == REQUESTS and count >= answered and status != "hangs" else "WRONG"
        return f"{name:26} {mode:14} {verdict:6} answered {answered}, stored {count}, exit {status}, {seconds:.1f} s"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    wanted = sys.argv[2:] or list(SERVERS)
    bad = 0
    for name in wanted:
        for mode in ("deterministic", "sampling"):
            line = run(name, mode)
            bad += "WRONG" in line
            print(line, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
