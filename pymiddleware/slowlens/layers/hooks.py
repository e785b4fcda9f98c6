"""CPython 3.11, sampled: no events on functions alone, so queries are told by the libraries' own hooks, made
for that: Django's ``execute_wrappers``, SQLAlchemy's events. Deterministic profiles have the rows of all files
here, as on newer versions, and do without.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from .. import _core

__all__ = ["install"]

_known = 0
_done: set[str] = set()


def install(keep: Callable[[], str]) -> None:
    """Puts hooks into what has been imported since the last time. Cheap where nothing was.

    :param keep: what is kept of a query now: ``shape``, ``names`` or, where no sampled request runs, ``off``.
    """
    global _known
    if _known == len(sys.modules):
        return
    _known = len(sys.modules)
    for module, hook in (("django.db", _django), ("sqlalchemy.engine", _sqlalchemy)):
        if module not in _done and module in sys.modules:
            _done.add(module)
            try:
                hook(keep)
            except Exception as error:
                logging.getLogger("slowlens").warning("slowlens: queries of %s are not seen: %r", module, error)


def _django(keep: Callable[[], str]) -> None:
    from django.db import connections
    from django.db.backends.signals import connection_created

    def wrapper(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        kept = keep()
        if kept == "off" or not isinstance(sql, (str, bytes)):
            return execute(sql, params, many, context)
        with _core.Span(sql, "db", keep=kept, dialect=context["connection"].vendor):
            return execute(sql, params, many, context)

    def created(connection: Any, **_: Any) -> None:
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.append(wrapper)

    connection_created.connect(created, weak=False, dispatch_uid="slowlens")
    for connection in connections.all(initialized_only=True):
        created(connection)


def _sqlalchemy(keep: Callable[[], str]) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def before(connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: bool) -> None:
        kept = keep()
        if kept != "off" and context is not None:
            context._slowlens = span = _core.Span(statement, "db", keep=kept, dialect=connection.dialect.name)
            span.__enter__()

    def after(connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: bool) -> None:
        ended(context)

    def failed(failure: Any) -> None:
        ended(failure.execution_context)

    def ended(context: Any) -> None:
        span = vars(context).pop("_slowlens", None) if context is not None else None
        if span is not None:
            span.__exit__(None, None, None)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    event.listen(Engine, "handle_error", failed)
