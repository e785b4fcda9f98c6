"""The WSGI middleware: responses untouched, every way a response can end."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

import slowlens
from slowlens.options import OptionsError
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, patient, wsgi_call
from programs import fib, library


def make(app: Any, store_path: str, **options: Any) -> tuple[ProfilerMiddleware, Stored]:
    middleware = ProfilerMiddleware(app, store=store_path, **{"debug": True, "response_headers": False, **options})
    return middleware, Stored(middleware.recorder)


def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    fib(5)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def test_a_request_becomes_a_profile(store_path: str) -> None:
    app, stored = make(plain, store_path)
    assert wsgi_call(app, "/x", HTTP_TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") == (
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")], b"hello")
    (row,) = stored.rows()
    assert (row["method"], row["path"], row["status"], row["mode"]) == ("GET", "/x", 200, "deterministic")
    meta = json.loads(stored.blob(row["id"]).meta())["meta"]
    assert meta["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert meta["response_bytes"] == 5
    assert 0 < meta["cpu_ns"] <= meta["wall_ns"] + 1_000_000
    assert {"plain", "fib"} <= stored.names(row["id"])


def test_query_strings_are_not_recorded(store_path: str) -> None:
    app, stored = make(plain, store_path)
    wsgi_call(app, "/x", "password=secret&slow=1", HTTP_COOKIE="session=secret", HTTP_AUTHORIZATION="secret")
    (row,) = stored.rows()
    raw = stored.blob(row["id"])
    for report in (raw.meta(), raw.summary(), raw.functions(), raw.tree(0, 99)):
        assert b"secret" not in report
    assert "secret" not in json.dumps(row)


def test_redact(store_path: str) -> None:
    app, stored = make(plain, store_path, redact=lambda path: path.replace("4711", "N"))
    wsgi_call(app, "/user/4711")
    assert stored.rows()[0]["path"] == "/user/N"


def test_paths_are_utf8(store_path: str) -> None:
    app, stored = make(plain, store_path)
    wsgi_call(app, "/caf\u00e9".encode().decode("latin-1"))
    assert stored.rows()[0]["path"] == "/caf\u00e9"


def test_the_validator_finds_nothing_to_complain_about(store_path: str) -> None:
    def streaming(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (chunk for chunk in (b"a", b"b"))

    for inner in (plain, streaming):
        app, _ = make(validator(inner), store_path)
        assert wsgi_call(validator(app))[0] == "200 OK"


class Chunks:
    """An iterable that notes what is done to it."""

    def __init__(self, fail: bool = False) -> None:
        self.log: list[str] = []
        self.fail = fail

    def __iter__(self) -> Any:
        self.log.append("iter")
        for i in range(3):
            library()
            if self.fail and i == 1:
                raise KeyError("mid-stream")
            self.log.append(f"chunk {i}")
            yield b"%d" % i

    def close(self) -> None:
        self.log.append("close")


def streaming_app(chunks: Chunks) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return chunks
    return app


def test_streams_stay_streams_and_are_closed_once(store_path: str) -> None:
    chunks = Chunks()
    app, stored = make(streaming_app(chunks), store_path)
    body = app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *args: None)
    assert chunks.log == [], "nothing is read ahead"
    iterator = iter(body)
    assert next(iterator) == b"0"
    assert chunks.log == ["iter", "chunk 0"]
    fib(9)  # the server's own work
    assert list(iterator) == [b"1", b"2"]
    body.close()
    body.close()
    assert chunks.log.count("close") == 1
    (row,) = stored.rows()
    names = stored.names(row["id"])
    assert "deepcopy" in names and "[between chunks]" in names
    assert "fib" not in names


def test_a_client_that_goes_away(store_path: str) -> None:
    chunks = Chunks()
    app, stored = make(streaming_app(chunks), store_path)
    body = app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *args: None)
    next(iter(body))
    body.close()
    assert chunks.log[-1] == "close"
    assert len(stored.rows()) == 1


def test_a_body_nobody_closes_is_not_lost(store_path: str) -> None:
    app, stored = make(streaming_app(Chunks()), store_path)
    body = app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *args: None)
    del body
    assert len(stored.rows()) == 1


def test_exceptions_pass_through(store_path: str) -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        fib(3)
        raise ZeroDivisionError("mine")

    app, stored = make(failing, store_path, keep="error")
    with pytest.raises(ZeroDivisionError, match="mine"):
        wsgi_call(app)
    app2, _ = make(streaming_app(Chunks(fail=True)), store_path, keep="error")
    with pytest.raises(KeyError, match="mid-stream"):
        wsgi_call(app2)
    app2.recorder.writer.flush()
    rows = stored.rows()
    assert len(rows) == 2
    assert all(row["kept"] == "error" for row in rows)


def test_exc_info_and_write_pass_through(store_path: str) -> None:
    calls: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"written")
        try:
            raise ValueError
        except ValueError:
            import sys
            start_response("500 Oops", [], sys.exc_info())
        return [b"x"]

    wrapped, stored = make(app, store_path)
    body = wrapped({"PATH_INFO": "/", "REQUEST_METHOD": "GET"},
                   lambda *args: calls.append(args) or calls.append)  # type: ignore[func-returns-value]
    assert list(body) == [b"x"]
    assert calls[0] == ("200 OK", [])
    assert calls[1] == b"written"
    assert calls[2][0] == "500 Oops" and calls[2][2][0] is ValueError
    assert stored.rows()[0]["status"] == 500


def test_lists_and_file_wrappers_are_returned_as_they_are(store_path: str) -> None:
    answer = [b"a", b"b"]
    app, stored = make(lambda environ, start_response: answer, store_path)
    assert app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, None) is answer
    assert len(stored.rows()) == 1
    wrapper = FileWrapper(io.BytesIO(b"file"))
    app, stored = make(lambda environ, start_response: wrapper, store_path)
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "wsgi.file_wrapper": FileWrapper}
    assert app(environ, None) is wrapper
    assert len(stored.rows()) == 2


def test_two_middlewares_make_one_profile(store_path: str) -> None:
    inner, inner_stored = make(plain, store_path)
    outer, outer_stored = make(inner, store_path)
    wsgi_call(outer)
    assert len(outer_stored.rows()) == 1
    assert inner_stored.recorder.writer is outer_stored.recorder.writer, "one for a store"
    assert outer_stored.recorder.writer.stored == 1


def test_not_selected_is_untouched(store_path: str) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(start_response)
        return answer

    answer = [b""]
    for options in ({"mode": "off"}, {"sample_rate": 0, "numbers": False}, {"exclude": "/*"}):
        wrapped, stored = make(app, store_path, **options)
        start = object()
        assert wrapped({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, start) is answer
        assert seen[-1] is start
        assert stored.rows() == []


def test_disable(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOWLENS_DISABLE", "1")
    app, stored = make(plain, store_path)
    wsgi_call(app)
    assert wsgi_call(app, "/__slowlens__/")[2] == b"hello"
    assert stored.rows() == []


def test_wrong_options_fail_at_start(store_path: str) -> None:
    with pytest.raises(OptionsError, match="did you mean 'slow_ms'"):
        ProfilerMiddleware(plain, slow_mss=5)
    with pytest.raises(OptionsError, match="mode must be one of"):
        ProfilerMiddleware(plain, mode="sometimes")
    with pytest.raises(OptionsError, match="no store of kind 'redis'"):
        ProfilerMiddleware(plain, store="redis://x")


@patient  # what holds it up between its first instant and the app is no function
def test_slow_requests_are_logged(store_path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()

    def slow(environ: Any, start_response: Any) -> Any:
        for _ in range(5):
            library()
        start_response("200 OK", [])
        return [b""]

    app, stored = make(slow, store_path, slow_ms=0, keep="error")
    wsgi_call(app, "/slow\nforged")
    assert stored.rows() == [], "logged, though not kept"
    (line,) = [record.message for record in caplog.records if record.name == "slowlens.slow"]
    assert line.startswith("slow: GET /slow?forged 200 ")
    assert re.search(r"\d %.* at py/(test_wsgi|programs)\.py:\d+", line)


def test_tags(store_path: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        slowlens.tag("tenant", 7)
        start_response("200 OK", [])
        return [b""]

    wrapped, stored = make(app, store_path)
    wsgi_call(wrapped)
    slowlens.tag("nobody", "listens")
    meta = json.loads(stored.blob(stored.rows()[0]["id"]).meta())["meta"]
    assert meta["tag.tenant"] == "7"
    assert "tag.nobody" not in meta


def test_fifty_requests_in_eight_threads(store_path: str) -> None:
    barrier = threading.Barrier(8, timeout=20)

    def app(environ: Any, start_response: Any) -> Any:
        space: dict[str, Any] = {"fib": fib}
        name = "mine_" + environ["PATH_INFO"][1:]
        exec(f"def {name}(): fib(8)", space)
        if int(environ["PATH_INFO"][1:]) < 8:
            barrier.wait()
        for _ in range(30):
            space[name]()
        start_response("200 OK", [])
        return [b""]

    wrapped, stored = make(app, store_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: wsgi_call(wrapped, f"/{i}"), range(50)))
    rows = stored.rows(limit=100)
    assert len(rows) == 50
    for row in rows:
        mine = {name for name in stored.names(row["id"]) if name.startswith("mine_")}
        assert mine == {"mine_" + row["path"][1:]}


def test_a_fault_of_ours_never_reaches_the_app(
    store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, stored = make(plain, store_path)
    monkeypatch.setattr(stored.recorder.policy, "decide", lambda incoming: 1 / 0)
    for _ in range(25):
        assert wsgi_call(app)[2] == b"hello"
    assert stored.recorder.faults == 20, "profiling went off"
    assert caplog.text.count("a fault of its own while beginning") == 1
    assert "off for 60 s" in caplog.text
    monkeypatch.undo()
    assert wsgi_call(app)[2] == b"hello"
    assert stored.rows() == [], "still off"
    # The clock goes on: it comes back by itself.
    now = time.monotonic()
    monkeypatch.setattr("slowlens.recorder.time.monotonic", lambda: now + 61)
    assert wsgi_call(app)[2] == b"hello"
    assert len(stored.rows()) == 1
    assert not stored.recorder.profiling.is_off()

    app, stored = make(plain, store_path)
    monkeypatch.setattr(stored.recorder.policy, "keep", lambda *args: 1 / 0)
    assert wsgi_call(app)[2] == b"hello"
    assert stored.recorder.faults == 1


def test_a_request_that_cannot_be_read_goes_to_the_app(store_path: str) -> None:
    app, stored = make(plain, store_path)
    assert b"".join(app({"PATH_INFO": 5, "REQUEST_METHOD": None}, lambda *args: None)) == b"hello"
    assert stored.recorder.faults == 1


def test_a_fault_while_a_fault_is_told(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an app does to the clocks of its process may fail in us, twice in a row: the app answers."""
    def app(environ: Any, start_response: Any) -> list[bytes]:
        def broken() -> float:
            raise ZeroDivisionError

        monkeypatch.setattr(time, "monotonic", broken)
        start_response("200 OK", [])
        return [b"answer"]

    profiled = ProfilerMiddleware(app, store=store_path, keep="all", log=False)
    try:
        assert b"".join(profiled({"REQUEST_METHOD": "GET", "PATH_INFO": "/broken"}, lambda *given: None)) == b"answer"
        assert b"".join(profiled({"REQUEST_METHOD": "GET", "PATH_INFO": "/again"}, lambda *given: None)) == b"answer"
    finally:
        monkeypatch.undo()
