"""slowlens: see why this request was slow.

Request-profiling middleware on a C core. One line installs it::

    MIDDLEWARE = ["slowlens.django.ProfilerMiddleware", ...]    # Django
    Slowlens(app)                                               # slowlens.flask
    app = ProfilerMiddleware(app)                               # slowlens.wsgi, slowlens.asgi

Importing this imports no framework.
"""

from __future__ import annotations

from typing import Any

from . import interpreter as _interpreter

__all__ = ["__version__", "name", "profile", "span", "tag"]
__version__ = "0.1.0"


_refusal = _interpreter.refusal()
if _refusal is not None:
    _interpreter.stand_in(__name__, _refusal)


def __getattr__(name: str) -> Any:
    if name == "profile":
        from .task import profile

        return profile
    if name == "span":
        from .spans import span

        return span
    if name in ("tag", "name"):
        from . import recorder

        return getattr(recorder, name)
    raise AttributeError(f"module 'slowlens' has no attribute {name!r}")
