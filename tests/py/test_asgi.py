"""The ASGI middleware: messages untouched, in time, and each request its own."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens.asgi import ProfilerMiddleware

from conftest import Stored, blob_tree, patient
from programs import fib


def make(app: Any, store_path: str, **options: Any) -> tuple[ProfilerMiddleware, Stored]:
    middleware = ProfilerMiddleware(app, store=store_path, **{"debug": True, "response_headers": False, **options})
    return middleware, Stored(middleware.recorder)


def scope(path: str = "/", **values: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "query_string": b"", "scheme": "http", "root_path": "",
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1234), **values}


async def call(app: Any, path: str = "/", **values: Any) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope(path, **values), receive, send)
    return sent


async def hello(scope: Any, receive: Any, send: Any) -> None:
    fib(6)
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"hel", "more_body": True})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"lo"})


def test_a_request_becomes_a_profile(store_path: str) -> None:
    app, stored = make(hello, store_path)
    sent = asyncio.run(call(app, "/x"))
    assert sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"x", b"y")]},
        {"type": "http.response.body", "body": b"hel", "more_body": True},
        {"type": "http.response.body", "body": b"lo"},
    ]
    (row,) = stored.rows()
    assert (row["path"], row["status"]) == ("/x", 201)
    assert row["await_ns"] + (row["loop_ns"] or 0) > 8e6  # others may have kept the loop meanwhile
    meta = json.loads(stored.blob(row["id"]).meta())["meta"]
    assert meta["response_bytes"] == 5
    assert meta["headers_ns"] < meta["body_ns"] <= meta["wall_ns"]
    assert {"hello", "fib", "sleep"} <= stored.names(row["id"])


def test_lifespan_and_websocket_pass_through(store_path: str) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((scope, receive, send))

    wrapped, stored = make(app, store_path)
    for kind in ("lifespan", "websocket", "something.new"):
        items = ({"type": kind}, object(), object())
        asyncio.run(wrapped(*items))
        same = [a is b for a, b in zip(got[-1], items, strict=True)]
        assert same == [True, True, kind != "lifespan"], "the lifespan's send waits for the writer first"
    assert stored.rows() == []


@pytest.mark.parametrize("end", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
def test_what_waits_is_stored_before_the_server_hears_of_the_end(end: str, store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for message in messages:
                await send(message)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    wrapped, stored = make(app, store_path)
    messages: list[Any] = [{"type": "lifespan.startup.complete"}, {"type": end}]
    heard: list[tuple[Any, int]] = []
    take = wrapped.recorder.writer.store.put

    def slow_put(*args: Any) -> Any:
        time.sleep(0.3)  # as a busy disk
        return take(*args)

    async def send(message: Any) -> None:
        heard.append((message, wrapped.recorder.counters()["stored"]))

    async def serve() -> None:
        wrapped.recorder.writer.store.put = slow_put  # type: ignore[method-assign]
        await call(wrapped, "/last")
        await wrapped({"type": "lifespan"}, None, send)  # type: ignore[arg-type]

    asyncio.run(serve())
    assert all(one is other for (one, _), other in zip(heard, messages, strict=True)), "the same messages"
    assert [count for _, count in heard] == [0, 1]
    assert [row["path"] for row in stored.rows()] == ["/last"]


def websocket(path: str = "/chat") -> dict[str, Any]:
    return {"type": "websocket", "path": path, "query_string": b"", "scheme": "ws", "root_path": "",
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1234)}


def talk(app: Any, texts: list[str], pause: float = 0.0) -> list[Any]:
    """A client that connects, sends ``texts`` and leaves; what the app sent."""
    sent: list[Any] = []
    messages = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts),
                {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Any:
        await asyncio.sleep(pause)
        return messages.pop(0)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    asyncio.run(app(websocket(), receive, send))
    return sent


def handle_one(text: str) -> None:
    fib(int(text))


#: What each message's own awaits took, as the app itself saw it: a busy machine lets a sleep take longer.
own_waits: list[int] = []


async def chat(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.disconnect":
            return
        else:
            handle_one(message["text"])
            began = time.perf_counter_ns()
            await asyncio.sleep(0.01)
            await send({"type": "websocket.send", "text": message["text"] * 2})
            own_waits.append(time.perf_counter_ns() - began)


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
@patient
def test_each_message_of_a_websocket_is_a_request(tmp_path: Path, mode: str) -> None:
    app, stored = make(chat, tempfile.mkdtemp(dir=tmp_path), websockets=True, mode=mode, c_calls="none",
                       sampler_cpu=0)
    texts = ["26", "27"] if mode == "sampling" else ["3", "5", "4"]
    own_waits.clear()
    sent = talk(app, texts, pause=0.05)
    assert sent == [{"type": "websocket.accept"}, *({"type": "websocket.send", "text": text * 2} for text in texts)]
    rows = sorted(stored.rows(), key=lambda row: row["started"])
    assert [(row["method"], row["path"], row["status"]) for row in rows] == [("WS", "/chat", 101)] * (len(texts) + 1)
    for number, (row, text) in enumerate(zip(rows, ["connect", *texts], strict=True)):
        blob = stored.blob(row["id"])
        meta = json.loads(blob.meta())["meta"]
        assert meta["tag.message"] == str(number)
        report = blob_tree(blob)
        # Time between two messages is nobody's: the wall time is the message's own.
        assert sum(one["self_ns"] for one in report["rows"]) == pytest.approx(report["wall_ns"], rel=0.02)
        if text == "connect":
            assert "handle_one" not in stored.names(row["id"])
            continue
        assert meta["response_bytes"] == 4 if len(text) == 2 else 2
        awaited = meta.get("await_ns", 0) + meta.get("loop_ns", 0)  # the loop may have been busy for all of it
        own = own_waits[number - 1]
        assert own - 3e6 < awaited < own + 3e6, "its own pause, not the client's"
        nodes = {one["node"]: one for one in report["rows"]}
        handled = next((one for one in nodes.values() if one["name"] == "handle_one"), None)
        assert handled is not None
        assert nodes[handled["parent"]]["name"] == "chat", "what ran when the message came is its caller"
        if mode == "deterministic":
            calls = {one["function"]["name"]: one["calls"] for one in json.loads(blob.functions())["rows"]}
            assert calls["fib"] == {"3": 5, "4": 9, "5": 15}[text]
            assert calls["handle_one"] == 1


def test_a_websocket_whose_messages_come_through_a_task(store_path: str) -> None:
    """As Channels does it: a task receives, another one works."""
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await asyncio.create_task(receive())
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] == "websocket.receive":
                handle_one(message["text"])

    wrapped, stored = make(app, store_path, websockets=True, c_calls="none")
    assert talk(wrapped, ["3", "4"]) == []
    rows = sorted(stored.rows(), key=lambda row: row["started"])
    assert len(rows) == 3
    for row, calls in zip(rows[1:], (5, 9), strict=True):
        report = json.loads(stored.blob(row["id"]).functions())["rows"]
        assert {one["function"]["name"]: one["calls"] for one in report}["fib"] == calls


def test_a_websocket_that_fails(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.receive":
            pass
        raise KeyError("mine")

    wrapped, stored = make(app, store_path, websockets=True)
    with pytest.raises(KeyError, match="mine"):
        talk(wrapped, ["3"])
    assert sorted(row["status"] for row in stored.rows()) == [101, 500]
    assert wrapped.recorder.faults == 0


def test_a_websocket_that_is_refused(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    async def explains(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"who?"})

    for one, status in ((app, 403), (explains, 401)):
        wrapped, stored = make(one, store_path, websockets=True, keep="all")
        talk(wrapped, [])
        assert stored.rows()[0]["status"] == status


def test_text_of_a_websocket_is_counted_in_bytes(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "gr\u00fc\u00dfe"})

    wrapped, stored = make(app, store_path, websockets=True, keep="all")
    talk(wrapped, [])
    (row,) = stored.rows()
    assert json.loads(stored.blob(row["id"]).meta())["meta"]["response_bytes"] == 7


def test_exceptions_and_cancellation_pass_through(store_path: str) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(30)

    app, stored = make(failing, store_path, keep="error")
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(call(app))
    app, stored2 = make(waiting, store_path, keep="error")

    async def cancelled() -> None:
        task = asyncio.create_task(call(app))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    stored2.rows()
    rows = stored.rows()
    assert [row["status"] for row in rows] == [500, 500], "no status was sent"


def test_background_work_is_after_the_body(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        await asyncio.sleep(0.06)

    wrapped, stored = make(app, store_path, slow_ms=40, keep="slow")
    asyncio.run(call(wrapped))
    assert stored.rows() == [], "the response was not slow"


def test_fifty_requests_on_one_loop(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        space: dict[str, Any] = {"fib": fib, "asyncio": asyncio}
        name = "mine_" + scope["path"][1:]
        exec(f"async def {name}(n):\n    fib(n)\n    await asyncio.sleep(0.001 * n)\n    fib(n)", space)
        await asyncio.gather(*(space[name](n) for n in range(5)))
        await space[name](2)
        await asyncio.to_thread(fib, 3)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    wrapped, stored = make(app, store_path, c_calls="all")

    async def main() -> None:
        await asyncio.gather(*(call(wrapped, f"/{i}") for i in range(50)))

    asyncio.run(main())
    rows = stored.rows(limit=100)
    assert len(rows) == 50
    for row in rows:
        report = json.loads(stored.blob(row["id"]).functions())["rows"]
        mine = {one["function"]["name"]: one["calls"] for one in report if one["function"]["name"].startswith("mine_")}
        assert mine == {"mine_" + row["path"][1:]: 6}
        fibs = next(one["calls"] for one in report if one["function"]["name"] == "fib")
        inside = 2 * (1 + 1 + 3 + 5 + 9) + 2 * 3
        assert fibs == inside + 5 or (sys.version_info < (3, 12) and fibs == inside)


def test_two_middlewares_make_one_profile(store_path: str) -> None:
    inner, _ = make(hello, store_path)
    outer, stored = make(inner, store_path)
    asyncio.run(call(outer))
    assert len(stored.rows()) == 1
    assert inner.recorder.writer.stored == 1, "one for a store"


def test_a_route_that_goes_as_it_is_asked(store_path: str) -> None:
    """It is held for as long as that takes."""
    said: list[str] = []

    class Route:
        def __getattribute__(self, name: str) -> Any:
            if name == "path":
                said.append("asked")
                given.pop("route")
            raise AttributeError

        def __getattr__(self, name: str) -> str:
            said.append("answered")
            return "/{thing}"

        def __del__(self) -> None:
            said.append("gone")

    given: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal given
        given = scope
        scope["route"] = Route()
        await hello(scope, receive, send)

    middleware, stored = make(app, store_path)
    asyncio.run(call(middleware, "/a"))
    assert said == ["asked", "answered", "gone"]
    assert [row["route"] for row in stored.rows()] == ["/{thing}"]


def test_starlette(store_path: str) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    import httpx
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route

    async def item(request: Any) -> Any:
        fib(5)
        await asyncio.sleep(0.002)
        return JSONResponse({"n": request.path_params["n"]}, background=BackgroundTask(fib, 4))

    def threaded(request: Any) -> Any:
        in_the_threadpool()
        return PlainTextResponse("threaded")

    def in_the_threadpool() -> None:
        fib(6)

    async def stream(request: Any) -> Any:
        async def chunks() -> Any:
            for i in range(3):
                await asyncio.sleep(0)
                yield b"%d" % i
        return StreamingResponse(chunks())

    async def passing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    inner = Starlette(routes=[
        Route("/items/{n:int}", item), Route("/threaded", threaded), Mount("/sub", routes=[Route("/stream", stream)]),
    ])
    inner.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    app, stored = make(inner, store_path, c_calls="all")

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
            answers = await asyncio.gather(*(client.get(f"/items/{n}") for n in range(10)))
            assert [answer.json()["n"] for answer in answers] == list(range(10))
            assert (await client.get("/threaded")).text == "threaded"
            assert (await client.get("/sub/stream")).text == "012"
            assert (await client.get("/none")).status_code == 404

    asyncio.run(main())
    rows = {row["path"]: row for row in stored.rows(limit=50)}
    assert len(rows) == 13
    assert rows["/none"]["status"] == 404
    assert len({row["route"] for path, row in rows.items() if path.startswith("/items/")}) == 1, "grouped by route"
    if sys.version_info >= (3, 12):
        assert any("in_the_threadpool" in name for name in stored.names(rows["/threaded"]["id"])), "def routes too"
    counts = {tuple(sorted((one["function"]["name"], one["calls"])
                           for one in json.loads(stored.blob(rows[f"/items/{n}"]["id"]).functions())["rows"]
                           if one["function"]["name"] in ("fib", "test_starlette.<locals>.item")))
              for n in range(10)}
    if sys.version_info >= (3, 12):  # 3.11: a thread of the pool may be younger than the last hook
        assert len(counts) == 1, "ten identical requests, ten identical counts"


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
@patient
def test_an_endpoint_behind_a_middleware_that_runs_it_as_a_task(mode: str) -> None:
    """Starlette's BaseHTTPMiddleware: all that the request's own coroutine does is await that task."""
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def fetch_price() -> None:
        await asyncio.sleep(0.06)

    async def slow_page(request: Any) -> Any:
        await fetch_price()
        return PlainTextResponse("slow")

    async def passing(request: Any, call_next: Any) -> Any:
        end = time.perf_counter() + 0.02  # to be seen: the order of events is the samples'
        while time.perf_counter() < end:
            fib(5)
        return await call_next(request)

    inner = Starlette(routes=[Route("/", slow_page)])
    inner.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    with tempfile.TemporaryDirectory() as store:
        app, stored = make(inner, store, mode=mode, keep="all")
        asyncio.run(call(app))
        (row,) = stored.rows()
        report = blob_tree(stored.blob(row["id"]))
    rows = {one["node"]: one for one in report["rows"]}
    waits = [one for one in rows.values() if one["name"] == "[await]" and one["self_ns"] > 50e6]
    above = {rows[rows[one["parent"]]["parent"]]["name"].rsplit(".", 1)[-1] for one in waits}
    assert "fetch_price" in above, "the task's own wait"
    assert "slow_page > " in row["hot"] and "fetch_price" in row["hot"], row["hot"]
    share = int(row["hot"].rsplit(" ", 1)[-1].rstrip("%"))
    assert 60 <= share <= 100


def test_the_viewer_is_served(store_path: str) -> None:
    app, stored = make(hello, store_path)

    async def main() -> Any:
        await call(app, "/x")
        stored.rows()
        page = await call(app, "/__slowlens__/")
        listed = await call(app, "/__slowlens__/api/requests")
        stranger = await call(app, "/__slowlens__/", headers=[(b"host", b"evil.example")])
        mounted = await call(app, "/prefix/__slowlens__", root_path="/prefix")
        await asyncio.get_running_loop().shutdown_default_executor()
        late = await call(app, "/__slowlens__/")
        return page, listed, stranger, mounted, late

    page, listed, stranger, mounted, late = asyncio.run(main())
    assert late[0]["status"] == 200, "no thread is to be had any more"
    assert page[0]["status"] == 200 and b"<title>slowlens" in page[1]["body"]
    assert json.loads(listed[1]["body"])["requests"][0]["path"] == "/x"
    assert stranger[0]["status"] == 201, "the app's own answer"
    assert (b"location", b"/prefix/__slowlens__/") in mounted[0]["headers"]
