"""The route of a request as real frameworks say it: whole, below mounts and prefixes; and names that an app gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slowlens.asgi import ProfilerMiddleware as ASGIMiddleware
from slowlens.routes import UNMATCHED
from slowlens.wsgi import ProfilerMiddleware as WSGIMiddleware

from asked import asgi, recipe, stored, wsgi

Wrap = Callable[..., Any]


@pytest.fixture
def wrap(tmp_path: Path) -> Wrap:
    return lambda kind, app: kind(app, store=str(tmp_path / "store"), keep="all", log=False, debug=False)


def test_flask(wrap: Wrap) -> None:
    """By the plain WSGI middleware, around the app, its method, or other middleware; and mounted."""
    from flask import Blueprint, Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.middleware.proxy_fix import ProxyFix

    def make() -> Any:
        app, outer, inner = Flask("one"), Blueprint("outer", "outer"), Blueprint("inner", "inner", url_prefix="/in")
        inner.get("/items/<int:number>")(lambda shop, number: "x")
        outer.register_blueprint(inner)
        app.register_blueprint(outer, url_prefix="/shop/<shop>")
        return app

    app, item = make(), "/shop/<shop>/in/items/<int:number>"
    site = wrap(WSGIMiddleware, app)
    assert wsgi(site, "/shop/a/in/items/7", "/nowhere") == [200, 404]
    assert wsgi(wrap(WSGIMiddleware, make().wsgi_app), "/shop/a/in/items/7") == [200]
    assert wsgi(wrap(WSGIMiddleware, ProxyFix(make())), "/shop/a/in/items/7") == [200]
    mounted = make()
    wrap(WSGIMiddleware, mounted)  # known to us, and reached through another app
    assert wsgi(wrap(WSGIMiddleware, DispatcherMiddleware(app, {"/api": mounted})), "/api/shop/a/in/items/7") == [200]
    assert stored(site.recorder) == [item, UNMATCHED, item, item, "/api" + item]


def test_pyramid(wrap: Wrap) -> None:
    from pyramid.config import Configurator
    from pyramid.response import Response

    def more(configured: Any) -> None:
        configured.add_route("item", "/items/{name}")

    with Configurator() as configured:
        configured.add_route("order", r"/orders/{number:\d+}")
        configured.include(more, route_prefix="/v1")
        for name in ("order", "item"):
            configured.add_view(lambda request: Response("x"), route_name=name)
        configured.add_view(lambda context, request: Response("x"), name="traversed")
        site = wrap(WSGIMiddleware, configured.make_wsgi_app())
    assert wsgi(site, "/orders/7", "/v1/items/a", "/traversed", "/nowhere") == [200, 200, 200, 404]
    assert stored(site.recorder) == [r"/orders/{number:\d+}", "/v1/items/{name}", "/traversed", UNMATCHED]


def test_bottle(wrap: Wrap) -> None:
    from bottle import Bottle

    app, mounted = Bottle(), Bottle()
    app.get("/orders/<number:int>")(lambda number: "x")
    mounted.get("/items/<name>")(lambda name: "x")
    app.mount("/below/", mounted)
    site = wrap(WSGIMiddleware, app)
    assert wsgi(site, "/orders/7", "/below/items/a", "/nowhere") == [200, 200, 404]
    assert stored(site.recorder) == ["/orders/<number:int>", "/below/items/<name>", UNMATCHED]


def test_falcon(wrap: Wrap) -> None:
    import falcon
    import falcon.asgi

    class Order:
        def on_get(self, request: Any, response: Any, number: int) -> None:
            response.text = "x"

    class AsyncOrder:
        async def on_get(self, request: Any, response: Any, number: int) -> None:
            response.text = "x"

    app, other = falcon.App(), falcon.asgi.App()
    app.add_route("/orders/{number:int}", Order())
    app.add_sink(lambda request, response, **more: None, "/sink/")
    other.add_route("/orders/{number:int}", AsyncOrder())
    site = wrap(WSGIMiddleware, app)
    assert wsgi(site, "/orders/7", "/sink/17", "/nowhere") == [200, 200, 404]
    assert asgi(wrap(ASGIMiddleware, other), "/orders/7", "/nowhere") == [200, 404]
    assert stored(site.recorder) == ["/orders/{number:int}", "/sink/{id}", UNMATCHED, "/orders/{number:int}", UNMATCHED]


def test_fastapi(wrap: Wrap) -> None:
    from fastapi import APIRouter, FastAPI

    app, mounted, inner, outer = FastAPI(), FastAPI(), APIRouter(prefix="/v1"), APIRouter()
    inner.get("/orders/{number}")(lambda number: number)
    mounted.get("/items/{name}")(lambda name: name)
    outer.include_router(inner, prefix="/api/{tenant}")
    app.include_router(outer)
    app.mount("/below", mounted)
    site = wrap(ASGIMiddleware, app)
    assert asgi(site, "/api/acme/v1/orders/7", "/below/items/a", "/nowhere") == [200, 200, 404]
    assert stored(site.recorder) == ["/api/{tenant}/v1/orders/{number}", "/below/items/{name}", UNMATCHED]


def test_starlette(wrap: Wrap, tmp_path: Path) -> None:
    """What a mount's own routes do not match is no route, and files of one are together."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Host, Mount, Route, Router
    from starlette.staticfiles import StaticFiles

    async def view(request: Any) -> Any:
        return PlainTextResponse("x")

    class Copies:
        """Whoever routes in there notes it in a scope that we do not see."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(dict(scope), receive, send)

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("x")
    app = Starlette(routes=[
        Mount("/shops/{shop}", app=Starlette(routes=[Route("/orders/{number:int}", view), Route("/{rest}/x", view)])),
        Mount("/files/{version}", app=StaticFiles(directory=tmp_path / "files")),
        Mount("/copied", app=Starlette(routes=[Route("/books/{id}", view)], middleware=[Middleware(Copies)])),
        Host("localhost", app=Router(routes=[Route("/{year}-{month}", view)])),
    ])
    site = wrap(ASGIMiddleware, app)
    assert asgi(site, "/shops/a/orders/7", "/shops/a/b/x", "/shops/a/nowhere", "/files/3/a.txt", "/2026-11",
                "/nowhere", "/copied/books/1", "/copied/nowhere") == [200, 200, 404, 200, 200, 404, 200, 404]
    assert stored(site.recorder) == ["/shops/{shop}/orders/{number:int}", "/shops/{shop}/{rest}/x", UNMATCHED,
                                     "/files/{version}/{path}", "/{year}-{month}", UNMATCHED,
                                     "/copied/books/{id}", UNMATCHED]


def test_litestar(wrap: Wrap) -> None:
    from litestar import Litestar, Router, get

    @get("/orders/{number:int}")
    async def order(number: int) -> int:
        return number

    site = wrap(ASGIMiddleware, Litestar([Router("/v1", route_handlers=[order])]))
    assert asgi(site, "/v1/orders/7", "/nowhere") == [200, 404]
    assert stored(site.recorder) == ["/v1/orders/{number:int}", UNMATCHED]


def test_quart(wrap: Wrap) -> None:
    from quart import Blueprint, Quart

    async def item(shop: str, number: int) -> str:
        return "x"

    app, part = Quart("one"), Blueprint("part", "part", url_prefix="/shop/<shop>")
    part.get("/items/<int:number>")(item)
    app.register_blueprint(part)
    site = wrap(ASGIMiddleware, app)
    assert asgi(site, "/shop/a/items/7", "/nowhere") == [200, 404]
    assert stored(site.recorder) == ["/shop/<shop>/items/<int:number>", UNMATCHED]


def test_sanic(wrap: Wrap) -> None:
    from sanic import Blueprint, Sanic, text

    async def item(request: Any, shop: str, number: int) -> Any:
        return text("x")

    app, part = Sanic("one", configure_logging=False), Blueprint("part", url_prefix="/shop/<shop:str>")
    part.get("/items/<number:int>")(item)
    app.blueprint(part)
    site = wrap(ASGIMiddleware, app)
    assert asgi(site, "/shop/a/items/7", "/nowhere") == [200, 404]
    assert stored(site.recorder) == ["/shop/<shop:str>/items/<number:int>", UNMATCHED]


def test_operations_of_strawberry(wrap: Wrap) -> None:
    import strawberry
    from strawberry.asgi import GraphQL

    query = strawberry.type(type("Query", (), {
        "__annotations__": {"book": str}, "book": strawberry.field(resolver=lambda: "x", graphql_type=str)}))
    schema = strawberry.Schema(query, extensions=[recipe("strawberry")["NameTheOperation"]])
    ask_graphql(wrap(ASGIMiddleware, GraphQL(schema)))


def test_operations_of_graphql_core(wrap: Wrap) -> None:
    from ariadne import QueryType, make_executable_schema
    from ariadne.asgi import GraphQL
    from ariadne.asgi.handlers import GraphQLHTTPHandler

    query = QueryType()
    query.set_field("book", lambda *ignored: "x")
    schema = make_executable_schema("type Query { book: String }", query)
    handler = GraphQLHTTPHandler(middleware=[recipe("graphql-core")["name_the_operation"]])
    ask_graphql(wrap(ASGIMiddleware, GraphQL(schema, http_handler=handler)))


def ask_graphql(site: Any) -> None:
    for asked in ({"query": "query Book { book }", "operationName": "Book"}, {"query": "{ book }"},
                  {"query": "query A { book } query B { book }", "operationName": "B"}):
        assert asgi(site, "/graphql", body=json.dumps(asked).encode()) == [200]
    assert stored(site.recorder) == ["query Book", "query (no name)", "query B"]


DJANGO = """
import json, sys
import django
from django.conf import settings
APPS = ["wagtail.contrib.forms", "wagtail.sites", "wagtail.users", "wagtail.documents", "wagtail.images",
        "wagtail.search", "wagtail.admin", "wagtail", "modelcluster", "taggit", "django.contrib.auth",
        "django.contrib.contenttypes", "django.contrib.sessions", "slowlens.django"]
settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x" * 50, INSTALLED_APPS=APPS,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIGRATION_MODULES={name.rpartition(".")[2]: None for name in APPS} | {"wagtailcore": None, "wagtailforms": None,
        "wagtailsites": None, "wagtailusers": None, "wagtaildocs": None, "wagtailimages": None, "wagtailsearch": None,
        "wagtailadmin": None}, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    LANGUAGES=[("en", "English"), ("de", "Deutsch")], STATIC_URL="/static/", WAGTAIL_SITE_NAME="x", WAGTAILADMIN_BASE_URL="http://x",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [
        ("django.template.loaders.locmem.Loader", {"page.html": "{{ page.title }}"})]}}],
    MIDDLEWARE=["slowlens.django.ProfilerMiddleware", "django.middleware.locale.LocaleMiddleware"],
    SLOWLENS={"store": sys.argv[1], "keep": "all", "log": False})
django.setup()
from django.conf.urls.i18n import i18n_patterns
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, re_path
from wagtail import urls as wagtail_urls
from wagtail.models import Locale, Page, Site
from asked import recipe, stored
call_command("migrate", run_syncdb=True, verbosity=0)
recipe("wagtail")
view = lambda request, **values: HttpResponse("x")
shop = ([path("items/<int:number>/", view), re_path(r"^old/(?P<number>[0-9]+)/$", view)], "shop")
urlpatterns = [*i18n_patterns(path("shop/<slug:name>/", include(shop)), prefix_default_language=False),
               path("pages/", include(wagtail_urls))]
