"""What is said without anybody configuring anything: at start, of slow requests, in response headers."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

import slowlens
from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.cli import main
from slowlens.hello import develops, server_url
from slowlens.wsgi import ProfilerMiddleware

from conftest import wsgi_call


@pytest.mark.parametrize(("command", "url"), [
    ("manage.py runserver", "http://127.0.0.1:8000"), ("manage.py runserver --noreload 9000", "http://127.0.0.1:9000"),
    ("manage.py runserver 0.0.0.0:80", "http://127.0.0.1:80"), ("manage.py runserver 0:81", "http://127.0.0.1:81"),
    ("manage.py runserver [::1]:82", "http://[::1]:82"), ("manage.py migrate", ""), ("manage.py", ""),
    ("/x/flask run", "http://127.0.0.1:5000"), ("/x/flask run -p 5001", "http://127.0.0.1:5001"),
    ("/x/flask run --debug", ""), ("/x/flask run --debug --no-reload", "http://127.0.0.1:5000"), ("/x/flask shell", ""),
    ("/x/uvicorn a:app --port=8001 --host dev.local", "http://dev.local:8001"),
    ("/x/uvicorn/__main__.py a:app", "http://127.0.0.1:8000"), ("/x/fastapi dev", "http://127.0.0.1:8000"),
    ("/x/gunicorn -b :8002 a:app", "http://127.0.0.1:8002"), ("/x/gunicorn --bind=unix:/run/a.sock a:app", ""),
    ("/x/gunicorn a:app", "http://127.0.0.1:8000"), ("/x/hypercorn -b 0.0.0.0:8003 a", "http://127.0.0.1:8003"),
    ("/x/waitress-serve --port 8004 a:app", "http://127.0.0.1:8004"), ("/x/uvicorn --port x\x1b a:app", ""),
    ("script.py", ""), ("", ""),
    # A port that is found out when it is bound, a socket of Unix, somebody else's, a file that says where: not known.
    ("/x/uvicorn a:app --port 0", ""), ("/x/gunicorn -b 127.0.0.1:0 a:app", ""), ("manage.py runserver 0", ""),
    ("/x/uvicorn --uds /run/a.sock a:app", ""), ("/x/uvicorn --fd=3 a:app", ""), ("/x/daphne -u /run/a.sock a:app", ""),
    ("/x/waitress-serve --unix-socket=/run/a a:app", ""), ("/x/gunicorn -c conf.py a:app", ""),
    ("/x/hypercorn --config file:a.py a:app", ""), ("/x/gunicorn -c conf.py -b :8005 a:app", "http://127.0.0.1:8005"),
    ("/x/gunicorn -b:8007 a:app", "http://127.0.0.1:8007"), ("/x/flask run -p5002", "http://127.0.0.1:5002"),
    ("/x/flask run --cert adhoc", "https://127.0.0.1:5000"),
    ("/x/uvicorn --ssl-keyfile=k --ssl-certfile=c a:app", "https://127.0.0.1:8000"),
])
def test_where_the_server_is(command: str, url: str) -> None:
    assert server_url(command.split(), {}) == url


def test_what_gunicorn_reads_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["/x/gunicorn", "a:app"]
    assert server_url(asked, {"GUNICORN_CMD_ARGS": "--bind=127.0.0.1:8006 -w 3"}) == "http://127.0.0.1:8006"
    assert server_url(asked, {}) == "http://127.0.0.1:8000"
    (tmp_path / "gunicorn.conf.py").write_text("bind = '127.0.0.1:9000'")
    assert server_url(asked, {}) == ""


SCRIPT = """
import logging, sys, time
sys.path[:0] = {path!r}
from conftest import wsgi_call
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    time.sleep(0.02)
    start_response("200 OK", [])
    return [b"x"]
