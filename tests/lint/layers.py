"""Who may include whom. This table IS the architecture; ctest runs it."""

import ast
import pathlib
import re
import sys
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]

# core module -> the core headers it may include (its own is implied).
MAY = {
    # ground
    "alloc": "", "bytes": "", "clock": "", "status": "", "varint": "", "blob": "", "vocabulary": "",
    "arena": "", "board": "", "hash": "", "utf8": "", "cost": "",
    "buf": "varint",
    "json": "buf utf8",
    "intern": "arena hash",
    "compress": "buf",
    "segment": "",
    "words": "",
    "label": "buf utf8",
    "outline": "",
    "hotpath": "buf outline", "hotpath_names": "hotpath label",
    "findings_places": "hotpath outline",
    "findings_layers": "findings_places",
    "findings_spread": "findings_places",
    "findings_asked": "findings_places",
    "findings_held": "findings_places",
    "findings_work": "findings_places",
    "findings": "buf findings_asked findings_held findings_layers findings_places findings_spread findings_work",
    "findings_text": "findings label",
    "findings_headline": "findings_text",
    "findings_advice": "findings",
    "summary": "blob_put buf findings hotpath label",
    "blob_put": "blob buf intern utf8 varint",
    "histogram": "arena buf varint",
    "numbers": "arena histogram",
    "numbers_read": "buf compress numbers varint",
    "numbers_write": "buf compress intern numbers varint",
    "journal": "varint",
    "sql_lexer": "utf8",
    "sql_shape": "sql_lexer",
    # recording side
    "functions": "arena",
    "tree": "arena functions",
    "cells": "hash",
    "hits": "cells",
    "stretches": "",
    "kept": "hash utf8", "spans": "arena hash kept",
    "recording_data": "cells hits spans stretches tree",
    "pending": "recording_data",
    "numbering": "recording_data",
    "span": "recording_data",
    "recording": "pending recording_data",
    "sampled": "pending",
    "freeze": "recording_data",
    "blob_write": "blob blob_put compress cost numbering summary varint",
    # reading side
    "profile": "arena blob cost outline",
    "blob_read": "blob buf compress profile utf8 varint",
    "rows_data": "compress words",
    "rows": "rows_data",
    "rows_meta": "blob rows_data varint",
    "rows_footer": "rows_data varint",
    "rows_scan": "json rows_data",
    "rows_worst": "json rows_data",
    "rows_routes": "json rows_data",
    "rank": "",
    "labels": "label",
    "stacks": "",
    "layout": "",
    "calls": "",
    "report_put": "json",
    "report": "findings profile rank report_put summary",
    "report_lines": "report_put",
    "report_flame": "report_put",
    "report_calls": "calls report_put",
    "report_repeats": "report_put report_spans",
    "report_spans": "report_put",
    "report_numbers": "numbers report_put",
    "union_spans": "arena blob hash intern",
    "union": "arena hash union_spans",
    "blob_meta": "blob blob_put compress varint",
    "merge": "blob blob_put compress summary union varint",
    "gather": "arena merge union",
    "report_asked": "json report_put",
    "report_diff": "report_asked report_put union",
    "report_aggregate": "report_asked report_put union",
    "cohort": "",
    "report_counts": "cohort findings json label report_put",
    "report_cohort": "cohort findings label profile report_counts report_put union",
    "text": "buf label labels rank",
    "framed": "label profile",
    "exporters": "buf",
    "export": "exporters framed",
    # any export_NAME
    "export_*": "calls exporters json label labels layout profile rank report_put stacks summary text varint",
}
RECORDING = set("""
    recording recording_data cells hits stretches kept spans span sampled pending numbering tree functions blob_write
""".split())
READING = set("""
    profile blob_read calls labels layout stacks exporters export report_put report report_lines report_flame
    report_calls report_repeats report_spans text union union_spans merge gather report_asked report_diff
    report_aggregate report_cohort report_counts framed
""".split())

# The rooms of the glue, from the bottom up: a room uses those before it, and itself. What must go up is a pointer
# that the upper room registers.
ROOMS = "compat look board sampler engine run types".split()

