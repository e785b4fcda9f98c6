"""A decoder of `.slowlens` files written from the text of core/blob.h alone.

No line of it knows the C reader: that the two agree shows that the document
is enough to read our files without our code.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any


def unpack(blob: bytes) -> bytes:
    """The content of the zstd frame, by the standard library (3.14+) or the zstd command."""
    try:
        from compression import zstd
    except ImportError:
        command = shutil.which("zstd")
        if command is None:
            raise RuntimeError("no zstd at hand") from None
        return subprocess.run([command, "-dcq"], input=blob, capture_output=True, check=True).stdout
    return bytes(zstd.decompress(blob))


class Reader:
    """Bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise ValueError("ends early")
        self.at += size
        return piece

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def column(self, count: int) -> list[int]:
        return [self.varint() for _ in range(count)]


def read_meta(section: Reader) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for _ in range(section.varint()):
        key = section.take(section.varint()).decode()
        kind = section.varint()
        if kind == 0:
            number = section.varint()
            meta[key] = (number >> 1) ^ -(number & 1)
        elif kind == 1:
            meta[key] = section.take(section.varint()).decode()
        else:
            raise ValueError("unknown type")
    return meta


def read_lines(section: Reader | None, quantum: int) -> list[dict[str, int]]:
    if section is None:
        return []
    count = section.varint()
    steps, lines, walls, cpus, gils = (section.column(count) for _ in range(5))
    rows, node = [], 0
    for i in range(count):
        node += steps[i]
        rows.append({"node": node, "line": lines[i], "wall_ns": walls[i] * quantum, "cpu_ns": cpus[i] * quantum,
                     "gil_ns": gils[i] * quantum})
    return rows


def read_timeline(section: Reader | None, quantum: int) -> list[dict[str, int]]:
    if section is None:
        return []
    count = section.varint()
    lanes, gaps, steps, lengths = (section.column(count) for _ in range(4))
    rows, lane, node, end = [], 0, 0, 0
    for i in range(count):
        if lanes[i]:
            lane, end = lane + lanes[i], 0
        node += (steps[i] >> 1) ^ -(steps[i] & 1)
        start = end + gaps[i]
        end = start + lengths[i]
        rows.append({"node": node, "lane": lane, "from_ns": start * quantum, "to_ns": end * quantum})
    return rows


def decode(blob: bytes) -> dict[str, Any]:
    """{"meta": {...}, "functions": [...], "nodes": [...], "lines": [...], "timeline": [...]}.

    A node holds its parent's number; the last two are empty where the file has no such section.
    """
    content = Reader(unpack(blob))
    if content.take(8) != b"slowlens":
        raise ValueError("not a profile")
    version = int.from_bytes(content.take(2), "little")
    if version != 1:
        raise ValueError(f"version {version}")
    content.take(2)
    sections: dict[int, Reader] = {}
    while True:
        tag = content.varint()
        sections[tag] = Reader(content.take(content.varint()))
        if tag == 0:
            break

    strings_section = sections[2]
    lengths = strings_section.column(strings_section.varint())
    strings = [strings_section.take(length).decode() for length in lengths]

    section = sections[3]
    count = section.varint()
    columns = [section.column(count) for _ in range(5)]
    kinds = ("python", "c", "pseudo", "span")
    origins = ("project", "library", "stdlib", "builtin", "none")
    functions = [
        {"id": i, "name": strings[name], "file": strings[file], "line": line, "kind": kinds[kind],
         "origin": origins[origin]}
        for i, (name, file, line, kind, origin) in enumerate(zip(*columns, strict=True))
    ]

    section = sections[4]
    count, quantum = section.varint(), section.varint()
    pops, names, calls, resumes, selfs, lines = (section.column(count) for _ in range(6))
    nodes: list[dict[str, Any]] = []
    seen = 0
    for i in range(count):
        parent = i - 1
        for _ in range(pops[i]):
            parent = nodes[parent]["parent"]
        if names[i] == 0:
            function, seen = seen, seen + 1
        else:
            function = names[i] - 1
        nodes.append({"node": i, "parent": max(0, parent), "function": function, "calls": calls[i],
                      "resumes": resumes[i], "self_ns": selfs[i] * quantum, "call_line": lines[i]})
    return {"meta": read_meta(sections[1]), "functions": functions, "nodes": nodes,
            "lines": read_lines(sections.get(5), quantum), "timeline": read_timeline(sections.get(6), quantum)}
