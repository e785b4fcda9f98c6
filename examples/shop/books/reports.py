"""The sales report: where the shop is slow, and the same repaired.

The story is the one that articles about profiling tell: a settings-like
structure is deep-copied for every row "to be safe", nobody notices in
development, and in production the page takes a second.
"""

import copy
from typing import Any

Row = dict[str, Any]

#: How a row of the report looks before anything is filled in. Large, and never changed.
TEMPLATE: Row = {
    "book": None,
    "totals": {"sold": 0, "returned": 0, "revenue": 0},
    "months": {month: {"sold": 0, "revenue": 0, "weeks": [0, 0, 0, 0, 0]} for month in range(1, 13)},
    "channels": {name: {"sold": 0, "rank": None} for name in ("web", "shop", "phone", "fair")},
    "notes": [],
}


def fill(row: Row, book: Any) -> Row:
    """Puts a book's numbers into a row."""
    row["book"] = book.title
    row["totals"]["sold"] = book.year % 97
    row["totals"]["revenue"] = float(book.price) * (book.year % 97)
    return row


def build(books: Any) -> list[Row]:
    """One row a book, each in a copy of the template of its own."""
    rows = []
    for book in books:
        row = copy.deepcopy(TEMPLATE)
        rows.append(fill(row, book))
    return rows


def build_repaired(books: Any) -> list[Row]:
    """The same report: only what a row changes is made anew, the rest is shared."""
    rows = []
    for book in books:
        row = {**TEMPLATE, "totals": dict(TEMPLATE["totals"])}
        rows.append(fill(row, book))
    return rows
