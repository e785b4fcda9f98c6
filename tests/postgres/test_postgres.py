"""The PostgreSQL store beyond the contract: many hosts, a database that goes away, retention, schemas, numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from slowlens import _core
from slowlens.options import OptionsError, load
from slowlens.request import id_value, new_id
from slowlens.store import Query, QueryError, StoreError
from slowlens.store import open_store as open_any
from slowlens.store.interface import COLUMNS
from slowlens.store.postgres import PostgresStore
from slowlens.store.postgres import schema as schemas
from slowlens.store.postgres.columns import ADDED, day_of
from slowlens.store.postgres.connections import Place, has_session

from cluster import Server
from store_contract import fill, gather, ids_of, profile, requests_of

DAY = 86400 * 10**9
HERE = Path(__file__).parent

Open = Callable[..., PostgresStore]


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() > deadline:
            assert found
            return found
        time.sleep(0.02)


@pytest.fixture
def sql(server: Server) -> Any:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection


def host(url: str, name: str, count: int, batch: int = 16) -> subprocess.Popen[str]:
    package = str(Path(_core.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, str(HERE / "sender.py"), url, name, str(count), str(batch)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((package, str(HERE.parent / "py")))})


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def stored_ids(url: str) -> list[str]:
    with psycopg.connect(Place(url).conninfo, autocommit=True) as connection:
        rows = connection.execute(
            f"SELECT p.id, b.id FROM {Place(url).schema}.profiles p FULL JOIN {Place(url).schema}.blobs b"
            f" USING (id, day)").fetchall()
    assert all(one == other for one, other in rows), "a row without its blob, or the other way round"
    return [row[0].hex for row in rows]


def hexes(ids: list[str]) -> list[str]:
    return [id_value(one).hex() for one in ids]


# ---- many writers ----

def test_two_hosts_one_killed_in_between(server: Server, schema: str, tmp_path: Path) -> None:
    confirmed: dict[str, list[str]] = {"one": [], "two": []}
    urls = {name: server.url(schema=schema, waiting=str(tmp_path / name)) for name in confirmed}
    hosts = {"one": host(urls["one"], "one", 600), "two": host(urls["two"], "two", 1_000_000)}
    for process in hosts.values():
        assert process.stdout.readline() == "ready\n"
        go_on(process)
    for line in hosts["two"].stdout:
        confirmed["two"] += line.split()
        if len(confirmed["two"]) >= 320:
            break
    hosts["two"].kill()
    confirmed["two"] += hosts["two"].stdout.read().rpartition("\n")[0].split()
    hosts["two"].wait()
    for line in hosts["one"].stdout:
        if line == "done\n":
            break
        confirmed["one"] += line.split()
    go_on(hosts["one"])
    assert hosts["one"].stdout.readline() == "sent\n"
    hosts["one"].wait()
    found = stored_ids(urls["one"])
    assert len(found) == len(set(found)), "stored twice"
    assert set(hexes(confirmed["one"] + confirmed["two"])) <= set(found), "confirmed, and lost"
    assert len(confirmed["one"]) == 600 and len(confirmed["two"]) >= 320
    store = PostgresStore(urls["one"])
    assert store.list(Query(host="two", limit=1)).rows[0]["host"] == "two"
    store.close()
    for process in hosts.values():
        process.stdin.close()
        process.stdout.close()


def test_a_restart_under_load_loses_none_and_stores_none_twice(
        own_server: Server, schema: str, tmp_path: Path) -> None:
    """Two hosts go on storing while the database crashes twice; a third finds what a killed one left waiting."""
    url = own_server.url(schema=schema, waiting=str(tmp_path / "waiting"))
    PostgresStore(url).problem()  # the schema is there
    hosts = [host(url, name, 3000, 4) for name in ("one", "two")]
    confirmed: list[str] = []
    lines: list[list[str]] = [[], []]
    readers = [threading.Thread(target=lambda process, into: into.extend(process.stdout), args=(process, into))
               for process, into in zip(hosts, lines, strict=True)]
    for process in hosts:
        assert process.stdout.readline() == "ready\n"
    for process, reader in zip(hosts, readers, strict=True):
        reader.start()
        go_on(process)
    for share in (0.2, 0.5):
        wait_for(lambda share=share: min(map(len, lines)) >= 750 * share)
        own_server.stop("immediate")
        own_server.start()
    wait_for(lambda: all(into and into[-1] == "done\n" for into in lines))
    hosts[1].kill()  # what it has not sent on yet waits for others
    go_on(hosts[0])
    for process, reader in zip(hosts, readers, strict=True):
        process.wait()
        reader.join()
    confirmed = [one for into in lines for line in into if line not in ("done\n", "sent\n") for one in line.split()]
    assert len(confirmed) == 6000
    other = PostgresStore(url)
    while (seconds := other.tend()) is not None:
        time.sleep(min(0.1, seconds))
    assert other.contents()["waiting"] == 0
    other.close()
    assert sorted(stored_ids(url)) == sorted(hexes(confirmed))
    for process in hosts:
        process.stdin.close()
        process.stdout.close()


def test_eighty_starts_at_once(server: Server, schema: str, tmp_path: Path) -> None:
    """Eight make the same tables, ten times; without the advisory lock a third of them fails."""
    failures: list[str] = []
    profiles = [profile(i) for i in range(8)]

    def start(url: str, gate: threading.Barrier, mine: Any) -> None:
        store = PostgresStore(url)
        gate.wait()
        problem = store.problem()
        if problem is not None:
            failures.append(problem)
        try:
            store.put(*mine)
        finally:
            store.close()

    for attempt in range(10):
        url = server.url(schema=f"{schema}_{attempt}", waiting=str(tmp_path / str(attempt)))
        gate = threading.Barrier(8)
        threads = [threading.Thread(target=start, args=(url, gate, mine)) for mine in profiles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stored_ids(url)) == 8
    assert failures == []
    assert not any(tmp_path.iterdir()), "nothing had to wait"


# ---- away ----

def test_what_waits_is_sent_on(own_server: Server, schema: str, tmp_path: Path) -> None:
    url = own_server.url(schema=schema, waiting=str(tmp_path / "waiting"))
    store = PostgresStore(url)
    first = fill(store, 3)
    own_server.stop()
    numbers = _core.Numbers(60, "r1", "h1")
    recording = _core.Recording()
    recording.finish()
    numbers.add(recording, "/r", "GET", False, False, 0)
    taken = numbers.take()
    assert taken is not None
    later = fill(store, 5, first=10)
    store.put_numbers(*taken)
    store.close()  # the process ends; another one sends it
    other = PostgresStore(url)
    assert "5 profiles wait" in str(other.problem())
    with pytest.raises(StoreError, match="connection"):
        other.list(Query())
    assert other.tend() is not None
    own_server.start()
    wait_for(lambda: other.tend() is None)
    assert set(ids_of(other)) == {*first, *later}
    assert other.problem() is None
    assert [row["count"] for row in other.numbers()["rows"]] == [1]
    assert [row["hot"] for row in other.list(Query(sort="started", min_ns=10_000_000)).rows] == [
        f"views.f{i} 90%" for i in range(10, 15)]
    other.close()


def test_what_has_no_room_to_wait_is_counted(tmp_path: Path) -> None:
    store = PostgresStore(f"postgresql:///none?host={tmp_path}&waiting={tmp_path / 'waiting'}", max_bytes=200_000)
    ids = fill(store, 600)
    left = store._waiting.count()
    assert 0 < left < 600
    assert store._waiting.lost == len(ids) - left
    store.close()


def test_nowhere_to_wait(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PostgresStore(f"postgresql:///none?host={tmp_path}&waiting={tmp_path / 'file'}")
    with pytest.raises(StoreError) as caught:
        store.put_many([profile(1), profile(2)])
    assert caught.value.lost == 2
    store.close()


def test_one_that_is_refused_takes_no_other_with_it(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    ids = fill(store, 6)
    monkeypatch.setattr(schemas, "DAYS_MAX", len({day_of(one) for one in ids}))
    profiles = [profile(i) for i in range(6)]
    profiles[2:2] = [profile(1, started=time.time_ns() - 900 * DAY)]
    with pytest.raises(StoreError, match="clock") as caught:
        store.put_many(profiles)
    assert caught.value.lost == 1
    profiles[2] = ({**profiles[2][0], "id": "no id"}, b"")
    with pytest.raises(StoreError, match="no id") as caught:
        store.put_many([*profiles, profile(9)])
    assert caught.value.lost == 1
    del profiles[2]
    assert {*ids, *(row["id"] for row, _ in profiles)} < set(ids_of(store))
    assert len(ids_of(store)) == len(ids) + len(profiles) + 1
    assert store.contents()["waiting"] == 0


def test_the_longest_and_strangest_texts_are_stored(open_store: Open) -> None:
    """What has an index must fit into one page of it, also where it cannot be compressed."""
    wide = "".join(chr(0x1F300 + i * 7 % 600) for i in range(5000))
    store = open_store()
    store.put(*profile(1, route=wide, path=wide, host=wide, release=wide, method="M" * 300, **{"tag.t": wide}))
    assert ids_of(store, route=wide, host=wide, release=wide) == ids_of(store)
    assert len(ids_of(store)) == 1


# ---- retention ----

def old(days: float, i: int = 1, **values: Any) -> tuple[dict[str, Any], bytes]:
    return profile(i, started=int(time.time_ns() - days * DAY), **values)


def put_old(store: PostgresStore, days: float, count: int, **values: Any) -> list[str]:
    profiles = [old(days, i + 1, **values) for i in range(count)]
    store.put_many(profiles)
    return [row["id"] for row, _ in profiles]


def test_days_that_are_too_old_go_and_pins_stay(open_store: Open, sql: Any, schema: str) -> None:
    store = open_store(max_age_days=14)
    gone, new = put_old(store, 20, 30), put_old(store, 3, 5)
    assert store.pin(gone[7], True)
    assert store.gc(10)["deleted"] == 29
    assert set(ids_of(store)) == {gone[7], *new}
    assert store.get(gone[7]) is not None and store.get(gone[8]) is None
    assert [row["id"] for row in store.list(Query()).rows if row["pinned"]] == [gone[7]]
    assert sql.execute("SELECT to_regclass(%s)", (f"{schema}.profiles_{day_of(gone[0])}",)).fetchone() == (None,)
    store.put(*old(20))  # late, of a host that was away; then the pinned one once more
    row, blob = old(20)
    store.put({**row, "id": gone[7]}, blob)
    assert len(ids_of(store)) == 1 + 5 + 1
    assert store.pin(gone[7], False)
    assert store.gc(10)["deleted"] == 2
    assert set(ids_of(store)) == set(new)


def test_room_is_made_by_days_and_the_worst_stay(open_store: Open) -> None:
    store = open_store(max_bytes=1 << 40, max_age_days=0, worst_per_route=2)
    first = put_old(store, 5, 60, route="/a") + put_old(store, 5, 10, route="/b", status=503)
    second, new = put_old(store, 3, 10), put_old(store, 0.1, 10)
    pinned = second[0]
    store.pin(pinned, True)
    small = open_store(max_bytes=store.gc()["bytes"] - 1, max_age_days=0, worst_per_route=2)
    # The day before is too much already: it goes, and what outlives it is the slowest two and last two errors of each.
    assert small.gc(10)["deleted"] > 0
    left = set(ids_of(small))
    assert set(new) <= left
    kept = left & set(first)
    assert {first[58], first[59], first[68], first[69]} <= kept and len(kept) <= 4
    assert {one["route"] for one in small.routes()} >= {"/a", "/b"}


def test_an_open_reader_delays_a_drop_and_nothing_waits_for_long(open_store: Open, sql: Any, schema: str) -> None:
    store = open_store(max_age_days=14)
    put_old(store, 20, 4)
    new = put_old(store, 1, 1)
    with psycopg.connect(sql.info.dsn) as reader:
        reader.execute(f"SELECT count(*) FROM {schema}.profiles")  # and its transaction stays open
        assert store.gc(10)["deleted"] == 0
        assert len(ids_of(store)) == 5
    assert store.gc(10)["deleted"] == 4
    assert ids_of(store) == new


def test_the_only_day_loses_its_oldest(open_store: Open) -> None:
    store = open_store()
    now = time.time_ns()
    batches = [[profile(j, started=now - (3000 - 100 * i - j) * 10**6) for j in range(100)] for i in range(30)]
    for batch in batches:
        store.put_many(batch)
    ids = [row["id"] for batch in batches for row, _ in batch]
    store.pin(ids[0], True)
    small = open_store(max_bytes=2_000_000)
    done = small.gc(30)
    left = {one.row["id"] for one in small.everything()}
    assert 0 < done["deleted"] == 3000 - len(left) and ids[0] in left
    assert set(ids[-(len(left) - 1):]) <= left, "the newest are there"


# ---- the schema ----

def test_tables_are_upgraded_by_whoever_knows_the_step(
        open_store: Open, sql: Any, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(open_store(), 3)
    monkeypatch.setattr(schemas, "STEPS", [*schemas.STEPS, "ALTER TABLE {s}.profiles ADD more text"])
    newer = open_store()
    assert newer.problem() is None
    assert sql.execute(f"SELECT version, oldest FROM {schema}.about").fetchall() == [(len(schemas.STEPS), 1)]
    assert sql.execute(f"SELECT count(more) FROM {schema}.profiles").fetchone() == (0,)
    monkeypatch.undo()
    older = open_store()
    ids += fill(older, 2, first=10)  # it may: the tables still take what it writes
    assert set(ids_of(older)) == set(ids)
    sql.execute(f"UPDATE {schema}.about SET version = 9, oldest = 9")
    late = open_store()
    assert "later slowlens" in str(late.problem())
    late.put(*profile(1))
    assert late.contents()["waiting"] == 1, "what it cannot store waits for one that can"


def test_tables_of_the_first_version_go_on(
        open_store: Open, sql: Any, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by who may not change them, upgraded by the first who may, written to by hosts of both versions then."""
    old = open_store()
    ids = fill(old, 3, waiting_ns=4, gil_wait_ns=4)
    sql.execute(f"ALTER TABLE {schema}.profiles " + ", ".join(f"DROP COLUMN {name}" for name in ADDED))
    sql.execute(f"DROP TABLE {schema}.windows, {schema}.copied_windows, {schema}.copied_hours")
    sql.execute(f"ALTER TABLE {schema}.about DROP COLUMN store")
    sql.execute(f"UPDATE {schema}.about SET version = 1")
    reader = open_store()
    with monkeypatch.context() as may_not:
        may_not.setattr(reader, "_upgrade", lambda: False)
        rows = reader.list(Query()).rows
        assert [(row["waiting_ns"], row["gil_wait_ns"], row["db_count"]) for row in rows] == [(4, 0, 0)] * 3
        with pytest.raises(QueryError, match="earlier slowlens"):
            reader.list(Query(sort="-db_count"))
    assert set(ids_of(reader, sort="db_count")) == set(ids)
    assert sql.execute(f"SELECT version, oldest FROM {schema}.about").fetchall() == [(len(schemas.STEPS), 1)]
    known = ", ".join(name for name in (*COLUMNS, "day") if name not in ADDED)
    other = id_value(new_id(time.time_ns())).hex()
    sql.execute(f"INSERT INTO {schema}.profiles ({known}) SELECT %s::uuid, {known[4:]} FROM {schema}.profiles LIMIT 1",
                (other,))  # as a host does that was not updated yet
    fill(reader, 1, first=9, db_count=12)
    assert [row["db_count"] for row in open_store().list(Query(sort="-db_count")).rows] == [12, 0, 0, 0, 0]


