"""Why a request or a route is slow, as text for a terminal or an agent: short, with file and line, never over a budget.

Shape of :func:`profile` and :func:`route` (``slowlens explain --json``), all keys always present::

    {"kind": "profile"|"route", "title": str, "sentence": str, "place": "dir/file.py:12" ("": no line is known),
     "facts": [str], "findings": [{"rule", "title", "text", "advice", "fingerprint", "file", "line", "ns", "count"}],
     "path": [{"name", "share" (0 to 1), "file", "line", "own", "calls" (0: not counted)}], "repeats": [str],
     "cohort": [str] (how it differs from the usual requests of its route),
     "own": bool (whether that place is in code of the project), "advice": [str], "next": [command]}

Shares are of the wall time, waiting included, without what recording cost.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from .. import _core
from ..log import ASKED, counted, printable, several
from ..store import Query, Store
from . import budgets, cohorts, short_path

__all__ = ["BUDGET", "BUDGET_LEAST", "markdown", "profile", "route", "tokens"]

BUDGET = 1500
#: Less cannot hold a sentence and its place.
BUDGET_LEAST = 100

#: A token of English, names and paths is hardly ever shorter than so many bytes on average.
BYTES_A_TOKEN = 3

#: Where the wall time went, as slowlens/meta.h calls it; the collector's is part of the first.
_KINDS = ("cpu_ns", "run_queue_ns", "throttled_ns", "gil_wait_ns", "lock_ns", "socket_ns", "disk_ns", "sleep_ns",
          "poll_ns", "child_ns", "await_ns", "loop_ns", "idle_ns", "gc_ns")
#: In the words of one who does not know the machinery.
_WORDS = {
    "cpu_ns": "computing (on a CPU)", "gil_wait_ns": "waiting for Python's lock (the GIL), which other threads had",
    "run_queue_ns": "waiting for a CPU",
    "throttled_ns": "held back by a CPU limit (the container's quota), as part of that",
    "await_ns": "waiting for what it awaited (its own tasks and threads, too)",
    "loop_ns": "waiting for the event loop, which was busy with others", "idle_ns": "waiting for the client",
    "gc_ns": "the garbage collector, as part of that",
}
_WAITS = ("loop", "run-queue", "gil", "gc", "client")
#: What others may tell more of.
_GENERAL = ("database", "http", "cache", "template", "hot", "repeats")
_FLAGS = {
    "truncated": "incomplete: there was no room for all paths, some are added up",
    "partial": "incomplete: some calls have no name or no tree",
    "displaced": "incomplete: another tool took over the interpreter's hook",
    "killed": "incomplete: its process died before it ended",
    "less": "incomplete: for want of memory it was sampled, or only timed, from some point on",
}
#: What is no function, in words.
_PSEUDO = {
    "[await]": "waiting for what it awaited", "[task]": "in a task of its own", "[thread]": "in a thread of its own",
    "[loop busy]": "waiting for the event loop", "[gc]": "garbage collection", "[queued]": "waiting for a free thread",
    "[between chunks]": "waiting for the client",
}
_STRANDS = ("[task]", "[thread]")
#: Fewer samples tell shares only roughly.
FEW = 30


def tokens(text: str) -> int:
    """How many tokens a text is at most, roughly: bytes / 3."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def profile(one: _core.Profile, store: Store | None = None) -> dict[str, Any]:
    """Explains one profile; where its route has enough others in ``store``, also beside them."""
    summary = json.loads(one.summary())
    meta, wall = summary["meta"], summary["shared_ns"] or 1
    where = f"{meta.get('method', '')} {meta.get('path') or meta.get('route') or ''}".strip()
    status = f" {meta['status']}" if meta.get("status") else ""
    path = _path(summary, wall)
    findings = _told_once([_finding(finding) for finding in summary["findings"]])
    facts = [*_split(meta, summary["wall_ns"] or 1, path), *_asked(meta), *_own_code(one, path, wall),
             _how(summary, meta)]
    found_place = _place_of(summary, path)
    facts += [f"over budget: {over.assertion}: {over.text} ({over.budget})" for over in _over(one)]
    facts += [_FLAGS.get(flag, flag) for flag in str(meta.get("flags") or "").split(",") if flag]
    profile_id = str(meta.get("id", ""))
    known = str(meta.get("route") or "")
    found: dict[str, Any] = {
        "kind": "profile", "title": f"{where}{status}, {summary['wall_ns'] / 1e6:.0f} ms ({profile_id})",
        "sentence": summary["headline"], "place": found_place[0], "own": found_place[1], "facts": facts,
        "findings": findings, "path": path,
        "repeats": _repeats(one, wall, summary["headline"], findings), "cohort": [],
        "advice": _advice(findings, wall, summary["headline"]),
        "next": [f"slowlens tree {profile_id or 'last'}"],
    }
    if store is not None and known:
        found["cohort"] = _beside(store, known, meta, summary["wall_ns"])
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
    facts = [f"{one['method']}: {several(one['count'], 'request')}, median {one['p50'] / 1e6:.1f} ms, "
             f"p95 {one['p95'] / 1e6:.1f} ms, slowest {one['max'] / 1e6:.0f} ms, {one['error_share']:.1%} errors"
             for one in stats]
    words = Counter(word for row in rows for word in str(row.get("findings") or "").split("\n") if word)
    if words:
        facts.append(f"found in {several(len(rows), 'stored request')}: " + ", ".join(
            f"{_titles().get(word, word)} in {count}" for word, count in words.most_common(6)))
    found: dict[str, Any] = {
        "kind": "route", "title": f"route {name}", "sentence": "", "place": "", "own": True, "facts": facts,
        "findings": [],
        "path": [], "repeats": [], "cohort": [], "advice": [], "next": [],
    }
    data = store.get(rows[0]["id"]) if rows else None
    if data is not None:
        slowest = profile(_core.Profile(data))
        found |= {key: slowest[key] for key in ("sentence", "place", "own", "findings", "path", "repeats", "advice")}
        found["sentence"] = f"The slowest one stored ({slowest['title']}): {slowest['sentence']}"
        found["facts"] += slowest["facts"]
        found["next"] = [f"slowlens explain {rows[0]['id']}", f"slowlens tree {rows[0]['id']}"]
    if rows:
        compared = cohorts.compare(store, cohorts.Selection(route=name, method=method))
        found["cohort"] = _told(compared)
        found["next"].append(f"slowlens compare '{name}'")
    return found


