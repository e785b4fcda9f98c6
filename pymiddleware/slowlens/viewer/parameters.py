"""What the viewer's API takes: the one place where ids, cursors, numbers, words and headers of a request are checked.

A route names its parameters as :class:`Parameter`; ``read`` gives its handler
checked values or raises :class:`BadRequest` with one sentence. The same rows
make the OpenAPI description (``describe``), which the tests hand to a fuzzer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ..auth import from_elsewhere
from ..request import ID, Incoming, id_time_ns
from ..store.interface import SORTS
from .profiles import AGGREGATE

__all__ = ["BadRequest", "Missing", "Parameter", "check_headers", "check_ref", "describe", "read"]

QUERY_MAX = 8000
FIELDS_MAX = 50
TEXT_MAX = 2000
#: No clock shows times from the year 10000 on.
LAST_NS = 253_402_300_800 * 10**9


class BadRequest(Exception):
    """The client asked for something that makes no sense."""


class Missing(Exception):
    """There is no such profile."""


class Parameter(NamedTuple):
    """One parameter of a query.

    ``kind``: ``whole`` (number from ``least`` to ``most``), ``ms`` (milliseconds), ``word`` (one of ``words``),
    ``text``, ``flag`` (0 or 1), ``id``, ``ref`` (an id or "aggregate"), ``status``, ``sort``, ``cursor``,
    ``zone`` (minutes east of UTC).
    """

    name: str
    kind: str
    doc: str
    default: Any = None
    least: int = 0
    most: int = 0
    words: tuple[str, ...] = ()
    required: bool = False


_STATUS = re.compile(r"error|[1-9]xx|[0-9]{1,3}")
_ZONE = re.compile(r"-?[0-9]{1,4}")
_CURSOR = re.compile(r"[A-Za-z0-9_=.~-]{1,4000}")
SORT_WORDS = tuple(sign + re.sub(r"_ns\Z", "_ms", name) for name in SORTS for sign in ("", "-"))


def check_ref(text: str, aggregate: bool = True) -> str:
    """An id, or "aggregate". :raises Missing: it is neither, so there is no such profile."""
    if aggregate and text == AGGREGATE:
        return text
    if ID.match(text) is None or id_time_ns(text) >= LAST_NS:
        raise Missing("no such profile: this is not the id of one")
    return text


def _value(row: Parameter, text: str) -> Any:
    if row.kind == "whole":
        if not (text.isascii() and text.isdigit()) or len(text) > 12 or not row.least <= int(text) <= row.most:
            raise BadRequest(f"{row.name} is a number from {row.least} to {row.most}")
        return int(text)
    if row.kind == "ms":
        try:
            number = float(text) if len(text) <= 30 and text.isascii() and "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if not 0 <= number < 9e12:
            raise BadRequest(f"{row.name} is a number of milliseconds")
        return int(number * 1e6)
    if row.kind == "zone":
        if _ZONE.fullmatch(text) is None or abs(int(text)) >= 1440:
            raise BadRequest(f"{row.name} is a number of minutes, less than a day")
        return int(text)
    if row.kind == "flag":
        if text not in ("0", "1"):
            raise BadRequest(f"{row.name} is 0 or 1")
        return text == "1"
    if row.kind == "word":
        if text not in row.words:
            raise BadRequest(f"{row.name} is one of {', '.join(row.words)}")
    elif row.kind == "sort":
        if text not in SORT_WORDS:
            raise BadRequest("sort is the name of a column, with - before it for the largest first")
        return re.sub(r"_ms\Z", "_ns", text)
    elif row.kind == "status":
        if _STATUS.fullmatch(text) is None:
            raise BadRequest(f"{row.name} is a number, a class as 5xx, or error")
    elif row.kind == "cursor":
        if _CURSOR.fullmatch(text) is None:
            raise BadRequest(f"{row.name} is what an answer before gave")
    elif row.kind in ("id", "ref"):
        try:
            return check_ref(text, row.kind == "ref")
        except Missing:
            raise BadRequest(f"{row.name} is the id of a profile"
                             + (", or aggregate" if row.kind == "ref" else "")) from None
    elif len(text) > TEXT_MAX or not text.replace(" ", "").isprintable():
        raise BadRequest(f"{row.name} is text of at most {TEXT_MAX} characters, without control characters")
    return text


def read(incoming: Incoming, rows: Sequence[Parameter]) -> dict[str, Any]:
    """The checked values of a query by name: of every row, its default where nothing was sent.

    Parameters that no row names are ignored, as the open web expects.

    :raises BadRequest: a value that makes no sense, or was sent twice.
    """
    if len(incoming.query) > QUERY_MAX:
        raise BadRequest(f"a query of more than {QUERY_MAX} characters")
    try:
        pairs = parse_qsl(incoming.query, keep_blank_values=False, max_num_fields=FIELDS_MAX, errors="strict")
    except UnicodeError:
        raise BadRequest("the query is not UTF-8") from None
    except ValueError:
        raise BadRequest("too many parameters") from None
    sent: dict[str, str] = {}
    for name, text in pairs:
        if name in sent:
            raise BadRequest("a parameter was sent twice")
        sent[name] = text
    values = {}
    for row in rows:
        if row.name in sent:
            values[row.name] = _value(row, sent[row.name])
        elif row.required:
            raise BadRequest(f"{row.name} is missing")
        else:
            values[row.name] = row.default
    return values


def check_headers(incoming: Incoming, changes: bool) -> None:
    """Refuses what another web site makes a browser send.

    :raises BadRequest: it does.
    """
    headers = incoming.headers
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none", "same-site"):
        raise BadRequest("not from another site")
    if changes:
        if headers.get("x-slowlens-viewer", "") != "1":
            raise BadRequest("only from the viewer itself: the header X-Slowlens-Viewer is missing")
        if from_elsewhere(incoming):
            raise BadRequest("not from another origin")


# ---- the description ----


def _schema(row: Parameter) -> dict[str, Any]:
    if row.kind == "whole":
        schema: dict[str, Any] = {"type": "integer", "minimum": row.least, "maximum": row.most}
    elif row.kind == "ms":
        schema = {"type": "number", "minimum": 0, "exclusiveMaximum": 9e12}
    elif row.kind == "zone":
        schema = {"type": "integer", "minimum": -1439, "maximum": 1439}
    elif row.kind == "flag":
        schema = {"type": "string", "enum": ["0", "1"]}
    elif row.kind == "word":
        schema = {"type": "string", "enum": list(row.words)}
    elif row.kind == "sort":
        schema = {"type": "string", "enum": list(SORT_WORDS)}
    elif row.kind == "status":
        schema = {"type": "string", "pattern": "^(error|[1-9]xx|[0-9]{1,3})$"}
    elif row.kind == "cursor":
        schema = {"type": "string", "pattern": "^[A-Za-z0-9_=.~-]{1,4000}$"}
    elif row.kind in ("id", "ref"):
        schema = _REF if row.kind == "ref" else _ID
    else:
        schema = {"type": "string", "maxLength": TEXT_MAX}
    if row.default is not None and row.kind in ("whole", "word"):
        schema["default"] = row.default
    return schema


_ID: dict[str, Any] = {"type": "string", "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$"}
_REF: dict[str, Any] = {"anyOf": [_ID, {"type": "string", "enum": [AGGREGATE]}]}
_ERROR = {
    "type": "object", "required": ["error"], "properties": {"error": {"type": "string"}},
    "additionalProperties": False,
}


def describe(routes: Sequence[Any], prefix: str, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of ``routes``: anything with method, path, parameters, doc, media and schema."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        parameters = [
            {"name": name, "in": "path", "required": True,
             "schema": _REF if name == "ref" else {"type": "string", "pattern": r"^[a-z0-9-]+\.[a-z0-9]+$"}}
            for name in re.findall(r"\{(\w+)\}", route.path)
        ]
        parameters += [
            {"name": row.name, "in": "query", "required": row.required, "description": row.doc,
             "schema": _schema(row)}
            for row in route.parameters
        ]
        if route.method == "POST":
            parameters.append({"name": "X-Slowlens-Viewer", "in": "header", "required": True,
                               "schema": {"type": "string", "enum": ["1"]}})
        answers: dict[str, Any] = {
            "200": {"description": "here it is", "content": {route.media: {"schema": route.schema}}},
        }
        for status, text in _REFUSALS.items():
            answers[status] = {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        operation = {"summary": route.doc, "parameters": parameters, "responses": answers,
                     "operationId": f"{route.method.lower()} {route.path or 'page'}"}
        paths.setdefault("/" + route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0", "servers": [{"url": prefix.rstrip("/") or "/"}],
        "info": {"title": "slowlens viewer", "version": version}, "paths": paths,
    }


_REFUSALS: Mapping[str, str] = {
    "400": "a parameter or header makes no sense", "403": "this client may look, and not change",
    "404": "there is no such profile or page", "405": "not by this method", "422": "the profile cannot be read",
    "503": "the store cannot answer now", "507": "not enough memory for this profile",
}
