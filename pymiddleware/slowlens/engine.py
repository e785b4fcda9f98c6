"""Sets the C core up once per process: whose code is whose, which clock, fork.

``CHOSEN`` is the shipped part of ``c_calls="chosen"``: files (by a part of
their name) where applications wait or repeat. C functions called from there
and from the project's own code are recorded.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from threading import get_native_id
from typing import Any

from . import _core, layers, ownership, throttling
from .interpreter import opcodes
from .lock import Lock

__all__ = [
    "CHOSEN", "cost_meta", "cost_ns", "forked", "info", "interval_ns", "is_child", "is_set_up_here", "limit_memory",
    "on_fork", "prepare", "refused", "sampling", "unsampled", "why_not",
]

CHOSEN = (
    # databases
    "/django/db/backends/", "/sqlalchemy/engine/", "/sqlite3/", "/psycopg/", "/psycopg2/",
    "/pymysql/", "/MySQLdb/", "/aiosqlite/core.py", "/asyncpg/", "/pymongo/", "/redis/connection.py",
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
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource", encoding="utf-8") as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


def _forked_from_another() -> bool:
    """Whether this process was forked off and has not loaded a program of its own since (PF_FORKNOEXEC, proc(5))."""
    try:
        with open("/proc/self/stat", "rb") as file:
            return bool(int(file.read().rpartition(b")")[2].split()[6]) & 0x40)
    except (OSError, ValueError, IndexError):
        return False


#: Whether somebody's fork loaded us: RQ's children import what they run.
_loaded_in_fork = _forked_from_another()
#: The process that loaded us, and the one that we are set up for.
_loaded_pid = _pid = os.getpid()


#: Whoever lets go of the parent's state holds it; others wait. And that thread, by the system's number.
_letting_go = Lock()
_letting_go_in = 0


def _after_fork() -> None:
    """In a forked child, while it has one thread."""
    global _letting_go
    _letting_go = Lock()
    forked()


def forked() -> None:
    """Somebody forked without Python's hooks (uWSGI does): what they would have done. Idempotent.

    Several threads may be the first that have a request: none goes on before all that was the parent's is let go of.
    """
    global _pid, _letting_go_in
    if _pid == os.getpid() or _letting_go_in == get_native_id():
        return
    lock = _letting_go
    taken = lock.acquire(5.0)  # a fork in the middle of this leaves it taken for ever
    try:
        if _pid == os.getpid():
            return
        _letting_go_in = get_native_id()
        _core.after_fork()
        for call in _children:
            call()
        _pid = os.getpid()
    finally:
        _letting_go_in = 0
        if taken:
            lock.release()


def is_set_up_here() -> bool:
    """False in a forked child whose hooks have not run yet: all that is there belongs to its parent."""
    return _pid == os.getpid()


def is_child() -> bool:
    """Whether this process was forked off and runs on as it is, or is one of multiprocessing's: such processes may
    end without a word (``os._exit``)."""
    if _loaded_in_fork or os.getpid() != _loaded_pid:
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
    try:
        _core.sampler_opcodes(opcodes())
    except (AttributeError, LookupError, TypeError, ValueError):
        pass  # a CPython that tells of its instructions in another way: C functions have no names in samples
    _test_sampler(ownership.OWN)
    layers.install()
    _core.probes_install()
    throttling.prepare()
    atexit.register(_core.sampler_stop)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    try:
        _calibrate()
    except RuntimeError:
        pass  # no engine is free now; said when a request wants one


#: ns per recorded Python call and per recorded C call, measured in this process.
_costs = (0.0, 0.0)
#: The same told apart by who is charged with it, in picoseconds, as metadata; readers take it off.
_cost_meta: dict[str, int] = {}


def cost_ns(events: int, c_events: int) -> int:
    """What recording so many calls cost, estimated. 0: not measured."""
    return int(events * _costs[0] + c_events * _costs[1])


def cost_meta() -> dict[str, int]:
    """Metadata of a deterministic profile: what an event costs whom, measured in this process."""
    return _cost_meta


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
    """Loops with and without a profile; some milliseconds, before there is anything to disturb."""
    global _costs
    few, many = range(100), range(500)
    depths = {len(few): 4, len(many): 6}
    rounds = many

    def empty() -> None:
        pass

    def python_calls() -> int:
        start = time.perf_counter_ns()
        for _ in rounds:
            empty()
        return time.perf_counter_ns() - start

    def one(depth: int) -> None:
        if depth:
            one(depth - 1)
            other(depth - 1)

    def other(depth: int) -> None:
        if depth:
            one(depth - 1)
            other(depth - 1)

    def new_nodes() -> int:  # each call has one of its own
        start = time.perf_counter_ns()
        one(depths[len(rounds)])
        return time.perf_counter_ns() - start

    def yielding() -> Iterator[int]:
        yield from rounds

    def resumes() -> int:
        start = time.perf_counter_ns()
        for _ in yielding():
            pass
        return time.perf_counter_ns() - start

    def c_calls() -> int:
        start = time.perf_counter_ns()
        for _ in rounds:
            callable(None)
        return time.perf_counter_ns() - start

    def nothing() -> int:
        start = time.perf_counter_ns()
        for _ in rounds:
            pass
        return time.perf_counter_ns() - start

    def recorded(run: Callable[[], int], mode: str) -> tuple[int, int]:
        """ns that the loop takes, and how long what it calls seems to take itself; least of several times."""
        within, inside = [], []
        for _ in range(5):
            recording = _core.Recording(mode)
            recording.enter()
            try:
                within.append(run())
                recording.leave()
                recording.finish()
                rows = json.loads(_core.Profile(recording.encode({}, 1)).functions())["rows"]
            finally:
                recording.discard()
            inside += [row["self_ns"] for row in rows if row["calls"] + row["resumes"] >= len(rounds)]
        return min(within), min(inside, default=0)

    def measure(run: Callable[[], int], mode: str) -> tuple[float, float]:
        """ns that a call costs more in all, and how long it seems itself, as recorded: of one more call.

        The first calls of a recording (memory that was not touched yet, a function without a number) cost far more.
        """
        nonlocal rounds
        within, inside, bare = [], [], []
        for length in (few, many):
            rounds = length
            in_all, itself = recorded(run, mode)
            within.append(in_all)
            inside.append(itself)
        _core.engine_idle(0)
        for length in (few, many):
            rounds = length
            bare.append(min(run() for _ in range(5)))
        more = len(many) - len(few)
        return (max(0, within[1] - within[0] - bare[1] + bare[0]) / more, max(0, inside[1] - inside[0]) / more)

    def between(cost: float, seems: float, run: Callable[[], int]) -> float:
        """The part of it that lies between the two clock reads. Of a bare call about half does: the function itself."""
        bare = (min(run() for _ in range(5)) / len(rounds) - loop) / 2
        return min(cost, max(0, seems - bare))

    loop = min(nothing() for _ in range(5)) / len(rounds)
    python, python_self = measure(python_calls, "none")
    resume, resume_self = measure(resumes, "none")
    nodes, _ = measure(new_nodes, "none")
    nodes *= (len(many) - len(few)) / (2 ** (depths[len(many)] + 1) - 2 ** (depths[len(few)] + 1))
    python_sites, _ = measure(python_calls, "all")
    c, c_self = measure(c_calls, "all")
    _costs = (python, c)
    inside = between(python, python_self, python_calls)
    resume_inside = between(resume, resume_self, resumes)
    c_inside = between(c, c_self, c_calls)
    space: dict[str, Any] = {}
    # Of the project, as whatever is nobody else's: only such functions are told line by line.
    source = "def lines(rounds):\n for _ in rounds:\n  pass\n  pass\n"
    exec(compile(source, os.sep + "slowlens-lines.py", "exec"), space)

    def lines() -> int:
        start = time.perf_counter_ns()
        space["lines"](rounds)
        return time.perf_counter_ns() - start

    def measure_lines(told: bool) -> int:
        took = []
        for _ in range(5):
            recording = _core.Recording("none", lines=told)
            recording.enter()
            try:
                took.append(lines())
            finally:
                recording.discard()
        return min(took)

    line = (measure_lines(True) - measure_lines(False)) / (3 * len(rounds))
    _core.engine_idle(0)
    costs = {"line": line, "python": inside, "python_caller": python - inside,
             "resume": resume_inside, "resume_caller": resume - resume_inside, "c": c_inside, "c_caller": c - c_inside,
             "site": max(0, python_sites - python), "node": nodes - python}
    _cost_meta.update({f"cost_{name}_ps": round(1000 * cost) for name, cost in costs.items() if cost > 0})


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
