"""Commands that read: list, show, tree, top, export."""

from __future__ import annotations

import argparse
import json
import marshal
import pstats
import re
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .. import _core, killed, live
from ..insight import short_path
from ..log import ASKED, counted, several
from ..options import load
from ..store import Query, Store, StoreError
from ..store.filter import parse
from ..store.interface import each_row, name_of
from .source import CliError, Opened, find, is_empty, open_files, open_one
from .terminal import Paint, clean, fit, width

__all__ = ["SORTS", "export", "list_profiles", "print_tree", "show", "top", "tree"]

SORTS = ("calls", "cumtime", "file", "line", "module", "name", "ncalls", "nfl", "pcalls", "time", "tottime")

#: A frame that takes less than this share by itself may be folded.
FOLD_SELF = 0.05


#: Columns by the words that people have for them.
_SORTS = {"queries": "db_count", "time": "wall_ns"}


def recover(store: Store) -> None:
    """What dead processes left is stored first, if that can be done."""
    try:
        killed.recover(store, name_of(store))
    except (StoreError, OSError, ValueError) as error:
        print(f"slowlens: what killed processes left cannot be stored: {error}", file=sys.stderr)


def list_live(options: argparse.Namespace) -> None:
    """What runs now: from the boards of all processes, no store need be there yet."""
    rows = live.running(options.store or load({}).store)[:options.limit]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    columns = width()
    print(f"{'id':26} {'pid':>7} {'running':>9} {'state':>6}  request")
    for row in rows:
        state = "killed" if row["killed"] else row["state"]
        print(fit(f"{row['id']} {row['pid']:7} {row['age_ns'] / 1e9:8.1f}s {state:>6}  "
                  f"{clean(row['method'])} {clean(row['path'])}", columns))
        if row["where"]:
            print(fit(f"{'':53}{clean(row['where'])}", columns))


def list_profiles(options: argparse.Namespace) -> None:
    if options.follow and (options.live or options.routes):
        raise CliError("--follow shows profiles: not with --live or --routes")
    if options.live:
        if options.paths:
            raise CliError("--live is about a store (--store), not about files")
        options.limit = options.limit or 30
        list_live(options)
        return
    words = [word for word, _, _ in _core.FINDINGS]
    if options.finding and options.finding not in words:
        raise CliError(f"no finding is called {clean(options.finding)!r}: {', '.join(words)}")
    store = open_files(options.paths) if options.paths else open_one(options)
    if not options.paths:
        recover(store)
    is_empty(store)
    if options.routes:
        routes = store.routes()[:options.limit]
        if options.json:
            print(json.dumps(routes, indent=1))
            return
        print(f"{'count':>7} {'p50 ms':>9} {'p95 ms':>9} {'max ms':>9} {'errors':>7}  route")
        for stats in routes:
            print(f"{stats['count']:7} {stats['p50'] / 1e6:9.1f} {stats['p95'] / 1e6:9.1f} "
                  f"{stats['max'] / 1e6:9.1f} {stats['error_share']:7.0%}  "
                  f"{clean(stats['method'])} {clean(stats['route'])}")
        return
    query = parse(options.filter, base=Query(
        sort=("" if options.reverse else "-") + _SORTS.get(options.sort, options.sort.replace("_ms", "_ns")),
        route=options.route, method=options.method, status=options.status,
        min_ns=None if options.min_ms is None else int(options.min_ms * 1e6),
        text=options.text, tag=options.tag, mode=options.mode, host=options.host, release=options.release,
        finding=options.finding, limit=options.limit or 30,
    )).query
    if options.follow:
        from ..store.files import FileStore

        if options.paths or isinstance(store, FileStore):
            raise CliError("--follow is about a store (--store), not about files")
        follow(store, query, options.json)
        return
    page = store.list(query)
    if options.json:
        print(json.dumps(page.rows, indent=1))
        return
    if not page.rows:
        print("slowlens: no profile is like that", file=sys.stderr)
        return
    print(_HEAD)
    for row in page.rows:
        _print_row(row)


