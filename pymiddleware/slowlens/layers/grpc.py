"""gRPC: calls of one message each way, by their method."""

from __future__ import annotations

from . import Row

_CALLS = ("_UnaryUnaryMultiCallable._blocking", "_StreamUnaryMultiCallable._blocking")

ROWS = tuple(Row("grpc._channel", name, "rpc", "self._method", "name") for name in _CALLS)
