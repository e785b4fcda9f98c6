"""A host: stores profiles of its own in batches, and says which were confirmed: ``URL HOST COUNT [BATCH]``."""

from __future__ import annotations

import sys
import time

from slowlens import engine
from slowlens.options import load
from slowlens.store import open_store

from store_contract import profile

engine.prepare()
url, host, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
batch = int(sys.argv[4]) if len(sys.argv) > 4 else 16
store = open_store(load({"store": url}, environ={}))
print("ready", flush=True)
sys.stdin.readline()
for first in range(0, count, batch):
    profiles = [profile(i % 1000, host=host) for i in range(first, min(count, first + batch))]
    store.put_many(profiles)  # type: ignore[attr-defined]
    print(*(row["id"] for row, _ in profiles), flush=True)
print("done", flush=True)
sys.stdin.readline()
while (seconds := store.tend()) is not None:  # type: ignore[attr-defined]
    time.sleep(min(0.2, seconds))
store.close()
print("sent", flush=True)
