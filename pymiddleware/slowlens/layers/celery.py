"""Celery: tasks that are sent, by their name."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("celery.app.task", "Task.apply_async", "task", "self.name", "name"),
    Row("celery.app.base", "Celery.send_task", "task", "name", "name"),
)
