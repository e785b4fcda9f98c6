"""Programs whose calls are counted twice, by cProfile and by us."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import json
import re
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def recursion() -> None:
    fib(12)

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    even(41)


def generators() -> None:
    def count(n: int) -> Iterator[int]:
        yield from range(n)
        for i in range(n):  # noqa: UP028
            yield i

    def nested(n: int) -> Iterator[int]:
        yield from count(n)
        yield from (i * i for i in count(n))

    sum(nested(5))
    half = nested(5)
    next(half)
    half.close()
    thrown = count(3)
    next(thrown)
    with contextlib.suppress(KeyError):
        thrown.throw(KeyError("x"))
    never = count(3)
    del never
    sent = echo()
    next(sent)
    for i in range(4):
        sent.send(i)
    with contextlib.suppress(StopIteration):
        sent.send(None)


def echo() -> Any:
    value = yield
    while value is not None:
        value = yield value


def exceptions() -> None:
    def raiser(depth: int) -> None:
        if depth == 0:
            raise ValueError("bottom")
        try:
            raiser(depth - 1)
        finally:
            len("finally")

    for _ in range(3):
        try:
            raiser(5)
        except ValueError as error:
            str(error)
    with contextlib.suppress(RecursionError):
        endless()
    with contextlib.suppress(TypeError):
        len(5)  # type: ignore[arg-type]
    with contextlib.suppress(ZeroDivisionError):
        divmod(1, 0)
    with contextlib.suppress(TypeError):
        fib()  # type: ignore[call-arg]


def endless() -> None:
    if len("x"):
        limited(90)


def limited(n: int) -> None:
    if n == 0:
        raise RecursionError("as if")
    limited(n - 1)


def c_callbacks() -> None:
    sorted([3, 1, 2], key=lambda x: -x)
    list(map(fib, range(5)))
    max([1, 5, 3], key=lambda x: x)
    functools.reduce(lambda a, b: a + b, range(10))
    re.sub("a", lambda match: match.group(0).upper(), "banana")
    [].sort(key=fib)
    list(filter(None, [0, 1, 2]))


class Thing:
    made = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __len__(self) -> int:
        return self.value

    def __enter__(self) -> Thing:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    @property
    def twice(self) -> int:
        return self.value * 2

    @classmethod
    def make(cls) -> Thing:
        return cls(1)

    @staticmethod
    def help() -> int:
        return 1

    def __del__(self) -> None:
        type(self).made += 1


Point = namedtuple("Point", "x y")


@dataclass
class Pair:
    one: int
    two: int


def objects() -> None:
    things = {Thing(i) for i in range(10)}
    assert Thing(3) in things
    len(Thing(4))
    with Thing(1) as thing:
        thing.twice  # noqa: B018
        Thing.make()
        thing.help()
    Pair(1, 2) == Pair(1, 2)  # noqa: B015
    Point(1, 2)._replace(x=3)
    [Thing(i).value for i in range(4)]
    str(Pair(3, 4))
    "abc".upper().split("B")
    dict.fromkeys([1, 2])
    object.__new__(Thing)


def library() -> None:
    copy.deepcopy({i: [{"a": i, "b": (1, 2, 3)}] for i in range(20)})
    json.loads(json.dumps({"a": [1, 2.5, None, "x" * 10] * 5}, indent=1))
    re.findall(r"(\w+)-(\d+)", "alpha-1 beta-22 gamma-333 " * 3)


def coroutines() -> None:
    async def leaf(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def agen(n: int) -> Any:
        for i in range(n):
            yield await leaf(i)

    async def main() -> int:
        total = await leaf(3)
        async for i in agen(4):
            total += i
        return total

    # By hand: a loop of our own would run callbacks in an order of its own.
    coroutine = main()
    with contextlib.suppress(StopIteration):
        while True:
            coroutine.send(None)
    with contextlib.suppress(StopIteration, KeyError):
        thrown = main()
        thrown.send(None)
        thrown.throw(KeyError("x"))
    main().close()


def wrapped() -> None:
    @functools.lru_cache
    def cached(n: int) -> int:
        return fib(n)

    def logged(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs)
        return inner

    plain = logged(cached)
    for _ in range(3):
        plain(6)
    plain(n=7)
    functools.partial(plain, 5)()


PROGRAMS = [recursion, generators, exceptions, c_callbacks, objects, library, coroutines, wrapped]
