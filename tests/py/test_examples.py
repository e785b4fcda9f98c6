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


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_the_feed_tells_its_tasks_threads_and_waits(mode: str, store_path: str, tmp_path: Path) -> None:
    for module in ("uvicorn", "starlette"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    port = free_port()
    log = open(tmp_path / "log", "w+")
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "app:app"],
        cwd=EXAMPLES.parent / "starlette_feed", stdout=log, stderr=log,
        env={**os.environ, "SLOWLENS_STORE": store_path, "SLOWLENS_MODE": mode, "SLOWLENS_SAMPLER_CPU": "0",
             "PYTHONFAULTHANDLER": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(base + "/in-a-thread/")
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(read, [base + path for path in ("/feed/", "/one-by-one/", "/in-a-thread/", "/stream/")] * 3))
        rows: list[dict[str, Any]] = []
        deadline = time.monotonic() + 10
        while len(rows) < 13 and time.monotonic() < deadline:
            rows = get(base + "/__slowlens__/api/requests?limit=200")["requests"]
            time.sleep(0.1)
        by_path: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            assert row["mode"] == mode
            by_path.setdefault(row["path"], []).append(row)
        viewer = base + "/__slowlens__/api/requests/"

        def names(path: str) -> set[str]:
            found: set[str] = set()
            for row in by_path[path]:
                document = get(f"{viewer}{row['id']}/functions")
                found |= {one["function"]["name"] for one in document["rows"]}
            return found

        feed = names("/feed/")
        assert {"feed", "thumbnail", "[task]"} <= feed
        assert not {"one_by_one", "in_a_thread", "stream"} & feed
        assert "render" in names("/in-a-thread/"), "a route that Starlette runs in its thread pool"
        assert not {"thumbnail", "feed"} & names("/one-by-one/")
        for row in by_path["/one-by-one/"]:
            meta = get(viewer + row["id"])["meta"]
            # Eight waits of 30, 40, 50, 30... ms, to the stack that waited; others may have kept the loop meanwhile.
            assert meta.get("await_ns", 0) + meta.get("loop_ns", 0) >= 305e6
            rows = get(f"{viewer}{row['id']}/functions")["rows"]
            assert next(one for one in rows if one["function"]["name"] == "fetch_author")["total_ns"] >= 305e6
    except OSError:
        log.seek(0)
        raise AssertionError(f"the server: {server.poll()}, {log.read()[-3000:]}") from None
    finally:
        server.terminate()
        server.wait(20)
        log.seek(0)
        text = log.read()
    assert "Traceback" not in text, text[-3000:]


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        return bytes(response.read())


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            read(url)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
