"""Dramatiq: messages that are sent, by their actor's name."""

from __future__ import annotations

from . import Row

_BROKERS = (("redis", "RedisBroker"), ("rabbitmq", "RabbitmqBroker"), ("stub", "StubBroker"))

ROWS = (
    Row("dramatiq.actor", "Actor.send_with_options", "task", "self.actor_name", "name"),
    # Groups and pipelines.
    *(Row(f"dramatiq.brokers.{module}", f"{broker}.enqueue", "task", "message.actor_name", "name")
      for module, broker in _BROKERS),
)
