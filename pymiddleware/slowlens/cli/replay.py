"""``slowlens replay``: asks the running app for the same page again, some times, and says what varied."""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from .. import _core
from ..log import several
from ..store import Store
from .source import CliError, find, open_one
from .terminal import clean

__all__ = ["replay"]

TIMEOUT = 60.0
#: How long a profile may take to be stored.
STORED_SECONDS = 5.0
#: Counts that are compared, as the metadata has them.
COUNTS = (("calls", "Python calls"), ("c_calls", "C calls"), ("nodes", "places of the call tree"))


class Asked(NamedTuple):
    """One answer: the client's time, and what its profile counted (nothing: there is none)."""

    status: int
    wall_ms: float
    id: str
    counts: dict[str, int]


def replay(options: argparse.Namespace) -> int:
    meta = find(options, options.profile).meta
    method, path = str(meta.get("method", "")), str(meta.get("path", ""))
    if method not in ("GET", "HEAD"):
        raise CliError(f"only GET and HEAD are sent again, not {clean(method)}: anything else may change something")
    if not path.startswith("/"):
        raise CliError(f"{clean(path)}: no path of a URL")
    store = open_one(options)
    sides = [_side(options, url, method, path, store) for url in (options.url, options.against) if url]
    if options.json:
        print(json.dumps({"method": method, "path": path, "sides": sides}, indent=1))
    else:
        print(f"{method} {clean(path)}, {several(options.count, 'time')}")
        for side in sides:
            _print(side)
        if len(sides) == 2:
            first, second = (side["median_ms"] for side in sides)
            print(f"median: {first:.1f} -> {second:.1f} ms" + (f" ({second / first - 1:+.0%})" if first else ""))
    bad = sorted({status for side in sides for status in side["statuses"].keys() - {"200", "204", "304"}})
    if bad:
        print(f"slowlens replay: it was answered {', '.join(bad)}: what was timed may not be the page that was meant",
              file=sys.stderr)
    return 1 if bad else 0


def _side(options: argparse.Namespace, url: str, method: str, path: str, store: Store) -> dict[str, Any]:
    found = []
    for _ in range(max(1, options.count)):
        found.append(_ask(url, method, path, options))
    walls = sorted(one.wall_ms for one in found)
    counted = [_counted(store, one) for one in found]
    known = [one for one in counted if one.counts]
    counts: dict[str, dict[str, int]] = {}
    for key, _ in COUNTS:
        values = [one.counts[key] for one in known if key in one.counts]
        if values:
            counts[key] = {"min": min(values), "max": max(values)}
    statuses: dict[str, int] = {}
    for one in found:
        statuses[str(one.status)] = statuses.get(str(one.status), 0) + 1
    quarters = statistics.quantiles(walls, n=4) if len(walls) > 1 else [walls[0]] * 3
    return {"url": url, "count": len(found), "statuses": statuses, "min_ms": walls[0],
            "median_ms": statistics.median(walls), "spread_ms": quarters[2] - quarters[0], "max_ms": walls[-1],
            "profiled": len(known), "counts": counts, "ids": [one.id for one in counted if one.id]}


def _ask(url: str, method: str, path: str, options: argparse.Namespace) -> Asked:
    where = urlsplit(url)
    if where.scheme not in ("http", "https") or not where.hostname:
        raise CliError(f"{clean(url)}: no http:// or https:// URL")
    headers = {"X-Slowlens": "deterministic"}
    for text in options.header:
        name, colon, value = text.partition(":")
        if not colon:
            raise CliError(f"a header is 'Name: value', not {clean(text)!r}")
        headers[name.strip()] = value.strip()
    target = where.path.rstrip("/") + quote(path, safe="/%:@!$&'()*+,;=~-._")
    if options.query:
        target += "?" + quote(options.query, safe="/%:@!$&'()*+,;=~-._?[]")
    make = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = make(where.hostname, where.port, timeout=TIMEOUT)
    began = time.perf_counter()
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        response.read()
        wall = (time.perf_counter() - began) * 1e3
        link = re.search(r"#r=([0-9a-z]{26})$", response.getheader("X-Slowlens") or "")
        return Asked(response.status, wall, link[1] if link else "", {})
    except ConnectionRefusedError:
        raise CliError(f"{clean(url)}: nobody listens there; --url says where your app is") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CliError(f"{clean(url)}: {error}") from None
    finally:
        connection.close()


def _counted(store: Store, one: Asked) -> Asked:
    """With what its profile counted, once that is stored."""
    deadline = time.monotonic() + STORED_SECONDS
    while one.id:
        data = store.get(one.id)
        if data is not None:
            meta = json.loads(_core.read_meta(data))["meta"]
            exact = meta.get("mode") == "deterministic"
            counts = {key: meta[key] for key, _ in COUNTS if exact and isinstance(meta.get(key), int)}
            return one._replace(counts=counts)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return one


def _print(side: dict[str, Any]) -> None:
    statuses = ", ".join(f"{status} {count}x" for status, count in side["statuses"].items())
    print(f"{clean(side['url'])}: {statuses}; fastest {side['min_ms']:.1f} ms, median {side['median_ms']:.1f} ms, "
          f"middle half within {side['spread_ms']:.1f} ms, slowest {side['max_ms']:.1f} ms")
    if not side["profiled"]:
        print("  nothing was counted: the app did not say where its profiles are (it must grant you to trigger and to "
              "view: --header, and --store)")
    for key, title in COUNTS:
        if key in side["counts"]:
            least, most = side["counts"][key]["min"], side["counts"][key]["max"]
            print(f"  {title}: {least}" + (f" to {most}: varied" if most > least else ", each time"))
