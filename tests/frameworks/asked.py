"""Asks apps without a server, and says by which routes they were stored."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path
from typing import Any

from slowlens.store import Query

__all__ = ["asgi", "recipe", "stored", "wsgi"]

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto" / "routes.md"


def recipe(name: str) -> dict[str, Any]:
    """What a block of the page defines."""
    (code,) = re.findall(rf"```python\n# recipe: {re.escape(name)}\n(.*?)```", HOWTO.read_text(), re.S)
    found: dict[str, Any] = {}
    exec(code, found)
    return found


def stored(recorder: Any) -> list[str]:
    """Routes of what was stored, in the order of the requests."""
    assert recorder.writer.flush(30)
    rows = recorder.store.list(Query(sort="started", limit=100)).rows
    return [row["route"] for row in rows]


def wsgi(app: Any, *paths: str) -> list[int]:
    """Statuses."""
    found = []
    for path in paths:
        said: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", "SERVER_NAME": "x",
            "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
            "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
        }
        body = app(environ, lambda status, headers, exc_info=None, said=said: said.append(status))
        for _ in body:
            pass
        getattr(body, "close", lambda: None)()
        found.append(int(said[-1][:3]))
    return found


def asgi(app: Any, *paths: str, body: bytes = b"") -> list[int]:
    """Statuses; with a body the requests are POSTs of JSON."""
    return asyncio.run(_asgi(app, paths, body))


async def _asgi(app: Any, paths: tuple[str, ...], body: bytes) -> list[int]:
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    outgoing: asyncio.Queue[Any] = asyncio.Queue()
    lives = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, incoming.get,
                                      outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    started = asyncio.ensure_future(outgoing.get())
    await asyncio.wait((lives, started), return_when=asyncio.FIRST_COMPLETED)  # some apps know no lifespan
    found = [await _one(app, path, body) for path in paths]
    started.cancel()
    await incoming.put({"type": "lifespan.shutdown"})
    await asyncio.wait((lives,))
    lives.exception()
    return found


async def _one(app: Any, path: str, body: bytes) -> int:
    over, asked, statuses = asyncio.Event(), [False], []

    async def receive() -> Any:
        if not asked[0]:
            asked[0] = True
            return {"type": "http.request", "body": body, "more_body": False}
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(message["status"]))
        elif not message.get("more_body"):
            over.set()

    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
    await app({
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "root_path": "",
        "method": "POST" if body else "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "http", "headers": [*headers, (b"content-type", b"application/json")] if body else headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}, receive, send)
    return statuses[0]