# The Python package: what a unit (a module, or a folder of them) may import of slowlens when it is imported itself, its
# own folder aside. What a function imports when it is called does not count: that is how the top is reached from below
# (a viewer that nobody asked for is never loaded).
PACKAGE = {
    "_core": "", "log": "", "options": "", "pytest_plugin": "", "reftable": "", "release": "reftable", "routes": "",
    "interpreter": "", "peer": "", "slowlens": "interpreter", "throttling": "",
    "request": "_core",
    "ownership": "_core", "spans": "_core",
    "layers": "_core",
    "bounded": "", "descriptor": "", "lock": "", "engine": "_core interpreter layers lock ownership throttling",
    "board": "_core descriptor engine lock store",
    "auth": "log options peer request",
    "hello": "log options slowlens",
    "policy": "auth log options request",
    "store": "_core descriptor lock options request",
    "insight": "_core log options request store",
    "live": "_core board store",
    "killed": "_core board live lock request routes store",
    "gathering": "_core bounded engine store",
    "process": "_core engine",
    "ledger": "log",
    "job": "_core engine gathering store",
    "sinks": "ledger log options store",
    "writer": "_core board bounded engine gathering job killed ledger lock log options process sinks store",
    "recorder": "_core auth board engine hello layers log options ownership policy release request routes store "
                "throttling writer",
    "viewer": "_core auth board insight killed live log options request slowlens store",
    "otel": "_core log recorder",
    "routing": "_core recorder routes",
    "wsgi": "_core recorder request routes routing viewer",
    "asgi": "_core hello recorder request routes routing viewer",
    "task": "_core recorder request spans",
    "queues": "task",
    "flask": "recorder request routes routing wsgi",
    "django": "_core asgi auth cli engine log options recorder request routes store viewer wsgi",
    "cli": "_core auth board engine insight killed live log options request slowlens store",
    "__main__": "cli",
}

# Folders in which no circle may be: how a file is named there (its module, its room). Headers are named
# from the area's folder. The folder that comes next adds its line.
# Whichever is built is the other half of engine.h, of calls.h.
ENGINES = {"monitoring": "engine", "setprofile": "engine", "no_calls": "calls"}
AREAS: dict[str, Callable[[pathlib.Path], str]] = {
    "core": lambda file: file.stem,
    "pymiddleware/native": lambda file: f"{file.parent.name}/{ENGINES.get(file.stem, file.stem)}",
}

# outside headers that have exactly one door
DOOR = {"uthash.h": "core/intern.c", "zstd.h": "core/compress.c"}
PYTHON = {"Python.h", "frameobject.h", "structmember.h", "opcode.h"}


def room_of(header: str) -> str | None:
    """The room of the glue that a header is of; None: it is of no room."""
    room = header.split("/")[0]
    return room if room in ROOMS and "/" in header else None


def why_not(path: str, header: str, own: bool) -> str | None:
    """Why the file at `path` may not include `header`; None: it may."""
    top, stem = path.split("/")[0], pathlib.PurePath(path).stem
    module = "export_*" if top == "core" and stem.startswith("export_") else stem
    name = header.removesuffix(".h")
    if header in DOOR and path != DOOR[header]:
        return f"{header} is only for {DOOR[header]}"
    if top in ("core", "include") and header in PYTHON:
        return f"{top}/ knows no Python"
    if top == "include" and not re.fullmatch(r"(slowlens/\w+|std\w+)\.h", header):
        return "public headers include only slowlens/*.h and std*.h"
    if top == "core":
        if module not in MAY:
            return f"{stem} is not in the table of tests/lint/layers.py"
        if name in MAY and name != stem and own and name not in MAY[module].split():
            return f"{stem} may not include {header}"
        if (stem in RECORDING and name in READING) or (stem in READING and name in RECORDING and own):
            return "the recording side and the reading side do not include each other"
    if top == "pymiddleware" and ROOMS.index(room_of(header) or "compat") > ROOMS.index(path.split("/")[2]):
        return f"{path.split('/')[2]}/ may not use {header}: what must go up is registered"
    if top == "pymiddleware" and header.startswith("internal/") and path != "pymiddleware/native/compat/py_compat.h":
        return "the interpreter's insides are compat/'s"
    if top == "pymiddleware" and "/" not in header and own and not header.startswith("slowlens/"):
        return "headers are named by their room"
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


def upward(edges: dict[str, set[str]]) -> list[str]:
    """What the glue's files use of a room above their own, by whatever declaration."""
    return [f"pymiddleware/native/{file}: uses {other}, which is above it: what must go up is registered"
            for file, used in sorted(edges.items()) for other in sorted(used)
            if ROOMS.index(other.split("/")[0]) > ROOMS.index(file.split("/")[0])]


# ---- the Python package ----


def at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, but for those that only a type checker sees."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.unparse(statement.test):
            yield from at_import(statement.body + statement.orelse)
        elif isinstance(statement, ast.Try):
            yield from at_import(statement.body + [inner for handler in statement.handlers for inner in handler.body])


