"""Trees of all requests: what each did is in its route's tree as often as it happened, whatever is kept."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens import gathering as gathering_module
from slowlens.gathering import Gathering
from slowlens.insight import windows
from slowlens.options import load
from slowlens.request import Incoming
from slowlens.store import Query, open_store
from slowlens.store.interface import QueryError
from slowlens.store.windows import MANY, MANY_SLOT_MS, SLOT_MS, WHOLE_MS, Tree, Windows, add_up, pack, unpack
from slowlens.viewer.app import Viewer
from slowlens.wsgi import ProfilerMiddleware

from conftest import blob_tree, record, wsgi_call


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["slowlens.transaction"].seen.route = environ["PATH_INFO"]
    start_response("200 OK", [])
    return [b"x"]


def blob(weight_of_work: int = 100) -> bytes:
    recording = record(lambda: sum(range(weight_of_work)))
    data = recording.encode({"mode": "deterministic"})
    recording.discard()
    return data


def wall_of(data: bytes) -> int:
    return int(json.loads(_core.Profile(data).summary())["wall_ns"])


def tree_of(data: bytes, route: str = "/p", at: int = 1, requests: int = 1) -> Tree:
    return Tree({"route": route, "method": "GET", "mode": "deterministic", "merged": 1, "requests": requests,
                 "started": at, "until": at + 1}, data)


def test_requests_that_are_not_kept_are_in_the_tree(store_path: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="error", log=False)
    for _ in range(20):
        wsgi_call(middleware, "/p")
    wsgi_call(middleware, "/q")
    writer = middleware.recorder.writer
    assert writer.flush(20)
    assert writer.gathering is not None
    assert writer.gathering.stride >= 1
    found = windows.merged(writer.store, 600, route="/p", method="GET").meta
    assert found["merged"] + writer.gathering.missed <= 21
    assert found["requests"] >= found["merged"] > 0
    assert found["mode"] == "sampling"
    assert Viewer(writer.store, None)._gathers(), "Routes leads to the flame graph of all requests"
    site = windows.merged(writer.store, 600).meta
    assert site["requests"] == found["requests"] + windows.merged(writer.store, 600, route="/q").meta["requests"]
    assert writer.store.list(Query()).rows == []


@pytest.mark.parametrize("clock", [-(10**18), 5, 10_400_000_000 * 10**9, 2**48 * 10**6 - 1])
def test_a_clock_that_stands_anywhere(clock: int, store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1970, in 2299, at the last time that an id can hold: the trees are stored, and found to be trimmed."""
    middleware = ProfilerMiddleware(app, store=store_path, debug=True, continuous=True)
    monkeypatch.setattr(time, "time_ns", lambda: clock)
    for _ in range(20):
        wsgi_call(middleware)
    assert middleware.recorder.writer.flush(20)
    monkeypatch.undo()
    store = open_store(load({"store": store_path}))
    assert sum(tree.meta["requests"] for part in store.windows(-1) for tree in part.trees()) > 0
    middleware.recorder.writer.close()


def test_without_the_option_nothing_is_gathered(store_path: str) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="error", log=False,
                                    continuous=False)
    wsgi_call(middleware, "/p")
    assert middleware.recorder.writer.flush(20)
    assert middleware.recorder.writer.gathering is None
    with pytest.raises(windows.NoWindows):
        windows.merged(middleware.recorder.store, 600)


def test_one_that_speaks_for_others_counts_for_them() -> None:
    gathering = Gathering("r1", "h1")
    data = blob()
    meta = {"route": "/p", "method": "GET", "mode": "deterministic", "db_count": 2}
    gathering.add(data, meta, 1)
    gathering.add(data, meta, 4)
    taken = gathering.take()
    assert taken is not None
    assert gathering.take() is None
    row = json.loads(taken[2][8:8 + int.from_bytes(taken[2][4:8], "little")])["rows"][0]["meta"]
    assert (row["merged"], row["requests"], row["db_count"], row["release"]) == (2, 5, 10, "r1")
    part, _ = unpack(*taken)
    (tree,) = part.trees(route="/p")
    assert wall_of(tree.blob) == 5 * wall_of(data)
    assert list(part.trees(route="/q")) == []


