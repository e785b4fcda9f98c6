"""asyncio's call graph (3.14+), and what walks ``cr_await`` as it does, see a profiled request like a plain one."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from slowlens.asgi import ProfilerMiddleware

from conftest import loops


async def database(until: asyncio.Event) -> None:
    await until.wait()


async def child(until: asyncio.Event) -> None:
    await database(until)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/child":
        async with asyncio.TaskGroup() as group:
            group.create_task(child(scope["until"]), name="the child")
    else:
        await database(scope["until"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def call_stack(task: asyncio.Task[Any]) -> list[str]:
    """Names from the outermost to the innermost."""
    if hasattr(asyncio, "capture_call_graph"):
        graph = asyncio.capture_call_graph(task)
        return [entry.frame.f_code.co_name for entry in reversed(graph.call_stack)]
    names, at = [], task.get_coro()
    while hasattr(at, "cr_await"):
        if at.cr_frame is not None:
            names.append(at.cr_frame.f_code.co_name)
        at = at.cr_await
    return names


async def seen(application: Any, path: str) -> tuple[list[str], list[str], str]:
    """The request's stack, its child's, and what asyncio prints of the child; all while they wait."""
    until = asyncio.Event()
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "scheme": "http",
             "client": ("127.0.0.1", 1), "until": until}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    request = asyncio.create_task(application(scope, receive, send), name="the request")
    for _ in range(10):  # all of it waits by then
        await asyncio.sleep(0)
    children = [task for task in asyncio.all_tasks() if task.get_name() == "the child"]
    printed = io.StringIO()
    if hasattr(asyncio, "print_call_graph"):
        asyncio.print_call_graph(children[0] if children else request, file=printed)
    found = call_stack(request), call_stack(children[0]) if children else [], printed.getvalue()
    until.set()
    await request
    return found


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)
@pytest.mark.parametrize("path", ["/", "/child"])
def test_the_call_graph_of_a_profiled_request_is_whole(store_path: str, path: str, loop: Any, mode: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, keep="all", mode=mode, log=False)
    with asyncio.Runner(loop_factory=loop) as runner:
        plain, plain_child, plain_text = runner.run(seen(app, path))
        found, found_child, text = runner.run(seen(middleware, path))
    assert plain[0] == "app"
    assert found[-len(plain):] == plain  # below what is ours
    assert found_child == plain_child
    assert not plain_child or plain_child[-2:] == ["database", "wait"]
    for line in plain_text.splitlines():
        if "Task" not in line and "at " in line:  # addresses of tasks differ
            assert line.strip() in text
