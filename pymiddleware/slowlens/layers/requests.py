"""requests: each request that goes out; below it urllib3 sends the same one."""

from __future__ import annotations

from . import Row

ROWS = (Row("requests.adapters", "HTTPAdapter.send", "http", "request.url", "url"),)
