"""The viewer's pages and JSON, for whatever serves it: one route table.

    /                                   the page
    /static/NAME                        its files; badge.js is for pages of the app
    /firefox?r=ID                       hands a profile to the Firefox Profiler
    GET  /api/requests?filter=&...      {"requests": [ROW], "next": CURSOR|null, "mark": MARK, "sort": as it was
                                        understood, "terms": [{"name", "text"}] of the filter, "now": its clock, ms};
                                        see store/filter.py
    GET  /api/counts?filter=            {"counts": [{"title", "term", "count"}], "most"}: how many requests of a filter
                                        are slow, failed...; none where the store does not count
    GET  /api/routes                    {"routes": [ROUTE], "all_requests": one of them is of all requests,
                                        "windows": trees of all requests of the last day are there (?last=1d)}
    GET  /api/compare?route=&method=&mode=&slow=&where=&against=   sl_report_cohort of slowlens/merge.h, and "ids"
    GET  /api/regressions               slowlens/insight/regressions.py
    GET  /api/live                      {"requests": [LIVE]}: what runs now, longest first
    GET  /api/status                    counters of this process, and what can be downloaded: {"problem", "counters",
                                        "formats": [{"name", "title"}], "features": [name of a page],
                                        "fields": [{"name", "hint", "values"}] of a filter}
    GET  /api/requests/ID?glance=       summary, or (1) what of it takes no search; see slowlens/report.h
    GET  /api/requests/ID/tree?node=&depth=&hot=&limit=
    GET  /api/requests/ID/functions?limit=
    GET  /api/requests/ID/flame?node=&limit=
    GET  /api/requests/ID/timeline?limit=
    GET  /api/requests/ID/calls?function=|permille=
    GET  /api/requests/ID/repeats?limit=
    GET  /api/requests/ID/spans?limit=  queries, requests to others, templates..., by text and line
    GET  /api/requests/ID/lines?function=
    GET  /api/requests/ID/source?function=   lines, and the text of them
    GET  /api/requests/ID/diff?to=ID&permille=
    GET  /api/requests/aggregate/spread?route=  slowlens/merge.h, and "ids"
    GET  /requests/ID/profile?format=   download
    GET  /pprof?seconds=60&route=       all requests that ended in the last seconds, for what scrapes profiles
    GET  /api/openapi.json              this table, with every parameter, for machines
    POST /api/delete?id=
    POST /api/pin?id=&on=1|0            keep for ever

In place of an ID stands `aggregate` with ?route=&method=&mode= for the newest
profiles of a route, merged; with &last=1h (90s, 15m, 7d) and &release= for all
requests that ended in that time, kept or not (no route: of the whole site).

ROW: id, started, ended (ms), method, path, route, status, wall_ms, cpu_ms (collecting
garbage, gc_ms, too), await_ms, loop_ms, idle_ms, waiting_ms (of it run_queue_ms,
gil_wait_ms, blocked_ms where they were told apart), db_count, db_ms, mode,
http_count, cache_count, template_count, calls, c_calls, bytes, kept, pinned,
flags, hot, framework, host, release, pid, tags (["key=value"]), findings ([word]),
kind, killed (its process died).
ROUTE: route, method, count, p50_ms, p95_ms, p99_ms, max_ms, total_ms, error_share,
worst (id, "": none is stored), trend_ms, trend_count (requests in each part),
p90_ms, cpu_ms, counts ({"response_bytes", "kept"...}), sums_ms ({"gil_wait", "blocked", "await", "loop", "idle"...}, in
all; those that are not 0), share (of the time of all routes), all_requests (not only the stored ones).
LIVE: id, started (ms), running_ms, method, path, route,
mode, state ("runs" in a thread or "waits"), state_ms (since when), host, pid, thread (of the system), hot
("view views.py:12": the project's function it was seen in last, "" if it was not), seen_ms (how long ago, or null),
killed, stored (its tree so far can be asked for by its id). Errors: {"error": one sentence}, status 4xx.

No path on disk is ever built from a request: static files are a fixed table,
and ids are matched whole before the store sees them. What a request brings is
checked in parameters.py and nowhere else. Nothing is changed by GET; POST wants
a header that no other site can send unasked, and a client that may change.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from .. import __version__, _core, killed, live
from ..auth import EVERYTHING, Access, link_token
from ..insight import budgets, cohorts, regressions, windows
from ..log import Seldom, late
from ..request import Incoming
from ..store.filter import FIELDS, parse
from ..store.interface import COLUMNS, Query, QueryError, Store, StoreError, name_of
from . import source
from .parameters import BadRequest, Missing, Parameter, check_headers, check_ref, describe, read
from .profiles import AGGREGATE, Aggregate, Profiles
from .response import Response

__all__ = ["Response", "Viewer"]

_log = late("slowlens")

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
}
RECOVER_EVERY = 0.5
#: What is asked most: title, and how it is written in a filter.
QUICK = (("slow", ">200ms"), ("errors", "error"), ("loop held", "finding:holds-loop"), ("n+1", "finding:n+1"))
DAY_MS = 86_400_000
#: Counting ends there.
COUNT_MAX = 10_000
_ALL = 0xFFFFFFFF


class Asked(NamedTuple):
    """A request that was checked: values of its parameters, what its client may do, where the viewer is."""

    values: dict[str, Any]
    granted: frozenset[str]
    prefix: str


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
        shows_source: Callable[[], bool] = lambda: True, flush: Callable[[], object] = lambda: None,
    ) -> None:
        self.store = store
        self.access = access  # None: everybody, for `slowlens serve` on a loopback address
        self._counters = counters
        self._shows_source = shows_source
        self._flush = flush  # stores what this process has gathered
        self._profiles = Profiles(store)
        self._budgets = budgets.Here()
        self._name = name_of(store)  # whose boards are shown
        self._recovered = 0.0
        self._seldom = Seldom()

    def handle(
        self, incoming: Incoming, path: str, prefix: str, granted: frozenset[str] | None = None
    ) -> Response | None:
        """The answer for ``path`` below ``prefix``; None: not for this client, let the app answer.

        Never raises.

        :param granted: what the client may do, if somebody else has asked that.
        """
        if self.access is not None:
            granted = self.access.admitted(incoming, path, prefix, granted)
        elif granted is None:
            granted = EVERYTHING
        if "view" not in granted:
            return None
        token = link_token(incoming, path)
        try:
            if token and self.access is not None:
                cookie = self.access.session_cookie(incoming, token, prefix)
                if cookie is not None:
                    return _secured(303, [("Location", prefix), ("Set-Cookie", cookie),
                                          ("Cache-Control", "no-store")], b"")
            response = self._route(incoming, path, prefix, granted)
        except (BadRequest, QueryError) as error:
            response = _json_error(400, str(error))
        except (Missing, windows.NoWindows) as error:
            response = _json_error(404, str(error))
        except StoreError as error:
            response = _json_error(503, str(error))
        except OSError as error:
            response = _json_error(503, f"the store cannot be read now: {error.strerror}")
        except _core.CorruptError as error:
            response = _json_error(422, f"this profile cannot be read: {error}")
        except MemoryError:
            response = _json_error(507, "not enough memory for this profile")
        except Exception as error:
            self._seldom.say(_log, f"slowlens: the viewer failed: {type(error).__name__}", exc=True)
            response = _json_error(500, "a fault of slowlens; it stands in the log of the app")
        if incoming.method == "HEAD":
            response = response._replace(body=b"")
        return response

    def _route(self, incoming: Incoming, path: str, prefix: str, granted: frozenset[str]) -> Response:
        if path == "" and not incoming.path.endswith("/"):
            return _secured(308, [("Location", prefix)], b"")
        other = ""
        for pattern, route in _TABLE:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if incoming.method != route.method and not (route.method == "GET" and incoming.method == "HEAD"):
                other = route.method
                continue
            if path:  # other sites may lead to the page, and to nothing else: not even have it work for them
                check_headers(incoming, route.changes)
            if route.changes and "change" not in granted:
                return _json_error(403, "this link is for reading: slowlens token --change makes one for more")
            names = match.groupdict()
            if "ref" in names:
                names["ref"] = check_ref(names["ref"])
            return route.handler(self, Asked(read(incoming, route.parameters), granted, prefix), **names)
        if other:
            response = _json_error(405, f"only {other}")
            return response._replace(headers=[*response.headers, ("Allow", other)])
        return _json_error(404, "no such page")

    # ---- pages ----

    def _page(self, asked: Asked) -> Response:
        return self._file(asked, "index.html")

    def _firefox(self, asked: Asked) -> Response:
        """The one page that may hold a window of another origin (and nothing of the app's opens it: ``noopener``)."""
        response = self._file(asked, "firefox.html")
        opener = ("Cross-Origin-Opener-Policy", "unsafe-none")
        return response._replace(headers=[
            opener if name == opener[0] else (name, value) for name, value in response.headers])

    def _file(self, asked: Asked, name: str) -> Response:
        found = _static().get(name)
        if found is None:
            return _json_error(404, "no such file")
        return _secured(200, [("Content-Type", found[0]), ("Cache-Control", "no-cache")], found[1])

    # ---- JSON ----

    def _requests(self, asked: Asked) -> Response:
        self._recover()
        values = dict(asked.values)
        text, zone = values.pop("filter"), values.pop("zone")
        query = Query(min_ns=values.pop("min_ms"), text=values.pop("q"), **values)
        found = parse(text or "", base=query, zone=zone)
        page = self.store.list(found.query)
        sort = re.sub(r"_ns\Z", "_ms", found.query.sort)
        return _json({"requests": [_row(row) for row in page.rows], "next": page.next, "mark": page.mark,
                      "terms": [term._asdict() for term in found.terms], "sort": sort,
                      "now": time.time_ns() // 1_000_000})

    def _counts(self, asked: Asked) -> Response:
        count = getattr(self.store, "count", None)
        text, zone = asked.values["filter"] or "", asked.values["zone"]
        rows = [] if count is None else [
            {"title": title, "term": term, "count": count(parse(f"{text} {term}", zone=zone).query, COUNT_MAX)}
            for title, term in QUICK]
        return _json({"counts": rows, "most": COUNT_MAX})

    def _routes_page(self, asked: Asked) -> Response:
        routes = []
        found = self.store.routes(asked.values["route"])
        total = sum(stats["total"] for stats in found)
        for stats in found:
            values: dict[str, Any] = dict(stats)
            row = {name: values[name] for name in ("route", "method", "count", "error_share", "worst")}
            for name in ("p50", "p95", "p99", "max", "total"):
                row[name + "_ms"] = values[name] / 1e6
            row["trend_ms"] = [one / 1e6 for one in stats["trend"]]
            row["p90_ms"], row["cpu_ms"] = values.get("p90", 0) / 1e6, values.get("cpu", 0) / 1e6
            row["trend_count"] = values.get("counts", [])
            sums = values.get("sums", {})
            row["counts"] = {name: value for name, value in sums.items() if not name.endswith("_ns")}
            row["sums_ms"] = {name[:-3]: value / 1e6 for name, value in sums.items() if name.endswith("_ns")}
            row["share"] = values["total"] / total if total else 0
            row["all_requests"] = "sums" in values
            routes.append(row)
        return _json({"routes": routes, "all_requests": any(row["all_requests"] for row in routes),
                      "windows": self._gathers()})

    def _gathers(self) -> bool:
        """Whether trees of all requests of the last day are there (option ``continuous``)."""
        since = int(time.time() * 1000) - DAY_MS
        gathers = getattr(self.store, "gathers", None)
        if gathers is not None:
            return bool(gathers(since))
        read = getattr(self.store, "windows", None)
        return read is not None and next(iter(read(since, 0)), None) is not None

    def _compare(self, asked: Asked) -> Response:
        values = asked.values
        where, against = ([text] if text else [] for text in (values["where"], values["against"]))
        try:
            return _json(cohorts.compare(self.store, cohorts.Selection(
                route=values["route"], method=values["method"], mode=values["mode"], slow=values["slow"],
                where=where, against=against, limit=values["limit"])))
        except cohorts.NoProfiles as error:
            raise Missing(str(error)) from None

    def _regressions(self, asked: Asked) -> Response:
        if not hasattr(self.store, "numbers"):
            return _json({"releases": []})
        return _json(regressions.regressions(self.store))

    def _recover(self) -> None:
        """What a dead process left becomes profiles, where this one may store them."""
        now = time.monotonic()
        if self._name and now - self._recovered >= RECOVER_EVERY:
            self._recovered = now
            try:
                killed.recover(self.store, self._name)
            except (StoreError, OSError, ValueError):
                pass  # it stays in the list of what runs, as killed

    def _live(self, asked: Asked) -> Response:
        self._recover()
        rows = live.running(self._name) if self._name else []
        return _json({"requests": [_live_row(row) for row in rows]})

    def _status(self, asked: Asked) -> Response:
        counters = self._counters() if self._counters is not None else {}
        formats = [{"name": name, "title": title} for name, (_, title) in _FORMATS.items()]
        features = ["live", *(["changes"] if hasattr(self.store, "numbers") else [])]
        return _json({"problem": self.store.problem(), "counters": counters, "formats": formats, "features": features,
                      "fields": [one._asdict() for one in FIELDS], "may": sorted(asked.granted)})

    def _summary(self, asked: Asked, ref: str) -> Response:
        if asked.values["glance"]:
            return self._report(asked, ref, lambda profile: profile.summary(True))
        return self._report(asked, ref, self._with_budgets)

    def _with_budgets(self, profile: _core.Profile) -> bytes:
        """The summary, and as findings what the profile exceeds of the app's slowlens.toml."""
        summary = profile.summary()
        try:
            wanted = self._budgets.budgets()
        except budgets.BudgetError as error:
            self._seldom.say(_log, f"slowlens: {error}", key="budgets", once=True)
            return summary
        over = budgets.exceeded(wanted, budgets.Measured(profile)) if wanted else []
        if not over:
            return summary
        document = json.loads(summary)
        document["findings"] += [budgets.finding(one) for one in over]
        return json.dumps(document, separators=(",", ":")).encode()

    def _tree(self, asked: Asked, ref: str) -> Response:
        values = asked.values
        return self._report(asked, ref, lambda profile: profile.tree(
            node=values["node"], depth=max(1, values["depth"]), hot=values["hot"], limit=values["limit"]))

    def _functions(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.functions(asked.values["limit"]))

    def _flame(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.flame(asked.values["node"], asked.values["limit"]))

    def _timeline(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.timeline(asked.values["limit"]))

    def _calls(self, asked: Asked, ref: str) -> Response:
        values = asked.values
        return self._report(asked, ref, lambda profile: profile.calls(values["function"], values["permille"]))

    def _repeats(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.repeats(asked.values["limit"]))

    def _spans(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.spans(asked.values["limit"]))

    def _lines(self, asked: Asked, ref: str) -> Response:
        return self._report(asked, ref, lambda profile: profile.lines(asked.values["function"]))

    def _source(self, asked: Asked, ref: str) -> Response:
        def report(profile: _core.Profile) -> bytes:
            found: dict[str, Any] = json.loads(profile.lines(asked.values["function"]))
            known = [row["line"] for row in found["rows"] if row["line"] >= found["line"] > 0]
            if self._shows_source():
                text, why = source.read_lines(found["file"], max(1, found["line"]), max(known, default=found["line"]))
            else:
                text, why = [], "source is shown while debugging, or where the option viewer_source says so"
            return json.dumps({**found, "text": text, "why": why}).encode()

        return self._report(asked, ref, report)

    def _diff(self, asked: Asked, ref: str) -> Response:
        values = asked.values
        return self._report(
            asked, ref, lambda profile: profile.diff(self._blob(asked, values["to"]), values["permille"]))

    def _spread(self, asked: Asked) -> Response:
        if asked.values["last"]:
            raise Missing("how requests differ is known of kept profiles only")
        return _document(self._profiles.spread(self._aggregate(asked)))

    def _aggregate(self, asked: Asked) -> Aggregate:
        values = asked.values
        if values["last"]:
            return self._profiles.window(values["last"], values["route"], values["method"], values["mode"],
                                         values["release"])
        found = self._profiles.aggregate(values["route"] or "", values["method"], values["mode"])
        if found is None:
            raise Missing("no stored profile of this route")
        return found

    def _blob(self, asked: Asked, ref: str) -> _core.Profile:
        if ref == AGGREGATE:
            return self._aggregate(asked).merged
        profile = self._profiles.get(ref)
        if profile is None:
            raise Missing("no such profile: deleted, or never stored")
        return profile

    def _report(self, asked: Asked, ref: str, report: Callable[[_core.Profile], bytes]) -> Response:
        profile = self._blob(asked, ref)
        try:
            return _document(report(profile))
        except _core.CorruptError:
            raise
        except ValueError:
            raise BadRequest("this profile has no such function or node") from None

    def _download(self, asked: Asked, ref: str) -> Response:
        form = asked.values["format"]
        data = self._aggregate(asked).data if ref == AGGREGATE else self.store.get(ref)
        if data is None:
            raise Missing("no such profile: deleted, or never stored")
        meta = json.loads(_core.read_meta(data))["meta"]
        body = data if form == "slowlens" else _core.Profile(data).export(form)
        name = download_name(meta, ref, form)
        return _secured(200, [
            ("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store"),
            ("Content-Disposition", f'attachment; filename="{name}"'),
        ], body)

    def _pprof(self, asked: Asked) -> Response:
        """Each request is in the answer to one of those who ask every ``seconds``: in the first one after its process
        has stored what it gathered, which each does once a minute, and this one now."""
        values = asked.values
        self._flush()
        try:
            data = windows.merged(self.store, values["seconds"], route=values["route"], method=values["method"],
                                  mode=values["mode"], release=values["release"]).blob
        except windows.NoWindows:
            data = windows.nothing(values["seconds"])  # an idle app is no broken one
        return _secured(200, [
            ("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store"),
            ("Content-Disposition", 'attachment; filename="slowlens.pb.gz"'),
        ], _core.Profile(data).export("pprof"))

    def _delete(self, asked: Asked) -> Response:
        found = self.store.delete(asked.values["id"])
        self._profiles.drop(asked.values["id"])
        return _json({"deleted": found})

    def _pin(self, asked: Asked) -> Response:
        on = asked.values["on"]
        if not self.store.pin(asked.values["id"], on):
            raise Missing("no such profile: deleted, or never stored")
        return _json({"pinned": on})

    def _openapi(self, asked: Asked) -> Response:
        return _json(describe(ROUTES, asked.prefix, __version__))


class Route(NamedTuple):
    """One row of the table: who answers what, and what of a query they get."""

    method: str
    path: str
    handler: Callable[..., Response]
    doc: str
    parameters: tuple[Parameter, ...] = ()
    media: str = "application/json"
    schema: dict[str, Any] = {"type": "object"}  # noqa: RUF012 (a default that nobody changes)

    @property
    def changes(self) -> bool:
        return self.method == "POST"


def _whole(name: str, default: int, most: int, doc: str) -> Parameter:
    return Parameter(name, "whole", doc, default, most=most)


_ROUTE = Parameter("route", "text", "of this route")
_METHOD = Parameter("method", "text", "of this method")
_MODE = Parameter("mode", "text", "of this mode")
_WHICH = (_ROUTE, _METHOD, _MODE)
_RELEASE = Parameter("release", "text", "of this release")
_FILTER = Parameter("filter", "text", "words of the language of lists: /books/ 5xx >200ms tag:user=anna")
_ZONE = Parameter("zone", "zone", "minutes east of UTC in which times of the filter are written")
#: Which profiles "aggregate" stands for; every report takes them.
_TOGETHER = (*_WHICH, Parameter("last", "text", "all requests of that time, kept or not: 15m, 1h, 7d"), _RELEASE)
_FUNCTION = _whole("function", 0, _ALL, "number of a function in this profile")
_NODE = _whole("node", 0, 1 << 31, "number of a node in this profile")
_PROFILE_ID = Parameter("id", "id", "which profile", required=True)
_BYTES = {"type": "string", "format": "binary"}


def _schema(*names: str) -> dict[str, Any]:
    """An object with at least these members."""
    return {"type": "object", "required": list(names)}


def _report(name: str, handler: Callable[..., Response], doc: str, *parameters: Parameter,
            schema: dict[str, Any] | None = None) -> Route:
    path = "api/requests/{ref}" + (f"/{name}" if name else "")
    return Route("GET", path, handler, doc, (*parameters, *_TOGETHER), schema=schema or {"type": "object"})


ROUTES: tuple[Route, ...] = (
    Route("GET", "", Viewer._page, "The page.", media="text/html", schema={"type": "string"}),
    Route("GET", "firefox", Viewer._firefox, "Hands a profile to the Firefox Profiler in another window.",
          media="text/html", schema={"type": "string"}),
    Route("GET", "static/{name}", Viewer._file, "A file of the page.", media="*/*", schema=_BYTES),
    Route("GET", "api/requests", Viewer._requests, "A page of the list of requests.", (
        Parameter("sort", "sort", "column, - before it for the largest first", "-started"),
        *_WHICH,
        Parameter("status", "status", "404, a class as 5xx, or error"),
        Parameter("min_ms", "ms", "at least this slow"),
        Parameter("since", "ms", "began at this Unix time or later"),
        Parameter("until", "ms", "began before this Unix time"),
        _FILTER, _ZONE,
        Parameter("q", "text", "in path, route or hot path"),
        Parameter("tag", "text", "a tag, or one with its value: key=value"),
        Parameter("host", "text", "of this machine"),
        _RELEASE,
        Parameter("finding", "text", "with this finding"),
        Parameter("stored_since", "cursor", "stored after an answer before: its mark"),
        Parameter("limit", "whole", "how many", 50, least=1, most=500),
        Parameter("cursor", "cursor", "where to go on: next of the page before"),
    ), schema=_schema("requests", "next", "mark", "terms", "sort")),
    Route("GET", "api/counts", Viewer._counts, "How many requests of a filter are slow, failed...", (_FILTER, _ZONE),
          schema=_schema("counts", "most")),
    Route("GET", "api/routes", Viewer._routes_page, "Routes with their percentiles.", (_ROUTE,),
          schema=_schema("routes")),
    Route("GET", "api/compare", Viewer._compare, "What the slow requests of a route do differently.", (
        Parameter("route", "text", "of this route", required=True), _METHOD, _MODE,
        Parameter("slow", "text", "which are slow: a percentile as p90, or a time as 500ms", "p90"),
        Parameter("where", "text", "instead: those of this release, host, status or tag, as key=value"),
        Parameter("against", "text", "beside these; else beside all others"),
        _whole("limit", 500, 2000, "newest profiles"),
    ), schema=_schema("answer", "named", "tags", "ids")),
    Route("GET", "api/regressions", Viewer._regressions, "Which routes became worse with which release.",
          schema=_schema("releases")),
    Route("GET", "api/live", Viewer._live, "What runs now, longest first.", schema=_schema("requests")),
    Route("GET", "api/status", Viewer._status, "Counters of this process, and what this client may do.",
          schema=_schema("problem", "counters", "may")),
    Route("GET", "api/openapi.json", Viewer._openapi, "This description.", schema=_schema("openapi", "paths")),
    Route("GET", f"api/requests/{AGGREGATE}/spread", Viewer._spread, "How a route's profiles differ.", _TOGETHER,
          schema=_schema("ids")),
    _report("", Viewer._summary, "What is known of one profile.",
            Parameter("glance", "flag", "without findings", False), schema=_schema("meta", "wall_ns")),
    _report("tree", Viewer._tree, "A part of the call tree.", _NODE, _whole("depth", 1, 64, "levels"),
            Parameter("hot", "flag", "the hot path opened", False), _whole("limit", 2000, 20000, "rows"),
            schema=_schema("rows", "functions")),
    _report("functions", Viewer._functions, "Functions, most self time first.", _whole("limit", 200, 1 << 20, "rows"),
            schema=_schema("rows")),
    _report("flame", Viewer._flame, "Nodes for a flame graph.", _NODE, _whole("limit", 200_000, 2_000_000, "nodes"),
            schema=_schema("nodes", "parents")),
    _report("timeline", Viewer._timeline, "What ran when.", _whole("limit", 200_000, 2_000_000, "rows"),
            schema=_schema("rows")),
    _report("calls", Viewer._calls, "Who called whom.", _whole("function", _ALL, _ALL, "only with this function"),
            _whole("permille", 5, 1000, "leave out smaller shares"), schema=_schema("pairs", "functions")),
    _report("spans", Viewer._spans, "What was asked of others, by text and line.", _whole("limit", 200, 10000, "rows"),
            schema=_schema("wall_ns", "kinds", "rows")),
    _report("repeats", Viewer._repeats, "Calls that repeat.", _whole("limit", 50, 10000, "rows"),
            schema=_schema("rows")),
    _report("lines", Viewer._lines, "Lines of one function.", _FUNCTION, schema=_schema("rows")),
    _report("source", Viewer._source, "Lines of one function, and their text.", _FUNCTION,
            schema=_schema("rows", "text", "why")),
    _report("diff", Viewer._diff, "What another profile has more.",
            Parameter("to", "ref", "the other profile", required=True),
            _whole("permille", 1, 1000, "leave out smaller shares"), schema=_schema("before_ns", "after_ns")),
    Route("GET", "requests/{ref}/profile", Viewer._download, "A profile as a file.", (
        Parameter("format", "word", "for which tool", "slowlens", words=("slowlens", *_core.EXPORT_FORMATS)),
        *_TOGETHER,
    ), media="application/octet-stream", schema=_BYTES),
    Route("GET", "pprof", Viewer._pprof, "All requests that ended in the last seconds, as pprof.", (
        Parameter("seconds", "whole", "how many", 60, least=1, most=86400), *_WHICH, _RELEASE,
    ), media="application/octet-stream", schema=_BYTES),
    Route("POST", "api/delete", Viewer._delete, "Deletes a profile.", (_PROFILE_ID,), schema=_schema("deleted")),
    Route("POST", "api/pin", Viewer._pin, "Keeps a profile for ever, or no longer.", (
        _PROFILE_ID, Parameter("on", "flag", "1: for ever", True),
    ), schema=_schema("pinned")),
)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


_TABLE = tuple((_pattern(route.path), route) for route in ROUTES)


#: Name of a format -> (ending of a file, title): the core's table, and what needs no export.
_FORMATS = {
    "slowlens": (".slowlens", "slowlens, everything"),
    **{name: (ending, title) for name, ending, _, title, _ in _core.EXPORTS},
}


def download_name(meta: dict[str, Any], profile_id: str, form: str) -> str:
    """``GET-books-12-0812ms-01k....speedscope.json``: says what is in the file; safe anywhere."""
    where = re.sub(r"[^a-z0-9]+", "-", str(meta.get("route") or meta.get("path") or "").lower()).strip("-")
    method = re.sub(r"[^A-Z]", "", str(meta.get("method", "")))[:10]
    parts = [method, where[:60], f"{_number(meta.get('wall_ns')) // 1_000_000}ms", profile_id]
    return "-".join(part for part in parts if part) + _FORMATS[form][0]


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


def _live_row(row: dict[str, Any]) -> dict[str, Any]:
    shown = {key: row[key] for key in (
        "id", "method", "path", "route", "mode", "state", "host", "pid", "killed")}
    shown["started"] = row["started"] // 1_000_000
    shown["running_ms"] = row["age_ns"] / 1e6
    shown["state_ms"] = row["state_ns"] / 1e6
    shown["seen_ms"] = None if row["seen_ns"] is None else row["seen_ns"] / 1e6
    shown["thread"] = row["tid"]
    shown["hot"] = row["where"]
    shown["stored"] = row["stored"]
    return shown


_ROW_TIMES = tuple(name for name in COLUMNS if name.endswith("_ns"))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Metadata comes out of blobs, which may come from anywhere: what is no number counts as none."""
    shown = {key: value for key, value in row.items() if not key.endswith("_ns")}
    for name in ("started", "ended"):
        shown[name] = _number(row.get(name)) // 1_000_000
    shown["killed"] = "killed" in str(row["flags"] or "").split(",")
    for name in ("tags", "findings"):
        shown[name] = str(row.get(name) or "").split("\n")[1:-1]
    for name in _ROW_TIMES:
        shown[name[:-3] + "_ms"] = _number(row.get(name)) / 1e6
    return shown


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
