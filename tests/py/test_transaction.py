"""A request's transaction in C: what asks nothing of Python, and what of the request the app cannot change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.recorder import Recorder
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call

OPTIONS: dict[str, Any] = {"mode": "sampling", "keep": "error", "log": False, "debug": False}


async def ask(app: Any, path: str = "/a", **scope: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"localhost")],
               "query_string": b"", "client": ("127.0.0.1", 1), "scheme": "http", **scope}, receive, send)
    return sent


def asgi(status: int = 200, change: Callable[[Any], None] = lambda scope: None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        change(scope)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
    return app


def wsgi(status: str = "200 OK", change: Callable[[Any], None] = lambda environ: None) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        change(environ)
        start_response(status, [])
        return [b"hello"]
    return app


def counted(recorder: Recorder) -> int:
    assert recorder.writer.flush(30)
    return sum(row["count"] for row in recorder.store.numbers()["rows"])  # type: ignore[attr-defined]


def test_what_is_not_kept_asks_nothing_of_python(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    finish = Recorder._finish
    monkeypatch.setattr(Recorder, "_finish", lambda self, one: ended.append(one.seen.path) or finish(self, one))
    app = ProfilerMiddleware(wsgi(), store=store_path, **OPTIONS)
    awaited = ASGIMiddleware(asgi(), recorder=app.recorder)
    wsgi_call(app, "/warm")  # what is called how is asked once
    wsgi_call(app, "/warm")
    ended.clear()
    gathering = app.recorder.writer.gathering
    assert gathering is not None
    monkeypatch.setattr(gathering, "adapt", lambda: None)
    gathering.skip = 1_000_000  # none of those that speak for all
    for _ in range(5):
        wsgi_call(app, "/warm")
        asyncio.run(ask(awaited, "/warm"))
    assert ended == []
    wsgi_call(ProfilerMiddleware(wsgi("500 No"), recorder=app.recorder), "/warm")
    asyncio.run(ask(ASGIMiddleware(asgi(503), recorder=app.recorder), "/warm"))
    assert ended == ["/warm", "/warm"], "and what may be kept does"
    assert counted(app.recorder) == 14
    assert {row["status"] for row in Stored(app.recorder).rows()} == {500, 503}


@pytest.mark.parametrize("kind", ("wsgi", "asgi"))
def test_who_asks_is_known_before_the_app_can_change_it(store_path: str, kind: str) -> None:
    """A proxy's header, believed by a middleware inside ours, opens nothing."""
    def change(request: Any) -> None:
        request["REMOTE_ADDR"], request["client"] = "127.0.0.1", ("127.0.0.1", 1)
        request["HTTP_HOST"] = "localhost"

    options = {**OPTIONS, "keep": "all", "response_headers": True, "debug": True}
    app: Any
    for stranger in (True, False):
        address = "203.0.113.9" if stranger else "127.0.0.1"
        if kind == "wsgi":
            app = ProfilerMiddleware(wsgi(change=change), store=store_path, **options)
            for _ in range(2):
                names = [name for name, _ in wsgi_call(app, REMOTE_ADDR=address)[1]]
        else:
            app = ASGIMiddleware(asgi(change=change), store=store_path, **options)
            for _ in range(2):
                start = asyncio.run(ask(app, client=(address, 1)))[0]
                names = [name.decode().title() for name, _ in start["headers"]]
        assert ("X-Slowlens" in names) is not stranger


def test_a_path_is_the_one_that_was_asked_for(store_path: str) -> None:
    def change(scope: Any) -> None:
        scope["root_path"], scope["path"] = "/mounted", "/changed"

    app = ASGIMiddleware(asgi(change=change), store=store_path, **{**OPTIONS, "keep": "all"})
    for _ in range(2):
        asyncio.run(ask(app, "/mounted/x"))
    assert {row["path"] for row in Stored(app.recorder).rows()} == {"/mounted/x"}


def test_a_body_that_streams_is_the_requests(store_path: str) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        slowlens.tag("late", "yes")
        slowlens.name("/named")
        yield b"second"

    wrapped = ProfilerMiddleware(app, store=store_path, **{**OPTIONS, "keep": "all"})
    for _ in range(2):
        assert wsgi_call(wrapped)[2] == b"firstsecond"
        assert _core.current() is None
    rows = Stored(wrapped.recorder).rows()
    assert [row["route"] for row in rows] == ["/named"] * 2
    assert [row["tags"].strip() for row in rows] == ["late=yes"] * 2


def test_an_app_that_is_dropped_ends_its_transaction(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    wrapped = ASGIMiddleware(app, store=store_path, **OPTIONS)

    async def cut() -> Any:
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/cut", "headers": []}
        task = asyncio.ensure_future(wrapped(scope, None, None))
        await asyncio.sleep(0)
        running = scope["slowlens.transaction"]
        assert not running.done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return running

    for _ in range(2):
        running = asyncio.run(cut())
        assert running.done and running.seen.error
        with pytest.raises(AttributeError):
            _ = running.incoming
    assert {row["path"] for row in Stored(wrapped.recorder).rows()} == {"/cut"}


@pytest.mark.parametrize("kind", ("wsgi", "asgi"))
def test_what_we_do_meanwhile_is_no_function_of_the_request(store_path: str, kind: str) -> None:
    """Who may see the headers of a debugging app is asked in the midst of it."""
    options: dict[str, Any] = {"store": store_path, "mode": "deterministic", "keep": "all", "debug": True, "log": False}
    app: Any
    if kind == "wsgi":
        app = ProfilerMiddleware(wsgi(change=lambda environ: None), **options)
        assert "X-Slowlens" in dict(wsgi_call(app)[1])
    else:
        app = ASGIMiddleware(asgi(change=lambda scope: None), **options)
        assert b"x-slowlens" in dict(asyncio.run(ask(app))[0]["headers"])
    stored = Stored(app.recorder)
    (row,) = stored.rows()
    functions = [one["function"] for one in json.loads(stored.blob(row["id"]).functions())["rows"]]
    names = {one["name"].rpartition(".")[2] for one in functions if one["kind"] == "python"}
    assert names == ({"app", "<lambda>"} if kind == "wsgi" else {"app", "<lambda>", "send"})
