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

from . import _core
from .recorder import Recorder, Transaction
from .request import wsgi_incoming
from .routes import wsgi_route
from .routing import watch
from .viewer.mount import is_below, serve_wsgi

__all__ = ["ENVIRON_KEY", "Body", "ProfilerMiddleware"]

#: Where the transaction of a request is found in its environ; inner middlewares see it and pass.
ENVIRON_KEY = "slowlens.transaction"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class ProfilerMiddleware:
    """Profiles ``app`` and serves the viewer; to be called as any WSGI app.

    :param options: see the page *Options*.
    :param recorder: of another middleware of ours, to share its options, queue and store.
    :raises OptionsError: a wrong option.
    """

    def __init__(self, app: WSGIApp, *, recorder: Recorder | None = None, **options: Any) -> None:
        self.app = app
        self.recorder = recorder if recorder is not None else Recorder(options, framework="WSGI")
        self.recorder.owns(app)
        watch(app)
        self._viewer_path = self.recorder.options.viewer_path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return _core.wsgi_enter(self.recorder, self.app, environ, start_response, self)

    def look_closer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A request with a trigger, of the viewer, or of settings that ask about each."""
        recorder = self.recorder
        if not recorder.enabled or ENVIRON_KEY in environ:
            return self.app(environ, start_response)
        incoming = recorder.read(wsgi_incoming, environ)
        if incoming is None:
            return self.app(environ, start_response)
        if is_below(incoming.path, self._viewer_path):
            response = serve_wsgi(recorder, incoming, environ, self._viewer_path)
            if response is not None:
                return response.send(start_response)
            return self.app(environ, start_response)
        transaction = recorder.begin(incoming)
        if transaction is None:
            return self.pass_by(incoming.method, incoming.path, environ, start_response)
        return _core.wsgi_run(transaction, self.app, environ, start_response)

    def pass_by(
        self, method: str, path: str, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """A request that is not profiled: at most counted."""
        tally = self.recorder.tally(method, path)
        if tally is None:
            return self.app(environ, start_response)
        environ[ENVIRON_KEY] = None  # inner middlewares of ours pass
        return tally.run(self.app, environ, start_response, wsgi_route)


def _body(transaction: Transaction, result: Iterable[bytes], environ: Environ) -> Iterable[bytes]:
    """What the server gets where the app answered with more than a list or a tuple."""
    if _is_wrapped_file(result, environ.get("wsgi.file_wrapper")):
        transaction.finish()  # the server sends the file itself, and must see that it may
        return result
    transaction.leave_context()
    return SizedBody(result, transaction) if hasattr(result, "__len__") else Body(result, transaction)


def _is_wrapped_file(result: Any, wrapper: Any) -> bool:
    """Whether the app answered with what the server's own file wrapper gave it."""
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    # A function (uWSGI): what it gives is the file itself.
    return wrapper is not None and hasattr(result, "read") and hasattr(result, "fileno")


class Body:
    """The app's iterable, each of its steps inside the transaction; closing it finishes that."""

    __slots__ = ("_closed", "_iterable", "_iterator", "_transaction")

    def __init__(self, iterable: Iterable[bytes], transaction: Transaction) -> None:
        self._iterable = iterable
        self._iterator: Iterator[bytes] | None = None
        self._transaction = transaction
        self._closed = False

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        transaction = self._transaction
        recording = transaction.recording
        inside = _enter(transaction)
        try:
            if self._iterator is None:
                self._iterator = iter(self._iterable)
            chunk = next(self._iterator)
        except StopIteration:
            transaction.body_sent()
            raise
        except BaseException:
            transaction.seen.error = True
            raise
        finally:
            if inside:
                recording.leave()
        transaction.seen.bytes += len(chunk)
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        transaction = self._transaction
        inside = _enter(transaction)
        try:
            close = getattr(self._iterable, "close", None)
            if close is not None:
                close()
        except BaseException:
            transaction.seen.error = True
            raise
        finally:
            if inside:
                transaction.recording.leave()
            transaction.finish()

    def __del__(self) -> None:
        # A server that never closes: the app's close stays uncalled, as it would without us.
        self._transaction.finish()


class SizedBody(Body):
    """Of an iterable that knows its length: a server may make headers of it (PEP 3333)."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def _enter(transaction: Transaction) -> bool:
    """Enters, if that is still possible: a fault of ours must not stop the body."""
    if transaction.done:
        return False
    try:
        transaction.recording.enter()
    except RuntimeError:
        return False
    return True


_core.upcalls(wsgi_body=_body, wsgi_route=wsgi_route)
