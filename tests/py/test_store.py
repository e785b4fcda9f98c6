"""The directory store: files are the truth, the index is a cache, bounds hold."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens.request import new_id
from slowlens.store import Query, StoreError
from slowlens.store.directory import DirectoryStore
from slowlens.store.files import FileStore

from conftest import record
from programs import fib

BLOBS: dict[str, Any] = {}


def row(i: int, **values: Any) -> tuple[dict[str, Any], bytes]:
    """A profile of second ``i``."""
    started = values.pop("started", time.time_ns() - (1000 - i) * 1_000_000_000)
    meta = {"id": new_id(started), "started": started, "wall_ns": i * 1_000_000, "cpu_ns": i * 1000, "method": "GET",
            "path": f"/p/{i}", "route": f"/r/{i % 3}", "status": 200, "mode": "deterministic", **values}
    profile = BLOBS.setdefault("profile", record(lambda: fib(3)))
    blob = profile.encode(meta)
    return {**meta, "hot": f"views.f{i} 90%"}, blob


@pytest.fixture
def store(store_path: str) -> DirectoryStore:
    return DirectoryStore(store_path)


def fill(store: DirectoryStore, count: int, **values: Any) -> list[str]:
    ids = []
    for i in range(count):
        meta, blob = row(i, **values)
        store.put(meta, blob)
        ids.append(meta["id"])
    return ids


def test_put_get_list_delete(store: DirectoryStore) -> None:
    meta, blob = row(5)
    store.put(meta, blob)
    assert store.get(meta["id"]) == blob
    assert store.list(Query()).rows[0]["path"] == "/p/5"
    assert store.list(Query()).rows[0]["hot"] == "views.f5 90%"
    assert store.delete(meta["id"]) is True
    assert store.delete(meta["id"]) is False
    assert store.get(meta["id"]) is None
    assert store.list(Query()).rows == []


def test_private_and_plain(store: DirectoryStore) -> None:
    fill(store, 3)
    files = list(Path(store.root).rglob("*.slowlens"))
    assert len(files) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700
    assert list((Path(store.root) / "tmp").iterdir()) == []


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "x" * 26, "/etc/passwd", "0" * 25 + "/", "0" * 26 + "\x00"])
def test_ids_from_outside_reach_no_file(store: DirectoryStore, bad: str) -> None:
    fill(store, 1)
    assert store.get(bad) is None
    assert store.delete(bad) is False


def test_links_are_not_followed(store: DirectoryStore, tmp_path: Path) -> None:
    ids = fill(store, 1)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = next(Path(store.root).rglob("*.slowlens"))
    path.unlink()
    path.symlink_to(secret)
    assert store.get(ids[0]) is None


def test_pages_by_every_sort_meet_every_row_once(store: DirectoryStore) -> None:
    ids = set(fill(store, 53))
    for sort in ("-started", "started", "-wall_ns", "route", "-status"):
        seen: list[str] = []
        cursor = None
        while True:
            page = store.list(Query(sort=sort, limit=10, cursor=cursor))
            seen += [one["id"] for one in page.rows]
            cursor = page.next
            if cursor is None:
                break
        assert len(seen) == 53 and set(seen) == ids
    walls = [one["wall_ns"] for one in store.list(Query(sort="-wall_ns")).rows]
    assert walls == sorted(walls, reverse=True)


def test_filters(store: DirectoryStore) -> None:
    fill(store, 10)
    for i, status in enumerate((404, 500, 503)):
        meta, blob = row(20 + i, status=status, method="POST")
        store.put(meta, blob)
    count = lambda **values: len(store.list(Query(**values)).rows)  # noqa: E731
    assert count(route="/r/1") == 3 + 1
    assert count(method="post") == 3
    assert count(status="404") == 1
    assert count(status="5xx") == 2
    assert count(status="error") == 2
    assert count(min_ns=20_000_000) == 3
    assert count(text="views.f2") == 4
    assert count(text="%") == 13  # in "90%", not a wildcard
    assert count(text="/p/_") == 0
    assert count(mode="sampling") == 0
    middle = store.list(Query(sort="started")).rows[5]["started"]
    assert count(since=middle) + count(until=middle) == 13


def test_tags_are_found_whole(store: DirectoryStore) -> None:
    for i, tags in enumerate([{"tag.tenant": "7"}, {"tag.tenant": "77", "tag.plan": "a\nb=c"}, {}]):
        store.put(*row(i, **tags))
    paths = lambda tag: sorted(one["path"] for one in store.list(Query(tag=tag)).rows)  # noqa: E731
    assert paths("tenant=7") == ["/p/0"]
    assert paths("tenant") == ["/p/0", "/p/1"]
    assert paths("plan=a b=c") == ["/p/1"]
    assert paths("b=c") == [] and paths("enant=7") == [] and paths("%") == []


@pytest.mark.parametrize("query", [Query(sort="path; DROP TABLE"), Query(cursor="nonsense"), Query(status="many"),
                                   Query(cursor="WyJ3YWxsX25zIiwxLCJ4Il0=")])
def test_nonsense_is_refused(store: DirectoryStore, query: Query) -> None:
    fill(store, 1)
    with pytest.raises(StoreError):
        store.list(query)


def test_routes(store: DirectoryStore) -> None:
    fill(store, 100)
    meta, blob = row(500, status=500, route="/r/0")
    store.put(meta, blob)
    routes = {one["route"]: one for one in store.routes()}
    assert routes["/r/1"]["count"] == 33
    assert routes["/r/1"]["p50"] == 49_000_000
    assert routes["/r/1"]["p95"] == 94_000_000
    assert routes["/r/0"]["max"] == 500_000_000
    assert routes["/r/0"]["worst"] == meta["id"]
    assert routes["/r/0"]["error_share"] == 1 / 35


@pytest.mark.parametrize("harm", ["delete", "garbage", "other version"])
def test_the_index_is_rebuilt(store: DirectoryStore, harm: str) -> None:
    ids = set(fill(store, 20))
    index = Path(store.root) / "index.sqlite3"
    del store._local.connection
    if harm != "other version":
        for end in ("-wal", "-shm"):
            Path(str(index) + end).unlink(missing_ok=True)
    if harm == "delete":
        index.unlink()
    elif harm == "garbage":
        index.write_bytes(b"this is no database" * 1000)
    else:
        connection = sqlite3.connect(index)
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
        connection.close()
    again = DirectoryStore(store.root)
    assert {one["id"] for one in again.list(Query(limit=100)).rows} == ids


def test_an_index_that_vanishes_under_a_running_process(store: DirectoryStore) -> None:
    fill(store, 3)
    for file in Path(store.root).glob("index.sqlite3*"):
        file.unlink()
    fill(store, 1)
    assert len(store.list(Query()).rows) == 4


def test_damaged_blobs_are_left_out_of_a_rebuild(store: DirectoryStore) -> None:
    fill(store, 5)
    files = sorted(Path(store.root).rglob("*.slowlens"))
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:40])
    for file in Path(store.root).glob("index.sqlite3*"):
        file.unlink()
    assert len(DirectoryStore(store.root).list(Query()).rows) == 3


def test_a_store_that_is_removed_is_made_again(store: DirectoryStore) -> None:
    import shutil

    fill(store, 1)
    shutil.rmtree(store.root)
    with pytest.raises(StoreError):
        fill(store, 1)
    fill(store, 1)
    assert len(store.list(Query()).rows) == 1


def test_unusable_stores_say_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot make the store" in (DirectoryStore(str(file / "x")).problem() or "")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "writable by other users" in (DirectoryStore(str(shared)).problem() or "")
    with pytest.raises(StoreError, match="writable by other users"):
        fill(DirectoryStore(str(shared)), 1)
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        assert DirectoryStore(str(closed / "x")).problem()


def test_retention_by_age(store: DirectoryStore) -> None:
    old = fill(store, 5, started=time.time_ns() - 20 * 86400 * 1_000_000_000)
    young = fill(store, 5)
    done = store.gc(10)
    assert done["deleted"] == 5
    assert all(store.get(one) is None for one in old)
    assert all(store.get(one) for one in young)
    assert not [path for path in (Path(store.root) / "blobs").rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_retention_by_bytes_spares_the_worst(store_path: str) -> None:
    store = DirectoryStore(store_path, worst_per_route=2)
    ids = fill(store, 60)
    size = store.gc(0)["bytes"]
    small = DirectoryStore(store_path, max_bytes=size // 2, worst_per_route=2)
    done = small.gc(10)
    assert done["bytes"] <= size // 2
    left = {one["id"] for one in small.list(Query(limit=100)).rows}
    assert set(ids[-6:]) <= left, "the two slowest of each of three routes"
    assert ids[0] not in left
    tiny = DirectoryStore(store_path, max_bytes=1, worst_per_route=2)
    assert tiny.gc(10)["kept"] == 0


def test_what_is_pinned_outlives_retention_and_the_index(store_path: str) -> None:
    store = DirectoryStore(store_path, max_bytes=1)
    ids = fill(store, 6)
    assert store.pin(ids[0], True) and store.pin(ids[1], True)
    assert not store.pin("0" * 26, True), "there is none of that id"
    assert not store.pin("../../x", True)
    store.gc(10)
    assert {row["id"] for row in store.list(Query()).rows} == {ids[0], ids[1]}
    os.unlink(os.path.join(store_path, "index.sqlite3"))
    again = DirectoryStore(store_path, max_bytes=1)
    assert all(row["pinned"] for row in again.list(Query()).rows)
    assert again.pin(ids[0], False)
    again.gc(10)
    assert [row["id"] for row in again.list(Query()).rows] == [ids[1]]
    assert again.delete(ids[1]), "by hand it can go"
    assert os.listdir(os.path.join(store_path, "pins")) == []


def test_retention_goes_in_steps(store_path: str) -> None:
    fill(DirectoryStore(store_path), 50)
    tiny = DirectoryStore(store_path, max_bytes=1)
    done = tiny.gc(0.0)
    assert 0 < done["deleted"] < 50


def test_leftovers_of_killed_writers_go(store: DirectoryStore) -> None:
    fill(store, 1)
    leftover = Path(store.root) / "tmp" / "half"
    leftover.write_text("half a blob")
    os.utime(leftover, (1, 1))
    store.gc(1)
    assert not leftover.exists()


def _write_many(path: str, count: int) -> None:
    fill(DirectoryStore(path), count)


def test_many_processes_share_a_store(store_path: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(store_path, 40)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = DirectoryStore(store_path)
    assert len(store.list(Query(limit=500)).rows) == 160
    assert len(list(Path(store_path).rglob("*.slowlens"))) == 160


def _write_until_killed(path: str) -> None:
    store = DirectoryStore(path)
    while True:
        fill(store, 10)


@pytest.mark.slow
def test_kill_9_leaves_a_readable_store(store_path: str) -> None:
    context = multiprocessing.get_context("spawn")
    for round_ in range(5):
        worker = context.Process(target=_write_until_killed, args=(store_path,))
        worker.start()
        deadline = time.monotonic() + 20
        while not list(Path(store_path).rglob("*.slowlens")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05 + 0.03 * round_)
        worker.kill()
        worker.join()
        store = DirectoryStore(store_path)
        rows = store.list(Query(limit=500)).rows
        assert rows
        assert all(store.get(one["id"]) for one in rows)
        for path in Path(store_path).rglob("*.slowlens"):
            json.loads(__import__("slowlens._core", fromlist=["x"]).Profile(path.read_bytes()).meta())


def test_single_files_are_a_store(tmp_path: Path) -> None:
    meta, blob = row(7)
    file = tmp_path / "one.slowlens"
    file.write_bytes(blob)
    store = FileStore([str(file), str(file)])
    rows = store.list(Query()).rows
    assert len(rows) == 2
    assert store.get(meta["id"]) == blob
    assert store.routes()[0]["count"] == 2
    with pytest.raises(StoreError):
        store.delete(meta["id"])
    file.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=r"one.slowlens: not a slowlens profile"):
        FileStore([str(file)])
    with pytest.raises(StoreError, match="No such file"):
        FileStore([str(tmp_path / "missing")])
