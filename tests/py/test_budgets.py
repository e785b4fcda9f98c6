"""slowlens.toml: what may be said in it, and what slowlens check and pytest make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens.cli import main
from slowlens.insight import budgets
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import open_store
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from conftest import PLUGIN, Stored, wsgi_call


def price(number: int) -> int:
    return number * 2


class CursorWrapper:
    """Named as Django's: where a profile has no word of queries, its calls are counted."""

    def execute(self, sql: str) -> str:
        return sql


def make(folder: Path, mode: str = "deterministic", turns: int = 10) -> str:
    """A store with three requests of /books/ that call ``price`` so often, and one of /sleeps/."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/sleeps/":
            time.sleep(0.06)
        for number in range(turns):
            price(number)
        for _ in range(3):
            CursorWrapper().execute("SELECT 1")
        start_response("200 OK", [])
        return [b"done"]

    middleware = ProfilerMiddleware(app, store=str(folder), mode=mode, keep="all", debug=True,
                                    project=(str(Path(__file__).parent),))
    for path in ("/books/", "/books/", "/books/", "/sleeps/"):
        wsgi_call(middleware, path)
    Stored(middleware.recorder).rows()
    return str(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make(tmp_path_factory.mktemp("budgets") / "store")


def write(folder: Path, *assertions: str, budget: str = 'route = "/books/*"') -> Path:
    path = folder / "slowlens.toml"
    path.write_text(f"[[budget]]\n{budget}\nassert = {json.dumps(assertions)}\n")
    return path


def ask(store: str, path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    status = main(["--store", store, "check", "--file", str(path), "--json", "--no-github", *more])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("assertion", "ok"), [
    ('calls("price") == 10', True), ('calls("test_budgets.price") <= 9', False), ('calls("copy.deepcopy") == 0', True),
    ("python_calls.max < 1000", True), ("wall_ms.p95 < 100000", True), ("cpu_ms.median < 0", False),
    ("queries == 3", True), ('count("db") < 3', False),
    ('no("loop")', True), ("gc_ms >= 0", True), ("status == 200", True), ("calls('price').mean != 10.0", False),
])
def test_assertions(store: str, assertion: str, ok: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (one,) = ask(store, write(tmp_path, assertion), capsys)
    assert (one["ok"], status) == (ok, 0 if ok else 1), one
    if not ok:
        assert re.fullmatch(r"[0-9a-z]{26}", one["id"]) and one["text"].startswith("it is ")
        assert one["file"].endswith("test_budgets.py") and one["line"] > 0


def test_a_finding_is_marked_on_its_line(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'no("sleep")', budget='route = "/sleeps/"\nmethod = "GET"')
    summary = tmp_path / "summary.md"
    capsys.readouterr()
    assert main(["--store", store, "check", "--file", str(path), "--github", "--markdown", str(summary)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("EXCEEDED  GET /sleeps/  no(\"sleep\"): found  py/test_budgets.py:")
    match = re.fullmatch(r"::error file=(.*),line=(\d+),title=slowlens::GET /sleeps/: no\(\"sleep\"\): found", lines[1])
    assert match, lines[1]
    assert "time.sleep(0.06)" in Path(match[1].replace("%3A", ":")).read_text().splitlines()[int(match[2]) - 1]
    text = summary.read_text()
    assert text.startswith("### slowlens: 1 of 1 budgets exceeded\n") and "**exceeded** | GET /sleeps/ |" in text


def test_the_line_is_that_of_what_is_asserted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of requests to the demo: queries where they are asked for, calls where they are made; not where the time went."""
    profiles = Path(__file__).parents[2] / "examples" / "profiles"
    path = write(tmp_path, "queries <= 3", 'count("template") == 0', 'calls("copy.deepcopy") == 0', 'no("n+1")',
                 budget='route = "/report/*"')
    assert main(["check", "--file", str(path), "--no-github", str(profiles)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"(\S+:\d+)  ", line + "  ")[1] for line in lines[:3]] == [  # type: ignore[index]
        "books/reports.py:34", "books/views.py:62", "books/reports.py:35"]
    assert 'no("n+1"): not found' in lines[3]


