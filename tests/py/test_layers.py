"""Spans by probes: queries, templates, caches and requests of the libraries that are here everywhere, in both modes."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import importlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
import unittest.mock
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core, engine, layers

engine.prepare()

MODES = [pytest.param(True, id="sampling"), pytest.param(False, id="deterministic")]
if sys.version_info < (3, 12):  # no events on functions alone: what samples see is told by hooks of the libraries
    MODES = MODES[1:]
Spans = Counter[tuple[str, str, str]]


@pytest.fixture(params=MODES)
def sampled(request: Any) -> bool:
    return bool(request.param)


def spans_of(run: Callable[[], object], sampled: bool, **options: Any) -> Spans:
    """Kind, text and place of the spans of ``run``, each with how often."""
    run()  # imports
    recording = _core.Recording(sampled=sampled, **options)
    recording.enter()
    try:
        run()
    finally:
        recording.leave()
        recording.finish()
    rows = recording.spans()
    found: Spans = Counter()
    for kind, text, where, count, total, longest in rows:
        assert 0 <= longest <= total <= recording.wall_ns * max(count, 1)
        found[kind, text, where] += count
    recording.discard()
    return found


def asked(found: Spans, kind: str) -> dict[str, int]:
    """Texts of one kind."""
    sums: Counter[str] = Counter()
    for (of, text, _), count in found.items():
        if of == kind:
            sums[text] += count
    return dict(sums)


# ---- SQLAlchemy and its drivers: what sqlite3 itself was asked ----


def traced(connection: Any, statements: list[str]) -> None:
    connection.set_trace_callback(statements.append)


def test_sqlalchemy(sampled: bool) -> None:
    import sqlalchemy as sa

    sa_engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    statements: list[str] = []
    with sa_engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE author (id INTEGER, name TEXT)"))
        connection.commit()
        traced(connection.connection.driver_connection, statements)

    def run() -> None:
        statements.clear()
        with sa_engine.connect() as connection:
            for i in range(20):
                connection.execute(sa.text("SELECT name FROM author WHERE id = :id AND name <> 'secret'"), {"id": i})
            connection.execute(sa.text("INSERT INTO author VALUES (7, :name)"), [{"name": "a"}])

    found = asked(spans_of(run, sampled), "db")
    assert found == {"SELECT name FROM author WHERE id = ? AND name <> ?": 20, "INSERT INTO author VALUES (?)": 1}
    assert sum(found.values()) == len([text for text in statements if text.startswith(("SELECT", "INSERT"))])


def test_one_query_through_three_layers_is_one(sampled: bool) -> None:
    """SQLAlchemy's asyncio extension asks in a greenlet, aiosqlite in the task, sqlite3 in a thread."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    async def some(n: int) -> None:
        async with sa_engine.connect() as connection:
            for i in range(n):
                await connection.execute(text("SELECT :x"), {"x": i})

    async def main() -> None:
        nonlocal sa_engine
        sa_engine = create_async_engine("sqlite+aiosqlite://")
        await asyncio.gather(some(3), some(4))
        await sa_engine.dispose()

    sa_engine: Any = None
    found = asked(spans_of(lambda: asyncio.run(main()), sampled, follows=True), "db")
    assert found.pop("SELECT ?") == 7
    assert not [text for text in found if text.startswith("SELECT ?")]


def test_aiosqlite(sampled: bool) -> None:
    import aiosqlite

    async def main() -> None:
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (a)")
            await connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
            for i in range(5):
                await (await connection.execute("SELECT a FROM t WHERE a = 41" + str(i))).fetchall()

    found = asked(spans_of(lambda: asyncio.run(main()), sampled, follows=True), "db")
    assert found == {"CREATE TABLE t (a)": 1, "INSERT INTO t VALUES (?)": 1, "SELECT a FROM t WHERE a = ?": 5}


