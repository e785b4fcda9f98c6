"""From a request's begin to its profile: what all adapters share.

An adapter asks ``begin``; with a :class:`Transaction` in hand it brackets what
the app does (``recording.enter``/``leave`` or ``recording.step``), fills in
``seen``, and calls ``finish`` exactly once. Nothing here raises into the app.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from . import _core, engine, ownership, throttling
from ._core import Transaction, current
from .auth import Access, is_local, is_local_host
from .board import Board
from .hello import at_a_terminal, develops, greet, say_what_is_missing, server_url
from .layers import hooks
from .log import Seldom, counted, late
from .options import Options, disabled, load
from .policy import Decision, Policy
from .release import find_release
from .request import METHODS, Incoming, traceparent, url_path
from .routes import OTHER, UNMATCHED, Folded
from .writer import LAST_SECONDS, Job, Writer, writer_of

if TYPE_CHECKING:
    from .viewer.app import Viewer
    from .viewer.response import Response

__all__ = ["Breaker", "Recorder", "Transaction", "current", "name", "tag"]

_log = late("slowlens")
#: Somebody records already what runs in this context (a test does): requests in it are part of that.
recorded: ContextVar[bool] = ContextVar("slowlens_recorded", default=False)

#: After so many faults one after the other a part of ours goes off, for so many seconds; each time for twice as long.
FAULTS_MAX = 20
PAUSE = 60.0
PAUSE_MAX = 3600.0


#: Told of each transaction that begins (slowlens.otel).
begun: list[Callable[[Transaction], None]] = []


def _kept() -> str:
    """What is kept of a query where its library's own hook tells of it."""
    transaction = current()
    sampled = transaction is not None and transaction.decision.mode == "sampling"
    return transaction.layers if transaction is not None and sampled else "off"


if sys.version_info < (3, 12):
    begun.append(lambda transaction: hooks.install(_kept))


#: A tag of ours, which no request of the app's can have, and which is not kept.
_HELD_BACK = " held back"


def _note_limit(transaction: Transaction) -> None:
    """Where there is a CPU limit: how long it had held the process back when the request began."""
    transaction.seen.tags[_HELD_BACK] = str(throttling.total_ns())


def tag(key: str, value: object) -> None:
    """Attaches ``key``: ``value`` to the request being profiled; without one, does nothing.

    Both are stored as text: 64 tags of a request, 100 characters of a key, 1,000 of a value; what is more is left out.
    """
    transaction = current()
    if transaction is not None and len(transaction.seen.tags) < 64:
        transaction.seen.tags[str(key)[:100]] = str(value)[:1000]


def name(route: str) -> None:
    """Calls the request being profiled ``route``: an operation of GraphQL, a type of page. Without one, nothing."""
    transaction = current()
    if transaction is not None:
        transaction.seen.name_route(str(route))
        return
    tally = _core.tally()
    if tally is not None:
        tally.name_route(str(route))


class Breaker:
    """Switches a part of ours off when it fails again and again; after a while it is tried again."""

    def __init__(self) -> None:
        self.faults = 0
        self._row = 0
        self._until = 0.0
        self._pause = PAUSE

    def is_off(self) -> bool:
        """Cheap as long as nothing is wrong."""
        return self._until != 0.0 and time.monotonic() < self._until

    def fault(self) -> float:
        """One more. Seconds that the part is off from now on; 0: it stays on."""
        self.faults += 1
        self._row += 1
        if self._row < FAULTS_MAX:
            return 0.0
        pause, self._pause = self._pause, min(PAUSE_MAX, 2 * self._pause)
        self._until = time.monotonic() + pause
        self._row = FAULTS_MAX - 3  # when it comes back, three more are enough
        return pause

    def is_tripped(self) -> bool:
        """Whether it was switched off, and has not worked since."""
        return self._until != 0.0

    def good(self) -> None:
        """It works."""
        if self._row:
            self._row = 0
            self._until = 0.0
            self._pause = PAUSE


