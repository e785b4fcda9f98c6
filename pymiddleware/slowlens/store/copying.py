"""From one store to another: ``slowlens copy FROM TO``.

Profiles are told by their ids. Numbers and trees are told by who counted them, and when (identity.py): of an hour the
target keeps the copy that has the most, so a copy may be broken off, made again, made while the source goes on, or come
by way of a third store, and each request counts once.
"""

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
    #: Hours of numbers, and ten minutes of trees, of which the target has more than before.
    hours: int = 0
    trees: int = 0
    #: Why numbers and trees were left where they are; "": they were not.
    left: str = ""


def copy(source: Store, target: Store, progress: Callable[[int], None] = lambda done: None) -> Copied:
    """Copies all profiles and their pins, the numbers of all requests and their trees; what ``target`` has already is
    left alone, so it can be done again.

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
    return Copied(copied, known, size, *_all_requests(source, target))


def _all_requests(source: Any, target: Any) -> tuple[int, int, str]:
    """Numbers and trees: hours and slots that are new in ``target``, and why they were left."""
    if not hasattr(source, "counted"):
        return 0, 0, ""  # single files, say
    if not hasattr(target, "put_counted"):
        return 0, 0, "the target keeps none"
    left = ""
    own = source.identity()
    if own is None:
        left = ("the source has no name to tell them by that could be read, or written: copy as its owner, "
                "or run slowlens gc on it as its owner first")
    elif own == target.identity():
        left = ("both have one name: they are the same store, or one is a copy of the other's files "
                "(then delete the file 'id' in it)")
    hours = sum(target.put_counted(one) for one in source.counted())
    slots = sum(target.put_gathered(one) for one in source.gathered())
    return hours, slots, left


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
