"""A lock of the system's threads, whatever gevent or eventlet made of Python's.

For what the writer's thread, which has no hub to wait in, shares with requests.
Nothing that switches greenlets may run under it.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue

__all__ = ["Lock"]


class Lock:
    """Not reentrant. ``with lock:`` waits for as long as it takes."""

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
