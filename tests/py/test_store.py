"""The folder store: what every store does, and what segments are for. Also: single files."""

from __future__ import annotations

import errno
import gc
import json
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.cli import main
from slowlens.options import OptionsError, load
from slowlens.request import new_id
from slowlens.store import Query, Store, StoreError, open_store, segments
from slowlens.store.copying import copy
from slowlens.store.directory import DirectoryStore
from slowlens.store.files import FileStore

from store_contract import StoreContract, count_requests, fill, gather, ids_of, profile, requests_of

DATA = Path(__file__).parent.parent / "data"


class TestFolder(StoreContract):
    def open(self, place: Path) -> Store:
        return DirectoryStore(str(place / "store"))


class TestFolderOfManySegments(StoreContract):
    """Every few profiles a new one: footers, rotation and adoption take part in all of it."""

    def open(self, place: Path) -> Store:
        store = DirectoryStore(str(place / "store"))
        store._part = 1500
        store._retain = lambda *args: 0  # type: ignore[method-assign]  # it would choose the size anew
        return store


@pytest.fixture
def store(store_path: str) -> DirectoryStore:
    return DirectoryStore(store_path)


def files(root: str) -> list[Path]:
    return sorted(Path(root, "segments").glob("*.sls"))


def kinds(path: Path) -> list[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return [record.kind for record, _ in segments.records_of(fd)]
    finally:
        os.close(fd)


def seal(store: DirectoryStore) -> None:
    """As if the segment were full."""
    segment = store._segment
    assert segment is not None
    with store._changing():
        store._worst.load()
        store._seal(segment.number, segment.path, segment.fd, segment.size)
        store._worst.save()
    store._let_go()


def test_records_of_one_kind_are_found_as_among_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the segment is cut off or damaged, from wherever one looks, however little is read at once."""
    store = DirectoryStore(str(tmp_path / "store"))
    for i in range(12):
        store.put(*profile(i))
        if i % 3 == 0:
            store.append(segments.NUMBERS, bytes(16), b"12345678", bytes(50 * i))
    store.close()
    (path,) = (tmp_path / "store" / "segments").iterdir()
    whole = path.read_bytes()
    cut = tmp_path / "cut"
    for window in (segments.HEAD, 700, 1 << 20):
        monkeypatch.setattr(segments, "WINDOW", window)
        for size in (*range(0, len(whole), 97), len(whole)):
            for damaged in (False, True):
                data = bytearray(whole[:size])
                if damaged:
                    data[size // 2:size // 2 + 40] = b"x" * len(data[size // 2:size // 2 + 40])
                cut.write_bytes(data)
                with open(cut, "rb") as file:
                    fd = file.fileno()
                    every = [record for record, _ in segments.records_of(fd)]
                    for start in (0, *(record.at + record.size for record in every[::5])):
                        found, at = segments.find(fd, start, segments.NUMBERS)
                        expected = [one for one, _ in segments.records_of(fd, start)]
                        assert found == [one for one in expected if one.kind == segments.NUMBERS]
                        if expected and not damaged:
                            assert at == expected[-1].at + expected[-1].size
                        more, _ = segments.find(fd, at, segments.NUMBERS)
                        assert more == [], "what was found is not found again"


def test_one_file_a_process_private_and_plain(store: DirectoryStore) -> None:
    ids = fill(store, 30)
    assert len(files(store.root)) == 1
    path = files(store.root)[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700
    assert kinds(path) == [segments.BEGIN, *[segments.PROFILE] * 30]
    seal(store)
    assert kinds(path)[-1] == segments.FOOTER
    assert set(ids_of(DirectoryStore(store.root))) == set(ids)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd program")
def test_zstd_takes_a_segment(store: DirectoryStore) -> None:
    ids = fill(store, 5)
    store.delete(ids[1])
    seal(store)
    path = files(store.root)[0]
    assert subprocess.run(["zstd", "-t", str(path)], capture_output=True).returncode == 0
    content = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    assert content.count(b"slowlens\x01\x00") == 4  # how each begins; paths of files may have the name in them


def test_parents_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fill(DirectoryStore(str(tmp_path / "a" / "b")), 1)
    finally:
        os.umask(before)
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "segments"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_links_are_not_followed(store: DirectoryStore, tmp_path: Path) -> None:
    ids = fill(store, 1)
    path = files(store.root)[0]
    secret = tmp_path / "secret"
    shutil.copy(path, secret)
    path.unlink()
    path.symlink_to(secret)
    assert DirectoryStore(store.root).get(ids[0]) is None
    assert DirectoryStore(store.root).list(Query()).rows == []


def test_deleted_for_good(store: DirectoryStore) -> None:
    ids = []
    for i in range(4):
        row, blob = profile(i, path=f"/secret-{i}/")
        store.put({**row, "hot": f"hidden{i}.view"}, blob)
        ids.append(row["id"])
    blob = store.get(ids[2]) or b""
    store.delete(ids[2])  # from a segment that grows
    path = files(store.root)[0]
    assert blob not in path.read_bytes() and b"hidden2" not in path.read_bytes()
    seal(store)
    blob = store.get(ids[1]) or b""
    store.delete(ids[1])  # from a sealed one: its footer goes with it
    assert blob not in path.read_bytes()
    fresh = DirectoryStore(store.root)
    assert set(ids_of(fresh)) == {ids[0], ids[3]}
    assert all(fresh.get(one) for one in (ids[0], ids[3]))
    fd = os.open(path, os.O_RDONLY)
    footers = [segments.read_record(fd, record.at) for record, _ in segments.records_of(fd)
               if record.kind == segments.FOOTER]
    os.close(fd)
    assert len(footers) == 1 and footers[0] is not None
    rows = _core.Rows()
    assert rows.add_footer(1, footers[0][1]) == 0 and b"secret-1" not in rows.list()
    assert b"secret-0" in rows.list()


# ---- kills, and what they leave ----


def test_a_torn_tail_is_found_and_cut_off(store: DirectoryStore) -> None:
    ids = fill(store, 3)
    path = files(store.root)[0]
    whole = path.read_bytes()
    store._let_go()
    size = len(whole)
    for cut in (1, 31, 32, 40, 200):
        path.write_bytes(whole[:size - cut])
        assert set(ids_of(DirectoryStore(store.root))) == set(ids[:2])
    again = DirectoryStore(store.root)
    more = fill(again, 1)  # goes on in the same file
    assert len(files(store.root)) == 1
    assert set(ids_of(DirectoryStore(store.root))) == {*ids[:2], *more}
    assert kinds(path) == [segments.BEGIN, *[segments.PROFILE] * 3]


def test_a_record_that_was_half_there_is_read_the_next_time(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size was asked for while it was written; by the time that it is read others stand behind it."""
    fill(store, 4)
    path = files(store.root)[0]
    fd = os.open(path, os.O_RDONLY)
    real = os.fstat
    try:
        whole = real(fd).st_size
        _, first, second, *_ = [record for record, _ in segments.records_of(fd)]
        for size in (second.at + 1, second.at + 5, second.at + segments.HEAD + 9, second.at + second.size - 1):
            rows = _core.Rows()
            assert segments.load(rows, 1, fd, 0, size) == (second.at, False)
            assert rows.count == 1
            assert segments.load(rows, 1, fd, second.at, whole) == (whole, False)
            assert rows.count == 4
            monkeypatch.setattr(os, "fstat", lambda fd, size=size: os.stat_result([0] * 6 + [size] + [0] * 3))
            assert segments.find(fd, 0, segments.PROFILE) == ([first], second.at)
            assert len([*segments.records_of(fd)]) == 2
            monkeypatch.undo()
            found, at = segments.find(fd, second.at, segments.PROFILE)
            assert (len(found), at) == (3, whole)
    finally:
        os.close(fd)


@pytest.mark.parametrize("at", [0, 9, 40, 200])
def test_damage_costs_no_more_than_what_is_damaged(store: DirectoryStore, at: int) -> None:
    """As after a power loss: bytes of one record changed, others behind it."""
    ids = fill(store, 6)
    store._let_go()
    path = files(store.root)[0]
    fd = os.open(path, os.O_RDWR)
    places = [record.at for record, _ in segments.records_of(fd)]
    os.pwrite(fd, b"\xa5" * 24, places[3] + at)
    os.close(fd)
    fresh = DirectoryStore(store.root)
    left = set(ids_of(fresh))
    assert left >= set(ids) - {ids[2]}
    row = next((row for row in fresh.list(Query()).rows if row["id"] == ids[2]), None)
    assert row is None or "unreadable" in row["flags"] or fresh.get(ids[2])
    fill(fresh, 2)  # and it can be written beside
    assert len(ids_of(DirectoryStore(store.root))) >= 7


def test_what_a_gone_writer_left_is_gone_on_with(store_path: str) -> None:
    for _ in range(20):
        one = DirectoryStore(store_path)
        fill(one, 1)
        one._let_go()
    assert len(files(store_path)) == 1, "twenty short processes, one file"
    two = [DirectoryStore(store_path), DirectoryStore(store_path)]
    for one in two:
        fill(one, 1)
    assert len(files(store_path)) == 2, "two at once, two files"


def test_a_large_rest_is_sealed_by_whoever_comes(store_path: str) -> None:
    store = DirectoryStore(store_path, max_bytes=1 << 20)
    fill(store, 300)
    store._let_go()  # killed
    last = files(store_path)[-1]
    assert segments.FOOTER not in kinds(last) or len(files(store_path)) > 1
    other = DirectoryStore(store_path, max_bytes=1 << 20)
    other._part = 1000
    other.gc(10)
    assert all(segments.FOOTER in kinds(path) for path in files(store_path)[:-1])
    assert len(ids_of(other)) == 300


def test_of_a_later_version_nothing_is_touched(store: DirectoryStore) -> None:
    ids = fill(store, 2)
    folder = Path(store.root) / "segments"
    later = folder / segments.name_of(77)
    begin = segments._BEGIN.pack(9, 1, 0, 0)
    later.write_bytes(_core.record_head(segments.BEGIN, bytes(16), begin) + b"something new")
    before = later.read_bytes()
    fresh = DirectoryStore(store.root)
    assert set(ids_of(fresh)) == set(ids)
    fresh._part = 10
    fresh.gc(10)
    more = fill(fresh, 2)
    assert later.read_bytes() == before
    assert set(ids_of(DirectoryStore(store.root))) == {*ids, *more}
    kind = 13  # a record of a kind that this version does not know
    store.append(kind, more[0], b"?" * 100)
    more += fill(store, 1)
    assert set(ids_of(DirectoryStore(store.root))) == {*ids, *more}


def test_a_fork_has_a_segment_of_its_own(store: DirectoryStore) -> None:
    fill(store, 1)
    pid = os.fork()
    if pid == 0:
        try:
            fill(store, 2)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    fill(store, 1)
    assert len(ids_of(store)) == 4
    assert len(files(store.root)) == 2
    # The child is gone: its segment is free; the parent's is not, though the child had a copy of it.
    by = DirectoryStore(store.root)
    fill(by, 1)
    assert len(files(store.root)) == 2
    assert by._segment is not None and store._segment is not None
    assert by._segment.number != store._segment.number


def _write_many(path: str, count: int) -> None:
    fill(DirectoryStore(path, max_bytes=1 << 20), count)


def test_many_processes_share_a_store(store_path: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(store_path, 100)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = DirectoryStore(store_path)
    rows = store.list(Query(limit=500)).rows
    assert len(rows) == 400
    assert all(store.get(row["id"]) for row in rows)


def test_kill_9_loses_nothing_that_was_confirmed(store_path: str) -> None:
    """A short form of tests/kill_store.py."""
    script = Path(__file__).parent.parent / "kill_store.py"
    done = subprocess.run([sys.executable, str(script), "--kills", "12", "--writers", "3", "--store", store_path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 lost" in done.stdout


# ---- retention ----


def disk(root: str) -> int:
    return sum(max(path.stat().st_size, path.stat().st_blocks * 512) for path in files(root))


def test_the_limit_holds_while_writing(store_path: str) -> None:
    """Looked at after every put, with what the disk counts."""
    limit = 1 << 20
    store = DirectoryStore(store_path, max_bytes=limit)
    most = 0
    for i in range(6000):
        store.put(*profile(i % 900))
        if i % 20 == 0:
            most = max(most, disk(store_path))
    assert limit // 2 < most <= limit * 1.1
    left = ids_of(store)
    assert left and all(store.get(one) for one in left)


def test_what_survives(store_path: str) -> None:
    """Pinned ones, the slowest of each route, and the latest errors outlive their segment; again and again."""
    limit = 1 << 20
    store = DirectoryStore(store_path, max_bytes=limit, worst_per_route=2)
    slow = [profile(5000 + i, route=f"/r/{i % 3}") for i in range(6)]
    pinned, failed = profile(1), profile(2, status=500)
    for row, blob in (*slow, pinned, failed):
        store.put(row, blob)
    store.pin(pinned[0]["id"], True)
    for i in range(6000):
        store.put(*profile(i % 900))
    left = {row["id"] for row in DirectoryStore(store_path).list(Query(sort="-wall_ns", limit=500)).rows}
    assert left >= {row["id"] for row, _ in slow}
    assert store.get(pinned[0]["id"]) == pinned[1]
    assert store.get(failed[0]["id"]) == failed[1]
    assert store.contents()["profiles"] < 6000
    assert disk(store_path) <= limit * 1.1
    # Without what retention knows, it learns it again.
    os.unlink(os.path.join(store_path, "worst.json"))
    for i in range(3000):
        store.put(*profile(i % 900))
    assert all(store.get(row["id"]) for row, _ in slow)
    assert store.delete(pinned[0]["id"]), "by hand it can go"
    assert os.listdir(os.path.join(store_path, "pins")) == []


def test_survivors_are_bounded(store_path: str) -> None:
    """A route a request: all are the worst of their route, and the store turns over all the same."""
    limit = 1 << 20
    store = DirectoryStore(store_path, max_bytes=limit)
    for i in range(5000):
        store.put(*profile(i % 900, route=f"/strange/{i}", status=500))
    assert disk(store_path) <= limit * 1.1
    row, blob = profile(1, route="/real/")
    store.put(row, blob)
    assert store.get(row["id"]) == blob


def test_survivors_whose_rows_are_as_large_as_they_are(store_path: str) -> None:
    """A segment's footer has its tags once more; of long texts, they weigh as much as the profiles."""
    limit = 1 << 19
    store = DirectoryStore(store_path, max_bytes=limit, worst_per_route=5)
    rng, highest = random.Random(1), 0
    for i in range(60):
        text = rng.randbytes(rng.choice((0, 8000, 20_000))).decode("latin-1")
        store.put(*profile(i, route=f"/{i % 30}", status=500, **{"tag.x": text}))
        highest = max(highest, sum(one.disk for one in segments.segments_in(store.folder)))
    assert highest <= 1.1 * limit
    assert len(ids_of(store)) > 5


def test_retention_by_age(store_path: str) -> None:
    store = DirectoryStore(store_path)
    old = fill(store, 5, started=time.time_ns() - 20 * 86400 * 10**9)
    assert store.pin(old[0], True)
    seal(store)
    assert store.gc(10)["deleted"] == 4
    young = fill(store, 5)
    store.gc(10)
    assert all(store.get(one) is None for one in old[1:])
    assert all(store.get(one) for one in [old[0], *young])
    assert set(ids_of(DirectoryStore(store_path))) == {old[0], *young}


def test_what_stayed_as_most_of_it_is_kept_grows_old_too(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was too much, but hardly anything of it could go; then it is too old, and that goes all the same."""
    store = DirectoryStore(store_path, max_bytes=64, worst_per_route=0)
    ids = fill(store, 5)
    for one in ids[:4]:
        assert store.pin(one, True)
    seal(store)
    store.gc(10)
    assert set(ids_of(store)) == set(ids)
    monkeypatch.setattr(store, "_is_too_old", lambda listed: True)
    store.gc(10)
    assert set(ids_of(DirectoryStore(store_path))) == set(ids[:4])


def test_what_gone_writers_left_grows_old_too(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small segments that nobody sealed: two weeks later they go all the same."""
    two = [DirectoryStore(store_path), DirectoryStore(store_path)]
    for one in two:
        fill(one, 2)
    for one in two:
        one._let_go()
    real, boot, later = time.time_ns, segments.boottime_ns, 20 * 86400 * 10**9
    for module in ("clock", "segments"):
        monkeypatch.setattr(f"slowlens.store.{module}.boottime_ns", lambda: boot() + later)
    monkeypatch.setattr(time, "time_ns", lambda: real() + later)
    other = DirectoryStore(store_path)
    young = fill(other, 2)
    other.gc(10)
    assert set(ids_of(DirectoryStore(store_path))) == set(young)


def test_a_clock_that_jumps_deletes_nothing_young(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    store = DirectoryStore(store_path)
    ids = fill(store, 5)
    for jump in (20 * 86400, -3 * 3600, -10**9, 10**9):
        monkeypatch.setattr(time, "time_ns", lambda jump=jump: real() + jump * 10**9)
        store.gc(10)
        ids += fill(store, 2)
        store.gc(10)
    monkeypatch.setattr(time, "time_ns", real)
    ids += fill(store, 2)
    store.gc(10)
    fresh = DirectoryStore(store_path)
    fresh.gc(10)
    assert set(ids_of(fresh)) == set(ids)


def test_after_a_reboot_a_clock_is_believed_when_it_has_held(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(store_path)
    fill(store, 3)
    seal(store)
    store.gc(10)
    real, boot = time.time_ns, segments.boottime_ns
    later = 20 * 86400 * 10**9
    for module in ("clock", "segments"):
        monkeypatch.setattr(f"slowlens.store.{module}.boot_id", lambda: b"another boot id.")
        monkeypatch.setattr(f"slowlens.store.{module}.boottime_ns", lambda: boot())
    monkeypatch.setattr(time, "time_ns", lambda: real() + later)
    other = DirectoryStore(store_path)
    assert other.gc(10)["deleted"] == 0, "the machine was off, or its clock is wrong: who knows"
    monkeypatch.setattr("slowlens.store.clock.boottime_ns", lambda: boot() + 25 * 3600 * 10**9)
    monkeypatch.setattr(time, "time_ns", lambda: real() + later + 25 * 3600 * 10**9)
    assert other.gc(10)["deleted"] == 3, "it has held for a day"


# ---- trouble ----


def test_a_store_that_is_removed_is_made_again(store: DirectoryStore) -> None:
    fill(store, 3)
    assert len(ids_of(store)) == 3
    shutil.rmtree(store.root)
    ids = fill(store, 2)
    assert set(ids_of(store)) == set(ids)
    assert set(ids_of(DirectoryStore(store.root))) == set(ids)


def test_a_segment_that_vanishes_takes_nothing_else_with_it(store: DirectoryStore) -> None:
    fill(store, 3)
    files(store.root)[0].unlink()
    ids = fill(store, 2)
    assert set(ids_of(store)) == set(ids)


def test_a_store_that_is_moved_away_is_made_again(store: DirectoryStore) -> None:
    before = fill(store, 3)
    os.rename(store.root, store.root + ".old")
    ids = fill(store, 2)
    assert set(ids_of(store)) == set(ids)
    assert set(ids_of(DirectoryStore(store.root + ".old"))) == set(before)


def test_a_file_that_got_the_segments_number_is_left_alone(store: DirectoryStore, tmp_path: Path) -> None:
    """Daemons close descriptors that they do not know; the next file they open may get the segment's number."""
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    ids = fill(store, 3)
    for _ in range(2):
        assert store._segment is not None
        fd = store._segment.fd
        with other.open("r+b") as file:
            os.dup2(file.fileno(), fd)
        ids += fill(store, 2)
        assert os.path.samestat(os.fstat(fd), os.stat(other)), "nor is it closed"
        os.close(fd)
        ids += fill(store, 1)
    assert other.read_bytes() == b"theirs"
    assert set(ids_of(store)) == set(ids)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system of its own")
def test_a_disk_that_goes_away(small_disk: Path) -> None:
    """Unmounted under a writer: what comes then is stored in what is there, not lost in what is not."""
    store = DirectoryStore(str(small_disk / "store"))
    fill(store, 3)
    subprocess.run(["umount", "-l", str(small_disk)], check=True)
    try:
        ids = fill(store, 2)
        assert set(ids_of(DirectoryStore(store.root))) == set(ids)
    finally:
        store.close()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small_disk)], check=True)


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


def _as_nobody(work: Any) -> Any:
    """What ``work()`` answers in a forked child that is neither root nor the owner of anything."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writer, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_only_its_owner_gives_a_store_its_name(tmp_path: Path) -> None:
    """What root wrote there its owner could not read: taken for damaged it was replaced, and copies counted twice."""
    for path in [*tmp_path.parents[:2], tmp_path]:
        path.chmod(0o755)
    root = tmp_path / "store"
    store = DirectoryStore(str(root))
    fill(store, 1)
    count_requests(store, 3)
    name = root / "id"
    name.unlink()
    for path in [root, *root.rglob("*")]:
        os.chown(path, 65534, 65534)
    target = DirectoryStore(str(tmp_path / "target"))
    assert "as its owner" in copy(store, target).left and not name.exists(), "as root, of somebody else's"
    assert main(["copy", str(root), str(tmp_path / "target")]) == 1
    assert _as_nobody(lambda: name_of_store(root)) == name.read_text().strip()
    assert not copy(store, target).left and requests_of(target)[0] == {"/r": 3}
    os.chown(name, 0, 0)
    before = name.read_bytes()
    assert _as_nobody(lambda: name_of_store(root)) is None and name.read_bytes() == before, "unread, not damaged"
    name.write_text("torn")
    os.chown(name, 65534, 65534)
    assert _as_nobody(lambda: name_of_store(root)) == name.read_text().strip() != "torn", "damaged"
    refused = DirectoryStore(str(tmp_path / "target"), refused="not here")
    (tmp_path / "target" / "id").unlink()
    assert refused.identity() is None and not (tmp_path / "target" / "id").exists()


def name_of_store(root: Path) -> str | None:
    found = DirectoryStore(str(root)).identity()
    return None if found is None else found.hex()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_users_store_can_be_read(tmp_path: Path) -> None:
    """Read, not written: nothing in it changes."""
    store = DirectoryStore(str(tmp_path / "store"))
    fill(store, 3)
    for path in [*tmp_path.parents[:2], tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    row, blob = profile(9)

    def work() -> Any:
        other = open_store(load({"store": str(tmp_path / "store")}))
        rows = other.list(Query()).rows
        try:
            other.put(row, blob)
            stored = True
        except StoreError:
            stored = False
        return [len(rows), other.get(rows[0]["id"]) is not None, stored, len(other.routes()), other.problem()]

    *found, problem = _as_nobody(work)
    assert found == [3, True, False, 3]
    assert "another user" in problem
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=0700", "tmpfs", str(place)],
                      capture_output=True).returncode:
        pytest.skip("may not mount")
    yield place
    gc.collect()  # a store that a failed assertion left open
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a small file system")
def test_a_full_disk_loses_what_does_not_fit_and_no_more(small_disk: Path) -> None:
    store = DirectoryStore(str(small_disk / "store"))
    stored, refused = [], 0
    for i in range(1200):
        row, blob = profile(i)
        try:
            store.put(row, blob)
            stored.append(row["id"])
        except StoreError as error:
            assert "No space left" in str(error)
            refused += 1
    assert stored and refused
    fresh = DirectoryStore(str(small_disk / "store"))
    assert fresh.contents()["profiles"] == len(stored)
    assert fresh.delete(stored[0]), "which needs no room"
    assert fresh.get(stored[0]) is None
    store._let_go()
    for path in files(fresh.root)[:1]:
        path.unlink()
    ids = fill(store, 3)  # room again: it goes on
    assert set(ids) <= set(ids_of(store))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system of its own")
def test_a_disk_without_inodes(small_disk: Path) -> None:
    """No file can be made any more, those that are there grow: what is open goes on, a next segment has to wait."""
    subprocess.run(["mount", "-o", "remount,size=8m,nr_inodes=12", str(small_disk)], check=True)
    store = DirectoryStore(str(small_disk / "store"), max_bytes=1 << 20)
    stored = fill(store, 2)
    taken = []
    while True:
        try:
            path = small_disk / f"taken-{len(taken)}"
            path.touch()
            taken.append(path)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            break
    stored += fill(store, 2)
    assert store._segment is not None
    store._part = store._segment.size  # full: a next one cannot be begun
    with pytest.raises(StoreError, match="No space left"):
        fill(store, 1)
    fresh = DirectoryStore(store.root)
    assert set(ids_of(fresh)) == set(stored) and fresh.gc(1)["deleted"] == 0
    assert fresh.delete(stored[0]) and fresh.get(stored[0]) is None
    taken[0].unlink()
    stored += fill(store, 3)
    assert set(ids_of(DirectoryStore(store.root))) == set(stored[1:])
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system of its own")
def test_a_read_only_disk_is_read(small_disk: Path, tmp_path: Path) -> None:
    store = DirectoryStore(str(small_disk / "store"))
    ids = fill(store, 5)
    count_requests(store, 7)
    gather(store, 10**12, 7)
    store._let_go()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        fresh = DirectoryStore(str(small_disk / "store"))
        assert set(ids_of(fresh)) == set(ids) and fresh.get(ids[0])
        with pytest.raises(StoreError):
            fill(fresh, 1)
        with pytest.raises(StoreError):
            fresh.delete(ids[0])
        assert fresh.problem() is not None
        beside = DirectoryStore(str(tmp_path / "store"))
        assert copy(fresh, beside)[:2] == (5, 0) and requests_of(beside) == ({"/r": 7}, 7)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def test_threads_share_a_store(store: DirectoryStore) -> None:
    """Writing, listing, deleting at once."""
    errors: list[BaseException] = []
    store._part = 20_000

    def run(work: Any) -> None:
        try:
            for _ in range(60):
                work()
        except BaseException as error:
            errors.append(error)

    def look() -> None:
        for row in store.list(Query(limit=5)).rows:
            store.get(row["id"])

    def remove() -> None:
        for row in store.list(Query(sort="wall_ns", limit=1)).rows:
            store.delete(row["id"])

    threads = [threading.Thread(target=run, args=(work,)) for work in (lambda: fill(store, 3), look, look, remove)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ids_of(store)) == len(ids_of(DirectoryStore(store.root)))


def test_a_segment_that_cannot_be_sealed_is_read_all_the_same(
        store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a footer, or no memory: the next segment is begun, and nothing is lost."""
    write = os.writev

    def no_footer(fd: int, parts: Any) -> int:
        if _core.records(parts[0])[0][0][0] == segments.FOOTER:
            return write(fd, [bytes(parts[0])[:50]])
        return write(fd, parts)

    monkeypatch.setattr("slowlens.store.appending.os.writev", no_footer)
    store._part = 1000
    monkeypatch.setattr(store, "_retain", lambda *args: 0)
    ids = fill(store, 12)
    assert len(files(store.root)) > 3
    assert all(segments.FOOTER not in kinds(path) for path in files(store.root))
    assert set(ids_of(DirectoryStore(store.root))) == set(ids)
    monkeypatch.undo()
    fresh = DirectoryStore(store.root)
    fresh._part = 1000
    fresh.gc(10)
    assert set(ids_of(DirectoryStore(store.root))) == set(ids)


# ---- what came before ----


def _old_store(root: Path, count: int) -> dict[str, bytes]:
    """As the first version laid profiles down."""
    blobs = {}
    for i in range(count):
        row, blob = profile(i)
        when = time.gmtime(row["started"] / 1e9)
        folder = root / "blobs" / time.strftime("%Y%m%d", when) / time.strftime("%H", when)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row['id']}.slowlens").write_bytes(blob)
        blobs[row["id"]] = blob
    (root / "index.sqlite3").write_bytes(b"not looked at")
    (root / "tmp").mkdir()
    (root / "pins").mkdir()
    return blobs


def test_an_old_store_is_read_and_moved_over(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir(mode=0o700)
    blobs = _old_store(root, 8)
    first, second, *_ = blobs
    (root / "pins" / first).write_bytes(b"")
    store = DirectoryStore(str(root))
    assert set(ids_of(store)) == blobs.keys() and store.get(second) == blobs[second]
    assert copy(store, DirectoryStore(str(tmp_path / "copy")))[:2] == (8, 0)
    assert [row["id"] for row in store.list(Query()).rows if row["pinned"]] == [first]
    hot = {one: json.loads(_core.Profile(blob).summary())["hot_text"] for one, blob in blobs.items()}
    assert {row["id"]: row["hot"] for row in store.list(Query()).rows} == hot
    assert store.delete(second)
    assert not store.list(Query(text="no such")).rows
    store.gc(60)
    assert not (root / "blobs").exists() and not (root / "index.sqlite3").exists() and not (root / "tmp").exists()
    fresh = DirectoryStore(str(root))
    assert set(ids_of(fresh)) == blobs.keys() - {second} == set(ids_of(store))
    assert all(fresh.get(one) == blobs[one] for one in blobs if one != second)
    assert all(row["hot"] == hot[row["id"]] for row in fresh.list(Query()).rows)


def test_a_sealed_segment_of_before_goes_on(store_path: str) -> None:
    """Its footer lacks the columns that were added since: they are 0, also beside rows that have them."""
    folder = Path(store_path) / "segments"
    folder.mkdir(parents=True, mode=0o700)
    Path(store_path).chmod(0o700)
    shutil.copy(DATA / "segments" / "footer-24-columns.sls", folder / "00000001.sls")
    store = DirectoryStore(store_path, max_age_days=0)
    row, blob = profile(1, gil_wait_ns=5, db_count=9)
    store.put(row, blob)
    seal(store)
    for reader in (store, DirectoryStore(store_path)):
        rows = reader.list(Query(sort="-db_count")).rows
        assert [(one["waiting_ns"], one["gil_wait_ns"], one["db_count"], one["hot"][:7]) for one in rows] == [
            (0, 5, 9, "views.f"), *[(500_000, 0, 0, "views.f")] * 3]
        assert json.loads(_core.read_meta(reader.get(rows[-1]["id"])))["meta"]["gil_wait_ns"] == 400_000


# ---- by URL ----


def test_stores_by_url(tmp_path: Path) -> None:
    assert open_store(load({"store": (tmp_path / "a b").as_uri()})).root == str(tmp_path / "a b")  # type: ignore[attr-defined]
    with pytest.raises(OptionsError, match="no store of kind 'gopher'"):
        open_store(load({"store": "gopher://here"}))


# ---- single files ----


def test_single_files_are_a_store(tmp_path: Path) -> None:
    row, blob = profile(7)
    file = tmp_path / "one.slowlens"
    file.write_bytes(blob)
    store = FileStore([str(file), str(file)])
    rows = store.list(Query()).rows
    assert len(rows) == 2
    assert store.get(row["id"]) == blob
    assert store.routes()[0]["count"] == 2
    assert [one.blob for one in store.everything()] == [blob, blob]
    with pytest.raises(StoreError):
        store.delete(row["id"])
    file.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=r"one.slowlens: not a slowlens profile"):
        FileStore([str(file)])
    with pytest.raises(StoreError, match="No such file"):
        FileStore([str(tmp_path / "missing")])


def test_a_time_beyond_all_clocks_still_makes_an_id() -> None:
    from slowlens.request import ID

    for now in (-10**18, 0, 2**48 * 10**6, 10**30):
        assert ID.match(new_id(now))


def test_signals_do_not_tear(store: DirectoryStore) -> None:
    """A handler that runs in the middle of puts changes nothing."""
    hits = []
    before = signal.signal(signal.SIGALRM, lambda *args: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        ids = fill(store, 300)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits and set(ids_of(DirectoryStore(store.root))) == set(ids)
