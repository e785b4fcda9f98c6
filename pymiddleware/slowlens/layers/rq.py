"""RQ: jobs that are sent, now or later, alone or many at once, by their function's name."""

from __future__ import annotations

from . import Row

_SENDS = ("enqueue_job", "_enqueue_job", "schedule_job")

ROWS = tuple(Row("rq.queue", f"Queue.{name}", "task", "job._func_name", "name", whole=True) for name in _SENDS)
