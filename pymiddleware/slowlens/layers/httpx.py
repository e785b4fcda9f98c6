"""httpx (and httpx2): each request that goes out, by whatever transport."""

from __future__ import annotations

from . import Row

ROWS = tuple(
    Row(f"{package}._client", f"{client}._send_single_request", "http", "request.url._uri_reference[2]", "host",
        "request.url._uri_reference[3]")
    for package in ("httpx", "httpx2") for client in ("Client", "AsyncClient")
)
