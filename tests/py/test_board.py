"""Running requests, as other processes see them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, board, live
from slowlens.asgi import ProfilerMiddleware as AsgiMiddleware
from slowlens.cli import main
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import open_store
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware


def eventually(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What ``found`` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return value


class Worker:
    """A process of board_worker.py."""

    def __init__(self, store: str, mode: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("board_worker.py")), store, mode, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def say(self, text: str) -> str:
        """Writes a line, and reads the one it answers."""
        self.tell(text)
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(*arguments: str) -> Worker:
        made.append(Worker(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait(30)
        for stream in (one.process.stdin, one.process.stdout):
            assert stream is not None
            stream.close()


def call(middleware: Any, path: str) -> None:
    list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.url_scheme": "http",
                     "SERVER_NAME": "x", "SERVER_PORT": "1"}, lambda *a: None))


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_a_request_of_another_process_is_seen_while_it_runs(worker: Any, store_path: str, mode: str) -> None:
    one = worker(store_path, mode)
    assert one.say("/wait/a") == "/wait/a"
    (row,) = live.running(store_path)
    assert (row["method"], row["path"], row["mode"], row["pid"]) == ("GET", "/wait/a", mode, one.process.pid)
    assert row["state"] == "runs" and not row["killed"]
    assert 0 <= row["age_ns"] < 60e9 and abs(row["started"] - time.time_ns()) < 60e9
    one.say("/wait/b")
    rows = live.running(store_path)
    assert [row["path"] for row in rows] == ["/wait/a", "/wait/b"]
    assert rows[0]["tid"] != rows[1]["tid"] and rows[0]["id"] != rows[1]["id"]
    one.tell("end")
    eventually(lambda: live.running(store_path) == [])


def test_the_board_says_where_a_sampled_request_is(worker: Any, store_path: str) -> None:
    one = worker(store_path, "sampling")
    one.say("/wait/a")

    def seen() -> Any:
        (row,) = live.running(store_path)
        return row if "waits_for_it" in row["where"] else None

    row = eventually(seen)
    assert row["where"].startswith("waits_for_it board_worker.py:")
    assert row["seen_ns"] is not None


def test_the_running_request_has_the_id_of_its_profile(worker: Any, store_path: str) -> None:
    one = worker(store_path, "sampling")
    one.say("/wait/a")
    (row,) = live.running(store_path)
    one.tell("end")
    eventually(lambda: live.running(store_path) == [])
    one.say("flush")
    assert open_store(load({"store": store_path})).get(row["id"]) is not None


def test_list_live_and_the_viewer_show_it(worker: Any, store_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = worker(store_path, "sampling")
    one.say("/wait/a")
    assert main(["list", "--live", "--json", "--store", store_path]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert main(["list", "--live", "--store", store_path]) == 0
    text = capsys.readouterr().out
    assert row["path"] == "/wait/a" and row["id"] in text and "GET /wait/a" in text
    viewer = Viewer(open_store(load({"store": store_path})), None)
    headers = {"sec-fetch-site": "same-origin"}
    incoming = Incoming("GET", "/api/live", "", "localhost", "127.0.0.1", False, headers, None, False)
    response = viewer.handle(incoming, "api/live", "/")
    assert response is not None
    (shown,) = json.loads(response.body)["requests"]
    assert (shown["id"], shown["path"], shown["pid"]) == (row["id"], "/wait/a", one.process.pid)
    assert shown["running_ms"] > 0 and shown["killed"] is False


def test_a_waiting_coroutine_waits(store_path: str) -> None:
    states: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        states.append(live.running(store_path)[0]["state"])
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        async def nothing(*message: Any) -> Any:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b""}
        task = asyncio.ensure_future(AsgiMiddleware(app, store=store_path, mode="sampling", log=False)(
            scope, nothing, nothing))
        await asyncio.sleep(0.01)
        states.append(live.running(store_path)[0]["state"])
        await task

    asyncio.run(run())
    assert states == ["runs", "waits"]
    assert live.running(store_path) == []


def test_a_route_is_shown_when_it_is_known(store_path: str) -> None:
    shown: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["slowlens.transaction"].seen.route = "/books/<int:pk>"
        shown.append(live.running(store_path)[0]["route"])
        start_response("200 OK", [])
        return [b""]

    call(ProfilerMiddleware(app, store=store_path, mode="sampling", log=False), "/books/7")
    assert shown == ["/books/<int:pk>"]


def test_a_forked_child_lets_go_of_the_board(worker: Any, store_path: str) -> None:
    one = worker(store_path, "deterministic")
    one.say("/wait/a")
    child = int(one.say("fork").split()[1])
    try:
        (found,) = live.boards(store_path)
        assert found.board["pid"] == one.process.pid and not found.dead
        one.kill()
        (found,) = eventually(lambda: [f for f in live.boards(store_path) if f.dead])
        assert [row["path"] for row in found.board["requests"]] == ["/wait/a"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_has_a_board_of_its_own(store_path: str) -> None:
    """The child's request is on its own board, and the parent's is untouched by it."""
    program = """
