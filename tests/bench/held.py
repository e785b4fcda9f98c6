"""Who held the event loop up: requests of examples/starlette_feed to /feed/ (a TaskGroup of sleeps and jobs) beside
/blocking/, and how many of those that it held up name it.

    PYTHONPATH=build/python python tests/bench/held.py [REQUESTS]
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import slowlens.asgi
from slowlens import _core
from slowlens.store import Query

APP = Path(__file__).resolve().parents[2] / "examples" / "starlette_feed" / "app.py"


async def ask(app: Any, path: str, query: bytes = b"") -> None:
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.sleep(60)
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        pass

    await app({"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query,
               "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "http_version": "1.1",
               "scheme": "http", "root_path": "", "asgi": {"version": "3.0"}}, receive, send)


async def ask_all(app: Any, requests: int) -> None:
    for path in ("/feed/", "/blocking/"):
        await ask(app, path)
    for number in range(requests):
        feed = asyncio.create_task(ask(app, "/feed/"))
        await asyncio.sleep(0.005 + number % 20 * 0.001)
        await asyncio.gather(feed, asyncio.create_task(ask(app, "/blocking/", b"times=300")))


def main() -> None:
    logging.disable(logging.ERROR)
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    middleware = slowlens.asgi.ProfilerMiddleware
    for mode in ("sampling", "deterministic"):
        slowlens.asgi.ProfilerMiddleware = functools.partial(  # type: ignore[assignment, misc]
            middleware, mode=mode, keep="all", store=tempfile.mkdtemp())
        spec = importlib.util.spec_from_file_location("feed", APP)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        asyncio.run(ask_all(module.app, requests))
        recorder = module.app.recorder
        recorder.writer.flush(30)
        held = named = 0
        for row in recorder.store.list(Query(limit=4 * requests)).rows:
            meta = json.loads(_core.Profile(recorder.store.get(row["id"])).meta())["meta"]
            if row["path"] == "/feed/" and row["wall_ns"] > 200e6:
                held += 1
                named += "/blocking/" in meta.get("held_by", "")
        print(json.dumps({"python": sys.version.split()[0], "mode": mode, "held up": held, "name it": named}))


if __name__ == "__main__":
    main()
