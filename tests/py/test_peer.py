"""Whose program is at the other end: what headers and addresses do not say of a proxy, a tunnel, another user."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from slowlens import peer
from slowlens.auth import is_local
from slowlens.options import Networks
from slowlens.peer import against, ends_of
from slowlens.request import asgi_incoming, wsgi_incoming
from slowlens.wsgi import ProfilerMiddleware

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of connections is Linux's")
NOBODY_OF_OURS = frozenset({4_000_000_000})


class Quiet(WSGIRequestHandler):
    def log_message(self, *parts: Any) -> None:
        pass


@contextlib.contextmanager
def connected(server: str, client: str = "", family: int = socket.AF_INET) -> Iterator[Any]:
    """The ASGI scope of a real connection, and its client's end."""
    with socket.create_server((server, 0), family=family, dualstack_ipv6=server == "::") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((client or server, port)) as ours, listener.accept()[0] as theirs:
            # Not where it listens, but where it was reached: what servers say.
            yield {"client": theirs.getpeername()[:2], "server": theirs.getsockname()[:2], "path": "/",
                   "headers": [(b"host", b"localhost")]}, ours


@contextlib.contextmanager
def called(name: str) -> Iterator[None]:
    """This process by another name."""
    comm = Path("/proc/self/comm")
    before = comm.read_text()
    comm.write_text(name)
    peer._known.clear()
    try:
        yield
    finally:
        comm.write_text(before)
        peer._known.clear()


def stranger(scope: Any, quick: bool = False) -> str:
    return against(ends_of(scope["client"][0], scope), quick)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """We run as somebody else than the client's program."""
    monkeypatch.setattr(peer, "who_may_connect", lambda: NOBODY_OF_OURS)


WAYS = [("127.0.0.1", "", socket.AF_INET), ("::1", "", socket.AF_INET6), ("::", "127.0.0.1", socket.AF_INET6),
        ("0.0.0.0", "127.0.0.2", socket.AF_INET)]


@pytest.mark.parametrize(("server", "client", "family"), WAYS)
def test_the_connection_is_found_however_it_was_made(server: str, client: str, family: int) -> None:
    """By IPv6, by IPv4 at a socket of IPv6, at another address of this machine."""
    try:
        with connected(server, client, family) as (scope, ours):
            found = peer.held_by(scope["client"][0], scope["client"][1], scope["server"][1])
            assert found == [(os.getuid(), os.fstat(ours.fileno()).st_ino)]
            assert is_local(asgi_incoming(scope))
    except OSError as error:
        if family != socket.AF_INET6:
            raise
        pytest.skip(f"no IPv6 here: {error}")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.usefixtures("others")
def test_another_users_program_is_not_who_runs_the_app(address: str) -> None:
    with connected("0.0.0.0", address) as (scope, _):
        assert "another user of this machine" in stranger(scope)
        assert not is_local(asgi_incoming(scope))
        assert is_local(asgi_incoming(scope), Networks(["127.0.0.1"])), "who is named is believed"


@pytest.mark.parametrize("name", ["ssh", "socat", "nginx"])
def test_a_program_that_passes_on_what_others_send(name: str) -> None:
    with called(name), connected("127.0.0.1") as (scope, _):
        assert stranger(scope, quick=True) == "", "not looked for within a request's recording"
        assert f"comes from {name}," in stranger(scope)
        assert not is_local(asgi_incoming(scope)) and not is_local(asgi_incoming(scope), quick=True), "now it is known"
    with called("curl"), connected("127.0.0.1") as (scope, _):
        assert is_local(asgi_incoming(scope))


def test_who_hangs_up_before_the_answer_gets_none() -> None:
    """The kernel has forgotten then who it was: another user could delete by what is sent in time."""
    with connected("127.0.0.1") as (scope, ours):
        ours.shutdown(socket.SHUT_WR)
        assert is_local(asgi_incoming(scope)), "it still listens to the answer"
        ours.close()
        assert not is_local(asgi_incoming(scope))


@pytest.mark.usefixtures("others")
def test_where_the_kernel_answers_no_questions_its_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(peer, "_asked", refused)
    with connected("127.0.0.1") as (scope, _):
        assert not is_local(asgi_incoming(scope))


@pytest.mark.usefixtures("others")
def test_what_nobody_knows_speaks_against_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of tests have no connection; nor has what comes from outside of a network namespace."""
    values = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "PATH_INFO": "/", "SERVER_PORT": "80"}
    for port in ("", "123", "x", "99999", "\u0661\u0662", None):
        assert is_local(wsgi_incoming({**values, "REMOTE_PORT": port})), port
    for ends in ({"client": ("127.0.0.1", 0)}, {"client": ("127.0.0.1", None), "server": None},
                 {"client": ["127.0.0.1", 50000], "server": ["testserver", None]}):
        assert is_local(asgi_incoming({"path": "/", "headers": [(b"host", b"localhost")], **ends})), ends
    monkeypatch.setattr(peer.sys, "platform", "darwin")
    with connected("127.0.0.1") as (scope, _):
        assert is_local(asgi_incoming(scope))


@pytest.mark.usefixtures("others")
def test_a_server_that_names_neither_port_nor_connection() -> None:
    """granian's WSGI: whoever else is connected to it counts."""
    with connected("127.0.0.1") as (scope, _):
        values = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "PATH_INFO": "/",
                  "SERVER_PORT": str(scope["server"][1])}
        assert is_local(wsgi_incoming(values)), "a client of tests"
        assert not is_local(wsgi_incoming({**values, "SERVER_SOFTWARE": "Granian"}))
    assert is_local(wsgi_incoming({**values, "SERVER_SOFTWARE": "Granian"}))


def test_who_called_sudo_is_who_develops(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sudo python manage.py runserver 80``, ``sudo -u app flask run``: the browser is the caller's."""
    for said, more in (("1234", {1234}), ("", set()), ("x", set()), ("-1", set())):
        monkeypatch.setenv("SUDO_UID", said)
        assert peer.who_may_connect() == {0, os.getuid(), os.geteuid()} | more


def test_a_server_that_names_no_port(
    store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """wsgiref's, of ``manage.py runserver``; and what whoever is not let in gets and the developer reads."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [("Content-Length", "3")])
        return [b"own"]

    def ask(path: str) -> tuple[int, bytes, list[str]]:
        client = http.client.HTTPConnection("127.0.0.1", server.server_port)
        client.request("GET", path)
        with contextlib.closing(client), client.getresponse() as answer:
            return answer.status, answer.read(), [name for name, _ in answer.getheaders()]

    site = ProfilerMiddleware(app, store=store_path, debug=True, log=False)
    with make_server("127.0.0.1", 0, site, handler_class=Quiet) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            assert ask("/__slowlens__/")[0] == 200 and "X-Slowlens" in ask("/")[2]
            monkeypatch.setattr(peer, "who_may_connect", lambda: NOBODY_OF_OURS)
            for _ in range(2):
                assert ask("/__slowlens__/")[:2] == ask("/__slowlens__/api/requests")[:2] == (404, b"own")
            assert not {"X-Slowlens", "Server-Timing"} & set(ask("/")[2])
        finally:
            server.shutdown()
            serving.join()
    assert caplog.text.count("another user of this machine") == caplog.text.count('trusted_proxies=["127.0.0.1"]') == 1