_HEAD = f"{'id':26} {'when':19} {'ms':>9} {'status':>6} {'queries':>7}  request"


def _print_row(row: dict[str, Any]) -> None:
    columns = width()
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started"] / 1e9))
    print(fit(f"{row['id']} {when} {row['wall_ns'] / 1e6:9.1f} {row['status']:>6} {row['db_count'] or '':>7}  "
              f"{clean(row['method'])} {clean(row['path'])}", columns))
    if row["hot"]:
        print(fit(f"{'':72}{clean(row['hot'])}", columns))


def follow(store: Any, query: Query, as_json: bool) -> None:
    """What is stored from now on, as it comes, until it is interrupted: a database tells, a folder is looked at."""
    query = replace(query, sort="ended", limit=500, stored_since=store.list(replace(query, limit=1)).mark)
    seen: set[str] = set()
    if not as_json:
        print(_HEAD, flush=True)
    with suppress(KeyboardInterrupt):
        while True:
            try:
                if hasattr(store, "changes"):
                    store.changes(FOLLOW_SECONDS)
                else:
                    time.sleep(FOLLOW_SECONDS)
                mark = store.list(replace(query, limit=1)).mark
                rows = list(each_row(store, query))
            except StoreError as error:
                print(f"slowlens: {error}", file=sys.stderr, flush=True)
                time.sleep(FOLLOW_SECONDS)
                continue
            for row in rows:
                if row["id"] not in seen:  # stored between the mark and the list
                    print(json.dumps(row)) if as_json else _print_row(row)
            sys.stdout.flush()
            seen = {row["id"] for row in rows}
            query = replace(query, stored_since=mark)


#: What is stored is shown so many seconds later at most.
FOLLOW_SECONDS = 1.0
TIMES = ("cpu_ns", "run_queue_ns", "throttled_ns", "gil_wait_ns", "blocked_ns", "await_ns", "loop_ns", "idle_ns",
         "gc_ns")

#: Looks that told nothing, by reason.
UNSEEN = (("unseen_torn", "torn"), ("unseen_greenlet", "another greenlet"), ("unseen_shim", "between frames"),
          ("unseen_deep", "too deep"), ("unseen_moved", "moved on"), ("unseen_room", "no slot"),
          ("unseen_memory", "no memory"), ("unseen_late", "late"))

BLOCKED = ("lock_ns", "socket_ns", "disk_ns", "sleep_ns", "poll_ns", "child_ns")


def show(options: argparse.Namespace) -> None:
    profile = find(options, options.profile)
    summary = json.loads(profile.profile.summary())
    if options.json:
        print(json.dumps(summary, indent=1))
        return
    paint = Paint(options.color)
    meta = summary["meta"]
    title = (f"{meta.get('method', '')} {meta.get('path', '')} {meta.get('status', '')}  "
             f"{summary['wall_ns'] / 1e6:.1f} ms  {meta.get('id', '')}")
    print(paint("1", clean(title)))
    times = TIMES if "blocked_ns" in meta else (TIMES[0], "waiting_ns", *TIMES[5:])
    least = max(1, summary["wall_ns"] / 1000)
    parts = [f"{_core.TITLES[key]} {meta[key] / 1e6:.1f} ms" for key in times if meta.get(key, 0) >= least]
    print("wall time: " + ", ".join(parts))
    blocked = [f"{_core.TITLES[key]} {meta[key] / 1e6:.1f} ms" for key in BLOCKED if meta.get(key, 0) >= least]
    if blocked:
        print("of it blocked: " + ", ".join(blocked))
    asked = [f"{counted(kind, meta[kind + '_count'])} {meta[kind + '_ns'] / 1e6:.1f} ms" for kind in ASKED
             if meta.get(kind + "_count")]
    if asked:
        print("asked for: " + ", ".join(asked))
    split = {name: ns for name, ns in summary["self_ns"].items() if ns}
    print("self time: " + ", ".join(f"{name} {ns / 1e6:.1f} ms" for name, ns in split.items()))
    if meta.get("mode") == "sampling":
        vain = [f"{meta[key]} {what}" for key, what in UNSEEN if meta.get(key)]
        print(f"sampled: {several(meta.get('samples', 0), 'sample')}"
              + (f"; not seen: {', '.join(vain)}" if vain else ""))
    else:
        print(f"calls: {summary['calls']} Python, {summary['c_calls']} C")
    if meta.get("flags"):
        print(f"flags: {clean(meta['flags'])}")
    print(f"hot path: {paint('1', clean(summary['hot_text']))}")
    print(paint("1", clean(summary["headline"])))
    for one in summary["findings"][1:]:
        print(f"also: {clean(one['text'])}")
    print()
    print_tree(profile, options, paint)


