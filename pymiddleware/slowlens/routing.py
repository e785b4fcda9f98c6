"""Frameworks that tell which route matched while the request runs, by events of their own; later nothing shows it.

What stands in an environ or a scope when the app returns, :mod:`slowlens.routes` finds there.
"""

from __future__ import annotations

from typing import Any

from . import _core
from .recorder import current
from .routes import mounted

__all__ = ["watch"]


#: Middlewares that may stand before the app.
DEPTH_MAX = 8


def watch(app: Any) -> None:
    """Listens to ``app``, or to the one whose method it is or which it wraps as ``.app``. Doing it twice is no harm."""
    for _ in range(DEPTH_MAX):
        app = getattr(app, "__self__", app)
        if app is None or _watch(app, type(app).__module__.partition(".")[0]):
            return
        app = getattr(app, "app", None)


def _watch(app: Any, framework: str) -> bool:
    """False: not of a framework known here."""
    if framework == "flask":
        from flask import request_started

        request_started.connect(_of_flask, app)
    elif framework == "quart":
        from quart import request_started as started

        started.connect(_of_quart, app)
    elif framework == "sanic" and hasattr(app, "add_signal"):
        app.add_signal(_of_sanic, "http.routing.after")
    elif framework == "pyramid" and hasattr(app, "registry"):
        from pyramid.interfaces import IBeforeTraversal

        app.registry.registerHandler(_of_pyramid, (IBeforeTraversal,))
    else:
        return False
    return True


def _note(template: str | None, path: str | None = None) -> None:
    """Of the request that runs here: a template, or None: no route matched.

    :param path: what the framework matched; what stands before it in the request's path is where it is mounted.
    """
    transaction = current()
    seen = _core.tally() if transaction is None else transaction.seen
    if seen is None:
        return
    route = "" if template is None else "/" + template.lstrip("/")
    whole = seen.path
    if route and path and path != whole and whole.endswith(path):
        route = mounted(whole[:-len(path)]) + route
    seen.note_route(route)


def _of_flask(sender: Any, **extra: Any) -> None:
    from flask import request

    rule = request.url_rule
    _note(None if rule is None else rule.rule, request.path)


async def _of_quart(sender: Any, **extra: Any) -> None:
    from quart import request

    rule = request.url_rule
    _note(None if rule is None else rule.rule)


async def _of_sanic(route: Any, **extra: Any) -> None:
    _note(str(route.path))


def _of_pyramid(event: Any) -> None:
    route = getattr(event.request, "matched_route", None)
    if route is not None:  # else it is found by traversal, or not at all: by its path, if it is answered
        _note(route.pattern, event.request.path_info)