def test_many_are_drawn_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand requests in a second that cost a millisecond each: one of 200 speaks for all."""
    gathering = Gathering("", "")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gathering._adapted = now - 1.0
    gathering.seen, gathering._taken, gathering._spent = 1000, 10, 0.010
    gathering.adapt()
    assert gathering.stride == 200
    drawn = [gathering.draw() for _ in range(20_000)]
    assert set(drawn) == {0, 200}
    assert 10_000 < sum(drawn) < 30_000  # 20,000 +- 5 deviations of 2,000


def test_the_writer_changes_how_many_while_a_request_draws() -> None:
    """It is looked at once: where the second look found 1, the request's begin raised a ValueError, and where it found
    another number, this request spoke for as many as were not drawn for it."""
    told = [2, 1]

    class Changing(Gathering):
        stride = property(lambda self: told.pop(0), lambda self, value: None)  # type: ignore[assignment]

    assert Changing("", "").draw() == 2
    assert told == [1]


def test_those_that_pass_are_counted_where_they_end(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in so many speaks for all; of the others Python hears nothing."""
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="error", log=False)
    writer = middleware.recorder.writer
    gathering = writer.gathering
    assert gathering is not None, "it is on unless it is switched off"
    wsgi_call(middleware, "/p")  # what is done once
    assert writer.flush(20)
    monkeypatch.setattr(gathering, "adapt", lambda: None)
    asked: list[str] = []
    finished = middleware.recorder._finished
    monkeypatch.setattr(middleware.recorder, "_finished",
                        lambda transaction: asked.append(transaction.seen.path) or finished(transaction))
    monkeypatch.setattr(gathering, "_gap", lambda stride: 7)
    gathering.seen, gathering.skip, gathering.stride = 0, 40, 50
    for _ in range(41):
        wsgi_call(middleware, "/p")
    assert gathering.seen == 41
    assert asked == ["/p"], "the one after the forty"
    assert gathering.skip == 7
    assert writer.flush(20)
    assert windows.merged(writer.store, 600, route="/p").meta["requests"] == 51


def test_who_waits_keeps_no_code_object_alive(store_path: str) -> None:
    """Code that was made for a request goes with it, and is called what it was called all the same."""
    freed: list[str] = []
    name, length = "made_" + "x" * 200, len("made_" + "x" * 200)

    def work() -> None:
        space: dict[str, Any] = {}
        exec(compile(f"def {name}(x):\n    return len(str(x))\n", f"/app/{name}.py", "exec"), space)
        weakref.finalize(space[name].__code__, freed.append, "made")
        space[name](1)

    recording = record(work)
    gc.collect()  # its globals hold it
    assert freed == []
    gathering = Gathering("", "")
    assert gathering.put(recording, "/p", "GET", "deterministic", 1)
    assert freed == ["made"]
    others = [f"{one:0{length + more}d}" for more in (0, 8) for one in range(5000)]  # where its names were
    assert gathering.work() > 0
    assert len(others) == 10_000
    taken = gathering.take()
    assert taken is not None
    (tree,) = unpack(*taken)[0].trees()
    found = blob_tree(_core.Profile(tree.blob))
    functions = {one["name"]: one for one in found["functions"].values()}
    rows = {row["name"]: row for row in found["rows"]}
    assert functions[name]["file"] == f"/app/{name}.py"
    assert rows[name]["call_line"] == work.__code__.co_firstlineno + 4


def test_what_lives_anyway_is_named_by_the_writer() -> None:
    recording = record(lambda: json.dumps({}))
    recording.let_go()
    names = {row["name"] for row in blob_tree(_core.Profile(recording.encode({"mode": "deterministic"})))["rows"]}
    assert "dumps" in names
    recording.let_go()  # again, and after it was encoded
    recording.discard()
    with pytest.raises(RuntimeError):
        recording.let_go()


