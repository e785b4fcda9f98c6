"""Options: one table, four sources, clear errors; and what is written about them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from slowlens.options import OPTIONS, OptionsError, disabled, load


def test_defaults() -> None:
    options = load(environ={})
    assert options.mode_word(debug=True) == "deterministic"
    assert options.mode_word(debug=False) == "sampling"
    assert load({"mode": "off"}, environ={}).mode_word(debug=True) == "off"
    assert options.c_calls == "chosen"
    assert options.keep_rules(debug=True) == ("all",)
    assert options.keep_rules(debug=False) == ("slow", "error", "worst", "trigger")
    assert options.store


def test_keyword_before_framework_before_environment() -> None:
    environ = {"SLOWLENS_SLOW_MS": "1", "SLOWLENS_C_CALLS": "all", "SLOWLENS_KEEP": "slow, random:0.5"}
    options = load({"slow_ms": 3}, {"slow_ms": 2, "c_calls": "none"}, environ)
    assert (options.slow_ms, options.c_calls, options.keep) == (3, "none", ("slow", "random:0.5"))


@pytest.mark.parametrize(("keywords", "text"), [
    ({"slow": 1}, "unknown option 'slow'"),
    ({"slow_mss": 1}, "did you mean 'slow_ms'"),
    ({"sampler_cpu": 101}, "sampler_cpu: must be from 0 to 100"),
    ({"mode": "fast"}, "mode must be one of"),
    ({"slow_ms": "often"}, "slow_ms: must be a number"),
    ({"slow_ms": True}, "must be a number"),
    ({"sample_rate": 2}, "from 0 to 1"),
    ({"keep": "slow,sometimes"}, "'sometimes'"),
    ({"keep": "random:2"}, "from 0 to 1"),
    ({"include": "api/*"}, "starts with /"),
    ({"viewer_path": "viewer"}, "starts with /"),
    ({"key": "short"}, "at least 16"),
    ({"authorize": "no.such.module.f"}, "cannot import"),
    ({"authorize": 5}, "must be a function"),
    ({"log": "perhaps"}, "true or false"),
    ({"c_calls": None}, "must be one of"),
    ({"max_bytes": 10}, "from 1.04858e"),
])
def test_wrong_options_say_what_is_wrong(keywords: dict[str, object], text: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(text)):
        load(keywords, environ={})


def test_unknown_environment_is_an_error() -> None:
    with pytest.raises(OptionsError, match="SLOWLENS_SLOWMS; did you mean SLOWLENS_SLOW_MS"):
        load(environ={"SLOWLENS_SLOWMS": "1"})


@pytest.mark.parametrize("name", [
    "SLOWLENS_SERVICE_HOST", "SLOWLENS_SERVICE_PORT", "SLOWLENS_SERVICE_PORT_HTTP", "SLOWLENS_PORT",
    "SLOWLENS_PORT_8000_TCP", "SLOWLENS_PORT_8000_TCP_ADDR", "SLOWLENS_VIEWER_SERVICE_HOST",
    "SLOWLENS_MY_VIEWER_PORT_53_UDP_PROTO",
])
def test_what_kubernetes_says_of_a_service_called_slowlens_is_no_option(name: str) -> None:
    """Each container of the namespace has these: an app must start there."""
    assert load(environ={name: "tcp://10.0.0.1:8000"}) == load(environ={})


def test_disable_wins() -> None:
    assert disabled({"SLOWLENS_DISABLE": "1"})
    assert not disabled({"SLOWLENS_DISABLE": "0"})
    assert not disabled({})


def test_every_option_is_documented() -> None:
    """The page of the reference is made from the same table; each row must say something."""
    for option in OPTIONS:
        assert option.kind, option.name
        assert len(option.doc) > 20 and option.doc.rstrip().endswith("."), option.name


def test_import_is_light() -> None:
    script = (
        "import sys, time; start = time.perf_counter(); import slowlens.wsgi; "
        "spent = time.perf_counter() - start; "
        "print(sorted({'django', 'flask', 'starlette', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
