"""Descriptors that are kept: of a file that stays open for as long as the process runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["kept", "standard_streams"]


def kept(fd: int) -> int:
    """``fd``, or the same file above those of the standard streams. Where a daemon has closed these, the next file
    that is opened gets their numbers, and what anybody writes to stderr (the interpreter, a library in C) would be
    written into it.

    Called before a lock is taken: closing one descriptor gives up what the process has locked of a file.

    :raises OSError: no more descriptors; ``fd`` is closed then.
    """
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


@contextmanager
def standard_streams() -> Iterator[None]:
    """In the block none of their numbers is free: for what opens its descriptor itself."""
    taken = []
    try:
        with suppress(OSError):  # no /dev/null in a chroot, or no descriptor left: as it was
            while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
                taken.append(fd)
            os.close(fd)
        yield
    finally:
        for fd in taken:
            os.close(fd)
