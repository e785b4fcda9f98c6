"""Commands that say why: compare, explain."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from ..insight import cohorts
from ..insight import explain as explaining
from ..request import ID
from .source import CliError, find, is_empty, open_one
from .terminal import clean

__all__ = ["compare", "explain"]


def compare(options: argparse.Namespace) -> None:
    where = list(options.where)
    for key in ("host", "status", "tag"):
        value = getattr(options, key)
        if value is not None:
            where.append(value if key == "tag" else f"{key}={value}")
    store = open_one(options)
    is_empty(store)
    method, route = _route(options.route)
    found = cohorts.compare(store, cohorts.Selection(
        route=route, method=method or options.method, mode=options.mode, slow=options.slow, where=where,
        against=options.against, limit=options.limit))
    if options.json:
        print(json.dumps(found, indent=1))
        return
    if options.against and not where:
        where = ["not " + " ".join(options.against)]
    side = " ".join(where) if where else f"slow ({options.slow})"
    print(f"{clean(found['route'])}: {found['count']} {found['mode']} profiles; "
          f"{found['slow']} {clean(side)}: {found['slow_ns'] / 1e6:.1f} ms, "
          f"{found['usual']} usual: {found['usual_ns'] / 1e6:.1f} ms")
    print(clean(found["answer"]))
    for row in found["named"][1:]:
        print(f"also: {clean(row['text'])}")
    for tag in found["tags"]:
        print(f"more often with {clean(tag['text'])}")
    if found["largest"] and not found["named"]:
        print("the largest:")
        for row in found["largest"]:
            print(f"  {_share(row)}")
    if found["named"]:
        print(f"next: slowlens explain {found['named'][0]['worst_id']}")


def _share(row: dict[str, Any]) -> str:
    place = f"  {clean('/'.join(row['file'].split('/')[-2:]))}:{row['line']}" if "file" in row else ""
    return (f"{row['share']:4.0%} of the difference (in proportion {row['expected']:.0%})  "
            f"{clean(row['name'])}{place}")


def _route(text: str) -> tuple[str | None, str]:
    """``/books/`` or ``GET /books/``."""
    method, space, route = text.removeprefix("route:").partition(" ")
    if space and method.isupper():
        return method, route
    if not text:
        raise CliError("name a route, as slowlens list --routes shows it")
    return None, text.removeprefix("route:")


def explain(options: argparse.Namespace) -> None:
    name: str = options.what
    if name in ("last", "slowest") or ID.match(name) or os.path.isfile(name):
        opened = find(options, name)
        found = explaining.profile(opened.profile, None if os.path.isfile(name) else open_one(options))
    else:
        store = open_one(options)
        is_empty(store)
        method, route = _route(name)
        found = explaining.route(store, route, method)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(explaining.markdown(found, options.budget), end="")
