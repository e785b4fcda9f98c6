"""aiohttp's client: each request that goes out (a redirect is one of its own in releases of 2025 and later)."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("aiohttp.client", "ClientSession._request.<locals>._connect_and_send_request|ClientSession._request", "http",
        "req.url._netloc|req.url._val[1]|str_or_url._netloc|str_or_url._val[1]|str_or_url", "url"),
)