def tree(options: argparse.Namespace) -> None:
    profile = find(options, options.profile)
    if options.json:
        sys.stdout.write(profile.profile.tree(0, 1 << 30, True, 1 << 24).decode() + "\n")
        return
    print_tree(profile, options, Paint(options.color))


class _Tree:
    """Rows of a profile's tree, as they are shown."""

    def __init__(self, profile: Opened, percent: float) -> None:
        report = json.loads(profile.profile.tree(0, 1 << 30, True, 1 << 20))
        self.functions = {one["id"]: one for one in report["functions"]}
        #: What shares are of, here as everywhere: the time without what recording cost.
        self.wall = json.loads(profile.profile.summary())["shared_ns"] or 1
        self.hot = set(report["hot"])
        self.children: dict[int, list[dict[str, Any]]] = {}
        least = self.wall * max(0.0, percent) / 100
        rows = report["rows"]
        self.root = rows[0]
        # A thread's time is not its starter's: `submit` takes next to nothing, and all of the work may hang below it.
        needed = {self.root["node"]}
        for row in reversed(rows):
            if row["total_ns"] >= least or row["node"] in needed:
                needed.update((row["node"], row["parent"]))
        for row in rows[1:]:
            if row["node"] in needed:
                self.children.setdefault(row["parent"], []).append(row)
        self.hidden = sum(row["node"] not in needed for row in rows)

    def below(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Shown children, heaviest first."""
        return self.children.get(row["node"], [])

    def folds(self, row: dict[str, Any]) -> bool:
        """Whether the frame is a library's and only passes on to one other."""
        function = self.functions[row["function"]]
        return (function["origin"] in ("library", "stdlib") and function["kind"] == "python"
                and row["self_ns"] < self.wall * FOLD_SELF and len(self.below(row)) == 1
                and not self.below(row)[0]["strand"])

    def label(self, row: dict[str, Any]) -> str:
        function = self.functions[row["function"]]
        text = clean(function["name"])
        if function["file"]:
            text += f"  {clean(short_path(function['file']))}:{function['line']}"
        if row["call_line"]:
            text += f"  (from line {row['call_line']})"
        return text


def print_tree(profile: Opened, options: argparse.Namespace, paint: Paint) -> None:
    shown = _Tree(profile, options.percent)
    sampled = profile.meta.get("mode") == "sampling"
    columns = width()
    print(paint("2", f"{'total':>7} {'total ms':>10} {'self ms':>10} {'samples' if sampled else 'calls':>9}"))
    waiting: list[tuple[dict[str, Any], int]] = [(shown.root, 0)]
    beside = False
    while waiting:
        row, depth = waiting.pop()
        folded = 0
        while options.fold and shown.folds(row):
            folded += 1
            row = shown.below(row)[0]
        function = shown.functions[row["function"]]
        share = row["total_ns"] / shown.wall
        if row["total_ns"] <= shown.root["total_ns"]:
            share = min(1.0, share)  # what recording cost is no part of the time, but of the request's node
        whole = "" if function["name"] == "[own cost]" else f"{share:.1%}"
        beside = beside or share > 1.0
        numbers = (f"{whole:>7} {row['total_ns'] / 1e6:10.3f} {row['self_ns'] / 1e6:10.3f} "
                   f"{row['calls']:9} ")
        lead = "  " * min(depth, 60)
        text = (f"[{folded} folded] " if folded else "") + shown.label(row)
        text = fit(text, columns - len(numbers) - len(lead) - 1)
        hot = row["node"] in shown.hot
        style = "1;31" if hot else "1" if function["origin"] == "project" else "2" if share < 0.05 else "0"
        print(numbers + (paint("31", "▸") if hot else " ") + lead + paint(style, text))
        waiting += [(child, depth + 1) for child in reversed(shown.below(row))]
    if shown.hidden:
        print(paint("2", f"{several(shown.hidden, 'node')} below {options.percent:g} % " +
                    f"{'is' if shown.hidden == 1 else 'are'} not shown"))
    if beside:
        print(paint("2", "more than 100 %: several ran or waited side by side, and their times add up"))


def top(options: argparse.Namespace) -> None:
    profile = find(options, options.profile)
    stats = _stats(profile)
    try:
        matches = re.compile(options.pattern).search if options.pattern else None
    except re.error as error:
        raise CliError(f"{options.pattern}: not a regular expression: {error}") from None
    if options.json:
        print(json.dumps(_top_json(profile, stats, options, matches), indent=1))
        return
    if profile.meta.get("mode") == "sampling":
        print("a sampled profile: ncalls are samples")
    restrictions: list[Any] = [options.pattern] if options.pattern else []
    if options.limit > 0:
        restrictions.append(options.limit)
    stats.sort_stats(options.sort)
    if options.callers:
        stats.print_callers(*restrictions)
    elif options.callees:
        stats.print_callees(*restrictions)
    else:
        stats.print_stats(*restrictions)


def _stats(profile: Opened) -> Any:
    """The profile as ``pstats`` knows it; the bytes are the ones we have just made."""

    class Made:
        def create_stats(self) -> None:
            self.stats = {(clean(file), line, clean(name)): (*value[:4], {
                (clean(f), n, clean(m)): caller for (f, n, m), caller in value[4].items()
            }) for (file, line, name), value in marshal.loads(profile.profile.export("pstats")).items()}

    return pstats.Stats(Made())  # type: ignore[arg-type]


def _top_json(profile: Opened, stats: Any, options: argparse.Namespace, matches: Any) -> dict[str, Any]:
    stats.sort_stats(options.sort)
    rows = []
    for function in stats.fcn_list or list(stats.stats):
        primitive, calls, self_s, total_s, callers = stats.stats[function]
        name = pstats.func_std_string(function)  # type: ignore[attr-defined]
        if matches is not None and not matches(name):
            continue
        row: dict[str, Any] = {
            "file": function[0], "line": function[1], "name": function[2], "calls": calls,
            "primitive_calls": primitive, "self_ms": self_s * 1e3, "total_ms": total_s * 1e3,
        }
        if options.callers:
            row["callers"] = [_pair(caller, value) for caller, value in callers.items()]
        if options.callees:
            stats.calc_callees()
            row["callees"] = [_pair(callee, value) for callee, value in stats.all_callees.get(function, {}).items()]
        rows.append(row)
    return {"mode": profile.meta.get("mode"), "rows": rows[:options.limit] if options.limit > 0 else rows}


def _pair(function: Any, value: Any) -> dict[str, Any]:
    calls, primitive, self_s, total_s = value
    return {"file": function[0], "line": function[1], "name": function[2], "calls": calls,
            "primitive_calls": primitive, "self_ms": self_s * 1e3, "total_ms": total_s * 1e3}


def export(options: argparse.Namespace) -> None:
    profile = find(options, options.profile)
    write_as(profile, options.format, options.output)


#: Formats that no terminal shows.
BINARY = ("slowlens", "pprof", "pstats")


def write_as(profile: Opened, form: str, output: str | None) -> None:
    """Writes it to a file, or (None) to the standard output, which for a binary format must not be a terminal."""
    data = profile.data if form == "slowlens" else profile.profile.export(form)
    if output is not None:
        with open(output, "wb") as file:
            file.write(data)
        return
    if sys.stdout.isatty() and form in BINARY:
        raise CliError("this format is binary: name a file with -o")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
