"""The command line: answers, exit statuses, one-line errors."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import slowlens
from slowlens import _core
from slowlens.cli import main
from slowlens.store.directory import DirectoryStore
from slowlens.wsgi import ProfilerMiddleware

from conftest import PLUGIN, Stored, wsgi_call
from programs import library
from store_contract import fill


@pytest.fixture
def store(store_path: str) -> str:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        library()
        start_response("200 OK", [])
        return [b""]

    middleware = ProfilerMiddleware(app, store=store_path, debug=True)
    for path in ("/one", "/two", "/evil\x1b[2J"):
        wsgi_call(middleware, path)
    Stored(middleware.recorder).rows()
    return store_path


def test_list(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--store", store]) == 0
    text = capsys.readouterr().out
    assert "GET /one" in text and "deepcopy" in text and "\x1b" not in text
    assert main(["--store", store, "list", "--json", "--sort", "wall_ms", "--reverse", "--limit", "2"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["list", "--store", store, "--json", "--filter", "path:/ON <1000s sort:slowest"]) == 0
    assert [row["path"] for row in json.loads(capsys.readouterr().out)] == ["/one"]
    assert main(["list", "--store", store, "--filter", "colour:red"]) == 2
    assert "no field is called 'colour'" in capsys.readouterr().err
    assert main(["list", "--store", store, "--routes"]) == 0
    assert "/two" in capsys.readouterr().out
    assert main(["list", "--store", store, "--route", "/nosuch"]) == 0
    assert capsys.readouterr() == ("", "slowlens: no profile is like that\n")


def test_list_follows_what_is_stored(
        store_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    writer = DirectoryStore(store_path)
    fill(writer, 2)
    turns = iter((3, 0, 2))
    stored: list[str] = []

    def meanwhile(seconds: float) -> None:
        count = next(turns, None)
        if count is None:
            raise KeyboardInterrupt
        stored.extend(fill(writer, count, first=len(stored) + 10))

    monkeypatch.setattr("slowlens.cli.read.time", SimpleNamespace(**{**vars(time), "sleep": meanwhile}))
    assert not main(["list", "--follow", "--store", store_path, "--json", "--filter", ">11ms"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in lines] == stored[1:] and len(stored) == 5, "those of before are not shown"
    turns = iter((1,))
    assert not main(["list", "--follow", "--store", store_path])
    assert stored[-1] in capsys.readouterr().out
    writer.close()
    files = tmp_path / "files"
    files.mkdir()
    file = single(store_path, files)
    capsys.readouterr()
    for wrong in ([file], ["--store", str(files)], ["--routes"], ["--live"]):
        assert main(["list", "--follow", "--store", store_path, *wrong]) == 2
        assert "--follow" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["last", "slowest"])
def test_show(store: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name, "--store", store]) == 0
    text = capsys.readouterr().out
    assert "hot path: " in text and "[request]" in text
    assert main(["show", name, "--store", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["meta"]["method"] == "GET"
    assert main(["functions", name, "--store", store, "--limit", "3"]) == 0
    assert "function calls" in capsys.readouterr().out


@pytest.mark.parametrize(("form", "start"), [
    ("slowlens", b"\x28\xb5\x2f\xfd"), ("json", b'{"format":"slowlens-json"'), ("text", b" 100.0%"),
    ("collapsed", b"[request]"), ("pprof", b"\x1f\x8b"), ("html", b"<!DOCTYPE html>"),
    ("dot", b"// counts are calls\ndigraph"),
    ("speedscope", b'{"$schema"'), ("pstats", b"{"), ("callgrind", b"# callgrind format\n"),
])
def test_export(store: str, form: str, start: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert main(["export", "last", "-f", form, "-o", str(target), "--store", store]) == 0
    assert target.read_bytes().startswith(start)
    if form == "slowlens":
        assert main(["show", str(target)]) == 0


def single(store: str, folder: Path) -> str:
    """One profile of the store as a file."""
    file = folder / "single.slowlens"
    file.write_bytes(next(DirectoryStore(store).everything()).blob)
    return str(file)


def test_copy(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "target")
    assert main(["copy", store, "file://" + target, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copied"] == 3
    assert main(["copy", store, target]) == 0
    assert "0 profiles copied" in capsys.readouterr().out
    assert len(profiles_of(target, "list", capsys=capsys)) == 3
    files = tmp_path / "files"
    files.mkdir()
    single(store, files)
    assert main(["copy", str(files), str(tmp_path / "of files"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copied"] == 1
    assert main(["copy", str(tmp_path / "nowhere"), target]) == 2
    assert main(["copy", store, "gopher://x"]) == 2
    assert main(["list", "--store", target, "--host", "elsewhere", "--json"]) == 0
    assert "[]" in capsys.readouterr().out
    assert main(["doctor", "--store", "file://" + target, "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["contents"]["profiles"] == 3


def test_delete_and_gc(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "--store", store, "--json"])
    first = json.loads(capsys.readouterr().out)[0]["id"]
    assert main(["delete", first, "--store", store]) == 0
    assert main(["delete", first, "--store", store]) == 2
    assert main(["gc", "--json", "--store", store]) == 0
    assert json.loads(capsys.readouterr().out)["profiles"] == 2


def test_doctor_says_that_it_made_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for made in (True, False):
        main(["--store", str(tmp_path / "new"), "doctor"])
        assert ("is its name right?" in capsys.readouterr().out) is made


def test_doctor(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--store", store]) == 0
    assert "no problem found" in capsys.readouterr().out
    assert main(["doctor", "--json", "--store", "/dev/null/x"]) == 1
    assert "cannot make the store" in json.loads(capsys.readouterr().out)["findings"][0]


@pytest.mark.parametrize(("arguments", "text"), [
    (["show", "last", "--store", "/no/such/store"], "there is no store at /no/such/store: run this in the folder"),
    (["show", "nonsense"], "neither a file nor"),
    (["list", "--sort", "nonsense"], "cannot sort by 'nonsense'"),
    (["show", "01aaaaaaaaaaaaaaaaaaaaaaaa"], "no such profile"),
    (["show", __file__], "not a slowlens profile"),
    (["serve", __file__], "not a slowlens profile"),
    (["token"], "SLOWLENS_KEY"),
])
def test_errors_are_one_line(store: str, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "--store" not in arguments:
        arguments = [*arguments, "--store", store]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("slowlens: ") and error.count("\n") == 1
    assert text in error


def test_python_m_and_environment(store: str) -> None:
    environ = {**os.environ, "SLOWLENS_STORE": store}
    done = subprocess.run([sys.executable, "-m", "slowlens", "list"], capture_output=True, text=True, env=environ)
    assert done.returncode == 0 and "/one" in done.stdout
    done = subprocess.run([sys.executable, "-m", "slowlens", "list"], capture_output=True, text=True,
                          env={**environ, "SLOWLENS_SLOWMS": "1"})
    assert done.returncode == 2 and "SLOWLENS_SLOW_MS" in done.stderr


#: Heads of requests to `serve` that are the last of their connection: what follows may be a body.
ALONE = {
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33\r\n\r\n": 405,
    "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 33\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\nContent-Length: 33\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\r\nContent-Length: 33\r\n\r\n": 200,
    "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n": 404,
    "HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n": 404,
    "GET /" + "x" * 65532: 414,
}


@pytest.mark.parametrize("what", ["store", "file"])
def test_serve(store: str, what: str, tmp_path: Path) -> None:
    target = ["--store", store] if what == "store" else [single(store, tmp_path)]
    server = subprocess.Popen([sys.executable, "-m", "slowlens", "serve", "--port", "0", *target],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "SLOWLENS_TRUSTED_PROXIES": "127.0.0.1"})
    try:
        assert server.stdout is not None and server.stderr is not None
        line = server.stdout.readline()
        assert line.startswith("viewer: http://127.0.0.1:")
        url = line.split()[1]
        with urllib.request.urlopen(url + "api/requests") as response:
            rows = json.load(response)["requests"]
        assert len(rows) == (3 if what == "store" else 1)
        with urllib.request.urlopen(url) as response:
            assert b"<title>slowlens" in response.read()
        address = urllib.parse.urlsplit(url)
        one = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        one.connect()
        first = one.sock
        for path in ("/static/main.js", "/static/none.js", "/static/main.js"):
            one.request("GET", path)
            one.getresponse().read()
            assert one.sock is first, "a page's files come over one connection"
        one.close()
        for head, status in ALONE.items():
            with socket.create_connection((address.hostname, address.port), timeout=20) as raw:
                raw.sendall(head.encode() + (b"GET / HTTP/1.1\r\n\r\n" if head.endswith("\n") else b""))
                answer = b"".join(iter(lambda: raw.recv(1 << 16), b""))
            assert answer.startswith(b"HTTP/1.1 %d " % status) and answer.count(b"HTTP/1.1 ") == 1, head
            assert b"\r\nConnection: close\r\n" in answer, head
        for sent in (b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc", b"GET /static/main.js HTTP/1.1\r\n\r\n" * 50):
            with socket.create_connection((address.hostname, address.port)) as raw:
                raw.sendall(sent)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # goes away by a reset
        for header in ({"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.9"}):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(url, headers=header))
            assert caught.value.code == 404
        with urllib.request.urlopen(urllib.request.Request(url, headers={"X-Forwarded-For": "127.0.0.1"})) as response:
            assert response.status == 200, "by a proxy that is believed"
    finally:
        server.terminate()
        said = server.communicate()[1]
    assert said.count("SLOWLENS_TRUSTED_PROXIES") == 1 and said.count("\n") == 1, said


def profiles_of(store: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([*arguments, "--store", store, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tree(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "last", "--store", store]) == 0
    text = capsys.readouterr().out
    assert "[request]" in text and "folded]" in text and "\x1b" not in text
    assert main(["tree", "last", "--store", store, "--no-fold", "--percent", "0"]) == 0
    whole = capsys.readouterr().out
    assert "folded]" not in whole and len(whole.splitlines()) > len(text.splitlines())
    assert main(["tree", "last", "--store", store, "--color", "always"]) == 0
    assert "\x1b[1;31m" in capsys.readouterr().out, "the hot path"
    rows = profiles_of(store, "tree", "last", capsys=capsys)["rows"]
    assert len(whole.splitlines()) == len(rows) + 1


def test_tree_of_what_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares of threads or tasks add up to more than the request; that is shown, and said."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(time.sleep, [0.03] * 8))
        start_response("200 OK", [])
        return [b""]

    middleware = ProfilerMiddleware(app, store=str(tmp_path / "store"), mode="deterministic", keep="all", log=False)
    wsgi_call(middleware, "/")
    Stored(middleware.recorder).rows()
    assert main(["tree", "last", "--store", str(tmp_path / "store")]) == 0
    text = capsys.readouterr().out
    assert max(float(share) for share in re.findall(r"([\d.]+)%", text)) > 150 and "side by side" in text, text


def test_tree_of_a_thread_whose_starter_took_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What hangs below a call of no time of its own is shown, and so is the call."""
    def job() -> None:
        time.sleep(0.05)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, job).result()
        start_response("200 OK", [])
        return [b""]

    middleware = ProfilerMiddleware(app, store=str(tmp_path / "store"), mode="deterministic", keep="all", log=False)
    wsgi_call(middleware, "/")
    Stored(middleware.recorder).rows()
    assert main(["tree", "last", "--store", str(tmp_path / "store"), "--percent", "20"]) == 0
    text = capsys.readouterr().out
    assert "[thread]" in text and ".job " in text and "submit" in text, text


