"""What several profiles say together: cohorts, explanations, budgets, regressions.

The statistics are the core's; here it is chosen what is compared, and said in
words. The command line, the viewer and the pytest plugin read the same functions.
"""

from __future__ import annotations


def short_path(file: str) -> str:
    """The last two parts of a path, ``books/views.py``: enough to find a file, and the same on each machine."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])