@pytest.mark.parametrize("options", [{"keep": "error"}, {"keep": "random:0.5"}, {"keep": "all", "sample_rate": 0.5}])
def test_an_app_that_seeds_gets_its_own_sequence(
    options: dict[str, Any], store_path: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x"]

    middleware = ProfilerMiddleware(plain, store=store_path, mode="sampling", log=False, **options)
    gathering = middleware.recorder.writer.gathering
    assert gathering is not None
    monkeypatch.setattr(gathering, "adapt", lambda: None)
    state = random.getstate()
    try:
        random.seed(1)
        alone = [random.random() for _ in range(20)]
        random.seed(1)
        gathering.stride, gathering.skip, beside = 3, 0, []
        for _ in range(20):
            wsgi_call(middleware, "/p")
            beside.append(random.random())
    finally:
        random.setstate(state)
    assert beside == alone
    assert middleware.recorder.writer.flush(20)


def test_trees_that_come_faster_than_they_are_added_hold_nothing_up(
    store_path: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="error", log=False)
    writer = middleware.recorder.writer
    monkeypatch.setattr(writer, "start", lambda: True)  # its thread is this one
    gathering = writer.gathering
    assert gathering is not None
    real, adapt, adapted, worked = gathering.work, gathering.adapt, [], []

    def put() -> None:
        assert gathering.put(record(lambda: None), "/p", "GET", "deterministic", 1)

    def work() -> int:
        assert len(worked) < 10_000, "it never ends"
        worked.append(put())
        return real()

    monkeypatch.setattr(gathering, "work", work)
    monkeypatch.setattr(gathering, "adapt", lambda: adapted.append(adapt()))
    put()
    writer._gather(False)
    assert len(adapted) == 1
    assert gathering.waiting
    writer._asked = True
    writer._turn()
    assert len(adapted) == 2
    assert len(worked) == 2
    assert not writer._asked
    assert writer.wanted, "what waits is looked for soon, by whomever"
    monkeypatch.setattr("slowlens.writer.parked", lambda: True)  # another thread forks
    writer._asked = True
    writer._turn()
    assert len(worked) == 2
    assert writer._asked, "whoever flushes goes on waiting"
    monkeypatch.undo()
    assert writer.flush(20)
    assert not gathering.waiting


def test_trees_that_cannot_be_stored_are_counted(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, mode="sampling", keep="error", log=False)
    writer = middleware.recorder.writer
    monkeypatch.setattr(writer, "start", lambda: True)
    gathering = writer.gathering
    assert gathering is not None
    for _ in range(3):
        assert gathering.put(record(lambda: None), "/p", "GET", "deterministic", 1)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer.store, "put_window", full)
    writer._gather(True)
    assert gathering.added == 0
    assert middleware.recorder.counters()["ungathered"] == 3


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many wait, so many routes have a tree; what is more is counted, or of the route [other]; much goes early."""
    gathering = Gathering("", "")
    taken = [gathering.put(record(lambda: None), "/p", "GET", "deterministic", 1)
             for _ in range(gathering_module.WAITING_MAX + 3)]
    assert taken.count(True) == gathering_module.WAITING_MAX
    assert gathering.missed == 3
    gathering.work()
    monkeypatch.setattr(gathering_module, "WAITING_BYTES", gathering.waiting.bytes)
    assert not gathering.put(record(lambda: None), "/p", "GET", "deterministic", 1)
    monkeypatch.setattr(gathering_module, "ROUTES_MAX", 2)
    data = blob()
    for route in ("/a", "/b", "/c", "/d"):
        gathering.add(data, {"route": route, "method": "GET", "mode": "deterministic"}, 1)
    assert gathering.count == 3
    assert gathering.due() > 0
    monkeypatch.setattr(gathering_module, "BYTES_MAX", 1)
    assert gathering.due() == 0.0
    stored = gathering.take()
    assert stored is not None
    counts = {tree.meta["route"]: tree.meta["requests"] for tree in unpack(*stored)[0].trees()}
    assert counts == {"/p": 1, "/a": 1, "[other]": 3}
    assert gathering.due() > 0


def test_slices_of_a_slot_become_one_and_count_once(tmp_path: Path) -> None:
    store = Windows(str(tmp_path))
    data = blob()
    old = 10 * SLOT_MS
    names = [store.put(old + at, old + at + 5, pack([tree_of(data, at=at + 1)])) for at in range(4)]
    kept = {name: (Path(store.folder) / name).read_bytes() for name in names}
    now = old + SLOT_MS + WHOLE_MS + 1
    store.tend(1 << 30, 0, now_ms=now - 2)
    assert len(store._names()) == 4  # too early
    store.tend(1 << 30, 0, now_ms=now)
    (one,) = store._names()
    assert one[2].endswith(".slx")
    (tree,) = [tree for part in store.read(0, 0) for tree in part.trees()]
    assert (tree.meta["merged"], tree.meta["requests"], tree.meta["started"]) == (4, 4, 1)
    assert wall_of(tree.blob) == 4 * wall_of(data)
    for name in names[:2]:  # as if killed before they were deleted
        (Path(store.folder) / name).write_bytes(kept[name])
    (tree,) = [tree for part in store.read(0, 0) for tree in part.trees()]
    assert tree.meta["requests"] == 4
    store.tend(1 << 30, 0, now_ms=now)
    (tree,) = [tree for part in store.read(0, 0) for tree in part.trees()]
    assert tree.meta["requests"] == 4


def requests_in(store: Windows) -> int:
    return sum(tree.meta["requests"] for part in store.read(-1, 0) for tree in part.trees())


def test_many_small_ones_of_a_minute_become_one_at_once(tmp_path: Path) -> None:
    """Children that live for one task write one each: their blocks would fill the share of all."""
    store = Windows(str(tmp_path))
    data = pack([tree_of(blob())])
    now = 1000 * SLOT_MS + 5 * MANY_SLOT_MS
    for at in range(MANY + 100):
        store.put(now + at, now + at, data)
    before = store.put(now - 1, now - 1, data)
    store.tend(1 << 30, 0, now_ms=now + MANY)
    one, many = store._names()
    assert one[2] == before, "the last minute can be told from the one before"
    assert many[2].endswith(".slx")
    assert many[:2] == (now, now + MANY + 99)
    assert requests_in(store) == MANY + 101
    kept = (Path(store.folder) / many[2]).read_bytes()
    for at in range(MANY + 1):  # the minute goes on
        store.put(now + at, now + at, data)
    store.tend(1 << 30, 0, now_ms=now + MANY)
    assert len(store._names()) == 2
    assert requests_in(store) == 2 * MANY + 102
    (Path(store.folder) / many[2]).write_bytes(kept)  # as if killed before it was deleted
    assert requests_in(store) == 2 * MANY + 102
    for _ in range(2):
        store.tend(1 << 30, 0, now_ms=now + 2 * SLOT_MS + WHOLE_MS)
        assert len(store._names()) == 1
        assert requests_in(store) == 2 * MANY + 102


def test_what_cannot_be_read_now_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor left for a moment; another user's; a later version's."""
    store = Windows(str(tmp_path))
    data = pack([tree_of(blob())])
    now = SLOT_MS + WHOLE_MS + 1
    names = [store.put(at, at, data) for at in range(4)]
    later = store.put(5, 5, b"SLW2" + data[4:])
    closed: dict[str, int] = {names[0]: errno.EMFILE, names[1]: errno.EACCES}

    def opened(path: Any, *rest: Any) -> Any:
        code = closed.get(os.path.basename(str(path)))
        if code is not None:
            raise OSError(code, os.strerror(code), path)
        return open(path, *rest)

    monkeypatch.setattr("slowlens.store.windows.open", opened, raising=False)
    store.tend(1 << 30, 0, now_ms=now)
    left = [one[2] for one in store._names()]
    assert {*names[:2], later} < set(left)
    assert len(left) == 4
    closed.clear()
    assert requests_in(store) == 4
    store.tend(1 << 30, 0, now_ms=now)
    assert {names[1], later} < {one[2] for one in store._names()}
    assert len(store._names()) == 3
    assert requests_in(store) == 4
    store.tend(1 << 30, 0, now_ms=now)  # nothing more can be done, and nothing is
    assert len(store._names()) == 3


