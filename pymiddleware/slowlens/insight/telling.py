"""One line in the log for each release: what became worse with it, or a day later that nothing did.

Processes of a store look once an hour, one of them for all; who finds something says it, once. Only folder stores know
who has said it; over others ``slowlens regressions`` tells.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from contextlib import suppress

from ..log import late, printable
from ..store import Store, StoreError
from .regressions import HOUR, WINDOW, regressions

__all__ = ["are_commits", "line", "tell"]

_log = late("slowlens")

#: Routes that the line names; the command has all.
NAMED = 3
LEASE_S = 0.9 * HOUR
#: Marks of releases are kept so long.
KEPT_S = 60 * 86400


def are_commits(*releases: str) -> bool:
    """Whether all of them are git's names of commits."""
    return all(re.fullmatch(r"[0-9a-f]{7,40}", one) for one in releases)


def line(store: Store, release: str, now_s: float) -> tuple[bool, str] | None:
    """Whether something became worse with this release, and the line that says so. None: nothing can be said yet."""
    try:
        found = regressions(store, release, since_s=int(now_s) - (2 * WINDOW + 2) * HOUR)
    except StoreError:
        return None  # the only one, or of long ago
    (one,) = found["releases"][:1] or (None,)
    if one is None or not (one["routes"] or one["complete"]):
        return None
    when = time.strftime("%Y-%m-%d %H:00", time.localtime(one["since"]))
    head = f"release {release} since {when}, after {one['previous']}"
    if not one["routes"]:
        return False, f"{head}: nothing became worse that can be told after a day"
    rows = [row["text"] for row in one["routes"]]
    more = f" (and {len(rows) - NAMED} more)" if len(rows) > NAMED else ""
    # The app runs no git; whoever reads it may.
    by = f"; git log --oneline {one['previous']}..{release}" if are_commits(one["previous"], release) else ""
    return True, f"{head}: {' | '.join(rows[:NAMED])}{more}; slowlens regressions --release {release}{by}"


def tell(store: Store, release: str, now_s: float | None = None) -> bool:
    """Looks, if nobody has within the hour, and says it once. Whether it was said now. Never raises.

    Folder stores only.
    """
    now = time.time() if now_s is None else now_s
    root = getattr(store, "root", "")
    if not root or not os.path.isdir(root):
        return False
    try:
        folder = os.path.join(root, "told")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        mark = os.path.join(folder, hashlib.sha256(release.encode("utf-8", "replace")).hexdigest()[:32])
        if os.path.exists(mark) or not _is_ours(os.path.join(folder, "looked"), now):
            return False
        found = line(store, release, now)
        if found is None:
            return False
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        _tidy(folder, now)
    except FileExistsError:
        return False  # another one was quicker
    except OSError as error:
        _log.debug("slowlens: releases cannot be compared: %s", error)
        return False
    worse, text = found
    _log.log(logging.WARNING if worse else logging.INFO, "slowlens: %s", printable(text))
    return True


def _is_ours(path: str, now: float) -> bool:
    """Whether nobody has looked within the hour; then this one does."""
    with suppress(FileNotFoundError):
        if now - os.stat(path).st_mtime < LEASE_S:
            return False
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    os.utime(path, (now, now))
    return True


def _tidy(folder: str, now: float) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(OSError):
            if now - os.stat(path).st_mtime > KEPT_S:
                os.unlink(path)
