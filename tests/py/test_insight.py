"""Why a request was slow: what the core's sentence names, for causes that we know."""

from __future__ import annotations

import functools
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import causes
import causes_shapes
import pytest

import slowlens
from slowlens import _core
from slowlens.cli import main
from slowlens.insight import cohorts
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import open_store
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call

#: Sampled ones that do not ask how many CPUs the machine has left; all of them: tests/bench/insight.py.
SAMPLED = ["fights", "hungry", "short", "takes", "held_up", "middleware_holds", "middleware_awaits", "gathers_a_job",
           "polls", "fetches_in_pool", "with_timeout"]
if sys.version_info >= (3, 12):
    SAMPLED += ["in_executor", "middleware_sync", "through_starlette"]  # before, samples know no job of a pool
CASES = [(one, "deterministic") for one in causes.CAUSES if "deterministic" in one.modes]
CASES += [(one, "sampling") for one in causes.CAUSES if one.name in SAMPLED]


def run(mode: str, *names: str, size: float = 0.06) -> dict[str, dict[str, Any]]:
    """By name, what the core says of each, which takes so many seconds."""
    done = subprocess.run([sys.executable, causes_shapes.__file__, mode, *names], stdout=subprocess.PIPE, text=True,
                          timeout=300, check=True, env={**os.environ, "CAUSES_SIZE": str(size)})
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row["summary"] for row in rows}


def words(summary: dict[str, Any], mode: str) -> str:
    """The sentence; where a machine full of others may have more to say first, with the other findings."""
    others = [finding["text"] for finding in summary["findings"]] if mode == "sampling" else []
    return "\n".join([summary["headline"], *others])


@functools.cache
def told(mode: str) -> dict[str, dict[str, Any]]:
    return run(mode, *[one.name for one, other in CASES if other == mode])


