"""Where finished profiles are kept."""

from __future__ import annotations

from ..options import Options, OptionsError
from .interface import Finished, Page, Query, RouteStats, Sink, Store, StoreError

__all__ = ["Finished", "Page", "Query", "RouteStats", "Sink", "Store", "StoreError", "open_store"]


def open_store(options: Options) -> Store:
    """The store that ``options.store`` names. Touches nothing on disk yet.

    :raises OptionsError: a kind of store that does not exist.
    """
    if "://" in options.store:
        scheme = options.store.split("://", 1)[0]
        raise OptionsError(f"slowlens: store: no store of kind {scheme!r}; give a folder")
    from .closed import ClosedStore
    from .directory import DirectoryStore
    from .private import untrusted

    why = untrusted(options.store)
    if why is not None:
        return ClosedStore(options.store, why)
    return DirectoryStore(
        options.store,
        max_bytes=options.max_bytes,
        max_age_days=options.max_age_days,
        worst_per_route=options.worst_per_route,
    )
