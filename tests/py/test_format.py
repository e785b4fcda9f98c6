"""The format document is enough: a decoder written from it agrees with the C reader."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from reference import decode
from test_exports import CORPUS

from slowlens import _core

from conftest import record

if sys.version_info < (3, 14) and shutil.which("zstd") is None:
    pytest.skip("no zstd at hand", allow_module_level=True)


@pytest.mark.parametrize("name", CORPUS)
def test_the_reference_decoder_agrees(name: str) -> None:
    blob = CORPUS[name]().encode({"method": "GET", "path": "/caf\xe9", "delta": -7, "big": 2**62})
    expected = decode(blob)
    tree = json.loads(_core.Profile(blob).tree(0, 1 << 30, False, 1 << 24))
    assert json.loads(_core.Profile(blob).meta())["meta"] == expected["meta"]
    assert tree["functions"] == expected["functions"]
    rows = sorted(tree["rows"], key=lambda row: row["node"])
    keys = ("node", "parent", "function", "calls", "resumes", "self_ns", "call_line")
    assert [{key: row[key] for key in keys} for row in rows] == expected["nodes"]
    seen = [[0, 0, 0] for _ in rows]
    for line in expected["lines"]:
        for i, key in enumerate(("wall_ns", "cpu_ns", "gil_ns")):
            seen[line["node"]][i] += line[key]
    assert [[row["seen_ns"], row["cpu_ns"], row["gil_ns"]] for row in rows] == seen
    timeline = json.loads(_core.Profile(blob).timeline())["rows"]
    keys = ("node", "lane", "from_ns", "to_ns")
    assert [{key: row[key] for key in keys} for row in timeline] == expected["timeline"]
    if name.startswith("sampled"):
        assert expected["lines"] and expected["timeline"]


def test_any_zstd_opens_it(tmp_path: Any) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd command")
    file = tmp_path / "x.slowlens"
    file.write_bytes(record(lambda: None).encode({"a": "b"}))
    assert subprocess.run(["zstd", "-tq", "--format=zstd", str(file)]).returncode == 0
    listed = subprocess.run(["zstd", "-lv", str(file)], capture_output=True, text=True, check=True).stdout
    assert "XXH64" in listed, "with a checksum"
    assert "Decompressed Size" in listed, "and its content size"


def test_damage_is_found_by_the_checksum() -> None:
    blob = bytearray(record(lambda: None).encode({"a": "b" * 100}))
    whole = _core.Profile(bytes(blob)).tree(0, 99), _core.Profile(bytes(blob)).meta()
    refused = 0
    for at in range(len(blob)):
        blob[at] ^= 1
        try:
            found = _core.Profile(bytes(blob))
        except _core.CorruptError:
            refused += 1
        else:  # a bit of the frame that means nothing
            assert (found.tree(0, 99), found.meta()) == whole
        blob[at] ^= 1
    assert refused > len(blob) * 0.9
    for cut in range(len(blob)):
        with pytest.raises(_core.CorruptError):
            _core.Profile(bytes(blob[:cut]))
        with pytest.raises(_core.CorruptError):
            _core.read_meta(bytes(blob[:cut]))
