"""Calls every function, method and attribute of ``slowlens._core``, with what is right and with what is not, many times
over, and prints as JSON what was left behind: memory, references. Run by ``test_references.py`` with
``PYTHONMALLOC=malloc``, so that all memory, the core's too, is counted in one place, and with glibc's caches of freed
pieces switched off, which count as used.

Each entry of ``CASES`` covers the names it is given. A name that is in the module and in no entry is an error: who adds
a function adds a line here.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import gc
import json
import mmap
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from slowlens import _core, asgi, engine, wsgi

shown_by = (asgi, wsgi)  # which register what C asks of Python
warnings.simplefilter("ignore")  # coroutines that nobody awaits

#: How often each case runs between two looks at what there is.
TIMES = 60
#: Bytes for each time that may stay behind: nothing that is allocated is so small.
NOISE = 16

#: What should have been refused.
TAKEN_ANYWAY: set[str] = set()

CASES: list[tuple[tuple[str, ...], Callable[[], object]]] = []


def case(*names: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def add(call: Callable[[], object]) -> Callable[[], object]:
        CASES.append((names, call))
        return call

    return add


def refused(call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """It must raise, and nothing else."""
    try:
        call(*args, **kwargs)
    except Exception:
        return
    TAKEN_ANYWAY.add(f"{call.__qualname__}{args} {kwargs}"[:200])


def shown(*values: object) -> None:
    """Attributes are calls, too."""


# ---- what there is to call ----


def parts(module: Any) -> Iterator[tuple[str, Any, type | None]]:
    """(name, what, type) of all functions, and of the methods, attributes and constructors of all types."""
    kinds = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    kinds |= {"Entry": type(board().begin(1, "", "", False)), "Step": type(_core.step(nothing()))}
    for name, value in vars(module).items():
        if type(value).__name__ == "builtin_function_or_method":
            yield name, value, None
    for name, of in kinds.items():
        if of is _core.CorruptError:
            continue
        if type.__dict__.get("__call__") and "__new__" in vars(of):
            yield f"{name}.__new__", of, None
        for attribute, value in vars(of).items():
            kind = type(value).__name__
            slot = kind == "wrapper_descriptor" and attribute in ("__await__", "__iter__", "__next__")
            if slot or kind.removesuffix("_descriptor") in ("method", "classmethod", "getset", "member"):
                yield f"{name}.{attribute}", value, of


# ---- things to call them with ----


async def nothing() -> int:
    return 7


def one(depth: int = 3) -> int:
    return one(depth - 1) + len("x") if depth else 0


def recorded(**options: Any) -> _core.Recording:
    recording = _core.Recording("all", **options)
    recording.enter()
    one()
    recording.leave()
    return recording


def finished(**options: Any) -> _core.Recording:
    recording = recorded(**options)
    recording.finish()
    return recording


def board() -> _core.Board:
    return _core.Board(mmap.mmap(-1, 1 << 16), bytes(8), 1, 2, bytes(16), 3)


ID = bytes(range(16))
NAME = "0" * 26
META = {"id": NAME, "started": 1, "mode": "deterministic", "route": "/r", "method": "GET", "path": "/r",
        "status": 200, "wall_ns": 1000, "cpu_ns": 10}
engine.prepare()
BLOB = finished().encode(META)
PROFILE = _core.Profile(BLOB)
OTHER = _core.Profile(finished().encode(META))
HEAD = _core.record_head(1, ID, b"inside", 0)


def numbers() -> _core.Numbers:
    table = _core.Numbers()
    table.add(finished(), "/r", "GET", False, True, 10)
    return table


NUMBERS = numbers().encode()
TAKEN = numbers().take()


def rows() -> _core.Rows:
    table = _core.Rows()
    table.add_blob(1, BLOB, NAME, b"hot")
    return table


FOOTER = rows().footer(1)


# ---- the cases ----


@case("configure")
def _() -> None:
    from slowlens import ownership

    ownership.configure(engine.CHOSEN, False)
    refused(_core.configure, ("a",), ("b",), ("c",), "own", False, (1,))
    refused(_core.configure, (1,), ("b",), ("c",), "own")
    refused(_core.configure, ("a",), ("b",), ("c",), "own", False, (), (b"x",))


@case("engine_info", "engine_idle", "active_count", "trim", "sampler_stop", "sampler_resume")
def _() -> None:
    _core.engine_info()
    _core.engine_idle(0)
    _core.engine_idle(1e3)
    _core.active_count()
    _core.trim()
    _core.sampler_stop()
    _core.sampler_resume()
    refused(_core.engine_idle, "soon")


@case("sampler_lock_measure", "sampler_opcodes", "sampler_test", "sampler_configure", "limit_memory", "probes_install",
      "gc_hook")
def _() -> None:
    from slowlens import interpreter, ownership

    _core.sampler_test(ownership.OWN)
    _core.probes_install()
    _core.sampler_configure(0.001, 1.0)
    _core.sampler_lock_measure(True)
    _core.sampler_lock_measure(False)
    _core.limit_memory(1 << 30)
    _core.limit_memory(0)
    _core.gc_hook("start", {})
    _core.gc_hook("stop", {})
    recording = _core.Recording()
    recording.enter()
    _core.gc_hook("start", {})
    _core.gc_hook("stop", {})
    recording.discard()
    _core.sampler_opcodes(interpreter.opcodes())
    refused(_core.sampler_opcodes, 7)
    refused(_core.sampler_opcodes, b"short")
    refused(_core.sampler_test, 7)
    refused(_core.sampler_test, "\ud800")
    refused(_core.sampler_configure, 0, 0)
    refused(_core.limit_memory, 1 << 80)


@case("call_soon")
def _() -> None:
    assert _core.call_soon(nothing_at_all) in (True, False)
    for _ in range(3):
        one()


def nothing_at_all() -> None:
    pass


@case("after_fork")
def _() -> None:
    recording = recorded()
    _core.sampler_stop()  # in a child there is no such thread
    _core.after_fork()
    refused(recording.encode, {})


@case("layers_add", "layers_open")
def _() -> None:
    assert not _core.layers_open("db")
    refused(_core.layers_open, 7)
    refused(_core.layers_add, "module", "name", "no kind", "x", "x", "x", False)
    refused(_core.layers_add, "module")


@case("Recording.__new__", "Recording.enter", "Recording.enter_block", "Recording.leave", "Recording.finish",
      "Recording.discard", "Recording.wall_ns", "Recording.cpu_ns", "Recording.memory", "Recording.finished",
      "Recording.by", "Recording.less", "Recording.so_far",
      "Recording.totals", "Recording.spans", "Recording.encode", "Recording.let_go", "Recording.complete")
def _() -> None:
    for options in ({}, {"follows": True}, {"sampled": True, "anyway": True, "follows": True}, {"max_nodes": 2},
                    {"max_bytes": 1 << 20, "goes_on": True, "label": object()}):
        recording = recorded(**options)
        recording.so_far()
        shown(recording.wall_ns, recording.cpu_ns, recording.memory, recording.finished, recording.by, recording.less)
        refused(recording.totals)
        refused(recording.complete, {})
        refused(recording.encode, {})
        refused(recording.let_go)
        recording.finish()
        recording.finish()
        recording.let_go()
        refused(recording.enter)
        refused(recording.so_far)
        recording.leave()
        recording.totals()
        recording.complete({"mode": "sampling"})
        recording.complete({"mode": 7})
        refused(recording.complete, 7)
        recording.spans()
        recording.encode(META, 1)
        refused(recording.encode, {"id": object()})
        refused(recording.encode, {b"id": 1})
        refused(recording.encode, {"id": "\ud800"}, "level")
        shown(recording.wall_ns, recording.cpu_ns, recording.memory, recording.finished, recording.by, recording.less)
        recording.discard()
        refused(recording.totals)
        refused(recording.let_go)
        refused(recording.encode, {})
    made = _core.Recording()
    made.enter()
    exec(compile("def made():\n    return len('x')\nmade()", "/app/made.py", "exec"), {})
    made.leave()
    made.finish()
    made.let_go()
    made.encode(META, 1)
    made.discard()
    block = _core.Recording()
    block.enter_block()
    refused(block.enter_block)
    block.discard()
    recorded()  # dropped as it runs
    inside = _core.Recording()
    inside.enter()
    del inside
    for wrong in ({"max_bytes": -1}, {"entry": 7}, {"layers": "none such"}, {"nonsense": 1}, {"max_nodes": "x"}):
        refused(_core.Recording, **wrong)
    refused(_core.Recording, "no such choice")


@case("Plan.__new__")
def _() -> None:
    for options in ({}, {"follows": True}, {"sampled": True, "anyway": True}, {"max_bytes": 1 << 20, "goes_on": True}):
        plan = _core.Plan("all", **options)
        for _number in range(2):
            recording = plan(object(), None)
            recording.enter()
            one()
            recording.leave()
            recording.discard()
        refused(plan, None)
        refused(plan, None, 7)
        refused(plan, label=None, entry=None)
    for wrong in ({"max_bytes": -1}, {"entry": None}, {"label": 7}, {"layers": "none such"}, {"nonsense": 1}):
        refused(_core.Plan, **wrong)


BOARD = board()


class Writer(_core.Pulse):
    mode: str

    def wake(self) -> None:
        shown(self._begun, self._ticking, self._pid, self.numbers, self.gathering)
        self._ticking = self.mode != "asleep"
        if self.mode == "cannot wake":
            raise ValueError


class Around(_core.Door):
    """A middleware with its recorder, as far as requests ask them."""

    def __init__(self, mode: str = "plain") -> None:
        self.mode = mode
        self.writer = Writer()
        self.writer.mode, self.writer._pid, self.writer._noted = mode, os.getpid(), True
        self.writer.numbers = numbers() if mode != "uncounted" else None
        self.board = types.SimpleNamespace(core=BOARD, tried=True)
        self.options = types.SimpleNamespace(layers="off")
        self.enabled = mode != "off"
        self._plain = mode != "odd"
        self._redacts, self._logs, self._slow_ns = mode == "redacts", True, 1e12
        self._boardless = False
        self._debug, self._adds = (-1, -1) if mode in ("asks", "app asks") else (0, int(mode == "adds"))
        self._debugged = types.SimpleNamespace(debug=False) if mode == "app asks" else None
        self._begun = [lambda transaction: shown(transaction.seen.id)] if mode == "told" else []
        self._recorded = contextvars.ContextVar("recorded", default=mode == "recorded")
        self._worst, self._worst_count = {"/r": [1]}, int(mode == "worst")
        self._folded, self._folded_ns, self._methods, self._mount = {"/r": "/r"}, 1 << 62, frozenset(("GET",)), "/v"
        decision = ("sampling", "none", False)
        for debug in (False, True):
            self._rules_are(debug, None if mode == "decides" else decision, True, True, mode == "worst", mode == "kept")
        shown(self._boardless, self.writer._noted)
        shown(self._plain, self._redacts, self._logs, self._slow_ns, self._debug, self._adds, self._begun, self.options,
              self._debugged, self._recorded, self._worst, self._worst_count, self._folded, self._folded_ns,
              self._methods, self._mount, self.writer, self.board, self.enabled, self.abandoned)

    def debug(self) -> bool:
        return True

    def decide_plain(self, path: str) -> object:
        return None if path == "/none" else ("sampling", "none", False)

    def plan(self, decision: object, follows: bool) -> _core.Plan:
        # What samples see is not the same each time, and needs memory.
        return _core.Plan("none", sampled=self.mode == "asks", anyway=True, follows=follows)

    def shown_path(self, path: str) -> object:
        return path if path == "/r" else 7

    def response_headers(self, transaction: _core.Transaction, root: str) -> list[tuple[str, str]]:
        return [("X", root)]

    def _finish(self, transaction: _core.Transaction) -> None:
        shown(transaction.incoming, transaction.layers, transaction.decision, transaction.done)
        if self.mode == "kept":
            raise GeneratorExit  # nothing of ours: it goes on

    def _not_begun(self, error: Exception) -> None:
        shown(error)

    def look_closer(self, *args: Any) -> Any:
        return "odd"

    def pass_by(self, method: str, path: str, *args: Any) -> Any:
        return "odd"


def transaction() -> _core.Transaction:
    door = Around()
    return _core.Transaction(door, types.SimpleNamespace(method="GET", path="/r"), ("sampling", "none", True),
                             door.plan(None, False))


MODES = ("plain", "off", "odd", "redacts", "asks", "app asks", "adds", "told", "recorded", "worst", "decides", "kept",
         "uncounted", "asleep", "cannot wake")


@case("Seen.__new__", "Seen.method", "Seen.path", "Seen.route", "Seen.framework", "Seen.status", "Seen.bytes",
      "Seen.error", "Seen.headers_ns", "Seen.body_ns", "Seen.trace", "Seen.started_ns", "Seen.tags", "Seen.entry",
      "Seen.id", "Seen.is_named", "Seen.name", "Seen.note_route", "Seen.name_route")
def _() -> None:
    for seen in (_core.Seen(), _core.Seen("GET", "/p"), _core.Seen(path="/p" * 600)):
        shown(seen.name, seen.id, seen.id, seen.route, seen.entry, seen.started_ns, seen.tags, seen.is_named)
        for route in ("/r", "", None, "/r" * 600):
            seen.note_route(route)
        seen.name_route("/n" * 600)
        seen.note_route("/r")
        seen.route = "/r"
        seen.method = seen.path = seen.framework = "text"
        seen.status, seen.bytes, seen.error, seen.trace = 200, 1 << 40, True, ("a", "b")
        for ns in (None, 7):
            seen.headers_ns = seen.body_ns = ns
            shown(seen.headers_ns, seen.body_ns, seen.framework, seen.status, seen.bytes, seen.error)
        refused(seen.note_route, 7)
        refused(seen.name_route, 7)
        for name, wrong in (("route", 7), ("method", None), ("headers_ns", "x"), ("status", "x"), ("error", 7)):
            refused(setattr, seen, name, wrong)
        refused(delattr, seen, "route")
    refused(_core.Seen, 7)
    refused(_core.Seen, nonsense="")


@case("Door.__new__", "Door.enabled", "Door.abandoned", "Door.options", "Door.writer", "Door.board", "Door._plain",
      "Door._redacts", "Door._logs", "Door._debug", "Door._adds", "Door._begun", "Door._recorded", "Door._worst",
      "Door._worst_count", "Door._folded", "Door._folded_ns", "Door._mount", "Door._methods", "Door._slow_ns",
      "Door._rules_are", "Door._boardless", "Door._debugged", "Pulse._noted", "Pulse.__new__", "Pulse._ticking",
      "Pulse._begun", "Pulse._pid", "Pulse.numbers", "Pulse.gathering", "Draw.__new__", "Draw.seen",
      "Draw.skip")
def _() -> None:
    for mode in MODES[:3]:
        door = Around(mode)
        for name, wrong in (("_plain", 7), ("_debug", "x"), ("_slow_ns", "x"), ("_worst_count", None)):
            refused(setattr, door, name, wrong)
    refused(door._rules_are, True)
    draw = _core.Draw()
    shown(_core.Door(), _core.Pulse(), draw, draw.seen, draw.skip)
    refused(setattr, draw, "skip", "x")


@case("wsgi_enter", "wsgi_run", "upcalls", "current", "Transaction.__new__", "Transaction.seen",
      "Transaction.recording", "Transaction.decision", "Transaction.incoming", "Transaction.layers", "Transaction.done",
      "Transaction.headers_sent", "Transaction.body_sent", "Transaction.more_headers", "Transaction.leave_context",
      "Transaction.finish", "Transaction.abandon")
def _() -> None:
    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        if status == "refused":
            raise ValueError

    def app(environ: dict[str, Any], start: Any) -> Any:
        start("200 OK", [])
        start("200 OK", headers=[])
        refused(start, "refused", 7)
        refused(start)
        transaction = _core.current()
        if transaction is not None:
            shown(transaction.incoming, transaction.layers, transaction.more_headers("/x"), transaction.more_headers())
            transaction.headers_sent(200)
            transaction.headers_sent(1 << 70)
            transaction.body_sent()
            refused(transaction.more_headers, 7)
            if environ["PATH_INFO"] == "/abandon":
                transaction.abandon()
        if environ["PATH_INFO"] == "/raise":
            raise ValueError
        return iter([b"x"]) if environ["PATH_INFO"] == "/iter" else [b"x", b"y"]

    for mode in MODES:
        door = Around(mode)
        all_paths = ("/r", "/other", "/raise", "/iter", "/abandon", "/v", "/\xe6", "", 7)
        for path in all_paths if mode == "plain" else ("/r", "/none"):
            environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "SCRIPT_NAME": "/\xe6"}
            with contextlib.suppress(ValueError, GeneratorExit):
                result = _core.wsgi_enter(door, app, environ, start_response, door)
                close = getattr(result, "close", None)
                if close is not None:
                    list(result)
                    close()
        environ = {"PATH_INFO": "/r", "QUERY_STRING": "slowlens=sampling"}
        _core.wsgi_enter(door, app, environ, start_response, door)
    incoming = types.SimpleNamespace(method="GET", path="/r")
    for how in ("run", "abandon", "finish", "drop"):
        made = transaction()
        made.recording.enter()
        shown(_core.current(), made.seen, made.incoming)
        made.leave_context()
        made.recording.leave()
        if how == "run":
            _core.wsgi_run(made, app, {"PATH_INFO": "/r"}, start_response)
        elif how != "drop":
            getattr(made, how)()
            getattr(made, how)()
            refused(lambda made=made: made.incoming)
    refused(_core.Transaction, 7)
    refused(_core.Transaction, door, incoming, None, None)
    refused(_core.Transaction, door, types.SimpleNamespace(method=7, path=7), None, door.plan(None, False))
    refused(_core.wsgi_enter, 7)
    refused(_core.wsgi_run, 7)
    refused(_core.upcalls, 7)
    refused(_core.upcalls, nonsense=print)
    refused(_core.upcalls, new_id=7)


@case("asgi_enter", "asgi_run")
def _() -> None:
    async def nothing_sent(message: Any = None) -> None:
        pass

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(types.MappingProxyType({"type": "http.response.body", "body": b"x", "more_body": True}))
        await send({"type": "http.response.body", "body": 7})
        await send({})
        if scope["path"] == "/raise":
            raise ValueError

    def no_app(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        raise ValueError

    sys.unraisablehook = lambda told: None  # what _finish() raises beside an app that is done
    for mode in MODES:
        door = Around(mode)
        several = [(b"host", b"x"), (b"host", b"y")]
        for path in ("/r", "/other", "/raise", "/v", "", 7) if mode == "plain" else ("/r", "/none"):
            for headers in ([(b"host", b"x")], several, [(b"x-slowlens", b"")], [7], 7) if mode == "plain" else ((),):
                scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "root_path": "/r"}
                step = _core.asgi_enter(door, app, scope, nothing_sent, nothing_sent, door)
                with contextlib.suppress(ValueError, StopIteration):
                    if step != "odd":
                        step.send(None)
        for end in ("close", "throw", "drop"):
            step = _core.asgi_enter(door, app, {"type": "http", "path": "/r", "method": "GET"}, nothing_sent,
                                    nothing_sent, door)
            with contextlib.suppress(ValueError):
                if step != "odd" and end == "close":
                    step.close()
                elif step != "odd" and end == "throw":
                    step.throw(ValueError())
        refused(_core.asgi_enter, door, no_app, {"type": "http", "path": "/r"}, nothing_sent, nothing_sent, 7)
        shown(_core.asgi_enter(door, app, {"type": "lifespan"}, nothing_sent, nothing_sent, door))
    door = Around()
    incoming = types.SimpleNamespace(method="GET", path="/r")
    made = _core.Transaction(door, incoming, ("sampling", "none", True), door.plan(None, True))
    with contextlib.suppress(StopIteration):
        _core.asgi_run(made, app, {"path": "/r"}, nothing_sent, nothing_sent).send(None)
    refused(_core.asgi_enter, 7)
    refused(_core.asgi_run, 7)


@case("Span.__new__", "Span.__enter__", "Span.__exit__", "Span.__aenter__", "Span.__aexit__", "span_add")
def _() -> None:
    for recording in (None, _core.Recording(follows=True)):
        if recording is not None:
            recording.enter()
        with _core.Span("name", "db", {"rows": 3, "text": "x"}, keep="shape", dialect="sqlite"), _core.Span(b"name"):
            one()
        with contextlib.suppress(ValueError), _core.Span("raises", "http"):
            raise ValueError
        span = _core.Span("asynchronous")
        for awaited in (span.__aenter__(), span.__aexit__(None, None, None)):
            with contextlib.suppress(StopIteration):
                next(iter(awaited.__await__()))
        _core.span_add("SELECT 1", "db", 1000, keep="shape", dialect="sqlite")
        _core.span_add("name", None, 1000)
        refused(_core.span_add, 7)
        refused(_core.span_add, "name", "db", "x")
        refused(_core.Span, nonsense=1)
        if recording is not None:
            recording.leave()
            recording.finish()
            recording.encode(META)


@case("Recording.step", "step", "Step.__await__", "Step.__iter__", "Step.__next__", "Step.send", "Step.throw",
      "Step.close", "Step.follow", "Step.cr_await", "Step.cr_frame", "Step.cr_code", "Step.cr_running")
def _() -> None:
    for made in (_core.step, "recording"):
        recording = _core.Recording(follows=True)
        make = made if callable(made) else recording.step
        step = make(nothing())
        for name in ("cr_await", "cr_frame", "cr_code", "cr_running"):
            getattr(step, name)
        with contextlib.suppress(StopIteration):
            step.send(None)
        refused(step.send, None)
        step = make(nothing())
        refused(step.throw, ValueError("x"))
        step = make(nothing())
        step.close()
        for _ in make(nothing()).__await__():
            pass
        iter(make(nothing())).close()
        step = make(nothing())
        with contextlib.suppress(StopIteration):
            next(step)
        refused(iter, make(7).__await__)
        refused(make(7).send, None)
        refused(make(nothing()).throw)
        recording.finish()
    recording = _core.Recording(follows=True)
    step = _core.step(nothing())
    step.follow(recording)
    step.follow(None)
    refused(step.follow, 7)
    step.close()
    refused(recording.step(nothing()).follow, recording)


@case("Numbers.note_in", "Numbers.stored", "Numbers.wants", "Numbers.full", "board_numbers", "board_numbers_mark")
def _() -> None:
    journal = 1024 + 2 * 4096
    memory = mmap.mmap(-1, 4096 + 384 + journal)
    board = _core.Board(memory, bytes(8), 1, 2, bytes(16), 3, journal)
    table = _core.Numbers(60, "release", "host")
    table.note_in(board, bytes(8))
    refused(table.note_in, board, b"short")
    refused(table.note_in, memory, bytes(8))
    table.add(finished(), "/r", "GET", False, True, 10)
    shown(table.wants, table.full)
    _core.board_numbers(memory)
    _core.board_numbers_mark(memory, 0, False)
    refused(_core.board_numbers, bytes(64))
    refused(_core.board_numbers_mark, bytearray(64), 0, True)
    table.stored((table.take() or (0, 0, b"", b""))[3])
    refused(table.stored, 7)
    board.close()


@case("Tally.__new__", "Tally.run", "Tally.enter", "Tally.finish", "Tally.note_route",
      "Tally.name_route", "Tally.path", "Tally.route", "tally")
def _() -> None:
    table = TALLIED
    namer, app = name_it, answer
    for body in ([b"x"], iter([b"x"]), map(bytes, [b"x", b"y"])):
        tally = _core.Tally(table, namer, "GET", "/r")
        given = tally.run(app, {"body": body}, print_nothing, print_nothing)
        b"".join(given)
        if not isinstance(given, list):
            given.close()  # type: ignore[attr-defined]
    refused(_core.Tally(table, namer, "GET", "/r").run, app, {}, print_nothing, print_nothing)
    refused(_core.Tally(table, namer, "GET", "/r").run, app)
    tally = _core.Tally(table, namer, "GET", "/r", print_nothing)
    tally.enter()
    shown(_core.tally(), tally.path, tally.route)
    tally.note_route("/a")
    tally.name_route("b")
    refused(tally.note_route, 7)
    refused(tally.name_route, 7)
    tally({"type": "http.response.start", "status": 200})
    tally({"type": "http.response.body", "body": b"x"})
    tally.finish(0, 0, True)
    tally.finish()
    shown(_core.tally())
    refused(_core.Tally, 7, namer, "GET", "/r")


#: One table, which has grown as much as it will.
TALLIED = _core.Numbers()


def print_nothing(*given: object) -> None:
    """As start_response, or send."""


def name_it(path: str, status: int, given: str | None) -> str:
    return given or path


def answer(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return environ["body"]


@case("Numbers.__new__", "Numbers.add", "Numbers.take", "Numbers.load", "Numbers.merge", "Numbers.consume",
      "Numbers.add_killed", "Numbers.encode", "Numbers.report", "Numbers.count", "Numbers.memory")
def _() -> None:
    table = numbers()
    table.add_killed("/r", "GET", 1000, 7)
    refused(table.add_killed, 7, "GET", 1000, 7)
    table.report()
    table.report(3)
    table.encode()
    table.load(NUMBERS)
    table.merge(NUMBERS, route="/x", method="GET", release="r", host="h", from_s=0, to_s=10)
    table.consume(ID, 1)
    table.consume(ID, 1)
    shown(table.count, table.memory)
    table.take()
    table.take()
    _core.Numbers(60, "release", "host", 1)
    refused(_core.Numbers, 60, 7)
    refused(table.load, b"nonsense")
    refused(table.merge, b"nonsense")
    table.merge(NUMBERS, route="another")
    refused(table.add, finished(), 7, "GET", False, True, 10)
    refused(table.add, 7, "/r", "GET", False, True, 10)
    refused(table.consume, 7, 7)
    refused(table.report, "x")


@case("Gather.__new__", "Gather.add", "Gather.encode", "Gather.count", "Gather.nodes", "Gather.memory", "Gather.full")
def _() -> None:
    gather = _core.Gather()
    gather.add(BLOB)
    gather.add(BLOB, 3)
    shown(gather.count, gather.nodes, gather.memory, gather.full)
    gather.encode({"route": "/r", "requests": 4})
    refused(gather.encode, {"route": "/r"})  # that was all
    bounded = _core.Gather(2)
    bounded.add(BLOB)
    bounded.encode({}, 1)
    refused(gather.add, b"nonsense")
    refused(gather.add, BLOB, "x")
    refused(gather.add, 7)
    refused(gather.encode, 7)
    refused(gather.encode, {7: 7})
    refused(gather.encode, {}, "x")
    refused(_core.Gather, "x")


@case("work_of")
def _() -> None:
    cell: Any = types.CellType()
    cell.cell_contents = cell

    def wrapper() -> object:
        return made

    made = functools.partial(wrapper, wrapper, ((len, int),), cell)
    _core.work_of(made, (types.MethodType(made, made), functools.lru_cache(wrapper), (wrapper, ((wrapper,),))))
    _core.work_of(1, ())
    refused(_core.work_of, wrapper)
    refused(_core.work_of, wrapper, [])


@case("handler_watch", "handler_calls")
def _() -> None:
    _core.handler_watch(one.__code__)
    _core.handler_watch(one.__code__)
    shown(_core.handler_calls())
    refused(_core.handler_watch, one)


@case("Board.__new__", "Board.begin", "Board.close", "Board.count", "Entry.name", "Entry.end", "Entry.id", "board_read",
      "board_clear", "running")
def _() -> None:
    memory = mmap.mmap(-1, 1 << 16)
    made = _core.Board(memory, bytes(8), 1, 2, bytes(16), 3)
    entry = made.begin(1, "GET", "/\ud800", True)
    entry.name("/route")
    entry.name("\ud800")
    shown(entry.id, made.count)
    recording = _core.Recording(entry=made.begin(2, "GET", "/x", False), label=object())
    _core.running(made, 0)
    _core.board_read(memory)
    _core.board_read(memory, True)
    recording.discard()
    entry.end()
    entry.end()
    refused(entry.name, 7)
    refused(made.begin, "x", "GET", "/", False)
    refused(made.begin, 1 << 80, "GET", "/", False)
    refused(made.begin, 1)
    _core.board_clear(memory, 0)
    refused(_core.board_clear, memory, 1 << 20)
    refused(_core.board_clear, bytes(64), 0)
    refused(_core.board_read, b"nonsense")
    refused(_core.running, 7, 7)
    made.close()
    made.close()
    made.begin(1, "GET", "/", True)
    refused(_core.Board, memory, b"short", 1, 2, bytes(16), 3)
    refused(_core.Board, bytes(1 << 16), bytes(8), 1, 2, bytes(16), 3)
    refused(_core.Board, mmap.mmap(-1, 16), bytes(8), 1, 2, bytes(16), 3)


@case("Worker.__new__", "Worker.start", "Worker.wake", "Worker.wake_in", "Worker.wait", "Worker.join", "Worker.alone")
def _() -> None:
    def work(worker: _core.Worker, argument: object) -> None:
        worker.wait(None)

    worker = _core.Worker()
    worker.start(work, object())
    shown(worker.alone)
    refused(worker.start, work, None)
    worker.wake()
    assert worker.join(60)
    assert worker.join(None)
    idle = _core.Worker()
    idle.wake()
    assert idle.wait(0) and not idle.wait(-1.0)
    idle.wake_in(0.001)
    assert idle.wait(0) or idle.wait(60, 0.001)
    refused(idle.wait, "x")
    refused(idle.wake_in, "x")
    refused(idle.join, "x")
    refused(idle.start, work)
    refused(_core.Worker, 1)


@case("Profile.__new__", "Profile.meta", "Profile.summary", "Profile.tree", "Profile.functions", "Profile.diff",
      "Profile.lines", "Profile.timeline", "Profile.flame", "Profile.calls", "Profile.repeats", "Profile.spans",
      "Profile.text", "Profile.export", "Profile.export_to")
def _() -> None:
    profile = _core.Profile(BLOB)
    for call in (profile.meta, profile.summary, profile.tree, profile.functions, profile.timeline, profile.flame,
                 profile.calls, profile.repeats, profile.spans, profile.text):
        call()
    profile.summary(True)
    profile.diff(OTHER)
    profile.lines(json.loads(profile.functions())["rows"][0]["function"]["id"])
    for name in _core.EXPORT_FORMATS:
        profile.export(name)
    pieces: list[bytes] = []
    profile.export_to("json", pieces.append)
    refused(profile.export_to, "json", pieces.append, 10)
    refused(profile.export_to, "json", lambda piece: 1 / 0)
    refused(profile.export_to, "none such", pieces.append)
    refused(profile.export, "none such")
    refused(profile.export, 7)
    refused(profile.tree, 1 << 30)
    refused(profile.flame, 1 << 30)
    refused(profile.lines, 1 << 30)
    refused(profile.calls, 1 << 30)
    refused(profile.diff, 7)
    refused(profile.tree, nonsense=1)
    refused(_core.Profile, b"nonsense")
    refused(_core.Profile, BLOB[:-9])
    refused(_core.Profile, BLOB, 10)
    refused(_core.Profile, 7)


@case("cohort", "merge", "aggregate", "growth", "with_meta", "unseen", "read_meta", "checkpoint",
      "encode_many")
def _() -> None:
    both = [PROFILE, OTHER]
    _core.merge(both, META)
    _core.merge(tuple(both), META)
    _core.aggregate(both)
    _core.cohort([PROFILE] * 60)
    refused(_core.cohort, [])
    refused(_core.cohort, [PROFILE], b"\1\2\3")
    refused(_core.cohort, [7])
    _core.growth(PROFILE, OTHER, META)
    _core.with_meta(BLOB, META)
    _core.unseen(META, 1000)
    _core.read_meta(BLOB)
    recording = recorded()
    _core.checkpoint(recording, META)
    refused(_core.checkpoint, recording, {"id": object()})
    recording.finish()
    refused(_core.checkpoint, recording, META)
    found = _core.encode_many([(recording, META), (recorded(), META), (recording, META), (recording, {"id": object()})])
    assert [type(one) for one in found] == [bytes, RuntimeError, RuntimeError, RuntimeError]
    found = _core.encode_many([(recording, {"id": object()}), 7, (7, META), (recording, None)])  # type: ignore[list-item]
    assert [type(one) for one in found] == [TypeError] * 4
    refused(_core.encode_many, 7)
    for wrong in ([7], 7, [], [PROFILE, None]):
        refused(_core.merge, wrong, META)
        refused(_core.aggregate, wrong)
    refused(_core.merge, both, {"id": object()})
    refused(_core.growth, PROFILE, 7, META)
    refused(_core.growth, PROFILE, OTHER, {7: 7})
    refused(_core.with_meta, b"nonsense", META)
    refused(_core.with_meta, BLOB, {"id": object()})
    refused(_core.unseen, {"id": object()}, 1000)
    refused(_core.unseen, META, "x")
    refused(_core.read_meta, b"nonsense")
    refused(_core.read_meta, 7)


@case("record_head", "record_erase", "records", "footer_end", "file_is_at")
def _() -> None:
    _core.record_head(1, NAME, b"inside", 10)
    _core.record_erase(64)
    _core.records(HEAD * 3)
    _core.records(memoryview(HEAD))
    _core.records(b"nonsense that is no record, and damaged")
    _core.footer_end(HEAD)
    _core.footer_end(bytes(4096))
    refused(_core.record_head, 1, "short", b"")
    refused(_core.record_head, 1, 7, b"")
    refused(_core.record_head, "x", ID)
    refused(_core.record_erase, "x")
    refused(_core.records, 7)
    refused(_core.footer_end, 7)
    assert _core.file_is_at(-1, "/nowhere", 1, 1) == 0
    refused(_core.file_is_at, "x", "/", 1, 1)
    refused(_core.file_is_at, 1, "\0", 1, 1)


@case("Rows.__new__", "Rows.add_records", "Rows.add_footer", "Rows.add_blob", "Rows.footer", "Rows.routes",
      "Rows.drop_in", "Rows.worst", "Rows.drop_segment", "Rows.drop", "Rows.find", "Rows.places", "Rows.list",
      "Rows.count", "Rows.bytes")
def _() -> None:
    table = rows()
    name = NAME
    table.add_footer(2, FOOTER)
    table.add_records(3, 0, HEAD + BLOB)
    table.routes(None)
    table.routes("/r")
    table.worst(3)
    table.find(name)
    table.places(name)
    shown(table.count, table.bytes)
    table.list()
    table.list(sort="wall_ns", route="/r", words=[(b"r", 3)], some="db_count", tag="a=b", finding="gil",
               after=(1, name), marks=(1, [(0, 1)]), limit=3)
    for wrong in ({"sort": "nonsense"}, {"route": 7}, {"after": 7}, {"after": (object(), name)}, {"marks": 7},
                  {"marks": (1, [7])}, {"nonsense": 1}, {"limit": "x"}, {"tag": 7}, {"text": 7}):
        refused(table.list, **wrong)
    table.drop_in(name, 1)
    table.drop(name)
    table.drop_segment(1)
    refused(table.add_blob, 1, b"nonsense", name)
    refused(table.add_blob, 1, BLOB, "short")
    refused(table.add_blob, 1, BLOB, name, 7)
    refused(table.add_records, 1, 0, 7)
    refused(table.add_footer, 1, 7)
    refused(table.find, 7)
    refused(table.places, "short")
    refused(table.drop, 7)
    refused(table.drop_in, 7, 7)
    refused(table.worst, "x")
    refused(table.routes, 7)
    refused(table.footer, "x")
    refused(_core.Rows, "x")


# ---- anything at all ----

#: Calls that wait, or keep what they were given for later, are covered above only.
NOT_BLINDLY = {"call_soon", "Worker.wait", "Worker.join", "Worker.start", "sampler_test", "configure", "after_fork",
               "trim", "layers_add", "Tally.enter"}


class Strange:
    """Nothing of ours knows what to do with one."""


JUNK: tuple[Any, ...] = (Strange(), "text of some length", b"bytes of some length", 1 << 90, ["a list"], {"a": "dict"},
                         (1, "tuple"), 10**12 + 7)

MAKE: dict[str, Callable[[], Any]] = {
    "Recording": finished, "Numbers": _core.Numbers, "Gather": _core.Gather,
    "Board": board, "Entry": lambda: board().begin(1, "", "", False),
    "Step": lambda: _core.step(nothing()), "Worker": _core.Worker, "Profile": lambda: PROFILE, "Rows": _core.Rows,
    "Span": lambda: _core.Span("x"), "Tally": lambda: _core.Tally(_core.Numbers(), print_nothing, "GET", "/r"),
    "Seen": _core.Seen, "Door": Around, "Pulse": Writer, "Transaction": transaction,
}


def blindly(name: str, what: Any, of: type | None) -> Callable[[], object]:
    """Calls it with junk of each kind, alone, several times and by a keyword."""

    def call() -> None:
        for args in ((), *((one,) for one in JUNK), *((one,) * 3 for one in JUNK[:3]), JUNK[:5], JUNK):
            for kwargs in ({}, {"nonsense": JUNK[0]}):
                of_what = (MAKE[name.split(".")[0]](),) if of is not None else ()
                with contextlib.suppress(Exception):
                    what(*of_what, *args, **kwargs)
        if of is not None:
            with contextlib.suppress(Exception):
                what(JUNK[0])  # not of its type

    return call


# ---- measuring ----


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]


_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)  # glibc 2.33
if _mallinfo is not None:
    _mallinfo.restype = Mallinfo


#: Where AddressSanitizer hands memory out instead of the C library.
_sanitized = getattr(ctypes.CDLL(None), "__sanitizer_get_current_allocated_bytes", None)
if _sanitized is not None:
    _sanitized.restype = ctypes.c_size_t
    NOISE = 32  # it keeps something of each thread that was


def in_use() -> int:
    """Bytes that anybody in the process has of malloc; where it does not tell, Python's blocks."""
    if _sanitized is not None:
        return int(_sanitized())
    if _mallinfo is None:
        return 16 * sys.getallocatedblocks()
    info = _mallinfo()
    return int(info.uordblks + info.hblkhd)


