"""The thread that does what no request waits for: encoding, storing, logging,
and turning the engine's events off when nobody wants them any more.

Started by the first profile of each process (so never before a fork), never
more than ``QUEUE_MAX`` profiles or ``max_queued_bytes`` behind: what does not
fit is dropped and counted.

What leaves it is (metadata, summary, blob), for each of its sinks: the store,
the slow log, and those of the entry points ``slowlens.sinks``.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import threading
import time
import weakref
from pathlib import PurePath
from typing import Any, NamedTuple

from . import _core, engine, killed
from .board import Board
from .log import SlowLog
from .options import Options
from .store import open_sinks
from .store.interface import Finished, Sink, Store

__all__ = ["Job", "Writer"]

QUEUE_MAX = 256
LINGER = 0.25
GC_EVERY = 30.0
COMPLAIN_EVERY = 60.0
#: Memory of recordings that was given back since the last time the C library was asked to hand it on, and how long ago.
TRIM_BYTES = 32 << 20
TRIM_EVERY = 10.0

_log = logging.getLogger("slowlens")


class Job(NamedTuple):
    """A finished recording and what is to be done with it."""

    recording: _core.Recording
    meta: dict[str, Any]
    store: bool
    slow: bool


class _StoreSink:
    """Puts what is kept into the writer's store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = weakref.ref(writer)

    def take(self, profile: Finished) -> None:
        writer = self._writer()
        if profile.kept and writer is not None:
            writer.store.put({**profile.meta, **profile.summary, "bytes": len(profile.blob)}, profile.blob)
            writer.stored += 1

    def close(self) -> None:
        writer = self._writer()
        if writer is not None:
            writer.store.close()


