"""gRPC: calls by their method. Those that answer later (streams, futures, asyncio) are told until they have begun."""

from __future__ import annotations

from . import Row

_CALLS = (
    "_UnaryUnaryMultiCallable._blocking", "_StreamUnaryMultiCallable._blocking", "_UnaryUnaryMultiCallable.future",
    "_StreamUnaryMultiCallable.future", "_UnaryStreamMultiCallable.__call__",
    "_SingleThreadedUnaryStreamMultiCallable.__call__", "_StreamStreamMultiCallable.__call__",
)
_ASYNC = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")

ROWS = (
    *(Row("grpc._channel", name, "rpc", "self._method", "name") for name in _CALLS),
    *(Row("grpc.aio._channel", f"{name}MultiCallable.__call__", "rpc", "self._method", "name") for name in _ASYNC),
)
