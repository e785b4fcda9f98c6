"""Why a request or a route is slow, as text for a terminal or an agent: short, with file and line, never over a budget.

Shape of :func:`profile` and :func:`route` (``slowlens explain --json``), all keys always present::

    {"kind": "profile"|"route", "title": str, "sentence": str, "place": "dir/file.py:12" ("": no line is known),
     "facts": [str], "findings": [{"rule", "text", "advice", "fingerprint", "file", "line", "ns"}],
     "path": [{"name", "share" (0 to 1), "file", "line", "own"}], "repeats": [str], "cohort": [str],
     "own": bool (whether that place is in code of the project), "advice": [str], "next": [command]}
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from .. import _core
from ..log import ASKED, counted, printable
from ..store import Query, Store
from . import budgets, cohorts, short_path

__all__ = ["BUDGET", "BUDGET_LEAST", "markdown", "profile", "route", "tokens"]

BUDGET = 1500
#: Less cannot hold a sentence and its place.
BUDGET_LEAST = 100

#: A token of English, names and paths is hardly ever shorter than so many bytes on average.
BYTES_A_TOKEN = 3

#: Where the wall time went, as slowlens/meta.h calls it; the collector's is part of the first.
_KINDS = ("cpu_ns", "run_queue_ns", "gil_wait_ns", "lock_ns", "socket_ns", "disk_ns", "sleep_ns", "poll_ns", "child_ns",
          "await_ns", "loop_ns", "idle_ns", "gc_ns")
#: Fewer samples tell shares only roughly.
FEW = 30


def tokens(text: str) -> int:
    """How many tokens a text is at most, roughly: bytes / 3."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def profile(one: _core.Profile, store: Store | None = None) -> dict[str, Any]:
    """Explains one profile; where its route has enough others in ``store``, also beside them."""
    summary = json.loads(one.summary())
    meta, wall = summary["meta"], summary["wall_ns"] or 1
    where = f"{meta.get('method', '')} {meta.get('path') or meta.get('route') or ''}".strip()
    status = f" {meta['status']}" if meta.get("status") else ""
    path = _path(summary, wall)
    facts = [_split(meta, wall), *_asked(meta), _how(summary, meta)]
    found_place = _place_of(summary, path)
    facts += [f"over budget: {over.assertion}: {over.text} ({over.budget})" for over in _over(one)]
    if meta.get("flags"):
        facts.append(f"flags: {meta['flags']}")
    profile_id = str(meta.get("id", ""))
    known = str(meta.get("route") or "")
    found: dict[str, Any] = {
        "kind": "profile", "title": f"{where}{status}, {wall / 1e6:.0f} ms ({profile_id})",
        "sentence": summary["headline"], "place": found_place[0], "own": found_place[1], "facts": facts,
        "findings": [_finding(finding) for finding in summary["findings"]], "path": path,
        "repeats": _repeats(one, wall), "cohort": [], "advice": _advice(summary["findings"], wall),
        "next": [f"slowlens tree {profile_id or 'last'}"],
    }
    if store is not None and known:
        found["cohort"] = _beside(store, known, meta, wall)
        found["next"].append(f"slowlens explain '{known}'")
    # Another request held the loop up; where it was this one, what it did is the sentence.
    if meta.get("held_id", profile_id) != profile_id and meta.get("loop_ns", 0) >= wall / 10:
        found["next"].insert(0, f"slowlens explain {meta['held_id']}")
    return found


def _over(one: _core.Profile) -> list[budgets.Checked]:
    """What it exceeds of the budgets of this folder."""
    try:
        wanted = budgets.Here().budgets()
    except budgets.BudgetError:
        return []  # slowlens check says what is wrong with it
    return budgets.exceeded(wanted, budgets.Measured(one)) if wanted else []


