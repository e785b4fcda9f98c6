"""The command that shows functions line by line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from .source import CliError, Opened, find
from .terminal import Paint, clean

__all__ = ["lines"]


def lines(options: argparse.Namespace) -> None:
    """Hits, time and average of each line of the project's functions; of a profile without line events, times only."""
    profile = find(options, options.profile)
    reports = _reports(profile, options)
    if options.json:
        json.dump({"wall_ns": reports[0]["wall_ns"], "functions": reports}, sys.stdout, indent=1)
        print()
        return
    if not any("hits" in row for report in reports for row in report["rows"]):
        print("no line was counted: times of lines are from samples (--mode lines, X-Slowlens: lines count them)\n")
    paint = Paint(options.color)
    for report in reports:
        _print(report, paint)


def _reports(profile: Opened, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Of the functions that were asked for, most time first."""
    try:
        matches = re.compile(options.pattern).search if options.pattern else None
    except re.error as error:
        raise CliError(f"{options.pattern}: not a regular expression: {error}") from None
    found = []
    for row in json.loads(profile.profile.functions())["rows"]:
        function = row["function"]
        if function["kind"] != "python" or not function["file"]:
            continue
        if matches is None and function["origin"] != "project":
            continue
        if matches is None or matches(f"{function['file']}:{function['line']}({function['name']})"):
            found.append((row["total_ns"], function["id"]))
    if not found:
        raise CliError("no function of the project in this profile" if matches is None else
                       f"{options.pattern}: no such function in this profile")
    found.sort(key=lambda one: -one[0])
    return [json.loads(profile.profile.lines(number)) for _, number in found[:options.limit or None]]


def _print(report: dict[str, Any], paint: Paint) -> None:
    from ..viewer.source import read_lines

    rows = {row["line"]: row for row in report["rows"]}
    whole = sum(row["self_ns"] + row["called_ns"] for row in rows.values()) or 1
    text, _ = read_lines(report["file"], report["line"], max(report["line"], *rows))
    text = [one for one in text if one[0] >= report["line"]]
    while text and not text[-1][1].strip():
        text.pop()
    print(paint("1", clean(report["name"])), f"{clean(report['file'])}:{report['line']}", f"{whole / 1e6:.3f} ms")
    print("   line       hits     time ms   us per hit      %  source")
    known = dict(text)
    for number in sorted({*known, *rows} - {0}):
        row = rows.get(number, {"self_ns": 0, "called_ns": 0})
        ns, hits = row["self_ns"] + row["called_ns"], row.get("hits", 0)
        cells = (f"{hits:10d}" if hits else " " * 10, f"{ns / 1e6:11.3f}" if ns else " " * 11,
                 f"{ns / hits / 1e3:12.2f}" if hits else " " * 12, f"{100 * ns / whole:6.1f}" if ns else " " * 6)
        line = f"{number:7d} {' '.join(cells)}  {clean(known.get(number, ''))}".rstrip()
        print(paint("31", line) if ns > whole / 2 else line)
    if 0 in rows and rows[0]["self_ns"]:
        print(f"      - {' ' * 10} {rows[0]['self_ns'] / 1e6:11.3f} {' ' * 12} {100 * rows[0]['self_ns'] / whole:6.1f}"
              "  (on no line)")
    print()