import os, sys, json
from slowlens import live
from slowlens.wsgi import ProfilerMiddleware
store = sys.argv[1]
def app(environ, start_response):
    if environ["PATH_INFO"] == "/parent":
        pid = os.fork()
        if pid == 0:
            list(middleware(dict(base, PATH_INFO="/child"), lambda *a: None))
            os._exit(0)
        os.waitpid(pid, 0)
        print(json.dumps([[row["path"], row["pid"] == os.getpid()] for row in live.running(store)]), flush=True)
    else:
        print(json.dumps(sorted([row["path"], row["pid"] == os.getpid()] for row in live.running(store))), flush=True)
    start_response("200 OK", [])
    return [b""]
base = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "1"}
middleware = ProfilerMiddleware(app, store=store, mode="deterministic", log=False)
list(middleware(dict(base, PATH_INFO="/parent"), lambda *a: None))
"""
    done = subprocess.run([sys.executable, "-c", program, store_path], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    child, parent = map(json.loads, done.stdout.splitlines())
    assert child == [["/child", True], ["/parent", False]]
    assert parent == [["/parent", True]]


def test_a_child_closes_nothing_that_is_not_its_own(store_path: str) -> None:
    """The application has closed all numbers that it does not know, and the board's is one of its own files now."""
    program = """
import os, sys
from slowlens.wsgi import ProfilerMiddleware
middleware = ProfilerMiddleware(lambda environ, start: [b""], store=sys.argv[1], mode="deterministic", log=False)
base = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "1"}
list(middleware(dict(base, PATH_INFO="/"), lambda *a: None))
os.closerange(3, 256)
files = [os.open(sys.argv[1] + str(i), os.O_RDWR | os.O_CREAT) for i in range(20)]
if child := os.fork():
    sys.exit(os.waitpid(child, 0)[1] >> 8)
for fd in files:
    os.fstat(fd)
"""
    done = subprocess.run([sys.executable, "-c", program, store_path], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr


def test_reading_does_not_give_the_own_lock_away(worker: Any, store_path: str) -> None:
    """POSIX locks go when any descriptor of the file is closed: a process that looks must not open its own board."""
    one = worker(store_path, "sampling")
    one.say("/wait/a")
    seen: list[bool] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(3):
            assert len(live.running(store_path)) == 2
        code = "import sys; from slowlens import live; print([f.dead for f in live.boards(sys.argv[1])])"
        other = subprocess.run([sys.executable, "-c", code, store_path], capture_output=True, text=True, timeout=60,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        seen.append(other.stdout.strip() == "[False, False]")
        path = str(board.board_of(store_path).path)
        asked = ("import fcntl, sys; f = open(sys.argv[1], 'r+b')\ntry: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
                 "except OSError: print('held')")
        other = subprocess.run([sys.executable, "-c", asked, path], capture_output=True, text=True, timeout=60)
        seen.append(other.stdout.strip() == "held")
        start_response("200 OK", [])
        return [b""]

    call(ProfilerMiddleware(app, store=store_path, mode="deterministic", log=False), "/")
    assert seen == [True, True]


def test_without_a_place_for_it_requests_run_as_ever(
        store_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str]) -> None:
    """As in a container without /dev/shm: nobody is warned at each start, and doctor says it."""
    monkeypatch.setattr(board, "candidates", lambda store, uid: iter(()))
    monkeypatch.setattr(board, "_FILE_SYSTEMS", ())
    caplog.set_level("INFO", "slowlens")
    middleware = ProfilerMiddleware(lambda e, s: [b""], store=store_path, mode="deterministic", log=False, keep="all")
    call(middleware, "/x")
    assert middleware.recorder.writer.flush()
    eventually(lambda: middleware.recorder.counters()["board"]["why_not"])
    assert live.running(store_path) == []
    assert middleware.recorder.faults == 0 and middleware.recorder.writer.stored == 1
    call(middleware, "/y")
    assert middleware.recorder.writer.flush()
    (said,) = [one for one in caplog.records if "cannot be shown: no memory to note them in" in one.message]
    assert said.levelname == "INFO"
    assert main(["doctor", "--store", store_path]) == 0, "no problem: all else is there"
    assert "\nrequests that run, or are killed, cannot be shown" in capsys.readouterr().out


def test_a_disk_serves_where_there_is_no_tmpfs(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "candidates", lambda store, uid: iter(()))
    monkeypatch.setattr(board, "_file_system", lambda path: "ext4")
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(live.running(store_path))
        return [b""]

    middleware = ProfilerMiddleware(app, store=store_path, mode="deterministic", log=False)
    call(middleware, "/first")
    eventually(lambda: middleware.recorder.board.core)
    call(middleware, "/second")
    assert [row["path"] for row in seen[-1]] == ["/second"]
    assert middleware.recorder.board.path.startswith(os.path.join(store_path, "live"))


def test_no_folder_of_others_is_used(store_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "slowlens-x").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "slowlens-open").mkdir(mode=0o777)
    (tmp_path / "slowlens-open").chmod(0o777)
    monkeypatch.setattr(board, "_file_system", lambda path: "tmpfs" if path == str(tmp_path) else "other")
    for name in ("slowlens-x", "slowlens-open"):
        monkeypatch.setattr(board, "candidates", lambda store, uid, name=name: iter(
            ((str(tmp_path), str(tmp_path / name / "key")),)))
        made = board.Board(store_path, "")
        made.open()
        assert made.core is None and "not a folder of this user alone" in made.why_not
    assert list((tmp_path / "elsewhere").iterdir()) == list((tmp_path / "slowlens-open").iterdir()) == []


