"""Which route a request had, as its framework calls it; and a name for it where no framework says.

What no route matched is one route, ``UNMATCHED``: nobody fills a list of
routes by asking for paths that are not there. Paths of frameworks that we do
not know are folded (``/orders/17`` is ``/orders/{id}``), and only so many.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["OTHER", "UNMATCHED", "Folded", "asgi_route", "fold", "mounted", "wsgi_route"]

UNMATCHED = "[unmatched]"
OTHER = "[other]"

#: Different folded paths of one process; what comes later is OTHER.
FOLDED_MAX = 300
#: Different names that an app gives; so, too.
GIVEN_MAX = 1000
#: A name that was not used for so long gives its place to another one.
FORGOTTEN_SECONDS = 3600.0
#: For so long it is not noted again that a name is used.
FRESH_SECONDS = 10.0
SEGMENTS_MAX = 12
#: Paths whose names are at hand, and for how long.
KNOWN_MAX = 512
KNOWN_NS = 60_000_000_000
REMEMBERED_MAX = 500
#: Different prefixes at which routes are mounted; what comes later is OTHER.
PREFIXES_MAX = 200
PREFIX_MAX = 300

#: A segment that is an id rather than a word: a number, hexadecimal or base64 of some length, a UUID.
_ID = re.compile(
    r"[0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[^/]*[0-9])[0-9a-fA-F]{8,}|(?=[^/]*[0-9])[\w=-]{20,}|.{61,}"
)


@lru_cache(512)  # of paths of at most 2,000 characters: a megabyte, whatever strangers ask for
def _fold(path: str) -> str:
    segments = path.split("/")
    folded = [("{id}" if _ID.fullmatch(segment) else segment) for segment in segments[:SEGMENTS_MAX + 1]]
    return "/".join(folded) + ("/..." if len(segments) > SEGMENTS_MAX + 1 else "")


def fold(path: str) -> str:
    """``path`` with ``{id}`` for what looks like one."""
    return _fold(path[:2000])


class _Names:
    """At most so many names of one process, those asked for last at the end; who comes later is OTHER.

    Strangers can make such names up: as many as there are places. Those that nobody asks for any more are given up.
    """

    def __init__(self, most: int) -> None:
        self._known: dict[str, float] = {}
        self._most = most

    def has(self, route: str) -> bool:
        return route in self._known

    def place(self, route: str) -> str:
        """``route``, or OTHER."""
        known = self._known
        now = time.monotonic()
        if now - known.get(route, -FRESH_SECONDS) < FRESH_SECONDS:
            return route  # near the end anyway
        if known.pop(route, None) is None and len(known) >= self._most:
            try:
                oldest, used = next(iter(known.items()))
            except (StopIteration, RuntimeError):  # another thread changed it just now
                return OTHER
            if now - used < FORGOTTEN_SECONDS:
                return OTHER
            known.pop(oldest, None)
        known[route] = now
        return route


class Folded:
    """Names of routes that no framework says."""

    def __init__(self) -> None:
        self._folded = _Names(FOLDED_MAX)
        self._given = _Names(GIVEN_MAX)
        #: What paths were called lately: so they are called without being folded again, until ``known_until``.
        self.known: dict[str, str] = {}
        self.known_until = 0

    def remember(self, path: str, route: str) -> None:
        """``path`` is called ``route`` for the next minute; no longer, for names that nobody asks for are given up.

        Long ones are not kept: some servers pass on a path of any length.
        """
        if len(path) > REMEMBERED_MAX:
            return
        now = time.monotonic_ns()
        if now >= self.known_until or len(self.known) >= KNOWN_MAX:
            self.known.clear()
            self.known_until = now + KNOWN_NS
        self.known[path] = route

    def name(self, path: str, status: int) -> str:
        """What the route of ``path`` is called; only an answer that is no refusal makes a new name."""
        route = fold(path)
        if 300 <= status < 500 and not self._folded.has(route):
            return UNMATCHED
        return self._folded.place(route)

    def given(self, route: str) -> str:
        """``route``, which the app itself chose (slowlens.name): of an operation that a client names, say."""
        return self._given.place(route)


# ---- WSGI ----


def wsgi_route(environ: Mapping[str, Any], app: Any) -> str | None:
    """The template that matched, "" if nothing did; None: this framework does not say."""
    if "bottle.app" in environ:
        return str(getattr(environ.get("bottle.route"), "rule", "") or "")
    return _falcon_route(app, environ.get("PATH_INFO", ""))


def _falcon_route(app: Any, path: str) -> str | None:
    """None: ``app`` is not Falcon's."""
    if not type(app).__module__.startswith("falcon."):
        return None
    find = getattr(getattr(app, "_router", None), "find", None)
    found = find(path or "/") if find is not None else None
    if not found and any(one[0].match(path) for one in getattr(app, "_sinks", ())):
        return None  # it has no template
    return str(found[3] or "") if found else ""


