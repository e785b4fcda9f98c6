"""The Django middleware: sync and async from one class, streams untouched."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.http import FileResponse, HttpResponse

from .. import _core
from ..asgi import SCOPE_KEY
from ..options import OptionsError, disabled
from ..recorder import Recorder, Transaction
from ..request import Incoming, wsgi_incoming
from ..viewer.mount import Response, is_below, serve
from ..wsgi import ENVIRON_KEY, Body

__all__ = ["ProfilerMiddleware", "make_recorder", "settings_options"]

_recorder: Recorder | None = None


def settings_options() -> Mapping[str, Any]:
    """``settings.SLOWLENS``, checked to be a dict."""
    options = getattr(settings, "SLOWLENS", None) or {}
    if not isinstance(options, Mapping):
        raise OptionsError("slowlens: settings.SLOWLENS must be a dict")
    return options


def make_recorder() -> Recorder:
    """The one recorder of this process: middleware and mounted viewer share it."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder(
            {}, settings_options(), framework="Django " + django.get_version(),
            debug=lambda: bool(settings.DEBUG), where="settings.SLOWLENS",
        )
        _recorder.access.asks_later = True  # the request has no user before the project's middleware ran
        for module in (getattr(settings, "SETTINGS_MODULE", None), getattr(settings, "ROOT_URLCONF", None)):
            if isinstance(module, str):
                _recorder.owns(module=module)
    return _recorder


def incoming_of(request: Any) -> Incoming:
    """The request as the policy sees it, with the HttpRequest as its ``native``."""
    incoming = wsgi_incoming(request.META)  # Django fills META under ASGI too
    incoming.secure = request.scheme == "https"
    scope = getattr(request, "scope", None)
    if scope is not None:
        incoming.version = scope.get("http_version", "")
    incoming.path = request.path_info
    incoming.native = request
    return incoming


def to_django(response: Response) -> HttpResponse:
    """A viewer response as Django's."""
    result = HttpResponse(response.body, status=response.status)
    for name, value in response.headers:
        result.headers[name] = value
    return result


