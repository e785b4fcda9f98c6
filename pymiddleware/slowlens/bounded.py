"""A queue that takes so many things, and so many bytes of them; whether there is room is known without counting."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Bounded"]

T = TypeVar("T")


class Bounded(Generic[T]):
    """Any thread puts, one takes; no lock, so ``put`` is right in ``__del__`` too.

    Each entry knows the bytes of all that were put up to it: those of what waits are a difference of two. Of threads
    that put in the same moment one may be overlooked, until what is before it was taken.
    """

    def __init__(self) -> None:
        self._line: deque[tuple[T, int, int]] = deque()

    def __len__(self) -> int:
        return len(self._line)

    @property
    def bytes(self) -> int:
        """Of what waits."""
        try:
            first, last = self._line[0], self._line[-1]
        except IndexError:
            return 0
        return last[2] - first[2] + first[1]

    def put(self, thing: T, size: int, most: int, most_bytes: int) -> bool:
        """False: that would be more than ``most`` things, or ``most_bytes``. Alone any size finds room."""
        line = self._line
        try:
            first, last = line[0], line[-1]
        except IndexError:
            if most < 1:
                return False
            line.append((thing, size, size))
            return True
        total = last[2] + size
        if len(line) >= most or total - first[2] + first[1] > most_bytes:
            return False
        line.append((thing, size, total))
        return True

    def take(self) -> tuple[T, int]:
        """The one that has waited longest, and its bytes. :raises IndexError: none waits."""
        thing, size, _ = self._line.popleft()
        return thing, size

    def drop(self) -> T:
        """The one that came last. :raises IndexError: none waits."""
        return self._line.pop()[0]
