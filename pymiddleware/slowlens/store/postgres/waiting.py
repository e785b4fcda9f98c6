"""Profiles that wait on this host for a database that is away: a folder of segments (segments.py), of all processes.

Sent on by whoever gets at a segment's lock: its writer, or anybody once that
is gone. A segment is deleted when the database has confirmed what was in it; a
crash in between sends it twice, and an id is stored once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from ... import _core
from ...request import id_value
from .. import segments
from ..directory import DirectoryStore
from ..private import untrusted

__all__ = ["Part", "Waiting"]

#: Profiles and bytes of one sending.
BATCH, BATCH_BYTES = 128, 4 << 20


class Part(NamedTuple):
    """Numbers of a process's minute, with what makes them one and the same however often they are sent."""

    hour: int
    source: bytes
    table: bytes


class Waiting:
    """The folder; made when something has to wait."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.folder = folder
        #: Profiles that were given up because the folder was full.
        self.lost = 0
        refused = untrusted(folder)
        self._store = DirectoryStore(
            folder, max_bytes=max_bytes, max_age_days=0, worst_per_route=0,
            refused=None if refused is None else f"{refused}: nothing can wait there")
        self._store.before_delete[:] = [self._count_lost]

    def _count_lost(self, number: int, fd: int) -> None:
        rows = _core.Rows()
        segments.load(rows, number, fd, 0, os.fstat(fd).st_size)
        self.lost += rows.count

    def put(self, row: dict[str, Any], blob: bytes) -> None:
        """:raises StoreError: it cannot wait here either."""
        self._store.put(row, blob)

    def put_part(self, part: Part) -> None:
        """:raises StoreError:"""
        self._store.append(segments.NUMBERS, part.source, part.hour.to_bytes(8, "little"), part.table)

    def any(self) -> bool:
        """Whether there are segments. Cheap."""
        try:
            return bool(segments.segments_in(self._store.folder))
        except OSError:
            return False

    def count(self) -> int:
        """Profiles that wait."""
        return self._store.contents()["profiles"] if self.any() else 0

    def send(self, profiles: Callable[[list[tuple[dict[str, Any], bytes]]], None], parts: Callable[[list[Part]], None],
             more: Callable[[], bool]) -> None:
        """Hands everything that is not in use elsewhere to the two, a batch at a time, and deletes it.

        :param more: whether to go on with the next segment.
        :raises Exception: what they raise; the rest stays.
        """
        self._store.close()  # of this process's own
        for listed in segments.segments_in(self._store.folder):
            try:
                fd = os.open(listed.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.stat(listed.path).st_ino != os.fstat(fd).st_ino:
                        continue
                except OSError:
                    continue  # its writer lives, and sends it; or it is gone
                for batch, numbers in _batches(fd):
                    if batch:
                        profiles(batch)
                    if numbers:
                        parts(numbers)
                with suppress(OSError):
                    os.unlink(listed.path)
            finally:
                os.close(fd)
            if not more():
                return

    def close(self) -> None:
        self._store.close()


def _batches(fd: int) -> Iterator[tuple[list[tuple[dict[str, Any], bytes]], list[Part]]]:
    profiles: list[tuple[dict[str, Any], bytes]] = []
    parts: list[Part] = []
    size = 0
    for record, _ in segments.records_of(fd):
        if record.kind not in segments.PROFILES and record.kind != segments.NUMBERS:
            continue
        found = segments.read_record(fd, record.at)
        if found is None:
            continue
        whole, inside, outside = found
        if whole.kind == segments.NUMBERS:
            parts.append(Part(int.from_bytes(inside[:8], "little"), id_value(whole.id), outside))
        else:
            row = _row(whole.id, inside, outside)
            if row is not None:
                profiles.append((row, outside))
        size += len(outside)
        if len(profiles) + len(parts) >= BATCH or size >= BATCH_BYTES:
            yield profiles, parts
            profiles, parts, size = [], [], 0
    yield profiles, parts


def _row(profile_id: str, inside: bytes, blob: bytes) -> dict[str, Any] | None:
    try:
        known = json.loads(_core.read_meta(blob))
    except ValueError:
        return None
    hot = inside.decode("utf-8", "replace") if inside else (known.get("summary") or {}).get("hot_text", "")
    return {**known["meta"], "id": profile_id, "hot": hot}
