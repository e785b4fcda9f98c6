"""Which functions of which libraries ask a database, a server, a template: one small file a library.

Each file is a tuple ``ROWS``. A row names a function by its module and qualified name; whenever that function runs
inside a profiled request, the request gets a span of a kind (``db``, ``http``, ``cache``, ``template``...) with a text
that is read from the call's own arguments. Nothing is patched, and a row whose module is never imported costs nothing.

Other packages add theirs by an entry point of the group ``slowlens.layers`` that names such a tuple::

    [project.entry-points."slowlens.layers"]
    mydriver = "mydriver.profiling:ROWS"
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .. import _core

__all__ = ["LIBRARIES", "Row", "install", "rows"]


class Row(NamedTuple):
    """One function: ``qualname`` in ``module``, whose calls are spans of ``kind`` ("db"...). Where releases differ,
    ``qualname`` may name several: the first that is there counts (``"f.<locals>.g|f"``).

    ``text`` is a way to what is shown: a parameter (``"sql"``), attributes and items of it (``"request.url"``,
    ``"args[0]"``), alternatives (``"url._netloc|url"``; ``"url://|self.host"``: the first only if it is a whole URL),
    or a text (``"=PIPELINE"``). No code runs to read it: properties are not looked at. ``"()"``: the function is C, and
    its first argument it is (``"()=COPY"``: this text).

    ``what`` says what may be kept of it: ``sql`` (its shape: never a literal), ``url`` (its host), ``host``,
    ``name`` (as it is: only for names that are written in the program), ``command`` (the program's name). ``more`` is a
    way to what belongs to it (the dialect, the port). ``whole``: calls of this kind inside it are a part of it.
    """

    module: str
    qualname: str
    kind: str
    text: str
    what: str
    #: A way to what belongs to it. ``sql``: the dialect's name; ``host``: the port; ``block``: the block; ``name``: a
    #: second word; ``line``: the line.
    more: str = ""
    #: What is called inside it, of the same kind, is a part of it, whatever its text. (Else: with the same text.)
    whole: bool = False


#: The files here, one a library.
LIBRARIES = (
    "aiohttp", "aiosqlite", "asyncpg", "botocore", "celery", "django", "dramatiq", "drivers", "files", "grpc", "httpx",
    "jinja2", "memcached", "mysql", "peewee", "psycopg", "pymongo", "redis", "rq", "smtplib", "sqlalchemy",
    "subprocess", "urllib", "urllib3",
)


def _added() -> Iterator[Row]:
    """Rows of other packages. One that cannot be had is told once, and left out."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="slowlens.layers"):
        try:
            for row in entry.load():
                yield Row(*row)
        except Exception as error:
            logging.getLogger("slowlens").warning("slowlens: layers of %s cannot be had: %r", entry.value, error)


def rows() -> list[Row]:
    """All of them, ours first."""
    from importlib import import_module

    found: list[Row] = []
    for name in LIBRARIES:
        found.extend(import_module(f"{__name__}.{name}").ROWS)
    return found + list(_added())


def install(found: Iterable[Any] | None = None) -> None:
    """Gives the rows to the core, which finds their functions when their modules are imported. A row that is not well
    formed is told, and left out."""
    for row in rows() if found is None else found:
        try:
            _core.layers_add(*row)
        except (ValueError, TypeError) as error:
            logging.getLogger("slowlens").warning("slowlens: a layer's row %r is left out: %s", row, error)
