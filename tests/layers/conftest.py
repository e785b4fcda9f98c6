"""Real servers for the libraries' tests: PostgreSQL and Redis of this machine, an HTTP server of this process. Each of
them says what it was asked."""

from __future__ import annotations

import glob
import http.server
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine

engine.prepare()


MODES = [pytest.param(True, id="sampling"), pytest.param(False, id="deterministic")]
if sys.version_info < (3, 12):  # no events on functions alone: of sampled requests Django and SQLAlchemy tell by hooks
    MODES = MODES[1:]           # of theirs, see tests/py/test_layers.py


@pytest.fixture(params=MODES)
def sampled(request: Any) -> bool:
    return bool(request.param)


@pytest.fixture
def asked(sampled: bool) -> Callable[..., dict[str, int]]:
    """``asked(run, kind)``: the texts of the spans of that kind while ``run`` was a request, each with how often."""

    def asked(run: Callable[[], object], kind: str, layers: str = "shape") -> dict[str, int]:
        recording = _core.Recording(sampled=sampled, follows=True, layers=layers)
        recording.enter()
        try:
            run()
        finally:
            recording.leave()
            recording.finish()
        found: Counter[str] = Counter()
        for of, text, _, count, _, _ in recording.spans():
            if of == kind:
                found[text] += count
        recording.discard()
        return dict(found)

    return asked


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not come up")


class Postgres:
    """A server of its own that logs every statement."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "log"
        programs = shutil.which("initdb") or sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1]
        programs = os.path.dirname(os.path.realpath(programs))
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid} if user else {}
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        subprocess.run([f"{programs}/initdb", "-D", data, "-U", "app", "-A", "trust", "-N"], check=True,
                       stdout=subprocess.DEVNULL, cwd="/", **as_user)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [f"{programs}/postgres", "-D", data, "-p", str(self.port), "-k", folder, "-h", "127.0.0.1", "-F",
                 "-c", "log_statement=all", "-c", "log_min_duration_statement=-1"],
                stdout=log, stderr=log, cwd="/", **as_user)
        wait_for(self.port)
        for _ in range(100):
            if b"ready to accept connections" in self.log.read_bytes():
                break
            time.sleep(0.1)
        self.url = f"postgresql://app:secretpassword@127.0.0.1:{self.port}/postgres"

    def statements(self, word: str) -> int:
        """How many statements with that word the server was asked to run so far."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(word in line for line in lines if "LOG:  execute" in line or "LOG:  statement" in line)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="layers-pg-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[dict[str, Any]]:
    """A server of its own: how to connect."""
    folder = Path(tempfile.mkdtemp(prefix="layers-maria-"))
    user = pwd.getpwnam("mysql").pw_name if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    port = free_port()
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", f"--user={user}",
         "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, stdout=subprocess.DEVNULL)
    server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    process = subprocess.Popen(
        [server, "--no-defaults", f"--datadir={folder}/data", f"--user={user}", f"--port={port}",
         f"--socket={folder}/socket", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port)
    yield {"host": "127.0.0.1", "port": port, "user": "root", "password": ""}
    process.terminate()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    port = free_port()
    folder = tempfile.mkdtemp(prefix="layers-redis-")
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL)
    wait_for(port)
    yield port
    process.terminate()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mongo() -> Iterator[Any]:
    """A server that counts its commands, see mongo.py."""
    from mongo import Mongo

    server = Mongo()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def memcached_port() -> Iterator[int]:
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(["memcached", "-p", str(port), "-U", "0", "-l", "127.0.0.1", "-m", "8", *user])
    wait_for(port)
    yield port
    process.terminate()
    process.wait()


class Http:
    """A server that counts its requests; ``/away`` redirects to ``/``, ``/busy`` is for those who try again."""

    def __init__(self) -> None:
        self.count = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.count += 1
                if self.path.startswith("/away"):
                    self.send_response(302)
                    self.send_header("location", "/")
                elif self.path.startswith("/busy"):
                    self.send_response(503)
                else:
                    self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str = "/price?token=querysecret#fragmentsecret") -> str:
        return f"http://user:urlsecret@{self.host}{path}"


@pytest.fixture(scope="session")
def web() -> Iterator[Http]:
    server = Http()
    yield server
    server.server.shutdown()
