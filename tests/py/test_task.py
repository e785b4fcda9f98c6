"""Tasks: decorator and context manager, into the same store."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import slowlens
from slowlens.options import OptionsError
from slowlens.task import profile
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call
from programs import fib


def rows(one: profile) -> list[dict[str, Any]]:
    return Stored(one._recorder).rows()


def test_a_function(store_path: str) -> None:
    task = slowlens.profile("nightly", store=store_path)

    @task
    def job(n: int) -> int:
        """Does it."""
        return fib(n)

    assert job(7) == 13
    assert job.__doc__ == "Does it."
    (row,) = rows(task)
    assert (row["method"], row["path"], row["route"], row["kept"]) == ("TASK", "nightly", "nightly", "all")
    names = Stored(task._recorder).names(row["id"])
    assert "fib" in names and any(name.endswith("job") for name in names)


def test_without_parentheses(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOWLENS_STORE", store_path)
    monkeypatch.setattr("slowlens.task._recorders", {})

    @slowlens.profile
    def job() -> int:
        return fib(3)

    assert job() == 2
    assert rows(profile())[0]["path"].endswith("test_without_parentheses.<locals>.job")


def test_a_coroutine_function(store_path: str) -> None:
    task = profile(store=store_path)

    @task
    async def job(n: int) -> int:
        await asyncio.sleep(0.01)
        return fib(n)

    async def main() -> list[int]:
        return await asyncio.gather(*(job(n) for n in range(5)))

    assert asyncio.run(main()) == [0, 1, 1, 2, 3]
    found = rows(task)
    assert len(found) == 5 and all(row["await_ns"] > 8e6 for row in found)


def test_a_block_and_its_exception(store_path: str) -> None:
    with pytest.raises(KeyError), profile("block", store=store_path) as task:
        fib(4)
        raise KeyError
    (row,) = rows(task)
    assert (row["path"], row["status"]) == ("block", 500)
    with task, pytest.raises(RuntimeError, match="running already"), task:
        pass


def test_many_at_once(store_path: str) -> None:
    task = profile("many", store=store_path)
    job = task(lambda n: fib(n))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(job, [8] * 40))
    stored = Stored(task._recorder)
    found = stored.rows(limit=100)
    assert len(found) == 40
    for row in found:
        report = json.loads(stored.blob(row["id"]).functions())["rows"]
        assert next(one["calls"] for one in report if one["function"]["name"] == "fib") == 67


def test_inside_a_request_it_adds_nothing(store_path: str) -> None:
    task = profile("inner", store=store_path)

    @task
    def job() -> int:
        return fib(5)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        job()
        start_response("200 OK", [])
        return [b""]

    middleware = ProfilerMiddleware(app, store=store_path, debug=True)
    wsgi_call(middleware, "/x")
    stored = Stored(middleware.recorder)
    (row,) = stored.rows()
    assert row["path"] == "/x" and "fib" in stored.names(row["id"])


def test_what_cannot_work_says_so(store_path: str) -> None:
    with pytest.raises(TypeError, match="not generators"):
        @profile("g", store=store_path)
        def generator() -> Any:
            yield 1

    async def block() -> None:
        async with profile("b", store=store_path):
            pass

    with pytest.raises(TypeError, match="decorate the coroutine function"):
        asyncio.run(block())
    with pytest.raises(OptionsError, match="unknown option"):
        profile("x", slow=1)
