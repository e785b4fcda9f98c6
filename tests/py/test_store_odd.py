"""A folder store in which something odd lies: damaged lengths, files of others, clocks that were elsewhere, a store
that was removed and made again, more pins than there is room for."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slowlens import _core
from slowlens.request import id_value, new_id
from slowlens.store import Query, StoreError, segments
from slowlens.store.directory import DirectoryStore

from conftest import record


def fill(store: DirectoryStore, count: int, width: int = 0) -> list[str]:
    recording = record(lambda: sorted(range(50)), "none")
    found = []
    for number in range(count):
        now = time.time_ns()
        meta = {"id": new_id(now), "started": now, "wall_ns": number + 1, "route": f"/{number % 3}", "method": "GET",
                "status": 200, "mode": "sampling"}
        if width:
            meta["tag.x"] = os.urandom(width).hex()
        store.put(meta, recording.encode(meta))
        found.append(meta["id"])
    recording.discard()
    return found


def ids_of(store: DirectoryStore) -> set[str]:
    return {row["id"] for row in store.list(Query(limit=500)).rows}


def count_at(store: DirectoryStore, *seconds: int) -> None:
    table = _core.Numbers(60, "r1", "h1")
    for at in seconds:
        table.add_killed("/x", "GET", 5_000_000, at)
    taken = table.take()
    assert taken is not None
    store.put_numbers(*taken)


def counted(store: DirectoryStore, parts: int = 0) -> int:
    return sum(row["count"] for row in store.numbers(parts=parts)["rows"])


@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_anywhere_in_a_head_costs_one_profile(store_path: str, tmp_path: Path, bit: int) -> None:
    """Of a segment that is still written: its length is what is read first, and may now be beyond the file's end."""
    store = DirectoryStore(store_path)
    ids = fill(store, 8)
    store.list(Query())
    number, at = store._reading().find(ids[3]) or (0, 0)
    store.close()
    name = segments.name_of(number)
    for byte in range(segments.HEAD):
        other = tmp_path / f"other-{byte}"
        shutil.copytree(store_path, other)
        path = other / "segments" / name
        data = bytearray(path.read_bytes())
        data[at + byte] ^= 1 << bit
        path.write_bytes(data)
        left = ids_of(DirectoryStore(str(other)))
        assert left >= set(ids) - {ids[3]}, byte
        fresh = DirectoryStore(str(other))  # who goes on there cuts nothing off that is whole
        more = fill(fresh, 1)
        assert ids_of(fresh) >= {*more, *ids} - {ids[3]}, byte
        assert {one.row["id"] for one in fresh.everything()} >= {*more, *ids} - {ids[3]}, byte
        fresh.close()


ANYTHING = ("[" * 100_000, '{"a":' * 50_000, "\0" * 5000, '"x"', "[]", "{}", '{"boot": "x", "boottime": Infinity}',
            '{"GET /": {"slow": [[1e999, 1, "a", 1]], "errors": []}}', '{"a": {"slow": 5, "errors": []}}',
            '{"GET /0": {"slow": [[9, 9, "no id", 1]], "errors": [[9, 9, "8zzzzzzzzzzzzzzzzzzzzzzzzz", 1]]}}',
            '{"boot": "x", "boottime": 1e400, "realtime": NaN, "since": -1}')


@pytest.mark.parametrize("name", ["worst.json", "clock.json", "numbers/read.json"])
@pytest.mark.parametrize("text", ANYTHING, ids=range(len(ANYTHING)))
def test_what_is_derived_may_say_anything(store_path: str, name: str, text: str) -> None:
    store = DirectoryStore(store_path, max_bytes=1 << 20)
    ids = fill(store, 2)
    count_at(store, int(time.time()))
    assert counted(store) == 1
    Path(store_path, name).write_text(text)
    store._part = 1  # rotates
    ids += fill(store, 2)
    store.gc(1)
    assert ids_of(store) == set(ids) and counted(store) == 1
    store.close()


@pytest.mark.parametrize("mark", ["-5", "9" * 30, "Infinity", "[1]", "1e3"])
def test_numbers_are_read_whatever_is_known_of_where_it_stopped(store_path: str, mark: str) -> None:
    store = DirectoryStore(store_path)
    count_at(store, int(time.time()))
    assert counted(store) == 1
    path = Path(store_path, "numbers", "read.json")
    (name,) = json.loads(path.read_text())
    path.write_text(f'{{"{name}": {mark}}}')
    count_at(store, int(time.time()))
    assert counted(store) == 2
    store.close()


