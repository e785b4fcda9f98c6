"""Which release made what worse: releases, hours and other routes made by hand."""

from __future__ import annotations

import json
import logging
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, ownership
from slowlens.cli import main
from slowlens.insight import grown, regressions, telling
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import open_store
from slowlens.store.windows import Tree, pack
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, record, wsgi_call
from releases import HOUR, NOON, made


def worse(store: Any) -> list[dict[str, Any]]:
    (release,) = regressions.regressions(store)["releases"]
    assert (release["release"], release["previous"], release["since"]) == ("b", "a", NOON * HOUR)
    found: list[dict[str, Any]] = release["routes"]
    return found


def test_what_became_slower_is_named_and_a_slow_day_is_not() -> None:
    (row,) = worse(made(shift=1.2))
    assert (row["route"], row["what"], row["requests"]) == ("/a", "time", [2400, 2400])
    assert row["change"] == pytest.approx(0.2, abs=0.03), "beside what the other routes took"
    assert row["grew"][0]["name"] in ("on CPU", "in the database") and row["text"].startswith("GET /a: time ")
    assert worse(made()) == [], "all are slower: no route's fault"
    assert worse(made(shift=1.02)) == []
    assert worse(made(shift=0.7)) == [], "faster is no regression"


def test_one_query_more_is_certain() -> None:
    (row,) = worse(made(more=1))
    assert (row["what"], row["name"], row["before"], row["after"]) == ("count", "queries", 3, 4)
    both = worse(made(more=1, shift=1.3))
    assert [row["what"] for row in both] == ["count", "time"], "counts before times"
    assert worse(made(queries=3.4, more=0.3)) == [], "it varies"
    assert [row["name"] for row in worse(made(queries=3.4, more=1.4))] == ["queries"]


def test_a_release_that_profiles_more_of_its_requests_asks_no_more_queries() -> None:
    """Of half of the first release's requests nothing but their times is known."""
    store = made()
    for _, _, release, _, _, sums in store.rows:
        if release == "a":
            sums.update({name: value / 2 for name, value in sums.items()}, timed=0.5)
    assert worse(store) == []
    store = made(more=1)
    for _, _, _, _, _, sums in store.rows:
        sums.update({name: value / 2 for name, value in sums.items()}, timed=0.5)
    (row,) = worse(store)
    assert (row["name"], row["before"], row["after"]) == ("queries", 3, 4)


def test_too_few_hours_say_nothing() -> None:
    assert worse(made(shift=2, hours=11)) == []
    (row,) = worse(made(shift=2, hours=12))
    assert row["change"] > 0.8
    (release,) = regressions.regressions(made(hours=12))["releases"]
    assert release["complete"] is False and release["timed"] > 0
    (release,) = regressions.regressions(made(hours=11))["releases"]
    assert release["timed"] == 0


def test_judge_alone() -> None:
    flat = {hour: 1e6 for hour in range(48)}
    judged = regressions.judge(flat, [], 24)
    assert judged is not None and (judged.effect, judged.sure) == (0, False), "all tied"
    assert regressions.judge({}, [flat], 24) is None
    step = {hour: 1e6 * (1.5 if hour >= 24 else 1) for hour in range(48)}
    judged = regressions.judge(step, [flat, flat], 24)
    assert judged is not None and judged.sure and judged.effect == pytest.approx(0.5)


def test_a_route_that_waits_for_a_cpu_says_so() -> None:
    store = made(shift=1.3, more=0)
    for _, route, release, _, mean, sums in store.rows:
        sums["run_queue_ns"] = mean * 8e5 if (route, release) == ("/a", "b") else 0
    (row,) = worse(store)
    assert row["grew"][0]["name"] == "waiting for a CPU"


def test_command_and_viewer(store_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                            monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    heads = []
    for text in ("first", "make it slow"):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", text], check=True)
        heads.append(subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True,
                                    text=True).stdout.strip())
    monkeypatch.chdir(tmp_path)
    store = made(shift=1.3)
    names = dict(zip("ab", heads, strict=True))
    store.rows = [(hour, route, names[release], *rest) for hour, route, release, *rest in store.rows]  # type: ignore[misc]
    monkeypatch.setattr("slowlens.cli.insight.open_one", lambda options: store)
    assert main(["regressions"]) == 0
    text = capsys.readouterr().out
    assert "1 worse" in text and "make it slow" in text and "first" not in text
    assert f"--where release={heads[1]} --against release={heads[0]}" in text
    assert "times are not judged" not in text
    monkeypatch.setattr("slowlens.cli.insight.open_one", lambda options: made(shift=4, hours=11))
    assert main(["regressions"]) == 0
    text = capsys.readouterr().out
    assert "times are not judged yet: they need 12 hours with requests before and after" in text
    assert "slowlens compare ROUTE --where release=b --against release=a" in text
    monkeypatch.setattr("slowlens.cli.insight.open_one", lambda options: store)
    assert main(["regressions", "--json", "--fail"]) == 1
    assert json.loads(capsys.readouterr().out)["releases"][0]["commits"]
    assert main(["regressions", "--release", "none"]) == 2

    viewer = Viewer(store, None)  # type: ignore[arg-type]
    incoming = Incoming("GET", "/api/regressions", "", "localhost", "127.0.0.1", False, {}, None, False)
    answer = viewer.handle(incoming, "api/regressions", "/")
    assert answer.status == 200 and json.loads(answer.body)["releases"][0]["routes"]