def imports(root: pathlib.Path) -> dict[str, set[str]]:
    """Module of the package -> those of it that it imports when it is imported itself."""
    files = {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
             for file in sorted(root.rglob("*.py"))}
    files["slowlens"] = files.pop("__init__")
    edges: dict[str, set[str]] = {}
    for module, file in files.items():
        here = [] if module == "slowlens" else module.split(".")[: None if file.name == "__init__.py" else -1]
        edges[module] = used = set()
        for statement in at_import(ast.parse(file.read_text()).body):
            if not isinstance(statement, ast.ImportFrom) or not statement.level:
                continue
            base = [*here[: len(here) - statement.level + 1], *(statement.module or "").split(".")]
            found = ".".join(filter(None, base))
            for name in statement.names:
                inner = f"{found}.{name.name}".lstrip(".")
                used.add(inner if inner in files or inner == "_core" else found or "slowlens")
        used.discard(module)
    return edges


def package_bad(edges: dict[str, set[str]]) -> list[str]:
    bad = []
    for module, used in edges.items():
        unit = module.split(".")[0]
        if unit not in PACKAGE:
            bad.append(f"pymiddleware/slowlens: {unit} is not in the table of tests/lint/layers.py")
            continue
        for other in sorted({name.split(".")[0] for name in used} - {unit} - set(PACKAGE[unit].split())):
            bad.append(f"pymiddleware/slowlens: {module} may not import {other} when it is imported")
    if found := circle(edges):
        bad.append(f"pymiddleware/slowlens: a circle: {' > '.join(found)}")
    return bad


# Modules of core whose tests are another one's. Else X.c has tests/c/test_X.c, or its family has (report_*: report).
TESTED = {"alloc": "arena", "bytes": "buf", "framed": "export", "kept": "span", "labels": "label", "rank": "hotpath",
          "spans": "span", "summary": "profile", "tree": "recording", "union": "merge", "union_spans": "merge"}


def untested() -> list[str]:
    """Modules of core that have no file of tests, and files of tests that no suite runs."""
    there = {file.stem.removeprefix("test_") for file in (ROOT / "tests/c").glob("test_*.c")}
    suites = set(re.findall(r"\w+", (ROOT / "tests/CMakeLists.txt").read_text()))
    bad = [f"tests/c/test_{name}.c: no suite of tests/CMakeLists.txt" for name in sorted(there - suites)]
    for file in sorted((ROOT / "core").glob("*.c")):
        families = {file.stem[:at.start()] for at in re.finditer(r"_|$", file.stem)}
        if not families & there and TESTED.get(file.stem) not in there:
            bad.append(f"core/{file.name}: no tests/c/test_{file.stem}.c")
    grown = (ROOT / "tests/c/growth.c").read_text()
    for header in ("report", "merge", "gather"):  # of hostile files: none may be more than linear
        bad += [f"tests/c/growth.c: {name} of {header}.h is not measured" for name in sorted(set(re.findall(
            r"^sl_status (sl_\w+)\(", (ROOT / f"include/slowlens/{header}.h").read_text(), re.M))) if name not in grown]
    return bad + [f"layers.py: {name} has a file of tests of its own" for name in sorted(TESTED) if name in there]


def main() -> int:
    bad = untested()
    for top in ("include", "core", "pymiddleware/native"):
        for file in sorted((ROOT / top).rglob("*.[ch]")):
            path = file.relative_to(ROOT).as_posix()
            if not file.read_text().startswith("/* "):
                bad.append(f"{path}: its first line does not say what it is")
            for n, line in enumerate(file.read_text().splitlines(), 1):
                m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if m and (why := why_not(path, m[2], "/" not in m[2] and m[1] == '"')):
                    bad.append(f"{path}:{n}: {why}")
                if re.search(r"PY_VERSION_HEX|PY_MINOR_VERSION", line) and file.name != "py_compat.h":
                    bad.append(f"{path}:{n}: version checks live in py_compat.h")
                if re.search(r"\bPyImport_(GetModuleDict|AddModule\w*)\b", line) and file.name != "py_compat.h":
                    bad.append(f"{path}:{n}: aborts the process while the interpreter ends: sl_py_borrow_modules")
                if re.search(r"\b(exit|abort|printf)\s*\(", line) and top == "core" and "intern.c" not in path:
                    bad.append(f"{path}:{n}: the core neither ends nor prints")
    bad += [f"{area}: a circle: {' > '.join(found)}" for area, name in AREAS.items()
            if (found := circle(uses(area, name)))]
    bad += upward(uses("pymiddleware/native", AREAS["pymiddleware/native"]))
    bad += package_bad(imports(ROOT / "pymiddleware/slowlens"))
    print("\n".join(bad) or "layers: fine")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
