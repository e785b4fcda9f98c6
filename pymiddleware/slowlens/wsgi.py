"""WSGI (PEP 3333): Flask, Werkzeug, Pyramid, Bottle, or your own.

    application = ProfilerMiddleware(application)

Put it outermost (but inside ``ProxyFix`` and the like, when the client's
address decides who may open the viewer). Responses are never buffered or
changed: chunks, headers, ``write`` and ``wsgi.file_wrapper`` pass through, and
``close`` is called once, as the server calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .recorder import Recorder, Recording
from .request import wsgi_incoming
from .viewer.mount import serve_wsgi

__all__ = ["ENVIRON_KEY", "Body", "ProfilerMiddleware"]

#: Where the recording of a request is found in its environ; inner middlewares see it and pass.
ENVIRON_KEY = "slowlens.recording"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class ProfilerMiddleware:
    """Profiles ``app``. Options: see :mod:`slowlens.options`.

    :raises OptionsError: a wrong option.
    """

    def __init__(self, app: WSGIApp, *, recorder: Recorder | None = None, **options: Any) -> None:
        self.app = app
        self.recorder = recorder if recorder is not None else Recorder(options, framework="WSGI")
        self._viewer_path = self.recorder.options.viewer_path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        recorder = self.recorder
        if not recorder.enabled or ENVIRON_KEY in environ:
            return self.app(environ, start_response)
        incoming = recorder.read(wsgi_incoming, environ)
        if incoming is None:
            return self.app(environ, start_response)
        if incoming.path.startswith(self._viewer_path[:-1]):
            response = serve_wsgi(recorder.viewer, incoming, environ, self._viewer_path)
            if response is not None:
                return response.send(start_response)
            return self.app(environ, start_response)
        recording = recorder.begin(incoming)
        if recording is None:
            return self.app(environ, start_response)
        return run(self.app, environ, start_response, recording)


def run(
    app: WSGIApp, environ: Environ, start_response: StartResponse, recording: Recording
) -> Iterable[bytes]:
    """Runs ``app`` inside the recording, which is finished when the response is."""
    environ[ENVIRON_KEY] = recording
    profile, seen = recording.profile, recording.seen

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        write = start_response(status, headers, *exc_info)
        recording.headers_sent(int(status[:3]) if status[:3].isdigit() else 0)
        return write

    try:
        profile.enter()
    except Exception:
        recording.abandon()
        return app(environ, start_response)
    try:
        result = app(environ, start)
    except BaseException:
        seen.error = True
        profile.leave()
        recording.finish()
        raise
    profile.leave()
    if isinstance(result, (list, tuple)):
        seen.bytes = sum(map(len, result))
        if not hasattr(result, "close"):
            recording.finish()
            return result
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(result, wrapper):
        recording.finish()  # the server sends the file itself, and must see that it may
        return result
    recording.leave_context()
    return Body(result, recording)


class Body:
    """The app's iterable, each of its steps inside the recording; closing it finishes that."""

    __slots__ = ("_closed", "_iterable", "_iterator", "_recording")

    def __init__(self, iterable: Iterable[bytes], recording: Recording) -> None:
        self._iterable = iterable
        self._iterator: Iterator[bytes] | None = None
        self._recording = recording
        self._closed = False

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        recording = self._recording
        profile = recording.profile
        inside = _enter(recording)
        try:
            if self._iterator is None:
                self._iterator = iter(self._iterable)
            chunk = next(self._iterator)
        except StopIteration:
            recording.body_sent()
            raise
        except BaseException:
            recording.seen.error = True
            raise
        finally:
            if inside:
                profile.leave()
        recording.seen.bytes += len(chunk)
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        recording = self._recording
        inside = _enter(recording)
        try:
            close = getattr(self._iterable, "close", None)
            if close is not None:
                close()
        except BaseException:
            recording.seen.error = True
            raise
        finally:
            if inside:
                recording.profile.leave()
            recording.finish()

    def __del__(self) -> None:
        # A server that never closes: the app's close stays uncalled, as it would without us.
        self._recording.finish()


def _enter(recording: Recording) -> bool:
    """Enters, if that is still possible: a fault of ours must not stop the body."""
    if recording.done:
        return False
    try:
        recording.profile.enter()
    except RuntimeError:
        return False
    return True
