"""Budgets kept in the repository: ``slowlens.toml``, checked by ``slowlens check``, in pytest and in CI.

    [[budget]]
    route = "/books/*"            # of stored profiles; or test = "tests/test_shop.py::*" (a name of slowlens_profile)
    method = "GET"                # optional
    assert = ["queries <= 8", 'calls("copy.deepcopy") == 0', "cpu_ms.p95 < 80", 'no("gil")', "diff.queries <= 0"]

An assertion is ``WHAT [. STATISTIC] OPERATOR NUMBER`` or ``no("finding")``. Without a statistic it must hold for each
profile. What there is: :data:`METRICS`, ``calls("name")``. ``diff.`` before it: how much more than in the profiles it
is compared with. Counts are exact and the same on every machine, times are not: prefer counts.
"""

from __future__ import annotations

import json
import operator
import os
import re
import statistics
import tomllib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from .. import _core
from ..log import printable, several
from . import short_path

__all__ = [
    "KINDS", "METRICS", "Assertion", "Budget", "BudgetError", "Checked", "Here", "Measured", "annotation", "check",
    "exceeded", "find", "finding", "load", "markdown", "parse",
]

FILE = "slowlens.toml"

#: Name -> key of the metadata, and what it is divided by.
METRICS: dict[str, tuple[str, float]] = {
    "wall_ms": ("wall_ns", 1e6), "cpu_ms": ("cpu_ns", 1e6), "await_ms": ("await_ns", 1e6), "gc_ms": ("gc_ns", 1e6),
    "waiting_ms": ("waiting_ns", 1e6), "loop_ms": ("loop_ns", 1e6), "step_ms": ("step_ns", 1e6),
    "python_calls": ("calls", 1), "c_calls": ("c_calls", 1), "nodes": ("nodes", 1),
    "response_bytes": ("response_bytes", 1), "status": ("status", 1),
}
#: Kinds of spans that there are (include/slowlens/span.h); an application's own ones are "custom".
KINDS = ("db", "http", "cache", "template", "task", "file", "process", "rpc", "mail", "profile", "custom")
#: Metadata that is left out where it is 0.
_ZERO = ("await_ns", "gc_ns", "loop_ns", "step_ns", "response_bytes", "calls", "c_calls")

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}
#: What asks a database, where a profile has no spans.
_QUERIES = ("CursorWrapper.execute", "CursorWrapper.executemany", "CursorDebugWrapper.execute",
            "CursorDebugWrapper.executemany", "DefaultDialect.do_execute", "DefaultDialect.do_executemany")
_STATISTICS = ("min", "mean", "median", "max", "p50", "p90", "p95", "p99")
_EXPRESSION = re.compile(
    r"(?P<diff>diff\.)?"
    r"(?:(?P<call>calls|count|no)\(\s*(?P<quote>['\"])(?P<name>[^'\"]+)(?P=quote)\s*\)|(?P<metric>[a-z_0-9]+?))"
    r"(?:\.(?P<statistic>[a-z0-9]+))?\s*(?:(?P<operator><=|>=|==|!=|<|>)\s*(?P<number>-?\d+(?:\.\d+)?))?")


class BudgetError(Exception):
    """The file cannot be understood: one sentence."""


class Assertion(NamedTuple):
    text: str
    diff: bool
    call: str  #: "calls", "count", "no", or "" for a metric
    name: str  #: of the function, the layer, the finding or the metric
    statistic: str  #: "": each profile
    compare: Callable[[Any, Any], bool]
    number: float


class Budget(NamedTuple):
    route: str  #: a pattern; "": it is about tests
    test: str
    method: str
    assertions: tuple[Assertion, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.route or self.test}".strip()

    def concerns(self, meta: dict[str, Any]) -> bool:
        """Whether a profile is meant."""
        if self.test:
            return meta.get("method") == "TEST" and fnmatchcase(str(meta.get("path", "")), self.test)
        route = str(meta.get("route") or meta.get("path") or "")
        fits = self.method in ("", meta.get("method")) and fnmatchcase(route, self.route)
        return fits and meta.get("method") != "TEST"


def _is_called(function: dict[str, Any], name: str) -> bool:
    stem = os.path.splitext(os.path.basename(function["file"]))[0]
    return f".{function['name']}".endswith(f".{name}") or f"{stem}.{function['name']}" == name


