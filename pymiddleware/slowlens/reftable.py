"""References of git repositories whose storage is ``reftable`` (``git init --ref-format=reftable``): read, not run.

As git's ``Documentation/technical/reftable.adoc`` says it: a stack of tables, the newest one counts; in each, blocks of
records that are sorted by name, each name written as what it differs by from the one before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

__all__ = ["find"]

_TABLE = re.compile(r"[0-9A-Za-z_.-]{1,200}\.ref")
#: What is read at most of one stack: above the project's folder it may be whatever another user made.
TABLES_MAX = 200
BYTES_MAX = 64 << 20
RECORDS_MAX = 1_000_000
NAME_MAX = 4096
_DELETED, _HASH, _HASH_AND_PEELED, _SYMBOLIC = range(4)


def find(folder: str, name: str, read: Callable[[str], bytes]) -> str:
    """What ``name`` stands for in the stack of this git folder: a hash, ``ref: `` and another name; "": nothing.

    :param read: gives the bytes of a file, or raises OSError.
    """
    stack = os.path.join(folder, "reftable")
    bytes_left, records_left = BYTES_MAX, RECORDS_MAX
    try:
        names = read(os.path.join(stack, "tables.list")).decode("ascii", "replace").split()
        for table in names[::-1][:TABLES_MAX]:
            if _TABLE.fullmatch(table) is None:
                continue
            data = read(os.path.join(stack, table))
            bytes_left -= len(data)
            for known, value in _records(data):
                records_left -= 1
                if bytes_left < 0 or records_left < 0:
                    return ""
                if known == name.encode():
                    return value
                if known > name.encode():
                    break
    except (OSError, IndexError, ValueError):  # it is written just now, or damaged
        pass
    return ""


def _records(data: bytes) -> Iterator[tuple[bytes, str]]:
    """(name, value) of all references of a table.

    :raises IndexError: it is cut.
    :raises ValueError: it is none.
    """
    if data[:4] != b"REFT" or data[4] not in (1, 2):
        raise ValueError("no table of references")
    size = int.from_bytes(data[5:8], "big")
    digest = 32 if data[4] == 2 and data[24:28] == b"s256" else 20
    begin, at = 0, 28 if data[4] == 2 else 24
    while data[at] == ord("r"):
        end = begin + int.from_bytes(data[at + 1:at + 4], "big")
        if not at + 6 <= end <= len(data):
            raise ValueError("a block that does not end")
        last = end - 2 - 3 * int.from_bytes(data[end - 2:end], "big")
        at, name = at + 4, b""
        while at < last:
            shared, at = _varint(data, at)
            more, at = _varint(data, at)
            name, at = name[:shared] + data[at:at + (more >> 3)], at + (more >> 3)
            if len(name) > NAME_MAX:
                raise ValueError("a name that is too long")
            _, at = _varint(data, at)  # when it was written
            kind = more & 7
            value = ""
            if kind in (_HASH, _HASH_AND_PEELED):
                value = data[at:at + digest].hex()
                at += digest * kind
            elif kind == _SYMBOLIC:
                length, at = _varint(data, at)
                value = "ref: " + data[at:at + length].decode("utf-8", "replace")
                at += length
            elif kind != _DELETED:
                raise ValueError("a reference of another kind")
            yield name, value
        begin = at = end
        if data[at] == 0 and size:  # filled up to the next block
            begin = at = -(-end // size) * size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where what follows it begins."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
        if value >> 40:
            raise ValueError("a number that is too large")
    return value, at + 1
