"""What the viewer answers with."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Response"]


class Response(NamedTuple):
    """What to answer. Header names are as they are sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