def test_dropped_tables_are_made_again(open_store: Open, sql: Any, schema: str) -> None:
    store = open_store()
    fill(store, 1)
    sql.execute(f"DROP SCHEMA {schema} CASCADE")
    assert store.list(Query()).rows == [] and store.routes() == [] and list(store.everything()) == []
    assert store.get(new_id(time.time_ns())) is None and store.contents()["profiles"] == 0
    ids = fill(store, 2)
    assert set(ids_of(store)) == set(ids)


def test_a_role_that_may_only_read(open_store: Open, server: Server, sql: Any, schema: str) -> None:
    ids = fill(open_store(), 3)
    sql.execute(f"CREATE ROLE {schema}_reader LOGIN")
    sql.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}_reader")
    sql.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}_reader")
    reader = PostgresStore(server.url(schema=schema, user=f"{schema}_reader"))
    assert set(ids_of(reader)) == set(ids) and reader.get(ids[0]) is not None
    assert len(reader.routes()) == 3
    with pytest.raises(StoreError, match="permission"):
        reader.delete(ids[0])
    reader.close()


def test_a_reader_of_tables_from_before_an_update(open_store: Open, server: Server, sql: Any, schema: str) -> None:
    """Who was granted the tables that were there sees what is in those."""
    store = open_store()
    fill(store, 1)
    store.put_numbers(*table(3))
    gather(store, 10**12, 5)
    sql.execute(f"CREATE ROLE {schema}_reader LOGIN")
    sql.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}_reader")
    sql.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}_reader")
    sql.execute(f"REVOKE SELECT ON {schema}.copied_hours, {schema}.copied_windows FROM {schema}_reader")
    reader = PostgresStore(server.url(schema=schema, user=f"{schema}_reader"))
    assert requests_of(reader) == ({"/r": 3}, 5) and reader.gathers(0)
    assert {row["route"] for row in reader.routes()} == {"/r", "/r/0"}
    sql.execute(f"REVOKE SELECT ON {schema}.hours FROM {schema}_reader")
    with pytest.raises(StoreError, match="permission denied"):
        reader.numbers()
    reader.close()


