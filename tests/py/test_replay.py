"""slowlens replay and slowlens skill."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from slowlens.cli import _parser, main
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def app(store_path: str) -> Iterator[tuple[str, ProfilerMiddleware, list[dict[str, Any]]]]:
    """A page that a server serves, of which every other request calls once more; and what it was asked."""
    asked: list[dict[str, Any]] = []

    def once() -> None:
        pass

    def page(environ: Any, start_response: Any) -> list[bytes]:
        asked.append(environ)
        for _ in range(5 + len(asked) % 2):
            once()
        start_response("500 Oh" if environ["PATH_INFO"] == "/bad" else "200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(page, store=store_path, debug=True, keep="all", mode="sampling")
    server = make_server("127.0.0.1", 0, middleware, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", middleware, asked
    server.shutdown()
    thread.join()
    server.server_close()


def first(middleware: ProfilerMiddleware, path: str, method: str = "GET") -> str:
    wsgi_call(middleware, path, method=method)
    return str(Stored(middleware.recorder).rows()[0]["id"])


def test_the_same_page_again(app: Any, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    url, middleware, asked = app
    profile_id = first(middleware, "/books/ä 1/".encode().decode("latin-1"))  # as servers give it
    assert main(["--store", store_path, "replay", profile_id, "-n", "6", "--url", url, "--json", "--query", "page=2",
                 "--header", "Cookie: a=b"]) == 0
    found = json.loads(capsys.readouterr().out)
    (side,) = found["sides"]
    assert side["statuses"] == {"200": 6} and side["profiled"] == 6 and len(set(side["ids"])) == 6
    # At least: what a library does for the first time may be in one of them.
    assert side["counts"]["calls"]["max"] > side["counts"]["calls"]["min"], "every other one calls once more"
    assert 0 < side["min_ms"] <= side["median_ms"] <= side["max_ms"]
    sent = asked[-1]
    assert sent["PATH_INFO"].encode("latin-1").decode() == "/books/ä 1/" and sent["QUERY_STRING"] == "page=2"
    assert sent["HTTP_COOKIE"] == "a=b" and sent["HTTP_X_SLOWLENS"] == "deterministic"


def test_two_deployments_and_what_failed(app: Any, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    url, middleware, asked = app
    profile_id = first(middleware, "/")
    assert main(["--store", store_path, "replay", profile_id, "-n", "2", "--url", url, "--against", url]) == 0
    text = capsys.readouterr().out
    assert re.search(r"median: \d+\.\d -> \d+\.\d ms", text) and "Python calls: " in text
    bad = first(middleware, "/bad")
    assert main(["--store", store_path, "replay", bad, "-n", "1", "--url", url, "--query", "\u00fc=%41"]) == 1
    assert "it was answered 500" in capsys.readouterr().err
    assert asked[-1]["QUERY_STRING"] == "%C3%BC=%41"


def test_what_is_not_sent(app: Any, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    url, middleware, asked = app
    posted = first(middleware, "/buy", "POST")
    before = len(asked)
    assert main(["--store", store_path, "replay", posted, "--url", url]) == 2
    assert "may change something" in capsys.readouterr().err and len(asked) == before
    page = first(middleware, "/")
    for bad in (["--url", "ftp://x"], ["--url", "http://127.0.0.1:1"], ["--url", url, "--header", "nonsense"]):
        assert main(["--store", store_path, "replay", page, "-n", "1", *bad]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_skill_names_commands_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "skills" / "slowlens" / "SKILL.md"
    assert main(["skill", "-o", str(path)]) == 0
    text = path.read_text()
    capsys.readouterr()
    assert main(["skill"]) == 0
    assert capsys.readouterr().out == text and text.startswith("---\nname: slowlens\n")
    commands = re.findall(r"`slowlens ([^`]+)`", text)
    assert {command.split()[0] for command in commands} >= {"list", "explain", "compare", "replay", "check"}
    for command in commands:
        _parser().parse_args(command.split())


def test_mcp_without_the_sdk_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    assert main(["mcp"]) == 2
    assert capsys.readouterr().err == "slowlens: mcp needs the MCP SDK: pip install 'slowlens[mcp]'\n"
