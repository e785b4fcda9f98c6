"""Strangers: what they send is not parsed, not counted, changes nothing and shows nothing."""

from __future__ import annotations

import ast
import asyncio
import gc
import io
import json
import logging
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

import slowlens
from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.auth import is_local, make_token
from slowlens.cli import main
from slowlens.options import Networks, OptionsError, load
from slowlens.request import asgi_incoming, wsgi_incoming
from slowlens.routes import (
    FOLDED_MAX,
    FORGOTTEN_SECONDS,
    GIVEN_MAX,
    OTHER,
    PREFIXES_MAX,
    UNMATCHED,
    Folded,
    _Names,
    asgi_route,
    fold,
    mounted,
)
from slowlens.store import open_store
from slowlens.store.private import untrusted
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call

BASE = "/__slowlens__/"
STRANGER = {"REMOTE_ADDR": "203.0.113.9", "HTTP_HOST": "shop.example"}
MANY = "&a" * 300


def app(environ: Any, start_response: Any) -> list[bytes]:
    known = environ["PATH_INFO"] in ("/", "/known")
    start_response("200 OK" if known else "404 Not Found", [("X-App", "1")])
    return [b"the app's own"]


def make(store: str, **options: Any) -> ProfilerMiddleware:
    return ProfilerMiddleware(app, store=store, **options)


# ---- nothing of a stranger's changes anything ----


@pytest.mark.parametrize("query", ["slowlens=x" + MANY, "slowlens=lines" + MANY, "slowlens=%ff%00", "slowlens=;"])
def test_triggers_of_strangers_are_not_read(store_path: str, query: str, caplog: pytest.LogCaptureFixture) -> None:
    site = make(store_path, debug=False, keep="all", key="a secret of some length")
    for _ in range(50):
        assert wsgi_call(site, "/known", query, HTTP_X_SLOWLENS="sampling." + "x" * 9000, **STRANGER)[2]
    assert site.recorder.faults == 0
    rows = Stored(site.recorder).rows()
    assert len(rows) == 50 and {row["mode"] for row in rows} == {"sampling"}, "as every other request"
    assert caplog.text == ""


@pytest.mark.parametrize("query", ["token=1" + MANY, "token=" + "9" * 15 + "-v-x", "token=%ff", "token=\udc80"])
def test_the_viewer_of_strangers_is_the_apps_own_answer(store_path: str, query: str) -> None:
    site = make(store_path, debug=False, key="a secret of some length")
    for path in (BASE, BASE[:-1], BASE + "api/requests", BASE + "static/main.js", BASE + "nothing"):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
            status, headers, _ = wsgi_call(site, path, query, method, **STRANGER)
            assert (status, headers) == ("404 Not Found", [("X-App", "1")])
    assert site.recorder.faults == 0


def test_the_same_through_asgi(store_path: str) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"own"})

    site = ASGIMiddleware(inner, store=store_path, debug=False)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": BASE, "query_string": b"token=1" + MANY.encode(),
             "headers": [(b"host", b"shop.example")], "client": None, "scheme": "http"}
    asyncio.run(site(scope, None, send))  # type: ignore[arg-type]
    assert [message.get("status") for message in sent] == [404, None]


def test_the_viewer_of_strangers_on_any_event_loop(store_path: str) -> None:
    """Under trio there is no loop of asyncio's: the app answered with an error, and its log grew."""
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": BASE, "query_string": b"", "headers": [(b"host", b"localhost")],
             "client": ("203.0.113.9", 1), "scheme": "http"}
    for debug, client, status in ((True, "203.0.113.9", 404), (True, "127.0.0.1", 200), (False, "127.0.0.1", 404)):
        site = ASGIMiddleware(inner, store=store_path, debug=debug)
        asked = site({**scope, "client": (client, 1)}, None, send)  # type: ignore[arg-type]
        with pytest.raises(StopIteration):
            asked.send(None)
        assert [one["status"] for one in sent if "status" in one] == [status]
        sent.clear()


def test_authorize_never_holds_the_event_loop(store_path: str) -> None:
    """Not for the viewer, and not for a trigger, which a stranger may send, too: it may ask a database."""
    asked: list[bool] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async def send(message: Any) -> None:
        pass

    def authorize(scope: Any) -> bool:
        asked.append(threading.current_thread() is threading.main_thread())
        return scope["client"][0] == "198.51.100.7"

    async def run() -> None:
        for client in ("203.0.113.9", "198.51.100.7"):
            for path, query, headers in ((BASE, b"", []), ("/a", b"", [(b"x-slowlens", b"lines")]),
                                         ("/b", b"slowlens=lines", []), (BASE, b"slowlens=lines", [])):
                scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "client": (client, 1),
                         "headers": [(b"host", b"shop.example"), *headers], "scheme": "https"}
                await site(scope, None, send)  # type: ignore[arg-type]

    site = ASGIMiddleware(inner, store=store_path, debug=False, mode="sampling", keep="trigger", authorize=authorize)
    asyncio.run(run())
    assert asked == [False] * 8
    assert [row["path"] for row in Stored(site.recorder).rows()] == ["/a"], "the one that may, by a header"


