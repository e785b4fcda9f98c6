"""Mode "lines": how often and how long each line of the project's functions ran, in one request."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine
from slowlens.cli import main as cli
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="line events came with sys.monitoring")


class Thing:
    @property
    def value(self) -> int:
        return 3


def numbers(n: int) -> Any:
    for i in range(n):
        if i >= 0:
            yield i


def recursive(n: int) -> int:
    if n == 0:
        return 0
    return 1 + recursive(n - 1)


def fails(n: int) -> int:
    try:
        if n % 2:
            raise ValueError
        return 0
    except ValueError:
        return 1


async def waits(n: int) -> int:
    total = 0
    for _ in range(n):
        await asyncio.sleep(0)
        total += 1
    return total


def program() -> int:
    thing = Thing()
    total = 0
    for i in numbers(20):
        total += thing.value
        if i % 3 == 0:
            total += fails(i)
    for i, j in zip(numbers(5), numbers(7), strict=False):
        total += i * j
    total += recursive(10)
    total += sum(x for x in numbers(4))
    with asyncio.Runner() as runner:
        total += runner.run(waits(5))
    return total


FUNCTIONS = (Thing.value.fget, numbers, recursive, fails, waits, program)  # type: ignore[attr-defined]


def counted(run: Callable[[], Any]) -> dict[str, Counter[int]]:
    """Hits by function and line, as sys.settrace tells of them."""
    names = {function.__code__: function.__qualname__ for function in FUNCTIONS}
    found: dict[str, Counter[int]] = {}

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_code in names:
            found.setdefault(names[frame.f_code], Counter())[frame.f_lineno] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return found


def recorded(run: Callable[[], Any], **options: Any) -> _core.Profile:
    recording = _core.Recording("chosen", lines=True, **options)
    recording.enter()
    run()
    recording.leave()
    recording.finish()
    return _core.Profile(recording.encode({"mode": "deterministic", "c_mode": "chosen"}))


def reports(profile: _core.Profile) -> dict[str, dict[str, Any]]:
    found = {}
    for row in json.loads(profile.functions())["rows"]:
        if row["function"]["kind"] == "python":
            found[row["function"]["name"]] = {**json.loads(profile.lines(row["function"]["id"])), "function": row}
    return found


def test_hits_are_those_of_a_tracer() -> None:
    program()
    expected = counted(program)
    found = reports(recorded(program))
    for name, lines in expected.items():
        seen = {row["line"]: row["hits"] for row in found[name]["rows"] if row["line"]}
        assert seen == dict(lines), name
    assert set(expected) == {function.__qualname__ for function in FUNCTIONS}
    assert all("hits" not in row for name, report in found.items() if "asyncio" in report["file"]
               for row in report["rows"]), "libraries are not followed"


def test_times_of_lines_add_up() -> None:
    def sleeps() -> None:
        time.sleep(0.02)
        total = 0
        for i in range(20000):
            total += i
        time.sleep(0.01)

    first = sleeps.__code__.co_firstlineno
    report = next(one for name, one in reports(recorded(sleeps)).items() if name.endswith("sleeps"))
    rows = {row["line"]: row for row in report["rows"]}
    assert sum(row["self_ns"] for row in rows.values()) == report["function"]["self_ns"]
    assert rows[0]["self_ns"] < report["function"]["self_ns"] / 10
    assert rows[first + 1]["called_ns"] >= 19e6 and rows[first + 5]["called_ns"] >= 9e6
    assert rows[first + 3]["hits"] == 20001 and rows[first + 4]["hits"] == 20000
    assert rows[first + 3]["self_ns"] + rows[first + 4]["self_ns"] > 0.8 * report["function"]["self_ns"]


def test_only_for_the_one_that_asked_and_while_it_runs() -> None:
    tool = next(number for number in (4, 3) if sys.monitoring.get_tool(number) == "slowlens")
    line = sys.monitoring.events.LINE

    def told() -> bool:
        return bool(sys.monitoring.get_local_events(tool, recursive.__code__) & line)

    one, two, plain = (_core.Recording("none", lines=lines) for lines in (True, True, False))
    for recording in (one, two, plain):
        recording.enter()
        recursive(3)
        recording.leave()
    assert told()
    profiles = []
    for recording, still in ((one, True), (plain, True), (two, False)):
        recording.finish()
        assert told() is still
        profiles.append(reports(_core.Profile(recording.encode({"mode": "deterministic"})))["recursive"])
    assert ["hits" in profile["rows"][-1] for profile in profiles] == [True, False, True]
    assert max(row["hits"] for row in profiles[0]["rows"]) == 4


@pytest.mark.parametrize("how", ["trigger", "option"])
def test_a_request(how: str, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        recursive(10)
        start_response("200 OK", [])
        return [b"x"]

    mode = "lines" if how == "option" else "deterministic"
    middleware = ProfilerMiddleware(app, store=store_path, debug=True, mode=mode, log=False)
    headers = {"HTTP_X_SLOWLENS": "lines"} if how == "trigger" else {}
    wsgi_call(middleware, HTTP_HOST="localhost", REMOTE_ADDR="127.0.0.1", **headers)
    stored = Stored(middleware.recorder)
    (row,) = stored.rows()
    assert row["mode"] == "deterministic"
    rows = {line["line"]: line for line in reports(stored.blob(row["id"]))["recursive"]["rows"]}
    first = recursive.__code__.co_firstlineno
    assert [rows[first + i]["hits"] for i in (1, 2, 3)] == [11, 1, 10]

    assert cli(["--store", store_path, "lines", row["id"], "recursive", "--color", "never"]) == 0
    text = capsys.readouterr().out
    assert "us per hit" in text
    shown = {int(line.split()[0]): line.split() for line in text.splitlines() if line[:7].strip().isdigit()}
    assert shown[first + 1][1] == "11" and shown[first + 3][1] == "10"
    assert cli(["--store", store_path, "lines", row["id"], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {one["name"].rsplit(".", 1)[-1] for one in report["functions"]} >= {"app", "recursive"}


def test_what_lines_cost_is_taken_off(tmp_path: Path) -> None:
    engine.prepare()
    recording = _core.Recording("none", lines=True)
    recording.enter()
    recursive(200)
    recording.leave()
    recording.finish()
    meta = {"mode": "deterministic", "c_mode": "none"}
    raw = reports(_core.Profile(recording.encode(meta)))["recursive"]
    read = reports(_core.Profile(recording.encode({**meta, **engine.cost_meta()})))["recursive"]
    assert engine.cost_meta()["cost_line_ps"] > 0
    assert [row["hits"] for row in raw["rows"]] == [row["hits"] for row in read["rows"]]
    assert read["function"]["self_ns"] + read["function"]["own_ns"] == raw["function"]["self_ns"]
    assert sum(row["self_ns"] for row in read["rows"]) == read["function"]["self_ns"]
