"""urllib3, and requests, which sends by it: each request that goes out (a retry or a redirect is one of its own)."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("urllib3.connectionpool", "HTTPConnectionPool._make_request", "http", "self.host", "host", "self.port",
        whole=True),
)
