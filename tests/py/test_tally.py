"""Requests that were not selected are in their route's numbers all the same; nothing else of them changes."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.recorder import Recorder
from slowlens.wsgi import ProfilerMiddleware


def environ(path: str = "/a", method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1", **more}


def ask(app: Any, path: str = "/a", **more: Any) -> list[bytes]:
    result = app(environ(path, **more), lambda status, headers, exc_info=None: None)
    try:
        return list(result)
    finally:
        if hasattr(result, "close"):
            result.close()


def rows(recorder: Recorder) -> dict[str, dict[str, Any]]:
    assert recorder.writer.flush(30)
    return {row["route"]: row for row in recorder.store.numbers()["rows"]}  # type: ignore[attr-defined]


def counts(recorder: Recorder) -> dict[str, tuple[int, int, int]]:
    """Requests, errors and bytes of each route."""
    return {route: (row["count"], row["errors"], row["sums"].get("response_bytes", 0))
            for route, row in rows(recorder).items()}


def answering(body: Any, status: str = "200 OK") -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [("Content-Type", "text/plain")])
        return body() if callable(body) else body

    return app


def test_a_routes_numbers_are_of_all_its_requests(store_path: str) -> None:
    random.seed(7)
    app = ProfilerMiddleware(answering([b"four"]), store=store_path, sample_rate=0.3, debug=True, log=False)
    for _ in range(100):
        assert ask(app) == [b"four"]
    row = rows(app.recorder)["/a"]
    selected = app.recorder.store.contents()["profiles"]
    assert 0 < selected < 100
    assert row["count"] == 100 and row["sums"]["timed"] == 100 - selected
    assert 0 < row["sums"]["timed_ns"] < row["wall_ns"]
    assert row["sums"]["response_bytes"] == 400
    assert row["cpu_p95_ns"] > 0  # of those whose CPU time is known


class Sized:
    closed = 0

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Any:
        return iter(self.chunks)

    def close(self) -> None:
        Sized.closed += 1


def test_wsgi_bodies(store_path: str) -> None:
    def chunks() -> Any:
        yield b"one"
        yield b"three"

    def broken() -> Any:
        yield b"one"
        raise ValueError("in the body")

    options: dict[str, Any] = {"sample_rate": 0, "store": store_path}
    app = ProfilerMiddleware(answering(chunks), **options)
    assert ask(app, "/chunks") == [b"one", b"three"]
    app = ProfilerMiddleware(answering(lambda: Sized(b"1", b"2")), **options)
    result = app(environ("/sized"), lambda *given: None)
    assert len(result) == 2 and list(result) == [b"1", b"2"]  # type: ignore[arg-type]
    result.close()  # type: ignore[attr-defined]
    result.close()  # type: ignore[attr-defined]
    assert Sized.closed == 1
    app = ProfilerMiddleware(answering(broken), **options)
    with pytest.raises(ValueError, match="in the body"):
        ask(app, "/broken")
    app = ProfilerMiddleware(answering(lambda: 1 / 0), **options)
    with pytest.raises(ZeroDivisionError):
        ask(app, "/raises")
    app = ProfilerMiddleware(answering([b"x"], "503 Away"), **options)
    assert ask(app, "/away") == [b"x"]
    unclosed = ProfilerMiddleware(answering(chunks), **options)
    assert next(iter(unclosed(environ("/unclosed"), lambda *given: None))) == b"one"
    assert counts(app.recorder) == {
        "/chunks": (1, 0, 8), "/sized": (1, 0, 2), "/broken": (1, 1, 3), "/raises": (1, 1, 0), "/away": (1, 1, 1),
        "/unclosed": (1, 0, 3)}


def test_who_calls_too_late_or_wrongly_is_told_as_ever(store_path: str) -> None:
    kept: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        kept.append(start_response)
        with pytest.raises(TypeError):
            start_response()
        start_response("abc", [])
        start_response("2", [])
        return (part for part in [b"x"])

    def start_response(status: str, headers: Any, exc_info: Any = None) -> str:
        return f"write {status} {exc_info}"

    wrapped = ProfilerMiddleware(app, store=store_path, sample_rate=0)
    body = wrapped(environ(), start_response)
    assert kept[0]("200 OK", [], exc_info=3) == "write 200 OK 3"
    with pytest.raises(TypeError):
        len(body)  # type: ignore[arg-type]
    body.close()  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="over"):
        kept[0]("200 OK", [])


def test_nothing_is_counted_that_is_nobodys_business(store_path: str) -> None:
    for options in ({"exclude": "/a"}, {"include": "/b"}, {"mode": "off"}, {"numbers": False}):
        app = ProfilerMiddleware(answering([b"x"]), store=store_path, **{"sample_rate": 0, **options})
        ask(app)
        assert app.recorder.writer.numbers is None or app.recorder.writer.numbers.count == 0
    app = ProfilerMiddleware(answering([b"x"]), store=store_path, mode=lambda environ: "off", exclude="/no*")
    ask(app)
    ask(app, "/none")
    assert list(rows(app.recorder)) == ["/a"]  # asked about each request, which is one of its route's


def test_asgi(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/raises":
            raise ValueError("in the app")
        await send({"type": "http.response.start", "status": 500 if scope["path"] == "/fails" else 200, "headers": []})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        await send({"type": "http.response.body", "body": b"45"})

    wrapped = ASGIMiddleware(app, store=store_path, sample_rate=0)

    async def call(path: str) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "scheme": "http"}
        await wrapped(scope, None, send)  # type: ignore[arg-type]
        return sent

    async def all_at_once() -> None:
        for sent in await asyncio.gather(*(call("/good") for _ in range(10)), call("/fails")):
            assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body", "body"]
        with pytest.raises(ValueError, match="in the app"):
            await call("/raises")

    asyncio.run(all_at_once())
    assert counts(wrapped.recorder) == {"/good": (10, 0, 50), "/fails": (1, 1, 5), "/raises": (1, 1, 0)}


def test_frameworks_say_the_route(store_path: str) -> None:
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from slowlens.flask import Slowlens

    flask = Flask("tally")
    flask.add_url_rule("/orders/<int:n>", view_func=lambda n: str(n), endpoint="one")
    flask.add_url_rule("/query", view_func=lambda: (slowlens.name("query Books"), "named")[1], endpoint="named")
    Slowlens(flask, store=store_path, sample_rate=0)
    client = flask.test_client()
    for path in ("/orders/1", "/orders/2", "/nowhere", "/query"):
        client.get(path).close()

    async def one(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x")

    starlette = ASGIMiddleware(Starlette(routes=[Route("/books/{n}", one)]), store=store_path, sample_rate=0)
    with TestClient(starlette) as asked:
        for path in ("/books/1", "/books/2", "/nowhere"):
            asked.get(path)
    assert starlette.recorder.writer.flush(30)
    found = {route: row["count"] for route, row in rows(flask.extensions["slowlens"]).items()}
    assert found == {"/orders/<int:n>": 2, "[unmatched]": 2, "query Books": 1, "/books/{n}": 2}


def test_an_inner_middleware_leaves_it_to_the_outer_one(store_path: str) -> None:
    inner = ProfilerMiddleware(answering([b"x"]), store=store_path)
    outer = ProfilerMiddleware(inner, store=store_path, sample_rate=0)
    ask(outer)
    assert rows(outer.recorder)["/a"]["count"] == 1
    assert outer.recorder.store.contents()["profiles"] == 0


def test_nothing_stays(store_path: str) -> None:
    class Server:
        def start_response(self, status: str, headers: Any) -> None:
            pass

    app = ProfilerMiddleware(answering(lambda: (part for part in [b"x"])), store=store_path, sample_rate=0)
    gc.disable()  # by counting references alone
    try:
        server = Server()
        gone = weakref.ref(server)
        body = app(environ(), server.start_response)
        assert list(body) == [b"x"]
        body.close()  # type: ignore[attr-defined]
        del server, body
        assert gone() is None
    finally:
        gc.enable()


def test_a_namer_that_fails_and_what_a_tally_refuses() -> None:
    def fails(path: str, status: int, given: str | None) -> str:
        raise ValueError("no name")

    numbers = _core.Numbers()
    tally = _core.Tally(numbers, fails, "GET", "/a")
    assert tally.route is None and tally.path == "/a" and _core.tally() is None
    tally.enter()
    assert _core.tally() is tally
    tally.finish(503, 7)
    tally.finish()
    assert _core.tally() is None and numbers.count == 1
    assert b'"route":"[unmatched]"' in numbers.report() and b'"errors":1' in numbers.report()
    for wrong in ((1,), (numbers, fails, 1, "/a"), (numbers, fails, "GET", b"/a")):
        with pytest.raises(TypeError):
            _core.Tally(*wrong)
    with pytest.raises(TypeError):
        _core.Tally(numbers, fails, "GET", "/a").note_route(3)  # type: ignore[arg-type]