def test_top_is_pstats(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "last", "deepcopy", "--store", store, "--sort", "cumtime"]) == 0
    text = capsys.readouterr().out
    assert "Ordered by: cumulative time" in text and "(deepcopy)" in text and "(library)" not in text
    assert main(["top", "last", r"\(deepcopy\)", "--store", store, "--callers"]) == 0
    assert "was called by..." in capsys.readouterr().out
    assert main(["top", "last", r"\(library\)", "--store", store, "--callees"]) == 0
    assert "called..." in capsys.readouterr().out
    report = profiles_of(store, "top", "last", r"\(deepcopy\)", "--callers", "--callees", capsys=capsys)
    (row,) = report["rows"]
    assert row["calls"] > row["primitive_calls"] and row["callers"] and row["callees"]
    assert sum(caller["calls"] for caller in row["callers"]) == row["calls"]
    assert main(["top", "last", "(", "--store", store]) == 2
    assert "not a regular expression" in capsys.readouterr().err


def small_app(work: int) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(work if environ["PATH_INFO"] == "/grows" else 1):
            library()
        start_response("200 OK", [])
        return [b""]
    return app


def filled(store: str, work: int) -> str:
    middleware = ProfilerMiddleware(small_app(work), store=store, debug=True)
    for path in ("/same", "/grows") * 3:
        wsgi_call(middleware, path)
    Stored(middleware.recorder).rows()
    return store


