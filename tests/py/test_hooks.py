"""Events and probes under tool ids of their own, or under one: each call is told once, whoever holds the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slowlens

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no tool ids")

#: What is probed here: importlib's loader (as it returns, also through itself), Thread.start (as it starts), work items
#: of executors (which have no node of their own), a layer's function (inside its node), and one that raises.
PROGRAM = """
import json, sys, threading
for taken in json.loads(sys.argv[1]):
    sys.monitoring.use_tool_id(taken, "another")
from concurrent.futures import ThreadPoolExecutor
from slowlens import _core, engine
from conftest import tree
import probed_here
engine.prepare()
_core.layers_add("probed_here", "ask", "db", "text", "sql", "", False)
_core.layers_open("db")

def inner(): pass

def work():
    import outer_module
    try:
        import raising_module
    except ValueError:
        pass
    thread = threading.Thread(target=inner)
    thread.start(); thread.join()
    with ThreadPoolExecutor(1) as pool:
        for _ in range(3): pool.submit(inner).result()
    for n in range(5): probed_here.ask("SELECT 1")
    for n in range(2):
        try: probed_here.ask(None)
        except ValueError: pass
    probed_here.plain(4)

recording = _core.Recording("none", follows=True, lines=sys.argv[2] == "lines")
recording.enter(); work(); recording.leave(); recording.finish()
counts = {}
for row in tree(recording)["rows"]:
    name = row["name"]
    counts[name] = counts.get(name, 0) + row["calls"]
print(json.dumps({"counts": counts, "spans": recording.totals()["spans"].get("db", [0])[0],
                  "tools": [_core.engine_info()["tool"], _core.engine_info()["probe_tool"]]}))
"""

MODULES = {
    "outer_module": "import inner_module\n",
    "inner_module": "",
    "raising_module": "raise ValueError\n",
    "probed_here": "def ask(text):\n    if text is None: raise ValueError\n    plain(1)\n"
                   "def plain(n):\n    if n: plain(n - 1)\n",
}


def said(folder: Path, program: str, *arguments: str) -> Any:
    paths = [str(folder), str(Path(__file__).parent), str(Path(slowlens.__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("taken", "tools"), [([], [4, 5]), ([5], [4, 4]), ([4], [3, 3]), ([3], [4, 5])])
def test_each_call_is_told_once(tmp_path: Path, taken: list[int], tools: list[int], lines: bool) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = said(tmp_path, PROGRAM, json.dumps(taken), "lines" if lines else "")
    assert found["tools"] == tools
    counts = found["counts"]
    assert counts["work"] == 1
    assert counts["_load_unlocked"] == 3, "the second from within the first, the third raises"
    assert counts["Thread.start"] == 2, "one of them the pool's"
    assert counts["inner"] == 4
    assert counts["ask"] == 7
    assert counts["plain"] == 15
    assert found["spans"] == 7
    assert "_WorkItem.run" not in counts


LATE = """
import json, sys
from slowlens import _core, engine
from conftest import tree
engine.prepare()
_core.Recording("none").discard()
import begins_here
def one(): pass
def work():
    for _ in range(3): one()
work()
begins_here.recording.leave(); begins_here.recording.finish()
print(json.dumps({row["name"]: row["calls"] for row in tree(begins_here.recording)["rows"]}))
"""


def test_a_probed_function_that_began_before_events_were_on(tmp_path: Path) -> None:
    """As it returns, the probes' hook hears of it, the engine's may not: what comes next is told all the same."""
    (tmp_path / "begins_here.py").write_text(
        "from slowlens import _core\nrecording = _core.Recording('none')\nrecording.enter()\n")
    counts = said(tmp_path, LATE)
    assert (counts["work"], counts["one"]) == (1, 3)


TAKEN = """
import json, sqlite3, sys, time
from slowlens import _core, engine
from conftest import tree
import probed_here
engine.prepare()
_core.layers_add("probed_here", "ask", "db", "text", "sql", "", False)
_core.layers_open("db")
connection = sqlite3.connect(":memory:")

def ours():
    return [id for id in (3, 4, 5) if str(sys.monitoring.get_tool(id)).startswith("slowlens")]

def free():
    for id in ours(): sys.monitoring.free_tool_id(id)

def take():
    free()
    for id in (4, 5): sys.monitoring.use_tool_id(id, "slow" + "lens")

def turn_off():
    for id in ours(): sys.monitoring.set_events(id, 0)

def silence():
    for id in ours():
        for bit in range(16): sys.monitoring.register_callback(id, 1 << bit, None)

def replace():
    for id in ours():
        for bit in range(16): sys.monitoring.register_callback(id, 1 << bit, lambda *event: None)

def clear():
    for id in ours(): sys.monitoring.clear_tool_id(id)

def nothing(): pass

def inner(): pass

def query():
    connection.execute("SELECT 1")