class Measured:
    """One profile, of which assertions ask numbers; what was asked once is kept."""

    def __init__(self, profile: _core.Profile) -> None:
        self._profile = profile
        self.summary: dict[str, Any] = json.loads(profile.summary())
        self.meta: dict[str, Any] = self.summary["meta"]
        self._functions: list[dict[str, Any]] | None = None

    @property
    def exact(self) -> bool:
        return self.meta.get("mode") != "sampling"

    def value(self, one: Assertion) -> float | None:
        """None: this profile does not know."""
        if one.call == "no":
            return float(sum(finding["rule"] == one.name for finding in self.summary["findings"]))
        if one.call == "calls":
            return float(self._calls(one.name)) if self.exact else None
        if one.call == "count":
            return self._layer(one.name)
        if one.name == "queries":
            return self._layer("db")
        if one.name == "status" and self.meta.get("method") == "TEST":
            return None  # it has none: what is stored there is whether the block raised
        key, unit = METRICS[one.name]
        value = self.meta.get(key)
        if value is None and key in _ZERO and (self.exact or "calls" not in key):
            value = 0
        return value / unit if isinstance(value, int) else None

    def _layer(self, kind: str) -> float:
        """Spans of a kind, counted in both modes: by the metadata (``db_count``), else by the spans themselves.

        Where it has none of a database's, by the calls of what is known to ask one.
        """
        value = self.meta.get(f"{kind}_count")
        if isinstance(value, int):
            return float(value)
        count = sum(row["count"] for row in json.loads(self._profile.spans())["rows"]
                    if row["kind"] == kind or (kind == "custom" and row["kind"] not in KINDS))
        if kind == "db" and count == 0 and self.exact:
            count = sum(self._calls(name) for name in _QUERIES)
        return float(count)

    def _rows(self) -> list[dict[str, Any]]:
        if self._functions is None:
            self._functions = json.loads(self._profile.functions())["rows"]
        return self._functions

    def _calls(self, name: str) -> int:
        found = {"python": 0, "c": 0}
        for row in self._rows():
            function = row["function"]
            if function["kind"] in found and _is_called(function, name):
                found[function["kind"]] += row["calls"]
        return found["python"] or found["c"]

    def asked_at(self, kind: str) -> tuple[str, int] | None:
        """File and line of own code that asks for most of a kind; None: it is not known."""
        rows = [row for row in json.loads(self._profile.spans())["rows"]
                if row["kind"] == kind and row["function"]["origin"] == "project"]
        most = max(rows, key=lambda row: (row["count"], row["outer_ns"]), default=None)
        return (most["function"]["file"], most["line"]) if most else None

    def called_at(self, name: str) -> tuple[str, int] | None:
        """File and line of own code that calls it again and again; None: none does."""
        rows = [row for row in json.loads(self._profile.repeats())["rows"]
                if row["caller"]["origin"] == "project" and _is_called(row["function"], name)]
        most = max(rows, key=lambda row: row["calls"], default=None)
        return (most["caller"]["file"], most["call_line"]) if most else None

    def place(self) -> tuple[str, int]:
        """File and line of own code that explains most; ("", 0): none is known."""
        for finding in self.summary["findings"]:
            if finding.get("file"):
                return finding["file"], finding["line"]
        own = [row for row in self._rows() if row["function"]["origin"] == "project"]
        most = max(own, key=lambda row: row["total_ns"], default=None)
        return (most["function"]["file"], most["function"]["line"]) if most else ("", 0)


class Checked(NamedTuple):
    """What became of one assertion. ``ok`` None: not known, ``text`` says why."""

    budget: str
    assertion: str
    ok: bool | None
    text: str
    id: str = ""
    file: str = ""
    line: int = 0
    left_out: bool = False  #: it was not asked: pytest asks it


