"""The viewer's pages and JSON, for whatever serves it: one route table.

    /                                   the page
    /static/NAME                        its files; badge.js is for pages of the app
    /firefox?r=ID                       hands a profile to the Firefox Profiler
    GET  /api/requests?...              {"requests": [ROW], "next": CURSOR|null}
    GET  /api/routes                    {"routes": [ROUTE]}
    GET  /api/status                    counters of this process, and what can be downloaded: {"problem", "counters",
                                        "formats": [{"name", "title"}], "features": [name of a page]}
    GET  /api/requests/ID               summary; see slowlens/report.h
    GET  /api/requests/ID/tree?node=&depth=&hot=&limit=
    GET  /api/requests/ID/functions?limit=
    GET  /api/requests/ID/flame?node=&limit=
    GET  /api/requests/ID/timeline?limit=
    GET  /api/requests/ID/calls?function=|permille=
    GET  /api/requests/ID/repeats?limit=
    GET  /api/requests/ID/lines?function=
    GET  /api/requests/ID/source?function=   lines, and the text of them
    GET  /api/requests/ID/diff?to=ID&permille=
    GET  /api/requests/aggregate/spread?route=  slowlens/merge.h, and "ids"
    GET  /requests/ID/profile?format=   download
    POST /api/delete?id=
    POST /api/pin?id=&on=1|0            keep for ever

In place of an ID stands `aggregate` with ?route=&method=&mode= for the newest
profiles of a route, merged.

ROW: id, started (ms), method, path, route, status, wall_ms, cpu_ms, await_ms,
waiting_ms, mode, calls, c_calls, bytes, kept, pinned, flags, hot, framework,
host, pid, tags (["key=value"]). ROUTE: route, method, count, p50_ms, p95_ms, p99_ms, max_ms,
total_ms, error_share, worst (id), trend_ms. Errors: {"error": one sentence}, status 4xx.

No path on disk is ever built from a request: static files are a fixed table,
and ids are matched whole before the store sees them. Nothing is changed by
GET; POST wants a header that no other site can send unasked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from .. import _core
from ..auth import Access, query_value
from ..request import ID, Incoming
from ..store.interface import Query, Store, StoreError
from . import source
from .profiles import AGGREGATE, Profiles

__all__ = ["Response", "Viewer"]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
}
_ALL = 0xFFFFFFFF


class Response(NamedTuple):
    """What to answer. Header names are as they are sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class BadRequest(Exception):
    """The client asked for something that makes no sense."""


class Missing(Exception):
    """There is no such profile."""


