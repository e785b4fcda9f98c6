"""What is profiled, who may ask for it, what is kept, and what is logged."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

import pytest

from slowlens.auth import EVERYTHING, NOTHING, Access, make_token, token_grants
from slowlens.log import SlowLog, slow_line
from slowlens.options import load
from slowlens.policy import Decision, Policy
from slowlens.request import ID, Seen, id_time_ns, new_id, traceparent, wsgi_incoming

KEY = "a secret of some length"


def incoming(path: str = "/", query: str = "", host: str = "localhost:8000", remote: str = "127.0.0.1",
             **headers: str) -> Any:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host,
               "REMOTE_ADDR": remote, **{"HTTP_" + name.upper(): value for name, value in headers.items()}}
    return wsgi_incoming(environ)


def policy(debug: bool = False, **options: Any) -> Policy:
    loaded = load(options, environ={})
    return Policy(loaded, Access(loaded, lambda: debug), lambda: debug)


def seen(status: int = 200, error: bool = False) -> Seen:
    found = Seen()
    found.status, found.error = status, error
    return found


PLAIN = Decision("deterministic", "chosen", False)


def test_include_and_exclude() -> None:
    rules = policy(include=["/api/*", "/shop*"], exclude="/api/health")
    assert rules.decide(incoming("/api/books"))
    assert rules.decide(incoming("/shop"))
    assert rules.decide(incoming("/api/health")) is None
    assert rules.decide(incoming("/")) is None


def test_mode_off_and_rate() -> None:
    assert policy(mode="off").decide(incoming()) is None
    assert policy(sample_rate=0).decide(incoming()) is None
    assert 200 < sum(policy(sample_rate=0.5).decide(incoming()) is not None for _ in range(1000)) < 800


def test_mode_by_a_function_of_the_request() -> None:
    rules = policy(mode=lambda environ: "off" if environ["PATH_INFO"] == "/a" else "deterministic")
    assert rules.decide(incoming("/a")) is None
    assert rules.decide(incoming("/b")) == PLAIN


def test_a_mode_function_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    rules = policy(mode=lambda environ: environ["missing"])
    assert rules.decide(incoming()) is None
    assert rules.decide(incoming()) is None
    assert len([record for record in caplog.records if "option mode failed" in record.message]) == 1
    assert policy(mode=lambda environ: "nonsense").decide(incoming()) is None


@pytest.mark.parametrize(("allowed", "request_"), [
    (True, incoming(query="slowlens=deterministic")),
    (True, incoming(x_slowlens="deterministic")),
    (False, incoming(query="slowlens=deterministic", host="evil.example")),
    (False, incoming(query="slowlens=deterministic", remote="192.0.2.1")),
    (False, incoming(query="slowlens=deterministic", host="localhost.evil.example")),
    (True, incoming(query="slowlens=deterministic", host="[::1]:80", remote="::1")),
    (True, incoming(query="slowlens=deterministic", host="shop.localhost:8000")),
    (False, incoming(query="slowlens=nonsense")),
    (True, incoming(query="slowlens=sampling")),
    (False, incoming(query="notslowlens=deterministic")),
    (True, incoming(x_slowlens="deterministic", sec_fetch_site="same-origin")),
    (False, incoming(query="slowlens=deterministic", sec_fetch_site="cross-site")),
    (False, incoming(query="slowlens=deterministic", referer="http://evil.example/page")),
    (True, incoming(query="slowlens=deterministic", referer="http://localhost:8000/page")),
])
def test_triggers_are_for_the_authorised(allowed: bool, request_: Any) -> None:
    decision = policy(debug=True, mode="off").decide(request_)
    assert (decision is not None) == allowed
    if decision is not None:
        assert decision.triggered
    assert policy(debug=False, mode="off").decide(request_) is None


@pytest.mark.parametrize(("taken", "request_"), [
    (False, {"query": "slowlens=lines"}),  # a link of any site, rel=noreferrer: no header says where it stood
    (True, {"query": "slowlens=lines", "referer": "http://shop.example/page"}),
    (True, {"query": "slowlens=lines", "sec_fetch_site": "none"}),  # typed, over https
    (False, {"query": "slowlens=lines", "sec_fetch_site": "cross-site"}),
    (False, {"query": "slowlens=lines", "sec_fetch_site": "same-site"}),
    (False, {"query": "slowlens=lines", "origin": "null"}),
    (False, {"query": "slowlens=lines", "referer": "http://shop.example.evil/"}),
    (False, {"query": "slowlens=lines", "referer": "http://shop.example@evil/"}),
    (True, {"x_slowlens": "lines"}),  # which no other site can send
])
def test_no_get_of_another_site_triggers_for_who_is_let_in(taken: bool, request_: dict[str, str]) -> None:
    rules = policy(mode="off", authorize=lambda environ: True)
    assert (rules.decide(incoming(host="shop.example", remote="192.0.2.1", **request_)) is not None) is taken


def test_a_query_that_is_not_taken_is_told_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    rules = policy(mode="off", authorize=lambda environ: True)
    asked = incoming(host="shop.example", remote="192.0.2.1", query="slowlens=lines", x_forwarded_proto="https")
    assert rules.decide(asked) is None  # curl's, say: over https, too, it names no site
    (said,) = caplog.messages
    assert said.startswith("slowlens: trigger ignored: nothing says that no other web site sent this query (browsers "
                           "do over https); send the header X-Slowlens")


def test_a_trigger_with_a_signed_token() -> None:
    rules = policy(mode="off", key=KEY)
    good = make_token(KEY, 60, ("trigger",), "shop.example")

    def asked(token: str, host: str = "shop.example", **more: str) -> Any:
        return rules.decide(incoming(host=host, remote="192.0.2.1", x_slowlens=f"deterministic.{token}", **more))

    assert asked(good)
    assert asked(good, host="SHOP.example")
    assert asked(good, host="10.0.0.3:8000", x_forwarded_host="shop.example")
    assert asked(good + "x") is None
    assert asked(good, host="other.example") is None
    assert asked(make_token(KEY, -1, ("trigger",), "shop.example")) is None
    assert asked(make_token("another secret key", 60, ("trigger",), "shop.example")) is None
    assert asked(make_token(KEY, 60, ("view", "change"), "shop.example")) is None, "for looking only"
    query = incoming(query=f"slowlens=deterministic.{good}", host="shop.example", remote="192.0.2.1")
    assert rules.decide(query) is None, "a query is passed on as Referer, and logged"


def test_tokens_are_for_one_purpose_host_and_use() -> None:
    good = make_token(KEY, 60, ("view",), "h")
    assert token_grants(KEY, good, ("h",)) == {"view"}
    assert token_grants(KEY, good, ("other", "H")) == {"view"}
    assert token_grants(KEY, good, ("other",)) == NOTHING
    assert token_grants(KEY, good, ("h",), "session") == NOTHING
    assert token_grants(KEY, make_token(KEY, 60, ("view", "change"), "h"), ("h",)) == {"view", "change"}
    assert token_grants(KEY, good.replace("-v-", "-vct-"), ("h",)) == NOTHING
    for bad in ("", "-", "--", "x-v-y", "9" * 40 + "-v-x", "\u0661-v-x", "1-v-" + "x" * 5000, f"{10**14}-v-\udc80"):
        assert token_grants(KEY, bad, ("h",)) == NOTHING


def test_authorize_decides_and_its_faults_refuse(caplog: pytest.LogCaptureFixture) -> None:
    def access(answer: Any, debug: bool = False) -> Access:
        return Access(load({"authorize": answer}, environ={}), lambda: debug)

    stranger = incoming(remote="9.9.9.9")
    assert access(lambda environ: True).grants(stranger) == EVERYTHING
    assert access(lambda environ: "view").grants(stranger) == {"view"}
    assert access(lambda environ: ["view", "trigger", "nonsense"]).grants(stranger) == {"view", "trigger"}
    assert access(lambda environ: None).grants(stranger) == NOTHING
    broken = access(lambda environ: 1 / 0)
    for _ in range(100):
        assert broken.grants(stranger) == NOTHING
    assert caplog.text.count("access refused") == 1, "a stranger fills no log"


def test_keep() -> None:
    rules = policy(keep="slow,error,trigger", slow_ms=100)
    assert rules.keep(PLAIN, seen(), int(200e6), "/") == "slow"
    assert rules.keep(PLAIN, seen(), int(50e6), "/") == ""
    assert rules.keep(PLAIN, seen(503), 1, "/") == "error"
    assert rules.keep(PLAIN, seen(error=True), 1, "/") == "error"
    assert rules.keep(PLAIN, seen(404), 1, "/") == ""
    assert rules.keep(Decision("deterministic", "chosen", True), seen(), 1, "/") == "trigger"
    assert policy(keep="all").keep(PLAIN, seen(), 1, "/") == "all"
    assert policy(keep="random:0").keep(PLAIN, seen(), 1, "/") == ""
    kept = Counter(policy(keep="random:0.5").keep(PLAIN, seen(), 1, "/") for _ in range(400))
    assert 100 < kept["random"] < 300


def test_background_work_does_not_make_a_response_slow() -> None:
    rules = policy(keep="slow", slow_ms=100)
    early = seen()
    early.body_ns = int(20e6)
    assert rules.keep(PLAIN, early, int(900e6), "/") == ""


def test_worst_of_each_route() -> None:
    rules = policy(keep="worst", worst_per_route=3)
    kept = [wall for wall in (5, 1, 3, 2, 9, 1, 4, 10) if rules.keep(PLAIN, seen(), wall, "/a")]
    assert kept == [5, 1, 3, 2, 9, 4, 10]
    assert rules.keep(PLAIN, seen(), 1, "/b") == "worst"
    assert rules.keep(PLAIN, seen(), 1 << 40, "") == "", "what no route matched has no worst"
    for number in range(3000):
        rules.keep(PLAIN, seen(), 1, f"/{number}")
    assert len(rules._worst) <= 2000 and rules.keep(PLAIN, seen(), 2, "/new") == "worst"


def test_ids_sort_by_time() -> None:
    now = time.time_ns()
    ids = [new_id(now + i * 1_000_000) for i in range(100)]
    assert ids == sorted(ids)
    assert all(ID.match(one) for one in ids)
    assert id_time_ns(ids[0]) == now // 1_000_000 * 1_000_000
    for bad in ("", "x" * 26, ids[0].upper(), ids[0] + "\n", "../" + ids[0], "8" + ids[0][1:]):
        assert not ID.match(bad)


def test_traceparent() -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent(good) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    for bad in (None, "", "ff" + good[2:], "00-" + "0" * 32 + "-b7ad6b7169203331-01", good[:-1], good.upper()):
        assert traceparent(bad) is None


META = {"method": "GET", "path": "/x", "route": "/books/<int:pk>", "status": 200, "wall_ns": 812_000_000,
        "cpu_ns": 340_000_000, "waiting_ns": 402_000_000, "await_ns": 12_000_000, "id": "i", "tag.a": "b"}


def test_slow_line() -> None:
    assert slow_line(META, "views.detail > copy.deepcopy 76%", "/__slowlens__/#r=i") == (
        "slow: GET /books/<int:pk> 200 812 ms (cpu 340, waiting 402, await 12) "
        "views.detail > copy.deepcopy 76% /__slowlens__/#r=i")


def test_slow_line_tells_what_was_asked_counts_first() -> None:
    asked = {"db_count": 120, "db_ns": 402_000_000, "http_count": 1, "http_ns": 96_000_000, "cache_count": 9,
             "cache_ns": 900_000, "template_count": 40, "template_ns": 900_000}
    assert slow_line({**META, **asked}, "hot", "").startswith(
        "slow: GET /books/<int:pk> 200 812 ms (120 queries 402, 1 HTTP request 96, 40 templates 1, cpu 340, ")


def test_slow_line_cannot_be_forged() -> None:
    line = slow_line({**META, "route": None, "path": "/x\n2026 CRITICAL forged\x1b[2J\u202e"}, "h\n", "")
    assert "\n" not in line and "\x1b" not in line and "\u202e" not in line


def test_slow_log_is_rate_limited(caplog: pytest.LogCaptureFixture) -> None:
    log = SlowLog()
    with caplog.at_level(logging.WARNING, "slowlens.slow"):
        for _ in range(100):
            log.write(META, {"hot_text": "hot", "headline": "76 % in it, at a.py:3.", "findings": "gc"}, "")
        assert 20 <= len(caplog.records) <= 22
        log._budget = 5.0
        log.write(META, {}, "")
    assert "slow requests not logged" in caplog.records[-1].message
    assert "76 % in it, at a.py:3." in caplog.records[0].message
    assert caplog.records[0].slowlens["hot_path"] == "hot"
    assert caplog.records[0].slowlens["findings"] == "gc"
    assert caplog.records[0].slowlens["wall_ns"] == META["wall_ns"]