def parse(text: str) -> Assertion:
    """:raises BudgetError: it is no assertion."""
    match = _EXPRESSION.fullmatch(text.strip())
    if match is None:
        raise BudgetError(f"{text!r} is no assertion: WHAT[.STATISTIC] OPERATOR NUMBER, or no(\"finding\")")
    call, metric, number = match["call"] or "", match["metric"] or "", match["number"]
    if match["statistic"] and match["statistic"] not in _STATISTICS:
        raise BudgetError(f"{text!r}: no statistic {match['statistic']!r}: {', '.join(_STATISTICS)}")
    if call == "no":
        if number is not None or match["diff"]:
            raise BudgetError(f"{text!r}: no(...) stands alone")
        words = [word for word, _, _ in _core.FINDINGS]  # asked late: there may be no extension to ask
        if match["name"] not in words:
            raise BudgetError(f"{text!r}: no finding is called {match['name']!r}: {', '.join(words)}")
        return Assertion(text.strip(), False, "no", match["name"], "", operator.eq, 0)
    if not call and metric not in METRICS and metric != "queries":
        raise BudgetError(f"{text!r}: nothing is called {metric!r}: queries, {', '.join(METRICS)}, calls(\"...\")")
    if call == "count" and match["name"] not in KINDS:
        raise BudgetError(f"{text!r}: no kind is called {match['name']!r}: {', '.join(KINDS)}")
    if number is None:
        raise BudgetError(f"{text!r}: compared with what?")
    return Assertion(text.strip(), bool(match["diff"]), call, match["name"] or metric, match["statistic"] or "",
                     _OPERATORS[match["operator"]], float(number))


def load(path: str | Path) -> list[Budget]:
    """The budgets of a file. :raises BudgetError: it is none. :raises OSError: it cannot be read."""
    with open(path, "rb") as file:
        try:
            document = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BudgetError(f"{path}: {error}") from None
    found = []
    others = sorted(document.keys() - {"budget"})
    if others:
        raise BudgetError(f"{path}: there are only [[budget]] in it, not {others[0]}")
    rows = document.get("budget", [])
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict):
            raise BudgetError(f"{path}: a budget is a table: [[budget]]")
        unknown = row.keys() - {"route", "test", "method", "assert"}
        texts = all(isinstance(row.get(name, ""), str) for name in ("route", "test", "method"))
        if unknown or not texts or not isinstance(row.get("assert"), list) or ("route" in row) == ("test" in row):
            raise BudgetError(f"{path}: a budget has route or test (texts), assert (a list), and may have method"
                              + (f"; not {sorted(unknown)[0]}" if unknown else ""))
        if not row["assert"]:
            raise BudgetError(f"{path}: a budget asserts nothing: assert = []")
        found.append(Budget(str(row.get("route", "")), str(row.get("test", "")), str(row.get("method", "")),
                            tuple(parse(str(text)) for text in row["assert"])))
    if not found:
        raise BudgetError(f"{path}: no [[budget]] in it, which has a route and what is asserted of it: "
                          "[[budget]], route = \"/books/*\", assert = [\"queries <= 8\"]")
    return found


def find(folder: str | Path) -> Path | None:
    """``slowlens.toml`` in a folder or one above it; None: there is none."""
    here = Path(folder).resolve()
    return next((one / FILE for one in (here, *here.parents) if (one / FILE).is_file()), None)


def check(budgets: Iterable[Budget], profiles: Sequence[Measured], before: Sequence[Measured] = ()) -> list[Checked]:
    """Asks each assertion of the profiles it concerns; ``before``: those that ``diff.`` compares with."""
    found = []
    tests = any(one.meta.get("method") == "TEST" for one in profiles)
    for budget in budgets:
        mine = [one for one in profiles if budget.concerns(one.meta)]
        theirs = [one for one in before if budget.concerns(one.meta)]
        for assertion in budget.assertions:
            if budget.test and not tests:
                found.append(Checked(str(budget), assertion.text, None, "no profiles of tests here: pytest asks it",
                                     left_out=True))
            elif not mine:
                found.append(Checked(str(budget), assertion.text, None, "no profile of it"))
            else:
                found.append(_check(str(budget), assertion, mine, theirs))
    return found


def _check(budget: str, one: Assertion, mine: Sequence[Measured], theirs: Sequence[Measured]) -> Checked:
    known = [(value, profile) for profile in mine if (value := profile.value(one)) is not None]
    if not known:
        why = "sampled profiles do not count it" if one.call == "calls" else "these profiles do not know it"
        return Checked(budget, one.text, None, why)
    values = [value for value, _ in known]
    # Which profile is shown: the worst, whatever the statistic.
    worst = max(known, key=lambda pair: pair[0])[1]
    if one.diff:
        old = [value for profile in theirs if (value := profile.value(one)) is not None]
        if not old:
            return Checked(budget, one.text, None, "nothing to compare with (--against)")
        statistic = one.statistic or "median"
        value = _statistic(values, statistic) - _statistic(old, statistic)
        text = f"{_number(_statistic(old, statistic))} before, {_number(_statistic(values, statistic))} now"
        ok = one.compare(value, one.number)
    elif one.statistic:
        value = _statistic(values, one.statistic)
        text, ok = f"it is {_number(value)} over {several(len(values), 'profile')}", one.compare(value, one.number)
    else:
        bad = [pair for pair in known if not one.compare(pair[0], one.number)]
        ok = not bad
        if bad:
            value, worst = max(bad, key=lambda pair: abs(pair[0] - one.number))
            text = "found" if one.call == "no" else f"it is {_number(value)}"
            text += f", in {len(bad)} of {len(known)} profiles" if len(known) > 1 else ""
        else:
            least, most = _number(min(values)), _number(max(values))
            text = "not found" if one.call == "no" else f"it is {least}" + (f" to {most}" if most != least else "")
    place = _place(one, worst)
    return Checked(budget, one.text, ok, text, str(worst.meta.get("id", "")), *place)