def test_a_clock_that_was_set_from_1970(store_path: str) -> None:
    """Machines without a battery begin there. Half a million hours lie between two requests of one minute."""
    store = DirectoryStore(store_path)
    now = int(time.time())
    count_at(store, 100, now)
    count_at(store, 4102444800)  # another host's is ahead
    names = [record.id for record in (one[1] for one in store.records(frozenset((segments.NUMBERS,))))]
    assert len(names) == 3
    assert counted(store) == counted(store, parts=20) == 3
    assert [route["count"] for route in store.routes()] == [3]
    store.close()


def test_files_of_others_in_its_folders(store_path: str) -> None:
    store = DirectoryStore(store_path, max_bytes=1 << 20)
    ids = fill(store, 2)
    count_at(store, int(time.time()))
    assert counted(store) == 1
    folder = Path(store.folder)
    number = store._segment.number if store._segment is not None else 0
    os.mkfifo(folder / segments.name_of(0))  # who opens it waits for ever
    (folder / segments.name_of(number + 1)).mkdir()
    (folder / segments.name_of(number + 2)).symlink_to("/etc/passwd")
    Path(store_path, "numbers", "9" * 30 + ".sln").write_text("x")
    for name in (".nfs000000001", "notes.txt", "8" * 26, "é"):
        Path(store_path, "pins", name).write_text("5")
    Path(store_path, "pins", "folder").mkdir()
    store._part = 1  # the next number is taken, and the one behind
    ids += fill(store, 2)
    store.gc(1)
    assert ids_of(DirectoryStore(store_path)) == set(ids)
    assert counted(store, parts=20) == 1 and len(store.routes()) == 3
    tight = DirectoryStore(store_path, max_bytes=1)
    assert tight.gc(1)["deleted"] > 0
    store.close()


def test_the_last_number_of_all_is_taken(store_path: str) -> None:
    """A next one would have a longer name, and nobody would list it."""
    store = DirectoryStore(store_path)
    ids = fill(store, 1)
    Path(store.folder, "ffffffff.sls").write_bytes(b"x")
    store._part = 1
    with pytest.raises(StoreError, match="no number is left"):
        fill(store, 1)
    assert ids_of(DirectoryStore(store_path)) == set(ids)
    store.close()


def test_half_a_line_of_a_deletion(store_path: str) -> None:
    """A disk was full just then: what was deleted later is told to others all the same."""
    store = DirectoryStore(store_path)
    ids = fill(store, 5)
    other = DirectoryStore(store_path)
    assert ids_of(other) == set(ids)
    with open(os.path.join(store_path, "deletions"), "ab") as file:
        file.write(b"01k")
    assert store.delete(ids[0]) and store.delete(ids[1])
    assert ids_of(other) == set(ids[2:])
    store.close()


def test_a_store_that_was_removed_and_made_again_is_another_one(store_path: str) -> None:
    """A reader that did not look meanwhile finds the same name, larger than it was."""
    store = DirectoryStore(store_path)
    fill(store, 3)
    reader = DirectoryStore(store_path)
    assert len(ids_of(reader)) == 3
    store.close()
    shutil.rmtree(store_path)
    again = DirectoryStore(store_path)
    ids = fill(again, 6)
    assert ids_of(reader) == set(ids)
    assert all(reader.get(one) for one in ids)
    again.close()


def test_more_pins_than_there_is_room_for(store_path: str) -> None:
    """They stay, it is said, and what is kept is not copied again with each segment."""
    store = DirectoryStore(store_path, max_bytes=256 << 10)
    pinned = []
    for _ in range(120):
        pinned += fill(store, 1, 1500)
        assert store.pin(pinned[-1], True)
    fill(store, 40, 1500)
    before = {one.number for one in segments.segments_in(store.folder)}
    fill(store, 60, 1500)
    after = {one.number for one in segments.segments_in(store.folder)}
    assert len(before & after) >= len(before) - 3
    assert set(pinned) <= ids_of(store)
    assert "pinned profiles take" in (store.problem() or "")
    store.close()


