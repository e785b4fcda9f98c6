"""aiohttp's client."""

from __future__ import annotations

from . import Row

ROWS = (
    Row("aiohttp.client", "ClientSession._request", "http", "str_or_url._netloc|str_or_url._val[1]|str_or_url", "url"),
)