@pytest.mark.parametrize(("one", "mode"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_sentence_names_the_cause(one: causes.Cause, mode: str) -> None:
    said = [words(told(mode)[one.name], mode)]
    size = 0.06
    while not re.search(one.says, said[-1]) and len(said) < 6:  # a machine full of others has causes of its own
        size *= 1.7
        said.append(words(run(mode, one.name, size=size)[one.name], mode))
    assert re.search(one.says, said[-1]), said


def test_findings_are_complete() -> None:
    found: list[dict[str, Any]] = []
    for summary in (told("deterministic")["copies"], run("deterministic", "copies")["copies"]):
        assert all(finding["advice"] and finding["text"].endswith(".") for finding in summary["findings"])
        found += [finding for finding in summary["findings"] if finding["rule"] == "deepcopy"]
    first, second = found
    assert first["fingerprint"] == second["fingerprint"], "the same thing in another run"
    lines = Path(first["file"]).read_text().splitlines()
    assert "copy.deepcopy" in lines[first["line"] - 1]
    assert first["function"]["name"] == "deepcopy" and first["count"] > 10


def test_each_rule_has_its_section_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/findings.md").read_text()
    words = [word for word, _, _ in _core.FINDINGS]
    assert sorted(re.findall(r"^### (\S+)$", text, re.MULTILINE)) == sorted(words) and len(words) > 20
    anchors = re.findall(r"^\(finding-(\S+)\)=$", text, re.MULTILINE)
    assert sorted(anchors) == sorted(word.replace("+", "-plus-") for word in words)


# ---- cohorts ----


@pytest.fixture(scope="module")
def slow_tenth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A route that refreshes something in every tenth request, which the tag says."""
    store = str(tmp_path_factory.mktemp("cohort") / "store")
    turns = iter(range(120))

    def render() -> None:
        sum(len(str(i)) for i in range(300))

    def refresh() -> None:
        time.sleep(0.05)  # no neighbour of the test makes that shorter, and few make others as long

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if next(turns) % 10 == 0:
            slowlens.tag("cache", "miss")
            refresh()
        else:
            slowlens.tag("cache", "hit")
        render()
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store, mode="deterministic", keep="all", debug=True)
    for _ in range(120):
        wsgi_call(middleware, "/page")
    Stored(middleware.recorder).rows()
    return store


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_compare_names_what_the_slow_ones_do(slow_tenth: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capsys, "--store", slow_tenth, "compare", "/page")
    assert found["enough"] and (found["slow"], found["usual"]) == (12, 60) and len(found["ids"]) == 120
    # On a machine full of others some of the slow ones waited for a CPU, which may be said first.
    first = next(row for row in found["named"] if row["name"] == "time.sleep")
    assert Path(first["file"]).name == "test_insight.py" and found["answer"] == found["named"][0]["text"]
    assert "time.sleep(" in Path(first["file"]).read_text().splitlines()[first["line"] - 1]
    assert re.match(
        r"In \d+ of 12 slow requests \(of 120\) .*time\.sleep \(called at py/test_insight\.py:\d+\) takes over half of "
        r"the extra time: \+\d+.* It ran in \d+ of 12 slow, in 0 of 60 usual\.", first["text"])
    (tag,) = [tag for tag in found["tags"] if tag["value"] == "miss"]
    assert (tag["key"], tag["usual"]) == ("tag.cache", 0) and tag["slow"] >= 8
    worst = json.loads(_core.Profile(open_store(load({"store": slow_tenth})).get(found["ids"][0])).meta())["meta"]
    assert worst["path"] == "/page"


def test_two_reasons_are_told_as_two(store_path: str) -> None:
    """A twentieth sleeps in one place, a twentieth in another: no place has all of it, and the function has two."""
    turns = iter(range(120))

    def refresh() -> None:
        time.sleep(0.15)

    def audit() -> None:
        time.sleep(0.15)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        turn = next(turns) % 20
        if turn == 3:
            refresh()
        if turn == 11:
            audit()
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="deterministic", keep="all", log=False)
    for _ in range(120):
        wsgi_call(middleware, "/page")
    Stored(middleware.recorder).rows()
    found = cohorts.compare(middleware.recorder.store, cohorts.Selection(route="/page"))
    texts = [row["text"] for row in (*found["named"], *found["largest"]) if row["name"] == "time.sleep"]
    assert re.search(r"time\.sleep \(in 2 places, most at py/test_insight\.py:\d+\)", "\n".join(texts)), found
    lines = {row["line"] for row in found["named"] if row["name"] == "time.sleep"}
    assert lines == {refresh.__code__.co_firstlineno + 1, audit.__code__.co_firstlineno + 1}, found["named"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 does not tell what C drivers are asked (README)")
@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_compare_counts_before_it_times(mode: str, store_path: str) -> None:
    """What the slow ones ask for more often is told of the counts, which are exact, and from twenty requests on."""
    turns = iter(range(80))
    books = sqlite3.connect(":memory:", check_same_thread=False)
    books.execute("CREATE TABLE author (id, name)")

    def names(count: int) -> None:
        for number in range(count):
            books.execute(f"SELECT name FROM author WHERE id = {number}")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        turn = next(turns)
        slowlens.tag("heavy", "yes" if turn % 5 == 0 else "no")
        time.sleep(0.02 if turn % 5 == 0 else 0.001)
        books.execute("SELECT 1")
        names(1500 if turn % 5 == 0 else 9)
        start_response("200 OK", [])
        return [b"x" * (60_000 if turn % 5 == 0 else 3000)]

    middleware = ProfilerMiddleware(app, store=store_path, mode=mode, keep="all", log=False)
    for _ in range(40):
        wsgi_call(middleware, "/page")
    Stored(middleware.recorder).rows()
    found = cohorts.compare(middleware.recorder.store, cohorts.Selection(route="/page"))
    line = names.__code__.co_firstlineno + 2
    # On a machine full of others one of the usual may be among the slow ones.
    assert re.fullmatch(
        r"The slow ones make 1\d{3} queries where the usual ones make 10 \(1\d\d times as many\)(, more in \d of 8)?, "
        rf"most of them SELECT name FROM author WHERE id = \? from py/test_insight\.py:{line}\. "
        r"Too few to say: 40 requests where 60 are needed\.", found["answer"]) and not found["enough"], found["answer"]
    for _ in range(40):
        wsgi_call(middleware, "/page")
    Stored(middleware.recorder).rows()
    found = cohorts.compare(middleware.recorder.store, cohorts.Selection("/page", where=["heavy=yes"]))
    queries, shape, size = found["counts"]
    assert (queries["kind"], queries["shape"], queries["usual"]) == ("db", "", 10) and queries["slow"] == 1501
    assert (shape["shape"], shape["line"], shape["usual"]) == ("SELECT name FROM author WHERE id = ?", line, 9)
    assert size["kind"] == ""
    assert size["text"] == "These send 60 kB where the others send 3 kB (20 times as much)."
    assert found["answer"].startswith("These make 1501 queries where the others make 10 ")
    assert found["answer"].count(queries["text"]) == 1
    assert len(cohorts.further(found)) >= 2 and cohorts.further(found)[0] == shape["text"]
    worst = _core.Profile(middleware.recorder.store.get(queries["worst_id"]))
    assert sum(span["count"] for span in json.loads(worst.spans())["rows"] if span["kind"] == "db") == 1501


def asks(*texts: str) -> bytes:
    recording = _core.Recording()
    recording.enter()
    for text in texts:
        with slowlens.span(text, kind="db"):
            pass
    recording.leave()
    recording.finish()
    return recording.encode({})


def counted(slow: list[bytes], usual: list[bytes]) -> str:
    profiles = [_core.Profile(blob) for blob in (*slow, *usual)]
    groups = bytes([2] * len(slow) + [1] * len(usual))
    return str(json.loads(_core.cohort(profiles, groups, False))["counts"][0]["text"])


def test_counts_in_words() -> None:
    """What is told as one is one; of a file whose numbers nobody counted the words are as long as they need be."""
    few = counted([asks("q", "q"), *[asks("q")] * 29], [asks()] * 30)
    assert few == "These make 1 query where the others make none, most of them q."
    blob = asks("q", "r", "s", "t", "u")
    for _ in range(3):
        gather = _core.Gather()
        for _ in range(4):
            gather.add(blob, 2**32 - 1)
        blob = gather.encode({})
    many = counted([blob] * 30, [asks("q")] * 30)
    assert many.startswith(f"These make {2**62} queries where the others make 1 ({2**62} times as many)"), many


def test_compare_counts_of_two_releases(store_path: str) -> None:
    """One query more is told though times are the same; a query less, too; and what differs by chance is not."""
    turns = iter(range(60))

    def app(environ: Any, start_response: Any) -> list[bytes]:
        turn = next(turns)
        slowlens.tag("build", "new" if turn < 20 else "old")
        for number in range(3 if turn < 20 else 2):
            with slowlens.span(f"q{number}", kind="db"):
                pass
        for _ in range(turn * 7 % 5):
            with slowlens.span("get", kind="cache"):
                pass
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="all", log=False)
    for _ in range(60):
        wsgi_call(middleware, "/page")
    Stored(middleware.recorder).rows()
    store = middleware.recorder.store
    newer = cohorts.compare(store, cohorts.Selection("/page", where=["build=new"], against=["build=old"]))
    assert newer["answer"].startswith("These make 3 queries where the others make 2, most of them q2 from "), newer
    assert [(row["kind"], row["shape"]) for row in newer["counts"]] == [("db", ""), ("db", "q2")]
    older = cohorts.compare(store, cohorts.Selection("/page", where=["build=old"], against=["build=new"]))
    assert older["answer"].startswith("These make 2 queries where the others make 3, most of them q2 from "), older


def test_compare_by_a_tag(slow_tenth: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capsys, "--store", slow_tenth, "compare", "GET /page", "--where", "cache=miss")
    assert (found["slow"], found["usual"], found["by_wall"]) == (12, 108, False)
    assert "time.sleep" in [row["name"] for row in found["named"]], found["answer"]
    turned = compared(capsys, "--store", slow_tenth, "compare", "/page", "--against", "cache=hit")
    assert (turned["slow"], turned["usual"]) == (12, 108)
    both = compared(capsys, "--store", slow_tenth, "compare", "/page", "--tag", "cache=hit", "--against", "cache=miss")
    assert (both["slow"], both["usual"]) == (108, 12) and "not slower" in both["answer"]
    # Who is asked for by a condition is neither slow nor usual, and nothing is said twice.
    assert "of these, in " in found["answer"] and " of the others." in found["answer"]
    for names, asked in (("108 others:", ["--where", "cache=miss"]), ("108 cache=hit:", ["--against", "cache=hit"])):
        assert main(["--store", slow_tenth, "compare", "GET /page", *asked]) == 0
        text = capsys.readouterr().out
        assert names in text and "usual" not in text and text.count("\n") == len(set(text.splitlines())), text
    row = {"text": "f", "slow_ns": 9, "usual_ns": 1, "slow_has": 2, "usual_has": 2}
    rows = [row, {**row, "text": "f with all it calls"}, {**row, "text": "g", "slow_ns": 8}]
    assert cohorts.further({"answer": "f", "counts": [], "named": rows}) == ["g"]


def test_compare_says_what_nobody_has(slow_tenth: str, capsys: pytest.CaptureFixture[str]) -> None:
    for side in (["--where", "nonsense=3"], ["--against", "nonsense=3"]):
        assert main(["--store", slow_tenth, "compare", "/page", *side]) == 2
        assert re.search(r"none of \d+ profiles of /page has nonsense=3", capsys.readouterr().err)


def test_compare_with_too_few(slow_tenth: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capsys, "--store", slow_tenth, "compare", "/page", "--limit", "59")
    assert not found["enough"] and found["named"] == [] and found["answer"].startswith("Too few to say: 59 ")
    few = compared(capsys, "--store", slow_tenth, "compare", "/page", "--slow", "p99")
    assert few["slow"] < 10


@pytest.mark.parametrize("bad", [["/none"], ["/page", "--slow", "often"], ["/page", "--where", "novalue"], [""]])
def test_compare_refuses(slow_tenth: str, bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", slow_tenth, "compare", *bad]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_compare_for_people_and_the_viewer(slow_tenth: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", slow_tenth, "compare", "/page"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("/page: 120 deterministic profiles; 12 slow (p90): ")
    viewer = Viewer(open_store(load({"store": slow_tenth})), None)
    for query, status in (("route=/page", 200), ("route=/none", 404), ("", 400), ("route=/page&slow=x", 400),
                          ("route=/page&where=cache%3Dmiss", 200)):
        incoming = Incoming("GET", "/api/compare", query, "localhost", "127.0.0.1", False, {}, None, False)
        answer = viewer.handle(incoming, "api/compare", "/")
        assert answer.status == status, (query, answer.body)


def test_cohort_of_the_core(slow_tenth: str) -> None:
    store = open_store(load({"store": slow_tenth}))
    profiles = [_core.Profile(one.blob) for one in store.everything()]
    assert json.loads(_core.cohort(profiles))["count"] == 120
    with pytest.raises(ValueError):
        _core.cohort([])
    with pytest.raises(ValueError):
        _core.cohort(profiles, b"\\1")
    with pytest.raises(TypeError):
        _core.cohort([1])
