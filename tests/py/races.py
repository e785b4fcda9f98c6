"""What runs at once in slowlens, run at once: for ThreadSanitizer (tests/sanitize.sh). Ends by itself."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time

from slowlens import _core, engine

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0


def work() -> None:
    pass


def threads(sampled: bool) -> None:
    """A request in this thread, its work in another, a look at both every 200 microseconds; encoded, discarded."""
    recording = _core.Recording("none", follows=True, sampled=sampled)
    recording.enter()
    context = contextvars.copy_context()
    stop = threading.Event()

    def other() -> None:
        while not stop.wait(0.0001):
            context.run(work)

    thread = threading.Thread(target=other)
    thread.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        sum(range(50))
        work()
    stop.set()
    thread.join()
    recording.leave()
    recording.finish()
    encoder = threading.Thread(target=recording.encode, args=({},))
    encoder.start()
    recording.discard()
    encoder.join()


async def tasks() -> None:
    """Steps of tasks while the sampler looks."""
    async def child() -> None:
        await asyncio.sleep(0.001)

    async def app() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await asyncio.gather(child(), child())
            _core.engine_info()

    recording = _core.Recording("none", follows=True, sampled=True)
    await recording.step(app())
    recording.finish()
    recording.discard()


def main() -> None:
    engine.prepare()
    _core.sampler_configure(200e-6, 0)
    threads(sampled=False)
    threads(sampled=True)
    asyncio.run(tasks())
    _core.sampler_stop()


if __name__ == "__main__":
    main()