def test_paths_that_are_not_there_are_one_route(store_path: str) -> None:
    site = make(store_path, debug=False, keep="worst", worst_per_route=2)
    for number in range(100):
        wsgi_call(site, f"/wp-{number}.php", **STRANGER)
    assert Stored(site.recorder).rows() == []
    assert site.recorder.policy._worst == {}
    for _ in range(3):
        wsgi_call(site, "/known")
    assert {row["route"] for row in Stored(site.recorder).rows()} == {"/known"}


def test_folded_paths_are_bounded() -> None:
    assert fold("/orders/17/lines/deadbeef01") == "/orders/{id}/lines/{id}"
    assert fold("/u/6fa459ea-ee8a-3ca4-894e-db77e160355e") == "/u/{id}"
    assert fold("/v1/cafe/decade") == "/v1/cafe/decade", "words stay"
    assert fold("/" + "a" * 5000) == "/{id}"
    assert fold("/a" * 100).count("/") < 20
    folded = Folded()
    names = {folded.name(f"/a{number}x", 200) for number in range(2 * FOLDED_MAX)}
    assert len(names) == FOLDED_MAX + 1 and OTHER in names
    assert folded.name("/a0x", 404) == "/a0x", "known: an answer of it"
    assert folded.name("/never-seen", 404) == UNMATCHED


def test_an_option_that_fails_on_a_path_switches_nothing_off(store_path: str) -> None:
    site = make(store_path, debug=False, keep="all", redact=lambda path: path[:0] + {}[path])
    for number in range(30):
        wsgi_call(site, f"/{number}", **STRANGER)
    assert site.recorder.faults == 0
    assert {row["path"] for row in Stored(site.recorder).rows()} == {"[redact failed]"}


