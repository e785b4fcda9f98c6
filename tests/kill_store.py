"""kill -9 at random points: is anything lost that a put confirmed?

    python tests/kill_store.py --kills 1000 --writers 8 [--store FOLDER]

Several writers put profiles of 0.5 kB to 3 MB into one store (their limit lets
nothing go), tell each confirmed one by a pipe, and are killed one by one at
random times; new ones take their places. Now and then what is stored is looked
at as another process sees it. At the end every confirmed profile must be there,
byte by byte, every segment readable up to its end, nothing listed that cannot
be read, and the folder must take more. Exit status 1: it was not so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from slowlens import _core
from slowlens.request import new_id
from slowlens.store import Query, segments
from slowlens.store.directory import DirectoryStore


def blobs() -> list[bytes]:
    """Profiles, and bytes that only look like some: what is in them does not matter to a segment."""
    recording = _core.Recording()
    recording.enter()
    for i in range(300):
        str(i)
    recording.leave()
    recording.finish()
    real = recording.encode({"id": new_id(time.time_ns()), "started": time.time_ns(), "path": "/killed/"})
    return [real, real * 8, real * 40, os.urandom(3_000_000)]


class Writer:
    def __init__(self, root: str, part: int, contents: list[bytes], seed: int) -> None:
        self.pipe, end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            try:
                run(root, part, contents, end, random.Random(seed))
            finally:
                os._exit(1)
        os.close(end)
        self.data = b""
        os.set_blocking(self.pipe, False)

    def drain(self) -> None:
        while True:
            try:
                piece = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                return
            if not piece:
                return
            self.data += piece

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.drain()
        os.close(self.pipe)


def run(root: str, part: int, contents: list[bytes], pipe: int, chance: random.Random) -> None:
    store = DirectoryStore(root, max_bytes=1 << 40)
    while True:
        store._part = part  # rotations, too, are killed in the middle
        blob = contents[-1] if chance.random() < 0.01 else contents[chance.randrange(len(contents) - 1)]
        profile_id = new_id(time.time_ns())
        store.put({"id": profile_id, "hot": "kill.me 99%"}, blob)
        os.write(pipe, profile_id.encode() + hashlib.md5(blob).digest())


def check(root: str, confirmed: dict[str, bytes]) -> list[str]:
    """What is wrong with the store."""
    store = DirectoryStore(root, max_bytes=1 << 40)
    wrong = []
    lost = 0
    for profile_id, digest in confirmed.items():
        blob = store.get(profile_id)
        lost += blob is None or hashlib.md5(blob).digest() != digest
    if lost:
        wrong.append(f"{lost} lost or changed")
    for listed in segments.segments_in(store.folder):
        fd = os.open(listed.path, os.O_RDONLY)
        end = 0
        for record, _ in segments.records_of(fd):
            if record.at != end:
                wrong.append(f"{listed.path}: a gap at {end}")
            end = record.at + record.size
        if segments.footer_of(fd, listed.size) is not None and end != listed.size:
            wrong.append(f"{listed.path}: sealed, and torn")
        os.close(fd)
    return wrong


def listing(root: str) -> int:
    """Rows; each of the first page can be read."""
    store = DirectoryStore(root)
    rows = store.list(Query(limit=50)).rows
    return sum(store.get(row["id"]) is None for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--store")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    root = options.store or tempfile.mkdtemp(prefix="slowlens-kill-")
    chance = random.Random(options.seed)
    contents, part = blobs(), 1 << 20
    confirmed: dict[str, bytes] = {}
    writers = [Writer(root, part, contents, options.seed + i) for i in range(options.writers)]
    unread = 0
    for kill in range(options.kills):
        time.sleep(chance.uniform(0.002, 0.03))
        for one in writers:
            one.drain()
        at = chance.randrange(len(writers))
        writers[at].kill()
        _gather(writers[at], confirmed)
        writers[at] = Writer(root, part, contents, options.seed + 1000 + kill)
        if kill % 50 == 49:
            unread += listing(root)
    for one in writers:
        one.kill()
        _gather(one, confirmed)
    torn = _torn(root)
    wrong = check(root, confirmed)
    store = DirectoryStore(root, max_bytes=1 << 40)
    store.gc(60)
    wrong += [f"after gc: {text}" for text in check(root, confirmed)]
    if unread:
        wrong.append(f"{unread} listed and not readable")
    count = store.contents()["profiles"]
    print(f"{options.kills} kills of {options.writers} writers; {len(confirmed)} confirmed, "
          f"{count} stored, {torn} torn tails, {(len(wrong) and '; '.join(wrong)) or '0 lost'}")
    if options.store is None:
        shutil.rmtree(root)
    return 1 if wrong else 0


def _gather(writer: Writer, confirmed: dict[str, bytes]) -> None:
    for at in range(0, len(writer.data) - 41, 42):
        confirmed[writer.data[at:at + 26].decode()] = writer.data[at + 26:at + 42]


def _torn(root: str) -> int:
    torn = 0
    for listed in segments.segments_in(os.path.join(root, "segments")):
        fd = os.open(listed.path, os.O_RDONLY)
        end = 0
        for record, _ in segments.records_of(fd):
            end = record.at + record.size
        torn += end != listed.size
        os.close(fd)
    return torn


if __name__ == "__main__":
    sys.exit(main())
