"""``slowlens run script.py``: profiles a script, or with ``-m`` a module."""

from __future__ import annotations

import argparse
import atexit
import os
import runpy
import signal
import sys
import time
from typing import Any

from .. import _core, engine
from ..options import load
from ..request import new_id
from ..store import open_store
from ..store.interface import Store
from .source import CliError

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Runs the script as ``python script.py`` would; its exit status is ours."""
    if not options.module and not os.path.isfile(options.script):
        raise CliError(f"{options.script}: no such script")
    store = None
    if options.output is None:
        store = open_store(load({"store": options.store} if options.store else {}))
        problem = store.problem()
        if problem is not None:
            raise CliError(problem)
    engine.prepare()
    sampled = options.mode == "sampling"
    sys.argv = [options.script, *options.arguments]
    if not options.module:
        sys.path[0] = os.path.dirname(os.path.abspath(options.script))
    status = 0
    try:
        recording = _core.Recording(options.c_calls, max_bytes=256 << 20, max_nodes=4_000_000, sampled=sampled,
                                    lines=options.mode == "lines")
    except RuntimeError as error:
        raise CliError(str(error)) from None
    saving = _Saving(options, recording, store)
    saving.watch_signals()
    recording.enter()
    try:
        if options.module:
            runpy.run_module(options.script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(options.script, run_name="__main__")
    except SystemExit as error:
        status = _status(error.code)
    except BaseException as error:
        _print_traceback(error)
        status = 1
        if isinstance(error, KeyboardInterrupt):
            status = 128 + signal.SIGINT
            saving.ends_by = signal.SIGINT
    saving.save(status)
    return status


class _Saving:
    """The profile of a script, stored once, however the script ends."""

    def __init__(self, options: argparse.Namespace, recording: _core.Recording, store: Store | None) -> None:
        self._options = options
        self._recording = recording
        self._store = store
        self._started = time.time_ns()
        self._pid = os.getpid()
        self._begun = False
        #: The signal by which the process ends when all else is done.
        self.ends_by: int | None = None

    def watch_signals(self) -> None:
        """SIGTERM, SIGHUP (the terminal was closed) and SIGINT, where they would end the process at once. Python's
        KeyboardInterrupt and what is ignored (nohup) stay; a script that sets a handler of its own replaces this one,
        as it would the default."""
        atexit.register(self._end)  # registered first, so it runs after the script's own
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        """Saves and dies by the signal. No exception: a script could catch it, and runs none without us either."""
        if self._pid != os.getpid():  # a fork's child has this handler, but nothing to save
            _die(number)
        if self._begun:  # being stored just now, by the code that this interrupted
            self.ends_by = number
            return
        try:
            self.save(128 + number)
        except BaseException as error:
            print(f"slowlens: the profile could not be saved: {error}", file=sys.stderr)
        _die(number)

    def _end(self) -> None:
        if self.ends_by is not None and self._pid == os.getpid():
            _die(self.ends_by)

    def save(self, status: int) -> None:
        options, recording = self._options, self._recording
        if self._pid != os.getpid():  # a child that returned from the script: the profile is its parent's
            return
        self._begun = True
        recording.leave()
        recording.finish()
        meta = _meta(options, recording, self._started, status)
        blob = recording.encode(meta)
        recording.discard()
        if options.output is not None:
            with open(options.output, "wb") as file:
                file.write(blob)
            print(f"slowlens: {meta['wall_ns'] / 1e6:.1f} ms, profile in {options.output}", file=sys.stderr)
        else:
            assert self._store is not None
            row = {key: value for key, value in meta.items() if value is not None}
            row["hot"] = ""
            row["bytes"] = len(blob)
            self._store.put(row, blob)
            print(f"slowlens: {meta['wall_ns'] / 1e6:.1f} ms, slowlens show {meta['id']}", file=sys.stderr)


def _die(number: int) -> None:
    """By the signal itself, so that who waits for the process sees what killed it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, RuntimeError, ValueError):  # closed, gone, or in use by what was interrupted
            pass
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _status(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _print_traceback(error: BaseException) -> None:
    """As the interpreter would, without the frames of who ran it."""
    import traceback

    skip = (os.path.abspath(__file__), runpy.__file__, "<frozen runpy>")
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename in skip:
        at = at.tb_next
    traceback.print_exception(type(error), error, at)


def _meta(options: argparse.Namespace, recording: _core.Recording, started: int, status: int) -> dict[str, Any]:
    totals = recording.totals()
    sampled = options.mode == "sampling"
    return {
        "id": new_id(started), "started": started, "mode": "sampling" if sampled else "deterministic",
        "c_mode": None if sampled else options.c_calls, "method": "RUN", "path": options.script[:2000],
        "route": os.path.basename(options.script)[:500], "status": status, "kept": "run", "pid": os.getpid(),
        "python": f"{sys.implementation.name} {sys.version.split()[0]}", "wall_ns": totals["wall_ns"],
        "cpu_ns": totals["cpu_ns"], "gc_ns": totals["gc_ns"] or None, "nodes": totals["nodes"],
        "calls": None if sampled else totals["events"], "c_calls": None if sampled else totals["c_events"],
        "samples": totals["samples"] if sampled else None,
        **({} if sampled else engine.cost_meta()),
        "waiting_ns": max(0, totals["wall_ns"] - totals["cpu_ns"]),
        "flags": "truncated" if totals["truncated"] else None,
    }