def work():
    for n in range(5): inner()
    probed_here.ask("SELECT 1")
    query()

def record(before=nothing):
    recording = _core.Recording("all", follows=True)
    recording.enter(); before(); work(); time.sleep(0.002); recording.leave(); recording.finish()
    counts = {row["name"]: row["calls"] for row in tree(recording)["rows"]}
    totals = recording.totals()
    recording.discard()
    _core.engine_idle(linger)  # as the writer's thread does
    return [counts.get("inner", 0), totals["spans"].get("db", [0])[0], totals["displaced"]]

linger, mischief = 1e9, globals()[sys.argv[1]]
rounds = [record(), record(mischief)[2:], record()]
linger = 0
rounds.append(record())
if mischief is take:
    free()
mischief()
_core.engine_idle(0)
print(json.dumps(rounds + [record()]))
"""


@pytest.mark.parametrize("mischief", ["free", "take", "turn_off", "silence", "replace",
                                      *(["clear"] if sys.version_info >= (3, 14) else [])])
def test_ids_that_somebody_else_frees_or_takes(tmp_path: Path, mischief: str) -> None:
    """As whoever cleans "all tools" up does, while a request runs and while none does: what is recorded next is whole
    again, each thing told once, and what ran then says so."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    queries = 1 if mischief == "take" else 2  # one id is left then, and none for calls of C
    assert said(tmp_path, TAKEN, mischief) == [[5, 2, False], [True]] + [[5, queries, False]] * 3


UNPACKED = """
import json, sqlite3, sys
from slowlens import _core, engine
engine.prepare()
_core.layers_open("db")
connection = sqlite3.connect(":memory:")

class Query(bytes):
    def __iter__(self): return iter(("SELECT 1",))

def bound(): connection.execute(*Query(1 << 20))

def unbound(): sqlite3.Connection.execute(*[connection, "SELECT 2"])

def many():
    try: connection.execute(MANY)
    except TypeError: pass

recording = _core.Recording("all", follows=True, sampled=sys.argv[1] == "True")
recording.enter()
for _ in range(50): bound(); unbound(); many()
recording.leave(); recording.finish()
print(json.dumps(recording.totals()["spans"]["db"][0]))
""".replace("MANY", ", ".join(["connection.total_changes"] * 256))


