"""Django, each setup in a process of its own, because settings are for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")
HERE = str(Path(__file__).parent)

PRELUDE = """
import asyncio, json, sys, time
sys.path.insert(0, {here!r})
from django.conf import settings
OPTIONS = {{"store": {store!r}, "slow_ms": 50}}
CONFIG = dict(
    DEBUG=True, SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", USE_TZ=True,
    INSTALLED_APPS=["slowlens.django"], MIDDLEWARE=["slowlens.django.ProfilerMiddleware",
    "django.middleware.common.CommonMiddleware"], SLOWLENS=OPTIONS,
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
)
"""

SETUP = """
settings.configure(**CONFIG)
import django
django.setup()
from django.http import *
from django.urls import include, path
from django.test import Client, AsyncClient
from asgiref.sync import sync_to_async
from programs import fib
from conftest import Stored

def view(request, n):
    fib(n)
    return JsonResponse({"n": n})

async def async_view(request, n):
    fib(n)
    await asyncio.sleep(0.01)
    await sync_to_async(in_a_thread)()
    return JsonResponse({"n": n})

def in_a_thread():
    fib(7)

def stream(request):
    def chunks():
        for i in range(3):
            fib(6)
            yield str(i)
    return StreamingHttpResponse(chunks())

async def astream(request):
    async def chunks():
        for i in range(3):
            await asyncio.sleep(0)
            fib(6)
            yield str(i)
    return StreamingHttpResponse(chunks())

def failing(request):
    fib(5)
    raise ValueError("mine")

urlpatterns = [path("view/<int:n>/", view), path("async/<int:n>/", async_view), path("stream/", stream),
               path("astream/", astream), path("failing/", failing), path("slow/", include("slowlens.django.urls"))]
from slowlens.django.middleware import make_recorder
def rows(**query):
    return {row["path"]: row for row in Stored(make_recorder()).rows(**query)}
def names(row):
    return Stored(make_recorder()).names(row["id"])