# ---- ASGI ----


def asgi_route(scope: Mapping[str, Any], path: str, root: str = "", app: Any = None) -> str | None:
    """The template that matched, mounts included, "" if nothing did; None: this framework does not say.

    :param path: as the middleware saw it, below ``root``, before routers changed the scope.
    """
    template = scope.get("path_template")  # Litestar
    if isinstance(template, str):
        return _as_written(template, getattr(scope.get("route_handler"), "paths", ()))
    route = scope.get("route")  # Starlette, FastAPI
    own, within = getattr(route, "path", None), getattr(route, "routes", None)
    if within:
        # A mount: the rest matched none of its routes, or an app in there routed in a copy of the scope, as some
        # middlewares make one. By the path: of an answer that is a refusal that makes no new name.
        return None
    if isinstance(own, str) and within is None:
        if own.count("/") == path.count("/") and ":path}" not in own:
            return own or "/"  # nothing was taken off before it
        parameters = scope.get("path_params")
        return _whole_template(own, path, parameters if isinstance(parameters, Mapping) else {})
    endpoint = scope.get("endpoint")
    if endpoint is None or hasattr(endpoint, "routes"):
        return "" if "router" in scope or "app" in scope else _falcon_route(app, path)
    mount = scope.get("root_path", "")
    if isinstance(mount, str) and len(mount) > len(root) and path.startswith(mount[len(root):]):
        parameters = scope.get("path_params")  # another app, or files
        return _prefix(mount[len(root):], parameters if isinstance(parameters, Mapping) else {}) + "/{path}"
    name = getattr(endpoint, "__qualname__", None)
    # An object: an app mounted at the root (Flask below FastAPI), which has routes of its own.
    return "/{path}" if name is None else f"{getattr(endpoint, '__module__', '')}.{name}"


_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


def _as_written(template: str, paths: Any) -> str:
    """Litestar's template with the types of its parameters, as the handler's decorator has them."""
    for path in paths:
        bare = _PARAMETER.sub(r"{\1}", str(path))
        if bare != path and template.endswith(bare):
            return template[:-len(bare)] + str(path)
    return template


def _whole_template(own: str, path: str, parameters: Mapping[str, Any]) -> str:
    """``own``, the template of the innermost route, with what mounts and included routers took off before it.

    A parameter stands for one segment, or for several whose slashes are known: so is where the rest begins.
    """
    found = list(_PARAMETER.finditer(own))
    slashes = own.count("/") + sum(str(parameters.get(one[1], "")).count("/") for one in found)
    segments = path.split("/")
    cut = len(segments) - slashes
    if cut < 2 or not _fits(own, "/".join(["", *segments[cut:]])):
        return own or "/"
    names = {one[1] for one in found}
    return _prefix("/".join(segments[:cut]), {
        name: value for name, value in parameters.items() if name not in names}) + own


def _fits(template: str, path: str) -> bool:
    """Whether a path can be one of ``template``, by what stands in that before its first parameter and behind its
    last. (A regular expression of several parameters takes time by a power of the path's length.)"""
    parts = _PARAMETER.split(template)
    if len(parts) == 1:
        return path == template
    return path.startswith(parts[0]) and path.endswith(parts[-1])


_prefixes = _Names(PREFIXES_MAX)
_SPELLED = re.compile(r"[0-9]+(\.[0-9]+)?|[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def _prefix(taken: str, parameters: Mapping[str, Any]) -> str:
    """What a mount took off, with the names of its parameters; of as many as there may be: an app that is mounted at
    whatever a client asks for has one route for each."""
    known = {str(value): name for name, value in parameters.items() if value != ""}
    parts = taken.split("/")
    # Numbers and UUIDs can be written in many ways (007), and the value is none of them.
    spelled = [name for value, name in known.items() if value not in parts]
    whole = True
    for at, part in enumerate(parts):
        if part in known:
            parts[at] = f"{{{known[part]}}}"
        elif spelled and _SPELLED.fullmatch(part):
            parts[at] = f"{{{spelled.pop(0)}}}"
        else:
            whole = whole and not part
    # No client has a say in names of parameters alone, nor takes a place by them.
    return "/".join(parts) if whole else mounted("/".join(parts))


def mounted(prefix: str) -> str:
    """``prefix`` or, where there are too many, OTHER."""
    known = _prefixes.place(prefix[:PREFIX_MAX])
    return known if known != OTHER else "/" + OTHER
