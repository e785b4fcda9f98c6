"""Each export opens in the tool it is for, which then says what our own decoder says.

The tools are the real ones: ``go tool pprof``, the Firefox Profiler's loader,
speedscope in Chromium, gprof2dot, Graphviz, snakeviz. (``pstats`` and
``callgrind_annotate`` judge on every CPython, in tests/py/test_exports.py.)
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def _load(name: str, path: Path) -> Any:
    """A module by its file: three folders of tests have a conftest."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path[:0] = [str(HERE.parent / "py")]
sys.modules["conftest"] = common = _load("conftest", HERE.parent / "py" / "conftest.py")
judges = _load("judges_conftest", HERE / "conftest.py")
browsers = _load("browser_conftest", HERE.parent / "browser" / "conftest.py")
exports = _load("test_exports", HERE.parent / "py" / "test_exports.py")

import slowlens  # noqa: E402 - the path is set above
from slowlens import _core  # noqa: E402

META = {"mode": "deterministic", "path": "/x", "route": "/r", "started": 1_790_000_000_000_000_000, "pid": 7,
        "thread": "MainThread", "headers_ns": 1000, "body_ns": 2000}


def blob_of(profile: Any, **meta: Any) -> bytes:
    return bytes(profile.encode({**META, **meta}))


def large() -> bytes:
    """A tree of more than 100,000 nodes."""
    space: dict[str, Any] = {}
    source = [f"def leaf_{i}(): pass" for i in range(330)]
    calls = "; ".join(f"leaf_{i}()" for i in range(330))
    source += [f"def branch_{i}(): {calls}" for i in range(310)]
    source.append("def trunk(): " + "; ".join(f"branch_{i}()" for i in range(310)))
    exec("\n".join(source), space)
    return blob_of(common.record(space["trunk"], "none", max_nodes=1 << 20, max_bytes=256 << 20))


def zero() -> bytes:
    one = _core.Profile(blob_of(exports.CORPUS["recursion"]()))
    return _core.growth(one, one, META)


def one_node() -> bytes:
    profile = _core.Recording("none")
    profile.enter()
    profile.leave()
    profile.finish()
    return blob_of(profile)


def merged() -> bytes:
    parts = [_core.Profile(blob_of(exports.CORPUS[name]())) for name in ("recursion", "library", "generators")]
    return _core.merge(parts, META)


CORPUS = {
    **{name: lambda make=make, name=name: blob_of(make(), mode="sampling" if name == "sampled" else "deterministic")
       for name, make in exports.CORPUS.items()},
    "large": large, "zero": zero, "one_node": one_node, "merged": merged,
}


class Case:
    """A profile, and what our own decoder says of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = CORPUS[name]()
        self.blob = _core.Profile(self.data)
        report = json.loads(self.blob.tree(0, 1 << 30, False, 1 << 24))
        names = {one["id"]: one["name"] for one in report["functions"]}
        self.wall = report["wall_ns"]
        rows = {row["node"]: row for row in report["rows"]}
        beside: set[int] = set()
        self.self_ns: Counter[str] = Counter()  # by name
        self.main_ns: Counter[str] = Counter()  # without strands
        self.calls: Counter[str] = Counter()
        below: Counter[int] = Counter()
        for node in sorted(rows):
            row = rows[node]
            if row["strand"] or (row["parent"] in beside and node):
                beside.add(node)
            if node:
                below[row["parent"]] += row["calls"]
        sampled = json.loads(self.blob.meta())["meta"]["mode"] == "sampling"
        for node, row in rows.items():
            name = names[row["function"]]
            self.self_ns[name] += row["self_ns"]
            self.calls[name] += row["calls"] - (below[node] if sampled else 0)
            if node not in beside:
                self.main_ns[name] += row["self_ns"]

    def export(self, form: str, path: Path) -> Path:
        path.write_bytes(self.blob.export(form))
        return path


@pytest.fixture(scope="module", params=CORPUS)
def case(request: Any) -> Case:
    return Case(request.param)


def top(times: Counter[str]) -> list[int]:
    return sorted(times.values(), reverse=True)[:10]


def run(*command: str, timeout: float = 180) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (command, done.stdout[-1000:], done.stderr[-2000:])
    return done.stdout


# ---- go tool pprof ----


def pprof(path: Path, sample: str, unit: str) -> tuple[int, list[int]]:
    text = run("go", "tool", "pprof", "-top", "-nodecount=1000000", "-nodefraction=0", "-edgefraction=0",
               f"-sample_index={sample}", f"-unit={unit}", str(path))
    total = re.search(r"of (-?\d+)\w* total", text)
    rows = [int(found) for found in re.findall(r"^ *(\d+)(?:ns)? +[\d.]+%", text, re.M)]
    return int(total[1]) if total else 0, rows


def test_pprof(case: Case, tmp_path: Path) -> None:
    path = case.export("pprof", tmp_path / "x.pb.gz")
    total, rows = pprof(path, "wall", "nanoseconds")
    assert total == sum(case.self_ns.values())
    assert rows[:10] == [value for value in top(case.self_ns) if value or rows][:len(rows[:10])]
    total, rows = pprof(path, "calls", "count")
    assert total == sum(case.calls.values())
    assert rows[:10] == top(case.calls)[:len(rows[:10])]
    raw = run("go", "tool", "pprof", "-raw", str(path))
    assert "<unknown>" not in raw
    if case.name == "two_lambdas":
        assert "two_lambdas.<locals>.<lambda>" in raw
    if case.wall and case.name != "large":
        assert "route:[/r]" in raw and "thread:[MainThread]" in raw


# ---- the Firefox Profiler ----



def firefox(path: Path, *questions: str) -> list[str]:
    """What the profiler's own command line says of a file."""
    binary = str(judges.MODULES / ".bin" / "profiler-cli")
    environ = {**os.environ, "HOME": str(path.parent)}

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=180, env=environ)

    def call(*arguments: str) -> str:
        done = ask(*arguments)
        assert done.returncode == 0, (arguments, done.stdout[-1000:], done.stderr[-2000:])
        return done.stdout

    done = ask("load", str(path))
    # Its server has half a second to start, and goes on starting on a busy machine.
    assert done.returncode == 0 or "may still be running" in done.stderr, (done.stdout[-1000:], done.stderr[-2000:])
    deadline = time.monotonic() + 60
    while ask("profile", "info").returncode:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)
    try:
        return [call(*question.split()) for question in questions]
    finally:
        call("stop", "--all")


