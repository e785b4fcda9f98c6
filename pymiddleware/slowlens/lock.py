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


class Lock(SimpleQueue[None]):
    """Nothing that switches greenlets may run under it. Not reentrant. ``with lock:`` waits for as long as it takes.

    It is a queue with one thing in it while nobody has it, and its methods are that queue's own, in C: a handler of
    signals that raises (a time limit of the application's) finds no step of Python's between having the lock and being
    in the block that gives it back. (But on 3.14, which looks for signals between ``__enter__`` and the block, whatever
    the lock.) What is put back may be an exception's type; nobody looks at it.
    """

    def __init__(self) -> None:
        self.put(None)

    __enter__ = SimpleQueue.get
    __exit__ = SimpleQueue.put  # (type, exception, traceback) stand where (item, block, timeout) do

    def acquire(self, seconds: float) -> bool:
        """False: not in time."""
        try:
            self.get(timeout=seconds)
        except Empty:
            return False
        return True

    def release(self) -> None:
        self.put(None)


def _who() -> int | tuple[int, int]:
    """The thread; the thread and the greenlet, where such wait for others without holding their thread up."""
    thread = get_native_id()
    if type(time.sleep) is BuiltinFunctionType or thread in ours:
        return thread
    greenlet = sys.modules.get("greenlet")
    return thread if greenlet is None else (thread, id(greenlet.getcurrent()))


class RLock(SimpleQueue[None]):
    """Whoever has it may take it again. Under it a greenlet may switch to others, which wait as greenlets do.

    Each end of a ``with`` puts one thing into the queue, in C (see ``Lock``); who comes next finds as many as it was
    taken.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._owner: int | tuple[int, int] = 0
        self._taken = 0
        self._last: object = None  # who took it last, while it may still be interrupted
        self._nothing: SimpleQueue[None] = SimpleQueue()

    __exit__ = SimpleQueue.put

    def __enter__(self) -> None:
        me, token = _who(), object()
        try:
            while not (done := self._take(me, token)):
                if done is None:
                    continue
                if isinstance(me, tuple):
                    time.sleep(LOOK_SECONDS)
                else:
                    self._wait()
        except BaseException:
            if self._last is token:
                self.put(None)
            raise

    def _take(self, me: int | tuple[int, int], token: object) -> bool | None:
        """None: once more. No loop stands under the guard: 3.13 runs no ``__exit__`` for what a jump back raises."""
        with self._guard:
            if self._taken and self.qsize():
                self._taken -= 1
                self.get()
                return None
            if self._taken and self._owner != me:
                return False
            self._owner = me
            self._taken += 1
            self._last = token
        return True

    def _wait(self) -> None:
        """What ``time.sleep`` is in a thread where it may have been patched."""
        try:
            self._nothing.get(timeout=LOOK_SECONDS)
        except Empty:
            pass
