"""Programs that are started: their names, never their arguments."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("subprocess", "run", "process", "popenargs[0]", "command", whole=True),
    Row("subprocess", "call", "process", "popenargs[0]", "command", whole=True),
    Row("subprocess", "Popen.__init__", "process", "args", "command", whole=True),
    Row("os", "system", "process", "()", "command"),
)
