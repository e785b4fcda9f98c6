"""Hangs the viewer into WSGI and ASGI, under any prefix.

Whoever imports an adapter imports this; the viewer itself, and what it computes with, is loaded by its first visitor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from ..request import Incoming, url_path, wsgi_text
from .response import Response

__all__ = ["Response", "WSGIResponse", "in_a_thread", "is_below", "serve", "serve_asgi", "serve_wsgi", "wsgi_app"]


T = TypeVar("T")


class Shows(Protocol):
    """A viewer, or who loads one for whoever may look."""

    def handle(
        self, incoming: Incoming, path: str, prefix: str, granted: frozenset[str] | None = None
    ) -> Response | None:
        ...


def is_below(path: str, mount: str) -> bool:
    """Whether ``path`` is one of the viewer's, mounted at ``mount`` (``/x/``): ``/x``, ``/x/...``, not ``/xy``."""
    return path.startswith(mount) or (path == mount[:-1] and path != "")


def serve(
    viewer: Shows, incoming: Incoming, mount: str, root: str = "", granted: frozenset[str] | None = None
) -> Response | None:
    """The viewer's answer if the path lies under ``mount`` and the client may look. No body is ever read.

    :param root: what the server cut off before ``mount`` (SCRIPT_NAME, root_path), as text, for redirects.
    :param granted: what the client may do, if somebody else has asked that.
    """
    if not is_below(incoming.path, mount):
        return None
    return viewer.handle(incoming, incoming.path[len(mount):], url_path(root + mount), granted)


class WSGIResponse:
    """A response that has yet to be sent."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def send(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        status = self._response.status
        start_response(f"{status} {HTTPStatus(status).phrase}", list(self._response.headers))
        return [self._response.body]


def serve_wsgi(
    viewer: Shows, incoming: Incoming, environ: dict[str, Any], mount: str
) -> WSGIResponse | None:
    """As :func:`serve`, ready for ``start_response``."""
    response = serve(viewer, incoming, mount, wsgi_text(environ.get("SCRIPT_NAME", "")))
    return None if response is None else WSGIResponse(response)


async def serve_asgi(
    viewer: Shows, incoming: Incoming, receive: Any, send: Any, mount: str
) -> bool:
    """As :func:`serve`, sent. False: nothing was, the app shall answer. Loads the viewer and reads in a thread."""
    root = incoming.native.get("root_path", "")
    response = await in_a_thread(lambda: serve(viewer, incoming, mount, root))
    if response is None:
        return False
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
    return True


async def in_a_thread(work: Callable[[], T]) -> T:
    """Runs ``work`` beside the loop: asyncio's or trio's (hypercorn has both); in it, if it is another one, or no
    thread is to be had (a loop that is being closed)."""
    import asyncio

    trio = sys.modules.get("trio")
    runs: Any = asyncio.to_thread
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            trio.lowlevel.current_task()  # type: ignore[union-attr]
            runs = trio.to_thread.run_sync  # type: ignore[union-attr]
        except (AttributeError, RuntimeError):
            return work()
    begun = False

    def run() -> T:
        nonlocal begun
        begun = True
        return work()

    try:
        return await runs(run)  # type: ignore[no-any-return]
    except RuntimeError:
        if begun:
            raise
        return work()


def wsgi_app(viewer: Shows) -> Callable[..., Iterable[bytes]]:
    """The viewer alone at the root, for ``slowlens serve``."""
    from ..request import wsgi_incoming

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = serve_wsgi(viewer, wsgi_incoming(environ), environ, "/")
        if response is None:
            response = WSGIResponse(Response(404, [("Content-Type", "text/plain")], b"not found\n"))
        return response.send(start_response)

    return app