def test_another_process_says_why_profiles_wait(server: Server, sql: Any, schema: str, tmp_path: Path) -> None:
    url = server.url(user=schema, schema=schema, waiting=str(tmp_path / "waiting"))
    sql.execute(f"CREATE ROLE {schema} LOGIN SUPERUSER")

    def told() -> str:
        done = subprocess.run([sys.executable, "-m", "slowlens", "doctor", "--json", "--store", url],
                              capture_output=True, text=True, cwd=tmp_path)
        return str(json.loads(done.stdout)["findings"])

    store = PostgresStore(url)
    fill(store, 1)
    sql.execute(f"ALTER ROLE {schema} NOSUPERUSER")
    sql.execute(f"ALTER SCHEMA {schema} OWNER TO CURRENT_USER")
    sql.execute(f"REASSIGN OWNED BY {schema} TO CURRENT_USER")
    sql.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    sql.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    store.put(*profile(2))
    store.close()
    assert "may not write to the table profiles; 1 profile waits" in told()
    sql.execute(f"ALTER ROLE {schema} SUPERUSER")
    sql.execute(f"DROP TABLE {schema}.blobs CASCADE")
    assert "there is no table blobs; 1 profile waits" in told()


def test_a_role_with_habits_of_its_own(server: Server, sql: Any, schema: str, tmp_path: Path) -> None:
    """What is set for a role, or in the server's configuration, holds for us as well."""
    sql.execute(f"CREATE ROLE {schema} LOGIN SUPERUSER")
    for habit in ("client_encoding = 'LATIN1'", "search_path = ''", "timezone = 'Asia/Kathmandu'",
                  "bytea_output = 'escape'", "standard_conforming_strings = off",
                  "default_transaction_isolation = 'serializable'"):
        sql.execute(f"ALTER ROLE {schema} SET {habit}")
    store = PostgresStore(server.url(user=schema, schema=schema, waiting=str(tmp_path / "waiting")))
    row, blob = profile(1, path="/漢字")
    store.put(row, blob)
    assert [one["path"] for one in store.list(Query(text="漢")).rows] == ["/漢字"] and store.get(row["id"]) == blob
    store.put_numbers(*table(3))
    store.gc(5)
    assert counts(store) == {"/r": 3} and store.contents()["waiting"] == 0 and store.problem() is None
    sql.execute(f"ALTER ROLE {schema} SET default_transaction_read_only = on")
    store.close()
    store.put(*profile(2))
    assert "read-only" in str(store.problem()) and "1 profile waits" in str(store.problem())
    store.close()