class Database:
    """An application's own little layer over sqlite3, whose functions are C."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)

    def execute(self, sql: str, *arguments: object) -> list[Any]:
        return self.connection.execute(sql, arguments).fetchall()


EVENTS = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 does not tell of C functions' arguments")


@EVENTS
def test_sqlite3_is_seen_where_it_is_called(sampled: bool) -> None:
    database = Database()
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)

    def run() -> None:
        statements.clear()
        for i in range(120):
            database.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", f"secret{i}")
        cursor = database.connection.cursor()
        cursor.execute("SELECT 'secret'")
        execute = database.connection.execute
        execute("SELECT 2, 'secret'")
        database.connection.execute("SELECT name FROM (SELECT 'secret' AS name)").execute("SELECT 3")
        with pytest.raises(sqlite3.Error):
            cursor.execute("SELECT secret FROM nowhere")
        with pytest.raises(TypeError):
            cursor.execute()

    found = asked(spans_of(run, sampled), "db")
    assert found == {
        "SELECT count(*) FROM sqlite_master WHERE name = ?": 120, "SELECT ?": 3,
        "SELECT name FROM (SELECT ? AS name)": 1, "SELECT secret FROM nowhere": 1, "": 1,
    }
    assert sum(found.values()) == len(statements) + 2


@EVENTS
def test_a_function_of_that_name_may_come_first(sampled: bool) -> None:
    """A place that called something else of that name goes on being watched."""
    database = Database()

    def query(of: Any) -> None:
        of.execute("SELECT 1")

    query(database)
    assert asked(spans_of(lambda: [query(database.connection) for _ in range(3)], sampled), "db") == {"SELECT ?": 3}

    def by_a_mock(of: Any) -> None:
        of.execute("SELECT 1, 2")

    by_a_mock(unittest.mock.MagicMock())
    spans = spans_of(lambda: [by_a_mock(database.connection) for _ in range(3)], sampled)
    assert asked(spans, "db") == {"SELECT ?": 3}


def calls_what_it_is_given(function: Any, *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)


def tries_again(function: Any) -> Any:
    def inner(*arguments: Any) -> Any:
        for _ in range(2):
            with contextlib.suppress(sqlite3.ProgrammingError):
                return function(*arguments)
    return inner


@EVENTS
def test_sqlite3_is_seen_by_whomever_it_is_handed_to(sampled: bool) -> None:
    """A helper, a decorator, a pool of threads, a partial, a class's own function: not through the name `execute`."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    sql = "SELECT 'secret'"

    async def elsewhere() -> None:
        await asyncio.to_thread(connection.execute, sql)
        await asyncio.get_running_loop().run_in_executor(None, connection.execute, sql)

    def run() -> None:
        statements.clear()
        for _ in range(2):
            calls_what_it_is_given(connection.execute, sql)
            assert calls_what_it_is_given(len, sql) == 15, "whoever is handed something else, too"
            tries_again(connection.execute)(sql, ())
            functools.partial(connection.execute, sql)()
            functools.partial(sqlite3.Connection.execute, connection)(sql)
            contextvars.copy_context().run(connection.execute, sql)
            sqlite3.Connection.execute(connection, sql)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(connection.execute, sql).result()
            thread = threading.Thread(target=connection.execute, args=(sql,))
            thread.start()
            thread.join()
            asyncio.run(elsewhere())

    found = asked(spans_of(run, sampled, follows=True), "db")
    assert found == {"SELECT ?": 20} and len(statements) == 20, found


