"""The smallest programs, each on a real server with several workers or threads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "minimal"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)


SERVERS = {
    "wsgi": (["gunicorn"], ["-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "wsgi_app:application"], "/x"),
    "wsgi threads": (["gunicorn"], ["-m", "gunicorn", "-w", "2", "--threads", "4", "--preload", "-b",
                                    "127.0.0.1:{port}", "wsgi_app:application"], "/x"),
    "flask": (["gunicorn", "flask"], ["-m", "gunicorn", "-w", "2", "--threads", "2", "-b", "127.0.0.1:{port}",
                                      "flask_app:app"], "/hello/you"),
    "django": (["gunicorn", "django"], ["-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:{port}",
                                        "django_app:application"], "/hello/you/"),
    "starlette": (["uvicorn", "starlette"], ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning",
                                             "starlette_app:app"], "/hello/you"),
    "starlette workers": (["uvicorn", "starlette"], ["-m", "uvicorn", "--port", "{port}", "--workers", "2",
                                                     "--log-level", "warning", "starlette_app:app"], "/hello/you"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_example(name: str, store_path: str, tmp_path: Path) -> None:
    needs, command, path = SERVERS[name]
    for module in needs:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    port = free_port()
    log = open(tmp_path / "log", "w+")
    server = subprocess.Popen(
        [sys.executable, *(part.format(port=port) for part in command)], cwd=EXAMPLES, stdout=log, stderr=log,
        env={**os.environ, "SLOWLENS_STORE": store_path, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(base + path)
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(get, [base + path] * 40))
        deadline = time.monotonic() + 20
        while True:
            rows = get(base + "/__slowlens__/api/requests?limit=100")["requests"]
            if len(rows) >= 41 or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert len(rows) == 41
        assert {row["path"] for row in rows} == {path}
        assert len({row["pid"] for row in rows}) >= 1
        summary = get(f"{base}/__slowlens__/api/requests/{rows[0]['id']}")
        assert summary["calls"] > 0
    finally:
        server.terminate()
        server.wait(20)
        log.close()
    assert "Traceback" not in (tmp_path / "log").read_text(), (tmp_path / "log").read_text()
