"""Tasks of queues, each a profile of its own: by the hooks that a queue offers for this, without a decorator on each.

    import slowlens.queues

    slowlens.queues.celery(slow_ms=1000)                        # where the app of Celery is made
    broker.add_middleware(slowlens.queues.Dramatiq(slow_ms=1000))

Options are those of the middlewares. Unless given, ``mode`` is "sampling", and ``keep`` "all". A task that runs inside
a profiled request (an eager one) is a span of that. RQ has no such hook: ``slowlens.profile`` on the function.
"""

from __future__ import annotations

from typing import Any

from .task import profile

__all__ = ["Dramatiq", "celery"]


class _Tasks:
    """The tasks that run, each from its hook before it to the one after it, in one thread."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._profile = profile(None, **{"mode": "sampling", **options})
        self._running: dict[str, Any] = {}

    def begin(self, key: str, name: str) -> None:
        run = self._profile.run(name)
        run.__enter__()
        self._running[key] = run

    def end(self, key: str, error: BaseException | None) -> None:
        run = self._running.pop(key, None)
        if run is not None:
            run.__exit__(None if error is None else type(error), error, None)


class _Failed(Exception):
    """Stands for what a task raised, where its queue only says that it did."""


def celery(**options: Any) -> None:
    """Every task that this process runs from here on, whatever app it is of, as method ``TASK`` under its name.

    :raises OptionsError: a wrong option.
    """
    from celery import signals

    tasks = _Tasks(options)

    def before(task_id: str = "", task: Any = None, **more: Any) -> None:
        tasks.begin(task_id, str(getattr(task, "name", task)))

    def after(task_id: str = "", state: str | None = None, **more: Any) -> None:
        tasks.end(task_id, _Failed(state) if state == "FAILURE" else None)

    # Called twice, the later options hold.
    signals.task_prerun.disconnect(dispatch_uid="slowlens")
    signals.task_postrun.disconnect(dispatch_uid="slowlens")
    signals.task_prerun.connect(before, weak=False, dispatch_uid="slowlens")
    signals.task_postrun.connect(after, weak=False, dispatch_uid="slowlens")


class Dramatiq:
    """A middleware of Dramatiq's: every message that this process works on, under its actor's name.

    :raises OptionsError: a wrong option.
    """

    def __new__(cls, **options: Any) -> Any:
        from dramatiq import Middleware

        tasks = _Tasks(options)

        class Profiler(Middleware):
            def before_process_message(self, broker: Any, message: Any) -> None:
                tasks.begin(message.message_id, message.actor_name)

            def after_process_message(self, broker: Any, message: Any, *, result: Any = None,
                                      exception: BaseException | None = None) -> None:
                tasks.end(message.message_id, exception)

            def after_skip_message(self, broker: Any, message: Any) -> None:
                tasks.end(message.message_id, None)

        return Profiler()
