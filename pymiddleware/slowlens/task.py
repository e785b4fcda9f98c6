"""Profiles what is not a request: a Celery or RQ task, a command, a test.

    @slowlens.profile
    def nightly(): ...

    @slowlens.profile("import prices", slow_ms=1000)
    async def import_prices(): ...

    with slowlens.profile("one step"):
        ...

Into the same store as requests, as method ``TASK``. Inside a request that is
being profiled already it is a span of that: its tree holds the work anyway.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from . import _core
from .recorder import Recorder, Transaction, current
from .request import Incoming
from .spans import span

__all__ = ["profile"]

_F = TypeVar("_F", bound=Callable[..., Any])
_recorders: dict[tuple[tuple[str, Any], ...], Recorder] = {}


def _hashable(value: Any) -> Any:
    """The same as a key: options may be lists."""
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _recorder(options: dict[str, Any]) -> Recorder:
    """One for each set of options: it owns a writer thread."""
    key = tuple((name, _hashable(options[name])) for name in sorted(options))
    found = _recorders.get(key)
    if found is None:
        found = _recorders[key] = Recorder({"keep": "all", "mode": "deterministic", **options}, framework="task")
    return found


def _callee(function: Any) -> Any:
    """The function that runs in the end: of a partial, a bound method, an instance with ``__call__``."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function):
            return function
        else:
            function = type(function).__call__


