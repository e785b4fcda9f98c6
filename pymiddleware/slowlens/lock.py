"""A lock of the system's threads, whatever gevent or eventlet made of Python's.

For what the writer's thread, which has no hub to wait in, shares with requests.
What ``threading`` gives is a greenlet's lock under them, or becomes one later:
eventlet replaces each ``threading.RLock`` of a process, wherever it lies.
"""

from __future__ import annotations

import sys
import time
from _queue import Empty, SimpleQueue
from _thread import get_native_id
from types import BuiltinFunctionType

__all__ = ["Lock", "RLock", "ours"]

#: Threads of ours: a greenlet never runs there.
ours: set[int] = set()
#: How often a greenlet looks that waits.
LOOK_SECONDS = 0.002


class Lock:
    """Nothing that switches greenlets may run under it. Not reentrant. ``with lock:`` waits for as long as it takes."""

    def __init__(self) -> None:
        self._key: SimpleQueue[None] = SimpleQueue()
        self._key.put(None)

    def __enter__(self) -> None:
        self._key.get()

    def __exit__(self, *_: object) -> None:
        self._key.put(None)

    def acquire(self, seconds: float) -> bool:
        """False: not in time."""
        try:
            self._key.get(timeout=seconds)
        except Empty:
            return False
        return True

    def release(self) -> None:
        self._key.put(None)


def _who() -> int | tuple[int, int]:
    """The thread; the thread and the greenlet, where such wait for others without holding their thread up."""
    thread = get_native_id()
    if type(time.sleep) is BuiltinFunctionType or thread in ours:
        return thread
    greenlet = sys.modules.get("greenlet")
    return thread if greenlet is None else (thread, id(greenlet.getcurrent()))


class RLock:
    """Whoever has it may take it again. Under it a greenlet may switch to others, which wait as greenlets do."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: int | tuple[int, int] = 0
        self._depth = 0

    def __enter__(self) -> None:
        me = _who()
        if self._owner != me:
            self._take(isinstance(me, tuple))
            self._owner = me
        self._depth += 1

    def _take(self, is_greenlet: bool) -> None:
        if not is_greenlet:
            self._lock.__enter__()
            return
        while not self._lock.acquire(0):
            time.sleep(LOOK_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._lock.release()
