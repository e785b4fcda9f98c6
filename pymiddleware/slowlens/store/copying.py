"""From one store to another: ``slowlens copy FROM TO``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .interface import Store, Stored, StoreError

__all__ = ["Copied", "copy"]

#: Profiles and bytes that are looked up and stored together.
BATCH, BATCH_BYTES = 128, 4 << 20


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
    for batch in _batches(source.everything()):
        there = _known(target, [one.row["id"] for one in batch])
        fresh = [one for one in batch if one.row["id"] not in there]
        _put(target, fresh)
        copied, known = copied + len(fresh), known + len(batch) - len(fresh)
        size += sum(len(one.blob) for one in fresh)
        for one in batch:
            if one.row.get("pinned") and not target.pin(one.row["id"], True):
                raise StoreError(
                    f"{one.row['id']} was copied, and is not there: the store is too small for what it keeps")
        progress(copied + known)
    return Copied(copied, known, size)


def _batches(profiles: Iterable[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    size = 0
    for one in profiles:
        batch.append(one)
        size += len(one.blob)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _known(target: Any, ids: list[str]) -> set[str]:
    if hasattr(target, "known"):
        found: set[str] = target.known(ids)
        return found
    return {one for one in ids if target.get(one) is not None}


def _put(target: Any, profiles: list[Stored]) -> None:
    if hasattr(target, "put_many"):
        if profiles:
            target.put_many([(one.row, one.blob) for one in profiles])
        if target.tend() is not None:
            raise StoreError("the target went away: what it has not taken waits on this host for whatever uses it next")
        return
    for one in profiles:
        target.put(one.row, one.blob)
