"""ASGI 3: Starlette, FastAPI, Django under ASGI, or your own.

    app = ProfilerMiddleware(app)

Only ``http`` is profiled; ``lifespan``, ``websocket`` and whatever comes next
pass through untouched. Messages are forwarded as they are, when they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .recorder import Recorder, Recording
from .request import asgi_incoming
from .viewer.mount import serve_asgi

__all__ = ["SCOPE_KEY", "ProfilerMiddleware"]

#: Where the recording of a request is found in its scope.
SCOPE_KEY = "slowlens.recording"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LAST_OF_BODY = frozenset(
    ("http.response.body", "http.response.zerocopysend", "http.response.pathsend")
)


class ProfilerMiddleware:
    """Profiles ``app``. Options: see :mod:`slowlens.options`.

    :raises OptionsError: a wrong option.
    """

    def __init__(self, app: ASGIApp, *, recorder: Recorder | None = None, **options: Any) -> None:
        self.app = app
        if recorder is None:
            recorder = Recorder(options, framework="ASGI", debug=lambda: _app_debug(app))
        self.recorder = recorder
        self._viewer_path = recorder.options.viewer_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        recorder = self.recorder
        if not recorder.enabled or SCOPE_KEY in scope:
            return await self.app(scope, receive, send)
        incoming = recorder.read(asgi_incoming, scope)
        if incoming is None:
            return await self.app(scope, receive, send)
        if incoming.path.startswith(self._viewer_path[:-1]):
            if await serve_asgi(recorder.viewer, incoming, receive, send, self._viewer_path):
                return None
            return await self.app(scope, receive, send)
        recording = recorder.begin(incoming, follows=True)
        if recording is None:
            return await self.app(scope, receive, send)
        return await run(self.app, scope, receive, send, recording)


async def run(app: ASGIApp, scope: Scope, receive: Receive, send: Send, recording: Recording) -> None:
    """Runs ``app`` inside the recording, which is finished when the app returns."""
    scope[SCOPE_KEY] = recording
    seen = recording.seen

    def watched_send(message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            recording.headers_sent(message["status"])
        elif kind in _LAST_OF_BODY:
            seen.bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                recording.body_sent()
        return send(message)

    try:
        await recording.profile.step(app(scope, receive, watched_send))
    except BaseException:
        seen.error = True
        raise
    finally:
        if not seen.route:
            seen.route = _route(scope)
        recording.finish()


def _route(scope: Scope) -> str:
    """The template of the path, where the framework leaves it in the scope."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    endpoint = scope.get("endpoint")
    name = getattr(endpoint, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(endpoint, '__module__', '')}.{name}"
    return ""


def _app_debug(app: Any) -> bool:
    return getattr(app, "debug", False) is True
