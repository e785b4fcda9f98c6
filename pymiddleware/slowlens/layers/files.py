"""Files that are opened: that one is, and where. Never a name, which may be anybody's; reading is no call of Python."""

from __future__ import annotations

from . import Row

ROWS = (Row("io", "open", "file", "()=open", "name"),)
