"""How old something is, when clocks may jump.

A segment says under which clock it was begun: the wall clock's and the
kernel's time since boot. Within one boot its age is what the kernel counted,
whatever the wall clock says meanwhile. After a reboot there is only the wall
clock; when that is a day or more from where it was left, it must have held for
a day before anything is deleted by it.
"""

from __future__ import annotations

import os
import time

from .derived import DAMAGED, read_json, write_json
from .segments import JUMP_NS, Begin, boot_id, boottime_ns

__all__ = ["Clock"]

DAY_NS = 86400 * 10**9


class Clock:
    """Read and written under gc.lock: ``STORE/clock.json``."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, "clock.json")
        self._boot = boot_id()
        self._trusted = False

    def look(self) -> None:
        """Whether the wall clock can be believed about other boots, now."""
        boottime, realtime = boottime_ns(), time.time_ns()
        boot = self._boot.hex()
        before = read_json(self._path)
        try:
            seen_boot, seen_boottime, seen_realtime, since = (
                str(before["boot"]), int(before["boottime"]), int(before["realtime"]), int(before["since"]))
        except DAMAGED:
            seen_boot, seen_boottime, seen_realtime, since = boot, boottime, realtime, boottime - DAY_NS
        passed = realtime - seen_realtime
        if seen_boot != boot:
            since = boottime - DAY_NS if -JUMP_NS <= passed <= DAY_NS else boottime
        elif abs(passed - (boottime - seen_boottime)) > JUMP_NS:
            since = boottime  # it jumped
        self._trusted = boottime - since >= DAY_NS
        stale = seen_boot != boot or boottime - seen_boottime > 60 * 10**9 or since == boottime
        if stale or not os.path.exists(self._path):
            write_json(self._path, {"boot": boot, "boottime": boottime, "realtime": realtime, "since": since})

    def age_ns(self, begin: Begin | None, newest_ms: int) -> int:
        """Of what was newest in a segment; 0: not known, so young."""
        newest = newest_ms * 1_000_000
        if begin is not None and begin.boot == self._boot and any(self._boot):
            return boottime_ns() - begin.boottime + begin.realtime - newest
        return time.time_ns() - newest if self._trusted else 0
