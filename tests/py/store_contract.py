"""What every store must do: test classes inherit it and say how their store is opened.

    class TestMine(StoreContract):
        def open(self, place: Path) -> Store: ...

``place`` is a folder of this test's own; opened twice it is the same store, as
another process would open it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.request import new_id
from slowlens.store import Query, QueryError, Store, StoreError
from slowlens.store.copying import copy
from slowlens.store.interface import Counted, Gathered
from slowlens.store.windows import SLOT_MS, Tree, pack

from programs import fib

#: When requests are counted: in the middle of an hour of today or yesterday.
COUNTED_S = int(time.time()) // 3600 * 3600 - 5400

_profile: list[Any] = []


def profile(i: int, **values: Any) -> tuple[dict[str, Any], bytes]:
    """A profile of second ``i``: its metadata with the hot path, and its blob."""
    started = values.pop("started", time.time_ns() - (1000 - i) * 1_000_000_000)
    meta = {"id": new_id(started), "started": started, "wall_ns": i * 1_000_000, "cpu_ns": i * 1000, "method": "GET",
            "path": f"/p/{i}", "route": f"/r/{i % 3}", "status": 200, "mode": "deterministic", "host": f"web-{i % 2}",
            "release": "r1", **values}
    while not _profile:
        recording = _core.Recording("all")
        recording.enter()
        fib(3)
        recording.leave()
        recording.finish()
        # One that the machine held up has findings of its own, which would stand for those of the tests: as it is, or
        # beside the times that the tests say it took.
        said = [{}] + [{"wall_ns": ms * 1_000_000, "cpu_ns": ms * 1000} for ms in (*range(1, 60), 1000)]
        if not any(json.loads(_core.Profile(recording.encode(one)).summary())["meta"].get("findings") for one in said):
            _profile.append(recording)
    return {**meta, "hot": f"views.f{i} 90%"}, _profile[0].encode(meta)


def fill(store: Store, count: int, first: int = 0, **values: Any) -> list[str]:
    """Puts ``count`` profiles; their ids."""
    ids = []
    for i in range(first, first + count):
        row, blob = profile(i, **values)
        store.put(row, blob)
        ids.append(row["id"])
    return ids


def ids_of(store: Store, **query: Any) -> list[str]:
    return [row["id"] for row in store.list(Query(limit=500, **query)).rows]


def count_requests(store: Any, count: int, route: str = "/r") -> None:
    """As a process's minute: so many requests, all of one hour."""
    numbers = _core.Numbers(60, "r1", "h1")
    for _ in range(count):
        numbers.add_killed(route, "GET", 1_000_000, COUNTED_S)
    taken = numbers.take()
    assert taken is not None
    store.put_numbers(*taken)


def gather(store: Any, at_ms: int, requests: int, route: str = "/r") -> None:
    """As a process's trees of a minute, which ended then."""
    meta = {"route": route, "method": "GET", "mode": "deterministic", "release": "r1", "merged": 1,
            "requests": requests, "started": 5, "until": 9}
    store.put_window(at_ms - 50, at_ms, pack([Tree(meta, profile(1)[1])]))


def requests_of(store: Any) -> tuple[dict[str, int], int]:
    """Of all time: by route as they were counted, and how many the trees speak for."""
    return ({row["route"]: row["count"] for row in store.numbers()["rows"]},
            sum(row["meta"]["requests"] for one in store.windows(0) for row in one.rows))


