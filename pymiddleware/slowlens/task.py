"""Profiles what is not a request: a Celery or RQ task, a command, a test.

    @slowlens.profile
    def nightly(): ...

    @slowlens.profile("import prices", slow_ms=1000)
    async def import_prices(): ...

    with slowlens.profile("one step"):
        ...

Into the same store as requests, as method ``TASK``. Inside a request that is
being profiled already, nothing is added: its tree holds the work anyway.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .recorder import Recorder, Transaction, current
from .request import Incoming

__all__ = ["profile"]

_F = TypeVar("_F", bound=Callable[..., Any])
_recorders: dict[tuple[tuple[str, Any], ...], Recorder] = {}


def _recorder(options: dict[str, Any]) -> Recorder:
    """One for each set of options: it owns a writer thread."""
    key = tuple(sorted(options.items(), key=lambda item: item[0]))
    found = _recorders.get(key)
    if found is None:
        found = _recorders[key] = Recorder({"keep": "all", "mode": "deterministic", **options}, framework="task")
    return found


class profile:
    """A decorator (sync and async functions) and a context manager.

    :param name: what the profile is called; default the function's name.
    :param options: as for the middlewares; unless given, ``keep`` is "all" and ``mode`` "deterministic".
    :raises OptionsError: a wrong option.
    """

    def __new__(cls, name: Any = None, **options: Any) -> Any:
        if callable(name):  # @profile without parentheses
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

    def __call__(self, function: _F) -> _F:
        name = self._name or function.__qualname__
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                transaction = self._begin(name, True)
                if transaction is None:
                    return await function(*args, **kwargs)
                try:
                    return await transaction.recording.step(function(*args, **kwargs))
                except BaseException:
                    transaction.seen.error = True
                    raise
                finally:
                    transaction.finish()
            return run_async  # type: ignore[return-value]

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("slowlens.profile takes functions and coroutine functions, not generators")

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with _Run(self, name):
                return function(*args, **kwargs)
        return run  # type: ignore[return-value]

    def __enter__(self) -> profile:
        if self._running is not None:
            raise RuntimeError("this profile is running already")
        self._running = _Run(self, self._name or "task")
        self._running.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(kind, error, traceback)

    async def __aenter__(self) -> Any:
        raise TypeError("decorate the coroutine function instead: its awaits are told apart then")

    async def __aexit__(self, *error: Any) -> None:
        """Never reached."""

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until what has finished is stored. False: not in time."""
        return self._recorder.writer.flush(timeout)

    @property
    def store(self) -> Any:
        """Where the profiles go."""
        return self._recorder.store


class _Run:
    """One run of a task: a decorator may run in several threads at once."""

    def __init__(self, owner: profile, name: str) -> None:
        self._transaction = owner._begin(name, False)

    def __enter__(self) -> None:
        if self._transaction is not None:
            self._transaction.recording.enter()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._transaction is not None:
            self._transaction.recording.leave()
            self._transaction.seen.error = kind is not None
            self._transaction.finish()
