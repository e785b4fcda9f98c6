"""Commands over several profiles: diff, merge."""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import Any, NamedTuple

from .. import _core
from ..log import several
from ..request import new_id
from .source import CliError, Opened, find_all, route_of
from .terminal import clean, fit, width

__all__ = ["diff", "merge", "percentage"]

#: Call counts that differ by fewer are no regression, however large the share.
CALLS_SLACK = 2


def percentage(text: str) -> float:
    """``20%`` or ``20`` as 0.2. Used by argparse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage")
    return float(match[1]) / 100


def _route(profile: Opened) -> str:
    meta = profile.meta
    return f"{meta.get('method', '')} {meta.get('route') or meta.get('path') or ''}".strip()


class _Group(NamedTuple):
    """Profiles that are compared as one, by their means."""

    profile: _core.Profile
    size: int


def _merged_meta(profiles: list[Opened]) -> dict[str, Any]:
    """Metadata of a sum: what all agree on, and sums of the times."""
    first = profiles[0].meta
    meta: dict[str, Any] = {"id": new_id(time.time_ns()), "merged": len(profiles)}
    for key in ("started", "mode", "c_mode", "method", "route", "path", "framework", "python", "release", "host"):
        values = {profile.meta.get(key) for profile in profiles}
        if len(values) == 1 or key in ("started", "mode"):
            meta[key] = first.get(key)
    for key in ("wall_ns", "cpu_ns", "await_ns", "loop_ns", "idle_ns", "gc_ns", "waiting_ns", "gil_wait_ns",
                "blocked_ns", "calls", "c_calls", "samples"):
        if all(isinstance(profile.meta.get(key), int) for profile in profiles):
            meta[key] = sum(profile.meta[key] for profile in profiles)
    for kind in ("db", "http", "cache", "template"):  # where nothing was asked, there is no key
        for key in (f"{kind}_count", f"{kind}_ns"):
            total = sum(profile.meta.get(key) or 0 for profile in profiles)
            if total:
                meta[key] = total
    meta.setdefault("path", meta.get("route") or several(len(profiles), "profile"))
    return meta


def _merge(profiles: list[Opened]) -> bytes:
    modes = {profile.meta.get("mode") for profile in profiles}
    if len(modes) > 1:
        raise CliError("sampled and deterministic profiles count different things: merge one kind at a time")
    return _core.merge([opened.profile for opened in profiles], _merged_meta(profiles))


def merge(options: argparse.Namespace) -> None:
    profiles = [one for name in options.profiles for one in find_all(options, name, options.limit)]
    data = _merge(profiles)
    with open(options.output, "wb") as file:
        file.write(data)
    if options.json:
        print(json.dumps({"merged": len(profiles), "output": options.output, "bytes": len(data)}))
    else:
        print(f"{options.output}: {several(len(profiles), 'profile')}, {len(data)} bytes")


def _groups(profiles: list[Opened]) -> dict[str, list[Opened]]:
    found: dict[str, list[Opened]] = {}
    for profile in profiles:
        found.setdefault(_route(profile), []).append(profile)
    return found


def _group(profiles: list[Opened]) -> _Group:
    requests = sum(int(one.meta.get("requests") or one.meta.get("merged") or 1) for one in profiles)
    if len(profiles) == 1:
        return _Group(profiles[0].profile, requests)
    return _Group(_core.Profile(_merge(profiles)), requests)


def _change(before: float, after: float) -> float:
    """Growth as a share of what was; something from nothing is endless."""
    if before == after:
        return 0.0
    return (after - before) / before if before else float("inf")


def _compare(before: _Group, after: _Group) -> dict[str, Any]:
    """Means per request of both sides: function by function, and of what was asked of others by kind and text."""
    report = json.loads(before.profile.diff(after.profile, 1))

    def means(name: str, ordered: str) -> list[dict[str, Any]]:
        rows = []
        for one in report[name]:
            old = {key: _mean(key, value, before.size) for key, value in one["before"].items()}
            new = {key: _mean(key, value, after.size) for key, value in one["after"].items()}
            rows.append({**one, "before": old, "after": new})
        rows.sort(key=lambda one: -abs(one["after"][ordered] - one["before"][ordered]))
        return rows

    return {"before_ns": report["before_ns"] / before.size, "after_ns": report["after_ns"] / after.size,
            "before_count": before.size, "after_count": after.size, "functions": means("functions", "self_ns"),
            "kinds": means("kinds", "outer_ns"), "spans": means("spans", "total_ns")}


def _mean(key: str, value: int, size: int) -> float:
    return value if key.startswith("longest") else value / size


def _worse(route: str, compared: dict[str, Any], limit: float, least: float, exact: bool) -> list[str]:
    """What got worse by more than ``limit``, in words."""
    found = []

    def check(what: str, before: float, after: float, unit: str) -> None:
        if _change(before, after) > limit:
            grown = f"{_change(before, after):+.0%}" if before else "new"
            found.append(f"{what}: {before:.1f} -> {after:.1f} {unit} ({grown})")

    wall = max(compared["before_ns"], compared["after_ns"])
    check(f"route {route}", compared["before_ns"] / 1e6, compared["after_ns"] / 1e6, "ms")
    for one in compared["functions"]:
        name = f"{one['name']} ({one['file'].rsplit('/', 1)[-1]}:{one['line']})" if one["file"] else one["name"]
        before, after = one["before"], one["after"]
        if max(before["total_ns"], after["total_ns"]) < wall * least:
            continue
        if after["total_ns"] - before["total_ns"] >= wall * least:
            check(f"function {name}", before["total_ns"] / 1e6, after["total_ns"] / 1e6, "ms")
        if exact and after["calls"] - before["calls"] > CALLS_SLACK:
            check(f"calls of {name}", before["calls"], after["calls"], "calls")
    for one in compared["spans"]:  # counted in both modes
        before, after = one["before"], one["after"]
        if after["count"] - before["count"] > CALLS_SLACK:
            check(f"{one['kind']}: {one['text']}", before["count"], after["count"], "times")
    return found


def _of_route(name: str, found: list[Opened], wanted: str) -> list[Opened]:
    """Those of the route alone, which is named with its method or without."""
    method, route = route_of(wanted)
    some = [one for one in found if (one.meta.get("route") or one.meta.get("path")) == route
            and method in (None, one.meta.get("method"))]
    if not some:
        raise CliError(f"{name}: no profile of the route {wanted}")
    return some


def diff(options: argparse.Namespace) -> int:
    before, after = find_all(options, options.before), find_all(options, options.after)
    if options.route is not None:
        before = _of_route(options.before, before, options.route)
        after = _of_route(options.after, after, options.route)
    old, new = _groups(before), _groups(after)
    if len(old) == 1 and len(new) == 1:  # whatever the two are called
        pairs = {next(iter(new)): (before, after)}
    else:
        pairs = {route: (old[route], new[route]) for route in sorted(old.keys() & new.keys())}
        if not pairs:
            raise CliError("the two sides have no route in common")
    worse: list[str] = []
    document: dict[str, Any] = {"routes": {}, "only_before": sorted(old.keys() - new.keys()) if len(pairs) > 1 else [],
                                "only_after": sorted(new.keys() - old.keys()) if len(pairs) > 1 else []}
    for route, (first, second) in pairs.items():
        exact = all(one.meta.get("mode") != "sampling" for one in first + second)
        left, right = _group(first), _group(second)
        compared = _compare(left, right)
        document["routes"][route] = compared
        if options.fail_over is not None:
            worse += _worse(route, compared, options.fail_over, options.min_percent / 100, exact)
        if options.output is not None and len(pairs) == 1:
            data = _core.growth(left.profile, right.profile, _merged_meta(second))
            with open(options.output, "wb") as file:
                file.write(data)
    if options.output is not None and len(pairs) > 1:
        raise CliError("-o needs one profile or one route on each side")
    if options.json:
        for compared in document["routes"].values():
            for name in ("functions", "spans"):
                compared[name] = compared[name][: max(0, options.limit) or None]
        print(json.dumps({**document, "worse": worse}, indent=1))
    else:
        for route, compared in document["routes"].items():
            was = next(iter(old)) if len(pairs) == 1 and route not in old else ""
            _print(f"{was} -> {route}" if was else route, compared, options.limit)
        for line in worse:
            print(f"worse: {clean(line)}")
    return 1 if worse else 0


def _print(route: str, compared: dict[str, Any], limit: int) -> None:
    columns = width()
    change = _change(compared["before_ns"], compared["after_ns"])
    means = "" if compared["before_count"] == compared["after_count"] == 1 else (
        f", means of {compared['before_count']} and {compared['after_count']}")
    print(f"{clean(route)}: {compared['before_ns'] / 1e6:.1f} -> {compared['after_ns'] / 1e6:.1f} ms "
          f"({change:+.1%}{means})")
    print(f"{'self ms':>9} {'change':>9} {'total ms':>9} {'change':>9} {'calls':>9} {'change':>8}  function")
    shown = compared["functions"][:limit] if limit > 0 else compared["functions"]
    for one in shown:
        before, after = one["before"], one["after"]
        if before == after:
            continue
        where = f"  {clean(one['file'].rsplit('/', 1)[-1])}:{one['line']}" if one["file"] else ""
        print(fit(
            f"{after['self_ns'] / 1e6:9.2f} {(after['self_ns'] - before['self_ns']) / 1e6:+9.2f} "
            f"{after['total_ns'] / 1e6:9.2f} {(after['total_ns'] - before['total_ns']) / 1e6:+9.2f} "
            f"{after['calls']:9.0f} {after['calls'] - before['calls']:+8.0f}  {clean(one['name'])}{where}", columns))
    _print_asked(compared, limit, columns)
    print()


def _print_asked(compared: dict[str, Any], limit: int, columns: int) -> None:
    """What is asked of others more or less often, or for longer, than before."""
    rows = [one for one in compared["spans"] if one["before"] != one["after"]]
    if not rows:
        return
    print(f"{'count':>9} {'change':>9} {'total ms':>9} {'change':>9}  asked for")
    for one in rows[:limit] if limit > 0 else rows:
        before, after = one["before"], one["after"]
        print(fit(
            f"{after['count']:9.6g} {after['count'] - before['count']:+9.6g} "
            f"{after['total_ns'] / 1e6:9.2f} {(after['total_ns'] - before['total_ns']) / 1e6:+9.2f}  "
            f"{clean(one['kind'])} {clean(one['text'])}", columns))
