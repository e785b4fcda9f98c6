"""slowlens explain: short text that says why, never over its budget, never without the line."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens.cli import main
from slowlens.insight.explain import BUDGET_LEAST, _path, markdown, tokens
from slowlens.options import load
from slowlens.store import Query, open_store
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page, of which every tenth sleeps, and one that repeats itself."""
    store = str(tmp_path_factory.mktemp("explain") / "store")
    turns = iter(range(1000))

    def price(number: int) -> str:
        return f"{sum(range(number)):x}"

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/repeats":
            for _ in range(300):
                price(1000)
        elif next(turns) % 10 == 0:
            time.sleep(0.2)  # no neighbour of the test makes others as long
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store, mode="deterministic", keep="all", debug=True,
                                    project=(str(Path(__file__).parent),))
    for _ in range(70):
        wsgi_call(middleware, "/page")
    wsgi_call(middleware, "/repeats")
    Stored(middleware.recorder).rows()
    return store


def explain(capsys: pytest.CaptureFixture[str], store: str, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["--store", store, "explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_request(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, shop, "last")
    assert text.startswith("# GET /repeats 200, ")
    sentence = text.splitlines()[2]
    assert re.search(r"\d %.* at py/test_explain\.py:\d+", sentence)
    assert re.search(r"price.* at py/test_explain\.py:\d+, 300 times", text) and "## Repeats" not in text, "told once"
    assert "## What to try" in text and re.search(r"`slowlens tree [0-9a-z]{26}`", text)
    found = json.loads(explain(capsys, shop, "last", "--json"))
    assert found["kind"] == "profile" and re.fullmatch(r"py/test_explain\.py:\d+", found["place"])
    assert any(one["file"].endswith("test_explain.py") and 0 < one["share"] <= 1 for one in found["path"])


def test_what_a_sampled_request_asks_for_again_and_again_is_told(
        store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(40):
            with slowlens.span("SELECT name FROM author WHERE id = ?", kind="db"):
                time.sleep(0.005)  # a braked sampler has enough looks, too
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="all", debug=True,
                                    project=(str(Path(__file__).parent),))
    wsgi_call(middleware, "/authors")
    Stored(middleware.recorder).rows()
    text = explain(capsys, store_path, "last")
    told = r"40 queries that are alike \(SELECT name FROM author WHERE id = \?\), from .*/test_explain\.py:\d+"
    assert re.search(told, text) and "## Repeats" not in text, "told once"
    assert re.search(r"^- asked for, as part of that: 40 queries \d+ ms$", text, re.MULTILINE)


def test_what_was_asked_for_is_told_of_few_samples_too(
        store_path: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans are exact whatever the samples: first sentence, list row, log line and explain say the same."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(100):
            with slowlens.span("SELECT name FROM author WHERE id = ?", kind="db"):
                pass
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="all", debug=True, slow_ms=0,
                                    project=(str(Path(__file__).parent),))
    sentence = re.compile(r"\d+ % in 100 queries that are alike \(SELECT name FROM author WHERE id = \?\), from "
                          r"\S+ at py/test_explain\.py:\d+\. (.+\. )?Not enough samples \([0-4]\) to say where the "
                          r"rest of its time went\.")
    with caplog.at_level("WARNING", logger="slowlens.slow"):
        # A thousandth of a second each: of nearly all there are too few; one that a full machine lets run is there.
        for _ in range(300):
            wsgi_call(middleware, "/authors")
            (row,) = Stored(middleware.recorder).rows(limit=1)
            told = json.loads(Stored(middleware.recorder).blob(row["id"]).summary())
            if sentence.match(told["headline"]):
                break
    assert "n+1" in row["findings"] and row["db_count"] == 100 and sentence.search(told["headline"]), told
    assert "few-samples" not in row["findings"] and told["findings"][0]["advice"].startswith("Ask once for all")
    text = explain(capsys, store_path, row["id"])
    assert sentence.search(text.splitlines()[2]) and "or one query with in before the loop" in text.lower()
    assert told["headline"] in caplog.messages[-1], caplog.messages


def test_to_sleep_again_and_again_is_no_repeated_call(store_path: str) -> None:
    def pause() -> None:
        time.sleep(0.003)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(12):
            pause()
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="deterministic", keep="all", debug=True,
                                    project=(str(Path(__file__).parent),))
    wsgi_call(middleware, "/")
    (row,) = Stored(middleware.recorder).rows()
    assert "sleep" in row["findings"] and "repeats" not in row["findings"], row


def test_advice_is_for_what_takes_time_and_no_request_is_sent_to_itself() -> None:
    from slowlens import _core
    from slowlens.insight.explain import _advice, profile

    told = [{"advice": text, "ns": ns, "title": text.lower(), "rule": "gc", "text": f"{ns} % {text}."}
            for text, ns in (("A", 1), ("B", 19), ("C", 20), ("A", 60))]
    assert _advice(told, 100, "") == ["a: a", "c: c"]
    shares = [{**one, "ns": 30 + at} for at, one in enumerate(told[:3])]
    assert _advice(shares, 100, "30 % A; what it had to do was mostly B.")[1:] == ["b: b", "c: c"], "as it is said"
    assert _advice(shares, 100, "30 % A.")[1:] == ["c: c", "b: b"], "the most first"
    assert _advice(told[:2], 100, "") == ["A"]
    recording = _core.Recording("all")
    recording.enter()
    time.sleep(0.001)
    recording.leave()
    recording.finish()
    meta = {"id": "x" * 26, "loop_ns": 10**12, "held_id": "x" * 26}
    assert "slowlens explain " + "x" * 26 not in profile(_core.Profile(recording.encode(meta)))["next"]
    assert "slowlens explain y" in profile(_core.Profile(recording.encode({**meta, "held_id": "y"})))["next"]


def test_the_same_time_of_the_same_line_is_told_once() -> None:
    def finding(text: str, line: int, ns: int) -> dict[str, Any]:
        return {"text": text, "file": "/app/a.py", "line": line, "ns": ns, "advice": "", "rule": "hot",
                "fingerprint": ""}

    found: dict[str, Any] = {"title": "t", "sentence": "s", "place": "", "own": True, "advice": [], "next": [],
                             "facts": [], "path": [], "repeats": [], "cohort": [],
                             "findings": [finding("first", 1, 100), finding("again", 1, 85), finding("less", 1, 50),
                                          finding("elsewhere", 2, 100)]}
    assert markdown(found).split("## Also")[1].split() == ["-", "elsewhere", "-", "less"]
    for rule in ("n+1", "gil"):
        found["findings"][1]["rule"] = rule
        assert "again" in markdown(found), "it says something else of the same time"


def test_each_thing_is_told_once_and_in_its_section(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, shop, "last")
    sections = re.findall(r"^## .*$", text, re.MULTILINE)
    assert sections[0] == "## What to try" and sections[-1] == "## Next" and "## Hot path" in sections
    lines = [line for line in text.splitlines() if len(line) > 20]
    assert len(lines) == len(set(lines))
    path = text.split("## Hot path\n\n")[1].split("\n\n")[0].splitlines()
    assert re.search(r"^- `.*price` \d+% py/test_explain\.py:\d+, 300 calls \(yours\)$", "\n".join(path), re.MULTILINE)
    found = json.loads(explain(capsys, shop, "last", "--json"))
    kinds = [line for line in found["facts"] if re.fullmatch(r".*: \d+ ms, \d+%", line) and "as part of" not in line]
    assert kinds and sum(int(line.rsplit(" ", 1)[1][:-1]) for line in kinds) <= 130, "kinds exclude each other"


def test_of_the_own_code_a_line_is_told_where_the_path_has_none() -> None:
    from slowlens import _core
    from slowlens.insight.explain import _own_code, _steps

    recording = _core.Recording("all")
    recording.enter()
    sum(range(1000))
    recording.leave()
    recording.finish()
    one = _core.Profile(recording.encode({"mode": "deterministic"}))
    (told,) = _own_code(one, [], 1000)
    assert told == "no function of yours was seen (the option `project` says which paths are yours)"
    library = {"name": "f", "share": 0.5, "file": "/lib/a/b.py", "line": 3, "own": False, "calls": 2}
    own = {**library, "name": "view", "own": True, "calls": 1}
    assert _own_code(one, [own], 1000) == []
    assert _steps([own, *[library] * 5]) == ["`view` 50% a/b.py:3, 1 call (yours)", "`f` 50% a/b.py:3, 2 calls",
                                             "… 3 more calls in libraries", "`f` 50% a/b.py:3, 2 calls"]
    thread = {**library, "name": "[thread]", "calls": 0}
    assert _steps([own, *[library] * 3, thread, *[library] * 3]) == [
        "`view` 50% a/b.py:3, 1 call (yours)", "`f` 50% a/b.py:3, 2 calls", "… 2 more calls in libraries",
        "in a thread of its own, 50%", "… 2 more calls in libraries", "`f` 50% a/b.py:3, 2 calls"]


def test_calls_of_a_helper_are_its_queries() -> None:
    from slowlens.insight.explain import _told_once

    queries = {"rule": "n+1", "ns": 100, "count": 120, "file": "/a/b.py", "line": 9,
               "text": "98 % in 120 queries that are alike, from b.one at a/b.py:9, called by b.app at a/b.py:11."}
    calls = {"rule": "repeats", "ns": 101, "count": 120, "file": "/a/b.py", "line": 11, "text": "100 % in 120 calls"}
    assert _told_once([queries, calls]) == [queries]
    assert _told_once([queries, {**calls, "count": 240}])[1:] and _told_once([queries, {**calls, "line": 1}])[1:]


def test_the_path_has_the_line_of_the_sentence() -> None:
    """A task is begun at one line; what the sentence names is where most was seen, or where the call was made."""
    def step(name: str, call_line: int, line: int) -> dict[str, Any]:
        function = {"name": name, "origin": "project", "file": "/a/b.py", "line": 3, "kind": "python"}
        return {"function": function, "call_line": call_line, "line": line, "total_ns": 9, "calls": 1}

    path = _path({"hot_path": [step("view", 0, 12), step("[task]", 5, 3), step("work", 0, 9), step("burn", 8, 7)],
                  "meta": {"mode": "sampling"}}, 10)
    assert [one["line"] for one in path if one["name"] != "[task]"] == [12, 8, 7]


def test_a_route(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, shop, "GET /page")
    assert text.startswith("# route /page\n") and "time.sleep (called at py/test_explain.py:" in text
    assert "GET: 70 requests, median " in text
    found = json.loads(explain(capsys, shop, "/page", "--json"))
    assert found["kind"] == "route" and any(command.startswith("slowlens compare") for command in found["next"])
    # On a machine full of others the slowest of all may be of the other route.
    rows = open_store(load({"store": shop})).list(Query(route="/page", sort="-wall_ns")).rows
    slowest = explain(capsys, shop, str(rows[0]["id"]))
    assert "times the median of its route" in slowest and "In " in slowest


@pytest.mark.parametrize("budget", [1, BUDGET_LEAST, 130, 170, 250, 400, 700, 1500])
def test_never_over_the_budget_and_never_without_the_line(
    shop: str, budget: int, capsys: pytest.CaptureFixture[str],
) -> None:
    for what in ("last", "slowest", "/page"):
        text = explain(capsys, shop, what, "--budget", str(budget))
        assert tokens(text) <= max(BUDGET_LEAST, budget)
        assert re.search(r"test_explain\.py:\d+", text), text


def test_the_place_is_that_of_the_sentence(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(explain(capsys, shop, "last", "--json"))
    assert found["place"] in found["sentence"]


def test_hostile_names_stay_on_their_line() -> None:
    empty: dict[str, Any] = {"findings": [], "path": [], "repeats": [], "cohort": [], "advice": [], "next": [],
                             "own": True}
    text = markdown({**empty, "title": "a\nb\x1b[2J" * 100, "sentence": "x\u202e" * 2000, "place": "a.py:1",
                     "facts": ["y" * 5000] * 50}, 200)
    assert tokens(text) <= 200 and "a.py:1" in text
    assert not any(not char.isprintable() and char != "\n" for char in text)


@pytest.mark.parametrize("what", ["/none", "0" * 26, ""])
def test_what_is_not_there(shop: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", shop, "explain", what]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