def test_names_of_folded_paths_that_nobody_asks_for_any_more_give_their_place(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("slowlens.routes.time.monotonic", lambda: now[0])
    folded = Folded()
    for number in range(FOLDED_MAX):
        folded.name(f"/made-up-{number}", 200)
    assert folded.name("/real", 200) == OTHER
    now[0] += 2 * FORGOTTEN_SECONDS
    assert folded.name("/made-up-0", 200) == "/made-up-0", "used just now"
    assert folded.name("/real", 200) == "/real"
    assert folded.name("/made-up-0", 404) == "/made-up-0" and folded.name("/made-up-1", 404) == UNMATCHED


def test_long_paths_are_not_remembered() -> None:
    """uvicorn with httptools passes on a path of any length."""
    folded = Folded()
    folded.remember("/" + "a" * 100_000, "/{id}")
    folded.remember("/a", "/a")
    assert folded.known == {"/a": "/a"}


def test_the_template_of_a_path_is_found_in_no_time() -> None:
    """A regular expression took the third power of the path's length: half a minute for this one."""
    begun = time.process_time()
    path = "/" + "-" * 1900 + "/2026-11-26"
    scope = {"route": type("Route", (), {"path": "/{year}-{month}-{day}"}),
             "path_params": {"tenant": "-" * 1900, "year": "2026", "month": "11", "day": "26"}}
    assert asgi_route(scope, path) == "/{tenant}/{year}-{month}-{day}"
    assert time.process_time() - begun < 3
    scope = {"route": type("Route", (), {"path": "/{a:path}/x/{b:path}"}), "path_params": {"a": "1/2", "b": "3/4/5"}}
    assert asgi_route(scope, "/v1/1/2/x/3/4/5") == "/v1/{a:path}/x/{b:path}"


def test_prefixes_that_clients_choose_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that mounts others at whatever is asked for. A number, however it is written, takes no place."""
    monkeypatch.setattr("slowlens.routes._prefixes", _Names(PREFIXES_MAX))
    route = {"route": type("Route", (), {"path": "/books"}), "path_params": {"number": 7}}
    assert {asgi_route(route, f"/{'0' * zeros}7/books") for zeros in range(PREFIXES_MAX)} == {"/{number}/books"}
    assert asgi_route(route, "/api/books") == "/api/books"
    assert asgi_route(route, "/v1/007/books") == "/v1/{number}/books"
    apps = {"endpoint": app, "root_path": "", "router": None}
    found = {asgi_route({**apps, "root_path": f"/{number}"}, f"/{number}/x") for number in range(2 * PREFIXES_MAX)}
    found |= {mounted(f"/{number}") for number in range(2 * PREFIXES_MAX)}
    assert len(found) < 3 * PREFIXES_MAX and f"/{OTHER}/{{path}}" in found
    assert asgi_route(route, "/007/books") == "/{number}/books" and asgi_route(route, "/api/books") == "/api/books"
    assert asgi_route(route, "/later/books") == f"/{OTHER}/books"


def test_methods_that_are_made_up_are_one(store_path: str) -> None:
    """Servers pass on any word: tables by route and method do not grow with them."""
    site = make(store_path, debug=False, keep="all")
    for number in range(60):
        wsgi_call(site, "/known", "", f"MADE-UP-{number}", **STRANGER)
    wsgi_call(site, "/known", "", "PROPFIND", **STRANGER)
    stored = Stored(site.recorder)
    assert {row["method"] for row in stored.rows(limit=100)} == {"[other]", "PROPFIND"}
    assert {row["method"]: row["count"] for row in site.recorder.store.routes()} == {"[other]": 60, "PROPFIND": 1}


def test_names_that_clients_choose_are_bounded(store_path: str) -> None:
    """An app that names requests by what a client sends, as operations of GraphQL: no table grows for ever."""
    def named(environ: Any, start_response: Any) -> list[bytes]:
        slowlens.name("query " + environ["PATH_INFO"][1:])
        return app(environ, start_response)

    site = ProfilerMiddleware(named, store=store_path, debug=False, keep="error", log=False)
    for number in [*range(GIVEN_MAX + 60), 1]:
        wsgi_call(site, f"/made-up-{number}", **STRANGER)
    assert site.recorder.writer.flush(30)
    found = {row["route"]: row["count"] for row in site.recorder.store.routes()}
    assert len(found) == GIVEN_MAX + 1 and found[OTHER] == 60 and found["query made-up-1"] == 2


ODD = ["", "/", "//", "/..", BASE, BASE + "../", BASE + "api/requests", "/%2e%2e/", "/\x00", "/\udc80", "/\u65e5\u672c",
       "/" + "a" * 70000, "*", "a b\r\nc: d", ";" * 300, "=" * 300, "&a=" * 300, "slowlens=sampling",
       "token=" + "x" * 999, "sampling.9-t-9", "9" * 400, "localhost", "127.0.0.1", "[::1]", "for=" * 200, '"',
       "slowlens_session=" * 100, "\u00ff" * 50]
NAMES = ["Host", "Cookie", "X-Slowlens", "X-Slowlens-Viewer", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded",
         "X-Real-IP", "Via", "Origin", "Referer", "Sec-Fetch-Site", "Traceparent", "Content-Length", "Upgrade", "X-Odd"]


def test_whatever_a_stranger_sends_is_answered_by_the_app_alone(
    store_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Chance makes the requests, always the same ones: through WSGI and ASGI, of an app in production and of one that
    is being debugged."""
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"own"})

    async def ask(site: Any, scope: Any) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await site(scope, None, send)
        return sent

    async def every(scopes: list[Any], site: Any) -> None:
        for scope in scopes:
            assert [one.get("status") for one in await ask(site, scope)] == [404, None], scope

    chance = random.Random(12)
    for debug in (False, True):
        options: dict[str, Any] = {"debug": debug, "keep": "worst", "key": "a secret of some length", "log": False}
        one, other = make(store_path, **options), ASGIMiddleware(inner, store=store_path, **options)
        scopes = []
        for _ in range(400):
            method = chance.choice(["GET", "HEAD", "POST", "OPTIONS", "X" * 999, "get", "\udc80", ""])
            path, query, root = (chance.choice(ODD) for _ in range(3))
            headers = {name: chance.choice(ODD) for name in chance.sample(NAMES, chance.randint(0, 6))}
            environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
            status, sent, body = wsgi_call(one, path, query, method, REMOTE_ADDR="203.0.113.9", SCRIPT_NAME=root,
                                           SERVER_PROTOCOL=chance.choice(["", "HTTP/1.0", "x"]), **environ)
            assert (status[:3], sent, body) in [
                (code, [("X-App", "1")], b"the app's own") for code in ("200", "404")], (path, query)
            raw = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
            scopes.append({"type": "http", "method": method, "path": path, "root_path": root, "headers": raw + raw[:1],
                           "query_string": query.encode("utf-8", "replace"), "scheme": "http",
                           "client": chance.choice([None, ("203.0.113.9", 1), ("", 0)])})
        asyncio.run(every(scopes, other))
        for site in (one, other):
            assert site.recorder.faults == site.recorder.refused == 0
            assert all(row["route"] in (UNMATCHED, "/", "/known") for row in Stored(site.recorder).rows(limit=500))
    said = [record.message for record in caplog.records if record.name.startswith("slowlens")]
    assert len(said) <= 8 and all("stayed closed" in text for text in said), "each reason once, while debugging"


def test_a_refusal_of_a_stranger_takes_no_line_of_the_developer(
        store_path: str, caplog: pytest.LogCaptureFixture) -> None:
    site = make(store_path, debug=True)
    for _ in range(3):
        wsgi_call(site, BASE, REMOTE_ADDR="203.0.113.9", HTTP_HOST="shop.example")
        wsgi_call(site, BASE, REMOTE_ADDR="203.0.113.9", HTTP_VIA="x")
    caplog.clear()
    for _ in range(3):
        wsgi_call(site, BASE, REMOTE_ADDR="172.17.0.1", HTTP_HOST="localhost:8000")
        wsgi_call(site, BASE, HTTP_X_FORWARDED_FOR="127.0.0.1")
        wsgi_call(site, BASE, HTTP_HOST="0.0.0.0:8000")
    assert [text in caplog.text for text in ('["172.17.0.1"]', '["127.0.0.1"]', "open it as")] == [True] * 3
    assert len(caplog.records) == 3, "each once"


# ---- local means local ----


def incoming(**environ: str) -> Any:
    return wsgi_incoming({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1",
                          "HTTP_HOST": "127.0.0.1:8000", **environ})