@EVENTS
@pytest.mark.parametrize(("module", "qualname"), [
    ("ddtrace.contrib.dbapi", "TracedCursor._trace_method"),
    ("elasticapm.instrumentation.packages.dbapi2", "CursorProxy._trace_sql"),
])
def test_sqlite3_is_seen_behind_the_tracers_of_others(
    sampled: bool, module: str, qualname: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They put a cursor of their own in its place, which calls the real one's method by a variable."""
    at = tmp_path / "site-packages"
    file = at.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    of, name = qualname.split(".")
    file.write_text(f"class {of}:\n    @staticmethod\n    def {name}(method, *rest):\n        return method(*rest)\n")
    monkeypatch.syspath_prepend(str(at))
    for known in [known for known in sys.modules if known.split(".")[0] == module.split(".")[0]]:
        monkeypatch.delitem(sys.modules, known)
    traced = getattr(getattr(importlib.import_module(module), of), name)
    connection = sqlite3.connect(":memory:")
    try:
        found = asked(spans_of(lambda: traced(connection.execute, "SELECT 'secret'"), sampled), "db")
    finally:
        for known in [known for known in sys.modules if known.split(".")[0] == module.split(".")[0]]:
            del sys.modules[known]
    assert found == {"SELECT ?": 1}


kept_by_a_module: Callable[..., Any] = len


@EVENTS
def test_sqlite3_is_seen_by_whatever_name_it_is_kept(sampled: bool) -> None:
    """By an attribute, a module's variable, an item, a partial that is kept: what is called counts, not its name."""
    global kept_by_a_module

    class Store:
        def __init__(self) -> None:
            self.ask = connection.cursor().execute
            self.ready = functools.partial(connection.execute, sql)
            self.ways = {"sql": connection.execute}

        def asks(self) -> None:
            self.ask(sql)
            self.ready()
            self.ways["sql"](sql)

        def hands_on(self) -> None:
            calls_what_it_is_given(self.ask, sql)
            calls_what_it_is_given(functools.partial(self.ask, sql))

    def by_a_module() -> None:
        kept_by_a_module(sql)

    connection = sqlite3.connect(":memory:", check_same_thread=False)
    sql, statements = "SELECT 'secret'", []
    connection.set_trace_callback(statements.append)
    kept_by_a_module = connection.execute
    store = Store()

    def run() -> None:
        statements.clear()
        for _ in range(3):
            store.asks()
            store.hands_on()
            by_a_module()

    assert asked(spans_of(run, sampled), "db") == {"SELECT ?": 18} and len(statements) == 18


@EVENTS
def test_what_is_called_out_of_c_is_not_seen_and_said(sampled: bool) -> None:
    connection = sqlite3.connect(":memory:")

    def view() -> None:
        list(map(connection.execute, ["SELECT 'secret'"] * 4))
        list(filter(connection.execute, ["SELECT 'secret'"]))
        list(itertools.starmap(connection.execute, [["SELECT 'secret'"]]))

    unseen = {f"{by}(execute): queries that are not seen": 1 for by in ("map", "filter", "starmap")}
    assert asked(spans_of(view, sampled), "db") == unseen


@EVENTS
def test_aiosqlites_own_thread_does_not_ask_again(sampled: bool) -> None:
    import aiosqlite

    async def main() -> None:
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (a)")
            await connection.execute_insert("INSERT INTO t VALUES (1)")
            await connection.execute_fetchall("SELECT a FROM t")

    found = asked(spans_of(lambda: asyncio.run(main()), sampled, follows=True), "db")
    assert found == {"CREATE TABLE t (a)": 1, "INSERT INTO t VALUES (?)": 1, "SELECT a FROM t": 1}


@EVENTS
def test_places_that_ran_while_no_request_was_recorded_are_seen_later(sampled: bool) -> None:
    """Of calls that nobody asks for nothing is looked up; what may hand a driver on is learnt all the same."""
    connection = sqlite3.connect(":memory:")
    sql = "SELECT 'secret'"
    engine.prepare()
    decorated = tries_again(connection.execute)

    def run() -> None:
        connection.execute(sql)
        functools.partial(connection.execute, sql)()
        contextvars.copy_context().run(connection.execute, sql)
        decorated(sql, ())
        calls_what_it_is_given(connection.execute, sql)

    for _ in range(3):
        run()
    assert asked(spans_of(run, sampled), "db") == {"SELECT ?": 5}


DJANGO = """
import sys
from slowlens import _core, engine
from django.conf import settings
settings.configure(DEBUG=True, DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
import django
django.setup()
from django.db import connection
engine.prepare()

def run():
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE IF NOT EXISTS t (a, b)')
        for i in range(8):
            cursor.execute("SELECT %s", [i])
            cursor.execute('UPDATE "t" SET "a" = %s, "b" = %s', [i, i])

run()
recording = _core.Recording(sampled=sys.argv[1] == "True")
recording.enter()
run()
recording.leave()
recording.finish()
print([(text, count) for kind, text, _, count, *_ in recording.spans() if kind == "db"])
"""


def test_django_over_sqlite3_is_one(sampled: bool) -> None:
    """Django's wrapper, its cursor and sqlite3's own are one query; what it asks for its own log is none. Each reads
    quotes as SQLite does."""
    ran = subprocess.run([sys.executable, "-c", DJANGO, str(sampled)], capture_output=True, text=True, check=True)
    assert sorted(ast.literal_eval(ran.stdout)) == [
        ('CREATE TABLE IF NOT EXISTS t (a, b)', 1), ("SELECT ?", 8), ('UPDATE "t" SET "a" = ?, "b" = ?', 8)]


@EVENTS
def test_the_same_n_plus_one_is_known_again_in_the_other_mode() -> None:
    """By events the driver's own function is in the tree, by samples it is not: whose it is does not change by that."""
    connection = sqlite3.connect(":memory:")

    def finding(sampled: bool) -> tuple[str, int]:
        recording = _core.Recording(sampled=sampled)
        recording.enter()
        for number in range(40):
            connection.execute(f"SELECT name FROM sqlite_master WHERE name = '{number}'").fetchone()
        recording.leave()
        recording.finish()
        profile = _core.Profile(recording.encode({"mode": "sampling" if sampled else "deterministic"}))
        found = json.loads(profile.summary())
        return next((one["fingerprint"], one["count"]) for one in found["findings"] if one["rule"] == "n+1")

    assert finding(True) == finding(False) and finding(True)[1] == 40


# ---- who asked ----

ASYNC_ORM = """
import asyncio, json, sys
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", USE_TZ=True, DATABASES={"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}}, INSTALLED_APPS=["django.contrib.contenttypes"])
import django
django.setup()
from asgiref.sync import sync_to_async
from django.contrib.contenttypes.models import ContentType as Thing
from django.core.management import call_command
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from slowlens import _core, engine
engine.prepare()
call_command("migrate", verbosity=0)

async def plain(request):
    async for thing in Thing.objects.all()[:1]:
        for i in range(20):
            await Thing.objects.filter(id=i, model="plain").aexists()
    return HttpResponse()

async def child(i):
    await Thing.objects.filter(id=i, model="child").afirst()

async def several(request):
    await asyncio.gather(*(child(i) for i in range(20)))
    return HttpResponse()

def function(i):
    return Thing.objects.filter(id=i, model="function").first()

async def handed(request):
    for i in range(20):
        await sync_to_async(function)(i)
    return HttpResponse()

urlpatterns = [path(view.__name__, view) for view in (plain, several, handed)]

async def asgi(recording, where):
    client = AsyncClient()
    await (recording.step(client.get(where)) if recording else client.get(where))

for sampled in (True, False)[sys.version_info < (3, 12):]:
    for gateway in ("wsgi", "asgi"):
        for where in ("plain", "several", "handed"):
            for recording in (None, _core.Recording(sampled=sampled, follows=True)):
                if gateway == "asgi":
                    asyncio.run(asgi(recording, "/" + where))
                    continue
                client = Client()
                if recording:
                    recording.enter()
                client.get("/" + where)
                if recording:
                    recording.leave()
            recording.finish()
            rows = json.loads(_core.Profile(recording.encode({})).spans())["rows"]
            row = max((row for row in rows if row["kind"] == "db"), key=lambda row: row["count"])
            print([sampled, gateway, where, row["function"]["name"], row["count"], row["line"]])
"""


def test_the_line_of_djangos_async_orm_is_of_who_awaits(tmp_path: Path) -> None:
    """Under ASGI its queries run in a thread of a pool, under WSGI in the request's own, which waits for the view."""
    (tmp_path / "shop.py").write_text(ASYNC_ORM)
    ran = subprocess.run([sys.executable, tmp_path / "shop.py", tmp_path / "db"], capture_output=True, text=True,
                         check=True)
    lines = ASYNC_ORM.splitlines()
    found = list(map(ast.literal_eval, ran.stdout.splitlines()))
    assert len(found) == 6 * len(MODES)
    for sampled, gateway, where, function, count, line in found:
        who = {"plain": "plain", "several": "child", "handed": "function"}[where]
        here = next(i for i, text in enumerate(lines, 1) if f'model="{who}"' in text)
        assert (function, count) == (who, 20), (sampled, gateway, found)
        assert line == here, (sampled, gateway, found)


@EVENTS
def test_a_query_in_a_pools_thread_is_of_who_handed_it_over(sampled: bool) -> None:
    connection = sqlite3.connect(":memory:", check_same_thread=False)

    def hands_over() -> None:
        for _ in range(4):
            pool.submit(connection.execute, "SELECT 1").result()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        hands_over()
        recording = _core.Recording(sampled=sampled)
        recording.enter()
        hands_over()
        recording.leave()
        recording.finish()
    (row,) = json.loads(_core.Profile(recording.encode({})).spans())["rows"]
    assert row["function"]["name"].endswith("hands_over") and row["count"] == 4
    assert row["line"] == hands_over.__code__.co_firstlineno + 2


# ---- templates ----


def test_django_names_the_block_that_another_one_goes_on_from(sampled: bool) -> None:
    from django.template import Context, Engine

    loader = "django.template.loaders.locmem.Loader"
    engine = Engine(loaders=[(loader, {
        "base.html": "{% block a %}base{% endblock %}",
        "page.html": "{% extends 'base.html' %}{% block a %}page {{ block.super }}{% endblock %}"})])
    page = engine.get_template("page.html")
    found = spans_of(lambda: page.render(Context()), sampled)
    assert asked(found, "template") == {"page.html": 1, "base.html block a": 1, "page.html block a": 1}


def test_jinja2_names_template_block_and_line(sampled: bool) -> None:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.DictLoader({
        "base.html": "<h1>\n{% block body %}{% endblock %}",
        "list.html": '{% extends "base.html" %}\n{% block body %}\n{% for x in rows %}\n{{ ask(x) }}\n'
                     '{% include "row.html" %}\n{% endfor %}{% endblock %}',
        "row.html": "<b>{{ x }}",
    }))

    def run() -> None:
        environment.get_template("list.html").render(rows=range(10), ask=ask)

    def ask(x: int) -> int:
        with_a_probe("SELECT " + str(x))
        return x

    if sys.version_info < (3, 12):
        environment.cache = None  # templates that were loaded before the request are not known
    found = spans_of(run, sampled)
    assert found["db", "SELECT ?", "list.html:4"] == 10
    assert asked(found, "template") == {"list.html": 1, "base.html": 1, "list.html block body": 1, "row.html": 10}


