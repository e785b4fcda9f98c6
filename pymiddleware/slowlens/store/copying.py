"""From one store to another: ``slowlens copy FROM TO``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .interface import Store, StoreError

__all__ = ["Copied", "copy"]


class Copied(NamedTuple):
    """What a copy did."""

    copied: int
    #: Were there already.
    known: int
    bytes: int


def copy(source: Store, target: Store, progress: Callable[[int], None] = lambda done: None) -> Copied:
    """Copies all profiles and their pins; what ``target`` has already is left alone, so it can be done again.

    :raises StoreError: one cannot be read, or stored; what was copied stays copied.
    """
    copied = known = size = 0
    for one in source.everything():
        profile_id = one.row["id"]
        if target.get(profile_id) is not None:
            known += 1
        else:
            target.put(one.row, one.blob)
            copied += 1
            size += len(one.blob)
        if one.row.get("pinned") and not target.pin(profile_id, True):
            raise StoreError(f"{profile_id} was copied, and is not there: the store is too small for what it keeps")
        progress(copied + known)
    return Copied(copied, known, size)
