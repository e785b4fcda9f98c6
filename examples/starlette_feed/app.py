"""A feed as asynchronous apps have them: child tasks, a thread pool, a stream, and one route that blocks the loop.

    uvicorn app:app --port 8003

Why: in asynchronous apps the slow request is often not the guilty one, and here one can see both.
`/blocking/` computes on the loop; who comes meanwhile waits, and its profile names who held the loop, and where.
Tasks, threads and the stream show what belongs to a request although it runs beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from slowlens.asgi import ProfilerMiddleware

ARTICLES = [{"id": i, "title": f"Article {i}", "text": "All that is to be said. " * 40} for i in range(60)]


async def fetch_author(number: int) -> dict[str, object]:
    """A service that answers slowly."""
    await asyncio.sleep(0.03 + number % 3 * 0.01)
    return {"id": number, "name": f"Author {number}"}


def thumbnail(number: int) -> str:
    """Work for a thread: it holds the interpreter's lock only now and then."""
    digest = str(number).encode()
    for _ in range(300):
        digest = hashlib.sha256(digest * 200).digest()
    return digest.hex()


async def feed(request: Request) -> JSONResponse:
    """Asks for all at once: the slowest of them is what it costs."""
    async with asyncio.TaskGroup() as group:
        authors = [group.create_task(fetch_author(i)) for i in range(8)]
        pictures = [group.create_task(run_in_threadpool(thumbnail, i)) for i in range(4)]
    return JSONResponse({"articles": ARTICLES, "authors": [task.result() for task in authors],
                         "pictures": [task.result() for task in pictures]})


async def one_by_one(request: Request) -> JSONResponse:
    """The same, one after the other: what /feed/ was before somebody looked."""
    authors = [await fetch_author(i) for i in range(8)]
    return JSONResponse({"articles": ARTICLES, "authors": authors})


def render(articles: list[dict[str, object]], times: int = 20) -> str:
    return "".join(json.dumps(article, indent=2) for article in articles for _ in range(times))


async def blocking(request: Request) -> JSONResponse:
    """Renders on the event loop, ``?times=`` as often: everybody else waits."""
    times = request.query_params.get("times", "20")
    return JSONResponse({"size": len(render(ARTICLES, min(1000, int(times)) if times.isdecimal() else 20))})


def in_a_thread(request: Request) -> JSONResponse:
    """Not a coroutine: Starlette runs it in its thread pool."""
    time.sleep(0.02)
    return JSONResponse({"size": len(render(ARTICLES))})


async def stream(request: Request) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for article in ARTICLES[:20]:
            await asyncio.sleep(0.005)
            yield json.dumps(article) + "\n"

    return StreamingResponse(lines(), media_type="application/jsonl")


app = ProfilerMiddleware(
    Starlette(routes=[
        Route("/feed/", feed), Route("/one-by-one/", one_by_one), Route("/blocking/", blocking),
        Route("/in-a-thread/", in_a_thread), Route("/stream/", stream),
    ]),
    debug=True,
)