def references() -> dict[str, int]:
    """How many there are to what was handed in, and to what is handed out everywhere."""
    watched = {f"junk {i}": one for i, one in enumerate(JUNK)}
    watched |= {"None": None, "True": True, "False": False, "()": (), "''": "", "b''": b"",
                "Corrupt": _core.CorruptError, "PROFILE": PROFILE, "BLOB": BLOB, "META": META, "EXPORTS": _core.EXPORTS}
    watched |= {name: value for name, value in vars(_core).items() if isinstance(value, type)}
    return {name: sys.getrefcount(one) for name, one in watched.items()}


def left_by(call: Callable[[], object]) -> tuple[float, dict[str, int]]:
    """Bytes and references that each time leaves behind: the least of some rounds, as caches fill first, and
    threads that end give back what they had when they like."""
    least, lost = float("inf"), {}
    for _ in range(2):
        call()
    for _ in range(100):
        gc.collect()
        before, counts = in_use(), references()
        for _ in range(TIMES):
            call()
        gc.collect()
        after, now = in_use(), references()
        grown = (after - before) / TIMES
        moved = {name: now[name] - counts[name] for name in now if abs(now[name] - counts[name]) > TIMES // 4}
        if grown <= NOISE and not moved:
            return grown, {}
        if grown < least:
            least, lost = grown, moved
    return least, lost


def main() -> None:
    everything = list(parts(_core))
    gc.collect()
    gc.freeze()  # what is imported stays: no collection need go through it
    covered = {name for names, _ in CASES for name in names}
    report: dict[str, Any] = {
        "missing": sorted({name for name, _, _ in everything} - covered),
        "unknown": sorted(covered - {name for name, _, _ in everything}),
        "names": len(everything), "left": {},
    }
    # What is left behind is seen, or the rest says nothing.
    kept: list[bytes] = []
    report["leak"] = left_by(lambda: kept.append(bytes(40)))[0]
    report["reference"] = left_by(lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(JUNK[0])))[1]
    todo = [(" ".join(names[:2]), call) for names, call in CASES]
    todo += [(f"{name}, anything", blindly(name, what, of)) for name, what, of in everything
             if name not in NOT_BLINDLY and not hasattr(what, "__set__")]
    for name, call in todo:
        if "-v" in sys.argv:
            print(name, file=sys.stderr, flush=True)
        try:
            grown, lost = left_by(call)
        except Exception as error:
            report["left"][name] = [f"{type(error).__name__}: {error}", error.__traceback__.tb_next.tb_next.tb_lineno]  # type: ignore[union-attr]
            continue
        if grown > NOISE or lost:
            report["left"][name] = [round(grown, 1), lost]
    report["cases"] = len(todo)
    report["taken"] = sorted(TAKEN_ANYWAY)
    report["active"] = _core.active_count()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
