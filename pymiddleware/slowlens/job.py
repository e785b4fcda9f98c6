"""A finished recording on its way to the store: what of it stands in the metadata, and its encoding.

All of it is done by the writer's thread, behind the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from . import _core, engine
from .store.interface import Finished

__all__ = ["Job", "counted", "profiles_of"]


class Job(NamedTuple):
    """A finished recording and what is to be done with it."""

    recording: _core.Recording
    meta: dict[str, Any]
    store: bool
    slow: bool
    #: How many requests it speaks for in its route's tree of all requests; 0: it is not in it.
    weight: int = 0


def profiles_of(jobs: Sequence[Job]) -> list[Finished | Exception]:
    """The profiles of jobs, or why there is none. Their recordings are gone afterwards, whatever happens."""
    try:
        found: list[Finished | Exception] = []
        pairs: list[tuple[_core.Recording, dict[str, Any]]] = []
        for job in jobs:
            try:
                _complete(job)
            except Exception as error:
                found.append(error.with_traceback(None))  # which would hold all of this
                continue
            known = {key: value for key, value in job.meta.items() if value is not None}
            pairs.append((job.recording, known))
            found.append(Finished(known, b"", job.store, job.slow))
        blobs = iter(_core.encode_many(pairs))
        for at, one in enumerate(found):
            if isinstance(one, Finished):
                blob = next(blobs)
                if isinstance(blob, bytes):
                    one.blob = blob
                else:
                    found[at] = blob
        return found
    finally:
        for job in jobs:
            job.recording.discard()


def _complete(job: Job) -> None:
    """Puts into its metadata what the recording came to."""
    recording, meta = job.recording, job.meta
    more = recording.complete(meta)
    if meta["mode"] != "sampling":
        meta.update(engine.cost_meta())
    if more is not None:
        events, c_events, held = more
        cost = engine.cost_ns(events, c_events)
        if cost:
            meta["own_ns"] = cost
        if held:
            meta.update(_holder(recording.totals()))
    if meta.get("throttled_ns"):
        meta["throttled_ns"] = min(meta["throttled_ns"], meta.get("run_queue_ns", 0)) or None


def counted(spans: dict[str, tuple[int, int]]) -> dict[str, int]:
    """What it asked for, by kind, as metadata: how often, and how long it took."""
    found = {}
    for kind in ("db", "http", "cache", "template"):
        if kind in spans:
            found[f"{kind}_count"], found[f"{kind}_ns"] = spans[kind]
    return found


def _holder(totals: dict[str, Any]) -> dict[str, Any]:
    """Who held the event loop up when this request could not go on for longest: the other request, and where."""
    seen, where = totals["held_by"], totals["held_where"]
    functions = " > ".join(f"{PurePath(file).stem}.{name}" if file else name for name, file in where or ())
    if seen is None:
        who = f"no profiled request: {functions}"[:1000] if functions else "other tasks, without one long step"
        holder = {"holder_ns": totals["holder_ns"]} if functions else {}
        return {"held_ns": totals["held_ns"], "held_by": who, **holder}
    return {
        "held_ns": totals["held_ns"], "held_by": f"{seen.name}{': ' if functions else ''}{functions}"[:1000],
        "held_id": seen.id, "holder_ns": totals["holder_ns"],
    }
