"""C functions have names in sampled profiles, whatever calls them and however: no event tells of them, frames do."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
import types
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens import _core, interpreter

from conftest import functions, patient, record, tree

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="sampling is for Linux"),
              pytest.mark.usefixtures("no_brake")]


TEXT = json.dumps([{"number": n, "list": [1, 2, 3]} for n in range(3000)])
BYTES = bytes(range(256)) * 4000
NUMBERS = range(100_000)
ROWS = sqlite3.connect(":memory:")
ROWS.execute("CREATE TABLE t (a)")
ROWS.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(3000)))
QUERY = "SELECT sum(a.a * b.a) FROM t a, t b WHERE a.a < 30"


class Callable_:
    """Called by Python: its own frame is the innermost one."""

    def __call__(self) -> None:
        spin()


def spin() -> None:
    end = time.perf_counter() + 0.005
    while end > time.perf_counter():
        pass


@functools.cache
def cached(number: int) -> int:
    return number


def again_and_again(call: Callable[[], object], samples: int = 40) -> None:
    seen = _core.engine_info()["sampler"]["samples"]
    end = time.monotonic() + 30
    while _core.engine_info()["sampler"]["samples"] < seen + samples and time.monotonic() < end:
        call()


def self_times(profile: _core.Recording) -> dict[str, float]:
    """ms of functions themselves, C functions by name; others "python"."""
    found: dict[str, float] = {}
    for row in functions(profile):
        kind = row["function"]["kind"]
        name = row["function"]["name"] if kind == "c" else kind
        found[name] = found.get(name, 0) + row["self_ns"] / 1e6
    return found


def of_cursor() -> None:
    ROWS.cursor().execute(QUERY)


def with_keywords() -> None:
    max(NUMBERS, default=7)


def with_unpacked() -> None:
    sum(*(NUMBERS,))


def with_all_of_it() -> None:
    max(*(NUMBERS,), **{"default": 7})


def nested() -> None:
    max(1, max(1, max(NUMBERS)))


def in_a_generator() -> None:
    def generator() -> Iterator[int]:
        for _ in range(3):
            yield sum(NUMBERS)

    for _ in generator():
        pass


def in_handlers() -> None:
    try:
        raise KeyError
    except KeyError:
        with memoryview(BYTES):
            zlib.compress(BYTES)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: json.loads(TEXT), "_json.Scanner.__call__"),
    (lambda: zlib.compress(BYTES), "zlib.compress"),
    (lambda: hashlib.pbkdf2_hmac("sha256", b"p", b"s", 5000), "_hashlib.pbkdf2_hmac"),
    (of_cursor, "sqlite3.Cursor.execute"),
    (lambda: time.sleep(0.003), "time.sleep"),
    (lambda: functools.partial(sum, NUMBERS)(), "builtins.sum"),
    (lambda: functools.partial(functools.partial(hashlib.sha256), BYTES)(), "_hashlib.openssl_sha256"),
    (lambda: list(NUMBERS), "list"),
    (lambda: "".join(map(str, NUMBERS)), "str.join"),
    (with_keywords, "builtins.max"), (with_unpacked, "builtins.sum"), (with_all_of_it, "builtins.max"),
    (nested, "builtins.max"), (in_a_generator, "builtins.sum"), (in_handlers, "zlib.compress"),
], ids=lambda value: value if isinstance(value, str) else "")
@patient
def test_names(call: Callable[[], object], name: str) -> None:
    found = self_times(record(lambda: again_and_again(call), sampled=True))
    found.pop("pseudo", None)
    # json's scanner is named otherwise by some versions: "json.scanner.c_make_scanner" is its type in all of them.
    if name.startswith("_json"):
        assert any("canner" in one for one in found), found
        return
    assert found[name] > 0.2 * sum(found.values()), found  # what it made is freed by its caller


NESTED = """
import functools, os, time
from slowlens import _core, engine
engine.prepare()
other = type("functools.partial", (functools.partial,), {})
call = functools.partial(time.sleep, 0.003)
for number in range(12000):
    call = (functools.partial if number % 2 else other)(call)
    call.keeps = "it from being taken apart"