def test_the_option_switches_it_off(store_path: str) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(live.running(store_path))
        return [b""]

    call(ProfilerMiddleware(app, store=store_path, mode="sampling", log=False, board=False), "/")
    assert seen == [[]]


def test_many_at_once_and_more_than_there_is_room_for(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "SIZE", 4096 + 8 * 384)
    middleware = ProfilerMiddleware(
        lambda e, s: (inside.wait(), go.wait(), [b""])[-1], store=store_path, mode="deterministic", log=False)
    inside, go = threading.Barrier(13), threading.Event()
    threads = [threading.Thread(target=call, args=(middleware, f"/{n}"), daemon=True) for n in range(12)]
    try:
        for thread in threads:
            thread.start()
        inside.wait(30)
        rows = live.running(store_path)
        assert len(rows) == len({row["id"] for row in rows}) == 8
        assert middleware.recorder.counters()["board"]["missed"] == 4
    finally:
        go.set()
        for thread in threads:
            thread.join(30)
    assert live.running(store_path) == []


def test_a_file_that_is_no_board_is_left_alone(store_path: str) -> None:
    folder = Path(store_path, "live")
    folder.mkdir(parents=True, mode=0o700)
    Path(store_path).chmod(0o700)
    for name, content in (("1-a.board", b""), ("2-b.board", b"x" * 9000), ("3-c.board", b"swlsbrd1" + b"\xff" * 9000)):
        (folder / name).write_bytes(content)
    (folder / "4-d.board").symlink_to("/dev/zero")
    assert live.running(store_path) == []
    with pytest.raises(ValueError):
        _core.board_read(b"x" * 9000)
    with pytest.raises(ValueError):
        _core.board_clear(bytearray(9000), 0)


COMES_BACK = """
import faulthandler, sys
from slowlens.wsgi import ProfilerMiddleware

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"answer"]

def ask():
    return b"".join(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}, lambda *given: None))

def comes_back(event, arguments):
    if event in ("os.mkdir", "open", "mmap.__new__", "os.rename") and len(inside) < 20:
        inside.append(event)
        answers.append(ask())

inside, answers = [], []
middleware = ProfilerMiddleware(app, store=sys.argv[1], mode="sampling", keep="all", log=False)
faulthandler.dump_traceback_later(60, exit=True)
sys.addaudithook(comes_back)
answers.append(ask())
print(len(answers) > 1, set(answers) == {b"answer"}, middleware.recorder.board.core is not None,
      middleware.recorder.counters()["board"]["why_not"])
"""


def test_a_request_that_comes_while_its_thread_makes_the_board(tmp_path: Path) -> None:
    """As a finalizer, a handler of a signal or an audit hook may be one: it runs, and nobody waits for himself."""
    made = subprocess.run([sys.executable, "-c", COMES_BACK, str(tmp_path)], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert made.stdout.split() == ["True", "True", "True", "None"], made.stderr[-2000:]
