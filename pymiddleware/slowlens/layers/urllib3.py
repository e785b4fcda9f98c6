"""urllib3, and requests, which sends by it: each request that goes out (a retry or a redirect is one of its own).
A proxy is asked for a whole URL over plain http: then the host is of that."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("urllib3.connectionpool", "HTTPConnectionPool._make_request", "http", "url://|self.host", "host",
        "self.port", whole=True),
)
