"""The thread that does what no request waits for: encoding, storing, logging, and turning the engine's events off when
nobody wants them any more.

One for each store and process, however many apps share it, started by the first profile (so never before a fork), never
more than ``QUEUE_MAX`` profiles or ``max_queued_bytes`` behind: what does not fit is dropped and counted. Profiles wait
``SOON`` for each other; what ends the process in order stores them first, a kill loses them. What a recording comes to
is made in ``job``, where it goes stands in ``sinks``, what became of it in ``ledger``.

It is a thread of the system whatever gevent or eventlet made of Python's (``_core.Worker``), its queue bounded, and
there is no lock: ``put`` is right in ``__del__`` and between two greenlets too. It ends with the last app that uses it,
and before every fork, which then copies no thread of ours (``process``); it starts again when it is wanted.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
import weakref
from _thread import get_native_id
from collections import deque
from typing import Any

from . import _core, engine, killed
from .board import Board, board_of
from .bounded import Bounded
from .gathering import Gathering
from .job import Job, profiles_of
from .ledger import Ledger
from .lock import ours
from .log import Seldom, late
from .options import Options
from .process import nobody_else_runs, parked, watch
from .sinks import Sinks
from .store import Store, open_store
from .store.interface import Finished
from .store.numbers import HOUR

__all__ = ["Job", "Writer", "writer_of"]

QUEUE_MAX = 256
#: So many are made at once: each time that the thread wakes, and takes the interpreter from requests, costs as much as
#: a small profile. They wait for so long for each other.
BATCH, BATCH_BYTES = 16, 2 << 20
SOON = 0.01
LINGER = 0.25
GC_EVERY = 30.0
#: A request is written while it runs from so many seconds on, and as often; at least every so many.
CHECKPOINT_AFTER = 2.0
CHECKPOINT_MOST = 10.0
CHECKPOINT_LOOK = 0.5
COUNT_EVERY = 60.0
#: How long a turn adds trees, unless somebody waits for it: the thread has other things to do.
GATHER_SECONDS = 0.1
#: How often it is looked whether the release made something worse.
COMPARE_EVERY = 3600.0
#: Minutes of numbers that wait for a store that takes none.
UNSENT_MAX = 60
#: Memory of recordings that was given back since the last time the C library was asked to hand it on, and how long ago.
TRIM_BYTES = 32 << 20
TRIM_EVERY = 10.0
#: How long the end of a process waits for what is not stored yet.
LAST_SECONDS = 2.0
#: How often someone looks who waits for the writer.
LOOK_SECONDS = 0.002

_log = late("slowlens")

#: Those in which something waits, so that none goes with its app before that is stored: a thread holds its writer only
#: while it works.
_held: set[Writer] = set()


class Writer(_core.Pulse):
    """See the module. ``writer_of`` gives the one of a process for a store."""

    #: What requests are counted in, since it was stored last; None: they are not.
    numbers: _core.Numbers | None
    #: The trees of all requests; None: they are not gathered.
    gathering: Gathering | None

    def __init__(self, store: Store, options: Options, board: Board | None = None) -> None:
        self.store = store
        self.board = board
        self._options = options
        # However small the limits are, those that wait for each other leave room for more.
        self._batch_bytes = min(BATCH_BYTES, options.max_queued_bytes // 4, options.max_active_bytes // 16)
        self._ledger = Ledger()
        self._sinks = Sinks(store, options, self._ledger)
        self._seldom = Seldom()
        self.recovered = 0  # requests of dead processes
        self.uncounted = 0  # requests whose numbers could not be stored
        self._release: str | None = None  # None: nothing is counted
        self._gathered_release: str | None = None  # None: nothing is gathered
        self._braked = False
        self.reset()
        watch(self)

    @property
    def stored(self) -> int:
        """Profiles that the store has."""
        return self._ledger.stored

    @property
    def dropped(self) -> int:
        """Profiles that there was no room for."""
        return self._ledger.dropped

    @property
    def failed(self) -> int:
        """Profiles that could not be made, or that a sink did not take."""
        return self._ledger.failed

    @property
    def wanted(self) -> bool:
        """Whether the thread has something to do."""
        return bool(self._jobs or self._made) or self._ticking

    @property
    def _left(self) -> int:
        """Profiles that nobody was given yet."""
        return len(self._jobs) + len(self._made)

    def reset(self) -> None:
        """As new, for this process."""
        self._jobs: Bounded[Job] = Bounded()
        #: Made of jobs, with the weight of each, and to be handed out; an exception: it could not be made.
        self._made: deque[tuple[Finished | Exception, int]] = deque()
        _held.discard(self)
        self._working = 0  # profiles at work, or 1 for what else there is to do
        self._stores = False  # the last turn had some
        #: The running thread as the one value; who wants another gets this one (``setdefault`` is atomic).
        self._slot: dict[str, _core.Worker] = {}
        self._ticking = False
        self._begun = False  # a profile began since the thread looked last
        self._closed = False
        self._announced = False
        self._ledger.forget()
        self._collected = self._trimmed = self._compared = time.monotonic()
        self._freed = 0
        #: In how many seconds the store wants to be tended; None: it does not.
        self._later: float | None = None
        self.numbers = None
        self._unsent: list[tuple[int, int, bytes, bytes]] = []
        self._unsent_failed = False
        self._expected = False
        self._noted = False
        self._counted = time.monotonic()
        self._asked = False
        self._due: dict[str, float] = {}  # running requests with a checkpoint: when the next one is
        self._told: int | None = None  # calls of handlers of signals, when the thread looked last
        if self._release is not None:
            self.numbers = _core.Numbers(60, self._release[:200], socket.gethostname())
        self._inline = nobody_else_runs()
        self.gathering = None
        if self._gathered_release is not None:
            self.gather(self._gathered_release)
        if self._inline:
            self._seldom.say(
                _log, "slowlens: uWSGI runs without threads of Python: profiles are stored by the request itself, "
                "after its response; --enable-threads avoids that", once=True)
        self._pid = os.getpid()  # last: of several threads that come first in a child none goes on with half of it

    def count(self, release: str) -> None:
        """From now on ``numbers`` counts requests, of this release, where the store keeps such."""
        counts = hasattr(self.store, "put_numbers") and getattr(self.store, "refused", None) is None
        if counts and self.numbers is None:
            self._release = release
            self.numbers = _core.Numbers(60, release[:200], socket.gethostname())

    def gather(self, release: str) -> None:
        """From now on ``gathering`` adds trees of requests up, where the store keeps such and a thread can do it."""
        keeps = hasattr(self.store, "put_window") and getattr(self.store, "refused", None) is None
        if keeps and self.gathering is None and not self._inline:
            self._gathered_release = release
            self.gathering = Gathering(release[:200], socket.gethostname())

    # ---- called by requests ----

    def expect(self) -> None:
        """A request is to be counted that nobody else may tell the thread of: the first since numbers were stored, or
        their journal is nearly full."""
        self.open_board()
        if not self._expected:
            self._expected = True
            self.start()

    def open_board(self) -> None:
        """Before the first request: its memory, in which what is counted outlives a kill. Cheap afterwards."""
        if self._pid != os.getpid():
            engine.forked()  # before there is anything that is let go of then
        board, numbers = self.board, self.numbers
        if board is None or (board.tried and self._noted):
            return
        if not board.tried:
            board.open()
        if not board.tried:
            return  # this request came while its thread was making it
        self._noted = True
        if numbers is not None and board.core is not None:
            numbers.note_in(board.core, secrets.token_bytes(8))

    def wake(self) -> None:
        """A profile begins: somebody must turn the events off later. Cheap when awake. Then it is to be watched."""
        if self._pid != os.getpid():
            engine.forked()  # by C code that does not call Python's hooks
        self._begun = True
        if not self._ticking:
            self._ticking = True
            self.start()

    def watch(self) -> None:
        """It has begun. On a busy machine the thread may have looked twice in between, and seen nothing to turn off."""
        if not self._ticking:
            self.wake()

    def put(self, job: Job) -> bool:
        """Takes the job over. False: it was dropped (counted)."""
        if self._pid != os.getpid():
            engine.forked()
        size = job.recording.memory
        if self._closed or not self._jobs.put(
                job, size, QUEUE_MAX - self._working, self._options.max_queued_bytes):
            self._ledger.dropped += 1
            job.recording.discard()
            if not self._closed:
                self.start()  # it may be waiting for more
            return False
        if self._inline:
            self._turn()
            return True
        _held.add(self)
        # Once for each batch: while the thread waits for the interpreter, it will see what comes.
        if not self.start(SOON if len(self._jobs) % BATCH and self._jobs.bytes < self._batch_bytes else 0.0):
            self._ledger.dropped += self._left
            while self._jobs:
                self._jobs.drop().recording.discard()
            self._made.clear()
            _held.discard(self)
            return False
        return True

    def put_tree(self, recording: _core.Recording, route: str, method: str, mode: str, weight: int) -> bool:
        """Takes over a finished recording that is not kept, for the trees of all requests. False: no room.

        The thread is not woken for it as long as it looks by itself.
        """
        if self._pid != os.getpid():
            engine.forked()
        gathering = self.gathering
        if gathering is None or self._closed or not gathering.put(recording, route, method, mode, weight):
            return False
        if not self._ticking:
            self.start()
        return True

    def start(self, seconds: float = 0.0) -> bool:
        """Has the thread look, in so many seconds. False: there is none to be had."""
        if self._inline or parked():
            return True
        worker = self._slot.get("worker")
        if worker is None:
            mine = _core.Worker()
            worker = self._slot.setdefault("worker", mine)
            if worker is mine:
                try:
                    worker.start(_run, (weakref.ref(self), self._sinks))
                except RuntimeError as error:  # no more threads, or the interpreter is ending
                    self._slot.clear()
                    self._seldom.say(_log, f"slowlens: no thread for storing profiles: {error}")
                    return False
        if seconds:
            worker.wake_in(seconds)
        else:
            worker.wake()
        return True

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until all that was put or counted is stored. False: not in time."""
        deadline = time.monotonic() + timeout
        gathering = self.gathering
        self._asked = (self.numbers is not None and bool(self.numbers.count or self._unsent)) or (
            gathering is not None and bool(gathering.count or gathering.waiting))
        while self._left or self._working or self._asked:
            if self._inline:
                self._turn()
                continue
            if time.monotonic() > deadline or not self.start():
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def close(self) -> None:
        """Flushes at exit. Idempotent."""
        if self._pid != os.getpid() or self._closed:
            return
        self._checkpoint(last=True)
        done = self.flush(LAST_SECONDS)
        self._closed = True
        self.end(1.0)
        if done:
            self._sinks.close()
        elif self._left:
            self._ledger.dropped += self._left
            _log.warning("slowlens: %d profiles could not be stored before the process ended", self._left)
        _held.discard(self)

    def end(self, seconds: float) -> None:
        """Waits for the thread, which sees that it shall end."""
        worker = self._slot.get("worker")
        if worker is not None:
            worker.wake()
            worker.join(seconds)

    def _gone(self) -> None:
        """Called by the thread, as its last act. It gives its place up itself: of several who wait for its end (threads
        that fork at once) none can take the next one's away."""
        self._slot.pop("worker", None)
        if not parked() and not self._closed and self.wanted:
            self.start()  # woken too late to see it

    def __del__(self) -> None:
        worker = self._slot.get("worker")
        if worker is not None:
            worker.wake()  # it finds nobody to work for

    # ---- the thread ----

    def _announce(self) -> None:
        """This process's requests can be found from now on, and what a dead one left is looked after."""
        try:
            if self.board is not None:
                self.board.announce()
                if self.board.core is None and self.board.why_not:  # no reason to warn: doctor says it to who asks
                    _log.info("slowlens: requests that run, or are killed, cannot be shown: no memory to note them in: "
                              "%s", self.board.why_not)
                self._recover()
        except Exception as error:
            self._ledger.complain(f"slowlens: running requests cannot be shown, nor what dead workers left be found: "
                                  f"{error}", "board")

    def _recover(self) -> None:
        if self.board is not None and self.board.tried:
            self.recovered += killed.recover(self.store, self.board.store)

    def _turn(self) -> float | None:
        """Does what there is to do. Seconds until it is to be asked again; None: when it is woken."""
        self._working = 1
        self._stores = self._left > 0
        try:
            if not self._announced:
                self._announced = True
                self._announce()
            while not parked() and (self._made or self._make()):
                self._hand_out()
            self._working = 1
            self._sinks.flush()
            asked, self._asked = self._asked, False  # whoever asked waits until this turn is over
            self._gather(asked)
            if (self._ticking or self._begun) and not self._inline:
                # Cleared first: a profile that begins now sets it again. Under load the thread looks a few times a
                # second by itself: being woken for each request costs a switch of threads, and the GIL.
                self._ticking = False
                begun, self._begun = self._begun, False
                self._ticking = _core.engine_idle(LINGER) or begun or self._ticking
            if self.gathering is not None and self.gathering.waiting:
                self._ticking = True
            self._checkpoint()
            self._store_numbers(asked)
            self._collect()
            self._tend()
        except Exception as error:
            self._ledger.complain(f"slowlens: keeping house failed: {error}")
        finally:
            self._working = 0
            if not self._left:
                _held.discard(self)
                if self._jobs:  # put meanwhile
                    _held.add(self)
        return self._patience()

    def _make(self) -> bool:
        """Makes profiles of some of what waits. Whether there was any."""
        jobs: list[Job] = []
        total = 0
        while len(jobs) < BATCH and total < self._batch_bytes:
            try:
                job, size = self._jobs.take()
            except IndexError:
                break
            jobs.append(job)
            total += size
            self._working = len(jobs)
        if not jobs:
            return False
        try:
            profiles = profiles_of(jobs)
        except Exception as error:  # no memory for any
            profiles = [error.with_traceback(None)] * len(jobs)
        self._made.extend(zip(profiles, [job.weight for job in jobs], strict=True))
        self._trim(total)
        return True

    def _hand_out(self) -> None:
        """What was made first goes where it is to go."""
        profile, weight = self._made.popleft()
        self._working = len(self._made) + 1
        if isinstance(profile, Exception):
            self._failed(profile)
            return
        try:
            if profile.meta.get("interval_ns"):
                self._say_braked(profile.meta["interval_ns"])
            if weight and self.gathering is not None:
                self.gathering.add(profile.blob, profile.meta, weight)
            self._sinks.hand_out(profile)
        except BaseException as error:
            self._failed(error)
            if not isinstance(error, Exception):
                raise  # a time limit of gevent's, say: the thread ends, and the next one goes on

    def _failed(self, error: BaseException) -> None:
        self._ledger.failed += 1
        self._ledger.complain(f"slowlens: a profile could not be made: {type(error).__name__}: {error}")

    def _last_turn(self) -> None:
        """Nobody else may be left in this process (a child that a thread forked): it ends with this thread. What runs
        after all has it start again."""
        self._asked = True
        self._turn()
        _core.sampler_stop()

    def _tend(self) -> None:
        tend = getattr(self.store, "tend", None)
        self._later = None if tend is None else tend()

    def _patience(self) -> float | None:
        """How long to wait for more to do; None: for ever."""
        found = self._patience_alone()
        return self._later if found is None else found if self._later is None else min(found, self._later)

    def _patience_alone(self) -> float | None:
        if self.board is not None and self.board.core is not None and (self._due or self.board.core.count):
            return LINGER if self._ticking else CHECKPOINT_LOOK
        if self._ticking:
            return LINGER
        found = None
        if self.numbers is not None and (self.numbers.count or self._expected):
            found = max(0.0, self._counted + COUNT_EVERY - time.monotonic())
        if self.gathering is not None and self.gathering.count:
            due = self.gathering.due()
            found = due if found is None else min(found, due)
        return found

    def _checkpoint(self, last: bool = False) -> None:
        """What runs for seconds is written as it is by now: should the process be killed, that much is known.

        At most every two seconds, and a thousandth of the time; ``last``: now, for the process ends. So it may when it
        was told to by a signal.
        """
        board = None if self.board is None else self.board.core
        if board is None or not (board.count or self._due):
            return
        told = killed.watch_handlers()
        last = last or self._told not in (None, told)
        self._told = told
        old = [] if last else _core.running(board, int(CHECKPOINT_AFTER * 1e9))
        # What was written because the process may end is younger, and not dropped for that.
        alive = _core.running(board, 0) if last or self._due else old
        there = {seen.id for _, seen, _ in alive}
        for recording, seen, sampled in alive if last else old:
            profile_id = seen.id
            began = time.monotonic()
            if not last and began < self._due.get(profile_id, 0.0):
                continue
            try:
                killed.write_checkpoint(self.board.store, profile_id, _core.checkpoint(recording, {  # type: ignore[union-attr]
                    "id": profile_id, "started": seen.started_ns, "mode": "sampling" if sampled else "deterministic",
                    "method": seen.method[:20], "path": seen.path[:2000], "route": seen.route[:500] or None,
                    "status": seen.status, "kept": "checkpoint", "host": socket.gethostname(), "pid": os.getpid(),
                    "framework": seen.framework or None, "release": self._release or None,
                    **{"tag." + key: value for key, value in list(seen.tags.items())},
                }))
            except RuntimeError:
                pass  # it has ended meanwhile
            except (OSError, MemoryError, _core.CorruptError) as error:
                self._ledger.complain(f"slowlens: a checkpoint could not be written: {error}")
            now = time.monotonic()
            self._due[profile_id] = now + min(CHECKPOINT_MOST, max(CHECKPOINT_AFTER, 1000 * (now - began)))
        for profile_id in [one for one in self._due if one not in there]:
            del self._due[profile_id]
            killed.drop_checkpoint(self.board.store, profile_id)  # type: ignore[union-attr]

    def _gather(self, asked: bool) -> None:
        """Adds the trees that wait; once a minute, or when somebody waits for it, they are stored."""
        gathering = self.gathering
        if gathering is None:
            return
        left = len(gathering.waiting)  # those that come meanwhile may never end
        until = time.monotonic() + GATHER_SECONDS
        try:
            while left and not parked() and (asked or time.monotonic() < until):
                left -= 1
                self._trim(gathering.work())
            gathering.adapt()
            if gathering.count and (asked or not gathering.due()):
                self._put_window(gathering)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            self._ledger.complain(f"slowlens: trees of all requests could not be stored: {what}")
        if asked and left:
            self._asked = True  # not all of what somebody waits for

    def _put_window(self, gathering: Gathering) -> None:
        """Stores the trees. Where that cannot be they are gone, and counted."""
        added = gathering.added
        try:
            taken = gathering.take()
            if taken is not None:
                self.store.put_window(*taken)  # type: ignore[attr-defined]
        except BaseException:
            gathering.missed += added
            raise

    def _store_numbers(self, asked: bool) -> None:
        """What was counted, once a minute, when its journal is nearly full, or when somebody waits for it."""
        now = time.monotonic()
        if self.numbers is None or not (asked or now - self._counted >= COUNT_EVERY or self.numbers.full):
            return
        self._counted = now
        self._expected = False
        try:
            taken = self.numbers.take()
            if taken is not None:
                self._unsent.append(taken)
            while self._unsent:
                first_s, last_s, table, source = self._unsent[0]
                # Of two hours one may have been stored when the other could not be.
                again = self._unsent_failed and first_s // HOUR != last_s // HOUR
                self.store.put_numbers(first_s, last_s, table, source, again)  # type: ignore[attr-defined]
                self.numbers.stored(source)
                self._unsent_failed = False
                del self._unsent[0]
        except Exception as error:
            self._unsent_failed = True
            for lost in self._unsent[:-UNSENT_MAX]:
                self.uncounted += _count_of(lost[2])
            del self._unsent[:-UNSENT_MAX]
            self._ledger.complain(f"slowlens: numbers could not be stored: {error}")

    def _trim(self, size: int) -> None:
        """After a burst its memory goes back to the system: the C library would keep it."""
        self._freed += size
        now = time.monotonic()
        if self._freed >= TRIM_BYTES and not self._jobs and now - self._trimmed >= TRIM_EVERY:
            self._freed, self._trimmed = 0, now
            _core.trim()

    def _say_braked(self, interval: int) -> None:
        """Once: the sampler looks less often than it was asked to."""
        asked = engine.interval_ns()
        if asked and interval > 2 * asked and not self._braked:
            self._braked = True
            _log.info(  # each profile says it too
                "slowlens: sampling every %.1f ms instead of every %.1f ms: the sampler reached its limit of CPU time "
                "(option sampler_cpu; said once)", interval / 1e6, asked / 1e6)

    def _collect(self) -> None:
        now = time.monotonic()
        if now - self._collected >= GC_EVERY:
            self._collected = now
            self._recover()
            if self.board is not None:
                self.recovered += killed.sweep(self.store, self.board.store)
            self.store.gc()
        if self._release and now - self._compared >= COMPARE_EVERY:
            self._compared = now
            from .insight import telling  # of few processes, and not soon

            telling.tell(self.store, self._release)


