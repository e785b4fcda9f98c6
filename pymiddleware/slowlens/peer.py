"""Whose program is at the other end of a connection from this machine.

A proxy that passes requests on without a word of it (nginx from 1.29.7 on with ``proxy_pass`` alone), a tunnel
(``ssh -R``, ``socat``) and the browser of another user look like the developer's own browser: 127.0.0.1, and no header
that says more. The kernel knows which user opened the other end and, of our own user's programs, which one. Linux only;
where nothing is known (another kernel, a test's client without a connection, WSL's mirrored network), nothing is said
against the client.
"""

from __future__ import annotations

import _socket  # not socket: gevent replaces that one, and would switch greenlets here
import os
import re
import struct
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["CLOSED", "Held", "against", "ends_of", "held_by", "who_may_connect"]

#: Programs that pass on what others send. What they are run for at this end of a connection is known by the name.
RELAYS = frozenset((
    "ssh", "socat", "nginx", "haproxy", "caddy", "traefik", "envoy", "apache2", "httpd", "lighttpd", "h2o", "varnishd",
    "cache-main", "squid", "stunnel", "stunnel4", "stunnel5", "hitch", "pound", "sslh", "rinetd", "redir", "xinetd",
    "simpleproxy", "tcpproxy", "frpc", "bore", "rathole", "chisel", "ngrok", "cloudflared", "tailscaled",
    "inlets",
))
#: Ports below are root's alone, who may look anyway (and clients of tests name such: httpx says 123).
PRIVILEGED = 1024
#: Open files of other processes that are looked at for one connection, at most.
LOOKED_AT_MAX = 20_000
KNOWN_MAX = 256
#: Nobody waits for an answer, nor for a reason.
CLOSED = "its connection is closed already"

#: States in the kernel's list: of a connection (08: the server has closed its side), and of what listens.
_CONNECTED, _LISTENS = (b"01", b"08"), b"0A"
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
#: inode of a connection's other end -> the relay's name, "": none. Numbers are not used again for a long time.
_known: dict[int, str] = {}
#: Processes that were found last: browsers hold many connections.
_owners: list[str] = []


class Held(NamedTuple):
    """What the kernel says of a connection's other end."""

    uid: int
    #: 0: its process has let go of it.
    inode: int


def ends_of(remote: str, native: Any, quick: bool = False) -> list[Held]:
    """Whose the other end of a request's connection from ``remote`` is, an address of this machine; nothing: nobody
    knows.

    :param native: the WSGI environ, the ASGI scope, or Django's request.
    :param quick: only if that is known in microseconds.
    :raises Exception: whatever objects of servers raise; who asks refuses then.
    """
    if sys.platform != "linux":
        return []
    values: Mapping[str, Any] = getattr(native, "META", native)
    port, server_port = _ports(values)
    if port >= PRIVILEGED:
        return held_by(remote, port, server_port, quick)
    # A server that names no port of its clients (granian's WSGI): then all of them, whoever it is that asks. Clients of
    # tests name no server.
    unnamed = port == 0 and server_port != 0 and "SERVER_SOFTWARE" in values
    return _listed(server_port, which=2) if unnamed and not quick else []


def against(ends: list[Held], quick: bool = False) -> str:
    """Why who holds these is not who runs the app, in words; "" if nothing says so.

    :param quick: looks into no process that is not known: that can take milliseconds, once for a connection.
    """
    for end in ends:
        if end.inode == 0:
            return CLOSED
        if end.uid not in who_may_connect():
            return f"the connection comes from a program of {_user(end.uid)}"
        relay = _known.get(end.inode, "") if quick else _relay(end.inode)
        if relay:
            return f"the connection comes from {relay}, which passes on what others send"
    return ""


def who_may_connect() -> frozenset[int]:
    """Users whose programs may be the developer's: our own, root (port forwarding of WSL and Kubernetes), and who
    called ``sudo``."""
    users = {0, os.geteuid(), os.getuid()}
    caller = os.environ.get("SUDO_UID", "")
    if caller.isascii() and caller.isdigit():  # also of `sudo -u app`: the environment is the operator's word
        users.add(int(caller))
    return frozenset(users)


def _user(uid: int) -> str:
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    known = f"{name}, " if re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name) is not None else ""
    return f"another user of this machine ({known}uid {uid})"


# ---- which connection ----


