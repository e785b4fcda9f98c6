"""pytest plugin: the fixture ``slowlens_profile``.

    def test_checkout(slowlens_profile):
        with slowlens_profile("checkout") as run:
            client.post("/checkout/")
        assert run.calls("cursor.execute") <= 12
        assert run.count("db") <= 8, run.queries
        assert run.wall_ms < 500

The profiles go into the store of ``--slowlens-store`` or the usual one. Where the project has a ``slowlens.toml``, a
run whose name fits one of its budgets fails the test when that is exceeded.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import _core

__all__ = ["Run", "slowlens_profile"]


def pytest_addoption(parser: Any) -> None:
    parser.getgroup("slowlens").addoption(
        "--slowlens-store", metavar="FOLDER", help="where the fixture slowlens_profile keeps its profiles")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Connections that fixtures open before the first block are to be seen in it."""
    if any("slowlens_profile" in getattr(item, "fixturenames", ()) for item in items):
        from . import engine

        engine.prepare()


class Run:
    """One profiled piece of a test: a context manager, and afterwards its numbers.

    The fixture makes it: ``slowlens_profile(name="the test's", c_calls="chosen")``, with ``store`` (where profiles go)
    and ``root`` (the folder of ``slowlens.toml``) as pytest was told. It has the attributes ``name``, ``id`` (of the
    stored profile) and ``wall_ms`` (milliseconds).
    """

    def __init__(self, name: str, store: str | None, c_calls: str, root: Any = None) -> None:
        from . import _core, engine

        engine.prepare()
        self.name = name
        self.id = ""
        self._store = store
        self._root = root
        self._started = time.time_ns()
        self._c_calls = c_calls
        self._recording = _core.Recording(c_calls, max_bytes=64 << 20)
        self._functions: list[dict[str, Any]] = []
        self._spans: list[tuple[str, str, str, int, int, int]] = []
        self.wall_ms = 0.0

    def __enter__(self) -> Run:
        from .recorder import recorded

        # An app that has slowlens installed does not record its requests beside us, and so away from us.
        self._token = recorded.set(True)
        self._recording.enter_block()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        from . import _core
        from .job import counted
        from .options import load
        from .recorder import recorded
        from .request import new_id
        from .store import open_store

        self._recording.leave()
        recorded.reset(self._token)
        self._recording.finish()
        totals = self._recording.totals()
        self._spans = self._recording.spans()
        self.id = new_id(self._started)
        self.wall_ms = totals["wall_ns"] / 1e6
        meta = {
            "id": self.id, "started": self._started, "mode": "deterministic", "c_mode": self._c_calls,
            "method": "TEST", "path": self.name[:2000], "route": self.name[:500], "status": 1 if kind else 0,
            "kept": "test", "wall_ns": totals["wall_ns"], "cpu_ns": totals["cpu_ns"], "calls": totals["events"],
            "c_calls": totals["c_events"], "nodes": totals["nodes"],
            "waiting_ns": max(0, totals["wall_ns"] - totals["cpu_ns"]),
        }
        meta.update(counted(totals["spans"]))
        blob = self._recording.encode(meta)
        self._recording.discard()
        profile = _core.Profile(blob)
        self._functions = json.loads(profile.functions())["rows"]
        store = open_store(load({"store": self._store} if self._store else {}))
        store.put({**meta, "hot": "", "bytes": len(blob)}, blob)
        if kind is None and self._root is not None:
            self._check(profile)

    def _check(self, profile: _core.Profile) -> None:
        """Fails the test if a budget of the project's slowlens.toml is exceeded."""
        from .insight import budgets

        path = budgets.find(self._root)
        if path is None:
            return
        wanted, wrong = [], ""
        try:
            wanted = [one for one in budgets.load(path) if one.test]
        except budgets.BudgetError as error:
            wrong = str(error)
        if wrong:  # told outside: pytest would show the one exception as met while handling the other
            pytest.fail(wrong, pytrace=False)
        measured = budgets.Measured(profile)
        checked = budgets.check([one for one in wanted if one.concerns(measured.meta)], [measured])
        for one in checked:
            if one.ok is None:
                warnings.warn(f"{path.name}: {one.budget}: {one.assertion} is left out: {one.text}", stacklevel=3)
        bad = [f"{one.assertion}: {one.text}" + (f", {one.file}:{one.line}" if one.file else "")
               for one in checked if one.ok is False]
        if bad:
            pytest.fail("\n".join([f"over the budget of {path.name}:", *bad]), pytrace=False)

    def count(self, kind: str, text: str = "") -> int:
        """How often it asked for something of that kind (``db``, ``http``, ``cache``, ``template``...) whose text has
        ``text`` in it: of queries their shapes. Of an own kind: by its name where it was recorded, or as ``custom``.

        :raises ValueError: there is no such kind, and nothing of it was recorded.
        """
        from .insight.budgets import KINDS

        if kind not in KINDS and all(of != kind for of, *_ in self._spans):
            raise ValueError(f"nothing of the kind {kind!r} was recorded, and none is called so: {', '.join(KINDS)}")
        if kind == "custom":
            return sum(count for of, told, _, count, _, _ in self._spans
                       if (of == kind or of not in KINDS) and text in told)
        return sum(count for of, told, _, count, _, _ in self._spans if of == kind and text in told)

    @property
    def queries(self) -> dict[str, int]:
        """Shapes of queries, each with how often it was asked, the most frequent first."""
        found: dict[str, int] = {}
        for kind, text, _, count, _, _ in self._spans:
            if kind == "db":
                found[text] = found.get(text, 0) + count
        return dict(sorted(found.items(), key=lambda one: -one[1]))

    def calls(self, name: str) -> int:
        """Calls of all Python functions whose qualified name is ``name`` or ends with ``.name``.

        If there is none of them, of C functions: a C method goes by the name of its object's class, and a Python
        method that calls the one it overrides would be counted twice.
        """
        python = self._count(name, "python")
        return python or self._count(name, "c")

    def c_calls(self, name: str) -> int:
        """The same of C functions alone: calls of ``name``."""
        return self._count(name, "c")

    def _count(self, name: str, kind: str) -> int:
        return sum(row["calls"] for row in self._functions if row["function"]["kind"] == kind
                   and (row["function"]["name"] == name or row["function"]["name"].endswith("." + name)))


@pytest.fixture
def slowlens_profile(request: Any) -> Iterator[Callable[..., Run]]:
    """A function ``(name=test's name, c_calls="chosen")`` that gives a :class:`Run`."""
    store = request.config.getoption("--slowlens-store", default=None)

    def begin(name: str | None = None, c_calls: str = "chosen") -> Run:
        return Run(name or request.node.nodeid, store, c_calls, request.config.rootpath)

    yield begin
