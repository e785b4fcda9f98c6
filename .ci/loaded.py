"""Whether an installed wheel works at all, where pytest cannot be had: a request in each mode is stored and read."""

from __future__ import annotations

import json
import platform
import sys
import tempfile

from slowlens import _core
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware


def work(n: int) -> int:
    return sum(number * number for number in range(n))


def app(environ, start_response):
    work(300_000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


def main() -> None:
    for mode in ("deterministic", "sampling"):
        with tempfile.TemporaryDirectory() as folder:
            profiled = ProfilerMiddleware(app, mode=mode, slow_ms=0, debug=True, store=folder)
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{mode}/", "wsgi.url_scheme": "http",
                       "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
            body = profiled(environ, lambda status, headers, exc_info=None: None)
            assert b"".join(body) == b"done"
            getattr(body, "close", list)()
            profiled.recorder.writer.flush(30)
            [row] = profiled.recorder.store.list(Query()).rows
            profile = _core.Profile(profiled.recorder.store.get(row["id"]))
            names = json.loads(profile.functions())
            assert "work" in json.dumps(names) and row["mode"] == mode, (row, names)
            assert profile.export("speedscope")
    print(f"{platform.machine()}, {sys.version.split()[0]}: loaded, one request in each mode stored, read, exported")


if __name__ == "__main__":
    main()
