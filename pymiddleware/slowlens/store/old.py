"""The first version's layout: a file a profile. Read, and moved over; never written.

    STORE/blobs/20261121/09/01k...xyz.slowlens
    STORE/index.sqlite3, STORE/tmp/            no longer used
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from ..request import ID

__all__ = ["files_of", "remove_rest"]

SUFFIX = ".slowlens"


def files_of(root: str) -> Iterator[tuple[str, str]]:
    """(id, path) of every profile, oldest folder first."""
    top = os.path.join(root, "blobs")
    if not os.path.isdir(top):
        return
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            profile_id = name.removesuffix(SUFFIX)
            if name.endswith(SUFFIX) and ID.match(profile_id):
                yield profile_id, os.path.join(folder, name)


def remove_rest(root: str) -> None:
    """Folders and files that are empty or of no use any more, once no profile is left in them."""
    for folder, _, names in os.walk(os.path.join(root, "blobs"), topdown=False):
        if not names:
            with suppress(OSError):
                os.rmdir(folder)
    if os.path.isdir(os.path.join(root, "blobs")):
        return  # an older slowlens still writes here
    for name in ("index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"):
        with suppress(OSError):
            os.unlink(os.path.join(root, name))
    with suppress(OSError):
        os.rmdir(os.path.join(root, "tmp"))
