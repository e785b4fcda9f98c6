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
