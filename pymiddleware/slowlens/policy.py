"""Which requests are profiled, how, and which profiles are kept.

``decide`` runs before the app and must cost next to nothing; ``keep`` runs
after the response, when it is known whether the request was worth it.
"""

from __future__ import annotations

import fnmatch
import heapq
import os
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from .auth import VALUE_MAX, Access, from_elsewhere, may_be_from_elsewhere, query_value
from .log import Seldom, late
from .options import Options, OptionsError, check_mode
from .request import Incoming, Seen

__all__ = ["Decision", "Policy"]

_log = late("slowlens")

#: Routes whose worst K are remembered, the latest ones.
ROUTES_MAX = 2000

#: Not the one that the app may have seeded: its sequence is the app's. Children of a fork have chances of their own.
_own = random.Random()
_chance = _own.random
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_own.seed)


class Decision(NamedTuple):
    """How to profile a request."""

    mode: str
    c_calls: str
    triggered: bool
    #: Line by line, too: a deterministic profile with more in it.
    lines: bool = False


def _decision(mode: str, c_calls: str, triggered: bool) -> Decision:
    return Decision("deterministic" if mode == "lines" else mode, c_calls, triggered, mode == "lines")


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match


class _Rules(NamedTuple):
    """What ``keep`` says, taken apart once."""

    trigger: bool
    slow: bool
    error: bool
    worst: bool
    all: bool
    random: tuple[float, ...]

    @staticmethod
    def of(rules: tuple[str, ...]) -> _Rules:
        return _Rules(
            "trigger" in rules or "all" in rules, "slow" in rules, "error" in rules, "worst" in rules, "all" in rules,
            tuple(float(rule[7:]) for rule in rules if rule.startswith("random:")))