class Recorder(_core.Door):
    """The profiling side of one middleware instance.

    :param keywords: options of the middleware.
    :param settings: options of the framework, lower case.
    :param framework: its name and version, for the metadata.
    :param debug: whether the framework is in development mode; asked each time.
    :raises OptionsError: a wrong option.
    """

    options: Options
    writer: Writer
    board: Board

    def __init__(
        self,
        keywords: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        framework: str = "",
        debug: Callable[[], bool] | None = None,
        where: str = "settings",
    ) -> None:
        self.options = load(keywords, settings, where=where)
        refused = engine.refused()
        self.enabled = not disabled() and refused is None
        if refused is not None and not disabled():
            _log.warning("slowlens: %s", refused)
        self.framework = framework
        self._framework_debug = debug
        self.access = Access(self.options, self.debug)
        self.policy = Policy(self.options, self.access, self.debug)
        self.writer = writer_of(self.options)
        self.store = self.writer.store
        self.board = self.writer.board or Board("", "")  # which is never opened
        self._release = self.options.release
        if self.options.numbers and refused is None:
            self.writer.count(self._find_release() or "")
        if self.options.continuous and refused is None:
            self.writer.gather(self._find_release() or "")
        self.refused = 0
        self.reading, self.profiling = Breaker(), Breaker()
        #: Whether responses may get headers of ours; None: in development mode, which may be known only later.
        self._adds_headers = self.options.debug if self.options.response_headers is None \
            else self.options.response_headers
        self._names = Folded()
        #: The plan that was made last, and what of.
        self._plan: tuple[Decision, bool, _core.Plan] | None = None
        self._seldom = Seldom()
        self._viewer: Viewer | None = None
        self._greeted = False
        self._set_up_door()
        if self.enabled:
            engine.prepare()
            if throttling.is_limited() and _note_limit not in begun:
                begun.append(_note_limit)
            self.owns(paths=self.options.project)
            if self.debug() and server_url():
                self._greeted = True
                greet(self.options, server_url())
            elif self._is_closed() and not self.debug() and develops():
                say_what_is_missing(self.options, framework)
            self._find_release()  # it reads files: not in a request
            engine.sampling(self.options.interval_us, self.options.sampler_cpu)
            engine.limit_memory(self.options.max_active_bytes)
        self._look_odd()

    def _set_up_door(self) -> None:
        """What C needs to know, to see to requests that nothing is odd about."""
        options, policy = self.options, self.policy
        if options.debug is not None or self._framework_debug is None:
            self._debug = int(bool(options.debug))
        else:
            self._debug = -1
        self._adds = self._debug if self._adds_headers is None else int(self._adds_headers)
        self._redacts = options.redact is not None
        self._logs = options.log
        self._slow_ns = options.slow_ms * 1e6
        self._begun, self._recorded, self._methods = begun, recorded, METHODS
        self._mount = options.viewer_path[:-1]
        self._boardless = self.writer.board is None
        self._worst, self._worst_count = policy.worst, options.worst_per_route
        self._folded = self._names.known
        for debug in (False, True):
            rules = policy.rules(debug)
            always = policy.always(debug) if policy.same_for_all else None
            self._rules_are(debug, always, rules.slow, rules.error, rules.worst, bool(rules.all or rules.random))

    def _look_odd(self) -> None:
        """Whether requests may go by C: there is nothing to say or to ask once, and nothing went wrong lately."""
        self._plain = (self._greeted and not self.policy.by_function and not self.reading.is_tripped()
                       and not self.profiling.is_tripped())

    def _is_closed(self) -> bool:
        """Nobody has said whether this is development, or who may open the viewer."""
        options = self.options
        return options.debug is None and options.authorize is None and options.key is None

    def owns(self, application: Any = None, module: str | None = None, paths: Iterable[str] = ()) -> None:
        """What the application object, a module of it, or paths tell about whose code is whose. Never raises."""
        try:
            ownership.claim(application, module, paths)
        except Exception:
            self._fault("asking whose code is whose", self.reading)

    def debug(self) -> bool:
        """Development mode: the option, else what the framework says, else no."""
        if self.options.debug is not None:
            return self.options.debug
        return bool(self._framework_debug()) if self._framework_debug is not None else False

    @property
    def viewer(self) -> Viewer:
        """The viewer over this recorder's store, made when first needed."""
        if self._viewer is None:
            from .viewer.app import Viewer

            self._viewer = Viewer(self.store, self.access, self.counters, self._shows_source, self.writer.flush)
        return self._viewer

    def handle(
        self, incoming: Incoming, path: str, prefix: str, granted: frozenset[str] | None = None
    ) -> Response | None:
        """As the viewer's own ``handle``: a stranger does not have it loaded. Never raises."""
        try:
            granted = self.access.admitted(incoming, path, prefix, granted)
            if "view" not in granted:
                return None
            viewer = self.viewer
        except Exception:  # the package was updated below a worker, no file can be opened
            self._fault("loading the viewer", self.reading)
            return None
        return viewer.handle(incoming, path, prefix, granted)

    def _shows_source(self) -> bool:
        chosen = self.options.viewer_source
        return self.debug() if chosen is None else chosen

    def read(self, reader: Callable[[Any], Incoming], native: Any) -> Incoming | None:
        """``reader(native)``; None: this request cannot be read, run the app as if we were not here."""
        if self.reading.is_off():
            return None
        try:
            return reader(native)
        except Exception:
            self._fault("reading a request", self.reading)
            return None

    def begin(self, incoming: Incoming, follows: bool = False) -> Transaction | None:
        """A transaction for this request, or None: run it as if we were not here."""
        if not self.enabled or self.profiling.is_off():
            return None
        try:
            if not self._greeted and incoming.host:
                self._greeted = True
                if self.debug():  # some frameworks know only now
                    here = is_local_host(incoming.host) and not incoming.secure
                    greet(self.options, server_url() or (f"http://{incoming.host}" if here else ""))
                elif self._is_closed() and at_a_terminal() and is_local(incoming, quick=True):
                    say_what_is_missing(self.options, self.framework)
                self._look_odd()
            decision = self.policy.decide(incoming)
            if decision is None or recorded.get():
                return None
            if decision.mode == "sampling" and engine.unsampled() is not None:
                decision = self._without_samples(decision)
            self.writer.open_board()
            self.writer.wake()
            transaction = Transaction(self, incoming, decision, self.plan(decision, follows))
            self.writer.watch()
            return transaction
        except Exception as error:
            self._not_begun(error)
        return None

    def decide_plain(self, path: str) -> Decision | None:
        """How to profile a request that carries no trigger; None: not at all."""
        return self.policy.decide_plain(path)

    def _not_begun(self, error: Exception) -> None:
        """A request runs without a profile, as there can be none now, or by a fault of ours."""
        if isinstance(error, RuntimeError):
            self.refused += 1
            self._seldom.say(_log, f"slowlens: not profiling: {error}", level=logging.ERROR)
        else:
            self._fault("beginning a profile", self.profiling, error)

    def tally(self, method: str, path: str, send: Callable[..., Any] | None = None) -> _core.Tally | None:
        """For a request that ``begin`` did not take: it is one of its route's, and counted. None: it is not.

        Those of ``include`` and ``exclude``, and all where the mode is ``off``, are nobody's business here.
        """
        writer = self.writer
        numbers = writer.numbers
        if numbers is None or recorded.get() or not (self.policy.counts_all or self.policy.counts(path)):
            return None
        try:
            if numbers.wants:
                writer.expect()
            return _core.Tally(numbers, self._name_of, method, path, send)
        except Exception:
            self._fault("counting a request", self.reading)
            return None

    def plan(self, decision: Decision, follows: bool) -> _core.Plan:
        """How recordings of requests that this was decided of are made."""
        known = self._plan
        if known is not None and known[0] is decision and known[1] is follows:
            return known[2]
        options = self.options
        plan = _core.Plan(
            decision.c_calls, max_bytes=options.max_profile_bytes, follows=follows, sampled=decision.mode == "sampling",
            goes_on=True, anyway=True, layers=options.layers, lines=decision.lines, lessens=True,
        )
        self._plan = (decision, follows, plan)
        return plan

    def _say_less_of(self, transaction: Transaction) -> None:
        """For want of memory a request is recorded with less than was decided; each profile says it, too."""
        by = transaction.recording.by
        done = "sampled instead" if by == "samples" else "timed, not profiled"
        self._seldom.say(_log, "slowlens: running profiles hold the memory that they may (option max_active_bytes); "
                               f"requests are {done}", key=f"less {by}")

    def _without_samples(self, decision: Decision) -> Decision:
        """What is done for a request that was to be sampled where that cannot be had: the one that somebody asked for,
        or waits for, is profiled by events; of the others the times are recorded, and no functions."""
        mode = "deterministic" if decision.triggered or self.debug() else "sampling"
        done = "profiled by events instead" if mode == "deterministic" else "timed, not profiled"
        self._seldom.say(_log, f"slowlens: sampling cannot be had here: {engine.unsampled()}; requests are {done}",
                         key=mode, once=True)
        return decision._replace(mode=mode)

    def adds_headers(self) -> bool:
        """Whether responses may get headers of ours."""
        known = self._adds_headers
        return self.debug() if known is None else known

    def response_headers(self, transaction: Transaction, root: str = "") -> list[tuple[str, str]]:
        """What the option ``response_headers`` adds to this response now that its headers go out. Never raises.

        :param root: what the server cut off before the app's paths, as text.
        """
        chosen = self.options.response_headers
        if not self.adds_headers():
            return []
        try:
            incoming, access = transaction.incoming, self.access
            wall, cpu, awaited, loop, asked = transaction.recording.so_far()  # before we take time ourselves
            local = is_local(incoming, self.options.trusted_proxies, quick=True)
            granted: frozenset[str] = access.grants(incoming, quick=True) if chosen or local else frozenset()
            if chosen and access.asks_later:
                granted |= access.authorized(incoming.native)
            if "view" not in granted:
                return []
            kinds = {"cpu": cpu, "await": awaited, "loop": loop, "wait": max(0, wall - cpu - awaited - loop)}
            said = [f"{kind};dur={spent / 1e6:.1f}" for kind, spent in kinds.items() if spent >= 50_000]
            said.insert(0, f"total;dur={wall / 1e6:.1f}")
            said += [f'{kind};desc="{counted(kind, count)}";dur={ns / 1e6:.1f}' for kind, (count, ns) in asked.items()]
            found = [("Server-Timing", ", ".join(said))]
            if transaction.decision.triggered or "all" in self.options.keep_rules(self.debug()):
                link = url_path(root + self.options.viewer_path)
                found.append(("X-Slowlens", f"{link}#r={transaction.seen.id}"))
            return found
        except Exception:
            self._fault("making response headers", self.profiling)
            return []

    def flush_at_shutdown(self) -> None:
        """Stores what waits, for at most two seconds. Never raises: the server is about to end."""
        try:
            if not self.writer.flush(LAST_SECONDS):
                _log.warning("slowlens: not all profiles could be stored before the server's end")
        except Exception:
            _log.warning("slowlens: storing at the server's end failed", exc_info=True)

    def shown_path(self, path: str) -> str:
        """The path as it may be stored."""
        redact = self.options.redact
        if redact is None:
            return path
        try:
            return str(redact(path))
        except Exception as error:
            # What a client sends must not switch anything off: this is the option's fault.
            self._seldom.say(_log, f"slowlens: the option redact failed ({type(error).__name__}): path not stored",
                             key="redact", exc=True)
            return "[redact failed]"

    @property
    def faults(self) -> int:
        """Faults of ours, so far."""
        return self.reading.faults + self.profiling.faults

    def counters(self) -> dict[str, Any]:
        """What happened to profiles in this process, and what records them."""
        writer = self.writer
        return {
            "stored": writer.stored, "dropped": writer.dropped, "failed": writer.failed, "recovered": writer.recovered,
            "uncounted": writer.uncounted,
            "ungathered": 0 if writer.gathering is None else writer.gathering.missed,
            "refused": self.refused, "abandoned": self.abandoned, "faults": self.faults,
            "pid": os.getpid(), "engine": _core.engine_info(), "board": self.board.info(),
        }

    def _finish(self, transaction: Transaction) -> None:
        """Its recording is over, and more is to be done than to count it. Nothing of ours is raised."""
        try:
            self._finished(transaction)
            self.profiling.good()
            if transaction.incoming.method == "TASK" and engine.is_child():
                self.writer.flush(LAST_SECONDS)  # RQ and multiprocessing end their children by os._exit
            if not self._plain:
                self._look_odd()
        except Exception:
            self._fault("finishing a profile", self.profiling)

    def _finished(self, transaction: Transaction) -> None:
        seen = transaction.seen
        wall = transaction.recording.wall_ns
        if not seen.route or seen.is_named:
            seen.route = self._name_of(seen.path, seen.status or (500 if seen.error else 0), seen.route or None)
        known = "" if seen.route in (UNMATCHED, OTHER) else seen.route
        kept = self.policy.keep(transaction.decision, seen, wall, known)
        slow = self.policy.is_slow(seen, wall)
        if self.writer.numbers is not None:
            if self.writer.numbers.full:
                self.writer.expect()
            self.writer.numbers.add(transaction.recording, seen.route, transaction.incoming.method,
                                    seen.error or seen.status >= 500, bool(kept), seen.bytes)
        gathering = self.writer.gathering
        decision = transaction.decision
        weight = 0 if gathering is None or decision.triggered else gathering.draw()
        if not kept and not (slow and self.options.log):
            if not weight or not self.writer.put_tree(
                    transaction.recording, seen.route, transaction.incoming.method, decision.mode, weight):
                transaction.recording.discard()
            return
        meta = self._meta(transaction, kept)
        self.writer.put(Job(transaction.recording, meta, bool(kept), slow and self.options.log, weight))

    def _name_of(self, path: str, status: int, given: str | None) -> str:
        """The route of a request for which no framework has said one. ``given``: the app's own name for it."""
        if given is not None:
            return self._names.given(given)
        route = self._names.name(path, status)
        if route != UNMATCHED:
            self._names.remember(path, route)
            self._folded_ns = self._names.known_until
        return route

    def _meta(self, transaction: Transaction, kept: str) -> dict[str, Any]:
        """Metadata; None: not known. Nothing here but what core/README.md lists."""
        seen, incoming = transaction.seen, transaction.incoming
        path = seen.path[:2000]
        trace = seen.trace or traceparent(incoming.headers.get("traceparent"))
        thread = threading.current_thread()
        held_back = seen.tags.pop(_HELD_BACK, None)
        meta: dict[str, Any] = {
            "id": seen.id,
            "started": seen.started_ns,
            "mode": transaction.decision.mode,
            "c_mode": transaction.decision.c_calls if transaction.decision.mode == "deterministic" else None,
            "method": incoming.method[:20],
            "path": path,
            "route": seen.route[:500] or None,
            "status": seen.status or (500 if seen.error else 0),
            "response_bytes": seen.bytes or None,
            "headers_ns": seen.headers_ns,
            "body_ns": seen.body_ns,
            "kept": kept,
            "throttled_ns": throttling.total_ns() - int(held_back) or None if held_back else None,
            "host": _hostname(),
            "pid": os.getpid(),
            "thread": thread.name[:100],
            "python": _PYTHON,
            "framework": seen.framework or self.framework or None,
            "release": self._find_release(),
            "trace_id": trace[0] if trace else None,
            "span_id": trace[1] if trace else None,
        }
        for key, value in seen.tags.items():
            meta["tag." + key] = value
        return meta

    def _find_release(self) -> str | None:
        if self._release is None:
            self._release = find_release() or ""
        return self._release or None

    def _fault(self, doing: str, part: Breaker, error: Exception | None = None) -> None:
        """A fault of ours: counted, said once a minute, and enough of them switch the part off for a while."""
        if sys.is_finalizing():
            return  # a response that was never closed ends when modules do: part of this package is gone, and the log
        self._plain = False
        try:
            pause = part.fault()
            self._seldom.say(
                _log, f"slowlens: a fault of its own while {doing}; the app is not touched. Please report it",
                exc=error or True, level=logging.ERROR)
            if pause:
                self._seldom.say(_log, f"slowlens: {FAULTS_MAX} faults while {doing}: off for {pause:.0f} s",
                                 level=logging.ERROR)
        except Exception:
            pass  # what broke the first thing (a clock that the app replaced) breaks the telling of it, too


_PYTHON = f"{sys.implementation.name} {sys.version.split()[0]}"
_host: str | None = None


def _hostname() -> str:
    global _host
    if _host is None:
        _host = socket.gethostname()
    return _host