def _beside(store: Store, known: str, meta: dict[str, Any], wall: int) -> list[str]:
    lines = []
    for one in store.routes(known):
        if one["method"] == meta.get("method") and one["count"] >= 3 and one["p50"] and wall >= 1.3 * one["p50"]:
            lines.append(f"{wall / one['p50']:.1f} times the median of its route ({one['p50'] / 1e6:.1f} ms over "
                         f"{one['count']} requests)")
    try:
        compared = cohorts.compare(store, cohorts.Selection(route=known, method=meta.get("method")))
    except cohorts.NoProfiles:
        return lines
    return lines + (_told(compared) if compared["enough"] else [])


def _told(compared: dict[str, Any]) -> list[str]:
    lines = [compared["answer"]]
    lines += cohorts.further(compared)[:3]
    return lines + ["more often with " + tag["text"] for tag in compared["tags"][:3]
                    if tag["text"] not in compared["answer"]]


def _place(row: dict[str, Any]) -> str:
    return f"{short_path(row['file'])}:{row['line']}" if row.get("file") else ""


def _finding(one: dict[str, Any]) -> dict[str, Any]:
    return {key: one.get(key, 0 if key in ("line", "ns", "count") else "")
            for key in ("rule", "title", "text", "advice", "fingerprint", "file", "line", "ns", "count")}


def _is_own(one: dict[str, Any]) -> bool:
    """Whether a finding's line is the project's: else it is where a library was."""
    function = one.get("function", {})
    return bool(one.get("file")) and (function.get("origin") == "project" or function.get("file") != one["file"])


