"""Writes refused/: files that no version may read, each for one reason. Needs the zstd command.

    python3 tests/data/refused.py

A file's name begins with the status that reading it must give: tests/c/test_golden.c.
"""

from __future__ import annotations

import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent / "refused"
END = b"\0\0"


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def column(*values: int) -> bytes:
    return b"".join(map(number, values))


def section(tag: int, body: bytes) -> bytes:
    return number(tag) + number(len(body)) + body


HEAD = b"slowlens" + bytes([1, 0, 0, 0])
META = section(1, column(0))
STRINGS = section(2, column(3, 0, 9, 4) + b"[request]view")
FUNCTIONS = section(3, column(2, 1, 2, 0, 0, 0, 7, 2, 0, 4, 0))


def tree(pops: int = 0, function: int = 0, calls: int = 1, self_time: int = 5, quantum: int = 1, count: int = 2,
         root_self: int = 5) -> bytes:
    return section(4, column(count, quantum, 0, pops, 0, function, 1, calls, 0, 0, root_self, self_time, 0, 3))


def whole(trees: bytes = tree(), *behind: bytes, meta: bytes = META) -> bytes:
    return HEAD + meta + STRINGS + FUNCTIONS + trees + b"".join(behind) + END


def main() -> None:
    most = 1 << 62
    contents = {
        "CORRUPT other-magic": b"slowlenz" + whole()[8:],
        "VERSION newer": b"slowlens" + bytes([3, 0, 0, 0]) + whole()[12:],
        "VERSION none": b"slowlens" + bytes([0, 0, 0, 0]) + whole()[12:],
        "CORRUPT no-end": whole()[:-2],
        "CORRUPT behind-end": whole() + b"\0",
        "CORRUPT meta-not-first": HEAD + STRINGS + META + FUNCTIONS + tree() + END,
        "CORRUPT meta-twice": HEAD + META + META + STRINGS + FUNCTIONS + tree() + END,
        "CORRUPT meta-type": whole(meta=section(1, column(1, 1) + b"a" + column(2, 0))),
        "CORRUPT functions-before-strings": HEAD + META + FUNCTIONS + STRINGS + tree() + END,
        "CORRUPT no-tree": HEAD + META + STRINGS + FUNCTIONS + END,
        "CORRUPT tree-twice": whole(tree(), tree()),
        "CORRUPT above-the-root": whole(tree(pops=1)),
        "CORRUPT no-such-function": whole(tree(function=2)),
        "CORRUPT no-quantum": whole(tree(quantum=0)),
        "CORRUPT more-nodes-than-bytes": whole(tree(count=3)),
        "CORRUPT times-overflow": whole(tree(self_time=most)),
        "CORRUPT times-overflow-in-sum": whole(tree(self_time=most // 2 + 1, root_self=most // 2)),
        "CORRUPT calls-overflow": whole(tree(calls=most)),
        "CORRUPT lines-before-tree": HEAD + META + STRINGS + FUNCTIONS + section(5, column(1, 0, 1, 1, 0, 0))
        + tree() + END,
        "CORRUPT line-of-no-node": whole(tree(), section(5, column(1, 2, 1, 1, 0, 0))),
        "CORRUPT more-cpu-than-wall": whole(tree(), section(5, column(1, 1, 1, 1, 2, 0))),
        "CORRUPT more-gil-than-left": whole(tree(), section(5, column(1, 1, 1, 3, 2, 2))),
        "CORRUPT stretch-of-no-node": whole(tree(), section(6, column(1, 0, 0, 4, 1))),
        "CORRUPT stretch-overflow": whole(tree(), section(6, column(2, 0, 0, 0, 0, 0, 0, most, 1))),
        "CORRUPT summary-twice": HEAD + META + section(7, column(0)) * 2 + STRINGS + FUNCTIONS + tree() + END,
        "CORRUPT counters-before-tree": HEAD + META + section(8, column(0)) + STRINGS + FUNCTIONS + tree() + END,
        "CORRUPT counter-of-no-node": whole(tree(), section(8, column(1, 7, 1, 2, 5))),
        "CORRUPT counter-twice": whole(tree(), section(8, column(1, 7, 2, 1, 0, 5, 5))),
        "CORRUPT metric-twice": whole(tree(), section(8, column(2, 7, 1, 1, 5, 7, 1, 1, 5))),
        "CORRUPT counters-overflow": whole(tree(), section(8, column(1, 7, 2, 0, 1, most, 1))),
        "CORRUPT section-too-long": whole()[:-2] + number(77) + number(99) + END,
        "CORRUPT number-too-long": whole()[:-2] + b"\xff" * 10 + b"\1" + END,
    }
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.slowlens"):
        old.unlink()
    for name, content in contents.items():
        packed = subprocess.run(["zstd", "-cq", "--check"], input=content, capture_output=True, check=True).stdout
        (HERE / f"{name.replace(' ', '.')}.slowlens").write_bytes(packed)
    packed = subprocess.run(["zstd", "-cq", "--check"], input=whole(), capture_output=True, check=True).stdout
    frames = {"cut": packed[:-3], "two-frames": packed + packed, "empty": b"", "no-frame": whole(),
              "checksum": packed[:-1] + bytes([packed[-1] ^ 1]), "skippable": b"\x50\x2a\x4d\x18\0\0\0\0" + packed}
    for name, data in frames.items():
        (HERE / f"CORRUPT.frame-{name}.slowlens").write_bytes(data)


if __name__ == "__main__":
    main()