def _count_of(table: bytes) -> int:
    numbers = _core.Numbers()
    numbers.merge(table)
    return numbers.count


def _run(worker: _core.Worker, argument: tuple[weakref.ref[Writer], Sinks]) -> None:
    """The thread: holds its writer only while it works."""
    reference, sinks = argument
    thread = get_native_id()
    ours.add(thread)
    try:
        _work_for(worker, reference, sinks)
    finally:
        ours.discard(thread)
        writer = reference()
        if writer is not None and writer._slot.get("worker") is worker:
            writer._gone()  # it ended by what no sink may raise


def _work_for(worker: _core.Worker, reference: weakref.ref[Writer], sinks: Sinks) -> None:
    while True:
        writer = reference()
        if writer is None:  # the last app is gone
            sinks.close()
            return
        seconds = writer._turn()
        alone = worker.alone and not writer.wanted and not _core.active_count()
        if alone:
            writer._last_turn()
        if alone or parked() or writer._closed:
            writer._gone()
            return
        nap = SOON if writer._stores else 0.0
        del writer
        worker.wait(seconds, nap)


# ---- all writers of a process ----

_writers: weakref.WeakValueDictionary[tuple[Any, ...], Writer] = weakref.WeakValueDictionary()


def writer_of(options: Options) -> Writer:
    """The one writer of this process for the store of ``options``, made when first asked for."""
    key = (options.store, options.max_bytes, options.max_age_days, options.worst_per_route, options.viewer_path,
           options.board, options.max_queued_bytes, options.numbers, options.continuous, options.release)
    found = _writers.get(key)
    if found is None:
        store = open_store(options)
        # Nothing of ours is put where no profile may be written.
        has_board = options.board and getattr(store, "refused", None) is None
        board = board_of(options.store) if has_board else None
        found = _writers.setdefault(key, Writer(store, options, board))
    return found
