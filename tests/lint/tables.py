"""What follows from core's tables: the lists in core/README.md, the typed dictionaries of _core.pyi.

    python3 tests/lint/tables.py            fails when one of them is out of step
    python3 tests/lint/tables.py --write    writes them

The tables are the X-macros of include/slowlens (meta.h, metric.h, export.h); nothing of them is written twice by hand.
"""

from __future__ import annotations

import pathlib
import re
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include/slowlens"


class Row(NamedTuple):
    arguments: list[str]

    def text(self, i: int) -> str:
        return self.arguments[i].strip().strip('"').replace('\\"', '"')


def rows(header: str, macro: str) -> list[Row]:
    """The arguments of each XX(...) of one table."""
    text = (INCLUDE / header).read_text()
    body = re.search(rf"#define {macro}\(XX\)(.*?[^\\])\n", text, re.S)
    assert body is not None, macro
    code = re.sub(r"/\*.*?\*/", "", body[1].replace("\\\n", " "), flags=re.S)
    found = []
    for call in re.finditer(r'XX\(((?:"(?:[^"\\]|\\.)*"|[^()"])*)\)', code):
        parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', call[1])
        found.append(Row([re.sub(r'"\s+"', "", part.strip()) for part in parts]))
    assert found, macro
    return found


def table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


UNITS = {"NS": "ns", "COUNT": "count", "BYTES": "bytes", "NONE": ""}
TYPES = {"TEXT": "str", "NUMBER": "int"}


def keys(macro: str) -> str:
    return table(["key", "", "unit", "what it is"],
                 [[f"`{row.text(0)}`", TYPES[row.text(1)], UNITS[row.text(2)], row.text(4)]
                  for row in rows("meta.h", macro)])


def metrics() -> str:
    return table(["number", "key", "unit", "in", "title", "what it is"],
                 [[row.text(1), f"`{row.text(2)}`", UNITS[row.text(3)], row.text(4), row.text(5), row.text(6)]
                  for row in rows("metric.h", "SL_METRIC_MAP")])


def exports() -> str:
    return table(["name", "ending", "media type", "title", "counts"],
                 [[f"`{row.text(0)}`", f"`{row.text(1)}`", row.text(2), row.text(3), row.text(4) or "-"]
                  for row in rows("export.h", "SL_EXPORT_MAP")])


def findings() -> str:
    return table(["word", "title", "what people do about it"],
                 [[f"`{row.text(1)}`", row.text(2), row.text(3)] for row in rows("finding.h", "SL_FINDING_MAP")])


def typed(name: str, macro: str) -> str:
    lines = [f"class {name}(TypedDict, total=False):"]
    lines += [f"    {row.text(0)}: {TYPES[row.text(1)]}" for row in rows("meta.h", macro)]
    return "\n".join(lines) + "\n"


def node_metrics() -> str:
    """Rows of tree() and functions(), and summary()'s `metrics`, have some of these."""
    lines = ["class NodeMetrics(TypedDict, total=False):"]
    lines += [f"    {row.text(2)}: int" for row in rows("metric.h", "SL_METRIC_MAP")]
    return "\n".join(lines) + "\n"


# file, name of the part, comment marks, what stands there
PARTS = [
    ("core/README.md", "metadata", ("<!-- ", " -->"), lambda: keys("SL_META_MAP")),
    ("core/README.md", "summary", ("<!-- ", " -->"), lambda: keys("SL_SUMMARY_MAP")),
    ("core/README.md", "metrics", ("<!-- ", " -->"), metrics),
    ("core/README.md", "exports", ("<!-- ", " -->"), exports),
    ("core/README.md", "findings", ("<!-- ", " -->"), findings),
    ("pymiddleware/slowlens/_core.pyi", "metadata", ("# ", ""), lambda: typed("Meta", "SL_META_MAP")),
    ("pymiddleware/slowlens/_core.pyi", "summary", ("# ", ""), lambda: typed("Summary", "SL_SUMMARY_MAP")),
    ("pymiddleware/slowlens/_core.pyi", "metrics", ("# ", ""), node_metrics),
]


def main() -> int:
    bad = 0
    for path, name, (opening, closing), make in PARTS:
        file = ROOT / path
        text = file.read_text()
        begin = f"{opening}{name}: made by tests/lint/tables.py{closing}\n"
        end = f"{opening}end of {name}{closing}\n"
        assert begin in text and end in text, f"{path}: no place for {name}"
        head, rest = text.split(begin)
        tail = rest.split(end, 1)[1]
        wanted = head + begin + make() + end + tail
        if wanted == text:
            continue
        if "--write" in sys.argv:
            file.write_text(wanted)
            continue
        print(f"{path}: {name} is not what the tables say; run tests/lint/tables.py --write")
        bad += 1
    print("tables: fine" if not bad else f"{bad} out of step")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
