"""Run by test_safety: every allocation of the interpreter fails once, in each call that a request makes of _core.

What comes of it is a MemoryError, or nothing; afterwards the next recording works. (Not two at once: CPython's own
PyContextVar_Set crashes then, here as for an application that sets a variable.)
"""

from __future__ import annotations

import _testcapi
import asyncio
import sys
from collections.abc import Callable

from slowlens import _core, engine


def deep(levels: int) -> int:
    return deep(levels - 1) if levels else len(str(levels))


def sync(sampled: bool) -> None:
    recording = _core.Recording("all", follows=True, sampled=sampled, label="x")
    recording.enter()
    deep(5)
    recording.leave()
    recording.finish()
    recording.totals()
    profile = _core.Profile(recording.encode({"mode": "deterministic", "path": "/x"}))
    for report in (profile.summary, profile.tree, profile.functions, profile.text, profile.flame, profile.repeats,
                   profile.spans, profile.meta, profile.timeline):
        report()
    profile.export("json")
    profile.diff(profile)
    recording.discard()


def checkpoint(sampled: bool) -> None:
    recording = _core.Recording("none", follows=True, sampled=sampled)
    recording.enter()
    deep(3)
    _core.checkpoint(recording, {"path": "/x"})
    recording.leave()
    recording.finish()
    recording.discard()


async def app() -> None:
    deep(3)
    await asyncio.sleep(0)


def steps(sampled: bool) -> None:
    recording = _core.Recording("none", follows=True, sampled=sampled)
    running = recording.step(app()).__await__()
    try:
        while True:
            running.send(None)
    except StopIteration:
        pass
    recording.finish()
    recording.encode({})
    recording.discard()


def fails_once(work: Callable[[bool], None], sampled: bool) -> str | None:
    """The first thing other than a MemoryError."""
    set_hooks, remove, fine = _testcapi.set_nomemory, _testcapi.remove_mem_hooks, 0
    for nth in range(1, 2000):
        set_hooks(nth, nth + 1)
        try:
            work(sampled)
        except MemoryError:
            remove()
            fine = 0
        except BaseException as error:
            remove()
            return f"{work.__name__}, {sampled}, allocation {nth}: {error!r}"
        else:
            remove()
            fine += 1
            if fine > 40:  # past the last one of the call
                break
    work(sampled)
    return None


engine.prepare()
bad = []
for work in (sync, checkpoint, steps):
    for sampled in (False, True):
        work(sampled)
        bad.append(fails_once(work, sampled))
print(*filter(None, bad), sep="\n", end="")
sys.exit(any(bad))
