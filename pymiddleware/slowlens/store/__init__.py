"""Where finished profiles are kept, and who else takes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..options import Options, OptionsError
from .interface import Finished, Page, Query, QueryError, RouteStats, Sink, Store, StoreError

__all__ = [
    "Finished", "Page", "Query", "QueryError", "RouteStats", "Sink", "Store", "StoreError", "open_sinks", "open_store",
]

#: Stores of our own: scheme of the URL -> where the function is that opens one.
SCHEMES = {
    "": "slowlens.store.directory:open_folder", "file": "slowlens.store.directory:open_folder",
    "postgresql": "slowlens.store.postgres:open_postgres", "postgres": "slowlens.store.postgres:open_postgres",
}


def open_store(options: Options) -> Store:
    """The store that ``options.store`` names. Touches nothing on disk yet.

    A path is a folder; a URL is for whoever the entry points ``slowlens.stores`` name for its scheme: a function of
    (url, options).

    :raises OptionsError: a kind of store that does not exist, or cannot be opened.
    """
    scheme = options.store.partition("://")[0] if "://" in options.store else ""
    opener = _opener(scheme)
    try:
        store: Store = opener(options.store, options)
    except (ImportError, ValueError) as error:
        raise OptionsError(f"slowlens: store: {error}") from None
    return store


def _opener(scheme: str) -> Callable[[str, Options], Any]:
    place = SCHEMES.get(scheme)
    if place is not None:
        module, _, name = place.partition(":")
        found: Callable[[str, Options], Any] = getattr(import_module(module), name)
        return found
    from importlib.metadata import entry_points

    for point in entry_points(group="slowlens.stores"):
        if point.name == scheme:
            try:
                opener: Callable[[str, Options], Any] = point.load()
            except Exception as error:
                raise OptionsError(f"slowlens: store: {point.value} cannot be loaded: {error}") from None
            return opener
    raise OptionsError(f"slowlens: store: no store of kind {scheme!r}; give a folder")


def open_sinks(options: Options) -> list[tuple[str, Sink]]:
    """(name, sink) of every entry point ``slowlens.sinks``: a function of (options); None from it: not wanted.

    One that cannot be made is said, and left out.
    """
    from importlib.metadata import entry_points

    sinks: list[tuple[str, Sink]] = []
    for point in sorted(entry_points(group="slowlens.sinks"), key=lambda point: point.name):
        try:
            sink = point.load()(options)
        except Exception as error:
            logging.getLogger("slowlens").error(
                "slowlens: sink %s (%s) is left out: %s", point.name, point.value, error)
            continue
        if sink is not None:
            sinks.append((point.name, sink))
    return sinks
