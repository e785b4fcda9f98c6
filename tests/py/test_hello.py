"""What is said without anybody configuring anything: at start, of slow requests, in response headers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.hello import server_url
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
])
def test_where_the_server_is(command: str, url: str) -> None:
    assert server_url(command.split(), {}) == url


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
    assert len(slow) == 4 and all(re.search(r"\d %.*app.* " + viewer + "#r=[0-9a-z]{26}$", one) for one in slow)
    assert sum("could not be stored" in line for line in lines) == 1, "our own trouble, once, with why"
    assert "/proc/nowhere" in done.stderr


def test_nothing_is_said_in_production(store_path: str, capfd: pytest.CaptureFixture[str]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    wsgi_call(ProfilerMiddleware(app, store=store_path, debug=False))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("command", "options", "says"), [
    ("/bin/uvicorn --reload main:app", {}, True),
    ("/x/uvicorn/__main__.py main:app --reload", {}, True),
    ("/bin/fastapi dev main.py", {}, True),
    ("/bin/uvicorn main:app", {}, False),
    ("/bin/fastapi run main.py", {}, False),
    ("/bin/uvicorn --reload main:app", {"debug": False}, False),
    ("/bin/uvicorn --reload main:app", {"key": "x" * 16}, False),
])
def test_who_develops_an_app_that_does_not_debug_hears_why_the_viewer_is_closed(
    store_path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str,
    options: dict[str, Any], says: bool
) -> None:
    monkeypatch.setattr("sys.argv", command.split())
    monkeypatch.setattr("slowlens.hello._greeted", set())
    monkeypatch.setattr("logging.Logger.hasHandlers", lambda self: False)  # pytest has one
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