for store in (sys.argv[1], "/proc/nowhere"):
    middleware = ProfilerMiddleware(app, store=store, debug=True, slow_ms=10, mode="deterministic")
    for _ in range(2):
        wsgi_call(middleware, "/", HTTP_HOST="127.0.0.1:8000")
    middleware.recorder.writer.flush()
"""


def test_an_app_without_any_logging_set_up(store_path: str) -> None:
    script = SCRIPT.format(path=[str(Path(__file__).parent)])
    done = subprocess.run([sys.executable, "-c", script, store_path], capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    viewer = "http://127.0.0.1:8000/__slowlens__/"
    assert lines[0] == f"slowlens: profiling every request (deterministic); viewer {viewer}"
    assert sum(line.startswith("slowlens: profiling") for line in lines) == 1, "once"
    slow = [line for line in lines if line.startswith("slow: GET / 200 ")]
    assert len(slow) == 4 and all(re.search(r"\d % .* " + viewer + "#r=[0-9a-z]{26}$", one) for one in slow)
    assert sum("could not be stored" in line for line in lines) == 1, "our own trouble, once, with why"
    assert "/proc/nowhere" in done.stderr


def test_nothing_is_said_in_production(store_path: str, capfd: pytest.CaptureFixture[str]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    wsgi_call(ProfilerMiddleware(app, store=store_path, debug=False))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("command", "environ", "yes"), [
    ("/x/flask run", {}, True), ("/x/flask run --debug", {}, False), ("/x/flask shell", {}, False),
    ("/x/flask run --debug", {"WERKZEUG_RUN_MAIN": "true"}, True), ("manage.py runserver", {}, True),
    ("manage.py migrate", {}, False), ("/x/gunicorn a:app", {}, False), ("/x/gunicorn --reload a:app", {}, True),
    ("script.py", {}, False), ("", {}, False),
])
def test_who_develops(command: str, environ: dict[str, str], yes: bool) -> None:
    assert develops(command.split(), environ) is yes


@pytest.fixture()
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that begins, and where nobody has configured logging."""
    monkeypatch.setattr("slowlens.hello._greeted", set())
    monkeypatch.setattr("slowlens.log.viewer_is_open", False)
    monkeypatch.setattr("slowlens.log.server_url", "")
    monkeypatch.setattr("logging.Logger.hasHandlers", lambda self: False)  # pytest has one


@pytest.mark.parametrize(("terminal", "environ", "options", "says"), [
    (True, {}, {}, True), (False, {}, {}, False), (True, {}, {"key": "x" * 16}, False),
    (True, {}, {"debug": False}, False),
    (True, {"REMOTE_ADDR": "203.0.113.9"}, {}, False), (True, {"HTTP_HOST": "shop.example"}, {}, False),
])
@pytest.mark.usefixtures("nothing_said")
def test_who_tries_it_at_a_terminal_hears_why_the_viewer_is_closed(
    store_path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool,
    environ: dict[str, str], options: dict[str, Any], says: bool
) -> None:
    """``uvicorn main:app``, ``gunicorn app:app``: at the first request from this machine."""
    monkeypatch.setattr("slowlens.recorder.at_a_terminal", lambda: terminal)
    middleware = ProfilerMiddleware(application, store=store_path, **options)
    assert capfd.readouterr().err == ""
    for _ in range(2):
        wsgi_call(middleware, **environ)
    assert capfd.readouterr().err.count("SLOWLENS_DEBUG=1 (or the option debug=True)") == says


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("open_", [False, True])
def test_a_line_of_a_closed_viewer_names_the_command_that_shows_the_same(
    store_path: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], open_: bool
) -> None:
    key = {"key": "x" * 16} if open_ else {}
    middleware = ProfilerMiddleware(application, store=store_path, debug=False, slow_ms=0, keep="all", **key)  # type: ignore[arg-type]
    wsgi_call(middleware, "/x")
    assert middleware.recorder.writer.flush()
    line, = [one.getMessage() for one in caplog.records if one.name == "slowlens.slow"]
    if open_:
        assert re.search(r" /__slowlens__/#r=[0-9a-z]{26}$", line), line
        return
    command = re.search(r" `slowlens (.*)`$", line)
    assert command is not None, line
    assert main(shlex.split(command[1])) == 0
    assert "GET /x" in capsys.readouterr().out


