"""The apps of test_servers.py: request N runs the functions named marker_N and nobody else's."""

from __future__ import annotations

import os
import threading
import time
from contextvars import copy_context
from typing import Any

from slowlens.wsgi import ProfilerMiddleware

MARKERS = 20


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def _named(name: str) -> Any:
    def call(then: Any) -> None:
        then()

    call.__code__ = call.__code__.replace(co_name=name, co_qualname=name)
    return call


markers = [_named(f"marker_{n}") for n in range(MARKERS)]
helpers = [_named(f"helper_{n}") for n in range(MARKERS)]


def work(n: int) -> None:
    """On its own thread, and on one that the request starts with its context."""
    helper = threading.Thread(target=copy_context().run, args=(helpers[n], lambda: time.sleep(0.02)))
    helper.start()
    markers[n](lambda: spin(0.01))
    markers[n](lambda: time.sleep(0.03))
    helper.join()


def threaded(environ: Any, start_response: Any) -> list[bytes]:
    work(int(environ["PATH_INFO"].strip("/")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


application = ProfilerMiddleware(threaded, debug=True)


def django_asgi() -> Any:
    """Django under ASGI with a synchronous view and a synchronous middleware of its own."""
    from django.conf import settings

    settings.configure(
        DEBUG=True, SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="server_app", INSTALLED_APPS=[],
        MIDDLEWARE=["slowlens.django.ProfilerMiddleware", "server_app.sync_middleware"],
        SLOWLENS={"store": os.environ["SLOWLENS_STORE"], "mode": os.environ["SLOWLENS_MODE"]},
    )
    import django
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse
    from django.urls import path

    django.setup()

    def view(request: Any, n: int) -> Any:
        work(n)
        return HttpResponse("done")

    globals()["urlpatterns"] = [path("<int:n>/", view)]
    return ASGIHandler()


def sync_middleware(get_response: Any) -> Any:
    def passing_on(request: Any) -> Any:
        return get_response(request)

    return passing_on


if os.environ.get("SERVER_APP") == "django":
    django_application = django_asgi()