def test_diff_stops_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = filled(str(tmp_path / "old"), 1), filled(str(tmp_path / "new"), 5)
    assert main(["diff", old, new, "--fail-over", "100%"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"worse: calls of deepcopy .* \(\+400%\)", text), text
    assert "worse: calls of deepcopy" not in text.split("GET /same")[-1].split("worse:")[0]
    # A share of the call counts that nothing exceeds; times are the machine's.
    assert main(["diff", old, old, "--fail-over", "20%"]) == 0
    capsys.readouterr()
    assert main(["diff", old, new, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["routes"]) == {"GET /same", "GET /grows"}
    copies = [one for one in document["routes"]["GET /grows"]["functions"] if one["name"] == "deepcopy"]
    assert copies[0]["after"]["calls"] == 5 * copies[0]["before"]["calls"]


def test_diff_of_two_profiles_and_of_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = filled(str(tmp_path / "store"), 4)
    grown = tmp_path / "grown.slowlens"
    assert main(["diff", "route:/same", "route:/grows", "--store", store, "-o", str(grown)]) == 0
    said = capsys.readouterr().out
    assert "/same -> GET /grows" in said and "means of 3 and 3" in said
    assert main(["show", str(grown)]) == 0
    assert "deepcopy" in capsys.readouterr().out
    assert main(["diff", "last", "last", "--store", store, "--fail-over", "0%"]) == 0
    capsys.readouterr()
    # A route is chosen of whatever the sides are: two folders of profiles, too.
    for route in ("/same", "GET /same"):
        assert main(["diff", store, store, "--route", route]) == 0
        said = capsys.readouterr().out
        assert "/same" in said and "/grows" not in said
    assert main(["diff", store, "last", "--store", store, "--route", "/none"]) == 2
    assert "no profile of the route /none" in capsys.readouterr().err


def asking(store: str, queries: int) -> str:
    """Two requests that ask the same ``queries`` times, and once for something else."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(queries):
            with slowlens.span("SELECT name FROM author WHERE id = ?", kind="db"):
                pass
        with slowlens.span("charge card", kind="payment"):
            start_response("200 OK", [])
        return [b""]

    middleware = ProfilerMiddleware(app, store=store, debug=True)
    for _ in range(2):
        wsgi_call(middleware, "/asks")
    Stored(middleware.recorder).rows()
    return store


def test_diff_tells_of_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = asking(str(tmp_path / "old"), 1), asking(str(tmp_path / "new"), 20)
    assert main(["diff", old, new, "--fail-over", "100%", "--limit", "0"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^ +20 +\+19 .* db SELECT name FROM author WHERE id = \?$", text, re.M), text
    assert "worse: db: SELECT name FROM author WHERE id = ?: 1.0 -> 20.0 times (+1900%)" in text
    assert main(["diff", old, new, "--json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)["routes"].values()
    kinds = {one["kind"]: (one["before"]["count"], one["after"]["count"]) for one in compared["kinds"]}
    assert kinds == {"db": (1, 20), "payment": (1, 1)}

    capsys.readouterr()
    both = asking(asking(str(tmp_path / "both"), 3), 20)
    for more, counts in (([], [20, 20, 3, 3]), (["--reverse", "--filter", "layer:db"], [3, 3, 20, 20]),
                         (["--filter", "layer:http"], [])):
        assert main(["list", "--store", both, "--sort", "queries", *more, "--json"]) == 0
        assert [row["db_count"] for row in json.loads(capsys.readouterr().out)] == counts

    merged = tmp_path / "merged.slowlens"
    assert main(["merge", old, new, "-o", str(merged)]) == 0
    profile = _core.Profile(merged.read_bytes())
    assert {row["text"]: row["count"] for row in json.loads(profile.spans())["rows"]} == {
        "SELECT name FROM author WHERE id = ?": 42, "charge card": 4}
    assert json.loads(profile.meta())["meta"]["db_count"] == 42
    capsys.readouterr()
    assert main(["show", str(merged)]) == 0
    assert "asked for: 42 queries" in capsys.readouterr().out


def test_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = filled(str(tmp_path / "store"), 2)
    merged = tmp_path / "merged.slowlens"
    assert main(["merge", "route:/grows", "-o", str(merged), "--store", store]) == 0
    assert "3 profiles" in capsys.readouterr().out
    meta = json.loads(_core.Profile(merged.read_bytes()).meta())["meta"]
    assert meta["merged"] == 3 and meta["path"] == "/grows"
    rows = profiles_of(store, "list", capsys=capsys)
    assert meta["calls"] == sum(row["calls"] for row in rows if row["route"] == "/grows")
    assert main(["merge", store, str(merged), "-o", str(tmp_path / "all.slowlens")]) == 0
    for form in _core.EXPORT_FORMATS:
        assert main(["export", str(merged), "-f", form, "-o", str(tmp_path / "out")]) == 0
    assert main(["merge", "route:/none", "-o", str(merged), "--store", store]) == 2


def test_a_folder_of_files_is_as_good_as_a_store(store: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, one in enumerate(DirectoryStore(store).everything()):
        (folder / f"{number}.slowlens").write_bytes(one.blob)
    assert len(profiles_of(str(folder), "list", capsys=capsys)) == 3
    assert main(["list", str(folder)]) == 0
    assert "/one" in capsys.readouterr().out
    assert main(["show", "last", "--store", str(folder)]) == 0
    (tmp_path / "empty").mkdir()
    assert main(["list", str(tmp_path / "empty")]) == 2
    assert "no .slowlens files" in capsys.readouterr().err


SCRIPT = """
import copy, json, sys
def main():
    for _ in range(30): copy.deepcopy({"a": [1] * 20})
    print(sys.argv[1:], __name__, __file__ == sys.argv[0])
main()
if "fail" in sys.argv: raise ValueError("as it would")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_run_a_script(mode: str, tmp_path: Path) -> None:
    script, target = tmp_path / "job.py", tmp_path / "job.slowlens"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, "-m", "slowlens", "run", "--mode", mode, "-o", str(target), str(script),
                           "3", "--flag"], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert done.stdout == "['3', '--flag'] __main__ True\n"
    assert str(target) in done.stderr
    blob = _core.Profile(target.read_bytes())
    if mode == "deterministic":
        rows = {row["function"]["name"]: row for row in json.loads(blob.functions())["rows"]}
        assert rows["main"]["calls"] == 1 and rows["deepcopy"]["calls"] >= 30
        assert rows["main"]["function"]["origin"] == "project"
    done = subprocess.run([sys.executable, "-m", "slowlens", "run", "-o", str(target), str(script), "fail"],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "ValueError: as it would" in done.stderr
    assert "runpy" not in done.stderr and "slowlens/cli" not in done.stderr
    assert target.stat().st_size > 100, "and the profile is there"


def as_at_a_terminal() -> None:
    """In a child: a shell that runs these tests in the background has SIGINT ignored, nohup SIGHUP, and children
    inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def end_by(number: int, tmp_path: Path, body: str, mode: str = "deterministic") -> tuple[int, str, Path]:
    """Exit status and what a script printed that was ended by a signal, and where its profile should be."""
    script, target = tmp_path / "job.py", tmp_path / "job.slowlens"
    script.write_text(textwrap.dedent(body))
    with subprocess.Popen([sys.executable, "-m", "slowlens", "run", "--mode", mode, "-o", str(target), str(script)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=as_at_a_terminal) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(number)
        printed = process.stdout.read()  # not communicate: it would not see what came together with the first line
    return process.returncode, printed, target


# In short sleeps: a signal that comes between two instructions of Python is seen after the call that follows. Without
# slowlens, too, a single long sleep would sit it out on every third run.
WAITING = """
    import atexit, time
    atexit.register(print, "exit handlers")
    def waiting():
        print("ready", flush=True)
        for _ in range(600):
            time.sleep(0.1)
    try:
        waiting()
    except Exception:
        print("not reached")
"""


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
@pytest.mark.parametrize(("number", "printed"), [
    (signal.SIGTERM, ""), (signal.SIGHUP, ""), (signal.SIGINT, "exit handlers\n")])
def test_run_saves_when_a_signal_ends_it(number: int, printed: str, mode: str, tmp_path: Path) -> None:
    status, output, target = end_by(number, tmp_path, WAITING, mode)
    assert (status, output) == (-number, printed), "as without slowlens"
    profile = _core.Profile(target.read_bytes())
    assert json.loads(profile.meta())["meta"]["status"] == 128 + number
    if mode == "deterministic":
        assert "waiting" in {row["function"]["name"] for row in json.loads(profile.functions())["rows"]}


def test_run_leaves_a_scripts_own_handlers_alone(tmp_path: Path) -> None:
    status, output, target = end_by(signal.SIGTERM, tmp_path, """
        import signal, sys, time
        def stop(number, frame):
            print("mine")
            sys.exit(7)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        for _ in range(600):
            time.sleep(0.1)
    """)
    assert (status, output) == (7, "mine\n")
    assert json.loads(_core.Profile(target.read_bytes()).meta())["meta"]["status"] == 7


def test_a_child_of_the_script_dies_without_a_profile(tmp_path: Path) -> None:
    status, output, target = end_by(signal.SIGTERM, tmp_path, """
        import os, signal, time
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writes, b"x")
            for _ in range(600):
                time.sleep(0.1)
            os._exit(1)
        os.read(reads, 1)  # a child forgets signals that come while it is being made
        os.kill(child, signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        _, how = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(how), os.path.exists(__file__.replace(".py", ".slowlens")))
    """)
    assert (status, output) == (0, f"{-signal.SIGTERM} False\n") and target.exists()


def test_run_into_the_store(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mod.py").write_text("print('hello')")
    environ = {**os.environ, "SLOWLENS_STORE": store,
               "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-m", "slowlens", "run", "-m", "mod"], capture_output=True, text=True,
                          env=environ)
    assert done.returncode == 0 and done.stdout == "hello\n", done.stderr
    assert any(row["method"] == "RUN" for row in profiles_of(store, "list", capsys=capsys))
    done = subprocess.run([sys.executable, "-m", "slowlens", "run", "no.py"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "slowlens: no.py: no such script\n"


SETTINGS = """
DEBUG = False
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "only for a test"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "slowlens.django.ProfilerMiddleware"]
INSTALLED_APPS = ["django.contrib.contenttypes"]
"""


def doctor_of(tmp_path: Path, settings: str) -> list[str]:
    (tmp_path / "trial_settings.py").write_text(settings)
    done = subprocess.run([sys.executable, "-m", "slowlens", "doctor", "--json", "--store", str(tmp_path / "store")],
                          capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "DJANGO_SETTINGS_MODULE": "trial_settings"})
    assert done.stderr == ""
    found: list[str] = json.loads(done.stdout)["findings"]
    assert done.returncode == (1 if found else 0)
    return found


def test_doctor_looks_at_a_django_project(tmp_path: Path) -> None:
    found = [text.partition(":")[0] for text in doctor_of(tmp_path, SETTINGS)]
    assert found == ["slowlens.W003", "slowlens.W006", "slowlens.W005"], "place, not installed, no way in"
    mended = SETTINGS.replace('"django.middleware.common.CommonMiddleware", ', "").replace(
        '"django.contrib', '"slowlens.django", "django.contrib')
    assert doctor_of(tmp_path, mended + "SLOWLENS = {'key': 'x' * 32}") == []
    (broken,) = doctor_of(tmp_path, "import no_such_module_of_ours")
    assert "trial_settings" in broken and "no_such_module_of_ours" in broken


def test_doctor_names_another_profiler(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    if sys.version_info < (3, 12):
        sys.setprofile(lambda *args: None)
        try:
            assert main(["doctor", "--store", store, "--json"]) == 1
        finally:
            sys.setprofile(None)
        assert any("sys.setprofile" in text for text in json.loads(capsys.readouterr().out)["findings"])
        return
    free = next(tool for tool in range(5, -1, -1) if sys.monitoring.get_tool(tool) is None)
    sys.monitoring.use_tool_id(free, "someone else")
    try:
        sys.monitoring.set_events(free, sys.monitoring.events.PY_START)
        assert main(["doctor", "--store", store, "--json"]) == 1
        assert any("someone else" in text for text in json.loads(capsys.readouterr().out)["findings"])
    finally:
        sys.monitoring.set_events(free, 0)
        sys.monitoring.free_tool_id(free)


def test_the_name_alone_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "explain" in said.err and "Says why a request or a route is slow" in said.err


def test_doctor_sees_a_store_that_is_handed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "static" / "profiles"
    store.mkdir(parents=True, mode=0o700)
    store.chmod(0o755)
    assert main(["doctor", "--store", str(store), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("'static'" in text for text in findings) and any("read by other users" in text for text in findings)


def test_the_pytest_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("""
import copy
def test_counts(slowlens_profile):
    with slowlens_profile("piece") as run:
        for _ in range(5): copy.deepcopy([])
    assert run.calls("deepcopy") == 5
    assert run.wall_ms > 0
