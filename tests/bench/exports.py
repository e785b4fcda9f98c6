"""Exporting a tree of 1,000,000 nodes: seconds and peak memory, beside what the peers need for the same tree.

    exports.py [--nodes N] [--rounds N] [--json FILE]

Every measurement is a process of its own, which makes the tree, notes its
peak memory, exports, and reports the time of the export alone and by how much
it raised the peak. Variants take turns; medians over the rounds.

Peers: pyinstrument's speedscope and HTML renderers on a session with one
sample for each leaf, yappi's callgrind writer on the same program run under
yappi; each only where it is installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PYTHON = ".".join(map(str, sys.version_info[:3]))
PEERS = ("pyinstrument speedscope", "pyinstrument html", "yappi callgrind")


def program(nodes: int) -> Callable[[], None]:
    """Calls whose tree has ``nodes`` nodes: each of many branches calls each of 1,000 leaves once."""
    leaves = min(1000, nodes // 2)
    branches = nodes // (leaves + 1)
    space: dict[str, Any] = {}
    source = [f"def leaf_{i}(): pass" for i in range(leaves)]
    calls = "; ".join(f"leaf_{i}()" for i in range(leaves))
    source += [f"def branch_{i}(): {calls}" for i in range(branches)]
    source.append("def trunk(): " + "; ".join(f"branch_{i}()" for i in range(branches)))
    exec(compile("\n".join(source), "program.py", "exec"), space)
    return space["trunk"]  # type: ignore[no-any-return]


def blob_file(nodes: int, path: Path, /, **meta: int | str) -> None:
    from slowlens import _core

    profile = _core.Recording("none", max_nodes=nodes * 2, max_bytes=4 << 30)
    run = program(nodes)
    profile.enter()
    run()
    profile.leave()
    profile.finish()
    path.write_bytes(profile.encode({"mode": "deterministic", "route": "/million", **meta}))
    profile.discard()


def slowlens_export(form: str, path: Path) -> Callable[[], Any]:
    """From the stored blob to the bytes of the file: reading it is part of the work."""
    from slowlens import _core

    data = path.read_bytes()
    return lambda: _core.Profile(data).export(form)


def pyinstrument_export(form: str, nodes: int) -> Callable[[], Any]:
    """On a session of one sample for each leaf. An identifier is the function's name, file and line, NUL between."""
    from pyinstrument.renderers import HTMLRenderer, SpeedscopeRenderer
    from pyinstrument.session import Session

    leaves = min(1000, nodes // 2)
    records = [
        (["trunk\x00program.py\x001", f"branch_{i}\x00program.py\x002", f"leaf_{j}\x00program.py\x003"], 1e-6)
        for i in range(nodes // (leaves + 1)) for j in range(leaves)
    ]
    session = Session(
        frame_records=records, start_time=0, duration=len(records) * 1e-6, min_interval=1e-6, max_interval=1e-6,
        sample_count=len(records), start_call_stack=["other\x00program.py\x009"], target_description="", cpu_time=1,
        sys_path=[], sys_prefixes=[],
    )
    renderer = SpeedscopeRenderer(show_all=True) if form == "speedscope" else HTMLRenderer(show_all=True)
    return lambda: renderer.render(session)


def yappi_export(nodes: int) -> Callable[[], Any]:
    import yappi

    run = program(nodes)
    yappi.set_clock_type("wall")
    yappi.start(builtins=False)
    run()
    yappi.stop()

    def export() -> bytes:
        with tempfile.NamedTemporaryFile() as file:
            yappi.get_func_stats().save(file.name, type="callgrind")
            return Path(file.name).read_bytes()

    return export


def peak_kib() -> int:
    """Of this process alone: getrusage would also remember the one it was forked from."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def measure(variant: str, nodes: int, path: Path) -> dict[str, float]:
    """In a process of its own: seconds, MiB above what the profile itself took, MB of the result."""
    peer, _, form = variant.rpartition(" ")
    if peer == "pyinstrument":
        export = pyinstrument_export(form, nodes)
    elif peer == "yappi":
        export = yappi_export(nodes)
    else:
        export = slowlens_export(form, path)
    before = peak_kib()
    started = time.perf_counter()
    out = export()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mib": (peak_kib() - before) / 1024, "mb": len(out) / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--blob", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.nodes, Path(options.blob))))
        return

    from slowlens import _core

    variants = [f"slowlens {form}" for form in _core.EXPORT_FORMATS]
    variants += [name for name in PEERS if find_spec(name.split()[0]) is not None]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.slowlens"
        blob_file(options.nodes, path)
        blob_bytes, made = path.stat().st_size, json.loads(_core.Profile(path.read_bytes()).summary())
        for _ in range(options.rounds):
            for name in variants:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", name, "--nodes", str(options.nodes), "--blob", str(path)],
                    capture_output=True, text=True)
                if done.returncode != 0:
                    print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                    continue
                found[name].append(json.loads(done.stdout))
    print(f"Python {PYTHON}, {made['nodes']} nodes, blob {blob_bytes / 1e6:.1f} MB, {options.rounds} rounds")
    print(f"{'variant':26}{'s':>9}{'MiB more':>10}{'MB out':>9}")
    rows = []
    for name, runs in found.items():
        if not runs:
            continue
        row = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "mib", "mb")}
        rows.append({"suite": "exports", "python": PYTHON, "nodes": made["nodes"], "variant": name, **row})
        print(f"{name:26}{row['seconds']:9.2f}{row['mib']:10.0f}{row['mb']:9.1f}")
    if options.json:
        Path(options.json).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