def test_what_is_not_known_is_no_success(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'calls("price") == 10', budget='route = "/nobody/"')
    status, (one,) = ask(store, path, capsys)
    assert (status, one["ok"], one["text"]) == (1, None, "no profile of it")
    assert ask(store, path, capsys, "--allow-unknown")[0] == 0
    sampled = make(tmp_path / "sampled", mode="sampling")
    status, (one,) = ask(sampled, write(tmp_path, 'calls("price") == 10'), capsys)
    assert (status, one["ok"], one["text"]) == (1, None, "sampled profiles do not count it")


def test_against_others(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = make(tmp_path / "more", turns=11)
    path = write(tmp_path, 'diff.calls("price") <= 0')
    status, (one,) = ask(more, path, capsys, "--against", store)
    assert (status, one["ok"], one["text"]) == (1, False, "10 before, 11 now")
    assert ask(store, path, capsys, "--against", more)[0] == 0
    status, (one,) = ask(store, path, capsys)
    assert (status, one["ok"]) == (1, None)


@pytest.mark.parametrize("text", [
    "wall_ms", "wall_ms <", "wall < 3", "wall_ms.p42 < 3", "wall_ms.often < 3", 'no("nonsense")', 'no("gil") == 0',
    'diff.no("gil")', "calls(price) < 3", 'calls("price")', "wall_ms < 3 or True", "__import__('os') == 0", "",
    "wall_ms < x",
])
def test_what_makes_no_sense_is_said(text: str, tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(budgets.BudgetError):
        budgets.parse(text)
    assert main(["--store", store, "check", "--file", str(write(tmp_path, text))]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", [
    "", "[[budget]]\n", "x =", "budget = 3\n", '[[budget]]\nroute = "a"\ntest = "b"\nassert = []',
    '[[budget]]\nroute = "a"\nassert = ["wall_ms < 1"]\nwhen = 3', '[[budget]]\nroute = "a"\nassert = []',
    '[[budget]]\nroute = 5\nassert = ["wall_ms < 1"]', 'all = 1\n[[budget]]\nroute = "a"\nassert = ["wall_ms < 1"]',
])
def test_files_that_are_none(text: str, tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "slowlens.toml"
    path.write_text(text)
    assert main(["--store", store, "check", "--file", str(path)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "a fault of slowlens" not in said


def test_the_file_is_found_above(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    path = write(tmp_path, "wall_ms < 1")
    assert budgets.find(below) == path.resolve()


def test_hostile_names_in_annotations_and_tables() -> None:
    one = budgets.Checked("GET /a|b`c\n", "x < 1", False, "it is 2", "", "/x/a,b:c\n.py", 3)
    assert "\n" not in budgets.annotation(one, "/x") and "a%2Cb%3Ac%0A.py,line=3" in budgets.annotation(one, "/x")
    row = budgets.markdown([one]).splitlines()[-1]
    assert row.count("|") - row.count("\\|") == 5 and "`c" not in row


def test_pytest_reads_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("""
def price(number): return number * 2
def test_kept(slowlens_profile):
    with slowlens_profile("list"):
        price(1)
def test_exceeded(slowlens_profile):
    with slowlens_profile("list"):
        price(1), price(2)
def test_other(slowlens_profile):
    with slowlens_profile("else"):
        price(1), price(2)
""")
    write(tmp_path, 'calls("price") <= 1', budget='test = "list"')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p",
                           "no:cacheprovider", "--slowlens-store", str(tmp_path / "store"), str(tmp_path)],
                          capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])})
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert 'calls("price") <= 1: it is 2' in done.stdout
    (tmp_path / "slowlens.toml").write_text("nonsense")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p",
                           "no:cacheprovider", "--slowlens-store", str(tmp_path / "store"), str(tmp_path)],
                          capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])})
    assert "3 failed" in done.stdout and "slowlens.toml" in done.stdout
    assert "During handling" not in done.stdout


