"""Dramatiq: messages that are sent, by their actor's name."""

from __future__ import annotations

from . import Row

ROWS = (Row("dramatiq.actor", "Actor.send_with_options", "task", "self.actor_name", "name"),)
