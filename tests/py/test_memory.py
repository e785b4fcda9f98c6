"""What all recordings of a process may hold together: past it requests are recorded with less, and say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens import _core

from conftest import record, tree

SAMPLED = _core.engine_info()["sampler"]["why_not"] is None

#: Requests at once on one loop, each of which has recorded a few hundred paths before any of them goes on.
SERVER = """
import asyncio, json, sys
from slowlens import _core
from slowlens.asgi import ProfilerMiddleware
mode, store, limit, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def grow(n):
    if n: grow(n - 1); other(n - 1)
def other(n):
    grow(n)

async def app(scope, receive, send):
    grow(8)
    global there
    there += 1
    if there == at_once: everybody.set()
    await everybody.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

async def request(n):
    sent = []
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message): sent.append(message)
    await middleware({"type": "http", "method": "GET", "path": "/r", "query_string": b"", "headers": [],
                      "scheme": "http", "server": ("h", 80), "client": ("1.2.3.4", 5)}, receive, send)
    return [message["type"] for message in sent]

async def main():
    global everybody
    everybody = asyncio.Event()
    return await asyncio.gather(*(request(n) for n in range(at_once)))

there = 0
middleware = ProfilerMiddleware(app, mode=mode, store=store, keep="all", log=False, max_active_bytes=limit)
before = _core.engine_info()["memory"]["bytes"]
answers = asyncio.run(main())
assert all(one == ["http.response.start", "http.response.body"] for one in answers), answers
recorder = middleware.recorder
recorder.writer.flush(60)
asyncio.run(request(0))  # what was full has room again
recorder.writer.flush(60)
metas = []
from slowlens.store import Query
for row in recorder.store.list(Query(limit=500)).rows:
    metas.append(json.loads(_core.read_meta(recorder.store.get(row["id"])))["meta"])
print(json.dumps({"metas": metas, "memory": _core.engine_info()["memory"],
    "less": sum(row["sums"].get("less", 0) for row in recorder.store.numbers()["rows"]), "counters": {
    name: recorder.counters()[name] for name in ("refused", "dropped", "failed", "faults", "stored")}}))
"""


def serve(tmp_path: Path, mode: str, limit: int, at_once: int) -> tuple[dict[str, Any], str]:
    done = subprocess.run([sys.executable, "-c", SERVER, mode, str(tmp_path), str(limit), str(at_once)],
                          capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("mode", ["deterministic", "sampling"])
def test_many_requests_at_once_are_recorded_with_less(tmp_path: Path, mode: str) -> None:
    """None is refused, none is silent: each profile that is less than was asked for says so, and so do the numbers."""
    limit, at_once = 8 << 20, 220
    told, said = serve(tmp_path, mode, limit, at_once)
    metas, memory = told["metas"], told["memory"]
    assert told["counters"] == {"refused": 0, "dropped": 0, "failed": 0, "faults": 0, "stored": at_once + 1}
    assert 6 << 20 < memory["peak"] <= limit
    assert memory["bytes"] < 1 << 20, "it has room again"
    less = [meta for meta in metas if "less" in (meta.get("flags") or "")]
    timed = [meta for meta in less if meta.get("unseen_memory")]
    assert (len(less) - len(timed), len(timed)) == (memory["sampled"], memory["timed"])
    assert len(timed) > 20 and (memory["sampled"] > 0) == (mode == "deterministic" and SAMPLED)
    for meta in metas:
        assert meta["mode"] == ("sampling" if meta in less else mode)
        assert meta["wall_ns"] > 0 and meta["cpu_ns"] > 0 and meta["status"] == 200 and meta["route"]
        assert (meta.get("calls") is None) == (meta["mode"] == "sampling")
    assert said.count("timed, not profiled") == 1
    assert told["less"] == len(less)
    newest = max(metas, key=lambda meta: meta["started"])
    assert newest not in less


def grow(depth: int) -> None:
    if depth:
        grow(depth - 1)
        other(depth - 1)


def other(depth: int) -> None:
    grow(depth)


@pytest.fixture
def limited() -> Any:
    """Room for so many bytes more than there are now."""
    def limit(more: int) -> int:
        most = (_core.engine_info()["memory"]["bytes"] + more) * 8 // 6 // 8 * 8
        _core.limit_memory(most)
        return most
    yield limit
    _core.limit_memory(128 << 20)


@pytest.mark.skipif(not SAMPLED, reason="there is nothing to go on by")
def test_what_runs_goes_on_by_sampling(limited: Any) -> None:
    """Events get three quarters of it. The rest is there for samples, so that the request goes on with them."""
    most = limited(1 << 20)
    recording = record(lambda: (grow(15), grow(4)), "none", goes_on=True, max_bytes=64 << 20, max_nodes=1 << 20)
    totals = recording.totals()
    assert (recording.by, recording.less) == ("events", False)
    assert 0 < totals["sampled_from_ns"] < totals["wall_ns"]
    assert _core.engine_info()["memory"]["bytes"] <= most
    assert "[by sampling]" in {row["name"] for row in tree(recording)["rows"]}
    recording.discard()


def test_a_timed_recording_is_small_and_exact(limited: Any) -> None:
    limited(1 << 20)
    held = [_core.Recording("none", sampled=True, lessens=True)]
    while held[-1].by != "times":
        assert len(held) < 100
        held.append(_core.Recording("none", sampled=True, lessens=True))
    one = held[-1]
    assert one.less and one.memory < 8 << 10
    one.enter()
    with _core.Span("SELECT 1", "db"):
        grow(6)
    one.leave()
    one.finish()
    totals = one.totals()
    assert totals["less"] and totals["unseen_memory"] == 1 and totals["spans"]["db"][0] == 1
    names = {row["name"] for row in tree(one)["rows"]}
    assert "[not seen] no memory" in names and not [name for name in names if "grow" in name]
    assert one.memory < 24 << 10
    for recording in held:
        recording.discard()


def test_there_is_an_end(limited: Any) -> None:
    """Past all of it a recording is refused, and the sentence names the option."""
    limited(1 << 20)
    held: list[_core.Recording] = []
    with pytest.raises(RuntimeError, match="max_active_bytes"):
        while len(held) < 100_000:
            held.append(_core.Recording("none", lessens=True))
    assert {one.by for one in held} >= {"times"} and len(held) > 10
    for recording in held:
        recording.discard()
    again = _core.Recording("none", lessens=True)
    assert not again.less
    again.discard()


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


BURST = """
import os, sys
sys.path[:0] = sys.argv[1:]
from test_memory import grow, resident
from slowlens import _core, engine
engine.prepare()
def burst():
    held, pinned = [], []
    for _ in range(300):
        recording = _core.Recording("none")
        recording.enter(); grow(9); recording.leave(); recording.finish()
        held.append(recording)
        pinned.append(bytearray(3000))  # the application's: the C library cannot give back what lies below it
    most = resident()
    for recording in held:
        recording.discard()
    return most, pinned
before = resident()
most, pinned = burst()
left = resident()
print(before, most, left)
assert most - before > 16 << 20
assert left - before < 6 << 20, "what a burst took is the system's again"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_memory_of_a_burst_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", BURST, *sys.path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
