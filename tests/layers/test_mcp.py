"""slowlens mcp, asked by the official SDK's client over stdio."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from slowlens.insight.explain import tokens
from slowlens.wsgi import ProfilerMiddleware

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/page", "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
           "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http"}


def stored(folder: str) -> None:
    def price(number: int) -> int:
        return sum(range(number))

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(300):
            price(1000)
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=folder, mode="deterministic", keep="all", debug=True,
                                    project=(str(Path(__file__).parent),))
    for _ in range(3):
        list(middleware(dict(ENVIRON), lambda *_: None))
    middleware.recorder.writer.flush()


async def ask(folder: str, *calls: tuple[str, dict[str, Any]]) -> tuple[Any, list[tuple[bool, str]]]:
    server = StdioServerParameters(command=sys.executable, args=["-m", "slowlens", "mcp", "--store", folder],
                                   env={"PYTHONPATH": ":".join(filter(None, sys.path))}, cwd=folder)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        answers = []
        for name, arguments in calls:
            result = await session.call_tool(name, arguments)
            answers.append((bool(result.is_error), "".join(one.text for one in result.content)))  # type: ignore
        return tools, answers


def test_the_tools_answer_within_their_budget_and_refuse_clearly(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    stored(folder)
    tools, answers = asyncio.run(ask(
        folder, ("list", {"by": "routes"}), ("list", {"by": "slowest", "limit": 2}), ("explain", {"budget": 150}),
        ("explain", {"what": "/none"}), ("explain", {"what": "--help"}), ("compare", {"route": "/page"}),
        ("regressions", {}), ("check", {})))
    assert {tool.name for tool in tools} == {"list", "explain", "compare", "regressions", "check"}
    assert all(tool.description and tool.input_schema["properties"]["budget"]["description"] for tool in tools)
    (_, routes), (_, slowest), (failed, why), none, option, compared, since, budgets = answers
    assert "GET /page" in routes and slowest.count("GET /page") == 2
    assert not failed and "test_mcp.py:" in why and tokens(why) <= 150
    for refused, text in (none, option, budgets):
        assert refused and "slowlens: " in text and "Traceback" not in text and len(text.splitlines()) == 1
    assert not compared[0] and "/page" in compared[1] and not since[0]