def test_a_table_that_is_gone_is_said(open_store: Open, sql: Any, schema: str) -> None:
    store = open_store()
    fill(store, 1)
    sql.execute(f"DROP TABLE {schema}.blobs CASCADE")
    store.put(*profile(2))
    assert "blobs" in str(store.problem()) and "1 profile waits" in str(store.problem())


def test_without_pg_trgm_and_without_rights_on_the_database(server: Server, sql: Any, schema: str) -> None:
    sql.execute(f"CREATE DATABASE {schema}_db")
    sql.execute(f"CREATE ROLE {schema}_plain LOGIN")
    with psycopg.connect(server.url(f"{schema}_db"), autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA apps AUTHORIZATION {schema}_plain")
        store = PostgresStore(server.url(f"{schema}_db", user=f"{schema}_plain", schema="apps"))
        fill(store, 3)
        assert [row["path"] for row in store.list(Query(text="VIEWS.f2")).rows] == ["/p/2"]
        assert admin.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'").fetchone() == (0,)
        store.close()


def test_with_pg_trgm_text_has_an_index(open_store: Open, sql: Any, schema: str) -> None:
    fill(open_store(), 1)
    found = sql.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = %s", (schema,)).fetchall()
    assert any("gin_trgm_ops" in row[0] for row in found)


def test_lists_find_what_is_of_a_day_that_came_later(open_store: Open) -> None:
    """Days are asked one by one, as far as a reader knows them; others come, and go, meanwhile."""
    reader, writer = open_store(), open_store()
    now = time.time_ns()

    def put(*days: int) -> None:
        for n in (1, 2, 3, 4):
            for day in days:
                writer.put(*profile(10 * day + n, started=now - day * DAY + n * 1000, status=500 + n % 2))

    put(5, 9)
    assert len(ids_of(reader, mode="deterministic", sort="-wall_ns")) == 8
    put(0, 3, 7, 12)
    for sort in ("-wall_ns", "started", "-ended", "status", "route", "cpu_ns"):
        for asks in ({"mode": "deterministic"}, {"text": "views.F"}, {"status": "5xx"}, {"min_ns": 12 * 10**6}):
            rows = [row for row in writer.list(Query(limit=500)).rows
                    if row["wall_ns"] >= asks.get("min_ns", 0)]
            column = sort.removeprefix("-")
            rows.sort(key=lambda row: (row[column], row["id"]), reverse=sort[0] == "-")
            wanted = [row["id"] for row in rows]
            found, query = [], Query(sort=sort, limit=5, **asks)
            while True:
                page = reader.list(query)
                found += [row["id"] for row in page.rows]
                if page.next is None:
                    break
                query = Query(sort=sort, limit=5, cursor=page.next, **asks)
            assert found == wanted, (sort, asks)


def test_days_of_tables_that_are_there_already_get_the_indexes_of_now(open_store: Open, sql: Any, schema: str) -> None:
    store = open_store()
    now = time.time_ns()
    store.put(*profile(1, started=now))
    for (index,) in sql.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass AND NOT indisprimary",
            (f"{schema}.profiles_{day_of(new_id(now))}",)).fetchall():
        try:
            sql.execute(f"DROP INDEX {index}")
        except psycopg.errors.DependentObjectsStillExist:
            pass  # of the whole table: each day has it
    store.put(*profile(1, started=now - 3 * DAY))
    count = "SELECT count(*) FROM pg_indexes WHERE schemaname = %s AND tablename = %s"
    now, before = (sql.execute(count, (schema, f"profiles_{day_of(new_id(now - ago))}")).fetchone()[0]
                   for ago in (0, 3 * DAY))
    assert before - now == len(schemas.OF_A_DAY)


