"""Jinja2: what is rendered, by template and block, whether it is asked for or included. Its functions are made when a
template is loaded, and found then."""

from __future__ import annotations

from . import Row

ROWS = (Row("jinja2.environment", "Template._from_namespace", "template", "", "jinja2"),)