def test_jinja2_names_the_line_of_a_macro(sampled: bool) -> None:
    """A macro is a function inside its template's: what it asks for stands on its own line, not on its caller's."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.DictLoader({
        "list.html": '{% from "macros.html" import cell %}\n{% for x in rows %}{{ cell(x, ask) }}{% endfor %}\n'
                     "{% for x in rows recursive %}\n{{ ask(x) }}{% endfor %}",
        "macros.html": "{% macro cell(x, ask) %}\n<i>\n{{ ask(x) }}{% endmacro %}",
    }))

    def run() -> None:
        environment.get_template("list.html").render(rows=range(10), ask=lambda x: with_a_probe("SELECT " + str(x)))

    if sys.version_info < (3, 12):
        environment.cache = None
    found = spans_of(run, sampled)
    assert (found["db", "SELECT ?", "macros.html:3"], found["db", "SELECT ?", "list.html:4"]) == (10, 10), found


def with_a_probe(sql: str) -> None:
    """Stands for a driver's function."""


# ---- what a row may be ----


def test_rows_that_are_none_are_told(caplog: pytest.LogCaptureFixture) -> None:
    layers.install([
        ("m", "f", "db", "sql", "nonsense", "", False), ("m", "f", "db", "a..b", "name", "", False), ("m",),
        ("m", "f", "db", "a[12]", "name", "", False),
    ])
    assert len(caplog.records) == 4


