"""slowlens flame, and diff of two times or releases: over all requests, kept or not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.cli import main
from slowlens.options import load
from slowlens.store import open_store
from slowlens.store.windows import Tree, pack
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, record, wsgi_call

DAY = 86_400_000


def work(calls: int) -> None:
    for _ in range(calls):
        sorted(range(50))


def tree_of(calls: int, route: str, release: str, requests: int, ended_ms: int) -> Tree:
    recording = record(lambda: work(calls))
    meta: dict[str, Any] = {"mode": "deterministic", "route": route, "method": "GET", "release": release,
                            "merged": 1, "requests": requests, "wall_ns": recording.totals()["wall_ns"] * requests,
                            "started": ended_ms * 10**6, "until": ended_ms * 10**6 + 1}
    gather = _core.Gather(0)
    blob = recording.encode({"mode": "deterministic"})
    recording.discard()
    gather.add(blob, requests)
    return Tree(meta, gather.encode(meta))


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Release a yesterday, release b now: /books/ calls four times as often, /quick/ is as it was."""
    path = str(tmp_path_factory.mktemp("flame") / "store")
    store = open_store(load({"store": path}))
    now = int(time.time() * 1000) - 60_000
    for ended, release, calls in ((now - DAY, "a", 5), (now, "b", 20)):
        store.put_window(ended, ended, pack([tree_of(calls, "/books/", release, 10, ended),  # type: ignore[attr-defined]
                                             tree_of(3, "/quick/", release, 4, ended)]))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(list(arguments)) == status
    said = capsys.readouterr()
    return said.out, said.err


def test_a_tree_of_the_last_hour(windows: str, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = run(capsys, "--store", windows, "flame", "--percent", "0")
    assert site.startswith("the whole site: 14 requests (2 added up, each for those it speaks for), deterministic, ")
    assert " work " in site
    books, _ = run(capsys, "--store", windows, "flame", "GET /books/", "--last", "1h", "--percent", "0")
    assert books.startswith("GET /books/: 10 requests ")
    (sorts,) = [line for line in books.splitlines() if "builtins.sorted" in line]
    assert sorts.split()[3] == "200"  # 20 calls in each of 10
    both, _ = run(capsys, "--store", windows, "flame", "/books/", "--last", "2d", "--json")
    assert json.loads(both)["meta"]["requests"] == 20
    old, _ = run(capsys, "--store", windows, "flame", "/books/", "--release", "a", "--percent", "0")
    assert " 50 " in old


@pytest.mark.parametrize(("name", "begins"), [
    ("x.html", b"<!DOCTYPE html>"), ("x.json", b"{"), ("x.txt", b"[request]"), ("x.slowlens", b"\x28\xb5\x2f\xfd"),
])
def test_as_a_file(windows: str, tmp_path: Path, name: str, begins: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "--store", windows, "flame", "/books/", "-o", str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(begins)
    out, _ = run(capsys, "--store", windows, "flame", "/books/", "-f", "collapsed")
    assert "work" in out and ";" in out


def test_a_file_whose_ending_says_no_format(windows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = run(capsys, "--store", windows, "flame", "/books/", "-o", str(tmp_path / "x.svg"), status=2)
    assert "x.svg: which format? Name it with -f" in said and ".html" in said
    assert not (tmp_path / "x.svg").exists()
    run(capsys, "--store", windows, "flame", "/books/", "-f", "dot", "-o", str(tmp_path / "x.svg"))


def test_two_times_are_compared_by_the_request(windows: str, capsys: pytest.CaptureFixture[str]) -> None:
    for before, after in (("last:1h/1d", "last:1h"), ("release:a", "release:b")):
        found = json.loads(run(capsys, "--store", windows, "diff", before, after, "--json")[0])
        assert set(found["routes"]) == {"GET /books/", "GET /quick/"}
        rows = {one["name"]: one for one in found["routes"]["GET /books/"]["functions"]}
        assert (rows["builtins.sorted"]["before"]["calls"], rows["builtins.sorted"]["after"]["calls"]) == (5, 20)
    out, _ = run(capsys, "--store", windows, "diff", "last:1h/1d", "last:1h", "--route", "/books/", "--fail-over",
                 "50%", "--min-percent", "0", status=1)
    assert "worse: calls of builtins.sorted: 5.0 -> 20.0 calls (+300%)" in out and "/quick/" not in out


@pytest.mark.parametrize("what", [
    ["flame", "/none/"], ["flame", "--last", "soon"], ["flame", "--release", "c"], ["diff", "last:1h", "last:x"],
    ["diff", "release:a", "release:c"],
])
def test_what_is_not_there(windows: str, what: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, said = run(capsys, "--store", windows, *what, status=2)
    assert len(said.splitlines()) == 1


def test_without_gathering_it_is_of_the_kept_ones_and_says_so(
        store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["slowlens.transaction"].seen.route = "/p"
        work(3)
        start_response("200 OK", [])
        return [b"x"]

    middleware = ProfilerMiddleware(app, store=store_path, mode="deterministic", keep="all", log=False,
                                    continuous=False)
    for _ in range(3):
        wsgi_call(middleware, "/p")
    Stored(middleware.recorder).rows()
    out, said = run(capsys, "--store", store_path, "flame", "/p")
    assert out.startswith("GET /p: 3 requests, deterministic") and "of the 3 newest kept profiles" in said
    one, _ = run(capsys, "--store", store_path, "flame", "last")
    assert one.startswith("GET /p ")