@pytest.mark.parametrize("sampled", [False, True])
def test_arguments_that_were_unpacked(tmp_path: Path, sampled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was unpacked is gone by the time that the call is told of (3.12, 3.13), its memory given back to the
    system: nobody looks at it."""
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    assert said(tmp_path, UNPACKED, str(sampled)) == 150


CALLS = """
import json, sqlite3, sys, time
from slowlens import _core, engine
engine.prepare()
_core.layers_open("db")
connection = sqlite3.connect(":memory:")

def record():
    names = {"connection": connection}
    exec("def query(): connection.execute('SELECT 1')", names)  # one whose calls nobody has been told of
    recording = _core.Recording("all", follows=True)
    recording.enter(); names["query"](); time.sleep(0.002); recording.leave(); recording.finish()
    totals = recording.totals()
    recording.discard()
    return [totals["spans"].get("db", [0])[0], totals["displaced"]]

def tools(): return [sys.monitoring.get_tool(id) for id in (3, 4, 5)]

assert tools()[0] == "slowlens calls"
said = {"before": record()}
sys.monitoring.set_events(3, 0)
said["off"] = [record()[1], record()]
sys.monitoring.free_tool_id(3); sys.monitoring.use_tool_id(3, "another")
said["taken"] = [record()[1], record()]
sys.monitoring.free_tool_id(3)
record()
said["back"] = record()
_core.engine_idle(0)
sys.monitoring.free_tool_id(4); sys.monitoring.use_tool_id(4, "another")
_core.engine_idle(0)
said["one left"] = [record(), tools()]
print(json.dumps(said))
"""


def test_the_id_of_calls(tmp_path: Path) -> None:
    """It is looked after like the others, and tried for again; where one is left, the engine has it."""
    assert said(tmp_path, CALLS) == {
        "before": [1, False], "off": [True, [1, False]], "taken": [True, [0, False]], "back": [1, False],
        "one left": [[0, False], ["slowlens", "another", None]],
    }


LOST = """
import json, sys
from slowlens import _core, engine
refuses = sys.argv[1] == "refused"
def hook(event, arguments):
    if event == "sys.monitoring.register_callback" and refuses: raise OSError("no")
sys.addaudithook(hook)
import probed_here

def record():
    try: recording = _core.Recording("all", follows=True)
    except (OSError, RuntimeError) as error: return str(error)
    recording.enter(); probed_here.ask("SELECT 1"); recording.leave(); recording.finish()
    asked = recording.totals()["spans"].get("db", [0])[0]
    recording.discard()
    return asked

def tools(): return [sys.monitoring.get_tool(id) for id in (3, 4, 5)]

if refuses:
    said = [record(), tools()]
    refuses = False
    engine.prepare()
else:
    engine.prepare()
    said = []
_core.layers_add("probed_here", "ask", "db", "text", "sql", "", False)
_core.layers_open("db")
said.append(record())
if sys.argv[1] == "taken":
    _core.engine_idle(0)
    for id in (3, 4, 5):
        if sys.monitoring.get_tool(id): sys.monitoring.free_tool_id(id)
    for id in (3, 4): sys.monitoring.use_tool_id(id, "another")
    _core.engine_idle(0)
    said.append(record())
    for id in (3, 4): sys.monitoring.free_tool_id(id)
    _core.engine_idle(0)
    said.append(record())
print(json.dumps(said))
"""


def test_ids_that_come_back_and_ids_that_are_refused(tmp_path: Path) -> None:
    """What was told is told again, however long nothing was; an id that cannot be used is not kept."""
    (tmp_path / "probed_here.py").write_text(MODULES["probed_here"])
    assert said(tmp_path, LOST, "refused") == ["no", [None] * 3, 1]
    taken = said(tmp_path, LOST, "taken")
    assert taken == [1, "sys.monitoring tool ids 4 and 3 are both taken by other tools", 1]


HANDED = """
import json, sys
from slowlens import _core, engine
from conftest import functions
engine.prepare()
_core.layers_add("probed_here", "ask", "db", "text", "sql", "", False)
_core.layers_open("db")
import probed_here, sqlite3
connection = sqlite3.connect(":memory:")
ask = probed_here.ask.__code__

def plain(): pass

def calls(hook):
    for given in ((), (1,), (plain.__code__,), (ask,), (ask, 0), (1, 2), (None, 0, None), (ask, 0, ask),
                  (object(),) * 4, (ask, 0, connection.execute, "SELECT 1"),
                  (ask, 1 << 40, connection.execute, "SELECT 1"),
                  (calls.__code__, 1 << 30, connection.execute, "SELECT 1"), (plain.__code__, object(), len, ()),
                  ("x", "y", len, sys.monitoring.MISSING)):
        hook(*given)

recording = _core.Recording("all", follows=True)
recording.enter()
handed = 0
for id in (3, 4, 5):
    for bit in range(16):
        hook = sys.monitoring.register_callback(id, 1 << bit, None)
        if hook is not None:
            calls(hook)
            handed += 1
recording.leave(); recording.finish()
spans = recording.totals()["spans"].get("db", [0])[0]
recording.encode({}); recording.discard()
recording = _core.Recording("all", follows=True)
recording.enter(); plain(); probed_here.ask("SELECT 1"); recording.leave(); recording.finish()
rows = [row["calls"] for row in functions(recording) if row["function"]["name"].endswith("plain")]
print(json.dumps([handed > 10, spans, sorted(rows), recording.totals()["spans"]["db"][0]]))
"""


def test_hooks_are_called_by_whoever_was_handed_them(tmp_path: Path) -> None:
    """Who registers a callback gets the former one: nothing that it is called with takes the process along, or is
    taken for a query."""
    (tmp_path / "probed_here.py").write_text(MODULES["probed_here"])
    assert said(tmp_path, HANDED) == [True, 0, [1, 2], 1]


#: Other thread states take the GIL meanwhile: those of other interpreters, of other threads, of a fork.
STATES = """
import os, sys, threading
from slowlens import _core, engine
from conftest import tree
engine.prepare()
try:
    import _interpreters as interpreters
    kinds = ["legacy", "isolated"]
except ImportError:
    interpreters, kinds = None, []

def small(): pass

def work(count):
    for _ in range(count): small()

def told(recording):
    return sum(row["calls"] for row in tree(recording)["rows"] if row["name"] == "small")

def elsewhere(kind):
    other = interpreters.create(kind)
    interpreters.run_string(other, "def small(): pass\\nfor _ in range(1000): small()")
    interpreters.destroy(other)

busy = True

def spin():
    while busy: small()

others = [threading.Thread(target=spin, daemon=True) for _ in range(2)]
for one in others: one.start()
recording = _core.Recording("none")
recording.enter()
for kind in kinds:
    work(100)
    elsewhere(kind)
child = os.fork()
if child == 0:
    try:
        again = _core.Recording("none")
        again.enter(); work(100); again.leave(); again.finish()
        os._exit(told(again) != 100)
    finally:
        os._exit(2)
assert os.waitpid(child, 0)[1] == 0
work(1000)
recording.leave()
busy = False
for one in others: one.join()
recording.finish()
print(told(recording) == 1000 + 100 * len(kinds))
"""


def test_calls_are_those_of_the_thread_whatever_runs_between() -> None:
    here = Path(__file__).parent
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", STATES], text=True, capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])})
    assert said.stdout == "True\n", said.stderr[-2000:]