def _ports(values: Mapping[str, Any]) -> tuple[int, int]:
    """The client's port and the server's; 0: not known."""
    if "REMOTE_ADDR" in values:
        return (_number(values.get("REMOTE_PORT")) or _behind(values), _number(values.get("SERVER_PORT")))
    return tuple(_number(end[1]) if end else 0  # type: ignore[return-value]
                 for end in (values.get("client"), values.get("server")))


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536 else 0


def _behind(values: Mapping[str, Any]) -> int:
    """Of servers that name no port, that of the connection: wsgiref (and so ``manage.py runserver``) reads the body
    from it, uWSGI says its descriptor."""
    if "uwsgi.version" in values:
        descriptor = os.dup(import_module("uwsgi").connection_fd())
        try:
            connection = _socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            return 0
        try:
            return _port_of(connection)
        finally:
            connection.close()
    stream = values.get("wsgi.input")
    within = getattr(getattr(stream, "_read", None), "__self__", None)  # Django's LimitedStream
    for one in (stream, within):
        held = getattr(getattr(one, "raw", None), "_sock", None)
        if held is not None:
            return _port_of(held)
    return 0


def _port_of(connection: Any) -> int:
    try:
        return _number(connection.getpeername()[1])
    except (OSError, IndexError):  # a socket of Unix
        return 0


# ---- whose it is ----


def held_by(remote: str, port: int, server_port: int, quick: bool = False) -> list[Held]:
    """The other ends of the connection from ``remote``:``port``; several where only the port is known, none where
    nothing is."""
    try:
        return [_asked(remote, port, server_port)]
    except (OSError, struct.error, LookupError):  # no such connection, or the kernel does not say
        return [] if quick else _listed(port)


def _asked(remote: str, port: int, server_port: int) -> Held:
    """Asks for the one connection: a question and an answer of the kernel's (``linux/inet_diag.h``), some 15 us.

    From one loopback address to the same one: as every client connects that does not choose its own.
    """
    family = _socket.AF_INET6 if ":" in remote else _socket.AF_INET
    address = _socket.inet_pton(family, remote).ljust(16, b"\0")
    which = struct.pack("!HH16s16s", port, server_port, address, address)
    any_of_them = struct.pack("=III", 0, 0xffffffff, 0xffffffff)  # interface, cookie
    request = struct.pack("=BBBxI", family, _socket.IPPROTO_TCP, 0, 0xffffffff) + which + any_of_them
    head = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    link = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    try:
        link.sendto(head + request, (0, 0))
        answer = link.recv(4096, _socket.MSG_DONTWAIT)  # it was made while the question was sent
    finally:
        link.close()
    if struct.unpack_from("=IH", answer)[1] != _SOCK_DIAG_BY_FAMILY:
        raise LookupError("no such connection")
    return Held(*struct.unpack_from("=II", answer, 16 + 64))


def _listed(port: int, which: int = 1) -> list[Held]:
    """Those of /proc whose own port this is (``which`` 2: which are connected to it): milliseconds, on machines with
    much memory, for the kernel walks a table."""
    found = []
    ending = b":%04X" % port
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, "rb") as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            parts = line.split()
            if len(parts) > 9 and parts[which].endswith(ending) and (
                    parts[3] in _CONNECTED if which == 2 else parts[3] != _LISTENS):
                found.append(Held(int(parts[7]), int(parts[9])))
    return found


# ---- which program ----


def _relay(inode: int) -> str:
    """The name of the program that holds this end, if it is one of RELAYS. Of processes that may be looked into."""
    known = _known.get(inode)
    if known is not None:
        return known
    name = _name_of_owner(f"socket:[{inode}]")
    name = name if name in RELAYS else ""
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[inode] = name
    return name


def _name_of_owner(target: str) -> str:
    """Of the processes that were found before, then of the newest first: curl is one, a browser has been there."""
    own, left = os.geteuid(), LOOKED_AT_MAX
    try:
        all_of_them = sorted((int(pid) for pid in os.listdir("/proc") if pid.isdigit()), reverse=True)
    except OSError:
        return ""
    for pid in [*_owners, *map(str, all_of_them)]:
        folder = f"/proc/{pid}/fd/"
        try:
            if own != 0 and os.stat(folder).st_uid != own:
                continue
            for fd in os.listdir(folder):
                left -= 1
                if os.readlink(folder + fd) == target:
                    with open(f"/proc/{pid}/comm", "rb") as file:
                        name = file.read(64).strip().decode("ascii", "replace")
                    _owners[:] = [pid, *(one for one in _owners if one != pid)][:8]
                    return name
        except OSError:
            continue  # it has ended, closed this one, or may not be looked into
        if left < 0:
            break
    return ""
