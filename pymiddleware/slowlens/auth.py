"""Who may open the viewer, change what is stored, and trigger a profile. Nobody, unless:

* the option ``authorize`` says so of this request, or
* this is a development setup (``debug``) and the request comes from this
  machine to a local host name (so that no web site can reach in through the
  browser: DNS rebinding), from a program of who runs the app (``peer``), and nothing
  says that a proxy passed it on, unless that is one of the option
  ``trusted_proxies``, which says that it came from here, or
* it carries a token or cookie signed with the option ``key``, for this purpose
  and this host.

What a stranger sends costs a constant: nothing of it is parsed before it is
known that somebody may ask. SECURITY.md has the threat model.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable
from inspect import isawaitable
from itertools import islice
from typing import NamedTuple

from .log import Seldom, late
from .options import Networks, Options
from .peer import CLOSED, against, ends_of
from .request import Incoming

__all__ = [
    "COOKIE", "PURPOSES", "Access", "from_elsewhere", "is_local", "link_token", "make_token", "may_be_from_elsewhere",
    "query_value", "token_grants",
]

COOKIE = "slowlens_session"
SESSION_SECONDS = 12 * 3600

#: What a client may be allowed to do; letters stand for them in a token.
PURPOSES = {"view": "v", "change": "c", "trigger": "t"}
EVERYTHING = frozenset(PURPOSES)
NOTHING: frozenset[str] = frozenset()

#: Longer values of ours are not looked at: a token has about 90 characters.
VALUE_MAX = 300
COOKIES_MAX = 4

_log = late("slowlens")
_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\]|([a-z0-9_-]{1,63}\.){1,8}localhost)(:[0-9]{1,5})?\Z")
_COOKIE = re.compile(rf"(?:^|;) *{COOKIE}=([^;]{{0,{VALUE_MAX}}})")
_PLAIN_ADDRESS = re.compile(r"[0-9a-fA-F.:]{2,45}")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]{1,100}(:[0-9]{1,5})?|\[[0-9a-fA-F:]{2,45}\](:[0-9]{1,5})?")
#: Proxies name the client in these...
_NAMES_CLIENT = (
    "x-forwarded-for", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip", "x-cluster-client-ip",
    "fly-client-ip", "x-original-forwarded-for", "x-envoy-external-address",
)
#: ... the host that was asked for in these...
_NAMES_HOST = ("x-forwarded-host", "x-original-host")
#: ... and by these one only knows that there was a proxy.
_NAMES_NOBODY = frozenset((
    "via", "cdn-loop", "x-scheme", "x-url-scheme", "front-end-https", "x-rewrite-url", "surrogate-capability",
    "max-forwards", "proxy-connection", "x-cloud-trace-context", "x-varnish", "wl-proxy-client-ip", "do-connecting-ip",
    "ali-cdn-real-ip",
))
#: ... or by one that begins so: proxies, networks that deliver content, tunnels and hosts.
_NAMES_NOBODY_STARTS = (
    "x-forwarded", "x-original-", "x-envoy-", "x-proxy", "x-arr-", "x-ms-proxy", "x-real-", "x-client-ip", "x-amz-cf-",
    "x-amzn-", "x-azure-", "x-appengine-", "x-vercel-", "x-nf-", "x-akamai-", "x-sucuri-", "x-haproxy", "cf-", "fly-",
    "fastly-", "tailscale-", "incap-", "proxy-client", "true-client",
)


# ---- tokens ----


def _sign(key: str, kind: str, letters: str, expires: int, host: str) -> str:
    text = f"slowlens:2:{kind}:{letters}:{expires}:{host}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def make_token(
    key: str, seconds: int, purposes: Iterable[str] = ("view",), host: str = "", kind: str = "link"
) -> str:
    """A token for ``purposes`` at ``host`` (as the browser names it) that is good for ``seconds`` from now."""
    letters = "".join(PURPOSES[purpose] for purpose in PURPOSES if purpose in purposes)
    expires = int(time.time()) + seconds
    return f"{expires}-{letters}-{_sign(key, kind, letters, expires, host.lower())}"


def token_grants(key: str, token: str, hosts: Iterable[str], kind: str = "link") -> frozenset[str]:
    """What ``token`` allows at one of ``hosts``; nothing if it was not signed with ``key`` or has expired."""
    if not 0 < len(token) <= VALUE_MAX or token.count("-") != 2:
        return NOTHING
    expires, letters, signature = token.split("-")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16 and int(expires) > time.time()):
        return NOTHING
    for host in hosts:
        good = _sign(key, kind, letters, int(expires), host.lower())
        if hmac.compare_digest(good.encode(), signature.encode("utf-8", "replace")):
            return frozenset(purpose for purpose, letter in PURPOSES.items() if letter in letters)
    return NOTHING


# ---- where a request comes from ----


def is_loopback(address: str) -> bool:
    """Whether ``address`` is this machine."""
    return bool(re.fullmatch(r"127(\.[0-9]{1,3}){3}", address)) or address in ("::1", "::ffff:127.0.0.1")


class _Claims(NamedTuple):
    """What headers of proxies say."""

    #: Of each header that names clients: them, nearest proxy last.
    clients: list[list[str]]
    hosts: list[str]
    #: Whether there was any sign of a proxy.
    some: bool


def _claims(incoming: Incoming) -> _Claims:
    clients: list[list[str]] = []
    hosts: list[str] = []
    headers = incoming.headers
    for name in _NAMES_CLIENT:
        value = headers.get(name)
        if value is not None:
            clients.append([_bare_address(part) for part in _bounded(value).split(",")])
    for name in _NAMES_HOST:
        value = headers.get(name)
        if value is not None:
            hosts += [part.strip() for part in _bounded(value).split(",")]
    forwarded = headers.get("forwarded")
    if forwarded is not None:
        named = []
        for element in _bounded(forwarded).split(","):
            for pair in element.split(";"):
                name, _, value = pair.strip().partition("=")
                if name.lower() == "for":
                    named.append(_bare_address(value))
                elif name.lower() == "host":
                    hosts.append(value.strip('"'))
        if named:
            clients.append(named)
    some = bool(clients or hosts) or forwarded is not None or any(
        name in _NAMES_NOBODY or name.startswith(_NAMES_NOBODY_STARTS) for name in headers) or _are_cleared(incoming)
    # No browser speaks HTTP/1.0 (granian: "1"). nginx before 1.29.7 does unless told otherwise, and says no more.
    return _Claims(clients, hosts, some or incoming.version in ("1.0", "1", "0.9"))


def _are_cleared(incoming: Incoming) -> bool:
    return getattr(incoming.headers, "cleared", False) is True


def _bounded(value: str) -> str:
    """A header's value; of one that is too long to be looked at all the same, a name that is nobody's."""
    return value if len(value) <= 2000 else "(too long)"


def _bare_address(text: str) -> str:
    """``"[2001:db8::1]:4711"`` and ``192.0.2.1:80`` without what stands around the address."""
    text = text.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def is_local_host(host: str) -> bool:
    """Whether a Host header names this machine, and nothing else."""
    return _LOCAL_HOST.match(host.lower()) is not None


def is_local(incoming: Incoming, trusted: Networks | None = None, quick: bool = False) -> bool:
    """Whether the client sits at this machine and asked for a local host name.

    :param quick: within a request's recording: looks for no program that passes on what others send.
    :param trusted: addresses whose word about the client is taken, and which count as this machine themselves.
    """
    peer = incoming.remote
    believed = trusted is not None and peer in trusted
    if not (believed or is_loopback(peer)):
        return False
    clients, hosts, proxied = _claims(incoming)
    if not proxied:
        return is_local_host(incoming.host) and (believed or not _stranger(incoming, quick))
    if not believed or not clients:
        return False  # who is not believed can only speak against it: a client may have written "for 127.0.0.1" itself
    assert trusted is not None
    # The nearest address that is none of our own proxies: what stands before it is only hearsay. In each header: a
    # proxy writes one of them and passes on what the client wrote into the others.
    for named in clients:
        strangers = [client for client in named if client not in trusted]
        if strangers and not is_loopback(strangers[-1]):
            return False
    return is_local_host(hosts[-1] if hosts else incoming.host)


def _stranger(incoming: Incoming, quick: bool = False) -> str:
    """What the kernel says against a client at this machine; "": nothing."""
    known = incoming.ends
    if known is None or (known[0] and not quick):  # what was found out quickly may be less than can be known
        known = incoming.ends = (quick, ends_of(incoming.remote, incoming.native, quick))
    return against(known[1], quick)


def from_elsewhere(incoming: Incoming) -> bool:
    """Whether another web site made a browser send this."""
    headers = incoming.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    source = headers.get("origin") or headers.get("referer")
    if source is None:
        return False
    host = source[:VALUE_MAX].partition("://")[2].partition("/")[0].lower()
    return host not in [name.lower() for name in hosts_of(incoming)]


def may_be_from_elsewhere(incoming: Incoming) -> bool:
    """The same where nothing says that it was not: over plain http browsers send no ``Sec-Fetch-Site`` but to this
    machine, other clients never do, and a link that is ``noreferrer`` has no ``Referer`` either."""
    headers = incoming.headers
    silent = not any(name in headers for name in ("sec-fetch-site", "origin", "referer"))
    return from_elsewhere(incoming) or (silent and not is_local_host(incoming.host))


def hosts_of(incoming: Incoming) -> list[str]:
    """Names that the client may have asked for: Host, and what proxies say that it was."""
    return [incoming.host, *(incoming.headers.get(name, "").rpartition(",")[2].strip() for name in _NAMES_HOST[:1]
                             if name in incoming.headers)]


def is_https(incoming: Incoming) -> bool:
    """Whether the client's side is encrypted, as far as anybody says."""
    said = incoming.headers.get("x-forwarded-proto", "") + incoming.headers.get("forwarded", "")
    return incoming.secure or "https" in said[:VALUE_MAX].lower()


