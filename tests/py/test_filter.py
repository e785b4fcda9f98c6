"""The language that lists are asked in."""

from __future__ import annotations

from typing import Any

import pytest

from slowlens.store import Query, QueryError
from slowlens.store.filter import FIELDS, parse

NOW = 1_800_000_000 * 10**9


def asked(text: str) -> dict[str, Any]:
    """What a text asks beyond a query of nothing."""
    usual = vars(Query())
    return {name: value for name, value in vars(parse(text, now_ns=NOW, zone=0).query).items() if value != usual[name]}


@pytest.mark.parametrize(("text", "query"), [
    ("", {}),
    ("  ", {}),
    ('""', {}),
    ("/books/ deepcopy", {"words": (("/books/", "any"), ("deepcopy", "any"))}),
    ("path:/books/ function:deepcopy text:x", {
        "words": (("/books/", "path"), ("deepcopy", "function"), ("x", "any"))}),
    ('"two words" path:"a b"', {"words": (("two words", "any"), ("a b", "path"))}),
    ('"5xx" "route:/a" http://x/', {"words": (("5xx", "any"), ("route:/a", "any"), ("http://x/", "any"))}),
    (">200ms", {"min_ns": 200_000_000}),
    (">=1.5s <2s", {"min_ns": 1_500_000_000, "max_ns": 2_000_000_000}),
    ("time:<50 >7us", {"max_ns": 50_000_000, "min_ns": 7000}),
    (">1s >2s", {"min_ns": 2_000_000_000}),
    ("5xx", {"status": "5xx"}),
    ("status:404", {"status": "404"}),
    ("error", {"status": "error"}),
    ("det", {"mode": "deterministic"}),
    ("mode:sampled", {"mode": "sampling"}),
    ("mode:other", {"mode": "other"}),
    ("GET", {"method": "GET"}),
    ("method:patch", {"method": "PATCH"}),
    ("get", {"words": (("get", "any"),)}),
    ("layer:db", {"layer": "db"}),
    ("tag:user=anna", {"tag": "user=anna"}),
    ('tag:"name=Anna B"', {"tag": "name=Anna B"}),
    ("finding:n+1 release:v2 host:web-1 route:/b/<id>", {
        "finding": "n+1", "release": "v2", "host": "web-1", "route": "/b/<id>"}),
    ("last:2h", {"since": NOW - 7200 * 10**9}),
    ("since:2026-01-31T08:00 until:2026-01-31T09:00:00+01:00", {
        "since": 1_769_846_400 * 10**9, "until": 1_769_846_400 * 10**9}),
    ("since:1769846400000", {"since": 1_769_846_400 * 10**9}),
    ("sort:slowest", {"sort": "-wall_ns"}),
    ("sort:-db_ms", {"sort": "-db_ns"}),
    ("sort:route", {"sort": "route"}),
    ("\u200bkey\x00 'quote'", {"words": (("\u200bkey\x00", "any"), ("'quote'", "any"))}),
])
def test_words(text: str, query: dict[str, Any]) -> None:
    assert asked(text) == query
    again = " ".join(term.text for term in parse(text, now_ns=NOW, zone=0).terms)
    assert asked(again) == query, "what the terms say is what the text said"
    assert " ".join(term.text for term in parse(again, now_ns=NOW, zone=0).terms) == again


@pytest.mark.parametrize(("text", "why"), [
    ("user:anna", "no field is called 'user': there are path, function, tag, time"),
    ("tag:", "tag: wants a value: key or key=value"),
    ('path:""', "path: wants a value"),
    (">fast", "a time is written >200ms"),
    ("time:200ms", "a time is written >200ms"),
    ("status:600", "status: is 404, a class such as 5xx"),
    ("layer:redis", "layer: is one of db, http, cache, template"),
    ("last:week", "last: wants a time such as 15m"),
    ("since:yesterday", "since: wants a time such as 2026-01-31T08:00"),
    ("until:99999-01-01", "until: wants a time"),
    ("sort:quickest", "sort: is newest, slowest"),
    ("x " * 17, "at most 16 words"),
    ("x" * 2001, "at most 2000 characters"),
])
def test_what_makes_no_sense_is_said(text: str, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        parse(text)


def test_the_text_comes_before_what_stands_beside_it() -> None:
    base = Query(sort="route", host="web-1", status="404", words=(("a", "path"),))
    found = parse("5xx sort:oldest b", base=base).query
    assert (found.sort, found.host, found.status) == ("ended", "web-1", "5xx")
    assert found.words == (("a", "path"), ("b", "any"))


def test_every_field_and_each_of_its_values_is_understood() -> None:
    examples = {"tag": "a=b", "time": ">1s", "since": "2026-01-31T08:00", "until": "2026-01-31T09:00"}
    for one in FIELDS:
        for value in (*one.values, *([examples.get(one.name, "x")] if not one.values else [])):
            (term,) = parse(f"{one.name}:{value}").terms
            assert term.name == one.name


def test_times_of_the_reader() -> None:
    east = parse("since:2026-01-31T08:00", zone=60).query.since
    assert east == 1_769_842_800 * 10**9
    assert parse("since:2026-01-31T08:00", zone=-300).query.since == east + 6 * 3600 * 10**9