"""


def run(store: str, config: str, body: str, **environ: str) -> Any:
    script = PRELUDE.format(here=HERE, store=store) + textwrap.dedent(config) + SETUP + textwrap.dedent(body)
    import os

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environ})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_sync(store_path: str) -> None:
    found = run(store_path, "", """
        client = Client(raise_request_exception=False)
        answers = [client.get("/view/7/").json(), b"".join(client.get("/stream/")).decode(),
                   client.get("/failing/").status_code, client.get("/none/").status_code]
        r = rows()
        print(json.dumps([answers, {path: [row["route"], row["status"]] for path, row in r.items()},
                          sorted(names(r["/view/7/"]) & {"view", "fib", "CommonMiddleware"}),
                          "fib" in names(r["/stream/"]), r["/failing/"]["kept"]]))
    """)
    answers, routes, called, streamed, kept = found
    assert answers == [{"n": 7}, "012", 500, 404]
    assert routes == {"/view/7/": ["/view/<int:n>/", 200], "/stream/": ["/stream/", 200],
                      "/failing/": ["/failing/", 500], "/none/": ["[unmatched]", 404]}
    assert called == ["fib", "view"]
    assert streamed
    assert kept == "error" or kept == "all"


def test_async(store_path: str) -> None:
    found = run(store_path, "", """
        import threading
        from slowlens.auth import Access
        grants, beside = Access.grants, []
        def asked(self, incoming, token="", quick=False):
            if not quick:
                beside.append(threading.current_thread() is not threading.main_thread())
            return grants(self, incoming, token, quick)
        client = AsyncClient(raise_request_exception=False)
        async def main():
            answers = await asyncio.gather(*(client.get(f"/async/{n}/") for n in range(20)))
            streamed = await client.get("/astream/")
            text = "".join([chunk.decode() async for chunk in streamed])
            await sync_to_async(streamed.close)()
            await client.get("/view/4/")
            Access.grants = asked
            await client.get("/view/4/?slowlens=deterministic", headers={"host": "localhost"})
            return [answer.json()["n"] for answer in answers], text
        answers, text = asyncio.run(main())
        r = rows(limit=100)
        counts = []
        for n in range(20):
            report = json.loads(Stored(make_recorder()).blob(r[f"/async/{n}/"]["id"]).functions())["rows"]
            counts.append(next(row["calls"] for row in report if row["function"]["name"] == "fib"))
        expected = [sum(2 * b - 1 for b in [[1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597,
                    2584, 4181, 6765][n]]) for n in range(20)]
        meta = json.loads(Stored(make_recorder()).blob(r["/async/3/"]["id"]).meta())["meta"]
        # Nineteen others run meanwhile: what they held up is theirs, and awaited all the same.
        awaited = meta.get("await_ns", 0) + meta.get("loop_ns", 0)
        print(json.dumps([answers, text, len(r), counts, expected, awaited,
                          "fib" in names(r["/astream/"]), "view" in names(r["/view/4/"]), beside]))
    """)
    answers, text, count, counts, expected, awaited, streamed, threaded, beside = found
    assert answers == list(range(20))
    assert text == "012"
    assert count == 22
    in_thread = 41
    if sys.version_info >= (3, 12):
        assert counts == [one + in_thread for one in expected]
    else:
        assert all(mine in (one, one + in_thread) for mine, one in zip(counts, expected, strict=True))
    assert awaited > 9e6, "a sleep of 10 ms, and a thread"
    assert streamed
    assert threaded or sys.version_info < (3, 12)
    assert beside == [True], "who asks for a trigger is not found out on the event loop"


def test_viewer_in_the_middleware_and_behind_a_urlconf(store_path: str) -> None:
    found = run(store_path, "", """
        client = Client()
        client.get("/view/3/")
        rows()
        listed = [client.get(base + "api/requests", headers={"host": "localhost"}).json()["requests"][0]["path"]
                  for base in ("/__slowlens__/", "/slow/")]
        page = client.get("/slow/", headers={"host": "localhost"})
        print(json.dumps([listed, page.status_code, "script-src 'self'" in page.headers["Content-Security-Policy"],
            client.get("/__slowlens__", headers={"host": "localhost"}).headers["Location"],
            [client.get(base, headers={"host": "evil.example"}).status_code for base in ("/__slowlens__/", "/slow/")],
            len(rows())]))
    """)
    assert found[:5] == [["/view/3/"] * 2, 200, True, "/__slowlens__/", [404, 404]]


def test_strangers_get_the_apps_own_404_without_debug(store_path: str) -> None:
    assert run(store_path, "CONFIG['DEBUG'] = False", """
        client = Client()
        print(json.dumps([client.get(path, headers={"host": "localhost"}).status_code
                          for path in ("/__slowlens__/", "/__slowlens__/api/requests", "/slow/", "/view/1/")]))
    """) == [404, 404, 404, 200]


def test_authorize_sees_the_django_request(store_path: str) -> None:
    config = """
        CONFIG['DEBUG'] = False
        OPTIONS['authorize'] = lambda request: request.GET.get('me') == '1'
    """
    assert run(store_path, config, """
        client = Client()
        from django.http import HttpResponse
        from django.test import RequestFactory
        from slowlens.django import ProfilerMiddleware
        closed = []
        def project(request):
            response = HttpResponse("a file, say, by a view that takes any path")
            response._resource_closers.append(lambda: closed.append("it"))
            return response
        instead = ProfilerMiddleware(project)(RequestFactory().get("/__slowlens__/?me=1"))
        instead.close()
        print(json.dumps([client.get("/__slowlens__/" + query).status_code for query in ("", "?me=1")] + closed))
    """) == [404, 200, "it"]


def test_wrong_settings_fail_at_start(store_path: str) -> None:
    found = run(store_path, "OPTIONS['slow'] = 5", """
        from django.core.exceptions import ImproperlyConfigured
        from django.core import checks
        try:
            Client().get("/view/1/")
        except ImproperlyConfigured as error:
            text = str(error)
        print(json.dumps([text, [message.id for message in checks.run_checks()]]))
    """)
    assert found == ["slowlens: settings.SLOWLENS: unknown option 'slow'; did you mean 'slow_ms'?", ["slowlens.E001"]]


def test_disable(store_path: str) -> None:
    assert run(store_path, "", """
        client = Client()
        print(json.dumps([client.get("/view/1/").status_code, client.get("/__slowlens__/").status_code]))
    """, SLOWLENS_DISABLE="1") == [200, 404]


@pytest.mark.parametrize(("config", "ids"), [
    ("", []),
    ("CONFIG['MIDDLEWARE'] = []", ["slowlens.W001"]),
    ("CONFIG['MIDDLEWARE'] *= 2", ["slowlens.W002"]),
    ("CONFIG['MIDDLEWARE'].reverse()", ["slowlens.W003"]),
    ("CONFIG['MEDIA_ROOT'] = OPTIONS['store']", ["slowlens.E003"]),
    ("OPTIONS['store'] = '/dev/null/x'", ["slowlens.E002"]),
    ("sys.setprofile(lambda *args: None)" if sys.version_info < (3, 12) else
     "sys.monitoring.use_tool_id(4, 'a'); sys.monitoring.use_tool_id(3, 'b')", ["slowlens.W004"]),
])
def test_system_checks(store_path: str, config: str, ids: list[str]) -> None:
    assert run(store_path, config, """
        from django.core import checks
        print(json.dumps([message.id for message in checks.run_checks()]))
    """) == ids


def test_deploy_check(store_path: str) -> None:
    found = run(store_path, "CONFIG['DEBUG'] = False", """
        from django.core import checks
        print(json.dumps([message.id for message in checks.run_checks(include_deployment_checks=True)]))
    """)
    assert "slowlens.W005" in found


def test_management_command(store_path: str) -> None:
    found = run(store_path, "", """
        import contextlib, io
        from django.core.management import call_command, execute_from_command_line
        Client().get("/view/3/")
        rows()
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            execute_from_command_line(["manage.py", "slowlens", "list", "--json"])
        print(json.dumps(json.loads(out.getvalue())[0]["path"]))
    """)
    assert found == "/view/3/"


def test_wsgi_middleware_outside_learns_the_route(store_path: str) -> None:
    found = run(store_path, "", """
        from django.core.wsgi import get_wsgi_application
        from slowlens.wsgi import ProfilerMiddleware
        from conftest import wsgi_call
        app = ProfilerMiddleware(get_wsgi_application(), store=OPTIONS["store"], debug=True)
        wsgi_call(app, "/view/3/")
        inner = make_recorder().writer.stored
        (row,) = Stored(app.recorder).rows()
        print(json.dumps([row["route"], row["framework"].split()[0], inner]))
    """)
    assert found == ["/view/<int:n>/", "Django", 0]