def _cookies(incoming: Incoming) -> list[str]:
    """What it carries under our name, a few at most: another app of the domain may have set one, too, which browsers
    send first if its path is longer. Not one whose name only ends like ours."""
    return [match[1].strip() for match in islice(_COOKIE.finditer(incoming.headers.get("cookie", "")), COOKIES_MAX)]


def query_value(incoming: Incoming, name: str) -> str:
    """The first value of a query parameter of ours, as it is sent; "" without one. Looks at a constant length."""
    match = re.search(f"(?:^|&){name}=([^&]*)", incoming.query[:2000])
    return match[1] if match is not None else ""


def link_token(incoming: Incoming, path: str) -> str:
    """A link's token; "" without one. It is taken where it leads on at once to an address without it, the first page
    (``path``, below the viewer's own, is ""), and nowhere else."""
    taken = path == "" and incoming.method == "GET" and incoming.query.startswith("token=")
    return query_value(incoming, "token") if taken else ""


# ---- answers ----


class Access:
    """Answers for one middleware. ``debug`` is asked each time: frameworks change it late."""

    def __init__(self, options: Options, debug: Callable[[], bool]) -> None:
        self._authorize = options.authorize
        self._key = options.key
        self._trusted = options.trusted_proxies
        self._debug = debug
        self._seldom = Seldom()
        #: The framework asks ``authorized`` later, when the request has a user; here it is not asked.
        self.asks_later = False

    @property
    def has_authorize(self) -> bool:
        return self._authorize is not None

    def takes_long(self) -> bool:
        """Whether finding out who asks may take milliseconds: ``authorize`` may ask a database, and while debugging
        programs are looked at that may pass on what others send. Never raises."""
        try:
            return self._authorize is not None or self._debug()
        except Exception:
            return False  # nobody is let in by this machine then

    def grants(self, incoming: Incoming, token: str = "", quick: bool = False) -> frozenset[str]:
        """What the client of this request may do: some of PURPOSES. Never raises. ``quick``: see :func:`is_local`."""
        try:
            if self._debug() and is_local(incoming, self._trusted, quick):
                return EVERYTHING
            granted = NOTHING
            if self._key is not None:
                if token:
                    granted |= token_grants(self._key, token, hosts_of(incoming))
                for session in _cookies(incoming):
                    granted |= token_grants(self._key, session, hosts_of(incoming), "session")
            if self._authorize is not None and not self.asks_later:
                granted |= self.authorized(incoming.native)
            return granted
        except Exception:
            self._seldom.say(_log, "slowlens: access refused: it could not be found out who asks", exc=True)
            return NOTHING

    def authorized(self, native: object) -> frozenset[str]:
        """What the option ``authorize`` says of a request: everything, nothing, or words of PURPOSES."""
        if self._authorize is None:
            return NOTHING
        try:
            answer: object = self._authorize(native)
        except Exception as error:
            self._seldom.say(_log, f"slowlens: access refused: the option authorize failed: {type(error).__name__}",
                             exc=True)
            return NOTHING
        if isawaitable(answer):  # which is true, whatever it would say
            self._seldom.say(_log, "slowlens: access refused: the option authorize must be a plain function, not async")
            return NOTHING
        if isinstance(answer, str):
            answer = answer.replace(",", " ").split()
        if isinstance(answer, (list, tuple, set, frozenset)):
            return EVERYTHING.intersection(answer)
        return EVERYTHING if answer else NOTHING

    def session_cookie(self, incoming: Incoming, token: str, path: str) -> str | None:
        """The Set-Cookie value that a good link token is exchanged for, or None."""
        if self._key is None:
            return None
        granted = token_grants(self._key, token, hosts_of(incoming)) & {"view", "change"}
        host = next((host for host in hosts_of(incoming)
                     if token_grants(self._key, token, (host,))), incoming.host)
        if "view" not in granted:
            return None
        value = make_token(self._key, SESSION_SECONDS, granted, host, "session")
        cookie = f"{COOKIE}={value}; Path={path}; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict"
        return cookie + ("; Secure" if is_https(incoming) else "")

    def admitted(
        self, incoming: Incoming, path: str, prefix: str, granted: frozenset[str] | None = None
    ) -> frozenset[str]:
        """What who asks for ``path`` of the viewer may do; a refusal of its first page is explained.

        :param granted: what that is, if somebody else has asked.
        """
        if granted is None:
            granted = self.grants(incoming, link_token(incoming, path))
        if "view" not in granted and path == "":
            self.explain_refusal(incoming, prefix)
        return granted

    def explain_refusal(self, incoming: Incoming, path: str) -> None:
        """Says in the log of a debugging app, once for each reason, why its viewer stayed closed and what to add."""
        try:
            if not self._debug():
                return
            # What stands in this line may be copied into a shell: names and addresses, nothing else.
            peer = incoming.remote if _PLAIN_ADDRESS.fullmatch(incoming.remote) is not None else ""
            host = incoming.host if _PLAIN_HOST.fullmatch(incoming.host) is not None else ""
            clients, hosts, proxied = _claims(incoming)
            if is_local_host(incoming.host) and not proxied and is_loopback(peer) and _stranger(incoming):
                reason = _stranger(incoming)
                if reason == CLOSED:
                    return
                what = (f"{reason}. If nobody but you can come that way, add the option "
                        f'trusted_proxies=["{peer}"] (or SLOWLENS_TRUSTED_PROXIES={peer})')
            elif is_local_host(incoming.host) and not proxied and peer:
                # Docker, a VM, WSL: the browser is here, the connection comes from a bridge.
                reason = "bridge"
                what = (f"the connection comes from {peer}. If only this machine can reach the port (Docker: "
                        f'-p 127.0.0.1:8000:8000), add the option trusted_proxies=["{peer}"] '
                        f"(or SLOWLENS_TRUSTED_PROXIES={peer})")
            elif peer and clients and all(is_loopback(one) for named in clients for one in named) and all(
                    map(is_local_host, [incoming.host, *hosts])):
                reason = "local by a proxy"
                what = (f"a proxy at {peer} says that you are at this machine. If it does so whatever a client "
                        f'sends, add the option trusted_proxies=["{peer}"] '
                        f"(or SLOWLENS_TRUSTED_PROXIES={peer})")
            elif is_loopback(incoming.remote) and host.partition(":")[0] == "0.0.0.0":
                reason = "any address"
                what = f"open it as http://127.0.0.1{host[7:]}{path}"
            else:
                reason = "proxy" if proxied else "elsewhere"
                hides = ", and waitress keeps what that said to itself (its option trusted_proxy)"
                why = "a proxy passed it on" + (hides if _are_cleared(incoming) else "") if proxied else (
                    f"it asked for the host {host or '(none)'} from {peer or 'an unknown address'}")
                what = (f"{why}. Set SLOWLENS_KEY to a secret of 16 characters or more and open the link that "
                        f"`slowlens token --url http://{host or 'HOST'}` prints")
            # A line for each: a scanner that was refused first shall not have taken the one for the developer.
            self._seldom.say(_log, f"slowlens: {path} stayed closed: {what}", key=f"closed: {reason}", once=True)
        except Exception:
            self._seldom.say(_log, "slowlens: a refusal could not be explained", exc=True)