def route(store: Store, name: str, method: str | None = None) -> dict[str, Any]:
    """Explains a route: its numbers, what its slow requests do, and the slowest one stored.

    :raises NoProfiles: nothing is known of it.
    """
    stats = [one for one in store.routes(name) if method in (None, one["method"])]
    rows = store.list(Query(route=name, method=method, sort="-wall_ns", limit=100)).rows
    if not stats and not rows:
        raise cohorts.NoProfiles(f"nothing is known of the route {name}")
    facts = [f"{one['method']}: {one['count']} requests, median {one['p50'] / 1e6:.1f} ms, "
             f"p95 {one['p95'] / 1e6:.1f} ms, slowest {one['max'] / 1e6:.0f} ms, {one['error_share']:.1%} errors"
             for one in stats]
    words = Counter(word for row in rows for word in str(row.get("findings") or "").split("\n") if word)
    if words:
        facts.append("found in the slowest " + str(len(rows)) + ": " + ", ".join(
            f"{word} {count}x" for word, count in words.most_common(6)))
    found: dict[str, Any] = {
        "kind": "route", "title": f"route {name}", "sentence": "", "place": "", "own": True, "facts": facts,
        "findings": [],
        "path": [], "repeats": [], "cohort": [], "advice": [], "next": [],
    }
    data = store.get(rows[0]["id"]) if rows else None
    if data is not None:
        slowest = profile(_core.Profile(data))
        found |= {key: slowest[key] for key in ("sentence", "place", "own", "findings", "path", "repeats", "advice")}
        found["facts"].append(f"the slowest stored: {slowest['title']}; what follows is about it")
        found["next"] = [f"slowlens explain {rows[0]['id']}", f"slowlens tree {rows[0]['id']}"]
    if rows:
        compared = cohorts.compare(store, cohorts.Selection(route=name, method=method))
        found["cohort"] = _told(compared)
        found["next"].append(f"slowlens compare '{name}'")
        named = [row for row in compared["named"] if "file" in row]
        if compared["enough"] and compared["named"]:
            found["sentence"] = compared["answer"]
            if named:
                found["place"] = _place(named[0])
    return found


def _beside(store: Store, known: str, meta: dict[str, Any], wall: int) -> list[str]:
    lines = []
    for one in store.routes(known):
        if one["method"] == meta.get("method") and one["count"] >= 3 and one["p50"]:
            lines.append(f"{wall / one['p50']:.1f} times the median of its route ({one['p50'] / 1e6:.1f} ms over "
                         f"{one['count']} requests)")
    try:
        compared = cohorts.compare(store, cohorts.Selection(route=known, method=meta.get("method")))
    except cohorts.NoProfiles:
        return lines
    return lines + (_told(compared) if compared["enough"] else [])


def _told(compared: dict[str, Any]) -> list[str]:
    lines = [compared["answer"]]
    lines += [row["text"] for row in compared["named"][1:3]]
    return lines + ["more often with " + tag["text"] for tag in compared["tags"][:3]]


def _place(row: dict[str, Any]) -> str:
    return f"{short_path(row['file'])}:{row['line']}" if row.get("file") else ""


def _finding(one: dict[str, Any]) -> dict[str, Any]:
    return {key: one.get(key, 0 if key in ("line", "ns") else "")
            for key in ("rule", "text", "advice", "fingerprint", "file", "line", "ns")}


def _path(summary: dict[str, Any], wall: int) -> list[dict[str, Any]]:
    """Own frames of the hot path with the line each was left at, and where it ends."""
    steps = summary["hot_path"]
    found = []
    for at, step in enumerate(steps):
        function = step["function"]
        last = at + 1 == len(steps)
        before = steps[at - 1]["function"]["origin"] == "project" if at else False
        if function["origin"] != "project" and not last and not before:
            continue
        if last and at and step["total_ns"] < steps[at - 1]["total_ns"] / 2 and function["origin"] != "project":
            continue  # it goes on into many small parts
        line = 0 if last else steps[at + 1]["call_line"]
        if function["origin"] != "project":
            line = 0
        found.append({"name": function["name"], "share": min(1.0, step["total_ns"] / wall),
                      "file": function["file"], "line": line or function["line"],
                      "own": function["origin"] == "project"})
    return found


def _place_of(summary: dict[str, Any], path: list[dict[str, Any]]) -> tuple[str, bool]:
    """The line to look at first, and whether it is in code of the project: that of the sentence, of a finding, of own
    code, of whatever has one."""
    said = re.findall(r"\S+\.\w+:\d+", summary["headline"])
    if said:
        return str(said[-1]).rstrip(".,;"), True
    own = [*summary["findings"], *(one for one in reversed(path) if one["own"])]
    places = [*own, *path, *(one["function"] for one in summary["heaviest"])]
    found = next((one for one in places if _place(one)), None)
    return ("", True) if found is None else (_place(found), any(one is found for one in own))


def _split(meta: dict[str, Any], wall: int) -> str:
    parts = [f"{_core.TITLES[key]} {meta[key] / 1e6:.0f} ms" for key in _KINDS
             if isinstance(meta.get(key), int) and meta[key] >= wall / 50]
    return "time: " + (", ".join(parts) or "not told apart")


