"""Whose program is at the other end of a connection from this machine.

A proxy that passes requests on without a word of it (nginx from 1.29.7 on with ``proxy_pass`` alone), a tunnel
(``ssh -R``, ``socat``) and the browser of another user look like the developer's own browser: 127.0.0.1, and no header
that says more. The kernel knows which user opened the other end and, of our own user's programs, which one. Linux only;
where nothing is known (another kernel, a test's client without a connection, WSL's mirrored network), nothing is said
against the client.
"""

from __future__ import annotations

import _socket  # not socket: gevent replaces that one, and would switch greenlets here
import errno
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

#: States in the kernel's list: of a connection (04, 05: this side is closed, 08: the other one), and of what listens.
_CONNECTED, _LISTENS = (b"01", b"04", b"05", b"08"), b"0A"
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
#: inode of a connection's other end -> the relay's name (and how sure that is), "": none. Numbers are not used again
#: for a long time.
_known: dict[int, str] = {}
#: Processes that were found last: browsers hold many connections.
_owners: list[str] = []


class Held(NamedTuple):
    """What the kernel says of a connection's other end."""

    uid: int
    #: 0: its process has let go of it.
    inode: int


#: The kernel knows no such connection; or it has forgotten it.
UNKNOWN, GONE = Held(-1, -1), Held(-1, 0)


class _Gone(Exception):
    """The server has the connection, and it is none any more."""


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
    try:
        port, server_port, server = _named(native, values)
    except _Gone:
        return [GONE]
    ports = {port}
    if "uwsgi.version" in values and values.get("REMOTE_PORT"):  # its HTTP router's has the other order of bytes
        ports.add(port >> 8 | (port & 255) << 8)
    asked = [held_by(remote, one, server_port, server, quick) for one in sorted(ports) if one >= PRIVILEGED]
    if asked:
        found = [end for ends in asked for end in ends]
        return [end for end in found if end != UNKNOWN] or found
    # A server that names no port of its clients (granian's WSGI): then all of them, whoever it is that asks. Clients of
    # tests name no server.
    unnamed = port == 0 and server_port != 0 and "SERVER_SOFTWARE" in values
    return _listed(0, server_port) if unnamed and not quick else []


def against(ends: list[Held], quick: bool = False) -> str:
    """Why who holds these is not who runs the app, in words; "" if nothing says so.

    :param quick: looks into no process that is not known: that can take milliseconds, once for a connection.
    """
    for end in ends:
        if end.inode == 0:
            return CLOSED
        if end == UNKNOWN:
            return "the kernel knows no such connection"
        if end.uid not in who_may_connect():
            return f"the connection comes from a program of {_user(end.uid)}"
        relay = _known.get(end.inode, "") if quick else _relay(end)
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


def _named(native: Any, values: Mapping[str, Any]) -> tuple[int, int, str]:
    """The client's port, the server's and the server's address, of this very connection; 0 and "": not known.

    At which address the client came is asked for, too: a server of ``0.0.0.0`` is reached at any of 127.0.0.0/8, and
    another user's client may have the port that the developer's own has.
    """
    if "REMOTE_ADDR" not in values:  # ASGI
        (_, port), (server, server_port) = (_pair(values.get(end)) for end in ("client", "server"))
        # Clients of tests name a host; then there is no connection to look for.
        return port, server_port if _packed(server) else 0, _own(server)
    # Apache takes SERVER_PORT from the Host header: a client's word.
    server_port = _number(values.get("mod_wsgi.listener_port" if "mod_wsgi.version" in values else "SERVER_PORT"))
    port, server = _number(values.get("REMOTE_PORT")), _own(values.get("SERVER_ADDR"))
    if port == 0 or not server:
        for there, here in _behind(values):
            if there[1] == port or port == 0:  # another one is that of a proxy, which named its client's port
                return _number(there[1]), _number(here[1]), _own(here[0])
    if not server:
        server = _own(_pair((_mapping(getattr(native, "scope", None))).get("server"))[0])  # Django under ASGI
    return port, server_port, server


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _pair(end: Any) -> tuple[str, int]:
    return (str(end[0]), _number(end[1])) if end else ("", 0)


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536 else 0


def _packed(address: Any) -> bytes:
    """The bytes of an address, b"" of anything else; one of IPv4 in clothes of IPv6 is one of IPv4."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            packed = _socket.inet_pton(family, str(address))
        except (OSError, ValueError):
            continue
        return packed[12:] if packed[:12] == b"\0" * 10 + b"\xff\xff" else packed
    return b""


def _own(address: Any) -> str:
    """``address`` if a connection can be reached there: no name, not ``0.0.0.0``."""
    return str(address) if any(_packed(address)) else ""


def _behind(values: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Both ends, theirs and ours, of connections that servers show: gunicorn, werkzeug, waitress; wsgiref (and so
    ``manage.py runserver``), gevent, eventlet and cheroot read the body from it, uWSGI says its descriptor."""
    stream = values.get("wsgi.input")
    within = getattr(getattr(stream, "_read", None), "__self__", None)  # Django's LimitedStream
    channel = getattr(values.get("waitress.client_disconnected"), "__self__", None)
    shown = [values.get("gunicorn.socket"), values.get("werkzeug.socket"), getattr(channel, "socket", None)]
    shown += [getattr(getattr(one, "raw", None), "_sock", None)
              for one in (stream, within, getattr(stream, "rfile", None))]
    found = []
    for one in shown:
        if hasattr(one, "getpeername"):
            found += _ends(one)
    if not found and "uwsgi.version" in values:
        try:
            descriptor = os.dup(import_module("uwsgi").connection_fd())
        except OSError:
            return []
        try:
            connection = _socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            return []
        try:
            found = _ends(connection)
        finally:
            connection.close()
    return found


