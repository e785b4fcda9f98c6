"""One line for each slow request, no more than a reader can follow."""

from __future__ import annotations

import logging
import time
from typing import Any

__all__ = ["SlowLog", "slow_line"]

logging.getLogger("slowlens").addHandler(logging.NullHandler())
_slow = logging.getLogger("slowlens.slow")

BURST = 20.0
PER_SECOND = 2.0


def clean(text: str) -> str:
    """``text`` without characters that could forge a line or move a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:500])


def slow_line(meta: dict[str, Any], hot: str, link: str) -> str:
    """``GET /books/<int:pk> 200 812 ms (cpu 340, await 12) views.detail > copy.deepcopy 76% LINK``"""
    parts = [f"cpu {meta['cpu_ns'] / 1e6:.0f}"] if "cpu_ns" in meta else []
    waits = ("blocked", "gil_wait") if "blocked_ns" in meta else ("waiting",)
    for name in (*waits, "await", "loop", "gc"):
        if meta.get(name + "_ns", 0) >= 1_000_000:
            parts.append(f"{name.replace('_wait', '')} {meta[name + '_ns'] / 1e6:.0f}")
    where = clean(meta.get("route") or meta["path"])
    held = ""
    if meta.get("held_ns", 0) > meta["wall_ns"] / 10:
        held = f" [event loop held up {meta['held_ns'] / 1e6:.0f} ms by {clean(meta['held_by'])}]"
    return (
        f"{clean(meta['method'])} {where} {meta['status'] or '-'} {meta['wall_ns'] / 1e6:.0f} ms "
        f"({', '.join(parts)}) {clean(hot)}{held} {link}"
    ).rstrip()


class SlowLog:
    """Rate-limited: a burst, then two lines a second; what was left out is counted."""

    def __init__(self) -> None:
        self._budget = BURST
        self._at = time.monotonic()
        self.suppressed = 0

    def write(self, meta: dict[str, Any], hot: str, link: str) -> None:
        now = time.monotonic()
        self._budget = min(BURST, self._budget + (now - self._at) * PER_SECOND)
        self._at = now
        if self._budget < 1:
            self.suppressed += 1
            return
        self._budget -= 1
        line = slow_line(meta, hot, link)
        if self.suppressed:
            line += f" (+{self.suppressed} slow requests not logged)"
            self.suppressed = 0
        extra = {key: value for key, value in meta.items() if not key.startswith("tag.")}
        _slow.warning("%s", line, extra={"slowlens": {**extra, "hot_path": hot}})