def loaded(path: Path) -> tuple[Any, str]:
    """Functions of the first thread, as the profiler has them."""
    functions, info = firefox(path, "thread functions --json --limit 1000000", "profile info")
    return json.loads(functions), info


def test_firefox_profiler(case: Case, tmp_path: Path) -> None:
    path = case.export("gecko", tmp_path / "x.json")
    document, info = loaded(path)
    assert "Name: slowlens" in info
    if not case.wall:
        return
    times = [one["selfSamples"] for one in document["functions"]]
    assert sum(times) * 1e6 == pytest.approx(sum(case.main_ns.values()), rel=1e-6, abs=1)
    # Two functions of one name are two there; ours are added up by name.
    if len(case.main_ns) == len(json.loads(case.blob.functions())["rows"]):
        assert sorted(times, reverse=True)[:10] == pytest.approx([ns / 1e6 for ns in top(case.main_ns)][:len(times)])


def test_firefox_profiler_reads_chrome_traces_and_collapsed_stacks(case: Case, tmp_path: Path) -> None:
    _, info = loaded(case.export("chrome", tmp_path / "x.json"))
    assert "request" in info
    if case.wall < 20_000:
        return  # no microsecond to show
    document, _ = loaded(case.export("collapsed", tmp_path / "x.txt"))
    times = [one["selfSamples"] for one in document["functions"]]
    assert sum(times) == pytest.approx(sum(case.self_ns.values()) / 1000, abs=1)


# ---- gprof2dot, Graphviz, snakeviz ----


def test_gprof2dot_and_graphviz(case: Case, tmp_path: Path) -> None:
    readers = (("pstats", "pstats"), ("callgrind", "callgrind"), ("collapsed", "collapse"))
    for form, reader in readers[:0] if case.name == "large" else readers:  # gprof2dot takes minutes for it
        if form == "collapsed" and case.wall < 20_000:
            continue
        path = case.export(form, tmp_path / f"x.{form}")
        dot = run(sys.executable, "-m", "gprof2dot", "-f", reader, "-n", "0", "-e", "0", str(path))
        (tmp_path / "x.dot").write_text(dot)
        run("dot", "-Tsvg", "-o", os.devnull, str(tmp_path / "x.dot"))
        if form == "pstats" and case.name == "recursion":
            # `even` and `odd` call each other 21 times each.
            assert re.search(r"recursion\.<locals>\.even\\n[\d.]+%\\n\([\d.]+%\)\\n21×", dot), dot
    own = case.export("dot", tmp_path / "own.dot")
    run("dot", "-Tsvg", "-o", str(tmp_path / "own.svg"), str(own))
    drawn = (tmp_path / "own.svg").read_text()
    # Functions of half a percent or more; a hair from the limit, rounding decides.
    totals = [row["total_ns"] for row in json.loads(case.blob.functions())["rows"]]
    least, most = (sum(total >= case.wall * share for total in totals) for share in (0.0055, 0.0045))
    assert least <= drawn.count('class="node"') <= most


def test_snakeviz(case: Case, tmp_path: Path) -> None:
    import pstats

    from snakeviz.stats import json_stats, table_rows

    stats = pstats.Stats(str(case.export("pstats", tmp_path / "x.prof")))
    rows = table_rows(stats)
    assert len(rows) == len(json.loads(case.blob.functions())["rows"])
    if len(rows) > 1:  # it draws calls: of one function there are none
        assert len(json_stats(stats)) == len(rows)


