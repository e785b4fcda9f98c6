"""Ten million rows in PostgreSQL: lists when that many are stored.

    python tests/bench/postgres_many.py [--count 10000000] [--seed 100000] [--json FILE]

Too many to put one by one here, so ``--seed`` profiles are stored as an app stores them, and the server copies them
until there are ``--count``: with ids, times taken, paths and blobs of their own, the other columns as they are. The
secondary indexes are taken away before and made again behind, as a restored dump has them. Then the lists that people
ask for, each the best of three.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from postgres import BATCH, Server, run
from store import profiles, timed

from slowlens.store import Query
from slowlens.store.postgres import PostgresStore
from slowlens.store.postgres.schema import OF_A_DAY

COPIES = 10
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("slowest 50 of a route", {"route": "/app0/section0/<id>", "sort": "-wall_ns"}),
    ("slowest 50 of a rare route", {"route": "/app9/section180/<id>", "sort": "-wall_ns"}),
    ("newest 50", {}), ("newest 50 of a route", {"route": "/app0/section0/<id>"}), ("slowest 50", {"sort": "-wall_ns"}),
    ("newest 5xx", {"status": "5xx"}), ("newest 5xx of a route", {"route": "/app0/section0/<id>", "status": "5xx"}),
    ("a tag", {"tag": "tenant=77"}), ("a text that some paths have", {"text": "7712"}), ("a host", {"host": "web-3"}),
    ("a release", {"release": "r1"}), ("500 ms and more", {"min_ns": 500_000_000}),
)

#: Of a copied row's id: the time stays, the rest is its own.
_ID = "encode(substr(uuid_send(id), 1, 6) || substr(decode(md5(id::text || {n}), 'hex'), 1, 10), 'hex')::uuid"


def multiply(store: PostgresStore, count: int, hold: Callable[[], AbstractContextManager[Any]]) -> Iterator[str]:
    """Copies what is there until there are so many; says what it did."""
    with store._connections.lock:
        connection = store._connections.writing()
        schema = store._s

        def ask(sql: str) -> list[Any]:
            return list(connection.execute(sql).fetchall())

        connection.execute("SET statement_timeout = 0")  # an index of a million texts takes longer than a writer may
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET synchronous_commit = off")
        made = [row[0] for row in ask(
            "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            f"WHERE c.oid = '{schema}.profiles'::regclass AND NOT i.indisprimary")]
        for (name,) in ask(f"SELECT i.indexrelid::regclass::text FROM pg_index i "
                           f"WHERE i.indrelid = '{schema}.profiles'::regclass AND NOT i.indisprimary"):
            connection.execute(f"DROP INDEX {name}")
        columns = [row[0] for row in ask(
            "SELECT attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
            f"AND attrelid = '{schema}.profiles'::regclass ORDER BY attnum")]
        parts = [row[0] for row in ask(
            f"SELECT '{schema}.' || relname FROM pg_inherits JOIN pg_class ON oid = inhrelid "
            f"WHERE inhparent = '{schema}.profiles'::regclass")]
        for (name,) in ask("SELECT indexrelid::regclass::text FROM pg_index JOIN pg_inherits ON inhrelid = indrelid "
                           f"WHERE inhparent = '{schema}.profiles'::regclass AND NOT indisprimary"):
            connection.execute(f"DROP INDEX {name}")  # of a day alone
        seeds = ask(f"SELECT count(*) FROM {schema}.profiles")[0][0]
        own = {"id": _ID, "wall_ns": "(wall_ns * (0.5 + random()))::bigint",
               "started": "started + (random() * 1e6)::bigint",
               "path": "regexp_replace(path, '[0-9]+/$', (random() * 1e5)::int || '/')"}
        chosen = ", ".join(own.get(one, one) for one in columns)
        for part in parts:
            blobs = part.replace("profiles_", "blobs_")
            with hold():
                connection.execute(f"CREATE TEMP TABLE seed AS SELECT * FROM {part}")
                connection.execute(f"CREATE TEMP TABLE seed_blobs AS SELECT * FROM {blobs}")
            for first in range(1, count // seeds, COPIES):
                last = min(first + COPIES, count // seeds) - 1
                series = f"generate_series({first}, {last}) n"
                with hold():
                    connection.execute(f"INSERT INTO {part} ({', '.join(columns)}) "
                                       f"SELECT {chosen.format(n='n')} FROM seed, {series}")
                    connection.execute(f"INSERT INTO {blobs} (id, day, blob) "
                                       f"SELECT {_ID.format(n='n')}, day, blob FROM seed_blobs, {series}")
            connection.execute("DROP TABLE seed, seed_blobs")
            yield f"{part} filled"
        for definition in made:
            # Each partition's first: the parent's is then attached, and none takes long.
            head, _, rest = definition.partition(" ON ONLY ")
            for part in parts:
                with hold():
                    connection.execute("CREATE INDEX ON " + part + rest[rest.index(" USING"):])
            with hold():
                connection.execute(f"{head} ON {rest}")
            yield f"index {rest[rest.index('USING'):]}"
        for definition, part in itertools.product(OF_A_DAY, parts):
            with hold():
                connection.execute(f"CREATE INDEX ON {part} {definition}")
        yield f"{len(OF_A_DAY)} indexes of each day"
        with hold():
            connection.execute(f"VACUUM ANALYZE {schema}.profiles")


def measure(server: Server, count: int, seed: int, say: Callable[[str, float, str], None],
            hold: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
    store = PostgresStore(server.url(), max_bytes=1 << 50, max_age_days=0)
    source = profiles(seed)
    start = time.monotonic()
    with hold():
        while batch := [({**meta, "hot": "views.detail > copy.deepcopy 76%"}, blob)
                        for meta, blob in itertools.islice(source, BATCH)]:
            store.put_many(batch)
    for done in multiply(store, count, hold):
        print(f"{time.monotonic() - start:8.0f} s  {done}", flush=True)
    with hold():
        there = store.contents()
        say("profiles", there["profiles"], "")
        say("bytes a profile", there["bytes"] / there["profiles"], "bytes")
        for label, values in ASKED:
            query = Query(**values)
            say(label, timed(lambda query=query: store.list(query)), "ms")
        known = store.list(Query(sort="-wall_ns")).rows[0]["id"]
        say("one profile", timed(lambda: store.get(known)), "ms")
        say("gc that finds nothing to do", timed(lambda: store.gc(10), 1), "ms")
    store.close()


def main(hold: Callable[[], AbstractContextManager[Any]] = nullcontext) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    return run(options.count, options.json, lambda server, say: measure(server, options.count, options.seed, say, hold))


if __name__ == "__main__":
    sys.exit(main())