def _ends(connection: Any) -> list[tuple[Any, Any]]:
    try:
        both = (connection.getpeername(), connection.getsockname())
    except OSError as error:
        if error.errno == errno.ENOTCONN:  # the client has torn it down
            raise _Gone from error
        return []
    return [both] if all(isinstance(end, tuple) and len(end) > 1 for end in both) else []  # else: a socket of Unix


# ---- whose it is ----


def held_by(remote: str, port: int, server_port: int, server: str = "", quick: bool = False) -> list[Held]:
    """The other ends of the connection from ``remote``:``port``; several where only ports are known, none where
    nothing is."""
    asked = []
    try:
        # Without an address it is taken for the client's own: as every client connects that does not choose its own.
        asked = [_asked(remote, port, server or remote, server_port)]
        if server or quick:
            return asked
    except LookupError:
        if quick:
            # Nobody's of this machine (tests, the mirrored network of WSL); but where the address was a guess, one that
            # comes from another address than it went to may be another user's.
            return [] if server or server_port == 0 else [UNKNOWN]
    except (OSError, struct.error):  # the kernel does not say
        if quick:
            return []
    return [*asked, *(end for end in _listed(port, server_port) if end not in asked)]


def _asked(remote: str, port: int, server: str, server_port: int) -> Held:
    """Asks for the one connection: a question and an answer of the kernel's (``linux/inet_diag.h``), some 15 us.

    :raises LookupError: there is none.
    """
    ends = [_packed(remote), _packed(server)]
    if len(ends[0]) != len(ends[1]) or not ends[0]:
        raise LookupError("no two ends of one connection")
    family = _socket.AF_INET if len(ends[0]) == 4 else _socket.AF_INET6
    which = struct.pack("!HH16s16s", port, server_port, *ends)
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
        code = -struct.unpack_from("=i", answer, 16)[0]
        if code == errno.ENOENT:
            raise LookupError("no such connection")
        raise OSError(code, "the kernel does not say")
    return Held(*struct.unpack_from("=II", answer, 16 + 64))


def _listed(port: int, server_port: int) -> list[Held]:
    """Those of /proc that are connected from this port to that one (0: any): milliseconds, on machines with much
    memory, for the kernel walks a table.

    Where none is: what is connected from this port to elsewhere (a rule of the firewall may have led it here), or what
    is closed already. Where the server's own end is not there, either, the client has torn it down.
    """
    connected: list[Held] = []
    elsewhere: list[Held] = []
    closed: list[Held] = []
    known = read = False
    here, there = b":%04X" % port if port else b"", b":%04X" % server_port if server_port else b""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, "rb") as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        read = True
        for line in lines:
            parts = line.split()
            if len(parts) < 10 or parts[3] == _LISTENS:
                continue
            known = known or (parts[1].endswith(there) and parts[2].endswith(here))
            if not parts[1].endswith(here):
                continue
            end, exact = Held(int(parts[7]), int(parts[9])), parts[2].endswith(there)
            if end.inode and parts[3] in _CONNECTED:
                (connected if exact else elsewhere).append(end)
            elif exact:
                closed.append(end._replace(inode=0))
    if port == 0 or connected:
        return connected
    if server_port and read:
        return closed[:1] or (elsewhere if known else [UNKNOWN])
    return elsewhere


# ---- which program ----


def _relay(end: Held) -> str:
    """The name of the program that holds this end, if it is one of RELAYS; of programs of ours that may not be looked
    into (with capabilities of their file) one that might hold it."""
    known = _known.get(end.inode)
    if known is not None:
        return known
    name, hidden = _name_of_owner(f"socket:[{end.inode}]")
    if not name and hidden and end.uid == os.geteuid():
        name = f"{hidden}, as it seems (it may not be looked into)"
    elif name not in RELAYS:
        name = ""
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[end.inode] = name
    return name


def _name_of_owner(target: str) -> tuple[str, str]:
    """Of the processes that were found before, then of the newest first: curl is one, a browser has been there. And
    one of RELAYS among those that may not be looked into."""
    own, left, hidden = os.geteuid(), LOOKED_AT_MAX, ""
    try:
        all_of_them = sorted((int(pid) for pid in os.listdir("/proc") if pid.isdigit()), reverse=True)
    except OSError:
        return "", ""
    for pid in [*_owners, *map(str, all_of_them)]:
        folder = f"/proc/{pid}/fd/"
        try:
            if own != 0 and os.stat(f"/proc/{pid}").st_uid != own:
                continue
            for fd in os.listdir(folder):
                left -= 1
                try:
                    held = os.readlink(folder + fd)
                except FileNotFoundError:
                    continue  # closed since, as each of a busy program's may be: those behind it are not
                if held == target:
                    _owners[:] = [pid, *(one for one in _owners if one != pid)][:8]
                    return _name_of(pid), ""
        except PermissionError:
            name = _name_of(pid)
            hidden = name if name in RELAYS else hidden
        except OSError:
            continue  # it has ended, or closed this one
        if left < 0:
            break
    return "", hidden


def _name_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read(64).strip().decode("ascii", "replace")
    except OSError:
        return ""