def _name(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _named(of: profile, name: str) -> profile:
    """The same with a name of its own."""
    named = copy.copy(of)
    named._name = name
    return named


class profile:
    """A decorator (of whatever can be called) and a context manager.

    :param name: what the profile is called; default the function's name.
    :param options: as for the middlewares; unless given, ``keep`` is "all" and ``mode`` "deterministic".
    :raises OptionsError: a wrong option.
    """

    def __new__(cls, name: Any = None, **options: Any) -> Any:
        if name is not None and not isinstance(name, str):  # @profile without parentheses
            return cls(None, **options)(name)
        return super().__new__(cls)

    def __init__(self, name: str | None = None, **options: Any) -> None:
        self._name = name
        self._recorder = _recorder(options)
        self._running: _Run | None = None

    def _begin(self, name: str, follows: bool) -> Transaction | None:
        if current() is not None:
            return None
        incoming = Incoming("TASK", name, "", "", "", False, {}, None, False)
        transaction = self._recorder.begin(incoming, follows)
        if transaction is not None:
            transaction.seen.route = name
        return transaction

    def run(self, name: str) -> _Run:
        """One run of something called ``name``, as a context manager of its own."""
        return _Run(self, name)

    def __call__(self, function: _F) -> _F:
        """``function`` profiled: a function, method, partial or other callable, also one that makes a generator, a
        coroutine or an asynchronous generator; what a class makes a method or attribute of (``classmethod``,
        ``partialmethod``, ``property``...); a class with ``__call__`` (the calls of its instances are profiled).

        :raises TypeError: nothing of these.
        """
        of_class = self._of_class(function)
        if of_class is not None:
            return of_class  # type: ignore[no-any-return]
        if isinstance(function, type):
            return self._class(function)  # type: ignore[no-any-return]
        if not callable(function):
            raise TypeError(f"slowlens.profile takes callables, not {type(function).__name__}")
        name = self._name or _name(function)
        inner = _callee(function)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner):
            run = self._coroutine(function, name)
        elif inspect.isasyncgenfunction(inner):
            run = self._async_generator(function, name)
        elif inspect.isgeneratorfunction(inner):
            run = self._generator(function, name)
        else:
            def run(*args: Any, **kwargs: Any) -> Any:
                with _Run(self, name):
                    return function(*args, **kwargs)
        for method in ("cache_info", "cache_clear", "cache_parameters"):  # of functools.cache's type
            if hasattr(function, method):
                setattr(run, method, getattr(function, method))
        return functools.update_wrapper(run, function)  # type: ignore[return-value]

    def _of_class(self, function: Any) -> Any:
        """The same of what only a class makes callable; None: it is none of these."""
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if isinstance(function, functools.partialmethod):
            return type(function)(self(function.func), *function.args, **function.keywords)
        if isinstance(function, functools.cached_property):
            return type(function)(self(function.func))
        if isinstance(function, property) and function.fget is not None:
            return function.getter(self(function.fget))
        return None

    def _class(self, of: Any) -> Any:
        if "__call__" not in vars(of):
            raise TypeError(f"slowlens.profile takes callables; {of.__name__} defines no __call__")
        named = self if self._name else _named(self, of.__qualname__)
        setattr(of, "__call__", named(vars(of)["__call__"]))  # noqa: B010
        return of

    def _coroutine(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            transaction = self._begin(name, True)
            if transaction is None:
                async with span(name, kind="profile"):
                    return await function(*args, **kwargs)
            try:
                return await transaction.recording.step(function(*args, **kwargs))
            except BaseException:
                transaction.seen.error = True
                raise
            finally:
                transaction.finish()
        return run

    def _generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            transaction = self._begin(name, False)
            inner = function(*args, **kwargs)
            if transaction is None:
                return (yield from inner)
            transaction.leave_context()
            call: Callable[..., Any] = inner.send
            arguments: tuple[Any, ...] = (None,)
            try:
                while True:
                    try:
                        value = self._within(transaction, call, arguments)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        call, arguments = inner.send, ((yield value),)
                    except GeneratorExit:
                        self._within(transaction, inner.close, ())
                        raise
                    except BaseException as error:
                        call, arguments = inner.throw, (error,)
            except GeneratorExit:
                raise
            except BaseException:
                transaction.seen.error = True
                raise
            finally:
                transaction.finish()
        return run

    @staticmethod
    def _within(transaction: Transaction, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        transaction.recording.enter()
        try:
            return call(*arguments)
        finally:
            transaction.recording.leave()

    def _async_generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            transaction = self._begin(name, True)
            inner = function(*args, **kwargs)
            step: Callable[[Any], Any] = _core.step if transaction is None else transaction.recording.step
            call: Callable[..., Any] = inner.asend
            arguments: tuple[Any, ...] = (None,)
            try:
                while True:
                    try:
                        value = await step(call(*arguments))
                    except StopAsyncIteration:
                        return
                    try:
                        call, arguments = inner.asend, ((yield value),)
                    except GeneratorExit:
                        await step(inner.aclose())
                        raise
                    except BaseException as error:
                        call, arguments = inner.athrow, (error,)
            except GeneratorExit:
                raise
            except BaseException:
                if transaction is not None:
                    transaction.seen.error = True
                raise
            finally:
                if transaction is not None:
                    transaction.finish()
        return run

    def __enter__(self) -> profile:
        if self._running is not None:
            raise RuntimeError("this profile is running already")
        self._running = _Run(self, self._name or "task", block=True)
        self._running.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(kind, error, traceback)

    async def __aenter__(self) -> profile:
        if current() is None:  # nobody could tell its awaits from its work
            raise TypeError("decorate the coroutine function instead: its awaits are told apart then")
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.__exit__(kind, error, traceback)

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until what has finished is stored, ``timeout`` seconds at most. False: not in time."""
        return self._recorder.writer.flush(timeout)

    @property
    def store(self) -> Any:
        """Where the profiles go."""
        return self._recorder.store


class _Run:
    """One run of a task: a decorator may run in several threads at once."""

    def __init__(self, owner: profile, name: str, block: bool = False) -> None:
        #: Whether what is to be seen is the calling function's own, from here on.
        self._block = block
        self._transaction = owner._begin(name, False)
        #: Within a request: a piece of that.
        self._span = span(name, kind="profile") if self._transaction is None else None

    def __enter__(self) -> None:
        if self._transaction is not None:
            if self._block:
                self._transaction.recording.enter_block()
            else:
                self._transaction.recording.enter()
        elif self._span is not None:
            self._span.__enter__()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._span is not None:
            self._span.__exit__(kind, error, traceback)
        if self._transaction is not None:
            self._transaction.recording.leave()
            self._transaction.seen.error = kind is not None
            self._transaction.finish()