def test_other_packages_add_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   caplog: pytest.LogCaptureFixture) -> None:
    """By an entry point; one that cannot be had is told, and the rest stays."""
    (tmp_path / "mydriver_rows.py").write_text(
        'from slowlens.layers import Row\nROWS = [Row("mydriver", "Cursor.run", "db", "text", "sql", "=mysql")]\n')
    (tmp_path / "mydriver-1.dist-info").mkdir()
    (tmp_path / "mydriver-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mydriver\nVersion: 1\n")
    (tmp_path / "mydriver-1.dist-info" / "entry_points.txt").write_text(
        "[slowlens.layers]\nmydriver = mydriver_rows:ROWS\nbroken = mydriver_rows:NOTHING\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = layers.rows()
    assert [row.qualname for row in found if row.module == "mydriver"] == ["Cursor.run"] and len(found) > 100
    assert [record.name for record in caplog.records] == ["slowlens"] and "mydriver_rows:NOTHING" in caplog.text


def test_all_rows_are_well_formed(caplog: pytest.LogCaptureFixture) -> None:
    found = layers.rows()
    layers.install(found)
    assert not caplog.records and len(found) > 100
    kinds = {row.kind for row in found if row.kind}
    assert kinds == {"db", "http", "cache", "template", "line", "rpc", "process", "task", "mail", "file"}


class Asks:
    """Functions of every kind."""

    class Query:
        def __init__(self, text: str) -> None:
            self.text = text

        @property
        def computed(self) -> str:
            raise AssertionError("code of the program was run")

    class Passing(Query):
        def __getattr__(self, name: str) -> str:
            raise AssertionError("code of the program was run")

    class Guarded(Query):
        def __getattribute__(self, name: str) -> str:
            raise AssertionError("code of the program was run")

    def plain(self, sql: object) -> None:
        pass

    def no_dialect(self, sql: str) -> None:
        with_a_probe(sql)

    def of_attribute(self, query: Query) -> None:
        pass

    def of_property(self, query: Query) -> None:
        pass

    def in_a_cell(self, sql: str) -> Callable[[], str]:
        return lambda: sql

    def outer(self, sql: str) -> None:
        self.plain(sql)

    def raises(self, sql: str) -> None:
        raise ValueError(sql)

    def generator(self, sql: str) -> Iterator[int]:
        yield 1
        yield 2

    async def coroutine(self, sql: str) -> None:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)

    def recursive(self, n: int) -> None:
        if n > 1:
            self.recursive(n - 1)


