"""Whether a folder is ours alone to write into: nobody else may have put it, or a link, where we expect it."""

from __future__ import annotations

import os
import stat

__all__ = ["make_folders", "make_private", "untrusted"]


def untrusted(path: str) -> str | None:
    """Why what is written below ``path`` could land in, or be swapped by, other hands; None: it could not.

    Looks at every folder on the way, as far as they exist: each belongs to us or to root, and none that others may
    write to lacks the sticky bit.
    """
    me = os.geteuid()
    at = os.path.abspath(path)
    way = [at]
    while os.path.dirname(at) != at:
        at = os.path.dirname(at)
        way.append(at)
    for folder in reversed(way):
        try:
            info = os.lstat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None  # made by us, private, later; or it cannot be, and the store says so
        except OSError as error:
            return f"{folder} cannot be looked at: {error.strerror}"
        if info.st_uid not in (me, 0):
            what = "is a link that" if stat.S_ISLNK(info.st_mode) else "is a folder that"
            return f"{folder} {what} belongs to another user (uid {info.st_uid})"
        if stat.S_ISLNK(info.st_mode):
            why = untrusted(os.path.realpath(folder))
            if why is not None:
                return why
        elif folder != path and stat.S_ISDIR(info.st_mode) and info.st_mode & 0o002 and not info.st_mode & stat.S_ISVTX:
            return f"{folder} can be written by every user"
    return None


def make_private(path: str) -> None:
    """Makes one folder for this user alone, if it is not there; who came first is :func:`untrusted`'s question."""
    try:
        os.mkdir(path, 0o700)
    except OSError:
        pass


def make_folders(root: str) -> None:
    """As makedirs, but private whatever the umask says, all the way down. :raises OSError:"""
    missing = []
    path = root
    while not os.path.isdir(path):
        missing.append(path)
        parent = os.path.dirname(path)
        if parent == path:
            break
        path = parent
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
