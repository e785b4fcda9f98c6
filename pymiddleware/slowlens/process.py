"""The life of a process as its writers meet it: its forks, its end, and what uWSGI makes of both.

Whoever has a thread is told before each fork, and lets it end: a copy of the process copies no thread. The other way
round nothing here knows what a writer does.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from . import _core, engine

__all__ = ["close_all", "nobody_else_runs", "parked", "watch"]


class Lives(Protocol):
    """Who is told."""

    @property
    def wanted(self) -> bool:
        """Whether its thread has something to do."""

    def start(self) -> bool:
        """Has its thread run. False: there is none to be had."""

    def end(self, seconds: float) -> None:
        """Waits for its thread, which sees that it shall end."""

    def reset(self) -> None:
        """As new, for this process."""

    def close(self) -> None:
        """The process ends."""


_live: list[weakref.ref[Lives]] = []
_hooked = False
#: Until when, at most, a fork is under way: no thread of ours shall be copied. What lifts it is the main thread, which
#: may be busy elsewhere.
_parked_until = 0.0
PARK_SECONDS = 0.2
_sampler_ran = False


def watch(one: Lives) -> None:
    """From now on it is told of forks and of the end."""
    global _hooked
    if engine.refused() is not None:
        return  # nothing will ever be put
    _live[:] = [reference for reference in list(_live) if reference() is not None]
    _live.append(weakref.ref(one))
    if not _hooked:
        _hooked = True
        engine.on_fork(_after_in_child)
        if hasattr(os, "register_at_fork"):
            # Not before os.fork, behind the last of its hooks, has looked for threads and warned of them: so by no
            # step in Python, after which what is pending would run.
            os.register_at_fork(before=_before_fork, after_in_parent=partial(_core.call_soon, _resume))
        atexit.register(close_all)
        _hook_uwsgi()
    if engine.is_child() and "multiprocessing.util" in sys.modules:
        from multiprocessing.util import Finalize

        Finalize(None, close_all, exitpriority=0)  # its children end without atexit


def _all() -> list[Lives]:
    return [one for reference in list(_live) if (one := reference()) is not None]


def close_all() -> None:
    """The process ends."""
    for one in _all():
        one.close()


def parked() -> bool:
    """Whether a fork is under way: who runs a thread lets it end."""
    return _parked_until != 0.0 and time.monotonic() < _parked_until


def _before_fork() -> None:
    global _parked_until, _sampler_ran
    _parked_until = time.monotonic() + 5.0
    for one in _all():
        one.end(1.0)
    _sampler_ran = _core.sampler_stop() or _sampler_ran  # or another thread has stopped it, to fork as well
    _parked_until = time.monotonic() + PARK_SECONDS


def _resume() -> None:
    """In the parent: the threads that did run start again."""
    global _parked_until, _sampler_ran
    if not engine.is_set_up_here():
        return  # another thread forked while this waited to be called: a child that has yet to let go of its parent's
    _parked_until = 0.0
    if _sampler_ran:
        _sampler_ran = False
        _core.sampler_resume()
    for one in _all():
        if one.wanted:
            one.start()


def _after_in_child() -> None:
    global _parked_until, _sampler_ran
    _parked_until, _sampler_ran = 0.0, False
    for one in _all():
        one.reset()


def _uwsgi() -> Any:
    """The module that uWSGI has in its own interpreter; None: this is another server."""
    if "uwsgi" not in sys.builtin_module_names:
        return None
    try:
        return import_module("uwsgi")
    except ImportError:
        return None


def nobody_else_runs() -> bool:
    """uWSGI without threads keeps the interpreter's lock between requests: no thread of ours would ever run."""
    options = getattr(_uwsgi(), "opt", None)
    return options is not None and not any(
        options.get(name) for name in ("enable-threads", "threads", "gevent", "asyncio"))


def _hook_uwsgi() -> None:
    """With an event loop of its own uWSGI ends workers without atexit, but calls this first; whose it was goes on."""
    uwsgi = _uwsgi()
    if uwsgi is None:
        return
    before = getattr(uwsgi, "atexit", None)

    def at_end() -> None:
        try:
            close_all()
        finally:
            if callable(before):
                before()

    uwsgi.atexit = at_end
