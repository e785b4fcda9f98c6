"""Responses are what they were: the same requests with slowlens and without, all bytes and messages compared."""

from __future__ import annotations

import asyncio
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper

import pytest

from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.wsgi import ProfilerMiddleware

# ---- WSGI: how a body can be given, how a response can be started, which method ----


class Sized(list):  # type: ignore[type-arg]
    def close(self) -> None:
        log("close")


class Closing:
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        log("close")


class Old:
    """Iterates by its items, as before there were iterators."""

    def __getitem__(self, at: int) -> bytes:
        return [b"one", b"two"][at]


_log: list[str] = []
log = _log.append


def generator(chunks: list[bytes]) -> Iterator[bytes]:
    try:
        for chunk in chunks:
            log("chunk")
            yield chunk
    finally:
        log("finally")


def fails(chunks: list[bytes]) -> Iterator[bytes]:
    yield chunks[0]
    raise ValueError("in the body")


BODIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "list": lambda environ: [b"one"], "two": lambda environ: [b"one", b"two"], "none": lambda environ: [],
    "tuple": lambda environ: (b"one", b""), "sized": lambda environ: Sized([b"one"]),
    "sized two": lambda environ: Sized([b"one", b"two"]), "closing": lambda environ: Closing([b"one", b"two"]),
    "generator": lambda environ: generator([b"one", b"two"]), "empty generator": lambda environ: generator([]),
    "old": lambda environ: Old(), "file": lambda environ: FileWrapper(io.BytesIO(b"x" * 20000)),
    "wrapped": lambda environ: environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 20000)),
    "bytesio": lambda environ: io.BytesIO(b"a\nb\n"), "fails": lambda environ: fails([b"one"]),
    "map": lambda environ: map(bytes, [[65], [66]]),
}


def plain(environ: dict[str, Any], start: Any) -> None:
    start("200 OK", [("Content-Type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2")])


def with_length(environ: dict[str, Any], start: Any) -> None:
    start("200 OK", [("Content-Length", "3")])


def replaced(environ: dict[str, Any], start: Any) -> None:
    start("200 OK", [("X-First", "1")])
    try:
        raise ValueError
    except ValueError:
        start("500 Sorry", [("X-Second", "2")], sys.exc_info())


def written(environ: dict[str, Any], start: Any) -> None:
    start("200 OK", [("X-Written", "1")])(b"written")


STARTS = {"plain": plain, "length": with_length, "replaced": replaced, "written": written}


def serve(app: Any, method: str) -> tuple[bytes, list[str]]:
    """What a real server writes to its socket, and what it did on the way."""
    _log.clear()
    out, errors = io.BytesIO(), io.StringIO()
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/x", "SCRIPT_NAME": "", "SERVER_NAME": "localhost",
               "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    handler = SimpleHandler(io.BytesIO(), out, errors, environ)
    handler.http_version = "1.1"
    handler.server_software = ""
    handler.origin_server = False
    handler.run(app)
    return out.getvalue(), [*_log, errors.getvalue().strip().rpartition("\n")[2]]


#: And of requests that are counted without being profiled.
MODES: dict[str, dict[str, Any]] = {
    "deterministic": {"mode": "deterministic"}, "sampling": {"mode": "sampling"}, "not selected": {"sample_rate": 0},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("start", "body"), list(itertools.product(STARTS, BODIES)))
def test_wsgi(store_path: str, start: str, body: str, mode: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        STARTS[start](environ, start_response)
        return BODIES[body](environ)

    profiled = ProfilerMiddleware(app, store=store_path, debug=True, response_headers=False, log=False, **MODES[mode])
    for method in ("GET", "HEAD"):
        assert serve(profiled, method) == serve(app, method)


# ---- ASGI: messages as they are, in their order ----

START = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1"), (b"x", b"2")]}
MESSAGES: dict[str, list[dict[str, Any]]] = {
    "one": [START, {"type": "http.response.body", "body": b"one"}],
    "chunks": [START, {"type": "http.response.body", "body": b"one", "more_body": True},
               {"type": "http.response.body", "body": b"", "more_body": False}],
    "no body": [START, {"type": "http.response.body"}],
    "trailers": [{**START, "trailers": True}, {"type": "http.response.body", "body": b"x"},
                 {"type": "http.response.trailers", "headers": [(b"t", b"1")], "more_trailers": False}],
    "pathsend": [START, {"type": "http.response.pathsend", "path": "/x"}],
    "zerocopy": [START, {"type": "http.response.zerocopysend", "file": 3, "count": 10, "more_body": False}],
    "hints": [{"type": "http.response.early_hint", "links": [b"</x>"]}, START, {"type": "http.response.body"}],
    "push": [{"type": "http.response.push", "path": "/x", "headers": []}, START, {"type": "http.response.body"}],
    "debug": [{"type": "http.response.debug", "info": {"a": 1}}, START, {"type": "http.response.body"}],
    "start alone": [START], "nothing": [], "unknown": [START, {"type": "http.response.tomorrow", "x": object()}],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["returns", "raises", "late"])
@pytest.mark.parametrize("kind", list(MESSAGES))
def test_asgi(store_path: str, kind: str, end: str, mode: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.request", "body": b"in", "more_body": False}
        for message in MESSAGES[kind]:
            await send(message)
        if end == "raises":
            raise ValueError("in the app")
        if end == "late":
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(send({"type": "too.late"})))

    async def call(target: Any) -> tuple[list[Any], str]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"in", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
                 "headers": [(b"host", b"localhost")],
                 "client": ("127.0.0.1", 1), "scheme": "http", "extensions": {"http.response.trailers": {}}}
        try:
            result = str(await target(scope, receive, send))
        except ValueError as error:
            result = repr(error)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sent, result

    profiled = ASGIMiddleware(app, store=store_path, debug=True, response_headers=False, log=False, **MODES[mode])
    with_us, without = asyncio.run(call(profiled)), asyncio.run(call(app))
    assert with_us == without
    assert all(one is other for one, other in zip(with_us[0], without[0], strict=True) if one["type"] != "too.late")
