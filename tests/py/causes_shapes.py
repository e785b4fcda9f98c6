"""More requests that are slow for a reason that we know (causes.py): those whose shape misleads.

Recursion, decorators, generators, frameworks that wrap, work that is scattered over many places, helpers that ask
databases for others, classes that forward, and asynchronous code that waits for its own.

    causes_shapes.py deterministic|sampling [NAME ...]     all causes, also those of causes.py
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import hashlib
import http.server
import importlib
import json
import logging
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from functools import cache, wraps
from pathlib import Path
from typing import Any

import causes
from causes import SIZE, cause, compute, database, django_page, until

HERE = r"py/causes_shapes\.py:\d+"

# ---- recursion ----


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@cause(rf"causes_shapes\.fibonacci.* at {HERE}")
def recurses() -> None:
    for _ in until():
        fibonacci(15)


def tree(depth: int) -> dict[str, Any]:
    return {"children": [tree(depth - 1) for _ in range(3)] if depth else [], "name": "x" * 20}


def to_text(node: dict[str, Any]) -> str:
    return json.dumps(node["name"]) + "".join(to_text(child) for child in node["children"])


@cause(rf"causes_shapes\.to_text.* at {HERE}|json.*called by causes_shapes\.to_text")
def walks_a_tree() -> None:
    root = tree(5)
    for _ in until():
        to_text(root)


def even(n: int) -> bool:
    # Work of its own, beside which what an event costs is little.
    n2 = (n * n + 1) ** 3 % 1000003
    n2 = (n2 * n2 + n) ** 3 % 1000003 + (n2 * n2 + 1) ** 3 % 1000003 + (n2 * n2 + 2) ** 3 % 1000003
    return n2 > 0 and (n == 0 or odd(n - 1))


def odd(n: int) -> bool:
    n2 = (n * n + 1) ** 3 % 1000003
    n2 = (n2 * n2 + n) ** 3 % 1000003 + (n2 * n2 + 1) ** 3 % 1000003 + (n2 * n2 + 2) ** 3 % 1000003
    return n2 > 0 and n != 0 and even(n - 1)


@cause(rf"causes_shapes\.(even|odd).* at {HERE}")
def mutual() -> None:
    for _ in until():
        even(80)


# ---- wrappers ----


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


@timed
@timed
@timed
def priced(count: int) -> Decimal:
    total = Decimal(0)
    for i in range(count):
        total += Decimal(i) / Decimal(7)
    return total


@cause(rf"causes_shapes\.priced.* at {HERE}|called by causes_shapes\.priced")
def decorated() -> None:
    for _ in until():
        priced(50)


class Layer:
    """A middleware of one's own."""

    def __init__(self, below: Callable[[], Any]) -> None:
        self.below = below

    def __call__(self) -> Any:
        return self.below()


def layered(view: Callable[[], Any]) -> Callable[[], Any]:
    for _ in range(25):
        view = Layer(view)
    return view


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")
def behind_layers() -> None:
    layered(lambda: causes.copies_of([list(range(50)) for _ in range(20)]))()


class Checks(Layer):
    """A middleware that takes its time itself."""

    def __call__(self) -> Any:
        check(SIZE / 12)
        return super().__call__()


def check(seconds: float) -> None:
    for _ in until(seconds):
        pass


@cause(r"(causes_shapes\.check|causes\.until).* at py/causes(_shapes)?\.py:\d+")
def slow_layers() -> None:
    view: Callable[[], Any] = bool
    for _ in range(12):
        view = Checks(view)
    view()