def test_brackets_without_end_do_not_end_keeping_house(tmp_path: Path) -> None:
    store = Windows(str(tmp_path))
    text = b"[" * 200_000
    store.put(1, 1, b"SLW1" + len(text).to_bytes(4, "little") + text)
    store.put(2, 2, pack([tree_of(blob())]))
    assert requests_in(store) == 1
    store.tend(1 << 30, 0, now_ms=SLOT_MS + WHOLE_MS + 1)
    assert len(store._names()) == 1
    assert requests_in(store) == 1


def test_what_is_too_old_or_too_much_goes(tmp_path: Path) -> None:
    store = Windows(str(tmp_path))
    now = 100 * SLOT_MS
    for at in range(3):
        store.put(now + at, now + at, pack([tree_of(blob())]))
    store.tend(1 << 30, 1, now_ms=now + 1001)
    assert [one[1] for one in store._names()] == [now + 1, now + 2]
    store.tend(os.stat(Path(store.folder) / store._names()[0][2]).st_blocks * 512, 0, now_ms=now)
    assert [one[1] for one in store._names()] == [now + 2]


def test_what_is_no_slice_is_passed_over(tmp_path: Path) -> None:
    store = Windows(str(tmp_path))
    whole = pack([tree_of(blob())])
    for at, data in enumerate((b"", b"SLW1", whole[:40], whole[:-1], b"XXXX" + whole[4:], b"SLW1\xff\xff\xff\xff{")):
        store.put(at, at, data)
    assert list(store.read(-1, 0)) == []
    assert add_up([Tree({}, b"no blob")], {}) is None


