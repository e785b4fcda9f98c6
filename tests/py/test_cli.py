"""The command line: answers, exit statuses, one-line errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from slowlens.cli import main
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call
from programs import library


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
    assert main(["list", "--store", store, "--routes"]) == 0
    assert "/two" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["last", "slowest"])
def test_show(store: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name, "--store", store]) == 0
    text = capsys.readouterr().out
    assert "hot path: " in text and "[request]" in text
    assert main(["show", name, "--store", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["meta"]["method"] == "GET"
    assert main(["functions", name, "--store", store, "--limit", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(("form", "start"), [
    ("slowlens", b"\x28\xb5\x2f\xfd"), ("json", b'{"node"'), ("text", b" 100.0%"), ("collapsed", b"[request]"),
    ("speedscope", b'{"$schema"'), ("pstats", b"{"), ("callgrind", b"# callgrind format\n"),
])
def test_export(store: str, form: str, start: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert main(["export", "last", "-f", form, "-o", str(target), "--store", store]) == 0
    assert target.read_bytes().startswith(start)
    if form == "slowlens":
        assert main(["show", str(target)]) == 0


def test_delete_and_gc(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "--store", store, "--json"])
    first = json.loads(capsys.readouterr().out)[0]["id"]
    assert main(["delete", first, "--store", store]) == 0
    assert main(["delete", first, "--store", store]) == 2
    assert main(["gc", "--json", "--store", store]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2


def test_doctor(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--store", store]) == 0
    assert "no problem found" in capsys.readouterr().out
    assert main(["doctor", "--json", "--store", "/dev/null/x"]) == 1
    assert "cannot make the store" in json.loads(capsys.readouterr().out)["findings"][0]


@pytest.mark.parametrize(("arguments", "text"), [
    (["show", "last", "--store", "/no/such/store"], "there is no store at /no/such/store"),
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


@pytest.mark.parametrize("what", ["store", "file"])
def test_serve(store: str, what: str) -> None:
    target = ["--store", store] if what == "store" else [str(next(Path(store).rglob("*.slowlens")))]
    server = subprocess.Popen([sys.executable, "-m", "slowlens", "serve", "--port", "0", *target],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("viewer: http://127.0.0.1:")
        url = line.split()[1]
        with urllib.request.urlopen(url + "api/requests") as response:
            rows = json.load(response)["requests"]
        assert len(rows) == (3 if what == "store" else 1)
        with urllib.request.urlopen(url) as response:
            assert b"<title>slowlens" in response.read()
        request = urllib.request.Request(url, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 404
    finally:
        server.terminate()
        server.wait()