CONFIGURED = """
import logging.config, sys
sys.path[:0] = {path!r}
from conftest import wsgi_call
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
late = sys.argv[2] == "late"
made = ProfilerMiddleware(app, store=sys.argv[1], debug=True, slow_ms=0) if late else None
logging.config.dictConfig({{"version": 1, "handlers": {{"out": {{
    "class": "logging.StreamHandler", "stream": sys.stdout}}}}, "root": {{"handlers": ["out"], "level": "INFO"}}}})
made = made or ProfilerMiddleware(app, store=sys.argv[1], debug=True, slow_ms=0, authorize=lambda environ: 1 / 0)
wsgi_call(made, "/", HTTP_HOST="127.0.0.1:8000")
wsgi_call(made, "/__slowlens__/", HTTP_HOST="shop.example")
made.recorder.writer.flush()
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_logging_that_is_configured_after_our_import(store_path: str, when: str) -> None:
    """dictConfig switches off the loggers that are there, unless told otherwise: ours are not, yet."""
    script = CONFIGURED.format(path=[str(Path(__file__).parent)])
    command = [sys.executable, "-W", "error", "-c", script, store_path, when]
    environ = {**os.environ, "SLOWLENS_VIEWER_PATH": "/__slowlens__"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("slow: GET / 200 ") == 1, done.stdout
    assert ("the option authorize failed" if when == "early" else "stayed closed") in done.stdout


@pytest.mark.parametrize(("debug", "before"), [(True, 0), (True, 2), (False, 0)])
def test_an_app_that_has_us_among_its_middlewares_is_asked_whether_it_debugs(
    store_path: str, debug: bool, before: int
) -> None:
    """What we are given is the next middleware, not the app."""
    class Passing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    inner = Starlette(debug=debug)
    for _ in range(before):
        inner.add_middleware(Passing)
    inner.add_middleware(ASGIMiddleware, store=store_path)
    statuses: list[Any] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/__slowlens__/", "query_string": b"", "scheme": "http",
             "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1)}
    asyncio.run(inner(scope, receive, send))
    assert statuses[0] == (200 if debug else 404)


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize(("command", "says"), [
    ("/x/fastapi dev", 1), ("/x/fastapi run main.py", 1), ("/x/uvicorn m:app", 0)])
def test_the_command_fastapi_runs_what_is_inside(
    store_path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, says: int
) -> None:
    class FastAPI:
        debug = False

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError

    monkeypatch.setattr("sys.argv", command.split())
    ASGIMiddleware(FastAPI(), store=store_path)
    assert capfd.readouterr().err.count("Write app.add_middleware(ProfilerMiddleware)") == says


@pytest.mark.parametrize(("command", "options", "says"), [
    ("/bin/uvicorn --reload main:app", {}, True),
    ("/x/uvicorn/__main__.py main:app --reload", {}, True),
    ("/bin/fastapi dev main.py", {}, True),
    ("/bin/uvicorn main:app", {}, False),
    ("/bin/fastapi run main.py", {}, False),
    ("/bin/uvicorn --reload main:app", {"debug": False}, False),
    ("/bin/uvicorn --reload main:app", {"key": "x" * 16}, False),
])
@pytest.mark.usefixtures("nothing_said")
def test_who_develops_an_app_that_does_not_debug_hears_why_the_viewer_is_closed(
    store_path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str,
    options: dict[str, Any], says: bool
) -> None:
    monkeypatch.setattr("sys.argv", command.split())
    for _ in range(2):
        ASGIMiddleware(lambda scope, receive, send: None, store=store_path, **options)  # type: ignore[arg-type]
    said = capfd.readouterr().err
    assert said.count("viewer closed: the app is not debugging. SLOWLENS_DEBUG=1") == says, said


# ---- response headers ----

OWN = [("Content-Type", "text/plain"), ("Server-Timing", "app;dur=1")]


def application(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", list(OWN))
    return [b"ok"]


def more(headers: list[tuple[str, str]]) -> dict[str, str]:
    assert headers[:len(OWN)] == OWN, "the app's own come first, untouched"
    return dict(headers[len(OWN):])


@pytest.mark.parametrize(("options", "environ", "there"), [
    ({"debug": True}, {}, True),
    ({"debug": True}, {"REMOTE_ADDR": "192.0.2.1"}, False),
    ({"debug": True}, {"HTTP_HOST": "shop.example"}, False),
    ({"debug": True, "response_headers": False}, {}, False),
    ({"debug": False}, {}, False),
    ({"debug": False, "response_headers": True}, {}, False),
    ({"debug": False, "response_headers": True, "authorize": lambda environ: "view"}, {}, True),
    ({"debug": False, "response_headers": True, "authorize": lambda environ: "trigger"}, {}, False),
])
def test_server_timing_is_for_those_who_may_look(
    store_path: str, options: dict[str, Any], environ: dict[str, str], there: bool
) -> None:
    middleware = ProfilerMiddleware(application, store=store_path, keep="all", **options)
    _, headers, body = wsgi_call(middleware, "/x", SCRIPT_NAME="/pre fix\xc3\xa9", **environ)
    found = more(headers)
    assert set(found) == ({"Server-Timing", "X-Slowlens"} if there else set()) and body == b"ok"
    if there:
        assert re.fullmatch(r"total;dur=[\d.]+(, \w+;dur=[\d.]+)*", found["Server-Timing"])
        link = re.fullmatch(r"/pre%20fix%C3%A9/__slowlens__/#r=([0-9a-z]{26})", found["X-Slowlens"])
        assert link is not None and middleware.recorder.writer.flush()
        assert middleware.recorder.store.get(link[1]) is not None


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_server_timing_tells_each_layer(store_path: str, mode: str) -> None:
    """Those that have ended when the headers go out: the page is being rendered still."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(3):
            with slowlens.span("SELECT 1", kind="db"):
                time.sleep(0.002)
        with slowlens.span("charge card", kind="payment"), slowlens.span("page.html", kind="template"):
            pass
        with slowlens.span("base.html", kind="template"):
            return application(environ, start_response)

    middleware = ProfilerMiddleware(app, store=store_path, debug=True, mode=mode)
    said = more(wsgi_call(middleware)[1])["Server-Timing"]
    found = re.findall(r'(\w+);desc="([^"]*)";dur=([\d.]+)', said)
    assert [one[:2] for one in found] == [("db", "3 queries"), ("template", "1 template"), ("custom", "1 span")], said
    assert float(found[0][2]) >= 6.0


def test_no_link_to_what_may_not_be_kept(store_path: str) -> None:
    middleware = ProfilerMiddleware(application, store=store_path, keep="slow", debug=True)
    assert set(more(wsgi_call(middleware)[1])) == {"Server-Timing"}


def test_asgi_has_them_too_and_tells_awaits(store_path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await send(start)
        await send({"type": "http.response.body", "body": b"ok"})

    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = ASGIMiddleware(app, store=store_path, debug=True)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")],
             "client": ("127.0.0.1", 1), "scheme": "http"}
    asyncio.run(middleware(scope, None, send))  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert headers[b"x-own"] == b"1" and b"x-slowlens" in headers
    # Of 20 ms; who had no CPU when it could have gone on waited for the loop for the rest.
    awaited = re.findall(rb"(?:await|loop);dur=([\d.]+)", headers[b"server-timing"])
    assert awaited and sum(map(float, awaited)) >= 19
    assert start["headers"] == [(b"x-own", b"1")], "the app's message is the app's"
    assert middleware.recorder.writer.flush()