def get(viewer: Viewer, path: str, query: str) -> tuple[int, list[tuple[str, str]], bytes]:
    incoming = Incoming("GET", f"/{path}", query, "localhost", "127.0.0.1", False, {}, None, False)
    answer = viewer.handle(incoming, path, "/")
    assert answer is not None
    return answer


def test_the_viewer_shows_an_hour_and_answers_scrapes(store_path: str) -> None:
    now = int(time.time() * 1000)
    store = open_store(load({"store": store_path}))
    data = blob()
    store.put_window(now - 50, now, pack([tree_of(data, "/p"), tree_of(data, "/q")]))  # type: ignore[attr-defined]
    viewer = Viewer(store, None)
    status, _, body = get(viewer, "api/requests/aggregate", "route=/p&last=1h")
    assert status == 200
    assert json.loads(body)["wall_ns"] == wall_of(data)
    status, _, body = get(viewer, "api/requests/aggregate/flame", "last=1h")
    assert status == 200
    assert get(viewer, "api/requests/aggregate", "route=/none&last=1h")[0] == 404
    assert get(viewer, "api/requests/aggregate", "route=/p&last=soon")[0] == 400
    assert get(viewer, "api/requests/aggregate/spread", "route=/p&last=1h")[0] == 404
    status, _, body = get(viewer, "pprof", "seconds=60")
    assert status == 200
    assert body[:2] == b"\x1f\x8b"
    status, _, idle = get(viewer, "pprof", "seconds=60&route=/none")
    assert status == 200
    assert idle[:2] == b"\x1f\x8b"
    assert len(idle) < len(body)


def test_times_are_words() -> None:
    assert [windows.seconds_of(text) for text in ("90s", "15m", "1h", "7d", "2w")] == [
        90, 900, 3600, 604_800, 1_209_600]
    for text in ("", "1", "h", "0h", "-1h", "1.5h"):
        with pytest.raises(QueryError):
            windows.seconds_of(text)


def test_a_gather_refuses_what_is_no_blob() -> None:
    gather = _core.Gather()
    with pytest.raises(_core.CorruptError):
        gather.add(b"no blob")
    with pytest.raises(ValueError):
        gather.encode({})
    data = blob()
    gather.add(data)
    assert gather.count == 1
    assert not gather.full
    assert gather.nodes > 0
    assert gather.memory > 0
    rows = blob_tree(_core.Profile(gather.encode({"mode": "deterministic"})))["rows"]
    assert [row["name"] for row in rows] == [row["name"] for row in blob_tree(_core.Profile(data))["rows"]]
    assert gather.count == 0
