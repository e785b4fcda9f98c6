"""Who may open the viewer and trigger a profile. Nobody, unless:

* the option ``authorize`` says so of this request, or
* this is a development setup (``debug``) and the request comes from this
  machine to a local host name (so that no web site can reach in through the
  browser: DNS rebinding), or
* it carries a token or cookie signed with the option ``key``.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

from .options import Options
from .request import Incoming

__all__ = ["COOKIE", "Access", "make_token", "token_is_good"]

COOKIE = "slowlens_session"
SESSION_SECONDS = 12 * 3600

_log = logging.getLogger("slowlens")


def _sign(key: str, purpose: str, expires: int) -> str:
    text = f"slowlens:{purpose}:{expires}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def make_token(key: str, seconds: int, purpose: str = "link") -> str:
    """A token for ``purpose`` that is good for ``seconds`` from now."""
    expires = int(time.time()) + seconds
    return f"{expires}-{_sign(key, purpose, expires)}"


def token_is_good(key: str, token: str, purpose: str = "link") -> bool:
    """Whether ``token`` was signed with ``key`` and has not expired."""
    expires, _, signature = token.partition("-")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        return False
    good = hmac.compare_digest(_sign(key, purpose, int(expires)).encode(), signature.encode())
    return good and int(expires) > time.time()


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def is_local(incoming: Incoming) -> bool:
    """From a loopback address, to a local host name."""
    name = _hostname(incoming.host).lower()
    local_name = name in ("localhost", "127.0.0.1", "[::1]") or name.endswith(".localhost")
    remote = incoming.remote
    return local_name and (remote.startswith("127.") or remote in ("::1", "::ffff:127.0.0.1"))


def _cookie(incoming: Incoming) -> str:
    for part in incoming.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def query_value(incoming: Incoming, name: str) -> str:
    """The first value of a query parameter, "" without one."""
    for key, value in parse_qsl(incoming.query, keep_blank_values=True, max_num_fields=200):
        if key == name:
            return value
    return ""


class Access:
    """Answers for one middleware. ``debug`` is asked each time: frameworks change it late."""

    def __init__(self, options: Options, debug: Callable[[], bool]) -> None:
        self._authorize = options.authorize
        self._key = options.key
        self._debug = debug

    def allows(self, incoming: Incoming, token: str = "") -> bool:
        """Whether the client of this request may look. Never raises."""
        try:
            if self._authorize is not None and self._authorize(incoming.native):
                return True
            if self._key is not None:
                if token and token_is_good(self._key, token):
                    return True
                session = _cookie(incoming)
                if session and token_is_good(self._key, session, "session"):
                    return True
            return self._debug() and is_local(incoming)
        except Exception:
            _log.exception("slowlens: authorize failed; access refused")
            return False

    def session_cookie(self, token: str, path: str, secure: bool) -> str | None:
        """The Set-Cookie value that a good link token is exchanged for, or None."""
        if self._key is None or not token_is_good(self._key, token):
            return None
        value = make_token(self._key, SESSION_SECONDS, "session")
        cookie = f"{COOKIE}={value}; Path={path}; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict"
        return cookie + ("; Secure" if secure else "")
