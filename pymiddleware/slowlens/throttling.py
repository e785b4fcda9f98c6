"""How long a CPU limit held this process back, as its control group counts (``cpu.stat``), where it has a limit.

A request that waits for a CPU waits for others, or for the next period of its container's quota: to the scheduler that
is one time (``run_queue_ns``), to whoever is to mend it two. The count is of the whole group, and adds up its CPUs; so
what is told of a request is no more than it waited for a CPU itself.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_limited", "prepare", "total_ns"]

#: Open file, name of the count in it, nanoseconds of a unit; None: there is no limit, or no way to know.
_count: tuple[int, bytes, int] | None = None
_prepared = False


def prepare(proc: str = "/proc/self") -> None:
    """Looks for the limit; once, and never raises."""
    global _count, _prepared
    if not _prepared:
        _prepared = True
        try:
            _count = _find(proc)
        except (OSError, ValueError):
            _count = None


def is_limited() -> bool:
    """Whether there is a limit whose count can be read."""
    return _count is not None


def total_ns() -> int:
    """So far; 0 where there is no limit. About 2 microseconds where there is one."""
    if _count is None:
        return 0
    fd, name, unit = _count
    try:
        text = os.pread(fd, 4096, 0)
    except OSError:
        return 0
    at = text.find(name)
    if at < 0:
        return 0
    return int(text[at + len(name):].split(b"\n", 1)[0]) * unit


def _find(proc: str) -> tuple[int, bytes, int] | None:
    groups: dict[str, str] = {}  # controller ("" with version 2) -> the group's path in its hierarchy
    for line in Path(proc, "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    for line in Path(proc, "mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields, _, more = line.partition(" - ")
        root, mount = fields.split(" ")[3:5]
        kind, _, options = more.split(" ", 2)
        if kind == "cgroup2" and "" in groups:
            found = _limited(root, mount, groups[""], "cpu.max", b"throttled_usec ", 1000)
        elif kind == "cgroup" and "cpu" in options.split(",") and "cpu" in groups:
            found = _limited(root, mount, groups["cpu"], "cpu.cfs_quota_us", b"throttled_time ", 1)
        else:
            continue
        if found is not None:
            return found
    return None


def _limited(root: str, mount: str, group: str, limit: str, name: bytes, unit: int) -> tuple[int, bytes, int] | None:
    """The nearest group, from the process's own upwards, that has a limit."""
    top = Path(mount)
    inside = os.path.relpath(group, root)
    at = top if inside.startswith("..") else top / inside
    while True:
        try:
            if (at / limit).read_text(encoding="utf-8").split()[0] not in ("max", "-1"):
                return os.open(at / "cpu.stat", os.O_RDONLY | os.O_CLOEXEC), name, unit
        except OSError:
            pass  # the topmost one has no such file
        if at == top:
            return None
        at = at.parent