@pytest.mark.parametrize("environ", [
    {}, {"HTTP_HOST": "localhost"}, {"HTTP_HOST": "LOCALHOST:1"}, {"HTTP_HOST": "[::1]:80", "REMOTE_ADDR": "::1"},
    {"HTTP_HOST": "shop.localhost:8000"}, {"REMOTE_ADDR": "::ffff:127.0.0.1"}, {"REMOTE_ADDR": "127.3.2.1"},
])
def test_local(environ: dict[str, str]) -> None:
    assert is_local(incoming(**environ))


ALMOST_LOCAL = [
    "127.0.0.1.nip.io", "localhost.", "localhost.localdomain", "localtest.me", "localhost:80@evil", "evil@localhost",
    "localhost/evil", "localhost?evil", "localhost#evil", "localhost, evil", "localhost\tevil", " localhost",
    "localhost:8000:80", "localhost:", "localhost:999999", "[::1", "::1", "[::1]]", "[::ffff:127.0.0.1]", "[0:0::1]",
    "127.1", "2130706433", "0x7f.1", "127.0.0.1%00.evil", "xn--localhost", "localhost\u3002evil", "\uff4cocalhost",
    "evil.localhost.com", ".localhost", "a..localhost",
]
ONLY_PROXIES_SEND = [
    "X_FORWARDED_SSL", "X_FORWARDED_SCHEME", "X_FORWARDED_PREFIX", "X_FORWARDED_BY", "X_ORIGINAL_URI", "X_ORIGINAL_URL",
    "X_SCHEME", "X_REWRITE_URL", "FRONT_END_HTTPS", "CF_RAY", "CF_VISITOR", "CF_IPCOUNTRY", "X_AZURE_CLIENTIP",
    "X_VERCEL_FORWARDED_FOR", "X_NF_CLIENT_CONNECTION_IP", "FASTLY_CLIENT_IP", "X_APPENGINE_USER_IP", "CDN_LOOP",
    "X_ARR_LOG_ID", "X_AMZN_TRACE_ID", "X_AMZ_CF_ID", "TAILSCALE_USER_LOGIN", "FLY_REGION", "X_ENVOY_ATTEMPT_COUNT",
    "PROXY_CLIENT_IP", "WL_PROXY_CLIENT_IP", "MAX_FORWARDS", "X_VARNISH", "X_PROXYUSER_IP",
]