layers.install([
    layers.Row(__name__, f"Asks.{name}", kind, text, what, "=postgresql" if what == "sql" else "")
    for name, kind, text, what in (
        ("plain", "test", "sql", "sql"), ("of_attribute", "test", "query.text", "sql"),
        ("of_property", "test", "query.computed|=instead", "name"), ("in_a_cell", "test", "sql", "sql"),
        ("outer", "test", "sql", "sql"), ("raises", "test", "sql", "sql"), ("generator", "test", "sql", "sql"),
        ("coroutine", "test", "sql", "sql"), ("recursive", "test", "=again", "name"),
    )
] + [layers.Row(__name__, "with_a_probe", "db", "sql", "sql", "=sqlite"),
     layers.Row(__name__, "Asks.no_dialect", "db", "sql", "sql")])


def test_texts(sampled: bool) -> None:
    asks = Asks()

    class Text(str):
        pass

    def run() -> None:
        asks.plain("SELECT 1")
        asks.plain(b"SELECT 'b'")
        asks.plain(Text("SELECT $1"))
        asks.plain(None)
        asks.plain("SELECT '\ud800'")
        asks.of_attribute(Asks.Query("SELECT a FROM b WHERE c = 5"))
        asks.of_attribute(Asks.Passing("SELECT a FROM b WHERE c = 6"))
        asks.of_attribute(Asks.Guarded("SELECT 2"))
        asks.of_property(Asks.Query(""))
        asks.of_property(Asks.Passing(""))
        asks.in_a_cell("SELECT x, 7")()
        asks.recursive(4)

    assert asked(spans_of(run, sampled), "test") == {
        "SELECT ?": 3, "": 3, "SELECT a FROM b WHERE c = ?": 2, "instead": 2, "SELECT x, ?": 1,
        "again": 4,
    }


def test_layers_may_keep_names_only_or_nothing(sampled: bool) -> None:
    def run() -> None:
        Asks().plain('SELECT "name" FROM author JOIN book ON book.id = 5')

    assert asked(spans_of(run, sampled, layers="names"), "test") == {"SELECT author, book": 1}
    assert spans_of(run, sampled, layers="off") == {}


def test_a_layer_over_a_layer(sampled: bool) -> None:
    def run() -> None:
        for i in range(5):
            Asks().outer(f"SELECT {i}")

    assert asked(spans_of(run, sampled), "test") == {"SELECT ?": 5}


def test_a_layer_over_one_that_knows_the_dialect(sampled: bool) -> None:
    def run() -> None:
        for i in range(5):
            Asks().no_dialect(f'UPDATE "t" SET "a" = {i}, "b" = "c"')

    assert asked(spans_of(run, sampled), "db") == {'UPDATE "t" SET "a" = ?, ? = ?': 5}


