"""What an application asks others for is kept without its secrets.

A corpus of queries, URLs, keys and commands goes through profiled requests in both modes, and every byte that was
stored, and every export of it, is searched."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine, layers
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call

engine.prepare()

_number = itertools.count(100)


def secret() -> str:
    """Another one each time; a word of its own, so that it is found in whatever surrounds it."""
    return f"zqsecret{next(_number)}"


#: Queries with a gap for a secret each, by dialect ("": none is told).
QUERIES = [(dialect, query) for dialects, query in (
    ("postgresql mysql sqlite oracle mssql  ", "SELECT a FROM t WHERE b = '{}'"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT a FROM t WHERE b IN ('{}', 'x', 'it''s {}')"),
    ("postgresql mysql sqlite oracle mssql  ", "INSERT INTO t (a, b) VALUES ('{}', 1), ('{}', 2)"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT a /* {} */ FROM t -- {}\nWHERE b = 1"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT a FROM t WHERE b LIKE '%{}%' ESCAPE '\\'"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT a FROM t WHERE b = '{}"),
    ("postgresql mysql sqlite oracle mssql  ", "UPDATE t SET password = '{}' WHERE id = 4111111111111111"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT '{{\"token\": \"{}\"}}'"),
    ("postgresql mysql sqlite oracle mssql  ", "SELECT N'{}', X'616263', '\n{}\n'"),
    ("postgresql ", "SELECT $tag$ {} $tag$, $${}$$, E'\\'{}\\'', U&'{}'"),
    ("postgresql ", "CREATE USER app PASSWORD '{}'"),
    ("postgresql ", "SELECT * FROM dblink('host=h password={}', 'SELECT 1')"),
    ("mysql ", "SELECT 'a\\'{}', \"{}\", \"b\\\"{}\" # {}"),
    ("mysql ", "SET PASSWORD FOR 'app'@'%' = PASSWORD(\"{}\")"),
    ("oracle ", "SELECT q'[{}]', nq'!{}!' FROM dual"),
    ("mssql ", "SELECT N'{}' AS [a b]"),
    ("sqlite ", "ATTACH '{}.db' AS other"),
    (" ", "SELECT \"{}\", 'x\\', '{}' -- '"),
) for dialect in dialects.split(" ")[:-1]]

URLS = (
    "http://user:{}@127.0.0.1:{port}/a", "http://127.0.0.1:{port}/{}/b", "http://127.0.0.1:{port}/?token={}",
    "http://127.0.0.1:{port}/#{}", "http://127.0.0.1:{port};{}", "http://127.0.0.1:{port}\\{}", "//{}:x@127.0.0.1",
)


class Client:
    """A driver and a client of HTTP, as their layers see them."""

    def query(self, sql: object, dialect: str) -> None:
        pass

    def url(self, url: object) -> None:
        pass

    def host(self, host: object, port: object) -> None:
        pass

    def command(self, command: object) -> None:
        pass


layers.install([
    layers.Row(__name__, "Client.query", "db", "sql", "sql", "dialect"),
    layers.Row(__name__, "Client.url", "http", "url", "url"),
    layers.Row(__name__, "Client.host", "http", "host", "host", "port"),
    layers.Row(__name__, "Client.command", "process", "command", "command"),
])


def ask(secrets: list[str]) -> int:
    """Asks for everything in the corpus. How many times."""
    client = Client()
    asked = 0

    def filled(text: str, **more: object) -> str:
        while "{}" in text:
            secrets.append(secret())
            text = text.replace("{}", secrets[-1], 1)
        return text.replace("{{", "{").replace("}}", "}").replace("{port}", "8000")

    for dialect, query in QUERIES:
        long = filled(query.replace("{}", "{}" + "x" * 3000))
        for text in (filled(query), filled(query).encode(), bytearray(filled(query), "utf-8"), long):
            client.query(text, dialect)
            asked += 1
    for url in URLS:
        client.url(filled(url))
        client.url(filled(url).encode())
        asked += 2
    for host in ("{}@127.0.0.1", "user:{}@db", "127.0.0.1/{}", "h?{}"):
        client.host(filled(host), 80)
        asked += 1
    for command in ("PASSWORD={} psql", "'{}' x", "$({})", "curl -u user:{}", "/usr/bin/env {}", "a\n{}"):
        client.command(filled(command))
        client.command([filled("/bin/tool"), filled("--password={}")])
        asked += 2
    return asked


@pytest.mark.parametrize("mode", ["sampling", "deterministic"] if sys.version_info >= (3, 12) else ["deterministic"])
@pytest.mark.parametrize("kept", ["shape", "names"])
def test_no_secret_is_stored(store_path: str, mode: str, kept: str) -> None:
    secrets: list[str] = []
    asked: list[int] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        asked.append(ask(secrets))
        with contextlib.suppress(OSError):
            urllib.request.urlopen("http://user:zqsecretlive@127.0.0.1:9/zqsecretlive?zqsecretlive", timeout=1)
        subprocess.run([sys.executable, "-c", "pass # zqsecretlive"], check=True)
        start_response("200 OK", [])
        return [b"ok"]

    middleware = ProfilerMiddleware(app, mode=mode, layers=kept, keep="all", store=store_path, debug=True, log=False)
    stored = Stored(middleware.recorder)
    wsgi_call(middleware, "/page")
    (row,) = stored.rows()
    blob = middleware.recorder.store.get(row["id"])
    assert blob is not None
    profile = _core.Profile(blob)
    told = [blob, profile.meta(), profile.summary(), profile.text(), profile.repeats(), profile.functions(),
            profile.spans()]
    told += [profile.export(name) for name in ("json", "speedscope", "chrome", "collapsed", "html")]
    told += [file.read_bytes() for file in Path(store_path).rglob("*") if file.is_file()]
    assert asked[0] > 100 and len(secrets) > 300 and b'"db"' in profile.spans()
    for bytes_told in told:
        assert b"zqsecret" not in bytes_told


def test_the_search_would_find_one(store_path: str) -> None:
    """Names of functions are kept: a secret in one is found."""
    namespace: dict[str, Any] = {}
    exec("def zqsecret(): return sum(range(1000))", namespace)
    recording = _core.Recording()
    recording.enter()
    namespace["zqsecret"]()
    recording.leave()
    recording.finish()
    assert b"zqsecret" in _core.Profile(recording.encode({})).export("json")


@pytest.mark.parametrize("kept", ["shape", "names"])
def test_no_secret_is_in_the_spans(kept: str) -> None:
    """Before they are stored, too: what an application's own plugin may read."""
    secrets: list[str] = []
    recording = _core.Recording(layers=kept)
    recording.enter()
    count = ask(secrets)
    recording.leave()
    recording.finish()
    spans = recording.spans()
    assert sum(span[3] for span in spans) == count
    assert not [span for span in spans if "zqsecret" in repr(span)]
