"""Source lines for the viewer: of a profile's own functions, under the project's own folders, and of nothing else."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from itertools import islice

__all__ = ["read_lines", "roots"]

#: Lines before the definition, and at most after the last line with time.
BEFORE, AFTER = 2, 12
LINES_MAX = 1500
LINE_MAX = 500
FILE_MAX = 4 << 20


def roots() -> tuple[str, ...]:
    """Folders that hold the project's code: where the process runs and what it imports from, less what is
    installed."""
    installed = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    installed |= {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    found = [os.path.realpath(os.getcwd())]
    for path in sys.path:
        real = os.path.realpath(path or os.getcwd())
        if os.path.isdir(real) and not any(real == one or real.startswith(one + os.sep) for one in installed):
            found.append(real)
    return tuple(dict.fromkeys(path for path in found if path != os.sep))


def read_lines(file: str, first: int, last: int) -> tuple[list[tuple[int, str]], str | None]:
    """Lines around ``first`` to ``last`` of a file that a profile names, and why not (None: here they are).

    The name comes from a blob, which may come from anywhere: only regular ``.py`` files whose real path is
    under a root are opened.
    """
    real = os.path.realpath(file)
    if not file.startswith(os.sep) or not real.endswith(".py"):
        return [], "this function is in no Python file"
    if not any(real.startswith(root + os.sep) for root in roots()) or any(
            part in ("site-packages", "dist-packages") for part in real.split(os.sep)):
        return [], "this file is not under the project's folders"
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return [], f"this file cannot be read here: {error.strerror}"
    with open(fd, encoding="utf-8", errors="replace") as text:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > FILE_MAX:
            return [], "this file is too large to be shown"
        start = max(1, first - BEFORE)
        end = min(last + AFTER, start + LINES_MAX)
        lines = [line.rstrip("\n")[:LINE_MAX] for line in islice(text, start - 1, end)]
    # Up to the next definition at the same depth, if that comes before the end.
    depth = len(lines[first - start]) - len(lines[first - start].lstrip()) if first - start < len(lines) else 0
    for at in range(last - start + 1, len(lines)):
        line = lines[at]
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            lines = lines[:at]
            break
    return list(enumerate(lines, start)), None