class ProfilerMiddleware:
    """Profiles everything below it, ``get_response``, and serves the viewer. Django makes it: ``MIDDLEWARE`` names it,
    the setting ``SLOWLENS`` has its options.

    :raises ImproperlyConfigured: a wrong option.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        if disabled():
            raise MiddlewareNotUsed("SLOWLENS_DISABLE is set")
        try:
            self.recorder = make_recorder()
        except OptionsError as error:
            raise ImproperlyConfigured(str(error)) from None
        self.get_response = get_response
        self._viewer_path = self.recorder.options.viewer_path
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        outer = self._outer(request)
        if outer is not None:
            # A WSGI or ASGI middleware of ours outside profiles or counts already: tell it the route.
            if self._async:
                return self._note_async(request, outer)
            response = self.get_response(request)
            _note(request, outer)
            return response
        incoming = self.recorder.read(incoming_of, request)
        if incoming is None:
            return self.get_response(request)
        if is_below(incoming.path, self._viewer_path):
            return self._show_async(request, incoming) if self._async else self._show(request, incoming)
        if self._async and incoming.asks and self.recorder.access.takes_long():
            return self._look_ahead(request, incoming)
        return self._go(request, incoming)

    async def _look_ahead(self, request: Any, incoming: Incoming) -> Any:
        await asyncio.to_thread(self.recorder.policy.look_ahead, incoming)
        return await self._go(request, incoming)

    def _go(self, request: Any, incoming: Incoming) -> Any:
        transaction = self.recorder.begin(incoming, follows=self._async)
        if transaction is None:
            tally = self.recorder.tally(incoming.method, incoming.path)
            if tally is None:
                return self.get_response(request)
            return self._count_async(request, tally) if self._async else self._count(request, tally)
        if self._async:
            return self._run_async(request, transaction)
        return self._run(request, transaction)

    @staticmethod
    def _outer(request: Any) -> Transaction | _core.Tally | None:
        scope = getattr(request, "scope", None) or {}
        if ENVIRON_KEY not in request.META and SCOPE_KEY not in scope:
            return None
        found = request.META.get(ENVIRON_KEY) or scope.get(SCOPE_KEY)
        if found is None:  # it was not selected there
            return _core.tally()
        return found if isinstance(found, Transaction) and not found.done else None

    # The viewer. Whom this machine or a link lets in is answered at once. Whom only ``authorize`` could let in, the
    # project answers first, as it answers everybody: then its middleware has run and there are a user and a session
    # to look at, and a stranger has the project's own answer already. No body is read.

    def _show(self, request: Any, incoming: Incoming) -> Any:
        served = serve(self.recorder, incoming, self._viewer_path, script_name(request))
        if served is not None:
            return to_django(served)
        response = self.get_response(request)
        if not self.recorder.access.has_authorize:
            return response
        return self._shown_instead(request, incoming, response)

    async def _show_async(self, request: Any, incoming: Incoming) -> Any:
        served = await asyncio.to_thread(  # where the viewer is loaded, too
            lambda: serve(self.recorder, incoming, self._viewer_path, script_name(request)))
        if served is not None:
            return to_django(served)
        response = await self.get_response(request)
        if not self.recorder.access.has_authorize:
            return response
        return await sync_to_async(self._shown_instead)(request, incoming, response)

    def _shown_instead(self, request: Any, incoming: Incoming, response: Any) -> Any:
        granted = self.recorder.access.authorized(request)
        if "view" not in granted:
            return response
        served = serve(self.recorder, incoming, self._viewer_path, script_name(request), granted)
        if served is None:
            return response
        shown = to_django(served)
        shown._resource_closers += getattr(response, "_resource_closers", [])  # files, bodies: nobody else closes them
        return shown

    async def _note_async(self, request: Any, outer: Transaction | _core.Tally) -> Any:
        response = await self.get_response(request)
        _note(request, outer)
        return response

    def _count(self, request: Any, tally: _core.Tally) -> Any:
        tally.enter()
        try:
            response = self.get_response(request)
        except BaseException:
            tally.finish(0, 0, True)
            raise
        return self._counted(request, response, tally)

    async def _count_async(self, request: Any, tally: _core.Tally) -> Any:
        tally.enter()
        try:
            response = await self.get_response(request)
        except BaseException:
            tally.finish(0, 0, True)
            raise
        return self._counted(request, response, tally)

    def _counted(self, request: Any, response: Any, tally: _core.Tally) -> Any:
        """Now, or when a streamed body was closed."""
        _note(request, tally)
        if getattr(response, "streaming", False) and not isinstance(response, FileResponse):
            response._resource_closers.append(partial(tally.finish, response.status_code))
        else:
            size = 0 if getattr(response, "streaming", False) else len(response.content)
            tally.finish(response.status_code, size)
        return response

    def _run(self, request: Any, transaction: Transaction) -> Any:
        recording = transaction.recording
        try:
            recording.enter()
        except Exception:
            transaction.abandon()
            return self.get_response(request)
        try:
            response = self.get_response(request)
        except BaseException:
            transaction.seen.error = True
            recording.leave()
            transaction.finish()
            raise
        recording.leave()
        return self._respond(request, response, transaction)

    async def _run_async(self, request: Any, transaction: Transaction) -> Any:
        try:
            response = await transaction.recording.step(self.get_response(request))
        except BaseException:
            transaction.seen.error = True
            transaction.finish()
            raise
        return self._respond(request, response, transaction)

    def _respond(self, request: Any, response: Any, transaction: Transaction) -> Any:
        """Finishes now, or when a streamed body ends."""
        _note(request, transaction)
        transaction.headers_sent(response.status_code)
        for name, value in transaction.more_headers(script_name(request)):
            own = response.headers.get(name) if name == "Server-Timing" else None
            response.headers[name] = f"{own}, {value}" if own else value
        if not getattr(response, "streaming", False):
            transaction.seen.bytes = len(response.content)
            transaction.finish()
        elif isinstance(response, FileResponse):
            transaction.finish()  # the server may send the file itself
        else:
            transaction.leave_context()
            if response.is_async:
                response.streaming_content = _stream_async(response.streaming_content, transaction)
            else:
                response.streaming_content = Body(response.streaming_content, transaction)
            # Django closes these with the response, also when the client went away.
            response._resource_closers.append(transaction.finish)
        return response


def script_name(request: Any) -> str:
    """What the server cut off before the project's own paths."""
    return str(request.path[:len(request.path) - len(request.path_info)])


def _note(request: Any, whose: Transaction | _core.Tally) -> None:
    match = getattr(request, "resolver_match", None)
    route = "" if match is None else route_text(match.route or "")
    if isinstance(whose, _core.Tally):
        whose.note_route(route)
    elif not whose.done:
        whose.seen.note_route(route)
        whose.seen.framework = _FRAMEWORK


_FRAMEWORK = "Django " + django.get_version()


def route_text(route: str) -> str:
    """A route as it is written, from the slash on; of regular expressions without what only anchors them."""
    if "^" in route or "$" in route or "\\" in route:
        route = re.sub(r"(?<![\[\\])\^|\\[AZ]|(?<!\\)\$(?=\Z|\^)", "", route)
    return "/" + route.lstrip("/")


async def _stream_async(chunks: AsyncIterator[bytes], transaction: Transaction) -> AsyncIterator[bytes]:
    iterator = aiter(chunks)
    while True:
        step: Any = anext(iterator)
        try:
            chunk = await (step if transaction.done else transaction.recording.step(step))
        except StopAsyncIteration:
            transaction.body_sent()
            return
        except BaseException:
            transaction.seen.error = True
            raise
        transaction.seen.bytes += len(chunk)
        yield chunk
