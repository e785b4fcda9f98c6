"""Metadata that a number or a text does not fit into: of a file of somebody else, of another version, of an app that
says nonsense. Nothing of the viewer or the command line fails over it, and the profiles beside it are there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine
from slowlens.cli import main
from slowlens.request import new_id, wsgi_incoming
from slowlens.store.directory import DirectoryStore
from slowlens.store.files import FileStore
from slowlens.viewer.app import Viewer

ODD: list[dict[str, Any]] = [
    {"wall_ns": 2**63 - 1}, {"wall_ns": -(2**63)}, {"wall_ns": "abc"}, {"cpu_ns": -1}, {"status": -1},
    {"status": "abc"}, {"status": 2**40}, {"started": "x"}, {"started": -5}, {"started": 2**63 - 1}, {"method": 5},
    {"path": 7}, {"path": "/\udc80"}, {"path": "/" + "a" * 100_000}, {"path": "/\x1b[2J\u202e"}, {"route": "/a\0b"},
    {"route": ""},
    {"mode": 5}, {"mode": "x\ny"}, {"pid": 2**62}, {"flags": 3}, {"hot": 5}, {"kept": 1}, {"held_ns": 5},
    {"id": "x"}, {"id": 7}, {"interval_ns": -5}, {"tag.a\nb": "c\nd"}, {"tag.": "<script>"}, {"": "x"},
    {"release": 7}, {"host": "\0"}, {"traceparent": "x" * 3000}, {"db_count": -1}, {"db_ns": 2**63 - 1},
    {"blocked_ns": "y"}, {"bytes": 2**63 - 1}, {"framework": None},
]


def blob_of(meta: dict[str, Any]) -> bytes:
    recording = _core.Recording("all")
    recording.enter()
    len("x")
    recording.leave()
    recording.finish()
    return recording.encode(meta)


def base(at: int) -> dict[str, Any]:
    return {"id": new_id(at), "started": at, "mode": "deterministic", "method": "GET", "path": "/ok", "route": "/ok",
            "status": 200, "kept": "all", "wall_ns": 5_000_000, "cpu_ns": 1000}


def asked(viewer: Viewer, path: str, query: str = "") -> tuple[int, bytes]:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/" + path, "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1",
               "HTTP_HOST": "localhost", "wsgi.url_scheme": "http"}
    response = viewer.handle(wsgi_incoming(environ), path, "/")
    assert response is not None
    if response.headers[0][1].startswith("application/json"):
        json.loads(response.body)
    return response.status, response.body


@pytest.mark.parametrize("kind", ["store", "files"])
def test_odd_metadata_bricks_nothing(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.prepare()
    now = time.time_ns()
    good, odd = base(now), {}
    blobs = {json.dumps(one): blob_of({**base(now + (at + 1) * 10**6), **one}) for at, one in enumerate(ODD)}
    if kind == "store":
        store: Any = DirectoryStore(str(tmp_path / "store"))
        store.put(good, blob_of(good))
        for at, (name, blob) in enumerate(blobs.items()):
            row = {**base(now + (at + 1) * 10**6), **ODD[at]}
            odd[name] = row["id"] = row["id"] if isinstance(row["id"], str) and len(row["id"]) > 20 else new_id(now)
            store.put(row, blob)
    else:
        folder = tmp_path / "files"
        folder.mkdir()
        (folder / "good.slowlens").write_bytes(blob_of(good))
        for at, blob in enumerate(blobs.values()):
            (folder / f"{at}.slowlens").write_bytes(blob)
        store = FileStore(sorted(str(path) for path in folder.iterdir()))
    viewer = Viewer(store, None)
    for sort in ("", "sort=-wall_ms", "sort=status", "sort=-started"):
        status, body = asked(viewer, "api/requests", sort + "&limit=100")
        rows = json.loads(body)["requests"]
        assert status == 200 and len(rows) == 1 + len(ODD), (sort, status, len(rows))
        assert good["id"] in [row["id"] for row in rows]
    for row in rows:
        for what in ("", "/tree", "/functions", "/spans", "/lines"):
            status, body = asked(viewer, f"api/requests/{row['id']}{what}")
            assert status in (200, 400, 404), (row, what, status, body[:300])
        for form in _core.EXPORT_FORMATS:
            status, body = asked(viewer, f"requests/{row['id']}/profile", "format=" + form)
            assert status == 200, (row, form, status, body[:300])
    for path, query in (("api/routes", ""), ("api/requests/aggregate", "route=/ok"), ("api/requests/counts", ""),
                        ("api/requests/aggregate/tree", "route=/ok"), ("api/regressions", ""), ("api/live", ""),
                        ("api/compare", "route=/ok&method=GET")):
        status, body = asked(viewer, path, query)
        assert status in (200, 404), (path, status, body[:300])
    place = ["--store", str(tmp_path / "store")] if kind == "store" else []
    files = [] if kind == "store" else [str(tmp_path / "files")]
    assert main([*place, "list", *files]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said and "\0" not in said


UNSEEN = ("rejected", "unseen_torn", "unseen_greenlet", "unseen_shim", "unseen_deep", "unseen_moved", "unseen_room",
          "unseen_memory", "unseen_late")


def as_told(totals: dict[str, Any], mode: str) -> dict[str, Any]:
    """What totals come to, said another way."""
    sampled = mode == "sampling"
    found = {"mode": mode, "wall_ns": totals["wall_ns"], "cpu_ns": totals["cpu_ns"], "nodes": totals["nodes"],
             "profile_bytes": totals["bytes"]}
    some = ["await_ns", "loop_ns", "idle_ns", "gc_ns", "step_ns", "sampled_from_ns"]
    if sampled or totals["sampled_from_ns"]:
        found |= {"samples": totals["samples"], "interval_ns": totals["interval_ns"]}
        some += UNSEEN
    if not sampled:
        found |= {"calls": totals["events"], "c_calls": totals["c_events"]}
        some.append("resumes")
    found |= {name: totals[name] for name in some if totals[name]}
    for kind, (count, ns) in totals["spans"].items():
        if kind in ("db", "http", "cache", "template"):
            found |= {f"{kind}_count": count, f"{kind}_ns": ns}
    flags = [name for name in ("truncated", "displaced", "less") if totals[name]]
    flags += ["partial"] if totals["dropped"] or totals["unwatched"] else []
    found |= {"flags": ",".join(flags)} if flags else {}
    running = totals["wall_ns"] - totals["await_ns"] - totals["loop_ns"] - totals["idle_ns"]
    waiting = max(0, running - totals["cpu_ns"])
    found["waiting_ns"] = waiting
    if totals["seen_ns"] * 2 >= running and totals["samples"]:
        queue = min(waiting, totals["run_queue_ns"])
        gil = min(waiting - queue, totals["gil_ns"])
        left = waiting - queue - gil
        found |= {"gil_wait_ns": gil, "blocked_ns": left} | ({"run_queue_ns": queue} if queue else {})
        for name in ("lock_ns", "socket_ns", "disk_ns", "sleep_ns", "poll_ns", "child_ns"):
            part = min(left, totals[name])
            found |= {name: part} if part else {}
            left -= part
    return found


@pytest.mark.parametrize("options", [
    {"sampled": True, "anyway": True}, {"follows": True}, {"max_nodes": 4}, {"max_nodes": 8, "goes_on": True}])
def test_what_a_recording_came_to_is_its_totals(options: dict[str, Any]) -> None:
    recording = _core.Recording(**options)
    recording.enter()
    for part in range(40):
        json.loads(json.dumps({"part": [part] * 50}))
        exec(compile(f"def f{part}():\n    return {part}\nf{part}()", f"part{part}.py", "exec"), {})
        with _core.Span(f"SELECT {part % 3}", "db"):
            time.sleep(0.001)
    recording.leave()
    recording.finish()
    mode = "sampling" if "sampled" in options else "deterministic"
    meta: dict[str, Any] = {"mode": mode}
    totals = recording.totals()
    more = recording.complete(meta)
    assert meta == as_told(totals, mode)
    events = totals["events"] + totals["resumes"]
    wanted = (events, totals["c_events"], totals["held_ns"])
    assert more == (wanted if any(wanted) else None)
    recording.discard()