def _asked(meta: dict[str, Any]) -> list[str]:
    """What was asked of others: counts before times."""
    parts = [f"{counted(kind, meta[f'{kind}_count'])} {meta[f'{kind}_ns'] / 1e6:.0f} ms" for kind in ASKED
             if meta.get(f"{kind}_count")]
    return ["asked for: " + ", ".join(parts)] if parts else []


def _how(summary: dict[str, Any], meta: dict[str, Any]) -> str:
    if meta.get("mode") == "sampling":
        samples = meta.get("samples", 0)
        measured = sum(meta.get(key, 0) for key in ("await_ns", "loop_ns", "idle_ns"))
        few = samples < FEW and measured < summary["wall_ns"] / 2
        return (f"sampled: {samples} sample{'s' if samples != 1 else ''}"
                + (" (few: shares are rough)" if few else "; waits are measured" if samples < FEW else ""))
    return f"exact: {summary['calls']} Python calls, {summary['c_calls']} calls of C functions"


def _repeats(one: _core.Profile, wall: int) -> list[str]:
    rows = json.loads(one.repeats(10))["rows"]
    own = [row for row in rows if row["caller"]["origin"] == "project" and row["total_ns"] >= wall / 20]
    # By samples it is what was asked for that is counted, and its text says more than who asks.
    return [f"{_one_line(row.get('text') or row['function']['name'], 160)} {row['calls']} times from "
            f"{short_path(row['caller']['file'])}:{row['call_line']} ({row['total_ns'] / wall:.0%})" for row in own[:5]]


def _advice(findings: list[dict[str, Any]], wall: int) -> list[str]:
    """Of the first ones; what is a twentieth of the time and not the first is not worth one."""
    found: list[str] = []
    for at, one in enumerate(findings[:3]):
        if one["advice"] not in found and (at == 0 or one["ns"] >= wall / 20):
            found.append(one["advice"])
    return found


# ---- as text ----


def markdown(found: dict[str, Any], budget: int = BUDGET) -> str:
    """The explanation in at most ``budget`` tokens (:data:`BUDGET_LEAST` at least); where any line is known, with one.

    What matters least is left out first.
    """
    budget = max(BUDGET_LEAST, budget)
    head = f"# {_one_line(found['title'], 120)}\n\n{_one_line(found['sentence'] or 'Nothing stands out.', 400)}\n"
    if found["place"] and found["place"] not in head:
        head += (f"\nLook at `{found['place']}` first.\n" if found["own"]
                 else f"\nMost of its code is not yours: `{found['place']}`.\n")
    if tokens(head) > budget:
        room = (budget - 1) * BYTES_A_TOKEN - len(found["place"].encode()) - 6
        head = head.encode()[:max(0, room)].decode("utf-8", "ignore") + f"... `{found['place']}`\n"
        return head
    text = head
    left = 0
    for title, lines in _sections(found):
        part = f"\n{title}\n\n"
        taken = 0
        for line in lines:
            line = f"- {_one_line(line, 300)}\n"
            if tokens(text + part + line) > budget:
                break
            part += line
            taken += 1
        left += len(lines) - taken
        if taken:
            text += part
    note = f"\n({left} lines more with a larger --budget)\n"
    return text + note if left and tokens(text + note) <= budget else text


def _sections(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    path = [f"`{one['name']}` {one['share']:.0%}" + (f" {_place(one)}" if one["file"] else "") for one in found["path"]]
    also = [one["text"] for at, one in enumerate(found["findings"])
            if at and not any(_same(one, other) for other in found["findings"][:at])]
    return [
        ("## Next", [f"`{command}`" for command in found["next"][:3]]),
        ("## What to try", found["advice"]),
        ("## Where the time went", found["facts"]),
        ("## Hot path", path[-8:]),
        ("## Beside the usual requests", found["cohort"]),
        ("## Repeats", found["repeats"]),
        ("## Also", also),
    ]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether it tells the same time of the same line once more: 200 queries that are alike, and the database there."""
    least, most = sorted((one["ns"], other["ns"]))
    return bool(one["file"]) and (one["file"], one["line"]) == (other["file"], other["line"]) and least * 10 >= most * 8


def _one_line(text: str, limit: int) -> str:
    """Without what would end a line or move a terminal; its middle left out if it is long."""
    text = printable(text)
    return text if len(text) <= limit else text[: limit // 3] + "…" + text[-(limit - limit // 3 - 1):]