class _SlowSink:
    """Writes a line for each slow one."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._log = SlowLog()

    def take(self, profile: Finished) -> None:
        if profile.slow:
            link = f"{self._link}#r={profile.meta['id']}" if profile.kept else ""
            self._log.write(profile.meta, profile.summary["hot"], link)

    def close(self) -> None:
        """Nothing is open."""


class Writer:
    """One per middleware and process."""

    def __init__(self, store: Store, options: Options, board: Board | None = None) -> None:
        self.store = store
        self._options = options
        self._board = board
        self._sinks: list[tuple[str, Sink]] = [
            ("store", _StoreSink(self)), ("slow log", _SlowSink(options.viewer_path))]
        self._all_sinks = False
        self.stored = self.dropped = self.failed = 0
        self.recovered = 0  # requests of dead processes
        self._braked = False
        self._reset()
        engine.on_fork(_weak(self._reset))
        atexit.register(_weak(self.close))

    def _reset(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Job | None, int]] = queue.SimpleQueue()
        self._pending = 0
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._ticking = False
        self._closed = False
        self._pid = os.getpid()
        self._complained = 0.0
        self._collected = self._trimmed = time.monotonic()
        self._freed = 0

    # ---- called by requests ----

    def wake(self) -> None:
        """A profile begins: somebody must turn the events off later. Cheap when awake."""
        if not self._ticking:
            self._ticking = True
            if self._start():
                self._queue.put((None, 0))

    def put(self, job: Job) -> bool:
        """Takes the job over. False: it was dropped (counted)."""
        size = job.recording.memory
        full = self._pending >= QUEUE_MAX or (
            self._pending > 0 and self._pending_bytes + size > self._options.max_queued_bytes)
        if full or not self._start():
            self.dropped += 1
            job.recording.discard()
            return False
        with self._lock:
            self._pending += 1
            self._pending_bytes += size
            self._idle.clear()
        self._queue.put((job, size))
        return True

    def _start(self) -> bool:
        if self._thread is not None:
            return True
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="slowlens-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is ending
                    return False
                self._thread = thread
        return self._thread is not None

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until all that was put is done. False: not in time."""
        return self._idle.wait(timeout)

    def close(self) -> None:
        """Flushes at exit. Idempotent."""
        if self._pid == os.getpid() and self._thread is not None and self.flush(2.0) and not self._closed:
            for name, sink in self._sinks:
                try:
                    sink.close()
                except Exception as error:
                    self._complain(f"slowlens: {name}: {error}")
        self._closed = True

    # ---- the thread ----

    def _run(self) -> None:
        self._announce()
        while not self._closed:
            try:
                job, size = self._queue.get(timeout=LINGER if self._ticking else None)
            except queue.Empty:
                job, size = None, 0
            try:
                if job is not None:
                    self._work(job)
            except Exception as error:
                self.failed += 1
                self._complain(f"slowlens: a profile could not be made: {type(error).__name__}: {error}")
            finally:
                if job is not None:
                    job = None
                    with self._lock:
                        self._pending -= 1
                        self._pending_bytes -= size
                        if self._pending == 0:
                            self._idle.set()
            try:
                if self._ticking:
                    # Cleared first: a profile that begins now sets it again.
                    self._ticking = False
                    self._ticking = _core.engine_idle(LINGER) or self._ticking
                self._collect()
                self._trim(size)
            except Exception as error:
                self._complain(f"slowlens: keeping house failed: {error}")

    def _trim(self, size: int) -> None:
        """After a burst its memory goes back to the system: the C library would keep it."""
        self._freed += size
        now = time.monotonic()
        if self._freed >= TRIM_BYTES and self._pending == 0 and now - self._trimmed >= TRIM_EVERY:
            self._freed, self._trimmed = 0, now
            _core.trim()

    def _announce(self) -> None:
        """This process's requests can be found from now on, and what a dead one left is looked after."""
        try:
            if self._board is not None:
                self._board.announce()
                self._recover()
        except Exception:
            self._complain("slowlens: running requests cannot be shown")

    def _recover(self) -> None:
        if self._board is not None and self._board.tried:
            self.recovered += killed.recover(self.store, self._board.store)

    def _work(self, job: Job) -> None:
        try:
            meta = job.meta
            totals = job.recording.totals()
            sampled = meta["mode"] == "sampling"
            for name in ("cpu_ns", "await_ns", "loop_ns", "idle_ns", "gc_ns", "step_ns", "sampled_from_ns"):
                if name == "cpu_ns" or totals[name]:
                    meta[name] = totals[name]
            meta["wall_ns"] = totals["wall_ns"]
            if totals["held_ns"]:
                meta.update(_holder(totals))
            if sampled or totals["sampled_from_ns"]:
                meta["samples"] = totals["samples"]
                meta["rejected"] = totals["rejected"] or None
                meta["interval_ns"] = totals["interval_ns"]
                self._say_braked(totals["interval_ns"])
            if not sampled:
                meta["calls"] = totals["events"]
                meta["resumes"] = totals["resumes"] or None
                meta["c_calls"] = totals["c_events"]
            meta["nodes"] = totals["nodes"]
            meta["profile_bytes"] = totals["bytes"]
            cost = engine.cost_ns(totals["events"] + totals["resumes"], totals["c_events"])
            if cost:
                meta["own_ns"] = cost
            flags = [name for name in ("truncated", "displaced") if totals[name]]
            if totals["dropped"]:
                flags.append("partial")
            meta["flags"] = ",".join(flags) or None
            meta.update(_waiting(totals))
            blob = job.recording.encode(meta)
        finally:
            job.recording.discard()
        known = {key: value for key, value in meta.items() if value is not None}
        summary = {"hot": json.loads(_core.Profile(blob).summary())["hot_text"]}
        self._hand_out(Finished(known, summary, blob, job.store, job.slow))

    def _hand_out(self, profile: Finished) -> None:
        """To each sink; one that fails is no other's affair."""
        if not self._all_sinks:
            self._all_sinks = True
            self._sinks += open_sinks(self._options)
        for name, sink in self._sinks:
            try:
                sink.take(profile)
            except Exception as error:
                self.failed += 1
                what = "stored" if name == "store" else f"taken by {name}"
                self._complain(f"slowlens: profile {profile.meta['id']} could not be {what}: {error}")

    def _say_braked(self, interval: int) -> None:
        """Once: the sampler looks less often than it was asked to."""
        asked = engine.interval_ns()
        if asked and interval > 2 * asked and not self._braked:
            self._braked = True
            _log.info(  # each profile says it too
                "slowlens: sampling every %.1f ms instead of every %.1f ms: the sampler reached its limit of CPU time "
                "(option sampler_cpu; said once)", interval / 1e6, asked / 1e6)

    def _collect(self) -> None:
        now = time.monotonic()
        if now - self._collected >= GC_EVERY:
            self._collected = now
            self._recover()
            self.store.gc()

    def _complain(self, text: str) -> None:
        """Once a minute: trouble with the store must not flood the log."""
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            _log.error("%s (stored %d, failed %d, dropped %d)", text, self.stored, self.failed,
                       self.dropped, exc_info=_log.isEnabledFor(logging.DEBUG))


def _waiting(totals: dict[str, Any]) -> dict[str, int]:
    """What was neither CPU nor await; and of what kind, where samples saw most of the time."""
    running = totals["wall_ns"] - totals["await_ns"] - totals["loop_ns"] - totals["idle_ns"]
    waiting = max(0, running - totals["cpu_ns"])
    if totals["seen_ns"] * 2 < running or not totals["samples"]:
        return {"waiting_ns": waiting}
    gil = min(waiting, totals["gil_ns"])
    return {"waiting_ns": waiting, "gil_wait_ns": gil, "blocked_ns": waiting - gil}


def _holder(totals: dict[str, Any]) -> dict[str, Any]:
    """Who held the event loop up when this request could not go on for longest: the other request, and where."""
    seen, where = totals["held_by"], totals["held_where"]
    if seen is None:
        return {"held_ns": totals["held_ns"], "held_by": "other tasks, without one long step of a profiled request"}
    functions = " > ".join(f"{PurePath(file).stem}.{name}" if file else name for name, file in where or ())
    return {
        "held_ns": totals["held_ns"], "held_by": f"{seen.name}{': ' if functions else ''}{functions}"[:1000],
        "held_id": seen.id, "holder_ns": totals["holder_ns"],
    }


def _weak(method: Any) -> Any:
    """A call of ``method`` that does not keep its object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        found = reference()
        if found is not None:
            found()

    return call
