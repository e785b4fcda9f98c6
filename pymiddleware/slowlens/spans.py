"""A piece of work that the application names: what a profile shows beside its queries and calls of services.

    with slowlens.span("charge card", kind="payment", amount=3):
        ...

    async with slowlens.span("wait for stock"):
        ...

    @slowlens.span("price list")
    def prices(): ...

In both modes, and wherever the work of a request runs: in its tasks, executor jobs and greenlets. Where no request is
being profiled it does nothing. What is given as detail is stored: no secrets there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from . import _core

__all__ = ["span"]

_F = TypeVar("_F", bound=Callable[..., Any])


class span(_core.Span):
    """A context manager, also of ``async with``, and a decorator of functions, coroutine functions and generators.

    :param name: what it is called; spans of one name, kind and place are counted together.
    :param kind: what kind of work it is: a word of slowlens/span.h ("db", "http", "cache", "template", "task", "file",
        "process", "rpc") or one of your own.
    :param detail: kept of the first spans of a row, as text.
    :raises TypeError: the name or kind is no str.
    """

    def __init__(self, name: str, kind: str | None = None, **detail: Any) -> None:
        super().__init__(name, kind, detail)
        self._given = (name, kind, detail)

    def _one(self) -> _core.Span:
        """One of its own for each call: calls of one function may overlap."""
        return _core.Span(*self._given)

    def __call__(self, function: _F) -> _F:
        """``function``, each call of which is such a span."""
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if inspect.iscoroutinefunction(function):
            run: Callable[..., Any] = self._coroutine(function)
        elif inspect.isasyncgenfunction(function):
            run = self._async_generator(function)
        elif inspect.isgeneratorfunction(function):
            run = self._generator(function)
        else:
            def run(*args: Any, **kwargs: Any) -> Any:
                with self._one():
                    return function(*args, **kwargs)
        return functools.update_wrapper(run, function)  # type: ignore[return-value]

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            with self._one():
                return await function(*args, **kwargs)
        return run

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with self._one():
                return (yield from function(*args, **kwargs))
        return run

    def _async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = function(*args, **kwargs)
            call: Callable[..., Any] = inner.asend
            arguments: tuple[Any, ...] = (None,)
            with self._one():
                while True:
                    try:
                        value = await call(*arguments)
                    except StopAsyncIteration:
                        return
                    try:
                        call, arguments = inner.asend, ((yield value),)
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as error:
                        call, arguments = inner.athrow, (error,)
        return run
