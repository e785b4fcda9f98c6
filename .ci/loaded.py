"""Whether an installed wheel works at all, where pytest cannot be had: one request in each mode, stored and read again."""

from __future__ import annotations

import logging
import platform
import tempfile

from slowlens import _core
from slowlens.store import open_store
from slowlens.wsgi import ProfilerMiddleware


def work(n: int) -> int:
    return sum(number * number for number in range(n))


def app(environ, start_response):
    work(2_000_000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("deterministic", "sampling"):
            profiled = ProfilerMiddleware(app, mode=mode, slow_ms=0, store=folder)
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{mode}/", "wsgi.url_scheme": "http"}
            body = profiled(environ, lambda status, headers, exc_info=None: None)
            assert b"".join(body) == b"done"
            body.close()
            assert profiled.flush(30)
        store = open_store(folder)
        rows = store.rows()
        assert len(rows) == 2, rows
