"""Whose program is at the other end: what headers and addresses do not say of a proxy, a tunnel, another user."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from slowlens import asgi, peer
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


def free_port() -> int:
    """Of no connection of this machine."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as one:
            port: int = one.getsockname()[1]
        if peer._listed(port, 0) == []:
            return port
    raise AssertionError("no port is free")


def no_such_connection(*arguments: Any) -> Any:
    raise LookupError


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
            (remote, port), (address, server_port) = scope["client"], scope["server"]
            own = [(os.getuid(), os.fstat(ours.fileno()).st_ino)]
            assert peer.held_by(remote, port, server_port, address) == own
            assert peer.held_by(remote, port, server_port, address, quick=True) == own
            assert peer.held_by(remote, port, server_port) == own, "where the server's address is not known"
            assert peer._listed(port, server_port) == own
            assert is_local(asgi_incoming(scope)) and is_local(asgi_incoming(scope), quick=True)
    except OSError as error:
        if family != socket.AF_INET6:
            raise
        pytest.skip(f"no IPv6 here: {error}")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.usefixtures("others")
def test_another_users_program_is_not_who_runs_the_app(address: str) -> None:
    with connected("0.0.0.0", address) as (scope, _):
        assert "another user of this machine" in stranger(scope) and stranger(scope, quick=True)
        assert not is_local(asgi_incoming(scope)) and not is_local(asgi_incoming(scope), quick=True)
        for unknown in (None, ("0.0.0.0", scope["server"][1])):
            scope["server"] = unknown
            assert not is_local(asgi_incoming(scope)), unknown
            assert unknown is None or not is_local(asgi_incoming(scope), quick=True), "no headers either"
        assert is_local(asgi_incoming(scope), Networks(["127.0.0.1"])), "who is named is believed"


@pytest.mark.parametrize("name", ["ssh", "socat", "nginx"])
def test_a_program_that_passes_on_what_others_send(name: str) -> None:
    with called(name), connected("127.0.0.1") as (scope, _):
        assert stranger(scope, quick=True) == "", "not looked for within a request's recording"
        assert f"comes from {name}," in stranger(scope)
        assert not is_local(asgi_incoming(scope)) and not is_local(asgi_incoming(scope), quick=True), "now it is known"
    with called("curl"), connected("127.0.0.1") as (scope, _):
        assert is_local(asgi_incoming(scope))


def test_a_program_that_closes_files_meanwhile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def with_one_that_was_closed(path: Any = ".") -> list[str]:
        found = listdir(path)
        return ["1000000", *found] if str(path).endswith("/fd/") else found

    monkeypatch.setattr(os, "listdir", with_one_that_was_closed)
    with called("nginx"), connected("127.0.0.1") as (scope, _):
        assert "comes from nginx," in stranger(scope)


def test_the_developers_own_connection_of_the_same_port_speaks_for_nobody() -> None:
    """127.0.0.1:P to 127.0.0.1:S is not 127.0.0.1:P to 127.0.0.2:S."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        with contextlib.ExitStack() as opened:
            ends, chosen = [], 0
            for server in ("127.0.0.1", "127.0.0.2"):
                client = opened.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(("127.0.0.1", chosen))
                chosen = client.getsockname()[1]
                client.connect((server, port))
                opened.enter_context(listener.accept()[0])
                ends.append((os.getuid(), os.fstat(client.fileno()).st_ino))
            for quick in (False, True):
                for server, end in zip(("127.0.0.1", "127.0.0.2"), ends, strict=True):
                    assert peer.held_by("127.0.0.1", chosen, port, server, quick) == [end]
            assert set(peer.held_by("127.0.0.1", chosen, port)) == set(ends), "any of them might be it"


def test_what_servers_show_of_a_connection_tells_where_it_was_reached() -> None:
    """Environs name the address that a server listens at; 0.0.0.0 is none."""
    with connected("0.0.0.0", "127.0.0.2") as (_, ours), connected("127.0.0.1") as (_, other):
        named = {"REMOTE_ADDR": "127.0.0.2", "SERVER_PORT": "1", "SERVER_NAME": "0.0.0.0"}
        port = ours.getpeername()[1]
        shown = {**named, "REMOTE_PORT": str(port), "werkzeug.socket": ours}
        assert peer._named(shown, shown) == (port, ours.getsockname()[1], ours.getsockname()[0])
        shown = {**shown, "werkzeug.socket": None, "gunicorn.socket": other}
        assert peer._named(shown, shown) == (port, 1, ""), "a proxy's, which has named another client"
        for shown in ({**named, "wsgi.input": ours.makefile("rb")},
                      {**named, "wsgi.input": SimpleNamespace(rfile=ours.makefile("rb"))}):
            assert peer._named(shown, shown) == (port, ours.getsockname()[1], ours.getsockname()[0])
    for address in (None, "", "localhost", "0.0.0.0", "::", "::ffff:0.0.0.0", "/run/socket"):
        assert peer._own(address) == ""
        assert peer._named({}, {"client": ("127.0.0.1", 5000), "server": (address, 80)})[2] == ""
    apache = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "5000", "SERVER_PORT": "9", "SERVER_ADDR": "127.0.0.2",
              "mod_wsgi.version": (6, 0), "mod_wsgi.listener_port": "80"}
    assert peer._named(apache, apache) == (5000, 80, "127.0.0.2"), "SERVER_PORT is the Host header's there"


def test_the_port_that_uwsgis_http_router_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are in the other order; behind nginx they are not. Whoever has one of the two might be it."""
    with connected("127.0.0.1") as (scope, _):
        port = scope["client"][1]
        values = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": str(scope["server"][1]), "uwsgi.version": b"2.0.31"}
        monkeypatch.setattr(peer, "_behind", lambda values: [])
        for named in (port, port >> 8 | (port & 255) << 8):
            for quick in (False, True):
                found = ends_of("127.0.0.1", {**values, "REMOTE_PORT": str(named)}, quick)
                assert [end.uid for end in found] == [os.getuid()]