def test_ends(sampled: bool) -> None:
    """By an exception, by the end of a generator, by its being dropped, by the end of the request."""
    asks = Asks()
    left = []

    def run() -> None:
        for _ in range(3):
            with pytest.raises(ValueError):
                asks.raises("SELECT raised")
        list(asks.generator("SELECT whole"))
        next(asks.generator("SELECT dropped"))
        left.append(asks.generator("SELECT left"))
        next(left[-1])

    assert asked(spans_of(run, sampled), "test") == {
        "SELECT raised": 3, "SELECT whole": 1, "SELECT dropped": 1, "SELECT left": 1,
    }
    left.clear()


def test_calls_that_never_end_are_forgotten(sampled: bool) -> None:
    """Thousands of generators that outlive their requests, and go on in others: each is of the request it began in."""
    asks = Asks()
    kept: list[Iterator[int]] = []

    def run() -> None:
        for _ in range(3000):
            kept.append(asks.generator("SELECT outlives"))
            next(kept[-1])

    assert asked(spans_of(run, sampled), "test") == {"SELECT outlives": 3000}

    def later() -> None:
        for one in kept[:3000]:
            list(one)
        del kept[:3000]

    assert len(kept) == 6000  # half of them outside of a request
    assert asked(spans_of(later, sampled), "test") == {}


def test_coroutines_are_timed_over_their_waits(sampled: bool) -> None:
    asks = Asks()

    async def main() -> None:
        await asks.coroutine("SELECT 0")
        await asyncio.gather(*(asks.coroutine(f"SELECT {i}") for i in range(8)))

    recording = _core.Recording(sampled=sampled, follows=True)
    recording.enter()
    asyncio.run(main())
    recording.leave()
    recording.finish()
    rows = [row for row in recording.spans() if row[0] == "test"]
    assert sum(row[3] for row in rows) == 9
    assert sum(row[4] for row in rows) >= 9 * 2_000_000
    recording.discard()