def test_a_pin_and_a_deletion_at_once(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin is made where nobody deletes meanwhile: it is there for whoever looks before deleting."""
    store = DirectoryStore(store_path)
    (one,) = fill(store, 1)
    real, held = os.open, []

    def opened(path: str, *more: int) -> int:
        if os.path.basename(os.path.dirname(path)) == "pins":
            with pytest.raises(BlockingIOError), segments.locked(os.path.join(store_path, "gc.lock"), wait=False):
                pass
            held.append(path)
        return real(path, *more)

    monkeypatch.setattr(os, "open", opened)
    assert store.pin(one, True) and len(held) == 1
    store.close()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks(store_path: str, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(fd: int, operation: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refused)
    store = DirectoryStore(store_path)
    with pytest.raises(StoreError, match=r"has no locks .* a disk of this machine"):
        fill(store, 1)
    assert "has no locks" in (store.problem() or "")
    assert store.list(Query()).rows == []


SMALL_FILES = """
import resource, sys, test_store_odd as t
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = t.DirectoryStore(sys.argv[1])
print(len(t.fill(store, 200, 1500)), len(t.ids_of(store)), store.gc(5)["deleted"])
"""


def test_where_no_file_may_become_large(store_path: str) -> None:
    """Segments end before the limit of the process (``ulimit -f``): a full one takes nothing, and no other is begun."""
    done = subprocess.run([sys.executable, "-c", SMALL_FILES, store_path], capture_output=True, text=True, timeout=60,
                          cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert (done.stdout, done.stderr) == ("200 200 0\n", "")


NO_FILES = """
import os, resource, sys
from slowlens.store import Query
from slowlens.store.directory import DirectoryStore
store = DirectoryStore(sys.argv[1])
store.list(Query())
print(store.problem(), flush=True)
real = os.open
def refused(path, *rest, **more):
    if str(path).endswith(".sls"):
        raise OSError(24, "Too many open files")
    return real(path, *rest, **more)
os.open = refused
again = DirectoryStore(sys.argv[1])
print(len(again.list(Query()).rows), again.problem(), flush=True)
os.open = real
print(len(again.list(Query()).rows), again.problem(), flush=True)
"""


def test_what_is_there_and_cannot_be_read_is_said(store_path: str) -> None:
    store = DirectoryStore(store_path)
    fill(store, 2)
    store.close()
    done = subprocess.run([sys.executable, "-c", NO_FILES, store_path], capture_output=True, text=True, timeout=60)
    first, second, third = done.stdout.splitlines()
    assert first == "None" and third == "2 None", done
    assert second.startswith("0 not all profiles are listed: ") and second.endswith("Too many open files")


def test_a_length_that_lies_takes_no_memory(store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte that a damaged head speaks of is not asked for."""
    store = DirectoryStore(store_path)
    ids = fill(store, 2)
    store.list(Query())
    number, at = store._reading().find(ids[1]) or (0, 0)
    path = Path(store.folder, segments.name_of(number))
    data = bytearray(path.read_bytes())
    data[at + 7] = 0x03
    path.write_bytes(data)
    asked = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, place: asked.append(size) or real(fd, size, place))
    with open(path, "rb") as file:
        assert segments.read_record(file.fileno(), at) is None
    assert asked and max(asked) <= 1 << 20
    store.close()


def test_a_damaged_head_in_a_sealed_segment_is_said(store_path: str) -> None:
    """Its row stands in the footer: it is listed until somebody wants it."""
    store = DirectoryStore(store_path)
    ids = fill(store, 3)
    with store._lock:
        store._rotate()
    ids += fill(store, 2)
    store.close()
    first = sorted(Path(store_path, "segments").iterdir())[0]
    data = bytearray(first.read_bytes())
    data[data.index(id_value(ids[1])) - 2] ^= 1
    first.write_bytes(data)
    reader = DirectoryStore(store_path)
    assert {row["id"] for row in reader.list(Query()).rows} == set(ids) and reader.problem() is None
    assert reader.get(ids[1]) is None and all(reader.get(one) for one in ids if one != ids[1])
    assert {row["id"] for row in reader.list(Query()).rows} == {*ids} - {ids[1]}
    assert "1 that are damaged" in str(reader.problem())
