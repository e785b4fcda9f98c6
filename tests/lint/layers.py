"""Who may include whom. This table IS the architecture; ctest runs it."""

import pathlib
import re
import sys
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]

# core module -> the core headers it may include (its own is implied).
MAY = {
    # ground
    "alloc": "", "bytes": "", "clock": "", "status": "", "varint": "", "blob": "", "vocabulary": "",
    "arena": "", "board": "",
    "buf": "varint",
    "json": "buf",
    "intern": "arena",
    "compress": "buf",
    "segment": "",
    "words": "",
    "blob_put": "blob buf intern varint",
    "histogram": "arena buf varint",
    "numbers": "compress histogram intern varint",
    # recording side
    "functions": "arena",
    "tree": "arena functions",
    "marks": "arena",
    "recording_data": "marks tree",
    "pending": "recording_data",
    "numbering": "recording_data",
    "recording": "pending recording_data",
    "sampled": "pending",
    "blob_write": "blob blob_put compress numbering varint",
    # reading side
    "profile": "arena",
    "blob_read": "blob buf compress profile varint",
    "rows_data": "compress words",
    "rows": "rows_data",
    "rows_meta": "blob rows_data varint",
    "rows_footer": "rows_data varint",
    "rows_scan": "json rows_data",
    "hotpath": "buf",
    "rank": "",
    "report_put": "json",
    "report": "hotpath rank report_put",
    "report_lines": "report_put",
    "report_flame": "report_put",
    "report_calls": "calls report_put",
    "report_repeats": "report_put",
    "report_numbers": "numbers report_put",
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
RECORDING = {"recording", "recording_data", "marks", "sampled", "pending", "numbering", "tree", "functions", "blob_write"}
READING = {
    "profile", "blob_read", "hotpath", "report_put", "report", "report_lines", "report_flame", "report_calls",
    "report_repeats", "text", "union", "merge", "report_diff", "report_aggregate",
}

# Folders in which no circle may be: how a file is named there (its module, its room). Headers are named
# from the area's folder. The folder that comes next adds its line.
AREAS: dict[str, Callable[[pathlib.Path], str]] = {
    "core": lambda file: file.stem,
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


def uses(area: str, name: Callable[[pathlib.Path], str]) -> dict[str, set[str]]:
    """Which module of an area uses which: whose header a file includes, whose functions it calls (whoever defines a
    function is used, whatever header declares it)."""
    files = {file: re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(), flags=re.S)
             for file in sorted((ROOT / area).rglob("*.[ch]"))}
    headers = {file.relative_to(ROOT / area).as_posix(): name(file) for file in files}
    defined = {function: name(file) for file, text in files.items() if file.suffix == ".c"
               for function in re.findall(r"^(sl_\w+)\(", text, re.M)}
    edges: dict[str, set[str]] = {}
    for file, text in files.items():
        used = {defined[word] for word in re.findall(r"\bsl_\w+", text) if word in defined and file.suffix == ".c"}
        used |= {headers[header] for header in re.findall(r'#\s*include\s*"([^"]+)"', text) if header in headers}
        edges.setdefault(name(file), set()).update(used - {name(file)})
    return edges


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle of the graph, as the modules on it; empty: there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module):], module]
        if module not in done:
            for below in sorted(edges.get(module, ())):
                if found := visit(below, [*path, module]):
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module, []))), [])


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
    bad += [f"{area}: a circle: {' > '.join(found)}" for area, name in AREAS.items() if (found := circle(uses(area, name)))]
    print("\n".join(bad) or "layers: fine")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
