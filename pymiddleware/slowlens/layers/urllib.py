"""urllib.request."""

from __future__ import annotations

from . import Row

ROWS = (Row("urllib.request", "OpenerDirector.open", "http", "fullurl._full_url|fullurl.full_url|fullurl", "url"),)
