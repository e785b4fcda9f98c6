"""ASGI 3: Starlette, FastAPI, Django under ASGI, or your own.

    app = ProfilerMiddleware(app)

``http`` is profiled and, with the option ``websockets``, each message of a
``websocket``; ``lifespan`` and whatever comes next pass through untouched. Before
the server hears that the app has shut down, what waits to be stored is stored:
uvicorn then ends by the signal that stopped it, which runs no exit handlers.
Messages are forwarded as they are, when they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from . import _core
from .hello import say_whom_the_command_runs
from .recorder import Recorder, Transaction
from .request import Incoming, asgi_incoming
from .routes import asgi_route
from .routing import watch
from .viewer.mount import in_a_thread, is_below, serve_asgi

__all__ = ["SCOPE_KEY", "ProfilerMiddleware"]

#: Where the transaction of a request is found in its scope.
SCOPE_KEY = "slowlens.transaction"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LAST_OF_LIFESPAN = frozenset(("lifespan.shutdown.complete", "lifespan.shutdown.failed"))


class ProfilerMiddleware:
    """Profiles ``app`` and serves the viewer; to be called as any ASGI app.

    :param options: see the page *Options*.
    :param recorder: of another middleware of ours, to share its options, queue and store.
    :raises OptionsError: a wrong option.
    """

    def __init__(self, app: ASGIApp, *, recorder: Recorder | None = None, **options: Any) -> None:
        self.app = app
        if recorder is None:
            say_whom_the_command_runs(app)
            knows = _who_knows_debug(app)
            recorder = Recorder(options, framework="ASGI", debug=lambda: getattr(knows, "debug", False) is True)
            recorder._debugged = knows
        self.recorder = recorder
        recorder.owns(app)
        self._viewer_path = recorder.options.viewer_path
        watch(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return await _core.asgi_enter(self.recorder, self.app, scope, receive, send, self)

    async def look_closer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is no plain HTTP request; one with a trigger, of the viewer, or of settings that ask about each."""
        recorder = self.recorder
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, _flushing(recorder, send))
        socket = scope["type"] == "websocket" and recorder.options.websockets
        if (scope["type"] != "http" and not socket) or not recorder.enabled or SCOPE_KEY in scope:
            return await self.app(scope, receive, send)
        incoming = recorder.read(asgi_incoming, scope)
        if incoming is None:
            return await self.app(scope, receive, send)
        below = not socket and is_below(incoming.path, self._viewer_path)
        if incoming.asks and not below and recorder.access.takes_long():
            await in_a_thread(partial(recorder.policy.look_ahead, incoming))
        if socket:
            return await _Messages(recorder, incoming, scope).run(self.app, receive, send)
        if below:
            if await serve_asgi(recorder, incoming, receive, send, self._viewer_path):
                return None
            return await self.app(scope, receive, send)
        transaction = recorder.begin(incoming, follows=True)
        if transaction is None:
            return await self.pass_by(incoming.method, incoming.path, scope, receive, send)
        return await _core.asgi_run(transaction, self.app, scope, receive, send)

    def pass_by(self, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """A request that is not profiled: at most counted."""
        tally = self.recorder.tally(method, path, send)
        return self.app(scope, receive, send) if tally is None else count(self.app, scope, receive, tally)


async def count(app: ASGIApp, scope: Scope, receive: Receive, tally: _core.Tally) -> None:
    """Runs ``app`` for a request that is counted and not profiled."""
    scope[SCOPE_KEY] = None  # inner middlewares of ours pass
    root = scope.get("root_path", "")
    tally.enter()
    raised = True
    try:
        await app(scope, receive, tally)
        raised = False
    finally:
        if tally.route is None:
            tally.note_route(asgi_route(scope, tally.path, root, app))
        tally.finish(0, 0, raised)


def _with_headers(message: Message, more: list[tuple[str, str]]) -> Message:
    """The start of a response with headers of ours."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in more]
    return {**message, "headers": [*message.get("headers", ()), *headers]}


def _flushing(recorder: Recorder, send: Send) -> Send:
    """``send`` of a lifespan: the same messages, the last one after the writer has done its work."""

    def watched_send(message: Message) -> Awaitable[None]:
        if message["type"] in _LAST_OF_LIFESPAN:
            recorder.flush_at_shutdown()
        return send(message)

    return watched_send


class _Messages:
    """The messages of one websocket: each a request, from when the app gets it until it asks for the next one."""

    def __init__(self, recorder: Recorder, incoming: Incoming, scope: Scope) -> None:
        self._recorder = recorder
        self._incoming = incoming
        incoming.method = "WS"
        self._scope = scope
        self._transaction: Transaction | None = None
        self._tally: _core.Tally | None = None
        self._raised = False
        self._count = 0
        self._accepted = False

    async def run(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        self._scope[SCOPE_KEY] = None
        self._root = self._scope.get("root_path", "")

        async def watched_receive() -> Message:
            self._end()
            message = await receive()
            if message["type"] != "websocket.disconnect":
                self._begin()
            return message

        def watched_send(message: Message) -> Awaitable[None]:
            transaction, kind = self._transaction, message["type"]
            if kind == "websocket.accept":
                self._accepted = True
            elif transaction is None:
                pass
            elif kind == "websocket.send":
                transaction.seen.bytes += _size(message.get("bytes") or message.get("text") or b"")
            elif kind == "websocket.close" and not self._accepted:
                transaction.seen.status = 403  # what servers answer then
            elif kind == "websocket.http.response.start":
                transaction.seen.status = message["status"]
            return send(message)

        self._step = _core.step(app(self._scope, watched_receive, watched_send))
        try:
            await self._step
        except BaseException:
            self._raised = True
            if self._transaction is not None:
                self._transaction.seen.error = True
            raise
        finally:
            self._end()

    def _begin(self) -> None:
        self._transaction = transaction = self._recorder.begin(self._incoming, follows=True)
        self._tally = self._recorder.tally(self._incoming.method, self._incoming.path) if transaction is None else None
        if transaction is not None:
            transaction.seen.status = 101
            transaction.seen.tags["message"] = str(self._count)
            try:
                self._step.follow(transaction.recording)
            except (RuntimeError, MemoryError):  # no section can begin: the app goes on without a profile
                transaction.abandon()
                self._transaction = None
        self._count += 1

    def _end(self) -> None:
        transaction, self._transaction = self._transaction, None
        tally, self._tally = self._tally, None
        if tally is not None:
            tally.note_route(asgi_route(self._scope, self._incoming.path, self._root))
            tally.finish(101, 0, self._raised)
        if transaction is None:
            return
        if transaction.seen.error:
            transaction.seen.status = 500
        if not transaction.seen.route:
            transaction.seen.note_route(asgi_route(self._scope, self._incoming.path, self._root))
        transaction.finish()
        self._step.follow(None)


def _size(content: bytes | str) -> int:
    """Bytes of a message; a text is sent as UTF-8."""
    if isinstance(content, str) and not content.isascii():
        return len(content.encode("utf-8", "replace"))
    return len(content)


def _who_knows_debug(app: Any) -> Any:
    """The app, or what in its middlewares says ``debug``: after ``add_middleware`` the next one is all that we see of
    Starlette's or FastAPI's, and its ExceptionMiddleware, further in, knows."""
    inner = app
    for _ in range(32):
        if isinstance(getattr(inner, "debug", None), bool):
            return inner
        inner = getattr(inner, "app", None)
        if inner is None:
            break
    return app


_core.upcalls(asgi_route=asgi_route, asgi_headers=_with_headers)
