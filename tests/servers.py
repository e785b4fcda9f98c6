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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

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

# What is no request: twenty jobs. Each leaves a byte when it has run.
JOBS = 20
TASKS = """
import os, time
import slowlens
@slowlens.profile("job", store=os.environ["STORE"], mode=os.environ["MODE"])
def job(number):
    time.sleep(0.01)
    done = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(done, b".")
    os.close(done)
"""
CELERY = TASKS + """
from celery import Celery
app = Celery("t", broker=os.environ["REDIS"])
app.conf.broker_connection_retry_on_startup = True
task = app.task(name="job")(job)
send = task.delay
"""
HUEY = TASKS + """
from huey import RedisHuey
huey = RedisHuey("t", url=os.environ["REDIS"])
send = huey.task(name="job")(job)
"""
RQ = TASKS + """
from redis import Redis
from rq import Queue
def send(number):
    Queue(connection=Redis.from_url(os.environ["REDIS"])).enqueue(job, number)
"""
PROCESSES = TASKS + """
import multiprocessing
if __name__ == "__main__":
    context = multiprocessing.get_context(os.environ["METHOD"])
    job(0)
    with context.Pool(2) as pool:
        pool.map(job, range(9), chunksize=1)
        pool.close()
        pool.join()
    started = [context.Process(target=job, args=(number,)) for number in range(10)]
    for one in started: one.start()
    for one in started: one.join()
    raise SystemExit(sum(one.exitcode for one in started))
"""
FORKS = TASKS + """
from concurrent.futures import ThreadPoolExecutor
def child(number):
    pid = os.fork()
    if pid == 0:
        try:
            job(number)
        finally:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if __name__ == "__main__":
    job(0)
    with ThreadPoolExecutor(int(os.environ["THREADS"])) as pool:
        raise SystemExit(set(pool.map(child, range(19))) != {7})
"""
PY = [sys.executable, "-m"]
BIND = "127.0.0.1:{port}"
# Its gevent worker now and then waits for all of its graceful time after SIGTERM, with the bare app too.
GUNICORN = [*PY, "gunicorn", "-b", BIND, "-w", "2", "--graceful-timeout", "3"]
# Apache refuses to serve as root, and what root installed may be root's to read: root by another name, then.
APACHE = [*([] if os.geteuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]),
          "mod_wsgi-express", "start-server", "w.py", "--host", "127.0.0.1", "--port", "{port}", "--server-root",
          "apache", "--log-to-terminal"]
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
    "mod_wsgi": ("mod_wsgi", [*APACHE, "--processes", "2", "--threads", "4"]),
    "mod_wsgi, 7 a process": ("mod_wsgi", [*APACHE, "--processes", "2", "--threads", "4", "--maximum-requests", "7"]),
    "mod_wsgi embedded": ("mod_wsgi", [*APACHE, "--embedded-mode"]),
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
CELERY_WORKER = [*PY, "celery", "-A", "t", "worker", "-l", "ERROR", "-P"]
HUEY_CONSUMER = [*PY, "huey.bin.huey_consumer", "t.huey", "-d", "0.05", "-m", "0.1", "-k"]
RQ_WORKER = [*PY, "rq.cli", "worker", "-u", "{redis}", "-q"]
# name -> (module that must be there, its program, command, more of the environment)
RUNNERS: dict[str, tuple[str, str, list[str], dict[str, str]]] = {
    "celery prefork": ("celery", CELERY, [*CELERY_WORKER, "prefork", "-c", "2"], {}),
    "celery prefork, 5 a child": (
        "celery", CELERY, [*CELERY_WORKER, "prefork", "-c", "2", "--max-tasks-per-child", "5"], {}),
    "celery threads": ("celery", CELERY, [*CELERY_WORKER, "threads", "-c", "4"], {}),
    "celery solo": ("celery", CELERY, [*CELERY_WORKER, "solo"], {}),
    "celery gevent": ("gevent", CELERY, [*CELERY_WORKER, "gevent", "-c", "10"], {}),
    "huey processes": ("huey", HUEY, [*HUEY_CONSUMER, "process", "-w", "2"], {}),
    "huey threads": ("huey", HUEY, [*HUEY_CONSUMER, "thread", "-w", "4"], {}),
    "huey greenlets": ("gevent", HUEY, [*HUEY_CONSUMER, "greenlet", "-w", "4"], {}),
    "rq": ("rq", RQ, RQ_WORKER, {}),
    "rq simple": ("rq", RQ, [*RQ_WORKER, "-w", "rq.worker.SimpleWorker"], {}),
    "multiprocessing fork": ("multiprocessing", PROCESSES, [sys.executable, "t.py"], {"METHOD": "fork"}),
    "multiprocessing spawn": ("multiprocessing", PROCESSES, [sys.executable, "t.py"], {"METHOD": "spawn"}),
    "multiprocessing forkserver": ("multiprocessing", PROCESSES, [sys.executable, "t.py"], {"METHOD": "forkserver"}),
    "fork and os._exit": ("os", FORKS, [sys.executable, "-W", "ignore", "t.py"], {"THREADS": "1"}),
    "fork in threads": ("os", FORKS, [sys.executable, "-W", "ignore", "t.py"], {"THREADS": "4"}),
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


def stored(path: str) -> tuple[int, int]:
    """(profiles, requests that the numbers of all requests count), as whoever looks next finds them: what SIGTERM ended
    at once left its last minute in its board, and may not even have made the store's folder."""
    from slowlens import killed
    from slowlens.options import load
    from slowlens.store import Query, open_store

    store: Any = open_store(load({"store": path}, environ={}))
    killed.recover(store, path)
    return len(store.list(Query(limit=500)).rows), sum(row["count"] for row in store.numbers()["rows"])


def is_here(needed: str) -> bool:
    return importlib.util.find_spec(needed) is not None or os.path.exists(binary_of(needed))


def binary_of(name: str) -> str:
    return shutil.which(name) or os.path.join(os.path.dirname(sys.executable), name)


class Outcome(NamedTuple):
    """What one run came to."""

    answered: int
    stored: int
    counted: int
    status: int | str
    seconds: float
    said: str


def end(process: subprocess.Popen[bytes]) -> tuple[int | str, float]:
    """SIGTERM, as whoever runs servers sends it: exit status ("hangs": none in 20 s), seconds to the end."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        status: int | str = process.wait(20)
    except subprocess.TimeoutExpired:
        status = "hangs"
    return status, time.monotonic() - begun


@contextlib.contextmanager
def started(folder: Path, command: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in the folder; killed at the end, if it is still there. What it says goes to ``said``."""
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    with open(folder / "said", "ab") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said,
                                   env={**os.environ, **environ, "PYTHONPATH": paths})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def serve(name: str, folder: Path, environ: dict[str, str]) -> Outcome:
    """A server answers ``REQUESTS``, and is ended."""
    port = free_port()
    (folder / "w.py").write_text(WSGI)
    (folder / "a.py").write_text(ASGI)
    command = [part.format(port=port) if "{port}" in part else part for part in SERVERS[name][1]]
    command = [binary_of(part) if part in ("uwsgi", "mod_wsgi-express") else part for part in command]
    with started(folder, command, environ) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        with ThreadPoolExecutor(8) as pool:
            answered = sum(pool.map(lambda _: ask(port), range(REQUESTS)))
        status, seconds = end(process)
    return Outcome(answered, *stored(environ["STORE"]), status, seconds, (folder / "said").read_text(errors="replace"))


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The address of a server of its own."""
    port = free_port()
    command = [binary_of("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--dir", str(folder), "--loglevel", "warning"]
    with started(folder, command, {}):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"


def work(name: str, folder: Path, environ: dict[str, str]) -> Outcome:
    """``JOBS`` jobs are run; what waits for more of them is ended."""
    _, program, command, more = RUNNERS[name]
    (folder / "t.py").write_text(program)
    done = folder / "done"
    done.write_bytes(b"")
    waits = "send" in program
    with redis(folder) if waits else contextlib.nullcontext("") as address:
        environ = {**environ, **more, "DONE": str(done), "REDIS": address}
        with started(folder, [part.format(redis=address) for part in command], environ) as process:
            if waits:
                sender = f"import t; [t.send(number) for number in range({JOBS})]"
                with started(folder, [sys.executable, "-c", sender], {**environ, "SLOWLENS_DISABLE": "1"}) as sending:
                    sending.wait(60)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None and (not waits or done.stat().st_size < JOBS):
                time.sleep(0.05)
            status, seconds = end(process) if process.poll() is None else (process.returncode, 0.0)
    return Outcome(done.stat().st_size, *stored(environ["STORE"]), status, seconds,
                   (folder / "said").read_text(errors="replace"))


def once(name: str, mode: str, **environ: str) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="slowlens-servers-"))
    try:
        environ = {"STORE": str(folder / "store"), "MODE": mode, **environ}
        return serve(name, folder, environ) if name in SERVERS else work(name, folder, environ)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(name: str, mode: str) -> str:
    needed = (SERVERS.get(name) or RUNNERS[name])[0]
    wanted = REQUESTS if name in SERVERS else JOBS
    missing = [one for one in (needed, *(["redis-server"] if needed in ("celery", "huey", "rq") else []))
               if not is_here(one)]
    if missing:
        return f"{name:26} {mode:14} not here: {', '.join(missing)}"
    found = once(name, mode)
    # What a signal ends at once (and would without slowlens) leaves what was still to be written: that is counted.
    least = wanted if isinstance(found.status, str) or found.status >= 0 else 0
    good = found.answered == wanted and found.stored >= least and found.counted == max(wanted, found.stored)
    status = str(found.status)
    if good and found.status != 0:
        bare = once(name, mode, SLOWLENS_DISABLE="1").status
        good = bare == found.status
        status += ", as without" if good else f", without {bare}"
    line = (f"{name:26} {mode:14} {'ok' if good else 'WRONG':6} {'answered' if name in SERVERS else 'ran'} "
            f"{found.answered}, stored {found.stored}, counted {found.counted}, exit {status}, {found.seconds:.1f} s")
    return line if good else "\n    ".join([line, *found.said.splitlines()[-25:]])


def main() -> int:
    wanted = sys.argv[2:] or [*SERVERS, *RUNNERS]
    bad = 0
    for name in wanted:
        for mode in ("deterministic", "sampling"):
            line = run(name, mode)
            bad += "WRONG" in line
            print(line, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
