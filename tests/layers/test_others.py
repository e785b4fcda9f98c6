"""Clients of HTTP and of Redis, queues and services: as many spans as the other side was asked."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slowlens
import slowlens.queues
from slowlens import task
from slowlens.options import load
from slowlens.store import Query, open_store

Asked = Callable[..., dict[str, int]]


def compare(web: Any, asked: Asked, run: Callable[[], object], count: int) -> None:
    before = web.count
    found = asked(run, "http")
    assert found == {web.host: count} and web.count - before == count


def test_requests(web: Any, asked: Asked) -> None:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    def run() -> None:
        with requests.Session() as session:
            for _ in range(3):
                session.get(web.url())
            session.post(web.url(), data={"password": "bodysecret"})
            session.get(web.url("/away"))
            again = Retry(3, status_forcelist=[503], backoff_factor=0, raise_on_status=False)
            session.mount("http://", HTTPAdapter(max_retries=again))
            session.get(web.url("/busy"))

    compare(web, asked, run, 10)


def test_urllib3(web: Any, asked: Asked) -> None:
    import urllib3

    def run() -> None:
        pool = urllib3.PoolManager()
        for _ in range(3):
            pool.request("GET", web.url())
        pool.request("GET", web.url("/away"))

    compare(web, asked, run, 5)


def test_a_proxy_is_not_what_is_asked(web: Any, asked: Asked) -> None:
    """Over plain http a proxy is handed the whole URL: the host is the one in it, without who asks or what."""
    import requests
    import urllib3

    def run() -> None:
        proxy = f"http://user:proxysecret@{web.host}"
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"http": proxy}
            session.get("http://books.example/list?q=querysecret")
            session.get("http://anna:passwordsecret@books.example:8080/")
        urllib3.ProxyManager(f"http://{web.host}").request("GET", "http://authors.example/")

    before = web.count
    assert asked(run, "http") == {"books.example": 1, "books.example:8080": 1, "authors.example": 1}
    assert web.count - before == 3


def test_httpx(web: Any, asked: Asked) -> None:
    import httpx

    def run() -> None:
        with httpx.Client(follow_redirects=True) as client:
            for _ in range(3):
                client.get(web.url())
            client.get(web.url("/away"))

    compare(web, asked, run, 5)


def test_httpx_async(web: Any, asked: Asked) -> None:
    import httpx

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(client.get(web.url()) for _ in range(6)))

    compare(web, asked, lambda: asyncio.run(main()), 6)


def test_aiohttp(web: Any, asked: Asked) -> None:
    import aiohttp

    async def get(session: Any) -> None:
        async with session.get(web.url()) as response:
            await response.read()

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(get(session) for _ in range(5)))
            async with session.get(web.url("/away")) as response:
                await response.read()
        base = f"http://{web.host}/"
        async with aiohttp.ClientSession(base_url=base) as session, session.get("pathsecret/more") as response:
            await response.read()

    compare(web, asked, lambda: asyncio.run(main()), 8)


def test_urllib(web: Any, asked: Asked) -> None:
    def run() -> None:
        for path in ("/", "/away", "/price?token=querysecret"):
            urllib.request.urlopen(f"http://{web.host}{path}").read()
        urllib.request.urlopen(urllib.request.Request(f"http://{web.host}/")).read()
        connection = http.client.HTTPConnection(web.host)
        for _ in range(2):
            connection.request("GET", "/pathsecret", headers={"authorization": "headersecret"})
            connection.getresponse().read()
        connection.close()

    compare(web, asked, run, 7)


def commands(port: int) -> int:
    import redis

    with redis.Redis(port=port, single_connection_client=True) as client:
        stats = client.info("commandstats")
    return sum(row["calls"] for name, row in stats.items()
               if name in ("cmdstat_get", "cmdstat_set", "cmdstat_mget", "cmdstat_incrby"))


def test_redis(redis_port: int, asked: Asked) -> None:
    import redis

    def run() -> None:
        with redis.Redis(port=redis_port) as client:
            for i in range(6):
                client.set(f"keysecret{i}", "valuesecret")
                client.get(f"keysecret{i}")
            with client.pipeline() as pipeline:
                pipeline.set("a", 1).set("b", 2).execute()

    before = commands(redis_port)
    found = asked(run, "cache")
    assert found == {"SET": 6, "GET": 6, "PIPELINE": 1}
    assert commands(redis_port) - before == 14


def test_redis_async(redis_port: int, asked: Asked) -> None:
    import redis.asyncio

    async def main() -> None:
        async with redis.asyncio.Redis(port=redis_port) as client:
            await asyncio.gather(*(client.get(f"keysecret{i}") for i in range(8)))

    before = commands(redis_port)
    assert asked(lambda: asyncio.run(main()), "cache") == {"GET": 8}
    assert commands(redis_port) - before == 8


def test_djangos_cache(redis_port: int, asked: Asked) -> None:
    from django.core.cache.backends.locmem import LocMemCache
    from django.core.cache.backends.redis import RedisCache

    def run() -> None:
        for cache in (LocMemCache("x", {}), RedisCache(f"redis://127.0.0.1:{redis_port}", {})):
            cache.set("keysecret", "valuesecret")
            for _ in range(4):
                cache.get("keysecret")
            cache.get_many(["keysecret", "b"])
            cache.get_or_set("keysecret", 5)

    assert asked(run, "cache") == {"set": 2, "get": 10, "get_many": 2}


def stored(port: int) -> dict[str, int]:
    """How often the server was asked to get and to set so far."""
    import memcache

    ((_, said),) = memcache.Client([f"127.0.0.1:{port}"]).get_stats()
    return {name: int(said[f"cmd_{name}"]) for name in ("get", "set", "touch")}


@pytest.mark.parametrize("client", ["pymemcache", "pymemcache, hashed", "pymemcache, pooled", "memcache"])
def test_memcached(memcached_port: int, asked: Asked, client: str) -> None:
    import memcache
    from pymemcache.client.base import Client, PooledClient
    from pymemcache.client.hash import HashClient

    where = ("127.0.0.1", memcached_port)
    made: Any = {"pymemcache": lambda: Client(where), "pymemcache, hashed": lambda: HashClient([where]),
                 "pymemcache, pooled": lambda: PooledClient(where),
                 "memcache": lambda: memcache.Client([f"127.0.0.1:{memcached_port}"])}[client]()

    def run() -> None:
        for i in range(6):
            made.set(f"keysecret{i}", "valuesecret")
            made.get(f"keysecret{i}")
        made.get_multi(["keysecret1", "keysecret2", "keysecret9"])
        made.delete("keysecret0")

    before = stored(memcached_port)
    found = asked(run, "cache")
    after = stored(memcached_port)
    many = "get_multi" if client == "memcache" else "get_many"
    assert found == {"set": 6, "get": 6, many: 1, "delete": 1}, found
    assert after["set"] - before["set"] == 6 and after["get"] - before["get"] == 6 + 3


def test_celery_rq_and_dramatiq(redis_port: int, asked: Asked) -> None:
    import celery
    import dramatiq
    import redis
    import rq
    from dramatiq.brokers.stub import StubBroker

    app = celery.Celery("shop", broker="memory://")

    @app.task(name="shop.charge")
    def charge(card: str) -> None:
        pass

    broker = StubBroker()

    @dramatiq.actor(broker=broker)
    def mail(to: str) -> None:
        pass

    queue = rq.Queue(connection=redis.Redis(port=redis_port))

    def run() -> None:
        charge.delay("cardsecret")
        charge.apply_async(("cardsecret",))
        app.send_task("shop.other", ("cardsecret",))
        mail.send("mailsecret")
        dramatiq.group([mail.message("mailsecret") for _ in range(3)], broker=broker).run()
        queue.enqueue("shop.count", "countsecret")
        queue.enqueue_in(datetime.timedelta(seconds=9), "shop.later", "countsecret")
        queue.enqueue_many([rq.Queue.prepare_data("shop.many", ("countsecret",)) for _ in range(2)])

    assert asked(run, "task") == {"shop.charge": 2, "shop.other": 1, "mail": 4, "shop.count": 1, "shop.later": 1,
                                  "shop.many": 2}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    yield f"{tmp_path}/store"


def tasks_of(name: str, count: int) -> list[dict[str, Any]]:
    """The rows of the store; waits until there are so many."""
    deadline = time.monotonic() + 60
    found = open_store(load({"store": name}))
    while True:
        for recorder in list(task._recorders.values()):
            recorder.writer.flush()
        rows = found.list(Query()).rows
        if len(rows) >= count:
            return rows
        assert time.monotonic() < deadline, rows
        time.sleep(0.05)


def test_each_task_of_celery_is_a_profile(store: str) -> None:
    import celery
    from celery.contrib.testing.worker import start_worker

    app = celery.Celery("warehouse", broker="memory://", backend="cache+memory://")
    app.conf.task_default_queue = "warehouse"  # the broker is the process's

    @app.task(name="warehouse.count")
    def count(fails: bool) -> int:
        with slowlens.span("SELECT 1", kind="db"):
            return 1 // (not fails)

    slowlens.queues.celery(store=store)
    slowlens.queues.celery(store=store)  # the same task is not two
    with start_worker(app, pool="solo", perform_ping_check=False):
        results = [count.delay(number == 2) for number in range(3)]
        for result in results:
            result.wait(60, propagate=False)
    rows = tasks_of(store, 3)
    assert [(row["method"], row["route"], row["db_count"]) for row in rows] == [("TASK", "warehouse.count", 1)] * 3
    assert sorted(row["status"] for row in rows) == [0, 0, 500], rows


def test_each_message_of_dramatiq_is_a_profile(store: str) -> None:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker(middleware=[slowlens.queues.Dramatiq(store=store)])

    @dramatiq.actor(broker=broker)
    def mail(to: str) -> None:
        with slowlens.span("SELECT 1", kind="db"):
            pass

    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=2)
    worker.start()
    try:
        for _ in range(4):
            mail.send("mailsecret")
        broker.join(mail.queue_name)
        worker.join()
    finally:
        worker.stop()
    rows = tasks_of(store, 4)
    assert [(row["method"], row["route"], row["db_count"]) for row in rows] == [("TASK", "mail", 1)] * 4


def test_grpc(asked: Asked) -> None:
    from concurrent import futures

    import grpc

    methods = {"Get": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
               "All": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([request] * 3))}
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Prices", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def run() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/shop.Prices/Get")
            for _ in range(3):
                assert call(b"requestsecret") == b"requestsecret"
            assert call.future(b"requestsecret").result() == b"requestsecret"
            assert len(list(channel.unary_stream("/shop.Prices/All")(b"requestsecret"))) == 3

    async def main() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await channel.unary_unary("/shop.Prices/Get")(b"requestsecret") == b"requestsecret"

    assert asked(run, "rpc") == {"/shop.Prices/Get": 4, "/shop.Prices/All": 1}
    assert asked(lambda: asyncio.run(main()), "rpc") == {"/shop.Prices/Get": 1}
    server.stop(None)


def test_botocore(web: Any, asked: Asked) -> None:
    import botocore.config
    import botocore.session

    client = botocore.session.get_session().create_client(
        "sqs", region_name="eu-west-1", endpoint_url=f"http://{web.host}", aws_access_key_id="a",
        aws_secret_access_key="awssecret", config=botocore.config.Config(retries={"max_attempts": 0}))

    def run() -> None:
        with contextlib.suppress(Exception):  # the server answers "ok", which is none of theirs
            client.list_queues(QueueNamePrefix="queuesecret")

    assert asked(run, "rpc") == {"ListQueues": 1}
