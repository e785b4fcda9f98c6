"""urllib.request: each request that goes out (a redirect is one of its own); http.client where it is used by itself."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("urllib.request", "AbstractHTTPHandler.do_open", "http", "req._full_url", "url", whole=True),
    Row("http.client", "HTTPConnection.getresponse", "http", "self.host", "host", "self.port"),
)
