"""Every option, once: this table drives keywords, framework settings, the
environment, error messages and the documentation.

Precedence: keyword > framework setting > environment > default. An unknown
name or an ill-typed value is an :class:`OptionsError` at start-up, never
later. ``SLOWLENS_DISABLE=1`` wins over everything.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from inspect import iscoroutinefunction
from typing import Any

__all__ = ["OPTIONS", "Networks", "Option", "Options", "OptionsError", "default_store", "disabled", "load"]


class OptionsError(ValueError):
    """A wrong option, said in one sentence."""


class Networks:
    """Addresses and networks: ``"10.0.0.1" in Networks(["10.0.0.0/8"])``. Text that is no address is in none."""

    def __init__(self, words: Iterable[str]) -> None:
        from ipaddress import ip_network

        self._networks = [ip_network(word.strip(), strict=False) for word in words]

    def __contains__(self, address: str) -> bool:
        from ipaddress import IPv6Address, ip_address

        if not 0 < len(address) <= 60:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found.version == one.version and found in one for one in self._networks)


@dataclass(frozen=True)
class Option:
    """One row: how to parse a value, what it is without one, what it does."""

    name: str
    parse: Callable[[Any], Any]
    default: Any
    kind: str
    doc: str

    @property
    def env(self) -> str:
        return "SLOWLENS_" + self.name.upper()


@dataclass(frozen=True)
class Options:
    """Checked options. Built by :func:`load`; immutable."""

    mode: str | Callable[[Any], str] | None
    interval_us: int
    sampler_cpu: float
    c_calls: str
    layers: str
    sample_rate: float
    slow_ms: float
    keep: tuple[str, ...] | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    project: tuple[str, ...]
    store: str
    max_bytes: int
    max_age_days: float
    worst_per_route: int
    viewer_path: str
    viewer_source: bool | None
    websockets: bool
    authorize: Callable[[Any], bool] | None
    key: str | None
    trusted_proxies: Networks | None
    response_headers: bool | None
    log: bool
    release: str | None
    max_profile_bytes: int
    max_queued_bytes: int
    max_active_bytes: int
    redact: Callable[[str], str] | None
    debug: bool | None
    board: bool
    numbers: bool
    continuous: bool

    def mode_word(self, debug: bool) -> str:
        """The mode in force where no function decides: what was set, or the default for ``debug``."""
        if isinstance(self.mode, str):
            return self.mode
        return "deterministic" if debug else "sampling"

    def keep_rules(self, debug: bool) -> tuple[str, ...]:
        """The rules in force: what was set, or the default for ``debug``."""
        if self.keep is not None:
            return self.keep
        return ("all",) if debug else ("slow", "error", "worst", "trigger")


MODES = ("deterministic", "sampling", "lines", "off")


def check_mode(value: Any) -> str:
    """``value`` if it is a mode, else OptionsError."""
    if value not in MODES:
        raise OptionsError(f"mode must be one of {', '.join(MODES)}, not {value!r}")
    return str(value)


def _mode(value: Any) -> Any:
    return _callable(value) if callable(value) else check_mode(value)


def _choice(*names: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in names:
            raise OptionsError(f"must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    return parse


def _number(least: float, most: float, whole: bool = False) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, bool):
            raise OptionsError(f"must be a number, not {value!r}")
        try:
            number = int(value) if whole else float(value)
        except (TypeError, ValueError, OverflowError):
            raise OptionsError(f"must be a number, not {value!r}") from None
        if not least <= number <= most:
            raise OptionsError(f"must be from {least:g} to {most:g}, not {number:g}")
        return number

    return parse


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise OptionsError(f"must be true or false, not {value!r}")


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise OptionsError(f"must be a list of words, not {value!r}")
    words = tuple(value)
    if not all(isinstance(word, str) for word in words):
        raise OptionsError(f"must be a list of words, not {value!r}")
    return tuple(word for word in words if word)


KEEP_RULES = ("all", "slow", "error", "worst", "trigger")


def _keep(value: Any) -> tuple[str, ...]:
    rules = _words(value)
    for rule in rules:
        if rule.startswith("random:"):
            _number(0, 1)(rule[7:])
        elif rule not in KEEP_RULES:
            raise OptionsError(f"knows {', '.join(KEEP_RULES)} and random:P, not {rule!r}")
    return rules


def _patterns(value: Any) -> tuple[str, ...]:
    patterns = _words(value)
    for pattern in patterns:
        if not pattern.startswith(("/", "*")):
            raise OptionsError(f"a path pattern starts with / or *, not {pattern!r}")
    return patterns


def _prefix(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise OptionsError(f"must be a path that starts with /, not {value!r}")
    return value.rstrip("/") + "/"


def _text(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise OptionsError(f"must be text, not {value!r}")
    return str(os.fspath(value))


def _networks(value: Any) -> Networks | None:
    words = _words(value)
    try:
        return Networks(words) if words else None
    except ValueError as error:
        raise OptionsError(f"must be addresses or networks such as 10.0.0.0/8: {error}") from None


def _key(value: Any) -> str:
    text = _text(value)
    if len(text) < 16:
        raise OptionsError("must have at least 16 characters: it opens your profiles")
    return text


def _callable(value: Any) -> Callable[..., Any]:
    if isinstance(value, str):
        from importlib import import_module

        module, _, name = value.rpartition(".")
        try:
            value = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise OptionsError(f"cannot import {value!r}: {error}") from None
    if not callable(value):
        raise OptionsError(f"must be a function or its dotted name, not {value!r}")
    if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004
        raise OptionsError("must be a plain function: what an async one returns is true, whatever it would say")
    return value  # type: ignore[no-any-return]


def default_store() -> str:
    """A private folder of this user for the project in the current folder."""
    from .store.private import make_private

    try:
        here = os.getcwd()
    except OSError:  # it was removed: a release that was replaced under a running server
        here = "/"
    name = os.path.basename(here) or "root"
    name += "-" + hashlib.sha256(os.fsencode(here)).hexdigest()[:8]
    state = os.environ.get("XDG_STATE_HOME")
    if not state or not os.path.isabs(state):  # as the specification says
        home = os.path.expanduser("~")
        state = os.path.join(home, ".local", "state")
        if home == "/" or not os.path.isabs(home) or not os.access(home, os.W_OK):
            # A name that others can guess: made here and now, for us alone; who was faster is found out when the
            # store is opened (store/private.py).
            import tempfile

            try:
                temporary = tempfile.gettempdir()
            except OSError:  # nothing can be written at all: the store says so when it is used
                temporary = "/tmp"
            state = os.path.join(temporary, f"slowlens-{os.geteuid()}")
            make_private(state)
    return os.path.join(state, "slowlens", name)


MB = 1 << 20

OPTIONS: tuple[Option, ...] = (
    Option("mode", _mode, None, "word or function",
           "How requests are profiled: `sampling` (next to no cost), `deterministic` (every call, exact "
           "counts), `lines` (that, and each line of the project's functions: how often, how long; CPython 3.12+), "
           "`off`, or a function of the request that answers with one of them. Default "
           "`deterministic` while debugging, else `sampling`. Where sampling cannot be had (`slowlens doctor` says "
           "why), requests that were asked for, and all while debugging, are profiled `deterministic`; of others the "
           "times are recorded, and no functions."),
    Option("interval_us", _number(100, 1e6, True), 1000, "microseconds",
           "Time between two samples; the smallest one asked for in a process counts."),
    Option("sampler_cpu", _number(0, 100), 2.0, "percent",
           "What the sampler may cost, in percent of the CPU time that the process uses without it (and, while that is "
           "less than a core, a quarter of that of a core), with what looking does to the caches. Past it, long "
           "requests are looked at less often, to 100 times at least; then those that take no longer than usual; if "
           "that is not enough, all of them, and each profile says so. 0: no limit."),
    Option("c_calls", _choice("chosen", "all", "none"), "chosen", "word",
           "C functions recorded: those called from your own code and from where applications wait "
           "(`chosen`), every one (`all`), or `none`."),
    Option("layers", _choice("shape", "names", "off"), "shape", "word",
           "What is kept of queries, requests to others, caches and templates: a query's `shape` (no literal, no "
           "parameter), its verb and tables (`names`), or nothing (`off`)."),
    Option("sample_rate", _number(0, 1), 1.0, "0 to 1", "Share of the requests that is profiled; the "
           "others are in their route's numbers, with nothing but their times."),
    Option("slow_ms", _number(0, 1e9), 200.0, "milliseconds",
           "A response that takes longer is slow: logged, and kept by the rule `slow`."),
    Option("keep", _keep, None, "words",
           "Which profiles are stored, decided after the response: `all`, `slow`, `error` (status "
           "500 and up, or an exception), `worst` (the slowest of each route), `trigger` (asked "
           "for), `random:P`. Default `all` while debugging, else `slow,error,worst,trigger`."),
    Option("include", _patterns, (), "path patterns",
           "Only these paths are profiled (`/api/*`); empty: all."),
    Option("exclude", _patterns, (), "path patterns", "These paths are not profiled, whatever `include` says."),
    Option("project", _words, (), "paths or module names",
           "Folders, files or modules that are your own code although they are installed as a library is. Told anyway "
           "where the application object comes from such a place."),
    Option("store", _text, "", "path or URL",
           "Folder of the profiles, or a URL whose scheme names another store (`postgresql://...`). Default: a private "
           "folder under `~/.local/state/slowlens`, named after the current folder."),
    Option("max_bytes", _number(MB, 1e15, True), 512 * MB, "bytes",
           "The store is kept below this size, oldest profiles going first; the slowest of each route, the latest "
           "errors and pinned ones last."),
    Option("max_age_days", _number(0, 36500), 14.0, "days", "Older profiles are deleted. 0: never."),
    Option("worst_per_route", _number(0, 1000, True), 10, "count",
           "How many of the slowest profiles of each route are kept longest."),
    Option("viewer_path", _prefix, "/__slowlens__/", "path", "Where the viewer is in your app."),
    Option("viewer_source", _flag, None, "true or false",
           "Whether the viewer shows source lines of your project. Without it: while debugging."),
    Option("websockets", _flag, False, "true or false",
           "ASGI: whether websockets are profiled, each message as a request of its own (method `WS`)."),
    Option("authorize", _callable, None, "function or its dotted name",
           "Called with the request (WSGI: environ, ASGI: scope, Django: HttpRequest, with its user) of who wants the "
           "viewer or a trigger. True allows everything; words out of `view`, `change` (delete, pin) and `trigger` "
           "just that."),
    Option("key", _key, None, "secret of 16 characters or more",
           "Signs the links of `slowlens token` that open the viewer and allow triggers."),
    Option("trusted_proxies", _networks, None, "addresses or networks",
           "Proxies of yours (a Docker bridge is one): what their `X-Forwarded-For` or `Forwarded` says about the "
           "client is believed, and what comes from them without it counts as coming from this machine."),
    Option("response_headers", _flag, None, "true or false",
           "Adds `Server-Timing` and `X-Slowlens` (link to the profile) to responses to those who may open the "
           "viewer. Without it: while debugging."),
    Option("log", _flag, True, "true or false", "One warning on the logger `slowlens.slow` per slow request."),
    Option("release", _text, None, "text", "Revision of your app, stored with each profile."),
    Option("max_profile_bytes", _number(256 << 10, 1 << 30, True), 8 * MB, "bytes",
           "Memory one running profile may take; past it, a deterministic one goes on by sampling (where that "
           "cannot be had, paths are folded), and totals stay exact."),
    Option("max_queued_bytes", _number(MB, 1 << 40, True), 64 * MB, "bytes",
           "Memory that finished profiles may take while they wait to be stored (a disk that stands still); what comes "
           "beyond it is dropped, and counted."),
    Option("max_active_bytes", _number(1 << 20, 1 << 40, True), 128 * MB, "bytes",
           "Memory that all running profiles of a process, and those that wait to be stored, may take together. Past "
           "three quarters of it new ones are sampled, past seven eighths timed alone (flag `less`; counted in the "
           "numbers), and what runs goes on by sampling or folds paths; past all of it new ones are refused, and "
           "counted."),
    Option("redact", _callable, None, "function or its dotted name",
           "Applied to the path of each request before it is stored."),
    Option("debug", _flag, None, "true or false",
           "Whether this is a development setup. Default: what the framework says."),
    Option("board", _flag, True, "true or false",
           "Whether running requests are written into memory that other processes read: what runs now, and what "
           "ran when a process was killed."),
    Option("numbers", _flag, True, "true or false",
           "Whether all profiled requests are counted, kept or not: how many, errors, times. The routes page and "
           "percentiles come from that."),
    Option("continuous", _flag, True, "true or false",
           "Whether every profiled request, kept or not, adds its tree to its route's tree of the running minute: what "
           "flame graphs of an hour or a day are of. Takes half a percent of one CPU and 24 MiB in each process, and a "
           "twentieth of max_bytes, at most."),
)

#: ``SLOWLENS_SERVICE_HOST``, ``SLOWLENS_VIEWER_PORT_8000_TCP_ADDR``.
_OF_A_SERVICE = re.compile(r"SLOWLENS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)\Z")

BY_NAME = {option.name: option for option in OPTIONS}
assert [option.name for option in OPTIONS] == [field.name for field in fields(Options)]


def disabled(environ: Mapping[str, str] | None = None) -> bool:
    """Whether ``SLOWLENS_DISABLE`` switches everything off."""
    value = (os.environ if environ is None else environ).get("SLOWLENS_DISABLE", "")
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _parse(option: Option, value: Any, source: str) -> Any:
    try:
        return option.parse(value)
    except OptionsError as error:
        raise OptionsError(f"slowlens: {source}: {error}") from None


def _reject_unknown(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in BY_NAME:
            close = _close_to(name, BY_NAME)
            hint = f"; did you mean {close!r}?" if close else ""
            raise OptionsError(f"slowlens: {where}: unknown option {name!r}{hint}")


def _close_to(name: str, names: Iterable[str]) -> str:
    """What was meant, most likely; "": nothing is like it."""
    import difflib  # for a mistake alone: each worker's start would pay for it

    return (difflib.get_close_matches(name, sorted(names), 1) or [""])[0]


def load(
    keywords: Mapping[str, Any] | None = None,
    framework: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    where: str = "settings",
) -> Options:
    """Options from all sources.

    :param keywords: of the middleware's constructor.
    :param framework: the framework's setting, names in lower case.
    :param environ: default ``os.environ``; unknown ``SLOWLENS_*`` names are an error too.
    :param where: what to call ``framework`` in an error.
    :raises OptionsError: unknown name or ill-typed value.
    """
    keywords = keywords or {}
    framework = framework or {}
    environ = os.environ if environ is None else environ
    _reject_unknown(keywords, "keyword")
    _reject_unknown(framework, where)
    # Kubernetes names every service of the namespace in variables of each container: one may be called slowlens.
    names = [name for name in environ if name.startswith("SLOWLENS_") and _OF_A_SERVICE.match(name) is None]
    env_names = {option.env for option in OPTIONS} | {"SLOWLENS_DISABLE"}
    for name in names:
        if name not in env_names:
            close = _close_to(name, env_names)
            hint = f"; did you mean {close}?" if close else ""
            raise OptionsError(f"slowlens: environment: unknown variable {name}{hint}")

    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.name in keywords:
            values[option.name] = _parse(option, keywords[option.name], option.name)
        elif option.name in framework:
            values[option.name] = _parse(option, framework[option.name], f"{where}: {option.name}")
        elif option.env in environ:
            values[option.name] = _parse(option, environ[option.env], option.env)
        else:
            values[option.name] = option.default
    values["store"] = values["store"] or default_store()
    return Options(**values)
