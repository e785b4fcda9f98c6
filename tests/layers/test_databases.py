"""Drivers and what stands on them, against a real PostgreSQL: as many spans as the server ran statements."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mongo import OWN

Asked = Callable[..., dict[str, int]]
SHAPE = "SELECT ? AS x, ?"


def compare(
    postgres: Any, asked: Asked, run: Callable[[], object], shape: str, count: int, word: str, unseen: int = 0,
) -> None:
    before = postgres.statements(word)
    found = asked(run, "db")
    told = {text: n for text, n in found.items() if word in text}
    ran = postgres.statements(word) - before
    assert told == ({shape: count} if count else {}) and ran == count + unseen, (found, ran)
    assert "secret" not in str(found)


def test_psycopg(postgres: Any, asked: Asked) -> None:
    import psycopg
    from psycopg import sql

    def run() -> None:
        with psycopg.connect(postgres.url) as connection, connection.cursor() as cursor:
            for i in range(12):
                cursor.execute("SELECT %s AS x1, 'secret'", (i,))
            connection.execute(b"SELECT 5 AS x1, 'secret'")
            cursor.execute(sql.SQL("SELECT {} AS x1, {}").format(sql.Literal("secret"), sql.Literal(3)))
            with connection.cursor(name="server_side") as named:
                named.execute("SELECT 1 AS y1, 'secret'")
                named.fetchall()

    compare(postgres, asked, run, "SELECT ? AS x1, ?", 14, "x1")
    compare(postgres, asked, run, "SELECT ? AS y1, ?", 1, "y1")

    def moves() -> None:
        with psycopg.connect(postgres.url) as connection, connection.cursor() as cursor:
            with cursor.copy("COPY (SELECT 'secret' AS z1) TO STDOUT") as copy:
                assert list(copy)
            with connection.pipeline():
                for _ in range(3):
                    connection.execute("SELECT 1 AS p1, 'secret'")
            assert len(list(cursor.stream("SELECT g AS s1 FROM generate_series(1, 9) g WHERE 'secret' <> ''"))) == 9

    compare(postgres, asked, moves, "COPY (SELECT ? AS z1) TO STDOUT", 1, "z1")
    compare(postgres, asked, moves, "SELECT ? AS p1, ?", 3, "p1")
    compare(postgres, asked, moves, "SELECT g AS s1 FROM generate_series(?) g WHERE ? <> ?", 1, "s1")


def test_psycopg_async(postgres: Any, asked: Asked) -> None:
    import psycopg

    async def one() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
            for i in range(5):
                await connection.execute("SELECT %s AS x2, 'secret'", (i,))

    async def main() -> None:
        await asyncio.gather(one(), one(), one())

    compare(postgres, asked, lambda: asyncio.run(main()), "SELECT ? AS x2, ?", 15, "x2")

    async def moves() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.url) as connection, connection.cursor() as cursor:
            async with cursor.copy("COPY (SELECT 'secret' AS z2) TO STDOUT") as copy:
                assert [row async for row in copy]
            assert [row async for row in cursor.stream("SELECT 'secret' AS z2, 5")]

    before = postgres.statements("z2")
    found = asked(lambda: asyncio.run(moves()), "db")
    assert found == {"COPY (SELECT ? AS z2) TO STDOUT": 1, "SELECT ? AS z2, ?": 1}
    assert postgres.statements("z2") - before == 2


def test_asyncpg(postgres: Any, asked: Asked) -> None:
    import asyncpg

    async def main() -> None:
        connection = await asyncpg.connect(postgres.url)
        for i in range(4):
            await connection.fetch("SELECT $1::int AS x3, 'secret'", i)
            await connection.fetchval("SELECT $1::int AS x3, 'secret'", i)
        statement = await connection.prepare("SELECT $1::int AS x3, 'secret'")
        await statement.fetch(4)
        await connection.execute("SELECT 3::int AS x3, 'secret'")
        await connection.close()

    async def reads() -> None:
        connection = await asyncpg.connect(postgres.url)
        async with connection.transaction():
            assert len([row async for row in connection.cursor("SELECT generate_series(1, 120) AS y3")]) == 120
            cursor = await connection.cursor("SELECT generate_series(1, 9), 'secret' AS y3")
            assert len(await cursor.fetch(4)) + len(await cursor.fetch(9)) == 9
        await connection.close()

    found = asked(lambda: asyncio.run(reads()), "db")
    assert [n for text, n in found.items() if "y3" in text] == [1, 1], "rows that are fetched later are no more queries"

    async def moves() -> None:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("CREATE TEMP TABLE moved (a text)")
        await connection.copy_records_to_table("moved", records=[("secret",)])
        await connection.copy_to_table("moved", source=io.BytesIO(b"secret\n"))
        await connection.copy_from_table("moved", output=io.BytesIO())
        await connection.close()

    before = postgres.statements("COPY")
    found = asked(lambda: asyncio.run(moves()), "db")
    told = sum(n for text, n in found.items() if text.startswith("COPY"))
    assert told == 3 == postgres.statements("COPY") - before and "secret" not in str(found), found

    # CPython 3.11 does not tell what compiled code (a prepared statement's) is called with.
    seen = 10 if sys.version_info >= (3, 12) else 9
    compare(postgres, asked, lambda: asyncio.run(main()), "SELECT ?::int AS x3, ?", seen, "x3", unseen=10 - seen)


@pytest.mark.parametrize("above", ["itself", "sqlalchemy"])
def test_pymysql(mariadb: Any, asked: Asked, above: str) -> None:
    import pymysql
    import sqlalchemy as sa

    def selects() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
            return int(cursor.fetchone()[1])

    def run() -> None:
        if above == "itself":
            with connection.cursor() as cursor:
                for i in range(8):
                    cursor.execute("SELECT %s AS x, \"secret\", 'a\\'secret'", (i,))
            connection.query("SELECT 9 AS x, \"secret\"")
        else:
            with sa_engine.connect() as other:
                for _ in range(9):
                    other.exec_driver_sql("SELECT 1 AS x, \"secret\", 'a\\'secret'")

    connection = pymysql.connect(**mariadb)
    sa_engine = sa.create_engine(f"mysql+pymysql://root@127.0.0.1:{mariadb['port']}/")
    with sa_engine.connect() as other:
        other.exec_driver_sql("SELECT 1")
    before = selects()
    found = asked(run, "db")
    assert found.get("SELECT ? AS x, ?") == 9 == selects() - before, found
    assert "secret" not in str(found)
    sa_engine.dispose()
    connection.close()


def test_psycopg2_by_itself(postgres: Any, asked: Asked) -> None:
    import psycopg2
    from psycopg2 import sql

    def run() -> None:
        connection = psycopg2.connect(postgres.url)
        with connection, connection.cursor() as cursor:
            for i in range(6):
                cursor.execute("SELECT %s AS x5, 'secret'", (i,))
            cursor.execute(sql.SQL("SELECT {} AS x5, {}").format(sql.Literal("secret"), sql.Literal(3)))
        connection.close()

    seen = 7 if sys.version_info >= (3, 12) else 0  # its cursors are compiled, and nothing of Python is around them
    compare(postgres, asked, run, "SELECT ? AS x5, ?", seen, "x5", unseen=7 - seen)

    def moves() -> None:
        connection = psycopg2.connect(postgres.url)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE moved (a text)")
            cursor.copy_expert("COPY moved FROM STDIN", io.StringIO("secret\n"))
            cursor.copy_from(io.StringIO("secret\n"), "moved")
            cursor.copy_to(io.StringIO(), "moved")
            cursor.callproc("quote_literal", ("secret",))
        connection.close()

    if not seen:
        return
    before = postgres.statements("COPY") + postgres.statements("quote_literal(")
    found = asked(moves, "db")
    ran = postgres.statements("COPY") + postgres.statements("quote_literal(") - before
    del found["CREATE TEMP TABLE moved (a text)"]
    assert ran == 4 and found == {"COPY moved FROM STDIN": 1, "COPY": 2, "quote_literal": 1}, found


def test_commits_of_sqlalchemy(postgres: Any, asked: Asked) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(postgres.url.replace("postgresql://", "postgresql+psycopg://"))

    def run() -> None:
        for _ in range(4):
            with engine.begin() as connection:
                connection.execute(sa.text("SELECT 1 AS x9"))

    run()
    before = postgres.statements("COMMIT")
    found = asked(run, "db")
    assert (found["COMMIT"], postgres.statements("COMMIT") - before) == (4, 4), found
    engine.dispose()


def test_psycopg2_below_sqlalchemy(postgres: Any, asked: Asked) -> None:
    import sqlalchemy as sa

    def run() -> None:
        sa_engine = sa.create_engine(postgres.url.replace("postgresql:", "postgresql+psycopg2:"))
        with sa_engine.connect() as connection:
            for i in range(7):
                connection.execute(sa.text("SELECT :x AS x4, 'secret'"), {"x": i})
        sa_engine.dispose()

    compare(postgres, asked, run, "SELECT ? AS x4, ?", 7, "x4")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg", "psycopg_async"])
def test_sqlalchemys_orm_over_each_driver(postgres: Any, asked: Asked, driver: str, sampled: bool) -> None:
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.orm import Session, registry

    class Author:
        pass

    table = f"author_{driver}_{sampled}".lower()
    mapping = registry()
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String)
    mapping.map_imperatively(Author, sa.Table(table, mapping.metadata, *columns))
    url = postgres.url.replace("postgresql:", f"postgresql+{driver}:")
    queries = [sa.select(Author).where(Author.name == f"secret{i}") for i in range(9)]

    def run() -> None:
        sa_engine = sa.create_engine(url)
        with Session(sa_engine) as session:
            for query in queries:
                session.scalars(query).all()
        sa_engine.dispose()

    async def main() -> None:
        sa_engine = create_async_engine(url)
        async with AsyncSession(sa_engine) as session:
            for query in queries:
                (await session.scalars(query)).all()
        await sa_engine.dispose()

    made = sa.create_engine(postgres.url.replace("postgresql:", "postgresql+psycopg:"))
    mapping.metadata.create_all(made)
    made.dispose()
    sync = driver in ("psycopg", "psycopg2")
    before = postgres.statements(f"SELECT {table}.id")
    found = asked(run if sync else lambda: asyncio.run(main()), "db")
    ran = postgres.statements(f"SELECT {table}.id") - before
    told = [(text, n) for text, n in found.items() if table in text]
    assert len(told) == 1 and told[0][1] == 9 == ran, (found, ran)
    assert "secret" not in str(found)


def test_django(postgres: Any, asked: Asked) -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "app",
                                   "HOST": "127.0.0.1", "PORT": postgres.port}},
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], USE_TZ=True)
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User
    from django.db import connection, transaction

    def write() -> None:
        for _ in range(3):
            with transaction.atomic():
                User.objects.filter(username="nobody").update(first_name="x")

    before = postgres.statements("COMMIT")
    found = asked(write, "db")
    connection.close()
    assert (found["COMMIT"], postgres.statements("COMMIT") - before) == (3, 3), found

    def run() -> None:
        for i in range(11):
            list(User.objects.filter(username=f"secret{i}"))
        User.objects.filter(username="secret").update(first_name="othersecret")

    before = postgres.statements("FROM \"auth_user\"")
    found = asked(run, "db")
    connection.close()
    ran = postgres.statements("FROM \"auth_user\"") - before
    told = {text.split()[0]: n for text, n in found.items() if '"auth_user"' in text}
    assert told == {"SELECT": 11, "UPDATE": 1} and ran == 11, (found, ran)
    assert "secret" not in str(found)


MYSQL = {
    "MySQLdb": lambda server: __import__("MySQLdb").connect(**server),
    "mysql.connector": lambda server: __import__("mysql.connector").connector.connect(**server, use_pure=True),
}


def selects(connection: Any) -> int:
    cursor = connection.cursor()
    cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
    return int(cursor.fetchone()[1])


@pytest.mark.parametrize("driver", MYSQL)
def test_drivers_of_mysql(mariadb: Any, asked: Asked, driver: str) -> None:
    connection = MYSQL[driver](mariadb)

    def run() -> None:
        cursor = connection.cursor()
        for i in range(9):
            cursor.execute("SELECT %s AS x, \"secret\", 'a\\'secret'", (i,))
            cursor.fetchall()

    before = selects(connection)
    found = asked(run, "db")
    # The connector asks for something of its own.
    told = sum(n for text, n in found.items() if text.startswith("SELECT"))
    assert found.get("SELECT ? AS x, ?") == 9 and told == selects(connection) - before, found
    assert "secret" not in str(found)
    connection.close()


def test_prepared_statements_of_mysql(mariadb: Any, asked: Asked) -> None:
    import mysql.connector

    connection = mysql.connector.connect(**mariadb, use_pure=True)

    def run() -> None:
        with connection.cursor(prepared=True) as cursor:
            for i in range(5):
                cursor.execute("SELECT %s AS x7, 'secret'", (i,))
                cursor.fetchall()

    def executed() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'")
            return int(cursor.fetchone()[1])

    before = executed()
    assert asked(run, "db").get("SELECT ? AS x7, ?") == 5 == executed() - before
    connection.close()


def test_mysqlclient_below_sqlalchemy(mariadb: Any, asked: Asked) -> None:
    import MySQLdb
    import sqlalchemy as sa

    sa_engine = sa.create_engine(f"mysql+mysqldb://root@127.0.0.1:{mariadb['port']}/")

    def run() -> None:
        with sa_engine.connect() as connection:
            for i in range(9):
                connection.execute(sa.text("SELECT :x AS x8, 'secret'"), {"x": i})

    with sa_engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    watching = MySQLdb.connect(**mariadb)
    before = selects(watching)
    found = asked(run, "db")
    told = {text: n for text, n in found.items() if "x8" in text}
    assert list(told.values()) == [9] and selects(watching) - before == 9, found
    assert "secret" not in str(found)
    sa_engine.dispose()
    watching.close()


def test_aiomysql(mariadb: Any, asked: Asked) -> None:
    import aiomysql
    import pymysql

    async def one() -> None:
        connection = await aiomysql.connect(host=mariadb["host"], port=mariadb["port"], user="root")
        async with connection.cursor() as cursor:
            for i in range(5):
                await cursor.execute("SELECT %s AS x9, 'secret'", (i,))
        connection.close()

    async def main() -> None:
        await asyncio.gather(one(), one())

    watching = pymysql.connect(**mariadb)
    before = selects(watching)
    found = asked(lambda: asyncio.run(main()), "db")
    assert found.get("SELECT ? AS x9, ?") == 10 == selects(watching) - before, found
    assert "secret" not in str(found)
    watching.close()


def test_peewee(postgres: Any, asked: Asked) -> None:
    import peewee

    database = peewee.PostgresqlDatabase("postgres", user="app", host="127.0.0.1", port=postgres.port)

    class Author(peewee.Model):
        name = peewee.CharField()

        class Meta:
            pass

    Author.bind(database)
    Author._meta.table_name = "peewee_author"
    database.create_tables([Author], safe=True)

    def run() -> None:
        for i in range(8):
            list(Author.select().where(Author.name == f"secret{i}"))

    word = 'FROM "peewee_author"'
    before = postgres.statements(word)
    found = asked(run, "db")
    ran = postgres.statements(word) - before
    assert [n for text, n in found.items() if word in text] == [8] and ran == 8, (found, ran)
    assert "secret" not in str(found)
    database.close()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_pymongo(mongo: Any, asked: Asked, asynchronous: bool) -> None:
    import pymongo

    name = f"orders_{asynchronous}"
    where = {"host": "127.0.0.1", "port": mongo.port, "directConnection": True, "serverSelectionTimeoutMS": 60000}

    def run() -> None:
        with pymongo.MongoClient(**where) as client:
            orders = client.shop[name]
            for i in range(14):
                orders.insert_one({"_id": i, "card": "secret"})
            assert len(list(orders.find({"card": "secret"}))) >= 14  # a batch of ten, and another
            orders.update_one({"card": "secret"}, {"$set": {"card": "othersecret"}})
            orders.bulk_write([pymongo.InsertOne({"card": "secret"}), pymongo.DeleteOne({"card": "secret"})])

    async def main() -> None:
        async with pymongo.AsyncMongoClient(**where) as client:
            orders = client.shop[name]
            for i in range(14):
                await orders.insert_one({"_id": i, "card": "secret"})
            assert len(await orders.find({"card": "secret"}).to_list()) >= 14
            await orders.update_one({"card": "secret"}, {"$set": {"card": "othersecret"}})
            await orders.bulk_write([pymongo.InsertOne({"card": "secret"}), pymongo.DeleteOne({"card": "secret"})])

    before = mongo.commands.copy()
    found = asked((lambda: asyncio.run(main())) if asynchronous else run, "db")
    ran = mongo.commands - before
    told = {text: n for text, n in found.items() if text not in OWN}  # a connection begins with a word of its own
    assert told == dict(ran) == {"insert": 15, "find": 1, "getMore": 1, "update": 1, "delete": 1}, (found, ran)
    assert "secret" not in str(found)