class StoreContract:
    """See the module."""

    def open(self, place: Path) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def again(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: self.open(tmp_path)

    @pytest.fixture
    def store(self, again: Callable[[], Store]) -> Store:
        return again()

    # ---- one profile ----

    def test_put_get_list_delete(self, store: Store) -> None:
        row, blob = profile(5)
        store.put(row, blob)
        assert store.get(row["id"]) == blob
        listed = store.list(Query()).rows[0]
        assert (listed["path"], listed["hot"], listed["wall_ns"]) == ("/p/5", "views.f5 90%", 5_000_000)
        assert (listed["kind"], listed["bytes"], listed["pinned"]) == ("profile", len(blob), False)
        assert store.delete(row["id"]) is True
        assert store.delete(row["id"]) is False
        assert store.get(row["id"]) is None
        assert store.list(Query()).rows == []

    def test_a_row_says_where_the_wall_time_went(self, store: Store) -> None:
        times = {"run_queue_ns": 11, "gil_wait_ns": 2 << 40, "blocked_ns": 13, "gc_ns": 14, "loop_ns": 15,
                 "idle_ns": 16, "db_ns": 17, "db_count": 101}
        row, blob = profile(5, **times)
        store.put(row, blob)
        store.put(*profile(6))
        told, silent = store.list(Query(sort="started")).rows
        assert {name: told[name] for name in times} == times
        assert {name: silent[name] for name in times} == dict.fromkeys(times, 0)
        assert ids_of(store, sort="-db_count")[0] == row["id"] == ids_of(store, sort="gil_wait_ns")[1]

    def test_the_order_of_ends_is_not_that_of_beginnings(self, store: Store) -> None:
        """A slow request begins before others that are stored before it."""
        now = time.time_ns()
        slow, *quick = [self._put(store, i, now + i * 10**9, wall)
                        for i, wall in enumerate((60 * 10**9, 10**9, 10**9))]
        assert ids_of(store, sort="-ended") == [slow, quick[1], quick[0]]
        assert ids_of(store, sort="-started") == [quick[1], quick[0], slow]
        row = store.list(Query(sort="-ended", limit=1)).rows[0]
        assert row["ended"] == row["started"] + row["wall_ns"]

    @staticmethod
    def _put(store: Store, i: int, started: int, wall_ns: int) -> str:
        row, blob = profile(i, started=started, wall_ns=wall_ns)
        store.put(row, blob)
        return str(row["id"])

    def test_another_handle_sees_the_same(self, store: Store, again: Callable[[], Store]) -> None:
        other = again()
        assert other.list(Query()).rows == []
        ids = fill(store, 7)
        assert set(ids_of(other)) == set(ids)
        assert other.get(ids[3]) == store.get(ids[3])
        fill(other, 2)
        assert len(ids_of(store)) == 9
        store.delete(ids[0])
        assert ids[0] not in ids_of(other) and other.get(ids[0]) is None
        assert ids[0] not in ids_of(again())
        assert again().list(Query(sort="started")).rows == store.list(Query(sort="started")).rows

    @pytest.mark.parametrize(
        "bad", ["", "../../etc/passwd", "x" * 26, "/etc/passwd", "0" * 25 + "/", "0" * 26 + "\x00", "\ud800" * 26])
    def test_ids_from_outside_find_nothing(self, store: Store, bad: str) -> None:
        fill(store, 1)
        assert store.get(bad) is None
        assert store.delete(bad) is False
        assert store.pin(bad, True) is False

    def test_a_nonsense_id_is_not_stored(self, store: Store) -> None:
        row, blob = profile(1)
        with pytest.raises(StoreError):
            store.put({**row, "id": "../../x"}, blob)
        assert store.list(Query()).rows == []

    def test_text_that_is_no_text(self, store: Store) -> None:
        row, blob = profile(1, path="/\ud800/\x00/\u2028<script>", **{"tag.q": "\ud800", "tag.r": "a\nb=c"})
        store.put({**row, "hot": "\udc80 \x00"}, blob)
        ids = [row["id"], *fill(store, 3)]
        assert set(ids_of(store)) == set(ids), "what comes after it is stored as ever"
        assert ids_of(store, text="<script>") == [row["id"]]
        assert ids_of(store, text="\ud800") in ([], [row["id"]])
        assert ids_of(store, tag="r=a b=c") == [row["id"]]

    # ---- lists ----

    def test_words_layers_and_how_many(self, store: Store) -> None:
        ids = fill(store, 7)
        row, blob = profile(7, path="/Q", db_count=3, http_count=1)
        store.put(row, blob)
        assert ids_of(store, words=(("/q", "path"), ("VIEWS", "any"))) == [row["id"]]
        assert ids_of(store, words=(("views", "path"),)) == [] == ids_of(store, words=(("/q", "function"),))
        assert ids_of(store, words=(("f7 9", "function"), ("/r/1", "path"))) == [row["id"]] == ids_of(store, layer="db")
        assert ids_of(store, layer="http", text="/q") == [row["id"]] and ids_of(store, layer="cache") == []
        assert set(ids_of(store, min_ns=2_000_000, max_ns=4_000_000)) == {ids[2], ids[3]}
        for wrong in ({"layer": "disk"}, {"words": (("a", "nowhere"),)}, {"words": (("a", "any"),) * 17}):
            with pytest.raises(QueryError):
                ids_of(store, **wrong)
        count = getattr(store, "count", None)
        if count is not None:
            assert [count(Query(), 99), count(Query(), 5), count(Query(layer="db"), 99)] == [8, 5, 1]
            assert count(Query(max_ns=4_000_000, limit=1), 99) == 4 and count(Query(status="404"), 99) == 0

    def test_pages_by_every_sort_meet_every_row_once(self, store: Store) -> None:
        ids = set(fill(store, 53))
        from slowlens.store.interface import SORTS

        for sort in (*SORTS, *("-" + name for name in SORTS)):
            seen: list[Any] = []
            cursor = None
            while True:
                page = store.list(Query(sort=sort, limit=10, cursor=cursor))
                seen += page.rows
                cursor = page.next
                if cursor is None:
                    break
            assert len(seen) == 53 and {row["id"] for row in seen} == ids, sort
            name = sort.lstrip("-")
            keys = [(row[name], row["id"]) for row in seen]
            assert keys == sorted(keys, reverse=sort.startswith("-")), sort

    def test_a_page_goes_on_after_what_is_gone(self, store: Store) -> None:
        ids = fill(store, 9)
        page = store.list(Query(sort="wall_ns", limit=4))
        store.delete(page.rows[-1]["id"])
        fill(store, 1, first=1)  # sorts into the page that was seen
        following = store.list(Query(sort="wall_ns", limit=10, cursor=page.next))
        assert [row["id"] for row in following.rows] == ids[4:]

    def test_filters(self, store: Store) -> None:
        fill(store, 10)
        for i, status in enumerate((404, 500, 503)):
            store.put(*profile(20 + i, status=status, method="POST", release="r2", findings="n+1,slow-query"))
        count = lambda **values: len(ids_of(store, **values))  # noqa: E731
        assert count(route="/r/1") == 3 + 1
        assert count(method="post") == 3
        assert count(status="404") == 1
        assert count(status="5xx") == 2
        assert count(status="error") == 2
        assert count(min_ns=20_000_000) == 3
        assert count(text="views.f2") == 4
        assert count(text="VIEWS.F2") == 4
        assert count(text="%") == 13  # in "90%", not a wildcard
        assert count(text="/p/_") == 0
        assert count(mode="sampling") == 0
        assert count(host="web-1") == 6
        assert count(release="r2", host="web-1") == 1
        assert count(finding="n+1") == 3 and count(finding="n") == 0
        middle = store.list(Query(sort="started")).rows[5]["started"]
        assert count(since=middle) + count(until=middle) == 13

    def test_tags_are_found_whole(self, store: Store) -> None:
        for i, tags in enumerate([{"tag.tenant": "7"}, {"tag.tenant": "77", "tag.plan": "a\nb=c"}, {}]):
            store.put(*profile(i, **tags))
        paths = lambda tag: sorted(row["path"] for row in store.list(Query(tag=tag)).rows)  # noqa: E731
        assert paths("tenant=7") == ["/p/0"]
        assert paths("tenant") == ["/p/0", "/p/1"]
        assert paths("plan=a b=c") == ["/p/1"]
        assert paths("b=c") == [] and paths("enant=7") == [] and paths("%") == []

    @pytest.mark.parametrize("query", [
        Query(sort="path; DROP TABLE"), Query(cursor="nonsense"), Query(status="many"), Query(status="\u0664xx"),
        Query(cursor="WyJ3YWxsX25zIiwxLCJ4Il0="), Query(stored_since="nonsense"), Query(cursor="\ud800"),
        Query(cursor="W1tbW1tb"), Query(stored_since="WzEsIFtbMl1dXQ=="), Query(stored_since="\ud800"),
    ])
    def test_nonsense_is_refused(self, store: Store, query: Query) -> None:
        fill(store, 1)
        with pytest.raises(StoreError):
            store.list(query)

    def test_live_lists_meet_whatever_is_stored_later(self, store: Store, again: Callable[[], Store]) -> None:
        """Also when it began before what was seen, as slow requests do."""
        first = fill(store, 5, first=50)
        mark = store.list(Query()).mark
        assert store.list(Query(stored_since=mark)).rows == []
        early, other = fill(store, 3, first=1), again()
        late = fill(other, 2, first=60)
        assert set(ids_of(again(), stored_since=mark)) == {*early, *late}
        page = store.list(Query(stored_since=mark, limit=2))
        assert len(page.rows) == 2 and page.next is not None
        assert not {row["id"] for row in page.rows} & set(first)
        assert ids_of(store, stored_since=page.mark) == []

    def test_routes(self, store: Store) -> None:
        fill(store, 100)
        row, blob = profile(500, status=500, route="/r/0")
        store.put(row, blob)
        routes = {one["route"]: one for one in store.routes()}
        assert routes["/r/1"]["count"] == 33
        assert routes["/r/0"]["max"] == 500_000_000
        assert routes["/r/0"]["worst"] == row["id"]
        assert routes["/r/0"]["error_share"] == 1 / 35
        assert [one["route"] for one in store.routes("/r/2")] == ["/r/2"]

    # ---- keeping ----

    def test_pins(self, store: Store, again: Callable[[], Store]) -> None:
        ids = fill(store, 3)
        assert store.pin(ids[1], True)
        assert not store.pin("0" * 26, True), "there is none of that id"
        assert [row["id"] for row in again().list(Query()).rows if row["pinned"]] == [ids[1]]
        assert store.pin(ids[1], False)
        assert not any(row["pinned"] for row in store.list(Query()).rows)

    def test_everything_comes_out_again(self, store: Store) -> None:
        ids = fill(store, 8)
        store.delete(ids[2])
        found = {one.row["id"]: one for one in store.everything()}
        assert found.keys() == set(ids) - {ids[2]}
        for profile_id, one in found.items():
            assert one.blob == store.get(profile_id)
            assert one.row["hot"].endswith(" 90%") and one.row["path"].startswith("/p/")
        _core.Profile(one.blob)

    def test_a_copy(self, store: Store, tmp_path: Path) -> None:
        ids = fill(store, 6)
        store.pin(ids[4], True)
        (tmp_path / "other").mkdir()
        other = self.open(tmp_path / "other")
        done = copy(store, other)
        assert (done.copied, done.known) == (6, 0)
        assert set(ids_of(other)) == set(ids)
        assert other.get(ids[2]) == store.get(ids[2])
        wanted = {row["id"]: {**row, "pinned": row["id"] == ids[4]} for row in store.list(Query()).rows}
        assert {row["id"]: row for row in other.list(Query()).rows} == wanted
        fill(store, 1, first=20)
        assert copy(store, other)[:2] == (1, 6), "once more: only what is new"

    def _beside(self, place: Path, name: str) -> Any:
        (place / name).mkdir(exist_ok=True)
        return self.open(place / name)

    def test_a_copy_takes_what_all_requests_did_along_once(self, store: Any, tmp_path: Path) -> None:
        other = self._beside(tmp_path, "other")
        now = int(time.time() * 1000)
        now -= now % SLOT_MS
        for i, count in enumerate((3, 4)):
            count_requests(store, count)
            gather(store, now + i, count)
        gather(store, now - 3 * SLOT_MS, 2, "/early")
        count_requests(other, 100)
        gather(other, now + 5, 100)
        first = copy(store, other)
        assert (first.hours, first.trees, first.left) == (1, 2, "")
        assert requests_of(other) == ({"/r": 107}, 109)
        assert copy(store, other)[3:5] == (0, 0)
        assert requests_of(self._beside(tmp_path, "other")) == ({"/r": 107}, 109)
        count_requests(store, 5)  # the source goes on, in the same hour
        gather(store, now + 7, 5)
        assert copy(store, other)[3:5] == (1, 1)
        other.gc(), store.gc()
        assert copy(store, other)[3:5] == (0, 0)
        assert requests_of(other) == ({"/r": 112}, 114)
        assert {(row["route"], row["count"]) for row in other.routes()} == {("/r", 112)}
        assert copy(other, store)[3:5] == (1, 1), "and back: what the other one did"
        assert requests_of(store) == ({"/r": 112}, 114)

    def test_what_was_copied_on_every_way_counts_once(self, store: Any, tmp_path: Path) -> None:
        one, two = (self._beside(tmp_path, name) for name in ("other", "third"))
        count_requests(store, 3)
        gather(store, 10**12, 3)
        copy(store, one)
        copy(one, two)
        count_requests(store, 1)
        gather(store, 10**12 + 1, 1)
        copy(store, two)
        copy(one, two)  # it knows less of the first one
        assert requests_of(two) == ({"/r": 4}, 4)
        copy(two, one)
        copy(one, store)
        assert requests_of(one) == requests_of(store) == ({"/r": 4}, 4)

    def test_a_copy_that_broke_off_goes_on(self, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = self._beside(tmp_path, "other")
        fill(store, 2)
        for hour in range(3):
            count_requests(store, 2)
            gather(store, 10**12 + hour * SLOT_MS, 2)
        calls = 0
        put = other.put_gathered

        def fails(one: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise StoreError("away")
            return bool(put(one))

        with monkeypatch.context() as broken:
            broken.setattr(other, "put_gathered", fails)
            with pytest.raises(StoreError, match="away"):
                copy(store, other)
        assert copy(store, other) == (0, 2, 0, 0, 2, "")
        assert requests_of(other) == ({"/r": 6}, 6)

    @pytest.mark.parametrize("damaged", [b"", b"SLW1", b"\0" * 40])
    def test_what_is_no_table_and_no_slice_is_not_taken(self, store: Any, damaged: bytes) -> None:
        with pytest.raises(StoreError):
            store.put_counted(Counted(b"o" * 16, 400_000, damaged))
        with pytest.raises(StoreError):
            store.put_gathered(Gathered(b"o" * 16, 10**12, 10**12 + 1, 3, damaged))
        assert requests_of(store) == ({}, 0)

    def test_contents(self, store: Store) -> None:
        assert store.contents()["profiles"] == 0
        ids = fill(store, 4)
        store.delete(ids[0])
        found = store.contents()
        assert found["profiles"] == 3 and found["bytes"] > 0 and found["memory"] >= 0
        assert store.gc()["deleted"] == 0
        assert store.problem() is None

    def test_closed_it_opens_by_itself(self, store: Store) -> None:
        store.close()
        ids = fill(store, 2)
        store.close()
        store.close()
        assert set(ids_of(store)) == set(ids)
        ids += fill(store, 1)
        assert set(ids_of(store)) == set(ids)
