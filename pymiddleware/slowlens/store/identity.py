"""What tells one store from all others, wherever it is moved to: 16 random bytes, in hexadecimal, in ``STORE/id``.

Numbers and trees that are copied on carry the name of the store that counted them, so they count once however often,
and on whichever way, they come.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress

__all__ = ["made_identity", "read_identity"]

_NAME = "id"
_TEXT = re.compile(rb"[0-9a-f]{32}\n?\Z")


def _read(root: str) -> bytes | None:
    """None: it was read, and is damaged. :raises OSError: it was not read."""
    fd = os.open(os.path.join(root, _NAME), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        text = os.read(fd, 64)
    finally:
        os.close(fd)
    return bytes.fromhex(text[:32].decode("ascii")) if _TEXT.match(text) else None


def read_identity(root: str) -> bytes | None:
    """None: it has none, it is damaged, or it is not for us to read."""
    try:
        return _read(root)
    except OSError:
        return None


def made_identity(root: str) -> bytes | None:
    """The store's; given to it now, if it had none and is ours: what another user wrote there (root, say) its owner
    could not read. None: it has none, or nobody but its owner can say.
    """
    try:
        found = _read(root)
        if found is not None:
            return found
        damaged = True
    except FileNotFoundError:
        damaged = False
    except OSError:
        return None  # it is there, and is whatever it was
    path = os.path.join(root, _NAME)
    making = f"{path}.{secrets.token_hex(4)}.new"
    with suppress(OSError):
        if os.stat(root).st_uid != os.geteuid():
            return None
        try:
            fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(fd, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(16) + "\n")
            if damaged:  # such as what a crash left
                os.replace(making, path)
            else:
                try:
                    os.link(making, path)  # of several who make it at once one is first
                except FileExistsError:
                    pass
                except OSError:  # there are no such links here
                    if not os.path.lexists(path):
                        os.replace(making, path)
        finally:
            with suppress(OSError):
                os.unlink(making)
    return read_identity(root)
