"""What the Python tests share. The package under test comes from PYTHONPATH or an installation."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine

# What it would replace imports half of what is installed.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")

for name in [name for name in os.environ if name.startswith("SLOWLENS_")]:
    del os.environ[name]

engine.prepare()

#: What has another pytest load our fixture; where slowlens is installed it does so unasked, and once is enough.
PLUGIN = [] if entry_points(group="pytest11", name="slowlens") else ["-p", "slowlens.pytest_plugin"]
if PLUGIN:  # and nobody else's, which import half of what is installed
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


@pytest.fixture
def store_path(tmp_path: Any) -> str:
    return str(tmp_path / "store")


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Every test ends all the profiles it began."""
    yield
    assert _core.active_count() == 0


@pytest.fixture
def no_brake() -> Iterator[None]:
    """The sampler looks as often as it is to, whatever that costs."""
    _core.sampler_configure(0.001, 0)
    yield
    _core.sampler_configure(0.001, 1)


# Not by ctypes: where standard streams are closed its library keeps a file open under their numbers.
LOADED = Path("/proc/self/maps").read_text() if sys.platform == "linux" else ""
#: A sanitizer's allocator is loaded: it lets memory rest before it is used again, and must be loaded first.
SANITIZED = any(name in LOADED for name in ("libasan", "libtsan", "libclang_rt."))


def loops() -> list[Any]:
    """What makes an event loop: asyncio's, and uvloop's where that is installed."""
    try:
        import uvloop
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


def record(call: Callable[[], Any], c_calls: str = "all", **options: Any) -> _core.Recording:
    """Runs ``call`` under a profile and finishes it."""
    profile = _core.Recording(c_calls, **options)
    profile.enter()
    try:
        call()
    finally:
        profile.leave()
        profile.finish()
    return profile


async def stepped(app: Callable[[], Awaitable[Any]], sampled: bool = True) -> _core.Recording:
    """Runs ``app`` as a request of the running loop."""
    recording = _core.Recording("none", sampled=sampled, follows=True)
    try:
        await recording.step(app())
    finally:
        recording.finish()
    return recording


def profiled(
    app: Callable[[], Awaitable[Any]], loop: Any = asyncio.new_event_loop, sampled: bool = True,
) -> _core.Recording:
    """The same in a loop of its own."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(stepped(app, sampled))


def tree(profile: _core.Recording) -> dict[str, Any]:
    """The whole tree: {"rows": [...], "functions": {id: {...}}, "wall_ns": N}, rows with "name"."""
    return blob_tree(_core.Profile(profile.encode({})))


def blob_tree(blob: _core.Profile) -> dict[str, Any]:
    """The same of a stored one."""
    report = json.loads(blob.tree(0, 1 << 30, False, 1 << 24))
    report["functions"] = {one["id"]: one for one in report["functions"]}
    for row in report["rows"]:
        row["name"] = report["functions"][row["function"]]["name"]
    return report


def functions(profile: _core.Recording) -> list[dict[str, Any]]:
    """Rows of the functions report."""
    return json.loads(_core.Profile(profile.encode({})).functions())["rows"]


def wsgi_call(
    app: Callable[..., Any], path: str = "/", query: str = "", method: str = "GET", **environ: Any
) -> tuple[str, list[tuple[str, str]], bytes]:
    """One request from this machine to localhost: (status, headers, body)."""
    values = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False, **environ,
    }
    got: list[Any] = []
    body = app(values, lambda status, headers, exc_info=None: got.append((status, headers)))
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return got[-1][0], got[-1][1], content


class Stored:
    """Reads what a recorder stored."""

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def rows(self, **query: Any) -> list[dict[str, Any]]:
        from slowlens.store import Query

        assert self.recorder.writer.flush(10)
        return self.recorder.store.list(Query(**query)).rows

    def blob(self, profile_id: str) -> _core.Profile:
        return _core.Profile(self.recorder.store.get(profile_id))

    def names(self, profile_id: str) -> set[str]:
        rows = json.loads(self.blob(profile_id).functions())["rows"]
        return {row["function"]["name"] for row in rows}


def patient(test: Callable[..., None]) -> Callable[..., None]:
    """For tests of shares and durations: on a machine that is busy with other things a sampler is late, and so
    are the programs it watches. Three tries; what must hold at every try fails with ``pytest.fail``."""

    @functools.wraps(test)
    def tried(*args: Any, **kwargs: Any) -> None:
        for left in (2, 1, 0):
            try:
                return test(*args, **kwargs)
            except (AssertionError, StopIteration, KeyError):  # a row, or a line, that no sample saw
                if left == 0:
                    raise
                time.sleep(0.5)

    return tried


#: Forbids system calls by their numbers, as a container may.
SECCOMP = """
    import ctypes, struct
    libc = ctypes.CDLL(None, use_errno=True)
    def forbid(*numbers):
        code = [(0x20, 0, 0, 0)]  # load the number of the call
        for i, number in enumerate(numbers):
            code.append((0x15, len(numbers) - i, 0, number))
        code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001)]  # allow; EPERM
        raw = b"".join(struct.pack("HBBI", *one) for one in code)
        buffer = ctypes.create_string_buffer(raw)
        program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, program) == 0, ctypes.get_errno()
"""