def test_fails(slowlens_profile):
    with slowlens_profile() as run:
        copy.deepcopy([])
    assert run.calls("copy.deepcopy") == 0 and run.calls("deepcopy") == 2
""")
    (tmp_path / "test_block.py").write_text("""
import contextlib, sqlite3, sys, time
import pytest
@pytest.fixture(scope="session")
def opened_before():
    return sqlite3.connect(":memory:")
def test_the_block_itself(opened_before, slowlens_profile):
    with slowlens_profile() as run:
        db = sqlite3.connect(":memory:")
        for _ in range(20): db.execute("select 1")
        for _ in range(3): opened_before.execute("select 2")
        for _ in range(5): time.sleep(0)
    time.sleep(0)
    assert run.calls("sleep") == 5 and run.calls("execute") == 23
    if sys.version_info >= (3, 12):  # 3.11 does not tell what C functions are given
        assert run.count("db") == 23 and sorted(run.queries.values()) == [23], run.queries
    assert run.calls("test_the_block_itself") == 0, "it began before"
def test_what_makes_the_block(slowlens_profile):
    @contextlib.contextmanager
    def ours():
        with slowlens_profile() as run:
            yield run
    with ours() as run:
        for _ in range(5): time.sleep(0)
    assert run.calls("sleep") == 5
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(slowlens_profile())
        for _ in range(5): time.sleep(0)
    assert run.calls("sleep") == 5
""")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p",
                           "no:cacheprovider", "--slowlens-store", str(tmp_path / "store"), str(tmp_path)],
                          capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])})
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert DirectoryStore(str(tmp_path / "store")).contents()["profiles"] == 5


@pytest.mark.parametrize(("arguments", "said"), [
    (["serve", "--port", "99999"], "99999: from 0 to 65535"),
    (["replay", "last", "-n", "-3"], "-3: from 1 on"),
    (["token", "--minutes", "0"], "0: from 1 on"),
    (["list", "--limit", "0"], "0: from 1 on"),
    (["list", "--limit", "many"], "invalid int value: 'many'"),
])
def test_numbers_that_cannot_be_meant(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


def test_names_that_there_are_not(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", store, "list", "--finding", "typo"]) == 2
    assert "no finding is called 'typo': " in capsys.readouterr().err
    assert main(["--store", store, "compare", "/", "--slow", "p95", "--where", "host=a"]) == 2
    assert "--slow, or two groups" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--store", store, "serve", "--port", port]) == 2
    assert f"slowlens: 127.0.0.1:{port}: " in capsys.readouterr().err
