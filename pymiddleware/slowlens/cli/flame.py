"""``slowlens flame``: what all requests of a route, or of the site, did in the last hour, day or release."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .. import _core
from ..insight import windows
from ..log import several
from ..request import ID
from ..store import Store
from . import read
from .source import CliError, Opened, decode, find, find_all, is_empty, open_one, route_of
from .terminal import Paint, clean

__all__ = ["flame"]

#: By the ending of the file that is written, where no format is named.
ENDINGS = {".html": "html", ".json": "speedscope", ".pb.gz": "pprof", ".slowlens": "slowlens", ".txt": "collapsed"}


def flame(options: argparse.Namespace) -> None:
    form = _format(options)
    what: str = options.what or ""
    if what in ("last", "slowest") or ID.match(what) or os.path.isfile(what):
        found = find(options, what)
    else:
        store = open_one(options)
        is_empty(store)
        found = _together(options, store, what)
    if form == "text":
        if options.json:
            print(json.dumps({"meta": found.meta, "tree": json.loads(found.profile.tree(0, 1 << 30, True, 1 << 24))}))
            return
        print(clean(_title(found.meta)))
        read.print_tree(found, options, Paint(options.color))
        return
    read.write_as(found, form, options.output)
    if options.output is not None:
        print(f"{options.output}: {_title(found.meta)}")


def _format(options: argparse.Namespace) -> str:
    if options.format is not None or options.output is None:
        return str(options.format or "text")
    for ending, form in ENDINGS.items():
        if options.output.endswith(ending):
            return form
    raise CliError(f"{options.output}: which format? Name it with -f, or end the file in {', '.join(ENDINGS)}")


def _together(options: argparse.Namespace, store: Store, what: str) -> Opened:
    """All requests of that time as one; where none were gathered, the kept ones of the route, and it says so."""
    method, route = route_of(what) if what else (None, None)
    method = method or options.method
    seconds = 0 if options.release and options.last is None else windows.seconds_of(options.last or "1h")
    try:
        return decode(windows.merged(store, seconds, route=route, method=method, mode=options.mode,
                                     release=options.release).blob)
    except windows.NoWindows as error:
        if route is None or options.release is not None:
            raise CliError(f"{error}; of the kept profiles of one route: slowlens flame /ROUTE") from None
        try:
            kept = [one for one in find_all(options, f"route:{route}")
                    if method in (None, one.meta.get("method")) and options.mode in (None, one.meta.get("mode"))]
        except CliError:
            kept = []
        if not kept:
            raise CliError(f"{error}, and no profile of {route} is kept") from None
        mode = kept[0].meta.get("mode")
        kept = [one for one in kept if one.meta.get("mode") == mode]
        print(f"slowlens: {error}: this is of the {len(kept)} newest kept profiles, among which slow ones are more "
              "frequent than among all", file=sys.stderr)
        meta: dict[str, Any] = {"mode": mode, "route": route, "path": route, "merged": len(kept),
                                "method": str(kept[0].meta.get("method", "")),
                                "started": min(one.meta.get("started", 0) for one in kept)}
        return decode(_core.merge([one.profile for one in kept], meta))


def _title(meta: dict[str, Any]) -> str:
    route = meta.get("route") or meta.get("path") or ""
    where = f"{meta.get('method') or ''} {route}".strip() if meta.get("route") or not meta.get("merged") else route
    if not meta.get("merged"):
        return f"{where} {meta.get('wall_ns', 0) / 1e6:.1f} ms"
    requests = meta.get("requests") or meta["merged"]
    mean = f", {meta['wall_ns'] / requests / 1e6:.3g} ms a request" if meta.get("wall_ns") else ""
    drawn = f" ({meta['merged']} added up, each for those it speaks for)" if requests != meta["merged"] else ""
    return f"{where}: {several(requests, 'request')}{drawn}, {meta.get('mode', '')}{mean}"
