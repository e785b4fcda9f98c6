"""The sites that test_strangers.py asks: what slowlens has noted by now is told at /state."""

from __future__ import annotations

import json
import os
from typing import Any

from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.recorder import Recorder
from slowlens.wsgi import ProfilerMiddleware

OPTIONS: dict[str, Any] = {
    "store": os.environ["STRANGERS_STORE"], "debug": os.environ["STRANGERS_DEBUG"] == "1", "key": "k" * 40,
    "keep": "slow", "slow_ms": 60000,
}
ITEM = "/items/"


def state(recorder: Recorder) -> bytes:
    """Whatever of ours could grow with what strangers send."""
    assert recorder.writer.flush(30)
    rows = recorder.store.numbers()["rows"]  # type: ignore[attr-defined]
    return json.dumps({
        "routes": sorted({row["route"] for row in rows}), "methods": sorted({row["method"] for row in rows}),
        "faults": recorder.faults, "refused": recorder.refused, "abandoned": recorder.abandoned,
        "folded": len(recorder._names._folded._known), "short": len(recorder._names.known) <= 600,
        "worst": len(recorder.policy.worst),
        "failed": recorder.writer.failed, "profiles": recorder.store.contents()["profiles"],
    }).encode()


def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Items and nothing else."""
    path = environ.get("PATH_INFO", "")
    if path == "/state":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [state(application.recorder)]
    if path.startswith(ITEM) and path[len(ITEM):].isdecimal():
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"item"]
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"no such page"]


async def plain_async(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    path = scope["path"]
    status, body = 404, b"no such page"
    if path == "/state":
        import asyncio

        status, body = 200, await asyncio.to_thread(state, asgi_application.recorder)
    elif path.startswith(ITEM) and path[len(ITEM):].isdecimal():
        status, body = 200, b"item"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


application = ProfilerMiddleware(plain, **OPTIONS)
asgi_application = ASGIMiddleware(plain_async, **OPTIONS)
