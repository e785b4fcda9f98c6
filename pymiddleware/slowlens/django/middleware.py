"""The Django middleware: sync and async from one class, streams untouched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.http import FileResponse, HttpResponse

from ..asgi import SCOPE_KEY
from ..options import OptionsError, disabled
from ..recorder import Recorder, Transaction
from ..request import Incoming, wsgi_incoming
from ..viewer.mount import Response, serve
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
    return _recorder


def incoming_of(request: Any) -> Incoming:
    """The request as the policy sees it, with the HttpRequest as its ``native``."""
    incoming = wsgi_incoming(request.META)  # Django fills META under ASGI too
    incoming.secure = request.scheme == "https"
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
    """Profiles everything below it. See the package's documentation."""

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
        transaction = self._outer(request)
        if transaction is not None:
            # A WSGI or ASGI middleware of ours outside profiles already: tell it the route.
            if self._async:
                return self._note_async(request, transaction)
            response = self.get_response(request)
            _note(request, transaction)
            return response
        incoming = self.recorder.read(incoming_of, request)
        if incoming is None:
            return self.get_response(request)
        if incoming.path.startswith(self._viewer_path[:-1]):
            served = serve(self.recorder.viewer, incoming, request.body, self._viewer_path)
            if served is not None:
                return self._ready(to_django(served)) if self._async else to_django(served)
            return self.get_response(request)
        transaction = self.recorder.begin(incoming, follows=self._async)
        if transaction is None:
            return self.get_response(request)
        if self._async:
            return self._run_async(request, transaction)
        return self._run(request, transaction)

    @staticmethod
    def _outer(request: Any) -> Transaction | None:
        found = request.META.get(ENVIRON_KEY)
        if found is None:
            found = (getattr(request, "scope", None) or {}).get(SCOPE_KEY)
        return found if isinstance(found, Transaction) and not found.done else None

    @staticmethod
    async def _ready(response: HttpResponse) -> HttpResponse:
        return response

    async def _note_async(self, request: Any, transaction: Transaction) -> Any:
        response = await self.get_response(request)
        _note(request, transaction)
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


def _note(request: Any, transaction: Transaction) -> None:
    match = getattr(request, "resolver_match", None)
    if match is not None and not transaction.done:
        transaction.seen.route = "/" + (match.route or "").lstrip("^/")
        transaction.seen.framework = "Django " + django.get_version()


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