def made(parent, title):
    page = Page(title=title, slug=title, locale=locale, content_type=ContentType.objects.get_for_model(Page))
    return Page.add_root(instance=page) if parent is None else parent.add_child(instance=page)
locale = Locale.objects.create(language_code="en")
home = made(made(None, "root"), "home")
made(home, "about")
Site.objects.create(hostname="testserver", root_page=home, is_default_site=True)
Page.template = "page.html"
statuses = [Client().get(asked).status_code for asked in (
    "/shop/a/items/3/", "/de/shop/a/items/3/", "/shop/a/old/7/", "/pages/", "/pages/about/", "/pages/nope/", "/nope")]
from slowlens.django.middleware import make_recorder
print(json.dumps([statuses, stored(make_recorder())]))
"""


def test_django_and_wagtail(tmp_path: Path) -> None:
    """Languages, includes, regular expressions; and types of pages by the recipe."""
    done = subprocess.run([sys.executable, "-c", DJANGO, str(tmp_path / "store")], capture_output=True, text=True,
                          timeout=300, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    statuses, routes = json.loads(done.stdout.splitlines()[-1])
    assert statuses == [200, 200, 200, 200, 200, 404, 404]
    assert routes == [
        "/shop/<slug:name>/items/<int:number>/", "/de/shop/<slug:name>/items/<int:number>/",
        "/shop/<slug:name>/old/(?P<number>[0-9]+)/", "wagtailcore.Page", "wagtailcore.Page",
        r"/pages/((?:[\w\-]+/)*)", UNMATCHED]