def _told_once(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that tell the time of another's line once more. The first, which is the sentence, stays."""
    return [one for at, one in enumerate(findings)
            if at == 0 or not any(_same(one, other) for before, other in enumerate(findings)
                                  if before < at or (before > at and other["rule"] not in _GENERAL))]


def _path(summary: dict[str, Any], wall: int) -> list[dict[str, Any]]:
    """The hot path: each frame with the line that it was left at."""
    steps = summary["hot_path"]
    exact = summary["meta"].get("mode") != "sampling"
    found = []
    for at, step in enumerate(steps):
        function = step["function"]
        own = function["origin"] == "project"
        # As the sentence has it: a task or thread is begun at one line, and waited for at another.
        goes_on = own and at + 1 < len(steps) and steps[at + 1]["function"]["name"] not in _STRANDS
        line = steps[at + 1]["call_line"] if goes_on else step["line"] if own else 0
        found.append({"name": function["name"], "share": min(1.0, step["total_ns"] / wall),
                      "file": function["file"], "line": line or function["line"], "own": own,
                      "calls": step["calls"] if exact and function["kind"] != "pseudo" else 0})
    return found


def _own_code(one: _core.Profile, path: list[dict[str, Any]], wall: int) -> list[str]:
    """Where none of the hot path is the project's: what of it took most."""
    if any(step["own"] for step in path):
        return []
    rows = [row for row in json.loads(one.functions(0))["rows"]
            if row["function"]["origin"] == "project" and row["total_ns"]]
    if not rows:
        return ["no function of yours was seen (the option `project` says which paths are yours)"]
    most = max(rows, key=lambda row: row["total_ns"])
    function = most["function"]
    return [f"of your code most: `{function['name']}` {most['total_ns'] / wall:.0%}, "
            f"{short_path(function['file'])}:{function['line']}"]


def _place_of(summary: dict[str, Any], path: list[dict[str, Any]]) -> tuple[str, bool]:
    """The line to look at first, and whether it is in code of the project: that of the sentence, of a finding, of own
    code, of whatever has one."""
    mine = [one for one in summary["findings"] if _is_own(one)]
    said = re.findall(r"\S+\.\w+:\d+", summary["headline"])
    if said:
        place = str(said[-1]).rstrip(".,;")
        return place, any(_place(one) == place for one in mine) or not summary["findings"]
    own = [*mine, *(one for one in reversed(path) if one["own"])]
    places = [*own, *path, *(one["function"] for one in summary["heaviest"])]
    found = next((one for one in places if _place(one)), None)
    return ("", True) if found is None else (_place(found), any(one is found for one in own))


def _split(meta: dict[str, Any], wall: int, path: list[dict[str, Any]]) -> list[str]:
    """How the request's time passed: kinds that exclude each other, and then the collector, which is part of them."""
    words = dict(_WORDS)
    if meta.get("held_id") == meta.get("id"):
        words["loop_ns"] = "waiting for the event loop, which a task of its own kept busy"
    if any(step["name"] == "[thread]" for step in path):
        words["lock_ns"] = "waiting for a lock, mostly for its own work in another thread"
    parts = [(words.get(key, str(_core.TITLES[key])), meta[key]) for key in _KINDS
             if isinstance(meta.get(key), int) and meta[key] >= wall / 50]
    return [f"{text}: {ns / 1e6:.0f} ms, {ns / wall:.0%}" for text, ns in parts] or ["how it passed is not known"]


def _asked(meta: dict[str, Any]) -> list[str]:
    """What was asked of others: counts before times."""
    parts = [f"{counted(kind, meta[f'{kind}_count'])} {meta[f'{kind}_ns'] / 1e6:.0f} ms" for kind in ASKED
             if meta.get(f"{kind}_count")]
    return ["asked for, as part of that: " + ", ".join(parts)] if parts else []


def _how(summary: dict[str, Any], meta: dict[str, Any]) -> str:
    if meta.get("mode") == "sampling":
        samples = meta.get("samples", 0)
        measured = sum(meta.get(key, 0) for key in ("await_ns", "loop_ns", "idle_ns"))
        if samples < FEW and measured < summary["wall_ns"] / 2:
            return f"seen by {several(samples, 'sample')} (few: shares are rough), so calls were not counted"
        if samples < FEW:
            return f"seen by {several(samples, 'sample')}; waiting was measured"
        points = several(round(100 / samples ** 0.5), "point")
        return (f"seen by {several(samples, 'sample')}: a share may be off by {points} of a hundred, "
                "calls were not counted")
    own = summary["wall_ns"] - summary["shared_ns"]
    cost = f"; that cost {own / 1e6:.0f} ms, which no share includes" if own >= summary["wall_ns"] / 20 else ""
    return f"every call counted: {summary['calls']:,} of Python functions, {summary['c_calls']:,} of C functions{cost}"


def _titles() -> dict[str, str]:
    return {word: title for word, title, _ in _core.FINDINGS}


def _repeats(one: _core.Profile, wall: int, sentence: str, findings: list[dict[str, Any]]) -> list[str]:
    """What no finding tells of yet."""
    rows = json.loads(one.repeats(10))["rows"]
    own = [row for row in rows if row["caller"]["origin"] == "project" and row["total_ns"] >= wall / 20]
    told = " ".join([sentence, *(finding["text"] for finding in findings)])
    # By samples it is what was asked for that is counted, and its text says more than who asks.
    return [f"{_one_line(row.get('text') or row['function']['name'], 160)} {several(row['calls'], 'time')} "
            f"from {place} ({row['total_ns'] / wall:.0%})" for row in own[:5]
            if (place := f"{short_path(row['caller']['file'])}:{row['call_line']}") not in told
            or str(row["calls"]) not in told]


def _advice(findings: list[dict[str, Any]], wall: int, sentence: str) -> list[str]:
    """Of the first ones, and what it is about. Others are worth one from a tenth of the time on, waits from a fifth;
    what the sentence speaks of comes before what it does not."""
    found: dict[str, str] = {}
    rest = sorted(findings[1:], key=lambda one: (not _is_in(one, sentence), -one["ns"]))
    for at, one in enumerate([*findings[:1], *rest][:4]):
        if at == 0 or one["ns"] >= wall / (5 if one["rule"] in _WAITS else 10):
            found.setdefault(one["advice"], "the function" if one["rule"] == "hot" else one["title"])
    if len(found) == 1:
        return list(found)
    return [f"{title}: {advice[:1].lower() + advice[1:]}" for advice, title in found.items()][:3]


def _is_in(one: dict[str, Any], sentence: str) -> bool:
    """Whether the sentence has what a finding says behind its share."""
    return re.sub(r"^.*?% ", "", one["text"])[:60].rstrip(".") in sentence


# ---- as text ----


def markdown(found: dict[str, Any], budget: int = BUDGET) -> str:
    """The explanation in at most ``budget`` tokens (:data:`BUDGET_LEAST` at least); where any line is known, with one.

    What matters least is left out first.
    """
    budget = max(BUDGET_LEAST, budget)
    head = f"# {_one_line(found['title'], 120)}\n\n{_one_line(found['sentence'] or 'Nothing stands out.', 600)}\n"
    if found["place"] and found["place"] not in head:
        head += (f"\nLook at `{found['place']}` first.\n" if found["own"]
                 else f"\nMost of its code is not yours: `{found['place']}` (if it is, name its folder in the option "
                     "`project`).\n")
    if tokens(head) > budget:
        room = (budget - 1) * BYTES_A_TOKEN - len(found["place"].encode()) - 6
        head = head.encode()[:max(0, room)].decode("utf-8", "ignore") + f"... `{found['place']}`\n"
        return head
    parts: dict[str, str] = {}
    used, left = tokens(head), 0
    for title, lines in _by_weight(found):
        part, taken = f"\n{title}\n\n", 0
        for line in lines:
            line = f"- {_one_line(line, 300)}\n"
            if used + tokens(part + line) > budget:
                break
            part += line
            taken += 1
        left += len(lines) - taken
        if taken:
            parts[title] = part
            used += tokens(part)
    text = head + "".join(parts[title] for title in _ORDER if title in parts)
    note = f"\n({several(left, 'line')} more with a larger --budget)\n"
    return text + note if left and tokens(text + note) <= budget else text


_NEXT, _TRY, _TIME, _PATH = "## Next", "## What to try", "## Where the time went", "## Hot path"
_BESIDE, _REPEATS, _ALSO = "## Beside the usual requests", "## Repeats", "## Also"
#: As it is read; it is left out by weight.
_ORDER = (_TRY, _BESIDE, _TIME, _ALSO, _REPEATS, _PATH, _NEXT)


def _by_weight(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [
        (_NEXT, [f"`{command}`" for command in found["next"][:3]]), (_TRY, found["advice"]),
        (_BESIDE, found["cohort"]), (_TIME, found["facts"]), (_PATH, _steps(found["path"])),
        (_ALSO, _also(found)), (_REPEATS, found["repeats"]),
    ]


def _also(found: dict[str, Any]) -> list[str]:
    """What else is found, the most first, but what the sentence says already, and crumbs."""
    rest = sorted(_told_once(found["findings"])[1:], key=lambda one: -one["ns"])
    return [one["text"] for one in rest
            if not (one["text"].startswith("Under 1 %") or one["text"].rstrip(".") in found["sentence"])]


def _steps(path: list[dict[str, Any]]) -> list[str]:
    """Own frames; of others in a row how many they are, and where no own one follows, the first and the last."""
    lines: list[str] = []
    at = 0
    while at < len(path):
        end = at
        while end < len(path) and not path[end]["own"]:
            end += 1
        if end == at:
            lines.append(_step(path[at]))
            at += 1
            continue
        rows = path[at:end]
        if end < len(path) and len(rows) > 1 and all(row["name"] not in _PSEUDO for row in rows):
            lines.append(f"… {len(rows)} calls in libraries")
            at = end
            continue
        lines.append(_step(rows[0]))
        # Where it goes on into many small parts, the last that still has most of it is the one to know.
        middle = rows[1:-1]
        if any(row["name"] in _STRANDS for row in middle):
            lines += _around(middle)
            lines.append(_step(rows[-1]))
            at = end
            continue
        whole = [row for row in middle if row["share"] >= 0.5]
        keep = [whole[-1]] if whole and rows[-1]["share"] < 0.25 else []
        if len(middle) > 1 + len(keep):
            lines.append(f"… {several(len(middle) - len(keep), 'more call')} in libraries")
            middle = keep
        lines += [_step(row) for row in middle]
        if len(rows) > 1:
            lines.append(_step(rows[-1]))
        at = end
    return lines


def _around(rows: list[dict[str, Any]]) -> list[str]:
    """Library calls in a row as their number, and where the path goes on in another task or thread."""
    lines: list[str] = []
    passed: list[dict[str, Any]] = []
    for row in [*rows, None]:
        if row is not None and row["name"] not in _STRANDS:
            passed.append(row)
            continue
        lines += [_step(one) for one in passed] if len(passed) < 2 else [f"… {len(passed)} more calls in libraries"]
        lines += [_step(row)] if row is not None else []
        passed = []
    return lines


def _step(one: dict[str, Any]) -> str:
    if one["name"] in _PSEUDO:
        return f"{_PSEUDO[one['name']]}, {one['share']:.0%}"
    return (f"`{one['name']}` {one['share']:.0%}" + (f" {_place(one)}" if one["file"] else "")
            + (f", {several(one['calls'], 'call')}" if one["calls"] else "") + (" (yours)" if one["own"] else ""))


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether it tells the same time of the same line once more: 200 queries that are alike, and the database there."""
    if one["rule"] not in _GENERAL or other["rule"] in _WAITS:
        return False  # it says something else: what it waited for, or what of the database's time it was
    least, most = sorted((one["ns"], other["ns"]))
    same = (one["file"], one["line"]) == (other["file"], other["line"])
    # As many calls of a helper as queries that the helper makes.
    same = same or (one["rule"] == "repeats" and one.get("count") == other.get("count", 0)
                    and f"{_place(one)}." in other["text"])
    return bool(one["file"]) and same and least * 10 >= most * 8


def _one_line(text: str, limit: int) -> str:
    """Without what would end a line or move a terminal; its middle left out if it is long."""
    text = printable(text)
    return text if len(text) <= limit else text[: limit // 3] + "…" + text[-(limit - limit // 3 - 1):]