# ---- speedscope ----


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    found = browsers.chromium("--allow-file-access-from-files")
    try:
        yield found
    finally:
        found.quit()


def speedscope(driver: Any, name: str, data: bytes, folder: Path) -> list[tuple[float, str]]:
    """What speedscope's sandwich view says: (self share in percent, function), heaviest first."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    script = folder / "profile.js"
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(name)}, "
                      f"{json.dumps(base64.b64encode(data).decode())})")
    page = judges.MODULES / "speedscope" / "dist" / "release" / "index.html"
    driver.get("about:blank")
    driver.get(f"file://{page}#localProfilePath={str(script).lstrip('/')}&view=sandwich")

    WebDriverWait(driver, 20).until(lambda _: driver.find_elements(By.CSS_SELECTOR, "tr td"))
    time.sleep(0.2)
    rows = []
    for row in driver.find_elements(By.CSS_SELECTOR, "tr"):
        cells = [cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
        if len(cells) >= 3:
            share = re.search(r"\(([\d.]+)%\)", cells[1])
            if share:
                rows.append((float(share[1]), cells[-1]))
    assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    return rows


@pytest.mark.parametrize("form", ["speedscope", "chrome", "callgrind", "collapsed", "pprof"])
def test_speedscope(case: Case, form: str, driver: Any, tmp_path: Path) -> None:
    if not case.wall or case.name in ("one_node", "nothing", "odd_names", "large"):
        return  # nothing to see, or names that a table of one line folds; `large` is slow there
    endings = {"speedscope": "x.speedscope.json", "chrome": "x.json", "callgrind": "callgrind.out.1",
               "collapsed": "x.collapsedstack.txt", "pprof": "x.pb.gz"}
    rows = speedscope(driver, endings[form], case.blob.export(form), tmp_path)
    assert rows, "it shows the functions"
    if len(case.main_ns) != len(json.loads(case.blob.functions())["rows"]):
        return  # two functions of one name are two there
    whole = sum(case.main_ns.values())
    if form == "speedscope":
        expected = [round(100 * ns / whole, 1) for ns in top(case.main_ns)]
        assert [share for share, _ in rows][:10] == pytest.approx(expected[:min(len(rows), 10)], abs=0.6)
    elif form == "chrome" and len(rows) < 20:  # it has a row for each pair of name and arguments
        shares: Counter[str] = Counter()
        for share, name in rows:
            shares[name.split(" {")[0]] += share
        heaviest, ns = case.main_ns.most_common(1)[0]
        found = sum(share for name, share in shares.items() if name.split(".", 1)[-1] == heaviest or name == heaviest)
        assert found == pytest.approx(100 * ns / whole, abs=2)


# ---- what was asked of others ----

QUERY = "SELECT id FROM author WHERE id = ?"
span = slowlens.span  # imported before anything is recorded


def asks() -> None:
    def execute() -> None:
        with span(QUERY, kind="db"):
            time.sleep(0.003)

    for _ in range(4):
        execute()


def test_every_tool_shows_the_queries(tmp_path: Path) -> None:
    """As markers where there are any, else as frames: 4 queries of one text are all that their caller does."""
    blob = _core.Profile(blob_of(common.record(asks)))
    (row,) = json.loads(blob.spans())["rows"]
    assert (row["text"], row["count"]) == (QUERY, 4)
    name = f"db: {QUERY}"
    files = {form: tmp_path / f"x.{form}" for form in _core.EXPORT_FORMATS}
    for form, path in files.items():
        path.write_bytes(blob.export(form))

    for form in ("gecko", "chrome"):
        (markers,) = firefox(files[form], "thread markers --json --list --limit 100")
        assert markers.count(QUERY) >= 4, (form, markers)
    raw = run("go", "tool", "pprof", "-raw", str(files["pprof"]))
    assert name in raw
    top = run("go", "tool", "pprof", "-top", "-cum", "-sample_index=calls", str(files["pprof"]))
    assert re.search(rf"^ +4 .* {re.escape(name)}$", top, re.M), top
    assert [line for line in files["collapsed"].read_text().splitlines() if f";{name};" in line]
    for form, reader in (("pstats", "pstats"), ("callgrind", "callgrind"), ("collapsed", "collapse")):
        assert QUERY in run(sys.executable, "-m", "gprof2dot", "-f", reader, "-n", "0", "-e", "0", str(files[form]))
    run("dot", "-Tsvg", "-o", str(tmp_path / "x.svg"), str(files["dot"]))
    assert QUERY[:20].replace(" ", "&#160;") in (tmp_path / "x.svg").read_text().replace(" ", "&#160;")
    assert name in [one["name"] for one in json.loads(files["speedscope"].read_text())["shared"]["frames"]]
    assert QUERY in files["html"].read_text() and QUERY in files["text"].read_text()
