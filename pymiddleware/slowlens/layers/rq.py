"""RQ: jobs that are sent, by their function's name."""

from __future__ import annotations

from . import Row

ROWS = (Row("rq.queue", "Queue.enqueue_job", "task", "job._func_name", "name", whole=True),)