@lru_cache(maxsize=1)
def _static() -> dict[str, tuple[str, bytes]]:
    """Name -> (content type, bytes): everything that can be served, read once."""
    folder = files(__package__).joinpath("static")
    return {
        entry.name: (_TYPES[entry.name.rsplit(".", 1)[-1]], entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.rsplit(".", 1)[-1] in _TYPES
    }


class Viewer:
    """Serves one store to those whom ``access`` allows."""

    def __init__(
        self, store: Store, access: Access | None, counters: Callable[[], dict[str, Any]] | None = None,
        shows_source: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store = store
        self.access = access  # None: everybody, for `slowlens serve` on a loopback address
        self._counters = counters
        self._shows_source = shows_source
        self._profiles = Profiles(store)

    def handle(self, incoming: Incoming, path: str, body: bytes, prefix: str) -> Response | None:
        """The answer for ``path`` below ``prefix``; None: not for this client, let the app answer.

        Never raises.
        """
        token = query_value(incoming, "token") if "token=" in incoming.query else ""
        if self.access is not None:
            if not self.access.allows(incoming, token):
                return None
            if token and incoming.method in ("GET", "HEAD"):
                cookie = self.access.session_cookie(token, prefix, incoming.secure)
                if cookie is not None:
                    return _secured(303, [("Location", prefix), ("Set-Cookie", cookie)], b"")
        try:
            response = self._route(incoming, path, prefix)
        except BadRequest as error:
            response = _json_error(400, str(error))
        except Missing as error:
            response = _json_error(404, str(error))
        except StoreError as error:
            response = _json_error(503, str(error))
        except _core.CorruptError as error:
            response = _json_error(422, f"this profile cannot be read: {error}")
        except MemoryError:
            response = _json_error(507, "not enough memory for this profile")
        if incoming.method == "HEAD":
            response = response._replace(body=b"")
        return response

    def _route(self, incoming: Incoming, path: str, prefix: str) -> Response:
        if path == "" and not incoming.path.endswith("/"):
            return _secured(308, [("Location", prefix)], b"")
        for method, pattern, handler in _ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if incoming.method != method and not (method == "GET" and incoming.method == "HEAD"):
                return _json_error(405, f"only {method}")
            if path.startswith(("api/", "requests/")):
                _same_site(incoming, method)
            return handler(self, incoming, *match.groups())
        return _json_error(404, "no such page")

    # ---- pages ----

    def _page(self, incoming: Incoming) -> Response:
        return self._file(incoming, "index.html")

    def _firefox(self, incoming: Incoming) -> Response:
        """The one page that may hold a window of another origin (and nothing of the app's opens it: ``noopener``)."""
        response = self._file(incoming, "firefox.html")
        opener = ("Cross-Origin-Opener-Policy", "unsafe-none")
        return response._replace(headers=[
            opener if name == opener[0] else (name, value) for name, value in response.headers])

    def _file(self, incoming: Incoming, name: str) -> Response:
        found = _static().get(name)
        if found is None:
            return _json_error(404, "no such file")
        return _secured(200, [("Content-Type", found[0]), ("Cache-Control", "no-cache")], found[1])

    # ---- JSON ----

    def _requests(self, incoming: Incoming) -> Response:
        values = _parameters(incoming)
        query = Query(
            sort=_sort(values.get("sort", "-started")), route=values.get("route") or None,
            method=values.get("method") or None, status=values.get("status") or None,
            mode=values.get("mode") or None, min_ns=_scaled(values, "min_ms"),
            since=_scaled(values, "since"), until=_scaled(values, "until"),
            text=values.get("q") or None, tag=values.get("tag") or None, limit=_whole(values, "limit", 50, 500),
            cursor=values.get("cursor") or None,
        )
        page = self.store.list(query)
        return _json({"requests": [_row(row) for row in page.rows], "next": page.next})

    def _routes_page(self, incoming: Incoming) -> Response:
        routes = []
        for stats in self.store.routes(_parameters(incoming).get("route")):
            values: dict[str, Any] = dict(stats)
            row = {name: values[name] for name in ("route", "method", "count", "error_share", "worst")}
            for name in ("p50", "p95", "p99", "max", "total"):
                row[name + "_ms"] = values[name] / 1e6
            row["trend_ms"] = [one / 1e6 for one in stats["trend"]]
            routes.append(row)
        return _json({"routes": routes})

    def _status(self, incoming: Incoming) -> Response:
        counters = self._counters() if self._counters is not None else {}
        formats = [{"name": name, "title": _TITLES.get(name, name)} for name in ("slowlens", *_core.EXPORT_FORMATS)]
        return _json({"problem": self.store.problem(), "counters": counters, "formats": formats, "features": []})

    def _summary(self, incoming: Incoming, ref: str) -> Response:
        return self._report(incoming, ref, lambda profile: profile.summary())

    def _tree(self, incoming: Incoming, ref: str) -> Response:
        values = _parameters(incoming)
        node = _whole(values, "node", 0, 1 << 31)
        depth = _whole(values, "depth", 1, 64)
        limit = _whole(values, "limit", 2000, 20000)
        hot = values.get("hot", "") == "1"
        return self._report(
            incoming, ref, lambda profile: profile.tree(node=node, depth=max(1, depth), hot=hot, limit=limit))

    def _functions(self, incoming: Incoming, ref: str) -> Response:
        limit = _whole(_parameters(incoming), "limit", 200, 1 << 20)
        return self._report(incoming, ref, lambda profile: profile.functions(limit))

    def _flame(self, incoming: Incoming, ref: str) -> Response:
        values = _parameters(incoming)
        node, limit = _whole(values, "node", 0, 1 << 31), _whole(values, "limit", 200_000, 2_000_000)
        return self._report(incoming, ref, lambda profile: profile.flame(node, limit))

    def _timeline(self, incoming: Incoming, ref: str) -> Response:
        limit = _whole(_parameters(incoming), "limit", 200_000, 2_000_000)
        return self._report(incoming, ref, lambda profile: profile.timeline(limit))

    def _calls(self, incoming: Incoming, ref: str) -> Response:
        values = _parameters(incoming)
        function, permille = _whole(values, "function", _ALL, _ALL), _whole(values, "permille", 5, 1000)
        return self._report(incoming, ref, lambda profile: profile.calls(function, permille))

    def _repeats(self, incoming: Incoming, ref: str) -> Response:
        limit = _whole(_parameters(incoming), "limit", 50, 10000)
        return self._report(incoming, ref, lambda profile: profile.repeats(limit))

    def _lines(self, incoming: Incoming, ref: str) -> Response:
        function = _whole(_parameters(incoming), "function", 0, _ALL)
        return self._report(incoming, ref, lambda profile: profile.lines(function))

    def _source(self, incoming: Incoming, ref: str) -> Response:
        function = _whole(_parameters(incoming), "function", 0, _ALL)

        def report(profile: _core.Profile) -> bytes:
            found: dict[str, Any] = json.loads(profile.lines(function))
            known = [row["line"] for row in found["rows"] if row["line"] >= found["line"] > 0]
            if self._shows_source():
                text, why = source.read_lines(found["file"], max(1, found["line"]), max(known, default=found["line"]))
            else:
                text, why = [], "source is shown while debugging, or where the option viewer_source says so"
            return json.dumps({**found, "text": text, "why": why}).encode()

        return self._report(incoming, ref, report)

    def _diff(self, incoming: Incoming, ref: str) -> Response:
        values = _parameters(incoming)
        to, permille = values.get("to", ""), _whole(values, "permille", 1, 1000)
        if to != AGGREGATE and not ID.match(to):
            raise BadRequest("to is the id of a profile, or aggregate")
        return self._report(incoming, ref, lambda profile: profile.diff(self._blob(incoming, to), permille))

    def _spread(self, incoming: Incoming) -> Response:
        found = self._profiles.aggregate(*_route_of(incoming))
        if found is None:
            raise Missing("no stored profile of this route")
        return _document(self._profiles.spread(found))

    def _blob(self, incoming: Incoming, ref: str) -> _core.Profile:
        if ref == AGGREGATE:
            found = self._profiles.aggregate(*_route_of(incoming))
            if found is None:
                raise Missing("no stored profile of this route")
            return found.merged
        profile = self._profiles.get(ref)
        if profile is None:
            raise Missing("no such profile: deleted, or never stored")
        return profile

    def _report(self, incoming: Incoming, ref: str, report: Callable[[_core.Profile], bytes]) -> Response:
        profile = self._blob(incoming, ref)
        try:
            return _document(report(profile))
        except _core.CorruptError:
            raise
        except ValueError as error:
            raise BadRequest(str(error)) from None

    def _download(self, incoming: Incoming, ref: str) -> Response:
        form = _parameters(incoming).get("format", "slowlens")
        if ref == AGGREGATE:
            found = self._profiles.aggregate(*_route_of(incoming))
            data = None if found is None else found.data
        else:
            data = self.store.get(ref)
        if data is None:
            raise Missing("no such profile: deleted, or never stored")
        if form != "slowlens" and form not in _core.EXPORT_FORMATS:
            names = ", ".join(("slowlens", *_core.EXPORT_FORMATS))
            raise BadRequest(f"format is one of {names}")
        meta = json.loads(_core.read_meta(data))["meta"]
        body = data if form == "slowlens" else _core.Profile(data).export(form)
        name = download_name(meta, ref, form)
        return _secured(200, [
            ("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store"),
            ("Content-Disposition", f'attachment; filename="{name}"'),
        ], body)

    def _delete(self, incoming: Incoming) -> Response:
        profile_id = _parameters(incoming).get("id", "")
        found = self.store.delete(profile_id)
        self._profiles.drop(profile_id)
        return _json({"deleted": found})

    def _pin(self, incoming: Incoming) -> Response:
        values = _parameters(incoming)
        on = values.get("on", "1") == "1"
        if not self.store.pin(values.get("id", ""), on):
            raise Missing("no such profile: deleted, or never stored")
        return _json({"pinned": on})


_REF = rf"([0-7][0-9a-hjkmnp-tv-z]{{25}}|{AGGREGATE})"
_ROUTES: tuple[tuple[str, re.Pattern[str], Callable[..., Response]], ...] = (
    ("GET", re.compile(""), Viewer._page),
    ("GET", re.compile(r"static/([a-z-]+\.[a-z]+)"), Viewer._file),
    ("GET", re.compile("firefox"), Viewer._firefox),
    ("GET", re.compile("api/requests"), Viewer._requests),
    ("GET", re.compile("api/routes"), Viewer._routes_page),
    ("GET", re.compile("api/status"), Viewer._status),
    ("GET", re.compile(f"api/requests/{_REF}"), Viewer._summary),
    ("GET", re.compile(f"api/requests/{_REF}/tree"), Viewer._tree),
    ("GET", re.compile(f"api/requests/{_REF}/functions"), Viewer._functions),
    ("GET", re.compile(f"api/requests/{_REF}/flame"), Viewer._flame),
    ("GET", re.compile(f"api/requests/{_REF}/timeline"), Viewer._timeline),
    ("GET", re.compile(f"api/requests/{_REF}/calls"), Viewer._calls),
    ("GET", re.compile(f"api/requests/{_REF}/repeats"), Viewer._repeats),
    ("GET", re.compile(f"api/requests/{_REF}/lines"), Viewer._lines),
    ("GET", re.compile(f"api/requests/{_REF}/source"), Viewer._source),
    ("GET", re.compile(f"api/requests/{_REF}/diff"), Viewer._diff),
    ("GET", re.compile(f"api/requests/{AGGREGATE}/spread"), Viewer._spread),
    ("GET", re.compile(f"requests/{_REF}/profile"), Viewer._download),
    ("POST", re.compile("api/delete"), Viewer._delete),
    ("POST", re.compile("api/pin"), Viewer._pin),
)
_TITLES = {
    "slowlens": "slowlens (everything)", "pstats": "pstats, snakeviz", "callgrind": "KCachegrind",
    "collapsed": "collapsed stacks", "speedscope": "speedscope", "pprof": "pprof", "gecko": "Firefox Profiler",
    "chrome": "Chrome trace, Perfetto", "dot": "Graphviz", "html": "HTML page", "json": "JSON", "text": "text",
}
_ENDINGS = {
    "slowlens": ".slowlens", "pstats": ".prof", "callgrind": ".callgrind.out",
    "collapsed": ".collapsedstack.txt", "speedscope": ".speedscope.json", "pprof": ".pb.gz",
    "gecko": ".gecko.json", "chrome": ".chrome.json", "text": ".txt",
}


def download_name(meta: dict[str, Any], profile_id: str, form: str) -> str:
    """``GET-books-12-0812ms-01k....speedscope.json``: says what is in the file; safe anywhere."""
    where = re.sub(r"[^a-z0-9]+", "-", str(meta.get("route") or meta.get("path") or "").lower()).strip("-")
    method = re.sub(r"[^A-Z]", "", str(meta.get("method", "")))[:10]
    parts = [method, where[:60], f"{int(meta.get('wall_ns', 0)) // 1_000_000}ms", profile_id]
    return "-".join(part for part in parts if part) + _ENDINGS.get(form, "." + form)


def _secured(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    return Response(status, [
        *headers,
        ("Content-Length", str(len(body))),
        ("Content-Security-Policy", CSP),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ], body)


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return _secured(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], body)


def _document(body: bytes) -> Response:
    return _secured(200, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], body)


def _json_error(status: int, text: str) -> Response:
    return _json({"error": text}, status)


def _same_site(incoming: Incoming, method: str) -> None:
    """Refuses what another web site makes a browser send."""
    headers = incoming.headers
    if headers.get("sec-fetch-site", "none") == "cross-site":
        raise BadRequest("not from another site")
    if method == "POST":
        origin = headers.get("origin")
        if headers.get("x-slowlens-viewer", "") != "1":
            raise BadRequest("only from the viewer itself")
        if origin is not None and origin.split("://", 1)[-1] != incoming.host:
            raise BadRequest("not from another origin")


def _parameters(incoming: Incoming) -> dict[str, str]:
    try:
        return dict(parse_qsl(incoming.query, max_num_fields=50))
    except ValueError:
        raise BadRequest("too many parameters") from None


def _route_of(incoming: Incoming) -> tuple[str, str | None, str | None]:
    values = _parameters(incoming)
    return values.get("route", ""), values.get("method") or None, values.get("mode") or None


def _whole(values: dict[str, str], name: str, default: int, most: int) -> int:
    text = values.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > most:
        raise BadRequest(f"{name} is a number from 0 to {most}")
    return int(text)


def _scaled(values: dict[str, str], name: str) -> int | None:
    """Milliseconds of a parameter as nanoseconds."""
    text = values.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise BadRequest(f"{name} is a number of milliseconds") from None
    if not 0 <= number < 9e12:
        raise BadRequest(f"{name} is a number of milliseconds")
    return int(number * 1e6)


def _sort(text: str) -> str:
    """Viewer's names of columns: ``wall_ms`` is ``wall_ns`` in the store."""
    return re.sub(r"_ms\Z", "_ns", text)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in row.items() if not key.endswith("_ns")}
    shown["started"] = row["started"] // 1_000_000
    shown["tags"] = (row["tags"] or "").split("\n")[1:-1]
    for name in ("wall", "cpu", "await", "waiting"):
        shown[name + "_ms"] = (row[name + "_ns"] or 0) / 1e6
    return shown