def test_each_request_has_its_own(sampled: bool) -> None:
    """Threads, at once; what no request asked is nobody's."""
    asks = Asks()
    results: dict[int, dict[str, int]] = {}
    together = threading.Barrier(5)

    def request(n: int) -> None:
        recording = _core.Recording(sampled=sampled)
        together.wait()
        recording.enter()
        for _ in range(n):
            asks.plain("SELECT " + ", ".join("a" * 1 for _ in range(n)))
        recording.leave()
        recording.finish()
        results[n] = {text: count for kind, text, _, count, *_ in recording.spans() if kind == "test"}
        recording.discard()

    threads = [threading.Thread(target=request, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    together.wait()
    asks.plain("SELECT nobody")
    for thread in threads:
        thread.join()
    assert results == {n: {"SELECT " + ", ".join(["a"] * n): n} for n in range(1, 5)}


def test_programs(sampled: bool) -> None:
    def run() -> None:
        subprocess.run([sys.executable, "-c", "pass # secret"], check=True)

    found = asked(spans_of(run, sampled), "process")
    assert sum(found.values()) == 1 and next(iter(found)).startswith("python")


@EVENTS
def test_shells_and_files(sampled: bool, tmp_path: Path) -> None:
    """How often, and from where; no name of a file is kept."""
    def run() -> None:
        os.system("true secret")
        for _ in range(3):
            with open(tmp_path / "secret", "w") as file:
                file.write("secret")
        (tmp_path / "secret").read_text()

    found = spans_of(run, sampled)
    assert asked(found, "process") == {"true": 1}
    assert asked(found, "file") == {"open": 4}
    assert "secret" not in str(found)


@EVENTS
def test_of_a_line_for_a_shell_the_first_word(sampled: bool) -> None:
    """It ends where the shell ends it, blank or not; of one that may become anything nothing is kept."""
    names = ("true secret", "true</dev/null", "true>/dev/null", "true|: secret", "true&&: secret", "true;: secret")
    nothing = ("(true secret)", "#secret", "secret=1 true", "'tr'ue secret", "tr`:secret`ue", "$secret true")

    def run() -> None:
        for line in names + nothing:
            os.system(line)

    assert asked(spans_of(run, sampled), "process") == {"true": len(names), "": len(nothing)}


# ---- the demo ----

SHOP = """
import sys
import django
from django.conf import settings
django.setup()
from django.core.management import call_command
call_command("fill_shop", verbosity=0)
from django.db import connection, reset_queries
from django.test import RequestFactory
from books import views
from slowlens import _core, engine
engine.prepare()
settings.DEBUG = True
for view in (views.author_list, views.author_list_repaired, views.book_list):
    view(RequestFactory().get("/"))
    reset_queries()
    recording = _core.Recording(sampled=sys.argv[1] == "True")
    recording.enter()
    view(RequestFactory().get("/"))
    recording.leave()
    recording.finish()
    db = [(text, where, count) for kind, text, where, count, *_ in recording.spans() if kind == "db"]
    print([len(connection.queries), db])
"""


def test_the_shops_n_plus_one(sampled: bool, tmp_path: Any) -> None:
    """Two hundred authors, each asked for by itself: one shape, two hundred times; repaired, once. A page asks for its
    books in a template, at a line of it."""
    shop = Path(__file__).resolve().parents[2] / "examples" / "shop"
    environ = {**os.environ, "SHOP_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "shop.settings",
               "PYTHONPATH": os.pathsep.join([*sys.path, str(shop)])}
    ran = subprocess.run([sys.executable, "-c", SHOP, str(sampled)], capture_output=True, text=True, env=environ,
                         check=True, cwd=tmp_path)
    worse, repaired, page = map(ast.literal_eval, ran.stdout.splitlines())
    assert worse[0] == 201 and sorted(count for _, _, count in worse[1]) == [1, 200]
    assert repaired[0] == 2 and [count for _, _, count in repaired[1]] == [1, 1]
    assert page[0] == 2 and [(where, count) for _, where, count in page[1]] == [("", 1), ("books/list.html:4", 1)]


# ---- 3.11, sampled ----

HOOKS = """
import sys
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.db import connection
import sqlalchemy
from slowlens.wsgi import ProfilerMiddleware
engine = sqlalchemy.create_engine("sqlite://")

def app(environ, start_response):
    with connection.cursor() as cursor:
        for i in range(8):
            cursor.execute("SELECT a FROM (SELECT %s AS a)", [i])
    with engine.connect() as other:
        for i in range(5):
            other.execute(sqlalchemy.text("SELECT :x"), {"x": i})
        try:
            other.execute(sqlalchemy.text("SELECT nothing FROM nowhere"))
        except sqlalchemy.exc.OperationalError:
            pass
    start_response("200 OK", [])
    return [b"ok"]

middleware = ProfilerMiddleware(app, mode=sys.argv[1], keep="all", log=False, store=sys.argv[2])
told = []
put = middleware.recorder.writer.put
middleware.recorder.writer.put = lambda job: (told.append(job.recording.spans()), put(job))
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
           "wsgi.url_scheme": "http"}
for _ in range(2):
    b"".join(middleware(dict(environ), lambda *arguments: None))
print(sorted((text, count) for kind, text, _, count, *_ in told[1] if kind == "db"))
"""


@pytest.mark.parametrize("mode", ["sampling", "deterministic"])
def test_django_and_sqlalchemy_in_a_request(mode: str, tmp_path: Any) -> None:
    """On every version: by probes, or (3.11, sampled) by the libraries' own hooks, which are not told twice."""
    ran = subprocess.run([sys.executable, "-c", HOOKS, mode, str(tmp_path)], capture_output=True, text=True, check=True)
    found: Counter[str] = Counter()
    for text, count in ast.literal_eval(ran.stdout):
        found[text] += count
    assert found == {"SELECT ?": 5, "SELECT a FROM (SELECT ? AS a)": 8, "SELECT nothing FROM nowhere": 1}


def test_a_test_asks_how_many(tmp_path: Path) -> None:
    """The fixture of the pytest plugin counts queries by their shapes."""
    from slowlens.pytest_plugin import Run

    with Run("a test", str(tmp_path / "store"), "chosen") as run:
        for i in range(6):
            with_a_probe(f"SELECT a FROM t WHERE b = {i}")
        with_a_probe("SELECT c FROM t")
    assert run.count("db") == 7 and run.count("db", "WHERE") == 6 and run.count("http") == 0
    assert run.queries == {"SELECT a FROM t WHERE b = ?": 6, "SELECT c FROM t": 1}