@pytest.mark.parametrize("environ", [
    {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1, 203.0.113.9"},
    {"HTTP_X_FORWARDED_FOR": "203.0.113.9, 127.0.0.1"}, {"HTTP_X_FORWARDED_FOR": ""},
    {"HTTP_FORWARDED": "for=203.0.113.9"}, {"HTTP_FORWARDED": "for=127.0.0.1, for=_hidden"},
    {"HTTP_X_REAL_IP": "203.0.113.9"}, {"HTTP_VIA": "1.1 cdn"}, {"HTTP_CF_CONNECTING_IP": "203.0.113.9"},
    {"HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "shop.example"}, {"HTTP_X_FORWARDED_PROTO": "http"},
    {"HTTP_HOST": "localhost:8000.evil"}, {"HTTP_HOST": "[::1]evil.com"}, {"HTTP_HOST": "localhost:@evil.com"},
    {"HTTP_HOST": "localhost.evil.com"}, {"HTTP_HOST": "127.0.0.1.evil"}, {"HTTP_HOST": "localhost\n"},
    *({"HTTP_HOST": host} for host in ALMOST_LOCAL),
    {"HTTP_HOST": ""}, {"HTTP_HOST": "0.0.0.0"}, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "192.168.1.4"},
    {"REMOTE_ADDR": "127.0.0.1.evil"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},  # nginx before 1.29.7, which by default says nothing else
    {"SERVER_PROTOCOL": "HTTP/1"},  # the same as granian calls it
    *({"HTTP_" + name: "127.0.0.1"} for name in ONLY_PROXIES_SEND),
    {"HTTP_X_FORWARDED_FOR": "203.0.113.9," + "127.0.0.1," * 300 + "127.0.0.1"},
    # What a client may have written itself, behind a proxy that passes it on.
    *({"HTTP_X_FORWARDED_FOR": "127.0.0.1", **sign} for sign in (
        {}, {"SERVER_PROTOCOL": "HTTP/1.0"}, {"HTTP_VIA": "1.1 x"}, {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_X_FORWARDED_HOST": "localhost"})),
    {"HTTP_FORWARDED": 'for="[::1]:4711";host=localhost', "SERVER_PROTOCOL": "HTTP/1.0"}, {"HTTP_X_REAL_IP": "::1"},
])
def test_not_local(environ: dict[str, str]) -> None:
    assert not is_local(incoming(**environ))


class Channel:
    """waitress's, with the requests of a connection as they came."""

    def __init__(self, **headers: str) -> None:
        self.requests = [SimpleNamespace(headers=headers)]

    def check_client_disconnected(self) -> bool:
        return False


def test_what_a_server_takes_out_of_the_headers_counts() -> None:
    """waitress clears what proxies say, unless it is told to trust them: then all of the world looked local. (With the
    real one: tests/api/test_strangers.py.)"""
    for headers, local in (({"HOST": "x"}, True), ({"X_FORWARDED_FOR": "203.0.113.9"}, False),
                           ({"FORWARDED": ""}, False), ({"X_FORWARDED_PROTO": "http"}, False)):
        environ: Any = {"waitress.client_disconnected": Channel(**headers).check_client_disconnected}
        assert is_local(incoming(**environ)) is local, headers
        assert not is_local(incoming(REMOTE_ADDR="10.0.0.1", **environ), Networks(["10.0.0.1"])) or local
    unknown: Any = {"waitress.client_disconnected": lambda: False}
    assert not is_local(incoming(**unknown))


@pytest.mark.parametrize(("environ", "local"), [
    ({"REMOTE_ADDR": "172.17.0.1"}, True),  # Docker's bridge, the browser at this machine
    ({"REMOTE_ADDR": "172.17.0.1", "HTTP_HOST": "shop.example"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, True),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1, 203.0.113.9, 10.0.0.2"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "evil.example"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_VIA": "1.1 x"}, False),
    ({"REMOTE_ADDR": "11.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
    # A proxy writes one of these headers, and passes on what the client wrote into another.
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_REAL_IP": "127.0.0.1"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_FORWARDED": "for=127.0.0.1"}, False),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_REAL_IP": "127.0.0.1"}, True),
    ({"REMOTE_ADDR": "10.0.0.1", "SERVER_PROTOCOL": "HTTP/1.0"}, False),
])
def test_proxies_that_are_believed(environ: dict[str, str], local: bool) -> None:
    trusted = Networks(["10.0.0.0/8", "172.17.0.1"])
    assert is_local(incoming(**environ), trusted) is local


def test_a_header_that_stands_twice_counts_twice() -> None:
    """What a proxy adds may come before or behind what the client sent."""
    def asked(*headers: tuple[bytes, bytes]) -> Any:
        return asgi_incoming({"path": "/", "client": ("127.0.0.1", 1), "headers": headers})

    local = (b"host", b"localhost")
    assert is_local(asked(local))
    other = (b"host", b"evil.example")
    assert not is_local(asked(local, other)) and not is_local(asked(other, local))
    for pair in ((b"127.0.0.1", b"203.0.113.9"), (b"203.0.113.9", b"127.0.0.1")):
        assert not is_local(asked(local, *((b"x-forwarded-for", one) for one in pair)))
    twice = asked(local, (b"cookie", b"a=1"), (b"cookie", b"b=2"))
    assert twice.headers["cookie"] == "a=1; b=2"


def test_trusted_proxies_are_checked() -> None:
    assert "10.1.2.3" in load({"trusted_proxies": "10.0.0.0/8, ::1"}, environ={}).trusted_proxies  # type: ignore[operator]
    with pytest.raises(OptionsError, match="trusted_proxies"):
        load({"trusted_proxies": "all"}, environ={})


@pytest.mark.parametrize(("environ", "says"), [
    ({"REMOTE_ADDR": "172.17.0.1", "HTTP_HOST": "localhost:8000"}, 'trusted_proxies=["172.17.0.1"]'),
    ({"REMOTE_ADDR": "192.168.1.7", "HTTP_HOST": "dev.example:8000"}, "slowlens token --url http://dev.example:8000"),
    ({"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, "slowlens token"),
    ({"HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "http"}, 'trusted_proxies=["127.0.0.1"]'),
    ({"HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "shop.example"}, "slowlens token"),
    ({"HTTP_HOST": "0.0.0.0:8000"}, "http://127.0.0.1:8000/__slowlens__/"),
    ({"HTTP_HOST": "x;rm${IFS}-r${IFS}.;", "REMOTE_ADDR": "$(reboot)"}, "slowlens token --url http://HOST`"),
    ({"HTTP_HOST": "localhost", "REMOTE_ADDR": "1;reboot"}, "slowlens token --url http://localhost`"),
])
def test_a_refusal_says_once_what_to_add(
    store_path: str, caplog: pytest.LogCaptureFixture, environ: dict[str, str], says: str
) -> None:
    site = make(store_path, debug=True)
    for _ in range(5):
        assert wsgi_call(site, BASE, **environ)[2] == b"the app's own"
    assert caplog.text.count("stayed closed") == 1 and says in caplog.text
    assert "reboot" not in caplog.text and "IFS" not in caplog.text, "the line is made to be copied into a shell"
    caplog.clear()
    wsgi_call(make(store_path, debug=False), BASE, **environ)
    assert caplog.text == "", "not in production"


def test_an_asynchronous_authorize_lets_nobody_in(store_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine is true."""
    async def nobody(request: Any) -> bool:
        return False

    with pytest.raises(OptionsError, match="plain function"):
        make(store_path, authorize=nobody)
    with pytest.raises(OptionsError, match="plain function"):
        make(store_path, mode=nobody)
    site = make(store_path, authorize=lambda request: nobody(request))
    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert wsgi_call(site, BASE, **STRANGER)[2] == b"the app's own"
        gc.collect()
    assert "must be a plain function" in caplog.text


def test_redirects_lead_back_to_this_host_whatever_stands_before_the_app(store_path: str) -> None:
    site = make(store_path, debug=True, key="a secret of some length")
    for root, shown in (("/\xe6\x97\xa5", "/%E6%97%A5"), ("//evil.example", "/evil.example"), ("/a;b c", "/a%3Bb%20c")):
        status, headers, _ = wsgi_call(site, BASE[:-1], SCRIPT_NAME=root)
        assert status[:3] == "308" and dict(headers)["Location"] == shown + BASE
        token = make_token("a secret of some length", 60, host="localhost")
        _, headers, _ = wsgi_call(site, BASE, "token=" + token, SCRIPT_NAME=root)
        assert dict(headers)["Location"] == shown + BASE and f"; Path={shown}{BASE};" in dict(headers)["Set-Cookie"]
        links = dict(wsgi_call(site, "/known", SCRIPT_NAME=root)[1])
        assert links["X-Slowlens"].startswith(shown + BASE + "#r=")

    async def ask() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        root = "/\u65e5"
        await ASGIMiddleware(None, store=store_path, debug=True)(  # type: ignore[arg-type]
            {"type": "http", "method": "GET", "path": root + BASE[:-1], "root_path": root, "query_string": b"",
             "client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost")]}, None, send)  # type: ignore[arg-type]
        return sent

    assert (b"location", b"/%E6%97%A5/__slowlens__/") in asyncio.run(ask())[0]["headers"]


def test_the_cookie_is_ours_not_one_that_ends_like_it(store_path: str) -> None:
    site = make(store_path, debug=False, key="a secret of some length")
    session = make_token("a secret of some length", 60, host="shop.example", kind="session")
    for cookies, status in ((f"x_slowlens_session=1; slowlens_session={session}", "200"),
                            (f"a=1;slowlens_session={session};b=2", "200"),
                            # Another app of the domain has set one, whose path is longer: it must not close the door.
                            (f"slowlens_session=x; slowlens_session={'9' * 400}; slowlens_session={session}", "200"),
                            ("slowlens_session=x; " * 9 + f"slowlens_session={session}", "404"),
                            (f"x_slowlens_session={session}", "404")):
        assert wsgi_call(site, BASE, HTTP_COOKIE=cookies, **STRANGER)[0][:3] == status


def test_what_the_command_token_prints_opens(
    store_path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole link for a browser, a whole header for a trigger: copied as they stand, at the host that was named."""
    monkeypatch.setenv("SLOWLENS_KEY", "a secret of some length")
    site = make(store_path, debug=False, mode="sampling", keep="trigger")

    def printed(*more: str) -> str:
        assert main(["token", "--url", "https://user@Shop.example/under/", *more]) == 0
        return capsys.readouterr().out.strip()

    for more, may_change in (((), False), (("--change",), True)):
        link = urlsplit(printed(*more))
        assert (link.scheme, link.path) == ("https", f"/under{BASE}")
        status, headers, _ = wsgi_call(site, BASE, link.query, SCRIPT_NAME="/under", **STRANGER)
        sent = dict(headers)
        assert (status[:3], sent["Location"]) == ("303", f"/under{BASE}")
        cookie = sent["Set-Cookie"].partition(";")[0]
        assert wsgi_call(site, BASE + "api/requests", HTTP_COOKIE=cookie, **STRANGER)[0][:3] == "200"
        changed = wsgi_call(site, BASE + "api/delete", "id=" + "0" * 26, "POST", HTTP_COOKIE=cookie,
                            HTTP_X_SLOWLENS_VIEWER="1", HTTP_SEC_FETCH_SITE="same-origin", **STRANGER)[0][:3]
        assert (changed == "200") is may_change, changed
    name, _, value = printed("--trigger", "deterministic").partition(": ")
    assert name == "X-Slowlens"
    wsgi_call(site, "/known", HTTP_X_SLOWLENS=value, **STRANGER)
    wsgi_call(site, "/known", HTTP_X_SLOWLENS=value, REMOTE_ADDR="203.0.113.9", HTTP_HOST="other.example")
    assert [row["mode"] for row in Stored(site.recorder).rows()] == ["deterministic"]


# ---- the viewer's API: any request gets a clear answer ----


@pytest.mark.parametrize(("path", "query"), [
    ("api/requests", "status=%C2%B2xx"), ("api/requests", "status=" + "9" * 5000), ("api/requests", "cursor=%00%ff"),
    ("api/requests", "q=" + "a" * 60000), ("api/requests", "q=%00"), ("api/requests", "min_ms=nan"),
    ("api/requests", "min_ms=1_0"), ("api/requests", "since=8e300"), ("api/requests", "sort=%00"),
    ("api/requests", "limit=0"), ("api/requests", "limit=\u0661"), ("api/requests", "q=%ff"),
    ("api/requests", "limit=1&limit=2"), ("api/requests", "tag=%0a"), ("api/requests", "cursor=WzVd"),
    ("api/requests", "cursor=WyJzdGFydGVkIiwgMWUzMDAsICJhIl0="), ("api/requests", "cursor=" + "W" * 999),
    ("api/routes", "route=%00%ff"), ("api/requests/aggregate/tree", "route=%00"), ("api/requests", "&a" * 300),
    ("api/requests/7zzzzzzzzzzzzzzzzzzzzzzzzz", ""), ("requests/7zzzzzzzzzzzzzzzzzzzzzzzzz/profile", ""),
    ("static/..", ""), ("static/x.js", ""), ("api/requests/aggregate/diff", ""), ("api/requests/x%00y/tree", ""),
])
def test_nonsense_is_refused_in_one_sentence(store_path: str, path: str, query: str) -> None:
    site = make(store_path, debug=True)
    status, headers, body = wsgi_call(site, BASE + path, query)
    assert status[:1] == "4", (status, body)
    assert dict(headers)["Content-Type"] == "application/json"
    assert json.loads(body)["error"]


def test_a_fault_of_the_viewer_is_a_clear_answer_too(
    store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make(store_path, debug=True)
    monkeypatch.setattr(site.recorder.viewer.store, "list", lambda query: 1 / 0)
    status, _, body = wsgi_call(site, BASE + "api/requests")
    assert status[:3] == "500" and "fault of slowlens" in json.loads(body)["error"]
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(site.recorder.viewer.store, "list", lambda query: open("/nowhere/at/all"))
    assert wsgi_call(site, BASE + "api/requests")[0][:3] == "503"


def test_the_description_names_every_route(store_path: str) -> None:
    site = make(store_path, debug=True)
    found = json.loads(wsgi_call(site, BASE + "api/openapi.json", SCRIPT_NAME="/app")[2])
    assert found["openapi"] == "3.1.0" and found["servers"] == [{"url": "/app/__slowlens__"}]
    assert set(found["paths"]["/api/delete"]) == {"post"}
    limit = next(one for one in found["paths"]["/api/requests"]["get"]["parameters"] if one["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    assert "{ref}" in "".join(found["paths"])


# ---- Django ----

DJANGO = """
import asyncio, logging, sys, tempfile
import django
from django.conf import settings
settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x" * 50,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:mem?mode=memory&cache=shared"}},
    SLOWLENS={"store": sys.argv[1], "keep": "all", "authorize": lambda request: request.user.is_staff},
    MIDDLEWARE=["slowlens.django.ProfilerMiddleware", "django.middleware.common.CommonMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"])
django.setup()
from django.core.management import call_command
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
seen = []
async def read(request):
    return HttpResponse(str(len(request.read())))
def upload(request):
    return HttpResponse(str(len(request.read())))
urlpatterns = [path("__slowlens__upload", upload)]
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
User.objects.create_user("staff", password="x", is_staff=True)
User.objects.create_user("guest", password="x")
logging.disable(logging.CRITICAL)
def client(name, kind=Client):
    made = kind(raise_request_exception=False)
    if name:
        made.force_login(User.objects.get(username=name))
    return made
out = {}
for name in ("staff", "guest", ""):
    one = client(name)
    out[name] = [one.get("/__slowlens__/").status_code, one.get("/__slowlens__/api/requests").status_code,
                 one.post("/__slowlens__/api/delete?id=" + "0" * 26, headers={"X-Slowlens-Viewer": "1"}).status_code]
big = b"x" * 3_000_000
from slowlens.django.middleware import make_recorder
out["body"] = [client("").post(where, big, content_type="application/octet-stream").status_code
               for where in ("/__slowlens__/", "/nothing/", "/__slowlens__upload")]
import threading
threads = []
store = make_recorder().store
real = store.list
def list_(query):
    threads.append(threading.current_thread() is threading.main_thread())
    return real(query)
store.list = list_
async def asynchronous():
    staff = AsyncClient()
    await staff.aforce_login(await User.objects.aget(username="staff"))
    return [(await staff.get("/__slowlens__/api/requests")).status_code,
            (await AsyncClient().get("/__slowlens__/api/requests")).status_code]
import asyncio
from asgiref.sync import async_to_sync
result = []
def run():
    result.extend(asyncio.run(asynchronous()))
worker = threading.Thread(target=run); worker.start(); worker.join()
out["async"] = result
import json
print(json.dumps(out))
"""


def test_django_asks_authorize_where_there_is_a_user_and_reads_no_body(store_path: str) -> None:
    done = subprocess.run([sys.executable, "-c", DJANGO, store_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["staff"] == [200, 200, 200]
    assert found["guest"][:2] == found[""][:2] == [404, 404]
    assert found["guest"][2] == found[""][2] != 200, "the project's own answer (its CSRF check, here)"
    assert found["body"] == [404, 404, 200]
    assert found["async"] == [200, 404]


def test_mounted_and_plain_routes_of_scopes() -> None:
    class Route:
        path = "/orders/{n}"

    def route(path: str, parameters: dict[str, Any], **more: Any) -> str | None:
        return asgi_route({"route": Route(), "path_params": parameters, **more}, path)

    assert route("/orders/7", {"n": 7}) == "/orders/{n}"
    assert route("/v1/orders/7", {"n": "7"}) == "/v1/orders/{n}"
    assert route("/shops/berlin/orders/7", {"n": "7", "shop": "berlin"}) == "/shops/{shop}/orders/{n}"
    assert route("/7/orders/7", {"n": "7"}) == "/7/orders/{n}"
    assert asgi_route({"endpoint": Route()}, "/x/y") == "/{path}", "an app mounted at the root"
    assert asgi_route({"router": 1}, "/x") == "" and asgi_route({}, "/x") is None


# ---- the store is private ----


@pytest.mark.skipif(os.geteuid() != 0, reason="makes folders of other users")
def test_a_store_in_other_hands_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs = shared / "slowlens-0"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    link = shared / "link"
    link.symlink_to(tmp_path)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    for root in (theirs / "slowlens" / "app", theirs, link / "slowlens"):
        why = untrusted(str(root))
        assert why is not None and "another user" in why, root
        store = open_store(load({"store": str(root)}, environ={}))
        assert "option store" in (store.problem() or "")
        site = make(str(root), debug=True)
        assert wsgi_call(site)[2]
        site.recorder.writer.flush()
        assert site.recorder.counters()["failed"] == 1
    assert list(theirs.iterdir()) == []
    assert untrusted(str(shared / "mine")) is None
    shared.chmod(0o777)
    assert "every user" in (untrusted(str(shared / "mine")) or "")


def test_without_a_home_the_store_is_private_from_the_start(tmp_path: Path) -> None:
    script = ("import os, stat; os.umask(0); from slowlens.options import default_store; import sys;"
              "path = default_store(); top = path.split('/slowlens/')[0];"
              "print(top); print(oct(stat.S_IMODE(os.lstat(top).st_mode)))")
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(tmp_path),
               "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    top, mode = done.stdout.split()
    assert top == str(tmp_path / f"slowlens-{os.geteuid()}") and mode == "0o700"


def test_a_logger_that_raises_harms_nobody(store_path: str) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    site = make(store_path, debug=True)
    handler = Bad()
    logging.getLogger("slowlens").addHandler(handler)
    try:
        assert wsgi_call(site, BASE, REMOTE_ADDR="172.17.0.1")[2] == b"the app's own"
    finally:
        logging.getLogger("slowlens").removeHandler(handler)


def test_no_body_is_read(store_path: str) -> None:
    class Unread(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("read")

    site = make(store_path, debug=True)
    for environ in ({}, STRANGER):
        wsgi_call(site, BASE + "api/delete", "id=x", "POST", **{"wsgi.input": Unread(), **environ})


# ---- what SECURITY.md says ----

PACKAGE = Path(slowlens.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[2]


def test_nothing_of_a_profile_can_be_executed() -> None:
    """What reads profiles has nothing at hand that would run, import or unpickle what stands in one."""
    modules = {"pickle", "marshal", "shelve", "dbm", "subprocess", "ctypes", "code", "runpy", "multiprocessing"}
    names = {"eval", "exec", "compile", "__import__", "system", "popen", "execv", "execve", "spawnv"}
    seen = 0
    for folder in ("viewer", "store", "insight"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                seen += 1
                if isinstance(node, ast.Import):
                    assert not modules.intersection(one.name.partition(".")[0] for one in node.names), path
                elif isinstance(node, ast.ImportFrom):
                    assert (node.module or "").partition(".")[0] not in modules, path
                elif isinstance(node, ast.Call):
                    called = node.func
                    plain = called.id if isinstance(called, ast.Name) else called.attr if isinstance(
                        called, ast.Attribute) and getattr(called.value, "id", "") == "os" else ""
                    assert plain not in names, (path, node.lineno)
    assert seen > 10_000


def test_each_line_of_the_threat_model_has_its_tests() -> None:
    """Those that it names are there, and there is no line without."""
    text = (REPOSITORY / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| what"))]
    assert len(rows) > 35
    for row in rows:
        shown = row.rstrip(" |").rpartition(" | ")[2]
        files = re.findall(r"`((?:tests/\w+/)?test_\w+\.(?:py|c)|tests/\w+)`((?::? (?:and )?`test_\w+`,?)*)", shown)
        assert files, row
        for name, tests in files:
            path = REPOSITORY / (name if name.startswith("tests/") else f"tests/py/{name}")
            assert path.exists(), row
            for test in re.findall(r"test_\w+", tests):
                assert f"def {test}(" in path.read_text(), (test, row)


# ---- a viewer that cannot be loaded ----


def test_a_viewer_that_cannot_be_loaded_is_the_apps_own_answer(
    store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the package was updated below a running worker. A stranger does not even have it loaded."""
    site = make(store_path, debug=True)
    asgi = ASGIMiddleware(_answers, store=store_path, debug=True)
    assert wsgi_call(site, BASE, **STRANGER)[2] == b"the app's own" and site.recorder._viewer is None
    monkeypatch.setitem(sys.modules, "slowlens.viewer.app", None)
    local = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    assert wsgi_call(site, BASE, **local)[2] == b"the app's own"
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(asgi({"type": "http", "method": "GET", "path": BASE, "raw_path": BASE.encode(), "query_string": b"",
                      "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80)},
                     receive, send))
    assert sent[1]["body"] == b"the app's own"
    assert "loading the viewer" in caplog.text


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the app's own"})
