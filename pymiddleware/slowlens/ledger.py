"""What became of a process's profiles, in numbers; and what is said, seldom, of those that went wrong."""

from __future__ import annotations

import logging
import time

from .log import late

__all__ = ["Ledger"]

COMPLAIN_EVERY = 60.0

_log = late("slowlens")


class Ledger:
    """Of one writer: its thread and requests count here, each its own."""

    def __init__(self) -> None:
        self.stored = self.dropped = self.failed = 0
        self._complained: dict[str, float] = {}

    def forget(self) -> None:
        """In the child of a fork: it says its own troubles, whatever its parent said."""
        self._complained = {}

    def complain(self, text: str, about: str = "store") -> None:
        """Once a minute: trouble with the store must not flood the log, nor hide behind other trouble."""
        now = time.monotonic()
        if now - self._complained.get(about, -COMPLAIN_EVERY) >= COMPLAIN_EVERY:
            self._complained[about] = now
            _log.error("%s (stored %d, failed %d, dropped %d)", text, self.stored, self.failed,
                       self.dropped, exc_info=_log.isEnabledFor(logging.DEBUG))
