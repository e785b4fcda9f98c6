"""The end: of the interpreter, of a thread that forked, of what a request left behind when either came."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: An event loop with requests in it lives to the interpreter's last collection.
PENDING = """
import asyncio, sys, tempfile
from slowlens.asgi import ProfilerMiddleware

async def app(scope, receive, send):
    await asyncio.sleep(100)

app = ProfilerMiddleware(app, store=tempfile.mkdtemp(), mode=sys.argv[1])
loop = asyncio.new_event_loop()
scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
async def ask():
    await app(scope, None, None)
sys.kept = loop, [loop.create_task(ask()) for _ in range(5)]  # not a module's: those go before the last collection
loop.run_until_complete(asyncio.sleep(0.02))
print("asked")
"""


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_requests_that_wait_when_the_interpreter_ends_are_closed(mode: str) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PENDING, mode], capture_output=True, text=True,
                          timeout=120)
    assert (done.returncode, done.stdout) == (0, "asked\n"), done.stderr


#: Threads of a request fork; a child ends as a thread does that has nothing more to do. The last line: what was stored.
LEFT = """
import contextvars, os, signal, sys, tempfile, threading, time
from slowlens.wsgi import ProfilerMiddleware

def view(environ, start):
    if environ["PATH_INFO"] == "/fork":
        pids.append(os.fork())
        if pids[-1] == 0:
            contextvars.Context().run(ask, "/child")
            sys.exit(0)  # which threading takes for the thread's end
    return [b""]

def ask(path):
    list(app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, None))

pids, store = [], tempfile.mkdtemp()
app = ProfilerMiddleware(view, store=store, mode=sys.argv[1], keep="all")
threads = [threading.Thread(target=ask, args=["/fork"]) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
until = time.monotonic() + 40
for pid in pids:
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    print(os.waitstatus_to_exitcode(found[1]))
app.recorder.writer.flush(60)
from slowlens.store.interface import Query
print(sorted(row["path"] for row in app.recorder.store.list(Query()).rows))
"""


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_a_child_that_a_thread_forked_ends_with_that_thread(mode: str) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LEFT, mode], capture_output=True, text=True,
                          timeout=120)
    told = done.stdout.splitlines()
    assert told[:-1] == ["0", "0", "0"], f"-9: our threads kept them\n{done.stdout}{done.stderr}"
    assert told[-1] == str(["/child"] * 3 + ["/fork"] * 3), "each once, by the process that it began in"
    slow = [line for line in done.stderr.splitlines() if line.startswith("slow: ")]  # the machine's doing
    assert done.stderr.splitlines() == slow
