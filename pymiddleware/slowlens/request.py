"""A request as the policy and the store see it, whatever framework it is of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from . import _core
from ._core import Seen

__all__ = [
    "ID", "Incoming", "Seen", "asgi_incoming", "id_text", "id_time_ns", "id_value", "new_id", "traceparent", "url_path",
    "wsgi_incoming", "wsgi_text",
]

#: What a profile id looks like: a lower-case ULID. Checked before it becomes a path.
ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}\Z")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]

#: Methods that are called by their name (RFC 9110, PATCH, QUERY, WebDAV, PURGE): servers pass on any word, and tables
#: by route and method must not grow with words that strangers make up.
METHODS = frozenset((
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "PROPFIND", "PROPPATCH",
    "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "MKCALENDAR", "ACL", "PURGE", "TASK", "",
))
OTHER_METHOD = "[other]"


def _text(number: int) -> str:
    upper, lower = number >> 70, number & (1 << 70) - 1
    return "".join([_PAIRS[upper >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
                   + [_PAIRS[lower >> shift & 1023] for shift in (60, 50, 40, 30, 20, 10, 0)])


def new_id(now_ns: int) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 of chance. A clock beyond them is at their end."""
    return _text(max(0, min(now_ns // 1_000_000, (1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big"))


def id_time_ns(profile_id: str) -> int:
    """The time in a profile id, Unix nanoseconds."""
    number = 0
    for char in profile_id[:10]:
        number = number << 5 | _ALPHABET.index(char)
    return number * 1_000_000


_TO_INT = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")


def id_value(profile_id: str) -> bytes:
    """The 16 bytes of an id that was checked; their order is the order of ids."""
    return int(profile_id.translate(_TO_INT), 32).to_bytes(16, "big")


def id_text(value: bytes) -> str:
    """The id of 16 bytes."""
    return _text(int.from_bytes(value, "big"))


class Incoming:
    """What is known before the app runs. Values come from the client: not trusted."""

    __slots__ = (
        "asks", "ends", "granted", "headers", "host", "method", "native", "path", "query", "remote", "secure",
        "version",
    )

    def __init__(
        self, method: str, path: str, query: str, host: str, remote: str, secure: bool,
        headers: Mapping[str, str], native: Any, asks: bool, version: str = "",
    ) -> None:
        #: Whether it carries what may be a trigger; most do not, and pay no more than this.
        self.asks = asks
        #: What the client may do, if that was found out ahead of the decision.
        self.granted: frozenset[str] | None = None
        #: Whether it was asked quickly whose the connection's other end is (``peer``), where the client is at this
        #: machine, and what was said.
        self.ends: tuple[bool, list[Any]] | None = None
        self.method = method if method in METHODS else OTHER_METHOD
        self.path = path
        self.query = query
        self.host = host
        self.remote = remote
        self.secure = secure
        self.headers = headers
        self.native = native
        #: Of HTTP, ``1.1``; "" if nobody says.
        self.version = version


class _EnvironHeaders(Mapping[str, str]):
    """Headers of a WSGI environ, looked up when asked for."""

    __slots__ = ("environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            return str(self.environ[key])
        return str(self.environ["HTTP_" + key])

    def __iter__(self) -> Any:
        for key in self.environ:
            if key.startswith("HTTP_"):
                yield key[5:].lower().replace("_", "-")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def cleared(self) -> bool:
        """Whether the server keeps what a proxy said to itself: waitress does, unless told whom it may trust."""
        asks = self.environ.get("waitress.client_disconnected")
        if asks is None:
            return False
        try:
            sent = asks.__self__.requests[0].headers
        except (AttributeError, LookupError, TypeError):
            return True  # another waitress than those known: then nobody knows
        return any(name.startswith(("X_FORWARDED", "FORWARDED")) and "HTTP_" + name not in self.environ
                   for name in sent)


def wsgi_text(value: str) -> str:
    """A path of an environ as text: there it is bytes disguised as latin-1."""
    return value if value.isascii() else value.encode("latin-1", "replace").decode("utf-8", "replace")


def url_path(path: str) -> str:
    """A path as it may stand in a header: ASCII, nothing that ends it, and no other host's."""
    quoted = quote(path, safe="/~-._:@!$&'()*+,=", errors="replace")
    return "/" + quoted.lstrip("/") if quoted.startswith("//") else quoted


def wsgi_incoming(environ: Mapping[str, Any]) -> Incoming:
    """From a WSGI environ (PEP 3333)."""
    get = environ.get
    path, query = get("PATH_INFO", ""), get("QUERY_STRING", "")
    return Incoming(
        get("REQUEST_METHOD", ""), (path if path.isascii() else wsgi_text(path)) or "/", query, get("HTTP_HOST", ""),
        get("REMOTE_ADDR") or "", get("wsgi.url_scheme") == "https", _EnvironHeaders(environ), environ,
        "HTTP_X_SLOWLENS" in environ or (query != "" and "slowlens=" in query[:2000]), get("SERVER_PROTOCOL", "")[5:],
    )


def _wsgi_incoming_of(environ: Mapping[str, Any], read: tuple[str, str, str, str, str, bool, str]) -> Incoming:
    """The same of what C has read before the app could change it."""
    method, path, query, host, remote, secure, protocol = read
    return Incoming(method, path, query, host, remote, secure, _EnvironHeaders(environ), environ, False, protocol[5:])


class _ScopeHeaders(Mapping[str, str]):
    """Headers of an ASGI scope, decoded when first asked for."""

    __slots__ = ("_decoded", "scope")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = scope
        self._decoded: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._decoded is None:
            decoded: dict[str, str] = {}
            self._decoded = decoded
            for raw_name, raw_value in self.scope.get("headers", ()):
                name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
                if name in decoded:  # all of them, as WSGI servers join them: what a proxy adds may come first or last
                    value = decoded[name] + ("; " if name == "cookie" else ",") + value
                decoded[name] = value
        return self._decoded

    def __getitem__(self, name: str) -> str:
        if self._decoded is None:
            wanted = name.lower().encode("latin-1", "replace")
            size = len(wanted)
            if not any([len(key) == size and key.lower() == wanted for key, _ in self.scope.get("headers", ())]):
                raise KeyError(name)  # most that is asked for is not there: the others need no decoding
        return self._all()[name.lower()]

    def __iter__(self) -> Any:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def asgi_incoming(scope: Mapping[str, Any]) -> Incoming:
    """From an ASGI HTTP scope. The path is the one below ``root_path``, as Starlette sees it."""
    get = scope.get
    query = get("query_string", b"")
    asks = query != b"" and b"slowlens=" in query[:2000]
    hosts = []
    for name, value in get("headers", ()):
        if name == b"host":
            hosts.append(value)
        elif name == b"x-slowlens":
            asks = True
    path = get("path", "") or "/"
    root = get("root_path", "")
    if root and path.startswith(root + "/"):
        path = path[len(root):]
    client = get("client")
    return Incoming(
        get("method", ""), path, query.decode("latin-1"), b",".join(hosts).decode("latin-1"),
        (client[0] or "") if client else "", get("scheme") == "https", _ScopeHeaders(scope), scope, asks,
        get("http_version", ""),
    )


def _asgi_incoming_of(scope: Mapping[str, Any], read: tuple[str, str, bytes, bytes, Any, bool, str]) -> Incoming:
    """The same of what C has read before the app could change it."""
    method, path, query, host, client, secure, version = read
    return Incoming(
        method, path, query.decode("latin-1"), host.decode("latin-1"), (client[0] or "") if client else "", secure,
        _ScopeHeaders(scope), scope, False, version,
    )


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")


def traceparent(value: str | None) -> tuple[str, str] | None:
    """(trace id, parent span id) of a W3C traceparent header, or None."""
    match = _TRACEPARENT.match(value or "")
    if match is None or (value or "").startswith("ff"):
        return None
    trace, span = match.groups()
    return None if trace.strip("0") == "" or span.strip("0") == "" else (trace, span)


_core.upcalls(new_id=new_id, wsgi_incoming=_wsgi_incoming_of, asgi_incoming=_asgi_incoming_of)
