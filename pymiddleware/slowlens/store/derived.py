"""Small files that are made of something else: read if they make sense, replaced as a whole, missed by nobody."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

__all__ = ["DAMAGED", "read_json", "write_json"]

#: What comes of reading, or making sense of, a file in which anything may stand: numbers beyond all numbers, brackets
#: within brackets without end.
DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def read_json(path: str) -> Any:
    """What the file says; None: it is not there, or damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except DAMAGED:
        return None


def write_json(path: str, value: object) -> bool:
    """False: it could not be written; next time, then."""
    temporary = path + ".new"
    with suppress(OSError):
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, separators=(",", ":")))  # dump() is Python, dumps() is C
        os.replace(temporary, path)
        return True
    return False