class Forwards:
    """Looks attributes up elsewhere."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class Rate:
    @property
    def value(self) -> float:
        return sum(1 / (i + 1) for i in range(40))


@cause(rf"causes_shapes\.Rate\.value.* at {HERE}|called by causes_shapes\.Rate\.value")
def forwards() -> None:
    rate = Forwards(Forwards(Rate()))
    for _ in until():
        rate.value  # noqa: B018


# ---- generators ----


def lines(count: int) -> Iterator[str]:
    for i in range(count):
        yield f"{i};{'x' * 10};{i * i}"


def cells(rows: Iterator[str]) -> Iterator[list[str]]:
    for row in rows:
        yield [cell.strip().upper() * 2 for cell in row.split(";") for _ in range(12)]


@cause(rf"causes_shapes\.cells.* at {HERE}|called by causes_shapes\.cells")
def generates() -> None:
    for _ in until():
        for _row in cells(lines(20)):
            pass


@cause(rf"causes_shapes\.cells.* at {HERE}|called by causes_shapes\.cells")
def consumed_by_c() -> None:
    for _ in until():
        list(cells(lines(50)))


@cause(rf"causes_shapes\.weight.* at {HERE}|called by causes_shapes\.weight")
def sorts() -> None:
    numbers = list(range(300))
    for _ in until():
        random.shuffle(numbers)
        numbers.sort(key=weight)


def weight(number: int) -> int:
    return sum(int(digit) for digit in str(number * 997))


# ---- one function from many places ----


def _caller(number: int) -> Callable[[list[Any]], None]:
    """A function of its own, on a line of its own, as a code generator makes them."""
    spaces: dict[str, Any] = {"copy": copy, "slug": slug}
    code = f"def part_{number}(data):\n    copy.deepcopy(data)\n"
    exec(compile("\n" * (number * 3) + code, __file__, "exec"), spaces)
    return spaces[f"part_{number}"]  # type: ignore[no-any-return]


def slug(text: str) -> str:
    return "-".join(word.lower() for word in text.split() if word.isalnum())


PARTS = [_caller(number) for number in range(12)]


@cause(r"copy\.deepcopy, called from \d+ places")
def scattered() -> None:
    data = [list(range(50)) for _ in range(20)]
    for _ in until():
        for part in PARTS:
            part(data)


def title_of() -> None:
    slug("the quick brown fox jumps over the lazy dog " * 4)


def link_of() -> None:
    slug("the quick brown fox jumps over the lazy dog " * 4)


def author_of() -> None:
    slug("the quick brown fox jumps over the lazy dog " * 4)


def crumbs_of() -> None:
    slug("the quick brown fox jumps over the lazy dog " * 4)


@cause(rf"causes_shapes\.slug.* at {HERE}")
def helper_from_four() -> None:
    for _ in until():
        title_of()
        link_of()
        author_of()
        crumbs_of()


# ---- libraries ----


@dataclasses.dataclass
class Point:
    x: int
    y: int
    names: list[str]


@cause(rf"dataclasses.*called by causes_shapes\.as_dicts at {HERE}")
def as_dicts() -> None:
    points = [Point(i, i, ["a", "b"]) for i in range(50)]
    for _ in until():
        for point in points:
            dataclasses.asdict(point)


@cause(rf"(pbkdf2_hmac.*called by causes_shapes\.hashes|causes_shapes\.hashes.*) at {HERE}")
def hashes() -> None:
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", int(1_500_000 * SIZE))


@cause(rf"importing .*/slow_to_import\.py, asked for by causes_shapes\.imports at {HERE}")
def imports() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "slow_to_import.py").write_text(
            f"import time\nend = time.perf_counter() + {SIZE}\nwhile time.perf_counter() < end: pass\n")
        sys.path.insert(0, folder)
        try:
            importlib.import_module("slow_to_import")
        finally:
            sys.path.remove(folder)
            sys.modules.pop("slow_to_import", None)


class SlowHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(SIZE / 20)


@cause(rf"sleep.*causes_shapes\.SlowHandler\.emit at {HERE}")
def logs() -> None:
    logger = logging.Logger("causes")
    logger.addHandler(SlowHandler())
    for number in range(20):
        logger.warning("line %d", number)


def number_of(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


@cause(rf"causes_shapes\.number_of.* at {HERE}|called by causes_shapes\.number_of")
def fails_often() -> None:
    for _ in until():
        for text in ("x", "12a", "", "--"):
            number_of(text)


# ---- waiting ----


@cause(rf"(sleep.*)?causes_shapes\.polls.* at {HERE}")
def polls() -> None:
    for _ in until():
        time.sleep(0.002)


def attempt(number: int) -> bool:
    return number >= 5


def with_retries() -> None:
    number = 0
    while not attempt(number):
        number += 1
        time.sleep(SIZE / 5)


@cause(rf"sleep.*causes_shapes\.with_retries at {HERE}")
def retries() -> None:
    with_retries()


def fetch(number: int) -> int:
    time.sleep(SIZE)
    return number


@cause(rf"sleep.*causes_shapes\.fetch at {HERE}|causes_shapes\.fetch")
def fetches_in_pool() -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, range(4)))


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(SIZE / 2)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server:
    url = ""


@contextmanager
def a_service() -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    _Server.url = f"http://127.0.0.1:{server.server_address[1]}/rates"
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@cause(rf"(HTTP request.*127\.0\.0\.1|urlopen).*causes_shapes\.asks_a_service at {HERE}", beside=a_service)
def asks_a_service() -> None:
    for _ in range(2):
        urllib.request.urlopen(_Server.url).read()


# ---- databases through a helper, templates ----


def rows_of(sql: str, *values: Any) -> list[Any]:
    """What many projects have: one helper for all queries."""
    return database().execute(sql, values).fetchall()


@cause(rf"(queries|database).*causes_shapes\.(by_helper|rows_of) at {HERE}")
def by_helper() -> None:
    for author in range(int(6000 * SIZE)):
        rows_of("SELECT title FROM book WHERE author = ?", author % 50)


@cause(rf"(in one query|database|sqlite).*causes_shapes\.(among_quick_ones|rows_of) at {HERE}")
def among_quick_ones() -> None:
    for author in range(20):
        rows_of("SELECT title FROM book WHERE id = ?", author)
    rows_of("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT sum(i) FROM n",
            int(8_000_000 * SIZE))


def author_names() -> Iterator[str]:
    django_page()
    from django.db import connection

    for number in range(int(1500 * SIZE)):
        with connection.cursor() as cursor:
            cursor.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
                           "SELECT sum(i) + %s FROM n", [number])
            yield str(cursor.fetchone())


@cache
def lazy_page() -> Any:
    django_page()
    from django.template import engines

    return engines["django"].from_string("{% for name in names %}<li>{{ name }}</li>{% endfor %}")


def render_lazily() -> None:
    lazy_page().render({"names": author_names()})


@cause(rf"(database|queries).*causes_shapes\.author_names at {HERE}")
def queries_of_a_template() -> None:
    render_lazily()


@cause(rf"(database|queries).*causes_shapes\.author_names at {HERE}")
def queries_of_a_template_in_a_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(render_lazily).result()


def shout(text: str) -> str:
    return "".join(sorted(text * 40)).upper()


@cache
def filtered_page() -> Any:
    import jinja2

    environment = jinja2.Environment()
    environment.filters["shout"] = shout
    return environment.from_string("{% for row in rows %}<p>{{ row|shout }}</p>{% endfor %}")


@cause(rf"causes_shapes\.shout.* at {HERE}|called by causes_shapes\.shout")
def own_filter() -> None:
    filtered_page().render(rows=["lorem ipsum dolor"] * int(30_000 * SIZE))


# ---- frameworks ----


def after(prepare: Callable[[], Any]) -> Callable[[], Any]:
    """For ``beside``: something that only the first request would have to do is done."""

    @contextmanager
    def done() -> Iterator[None]:
        prepare()
        yield

    return done


def flask_app() -> Any:
    import flask

    app = flask.Flask("shop")

    @app.get("/")
    def index() -> str:
        causes.copies_of([list(range(50)) for _ in range(20)])
        return "done"

    return app


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+", beside=after(lambda: through_flask()))
def through_flask() -> None:
    _flask().test_client().get("/")


@cache
def _flask() -> Any:
    return flask_app()


@cache
def _starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    class Adds(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    def endpoint(request: Any) -> Any:
        compute(SIZE)
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(Adds), Middleware(Adds)])


@cause(r"causes\.compute.* at py/causes\.py:\d+", beside=after(lambda: asyncio.run(through_starlette())))
async def through_starlette() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    await _starlette()({"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
                        "root_path": "", "headers": [], "http_version": "1.1", "scheme": "http",
                        "client": ("127.0.0.1", 1), "server": ("localhost", 80)}, receive, send)


# ---- asynchronous ----


async def ask_one(limit: asyncio.Semaphore) -> None:
    async with limit:
        await asyncio.sleep(SIZE / 8)


@cause(rf"causes_shapes\.(ask_one|one_at_a_time) at {HERE}")
async def one_at_a_time() -> None:
    limit = asyncio.Semaphore(1)
    await asyncio.gather(*[ask_one(limit) for _ in range(8)])


@cause(rf"sleep.*causes_shapes\.blocks_the_loop at {HERE}")
async def blocks_the_loop() -> None:
    time.sleep(SIZE)


async def numbers_of() -> AsyncIterator[int]:
    for number in range(10):
        await asyncio.sleep(SIZE / 10)
        yield number


@cause(rf"(sleep|await).*causes_shapes\.numbers_of at {HERE}")
async def reads_a_stream() -> None:
    async for _number in numbers_of():
        pass


@cause(rf"sleep.*causes_shapes\.fetch.* at {HERE}")
async def to_thread() -> None:
    await asyncio.to_thread(fetch, 1)


async def produce(items: asyncio.Queue[int]) -> None:
    for number in range(8):
        compute(SIZE / 8)
        await items.put(number)


@cause(r"causes\.compute.* at py/causes\.py:\d+|causes_shapes\.produce")
async def own_producer() -> None:
    items: asyncio.Queue[int] = asyncio.Queue()
    task = asyncio.create_task(produce(items))
    for _ in range(8):
        await items.get()
    await task


@cause(rf"causes_shapes\.with_timeout at {HERE}|awaiting")
async def with_timeout() -> None:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), SIZE)
    except TimeoutError:
        pass


async def child(depth: int) -> None:
    if depth:
        await child(depth - 1)
    else:
        causes.copies_of([list(range(50)) for _ in range(20)])


@cause(r"copy\.deepcopy, called by causes\.copies_of at py/causes\.py:\d+")
async def deep_awaits() -> None:
    await child(30)


# ---- streams ----


def streamed() -> Iterator[bytes]:
    for _ in range(5):
        yield str(compute(SIZE / 5)).encode()


causes.CAUSES.append(causes.Cause("streams", r"causes\.compute.* at py/causes\.py:\d+", streamed))


if __name__ == "__main__":
    causes.main()
