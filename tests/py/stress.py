"""Everything at once, for as long as asked: ``python stress.py SECONDS [sampling|deterministic|both [gently|stays]]``.

Threads and tasks that are profiled, cancelled, dropped half-way, encoded
elsewhere; code objects that are made and die; garbage collection; forks.
``stays``: no forks. ``gently``: forks when every other thread of the test
waits, for AddressSanitizer: its allocator's locks are taken by nobody around a
fork (here; libasan.so has no pthread_atfork), so a child that inherits one from
a thread that encoded, without the GIL, waits for it in its first malloc.
Prints one line of JSON at the end; a crash or a hang is the finding.
"""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import gc
import json
import os
import random
import sys
import threading
import time
from contextvars import copy_context
from typing import Any

from slowlens import _core, engine

counts = {"sync": 0, "async": 0, "messages": 0, "forks": 0}
stop = 0.0
MODE = (*sys.argv, "both", "both")[2]
FORKS = sys.argv[3:] != ["stays"]
GENTLY = sys.argv[3:] == ["gently"]
LOOPS = 6
resting: set[int] = set()
paused = threading.Event()
resumed = threading.Event()


def rest() -> None:
    """Between two requests: waits while the main thread forks."""
    if paused.is_set():
        resting.add(threading.get_ident())
        resumed.wait()
        resting.discard(threading.get_ident())


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def churn() -> None:
    """A code object that lives for one call."""
    space: dict[str, Any] = {}
    exec(f"def f_{random.randrange(1000)}(n):\n    return sorted([n, 1, 2], key=lambda x: -x)", space)
    for name, value in space.items():
        if name.startswith("f_"):
            value(3)


def generator(n: int) -> Any:
    try:
        yield from range(n)
    finally:
        len("x")


def deep(n: int) -> None:
    if n:
        deep(n - 1)


def half_a_generator() -> None:
    one = generator(5)
    next(one)
    one.close()


def failing() -> None:
    try:
        json.loads("{")
    except ValueError:
        pass


WORK = [
    lambda: fib(random.randrange(10)), churn, lambda: copy.deepcopy({i: [i] for i in range(20)}), half_a_generator,
    failing, lambda: gc.collect(0), lambda: deep(300), lambda: time.sleep(0.0005), lambda: list(map(str, range(50))),
]


def sampled() -> bool:
    return MODE == "sampling" or (MODE == "both" and random.random() < 0.5)


def work() -> None:
    random.choice(WORK)()


def synchronous() -> None:
    while time.monotonic() < stop:
        rest()
        profile = _core.Recording(random.choice(["none", "chosen", "all"]), max_nodes=random.choice([0, 20, 500]),
                                sampled=sampled(), goes_on=random.random() < 0.5, label=counts)
        for _ in range(random.randrange(1, 4)):
            profile.enter()
            for _ in range(random.randrange(10)):
                work()
            if random.random() < 0.05:
                thread = threading.Thread(target=copy_context().run, args=(work,))
                thread.start()
                if random.random() < 0.7:
                    thread.join()
            profile.leave()
        counts["sync"] += 1
        chance = random.random()
        if chance < 0.1:
            del profile
        elif chance < 0.2:
            profile.discard()
        else:
            profile.finish()
            if chance < 0.6:
                _core.Profile(profile.encode({"a": 1})).summary()
            else:
                threading.Thread(target=encode_and_discard, args=(profile,)).start()
        if random.random() > 0.97:
            _core.engine_idle(0)


def encode_and_discard(profile: _core.Recording) -> None:
    profile.encode({"b": "c"})
    profile.discard()


async def child(n: int) -> None:
    work()
    await asyncio.sleep(0.001 * n)
    work()


async def app() -> None:
    work()
    await asyncio.gather(*(child(i % 3) for i in range(4)))
    task = asyncio.create_task(child(5))
    if random.random() < 0.5:
        task.cancel()
    await asyncio.to_thread(work)
    if random.random() < 0.1:
        raise KeyError


async def messages() -> None:
    """One step, one profile after the other, as a websocket has them."""
    async def serve() -> None:
        for _ in range(4):
            await asyncio.sleep(0)
            profile = _core.Recording(random.choice(["none", "all"]), follows=True, sampled=sampled())
            step.follow(profile)
            work()
            await asyncio.sleep(0.001)
            work()
            if random.random() < 0.8:
                profile.finish()
                _core.Profile(profile.encode({}))
        step.follow(None)

    step = _core.step(serve())
    try:
        await asyncio.wait_for(step, random.choice([0.003, 1]))
    except TimeoutError:
        pass
    counts["messages"] += 1


async def request() -> None:
    profile = _core.Recording(random.choice(["chosen", "all"]), follows=True, sampled=sampled(), label=counts,
                            max_nodes=random.choice([0, 50]), goes_on=True)
    try:
        await asyncio.wait_for(profile.step(app()), random.choice([0.003, 1]))
    except (KeyError, TimeoutError):
        pass
    profile.finish()
    counts["async"] += 1
    if random.random() < 0.5:
        _core.Profile(profile.encode({})).tree(0, 5)


async def loop() -> None:
    while time.monotonic() < stop:
        rest()
        await asyncio.gather(*(request() for _ in range(20)), *(messages() for _ in range(3)))


def all_rest() -> bool:
    """Whether every loop waits, and no thread is left of those that encode or were asked to work."""
    return len(resting) == LOOPS and not [
        one for one in threading.enumerate() if one.ident not in resting and one is not threading.main_thread()
        and not one.name.startswith("asyncio_")]  # the pool's, which wait for work


def fork_gently() -> None:
    resumed.clear()
    paused.set()
    while not all_rest() and time.monotonic() < stop:
        time.sleep(0.01)
    if all_rest():
        time.sleep(0.05)  # a thread ends a little later than Python says
        fork()
    paused.clear()
    resumed.set()


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        profile = _core.Recording("all", sampled=sampled())
        profile.enter()
        fib(12)
        profile.leave()
        profile.finish()
        _core.Profile(profile.encode({}))
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status:
        sys.exit(f"a child ended with status {status}")
    counts["forks"] += 1


def main() -> None:
    global stop
    faulthandler.enable()
    engine.prepare()
    _core.sampler_configure(random.choice([0.0001, 0.001]), 0)
    sys.setswitchinterval(1e-4)
    stop = time.monotonic() + float(sys.argv[1])
    failures: list[Any] = []
    threading.excepthook = lambda args: failures.append(args) or threading.__excepthook__(args)
    threads = [threading.Thread(target=synchronous) for _ in range(5)]
    threads.append(threading.Thread(target=lambda: asyncio.run(loop())))
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        time.sleep(0.5)
        if FORKS:
            fork_gently() if GENTLY else fork()
    paused.clear()
    resumed.set()
    for thread in threads:
        thread.join()
    print(json.dumps({**counts, "active": _core.active_count(), "sampler": _core.engine_info()["sampler"]}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