def test_what_was_asked_quickly_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("slowlens.auth.ends_of", lambda remote, native, quick: asked.append(quick) or [])
    incoming = asgi_incoming({"client": ("127.0.0.1", 5000), "path": "/", "headers": [(b"host", b"localhost")]})
    for quick in (True, True, False, True, False):
        assert is_local(incoming, quick=quick)
    assert asked == [True, False]


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="no /proc")
def test_a_relay_that_may_not_be_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with capabilities of its file: what it holds is not known, but what it is called."""
    listdir = os.listdir

    def refused(path: str) -> list[str]:
        if path == "/proc":
            return [str(os.getpid())]
        if path.endswith("/fd/"):
            raise PermissionError
        return listdir(path)

    monkeypatch.setattr(peer.os, "listdir", refused)
    monkeypatch.setattr(peer, "_owners", [])
    for name, said in (("caddy", "caddy, as it seems"), ("firefox", "")):
        with called(name), connected("127.0.0.1") as (scope, _):
            assert said in stranger(scope) and bool(said) == bool(stranger(scope))


def test_no_trigger_holds_the_event_loop_while_programs_are_looked_at(
    store_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []
    monkeypatch.setattr(peer, "_relay", lambda end: where.append(threading.current_thread() is threading.main_thread()))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        pass

    site = asgi.ProfilerMiddleware(app, store=store_path, debug=True, log=False)
    with connected("127.0.0.1") as (scope, _):
        scope |= {"type": "http", "method": "GET", "query_string": b"slowlens=lines", "scheme": "http"}
        scope["headers"] += [(b"sec-fetch-site", b"same-origin")]
        asyncio.run(site(scope, None, send))  # type: ignore[arg-type]
    site.recorder.writer.flush(5)
    assert where == [False]


def test_who_hangs_up_before_the_answer_gets_none() -> None:
    """The kernel has forgotten then who it was: another user could delete by what is sent in time."""
    with connected("127.0.0.1") as (scope, ours):
        ours.shutdown(socket.SHUT_WR)
        assert is_local(asgi_incoming(scope)), "it still listens to the answer"
        ours.close()
        assert not is_local(asgi_incoming(scope))


@pytest.mark.parametrize("server", ["127.0.0.1", None])
def test_who_tears_its_connection_down_gets_none(server: str | None) -> None:
    """No end of it is known then, as of a test's client or one from outside of this namespace; nor the server's own."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as ours, listener.accept()[0] as theirs:
        port, server_port = theirs.getpeername()[1], theirs.getsockname()[1]
        values = {"wsgi.input": theirs.makefile("rb"), "REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": str(server_port),
                  "SERVER_SOFTWARE": "WSGIServer", "HTTP_HOST": "localhost", "PATH_INFO": "/"}
        assert is_local(wsgi_incoming(values))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ours.close()
        scope = {"client": ("127.0.0.1", port), "server": (server or "0.0.0.0", server_port), "path": "/",
                 "headers": [(b"host", b"localhost")]}
        assert not is_local(asgi_incoming(scope))
        assert not is_local(wsgi_incoming(values)), "it named no port, but showed the connection"


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
                 {"client": ["127.0.0.1", free_port()], "server": ["testserver", None]},
                 {"client": ["127.0.0.1", free_port()], "server": ["localhost", 80]}):
        for quick in (False, True):
            incoming = asgi_incoming({"path": "/", "headers": [(b"host", b"localhost")], **ends})
            assert is_local(incoming, quick=quick), ends
    # Of the mirrored network of WSL the server's end is there, and no other.
    monkeypatch.setattr(peer, "_asked", no_such_connection)
    with connected("127.0.0.1") as (scope, _):
        real = Path("/proc/net/tcp").read_bytes().splitlines()
        ending = b":%04X" % scope["client"][1]
        lines = [line for line in real if not line.split()[1].endswith(ending)]
        monkeypatch.setattr(peer, "open", lambda path, mode: io.BytesIO(b"\n".join(lines)), raising=False)
        assert is_local(asgi_incoming(scope)) and is_local(asgi_incoming(scope), quick=True)
        monkeypatch.undo()
    monkeypatch.setattr(peer, "who_may_connect", lambda: NOBODY_OF_OURS)
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