@pytest.mark.parametrize("bad", ["schema=a;drop", "schema=A", "schema=", "schema=" + "x" * 41])
def test_a_schema_that_is_no_name(bad: str) -> None:
    with pytest.raises(OptionsError, match="schema"):
        open_any(load({"store": f"postgresql:///x?{bad}"}, environ={}))


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from slowlens.store.postgres import store

    monkeypatch.setattr(store, "find_spec", lambda name: None)
    with pytest.raises(OptionsError, match=r"pip install 'slowlens\[postgres\]'"):
        open_any(load({"store": "postgresql:///x"}, environ={}))


# ---- numbers, live ----

def table(count: int, route: str = "/r") -> tuple[int, int, bytes]:
    numbers = _core.Numbers(60, "r1", "h1")
    recording = _core.Recording()
    recording.finish()
    for _ in range(count):
        numbers.add(recording, route, "GET", False, False, 0)
    taken = numbers.take()
    assert taken is not None
    return taken


def counts(store: PostgresStore) -> dict[str, int]:
    return {row["route"]: row["count"] for row in store.numbers()["rows"]}


def test_numbers_of_all_processes_are_added_up_once(open_store: Open, sql: Any, schema: str) -> None:
    stores = [open_store() for _ in range(3)]
    for i, store in enumerate(stores):
        store.put_numbers(*table(10 + i))
        store.put_numbers(*table(5, "/other"))
    assert counts(stores[0]) == {"/r": 33, "/other": 15}
    threads = [threading.Thread(target=store.gc, args=(5,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql.execute(f"SELECT count(*) FROM {schema}.parts WHERE part IS NOT NULL").fetchone() == (0,)
    assert counts(stores[1]) == {"/r": 33, "/other": 15}
    stores[2].put_numbers(*table(1))
    stores[2].gc()
    assert counts(stores[0]) == {"/r": 34, "/other": 15}


def test_a_part_whose_confirmation_was_lost_counts_once(
        open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from slowlens.store.postgres import numbers

    store, real = open_store(), numbers.put

    def put(connection: Any, schema: str, parts: Any) -> None:
        real(connection, schema, parts)
        raise psycopg.OperationalError("the connection is gone, just after the commit")

    store.put(*profile(1))
    with monkeypatch.context() as patch:
        patch.setattr(numbers, "put", put)
        store.put_numbers(*table(7))
    open_store().gc()  # added up meanwhile
    wait_for(lambda: store.tend() is None)
    store.gc()
    assert counts(store) == {"/r": 7}


def test_routes_of_all_requests_name_the_slowest_stored(open_store: Open) -> None:
    store = open_store()
    ids = [row["id"] for row, _ in [profile(i, route="/r") for i in range(3)]]
    profiles = [profile(i, route="/r") for i in range(3)]
    store.put_many(profiles)
    ids = [row["id"] for row, _ in profiles]
    store.put_numbers(*table(40))
    (found,) = store.routes()
    assert (found["count"], found["worst"]) == (40, ids[2]) and "sums" in found


def test_who_waits_for_changes_is_told(open_store: Open) -> None:
    store, other = open_store(), open_store()
    fill(store, 1)
    assert other.changes(0.01) == []
    told: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        ready.set()
        while not told:
            told.extend(other.changes(10))

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait()
    ids: list[str] = []
    while thread.is_alive():
        ids += fill(store, 1)
        thread.join(0.1)
    assert set(told) <= set(ids)


# ---- behind a pooler ----

def test_nothing_is_left_in_a_session(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a pooler that gives each transaction another session (PgBouncer), what was prepared, locked or set in one
    is not there for us, and is for others: the app's own, say. It tells a process of its own making."""
    store = open_store(max_bytes=1 << 16)
    connect = psycopg.connect

    class Pooled(psycopg.Connection[Any]):
        @property
        def info(self) -> Any:
            real = super().info
            return SimpleNamespace(backend_pid=0, transaction_status=real.transaction_status, encoding=real.encoding)

    monkeypatch.setattr(psycopg, "connect", lambda *a, **k: Pooled.connect(*a, **k))
    assert not has_session(store._connections.writing())
    monkeypatch.setattr(psycopg, "connect", connect)
    for day in range(4):
        for _ in range(3):
            fill(store, 9, started=time.time_ns() - day * 86400 * 10**9)
        store.put_numbers(*table(3))
        store.gc(5)
    connection = store._connections.writing()
    for left in ("pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "pg_prepared_statements",
                 "pg_settings WHERE source = 'session'", "pg_listening_channels()",
                 "pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()"):
        assert connection.execute(f"SELECT count(*) FROM {left}").fetchone() == (0,), left


# ---- processes ----

def test_a_forked_child_has_connections_of_its_own(open_store: Open) -> None:
    store = open_store()
    fill(store, 1)
    assert len(ids_of(store)) == 1
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fill(store, 2)
            status = 0 if len(ids_of(store)) == 3 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    fill(store, 1)
    assert len(ids_of(store)) == 4


def test_passwords_are_shown_nowhere(tmp_path: Path) -> None:
    url = f"postgresql://u:geheim@/none?host={tmp_path}&password=geheim&waiting={tmp_path / 'w'}&connect_timeout=1"
    store = PostgresStore(url)
    store.put(*profile(1))
    assert "geheim" not in f"{store.shown} {store.problem()} {store.trouble}"
    done = subprocess.run([sys.executable, "-m", "slowlens", "doctor", "--json", "--store", url], capture_output=True,
                          text=True, cwd=tmp_path)
    assert "geheim" not in done.stdout + done.stderr
    assert json.loads(done.stdout)["store"] == "postgresql:///none"
    store.close()
