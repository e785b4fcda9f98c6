"""What a terminal needs: clean text, colours, width, progress."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from ..log import printable as clean

__all__ = ["Paint", "Progress", "clean", "fit", "width"]

_T = TypeVar("_T")


def width() -> int:
    """Columns of the terminal; where there is none, enough for long lines."""
    return shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 400


def fit(text: str, columns: int) -> str:
    """``text`` in so many columns, its middle left out."""
    if len(text) <= columns or columns < 8:
        return text
    head = (columns - 1) // 3
    return text[:head] + "…" + text[len(text) - (columns - 1 - head):]


class Paint:
    """Colours where they are wanted: a terminal, and ``NO_COLOR`` not set."""

    def __init__(self, choice: str) -> None:
        wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.on = choice == "always" or (choice == "auto" and wanted)

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text


class Progress(Generic[_T]):
    """Walks through ``items``, saying how far it is on a terminal when there are many."""

    def __init__(self, items: Sequence[_T], doing: str) -> None:
        self._items = items
        self._doing = doing

    def __iter__(self) -> Iterator[_T]:
        shown = len(self._items) >= 20 and sys.stderr.isatty()
        for number, item in enumerate(self._items, 1):
            if shown:
                print(f"\r{self._doing} {number}/{len(self._items)}", end="", file=sys.stderr, flush=True)
            yield item
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