def test_pytest_counts_queries_of_any_driver(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("""
import slowlens
from slowlens.insight.budgets import KINDS
def test_it(slowlens_profile):
    with slowlens_profile("list") as run:
        for _ in range(3):
            with slowlens.span("select", kind="db"): pass
        with slowlens.span("card", kind="payment"): pass
    assert run.count("db") == 3 and run.count("http") == 0
    assert run.count("payment") == run.count("custom") == 1
    try:
        run.count("bd")
    except ValueError as error:
        assert ", ".join(KINDS) in str(error)
    else:
        assert False
""")
    write(tmp_path, "queries <= 2", 'count("http") == 0', 'count("custom") >= 2', "status == 200",
          budget='test = "list"')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])}}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p", "no:cacheprovider", "--slowlens-store",
                           str(tmp_path / "store"), str(tmp_path)], capture_output=True, text=True, **where)
    assert "queries <= 2: it is 3" in done.stdout and 'count("custom") >= 2: it is 1' in done.stdout, done.stdout
    assert "count(\"http\") == 0: it is" not in done.stdout
    assert "status == 200 is left out: these profiles do not know it" in done.stdout


def test_the_kinds_are_those_of_the_core() -> None:
    header = (Path(__file__).parents[2] / "include" / "slowlens" / "span.h").read_text()
    assert tuple(re.findall(r'XX\([A-Z]+, \d+, "(\w+)"', header)) == budgets.KINDS
    with pytest.raises(budgets.BudgetError, match="no kind is called 'bd': db, http, cache"):
        budgets.parse('count("bd") <= 3')


def test_budgets_of_tests_are_not_asked_of_requests(
        store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "slowlens.toml"
    of_tests = '[[budget]]\ntest = "list"\nassert = ["queries <= 3"]\n'
    path.write_text(of_tests + '[[budget]]\nroute = "/books/*"\nassert = ["queries <= 1000", \'count("http") == 0\']\n')
    assert main(["--store", store, "check", "--file", str(path)]) == 0
    said = capsys.readouterr().out
    assert "left out  list  queries <= 3: no profiles of tests here: pytest asks it" in said
    assert 'count("http") == 0: it is 0' in said
    path.write_text(of_tests)
    assert main(["--store", store, "check", "--file", str(path)]) == 1, "nothing has answered"


def test_the_viewer_and_explain_say_what_is_over_its_budget(
        store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "queries <= 2", "queries.p95 <= 1", "python_calls >= 1", 'calls("price") == 0')
    opened = open_store(load({"store": store}))
    viewer = Viewer(opened, None)
    ids = {one.row["path"]: one.row["id"] for one in opened.everything()}

    def found(which: str) -> list[dict[str, Any]]:
        incoming = Incoming("GET", "/", "", "localhost", "127.0.0.1", False, {}, None, False)
        answer = viewer.handle(incoming, f"api/requests/{ids[which]}", "/")
        assert answer is not None and answer.status == 200
        return [one for one in json.loads(answer.body)["findings"] if one["rule"] == "budget"]

    assert [one["text"] for one in found("/books/")] == [
        "queries <= 2: it is 3 (/books/*).", 'calls("price") == 0: it is 10 (/books/*).']
    assert found("/sleeps/") == []
    assert main(["--store", store, "explain", ids["/books/"]]) == 0
    assert "over budget: queries <= 2: it is 3 (/books/*)" in capsys.readouterr().out
    path.write_text("[[budget")  # read again, and said once
    assert found("/books/") == []
    assert main(["--store", store, "explain", ids["/books/"]]) == 0