class Policy:
    """The rules of one middleware."""

    def __init__(self, options: Options, access: Access, debug: Callable[[], bool]) -> None:
        self.options = options
        self._access = access
        self._debug = debug
        self._include = _matcher(options.include)
        self._exclude = _matcher(options.exclude)
        self.by_function = callable(options.mode)
        self._rate = options.sample_rate
        self._plain = {
            mode: _decision(mode, options.c_calls, False) for mode in ("deterministic", "sampling", "lines")
        }
        #: Nothing has to be asked of a request that carries no trigger.
        self._same_for_all = (
            self._include is None and self._exclude is None and self._rate >= 1.0 and not self.by_function)
        self._mode = options.mode if isinstance(options.mode, str) else None
        self.counts_all = self._mode != "off" and self._include is None and self._exclude is None
        self._slow_ns = options.slow_ms * 1e6
        self._rules = {debug: _Rules.of(options.keep_rules(debug)) for debug in (False, True)}
        self._worst: dict[str, list[int]] = {}
        self._seldom = Seldom()

    def decide(self, incoming: Incoming) -> Decision | None:
        """How to profile this request; None: not at all."""
        if incoming.asks:
            decision = self._trigger(incoming)
            if decision is not None:
                return decision
        if self.by_function:
            return self._asked(incoming) if self._is_selected(incoming.path) else None
        return self.decide_plain(incoming.path)

    def decide_plain(self, path: str) -> Decision | None:
        """The same for a request that carries no trigger, where the option ``mode`` is no function."""
        # Whether it is a development setup may be known only once the app runs.
        return self.always(self._debug()) if self._same_for_all or self._is_selected(path) else None

    def _is_selected(self, path: str) -> bool:
        if self._include is not None and not self._include(path):
            return False
        if self._exclude is not None and self._exclude(path):
            return False
        return self._rate >= 1.0 or _chance() < self._rate

    @property
    def same_for_all(self) -> bool:
        """Nothing has to be asked of a request that carries no trigger, but whether it is a development setup."""
        return self._same_for_all

    def always(self, debug: bool) -> Decision | None:
        """What is decided of a request that is selected, where the option ``mode`` is no function."""
        return self._plain.get(self._mode if self._mode is not None else self.options.mode_word(debug))

    def rules(self, debug: bool) -> _Rules:
        """What ``keep`` says in this mode."""
        return self._rules[debug]

    @property
    def worst(self) -> dict[str, list[int]]:
        """The slowest of each route, a heap each."""
        return self._worst

    def counts(self, path: str) -> bool:
        """Whether a request that is not profiled is one of its route's numbers, where not ``counts_all``."""
        return self._mode != "off" and (self._include is None or bool(self._include(path))) and not (
            self._exclude is not None and self._exclude(path))

    def _trigger(self, incoming: Incoming) -> Decision | None:
        """``X-Slowlens: MODE[.TOKEN]``, or ``?slowlens=MODE`` of a client that needs no token.

        First who asks, then what: of a stranger nothing is parsed. A token is not taken from a query, which
        browsers pass on (Referer) and servers log; and another web site triggers nothing.
        """
        value = incoming.headers.get("x-slowlens", "")[:VALUE_MAX]
        mode, _, token = value.partition(".")
        granted = self._access.grants(incoming, token) if incoming.granted is None else incoming.granted
        if "trigger" not in granted or from_elsewhere(incoming):
            return None
        if not value and may_be_from_elsewhere(incoming):  # a header is of no other site: a browser would have asked
            self._seldom.say(_log, "slowlens: trigger ignored: nothing says that no other web site sent this query "
                             "(browsers do over https); send the header X-Slowlens", once=True)
            return None
        try:
            mode = check_mode(mode or query_value(incoming, "slowlens"))
        except OptionsError as error:
            self._seldom.say(_log, f"slowlens: trigger ignored: {error}", key="trigger")
            return None
        return None if mode == "off" else _decision(mode, self.options.c_calls, True)

    def look_ahead(self, incoming: Incoming) -> None:
        """Finds out who asks for a trigger: the option ``authorize`` is the app's, and may wait for a database."""
        token = incoming.headers.get("x-slowlens", "")[:VALUE_MAX].partition(".")[2]
        incoming.granted = self._access.grants(incoming, token)

    def _asked(self, incoming: Incoming) -> Decision | None:
        assert callable(self.options.mode)
        try:
            mode = check_mode(self.options.mode(incoming.native))
        except Exception as error:
            self._seldom.say(_log, f"slowlens: not profiled: the option mode failed: {type(error).__name__}",
                             key="mode", exc=True)
            return None
        return self._plain.get(mode)

    def is_slow(self, seen: Seen, wall_ns: int) -> bool:
        """Whether the response (background work aside) took longer than ``slow_ms``."""
        return (wall_ns if seen.body_ns is None else seen.body_ns) > self._slow_ns

    def keep(self, decision: Decision, seen: Seen, wall_ns: int, route: str) -> str:
        """The rule that keeps this profile, or "". ``route``: "" if it is none whose worst are kept."""
        rules = self._rules[bool(self._debug())]
        worst = bool(route) and rules.worst and self._is_worst(route, wall_ns)
        if decision.triggered and rules.trigger:
            return "trigger"
        if rules.slow and self.is_slow(seen, wall_ns):
            return "slow"
        if rules.error and (seen.error or seen.status >= 500):
            return "error"
        if worst:
            return "worst"
        if rules.all:
            return "all"
        if any(_chance() < share for share in rules.random):
            return "random"
        return ""

    def _is_worst(self, route: str, wall_ns: int) -> bool:
        """Among the slowest K of its route that this process has seen."""
        count = self.options.worst_per_route
        if count == 0:
            return False
        heap = self._worst.get(route)
        if heap is None:
            while len(self._worst) >= ROUTES_MAX:
                self._worst.pop(next(iter(self._worst)), None)  # the one that came first
            heap = self._worst[route] = []
        if len(heap) < count:
            heapq.heappush(heap, wall_ns)
            return True
        if wall_ns <= heap[0]:
            return False
        heapq.heapreplace(heap, wall_ns)
        return True