def test_over_a_real_store(store_path: str) -> None:
    """Two releases of an app, one after the other: known, and nothing to be told after a moment."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    for release in "ab":
        middleware = ProfilerMiddleware(app, store=store_path, release=release, debug=True)
        for _ in range(3):
            wsgi_call(middleware, "/page")
        Stored(middleware.recorder).rows()
    (found,) = regressions.regressions(middleware.recorder.store)["releases"]
    assert (found["release"], found["previous"], found["complete"], found["routes"]) == ("b", "a", False, [])


def test_the_functions_that_grew_are_named(store_path: str) -> None:
    """Trees of all requests around the release: 300 before it, 100 after it, in which one function does more."""
    def steady() -> None:
        for _ in range(20):
            sorted(range(100))

    def price(turns: int) -> None:
        for _ in range(turns):
            sorted(range(400))

    def tree(turns: int, release: str, requests: int) -> Tree:
        # The quickest of several: no neighbour of the test stood in it.
        recordings = [record(lambda: (steady(), price(turns))) for _ in range(9)]
        quickest = min(recordings, key=lambda one: one.totals()["wall_ns"])
        blob = quickest.encode({"mode": "deterministic"})
        for one in recordings:
            one.discard()
        gather = _core.Gather(0)
        gather.add(blob, requests)
        meta: dict[str, Any] = {"mode": "deterministic", "route": "/a", "method": "GET", "release": release,
                                "merged": 1, "requests": requests}
        return Tree(meta, gather.encode(meta))

    ownership.claim(paths=(str(Path(__file__).parent),))
    store = open_store(load({"store": store_path}))
    begin = NOON * HOUR * 1000
    for at, release, turns, requests in ((begin - 7_200_000, "a", 20, 300), (begin + 7_200_000, "b", 1000, 100),
                                         (begin - 3_600_000, "b", 1, 9), (begin + 90_000_000, "b", 1, 9)):
        store.put_window(at - 1000, at, pack([tree(turns, release, requests)]))  # type: ignore[attr-defined]
    found = grown.functions(store, [("/a", "GET"), ("/none", "GET")], "b", NOON)
    assert set(found) == {("/a", "GET")}
    first = found[("/a", "GET")]["functions"][0]
    assert re.search(r"^builtins\.sorted$|\.price$", first["name"]) and first["after_ms"] > first["before_ms"]
    assert re.search(r"\.price\b.* at py/test_regressions\.py:\d+", found[("/a", "GET")]["sentence"])

    numbers = made(shift=1.5)
    numbers.windows = store.windows  # type: ignore[attr-defined]
    (row,) = worse(numbers)
    assert "; of what it takes more: " in row["text"] and ".price" in row["text"]
    assert row["functions"] and row["sentence"]


def test_one_line_for_each_release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By whoever looks first in an hour in which there is something to say; the others, and later, say nothing."""
    caplog.set_level(logging.INFO, "slowlens")
    store = made(shift=1.3, more=1)
    store.root = str(tmp_path)
    now = (NOON + 14) * HOUR
    early = made(shift=1.3, hours=3)
    early.root = str(tmp_path)
    assert not telling.tell(early, "b", now - 5 * HOUR)  # type: ignore[arg-type]
    assert not telling.tell(store, "b", now - 5 * HOUR + 60), "somebody has just looked"  # type: ignore[arg-type]
    assert telling.tell(store, "b", now)  # type: ignore[arg-type]
    assert not telling.tell(store, "b", now + 2 * HOUR), "once"  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "\n" not in record.getMessage()
    assert re.match(r"slowlens: release b since \d{4}-\d\d-\d\d \d\d:00, after a: GET /a: queries 3 -> 4 a request .*"
                    r"\| GET /a: time .*; slowlens regressions --release b$", record.getMessage())


def test_a_release_that_made_nothing_worse_is_said_after_a_day(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "slowlens")
    for hours, said in ((20, False), (26, True)):
        store = made(hours=hours)
        store.root = str(tmp_path)
        assert telling.tell(store, "b", (NOON + hours) * HOUR) is said  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert telling.line(made(), "a", NOON * HOUR) is None, "there is none before it"  # type: ignore[arg-type]
    store = made(shift=1.3)
    names = {"a": "0123abc", "b": "4567def"}
    store.rows = [(hour, route, names[release], *rest) for hour, route, release, *rest in store.rows]  # type: ignore[misc]
    said = telling.line(store, "4567def", (NOON + 14) * HOUR)  # type: ignore[arg-type]
    assert said is not None and said[0] and said[1].endswith("; git log --oneline 0123abc..4567def")
