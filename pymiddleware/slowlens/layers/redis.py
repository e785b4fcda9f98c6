"""redis-py, synchronous and asynchronous: the command's name, never keys or values."""

from __future__ import annotations

from . import Row

_CLIENTS = (
    ("redis.client", "Redis"), ("redis.asyncio.client", "Redis"), ("redis.cluster", "RedisCluster"),
    ("redis.asyncio.cluster", "RedisCluster"),
)
_PIPELINES = (("redis.client", "Pipeline"), ("redis.asyncio.client", "Pipeline"), ("redis.cluster", "ClusterPipeline"))

ROWS = (
    *(Row(module, f"{client}.execute_command", "cache", "args[0]", "name") for module, client in _CLIENTS),
    *(Row(module, f"{client}.execute", "cache", "=PIPELINE", "name", whole=True) for module, client in _PIPELINES),
)