def _place(one: Assertion, profile: Measured) -> tuple[str, int]:
    if one.call == "no":
        for finding in profile.summary["findings"]:
            if finding["rule"] == one.name and finding.get("file"):
                return finding["file"], finding["line"]
    asked = "db" if one.name == "queries" and not one.call else one.name if one.call == "count" else ""
    place = profile.asked_at(asked) if asked else profile.called_at(one.name) if one.call == "calls" else None
    return place or profile.place()


def _statistic(values: Sequence[float], name: str) -> float:
    if name in ("mean", "median"):
        return statistics.fmean(values) if name == "mean" else statistics.median(values)
    if name in ("min", "max"):
        return min(values) if name == "min" else max(values)
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(name[1:]) // 100) - 1)]


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


# ---- one profile by itself ----


def exceeded(wanted: Iterable[Budget], profile: Measured) -> list[Checked]:
    """What of the budgets this profile does not keep. Statistics and differences are of several, and left out."""
    alone = [one._replace(assertions=tuple(each for each in one.assertions if not (each.diff or each.statistic)))
             for one in wanted if one.concerns(profile.meta)]
    return [one for one in check(alone, [profile]) if one.ok is False]


def finding(one: Checked) -> dict[str, Any]:
    """An exceeded budget as a finding among those of sl_report_summary, without a node."""
    return {"rule": "budget", "title": "over budget", "text": f"{one.assertion}: {one.text} ({one.budget}).",
            "advice": f"It is a budget of {FILE}.", "fingerprint": "", "file": one.file, "line": one.line}


class Here:
    """The budgets of the folder that this process runs in, or of one above it; read again when the file changes."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._looked = False
        self._stamp: tuple[int, int] | None = None
        self._budgets: list[Budget] = []

    def budgets(self) -> list[Budget]:
        """None where there is no file, or one that cannot be read. :raises BudgetError: it cannot be understood."""
        try:
            if not self._looked:
                self._looked, self._path = True, find(".")
            if self._path is None:
                return []
            info = self._path.stat()
            stamp = (info.st_mtime_ns, info.st_size)
            if stamp != self._stamp:
                self._stamp, self._budgets = stamp, []
                self._budgets = load(self._path)
        except OSError:
            return []
        return self._budgets


# ---- for people and CI ----


def annotation(one: Checked, root: str | Path) -> str:
    """A failed one as GitHub marks it on the line (workflow commands)."""
    def data(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def value(text: str) -> str:
        return data(text).replace(":", "%3A").replace(",", "%2C")

    place = ""
    if one.file:
        try:
            file = os.path.relpath(one.file, root)
        except ValueError:
            file = one.file
        place = f"file={value(file)},line={one.line},"
    return f"::error {place}title=slowlens::{data(f'{one.budget}: {one.assertion}: {one.text}')}"


def markdown(checked: Sequence[Checked]) -> str:
    """The table of a job's summary."""
    def cell(text: str) -> str:
        return printable(text).replace("|", "\\|").replace("`", "'")

    failed = sum(one.ok is False for one in checked)
    lines = [f"### slowlens: {failed} of {len(checked)} budgets exceeded" if failed else
             f"### slowlens: {len(checked)} budgets kept", "", "| | budget | must be | |", "|---|---|---|---|"]
    for one in checked:
        sign = {True: "ok", False: "**exceeded**", None: "left out" if one.left_out else "not known"}[one.ok]
        place = f" ({cell(short_path(one.file))}:{one.line})" if one.file and not one.ok else ""
        lines.append(f"| {sign} | {cell(one.budget)} | `{cell(one.assertion)}` | {cell(one.text)}{place} |")
    return "\n".join(lines) + "\n"
