"""Sets the C core up once per process: whose code is whose, which clock, fork.

``CHOSEN`` is the shipped part of ``c_calls="chosen"``: files (by a part of
their name) where applications wait or repeat. C functions called from there
and from the project's own code are recorded.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

from . import _core, layers, ownership

__all__ = [
    "CHOSEN", "cost_ns", "forked", "info", "interval_ns", "is_child", "limit_memory", "on_fork", "prepare", "refused",
    "sampling", "unsampled", "why_not",
]

CHOSEN = (
    # databases
    "/django/db/backends/", "/sqlalchemy/engine/", "/sqlite3/", "/psycopg/", "/psycopg2/",
    "/pymysql/", "/MySQLdb/", "/asyncpg/", "/pymongo/", "/redis/connection.py",
    # sockets and HTTP
    "/socket.py", "/ssl.py", "/http/client.py", "/urllib3/connection", "/requests/adapters.py",
    "/httpcore/", "/asyncio/selector_events.py",
    # caches, templates, JSON
    "/django/core/cache/", "/jinja2/environment.py", "/json/__init__.py", "/json/encoder.py",
    "/json/decoder.py",
)

_prepared = False
_children: list[Callable[[], None]] = []


def _kernel_trusts_tsc() -> bool:
    try:
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource") as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


#: The process that loaded us, and the one that we are set up for.
_loaded_pid = _pid = os.getpid()


def _after_fork() -> None:
    global _pid
    _pid = os.getpid()
    _core.after_fork()
    for call in _children:
        call()


def forked() -> None:
    """Somebody forked without Python's hooks (uWSGI does): what they would have done. Idempotent."""
    if _pid != os.getpid():
        _after_fork()


def is_child() -> bool:
    """Whether this process was forked off after slowlens was loaded, or is one of multiprocessing's: such processes
    may end without a word (``os._exit``)."""
    if os.getpid() != _loaded_pid:
        return True
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and processes.parent_process() is not None


def on_fork(call: Callable[[], None]) -> None:
    """Calls ``call`` in each forked child, after the core has let go of the parent's profiles."""
    _children.append(call)


def refused() -> str | None:
    """Why the extension was not loaded into this interpreter (:mod:`slowlens.interpreter`); None: it was."""
    reason: str | None = vars(_core).get("reason")
    return reason


def prepare() -> None:
    """Configures the core. Idempotent; cheap after the first time."""
    global _prepared
    if _prepared or refused() is not None:
        return
    _prepared = True
    ownership.configure(CHOSEN, _kernel_trusts_tsc())
    gc.callbacks.append(_core.gc_hook)
    _test_sampler(ownership.OWN)
    layers.install()
    _core.probes_install()
    atexit.register(_core.sampler_stop)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    try:
        _calibrate()
    except RuntimeError:
        pass  # no engine is free now; said when a request wants one


#: ns per recorded Python call and per recorded C call, measured in this process.
_costs = (0.0, 0.0)


def cost_ns(events: int, c_events: int) -> int:
    """What recording so many calls cost, estimated. 0: not measured."""
    return int(events * _costs[0] + c_events * _costs[1])


_unsampled: str | None = None


def _test_sampler(own: str) -> None:
    """Lets the sampler look at a stack with every kind of frame in it; what it finds is in ``info``."""

    def recursive(depth: int) -> object:
        return recursive(depth - 1) if depth else list(map(lambda generator: next(generator), [through()]))

    def through() -> Iterator[str | None]:
        yield from inner()

    def inner() -> Iterator[str | None]:
        yield _core.sampler_test(own)

    def crowded() -> None:
        for number in range(100):  # the variables of a context are a trie: fill several levels of it
            variable: ContextVar[int] = ContextVar(f"slowlens_test_{number}")
            variable.set(number)
        recursive(20)

    copy_context().run(crowded)
    global _unsampled
    _unsampled = _core.engine_info()["sampler"]["why_not"]


def unsampled() -> str | None:
    """Why nothing can be sampled here; None: it can."""
    return _unsampled


_interval_us = 0


def interval_ns() -> int:
    """The time between two samples that was asked for; the brake may make it longer."""
    return _interval_us * 1000


def sampling(interval_us: int, cpu_percent: float) -> None:
    """How often the sampler looks, and what it may cost. Of several callers the one who looks most often wins."""
    global _interval_us
    if _interval_us == 0 or interval_us < _interval_us:
        _interval_us = interval_us
        _core.sampler_configure(interval_us / 1e6, cpu_percent)


_max_active_bytes = 0


def limit_memory(max_active_bytes: int) -> None:
    """What all recordings of the process may hold at once. Of several callers the most generous wins."""
    global _max_active_bytes
    if max_active_bytes > _max_active_bytes:
        _max_active_bytes = max_active_bytes
        _core.limit_memory(max_active_bytes)


def _calibrate() -> None:
    """Loops with and without a profile; under a millisecond, before there is anything to disturb."""
    global _costs

    def empty() -> None:
        pass

    def python_calls() -> int:
        start = time.perf_counter_ns()
        for _ in rounds:
            empty()
        return time.perf_counter_ns() - start

    def c_calls() -> int:
        start = time.perf_counter_ns()
        for _ in rounds:
            callable(None)
        return time.perf_counter_ns() - start

    rounds = range(200)
    costs = []
    for run, mode in ((python_calls, "none"), (c_calls, "all")):
        without = min(run() for _ in range(5))
        recording = _core.Recording(mode)
        recording.enter()
        try:
            within = min(run() for _ in range(5))
        finally:
            recording.discard()
            _core.engine_idle(0)
        costs.append(max(0, within - without) / len(rounds))
    _costs = (costs[0], costs[1])


def why_not() -> str | None:
    """Why no profile could be recorded now, in one sentence; None: all is well."""
    if refused() is not None:
        return refused()
    prepare()
    try:
        recording = _core.Recording("none")
    except RuntimeError as error:
        return str(error)
    recording.discard()
    return None


def info() -> dict[str, Any]:
    """What records the events here, and its state."""
    reason = refused()
    if reason is not None:
        return {"python": sys.version.split()[0], "name": None, "refused": reason, "sampler": {"why_not": reason}}
    prepare()
    return {"python": sys.version.split()[0], **_core.engine_info()}
