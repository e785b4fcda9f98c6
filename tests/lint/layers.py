"""Who may include whom. This table IS the architecture; ctest runs it."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# core module -> the core headers it may include (its own is implied).
MAY = {
    # ground
    "alloc": "", "bytes": "", "clock": "", "status": "", "varint": "", "blob": "",
    "arena": "",
    "buf": "varint",
    "json": "buf",
    "intern": "arena",
    "compress": "buf",
    "blob_put": "blob buf intern varint",
    # recording side
    "functions": "arena",
    "tree": "arena functions",
    "marks": "arena",
    "recording": "marks tree",
    "sampled": "recording",
    "blob_write": "blob blob_put compress recording varint",
    # reading side
    "profile": "arena",
    "blob_read": "blob buf compress profile varint",
    "hotpath": "buf",
    "rank": "",
    "report_put": "json",
    "report": "hotpath rank report_put",
    "report_lines": "report_put",
    "report_flame": "report_put",
    "report_calls": "calls report_put",
    "report_repeats": "report_put",
    "union": "",
    "merge": "blob blob_put compress union varint",
    "report_diff": "profile report_put union",
    "report_aggregate": "report_put union",
    "text": "buf hotpath rank",
    "calls": "",
    "layout": "",
    "export_callgrind": "buf calls",
    "export_chrome": "hotpath layout report_put",
    "export_dot": "buf calls hotpath",
    "export_gecko": "hotpath json layout",
    "export_html": "buf hotpath rank",
    "export_json": "report_put",
    "export_pprof": "buf varint",
    "export_collapsed": "buf hotpath",
    "export_pstats": "buf calls",
    "export_speedscope": "hotpath json layout",
}
RECORDING = {"recording", "marks", "sampled", "tree", "functions", "blob_write"}
READING = {
    "profile", "blob_read", "hotpath", "report_put", "report", "report_lines", "report_flame", "report_calls",
    "report_repeats", "text", "union", "merge", "report_diff", "report_aggregate",
}

# outside headers that have exactly one door
DOOR = {"uthash.h": "core/intern.c", "zstd.h": "core/compress.c"}
PYTHON = {"Python.h", "frameobject.h", "structmember.h", "opcode.h"}


def why_not(path: str, header: str, own: bool) -> str | None:
    """Why the file at `path` may not include `header`; None: it may."""
    top, stem = path.split("/")[0], pathlib.PurePath(path).stem
    name = header.removesuffix(".h")
    if header in DOOR and path != DOOR[header]:
        return f"{header} is only for {DOOR[header]}"
    if top in ("core", "include") and header in PYTHON:
        return f"{top}/ knows no Python"
    if top == "include" and not re.fullmatch(r"(slowlens/\w+|std\w+)\.h", header):
        return "public headers include only slowlens/*.h and std*.h"
    if top == "core":
        if stem not in MAY:
            return f"{stem} is not in the table of tests/lint/layers.py"
        if name in MAY and name != stem and own and name not in MAY[stem].split():
            return f"{stem} may not include {header}"
        if (stem in RECORDING and name in READING) or (stem in READING and name in RECORDING and own):
            return "the recording side and the reading side do not include each other"
    if top == "pymiddleware" and name in MAY and not header.startswith("slowlens/"):
        return "glue uses include/slowlens/ only"
    return None


def main() -> int:
    bad = []
    for top in ("include", "core", "pymiddleware/native"):
        for file in sorted((ROOT / top).rglob("*.[ch]")):
            path = file.relative_to(ROOT).as_posix()
            for n, line in enumerate(file.read_text().splitlines(), 1):
                m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if m and (why := why_not(path, m[2], "/" not in m[2] and m[1] == '"')):
                    bad.append(f"{path}:{n}: {why}")
                if re.search(r"PY_VERSION_HEX|PY_MINOR_VERSION", line) and file.name != "py_compat.h":
                    bad.append(f"{path}:{n}: version checks live in py_compat.h")
                if re.search(r"\b(exit|abort|printf)\s*\(", line) and top == "core" and "intern.c" not in path:
                    bad.append(f"{path}:{n}: the core neither ends nor prints")
    print("\n".join(bad) or "layers: fine")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