def work():
    for _ in range(40):
        try: call()
        except RecursionError: time.sleep(0.003)
recording = _core.Recording("all", sampled=True)
recording.enter(); work(); recording.leave(); recording.finish()
print("done", flush=True)
os._exit(0)  # without freeing them one in another
"""


# Later ones may not call that deep.
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="calls that deep are up to the interpreter's own stack")
def test_partials_around_one_another() -> None:
    """No more of them are taken apart than are usual."""
    environ = {**os.environ, "PYTHONPATH": str(Path(slowlens.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, env=environ)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@patient
def test_one_place_calls_now_this_now_that() -> None:
    """What the place called first says nothing of what it calls later."""
    def each() -> None:
        for function in (sum, max, sorted):
            function(NUMBERS)

    found = self_times(record(lambda: again_and_again(each, 200), sampled=True))
    for name in ("builtins.sum", "builtins.max", "builtins.sorted"):
        assert found[name] > 0.1 * sum(found.values()), found


@patient
def test_what_has_a_frame_is_no_c_function() -> None:
    found = self_times(record(lambda: again_and_again(Callable_(), 30), sampled=True))
    assert set(found) <= {"python", "pseudo", "time.perf_counter", "time.monotonic"} | {
        one for one in found if one.endswith("engine_info")}, found


class Empty:
    """Of the time of a call of it, much is the interpreter's, on its way to the frame."""

    def __call__(self) -> None:
        pass


def test_what_will_have_a_frame_is_no_c_function() -> None:
    def calls() -> None:
        empty = Empty()
        for _ in range(20_000):
            empty()

    _core.sampler_configure(50e-6, 0)
    found = functions(record(lambda: again_and_again(calls, 300), "none", sampled=True))
    assert not [row for row in found if row["function"]["kind"] == "c" and "__call__" in row["function"]["name"]]


@patient
def test_in_coroutines_and_where_they_stand() -> None:
    async def step() -> AsyncIterator[int]:
        yield sum(NUMBERS)

    async def view() -> None:
        end = time.perf_counter() + 0.1
        while time.perf_counter() < end:
            async for _ in step():
                await asyncio.sleep(0)

    async def main() -> _core.Recording:
        recording = _core.Recording("none", follows=True, sampled=True)
        await recording.step(view())
        recording.finish()
        return recording

    report = tree(asyncio.run(main()))
    by_node = {row["node"]: row for row in report["rows"]}
    row = max((row for row in report["rows"] if row["name"] == "builtins.sum"), key=lambda row: row["self_ns"])
    assert row["self_ns"] > 30e6
    assert by_node[row["parent"]]["name"].endswith("step")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no samples of other threads on 3.11")
@patient
def test_a_job_that_is_nothing_but_a_c_function() -> None:
    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            again_and_again(lambda: pool.submit(zlib.compress, BYTES).result())

    report = tree(record(view, sampled=True))
    by_node = {row["node"]: row for row in report["rows"]}
    row = max((row for row in report["rows"] if row["name"] == "zlib.compress"), key=lambda row: row["self_ns"])
    above = by_node[row["parent"]]
    if above["name"] == "WorkerContext.run":  # 3.14+: of the library, between the job and who runs it
        above = by_node[above["parent"]]
    assert above["name"] == "[thread]"
    assert row["self_ns"] > above["self_ns"]


def test_the_table_of_opcodes_knows_all_that_code_is_made_of() -> None:
    """One that it does not know would make all code that holds it nameless."""
    table = interpreter.opcodes()
    caches = table[256:512]
    for module in (asyncio.tasks, json.decoder, functools, types, zlib.__class__, pytest):
        code = compile(open(module.__file__).read(), "x", "exec") if getattr(module, "__file__", None) else None
        todo = [code] if code is not None else []
        while todo:
            one = todo.pop()
            assert all(caches[op] != 255 or op == 0 for op in one.co_code[::2] if op), one.co_name
            todo += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]


def test_names_cost_nothing_where_nothing_is_called() -> None:
    recording: Any = record(spin, sampled=True)
    assert all(row["function"]["kind"] != "c" or row["function"]["name"] == "time.perf_counter"
               for row in functions(recording))
