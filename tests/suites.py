"""Other people's test suites, without slowlens and with it: see suites.sh.

    suites.py PYTHON [NAME...]
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("SLOWLENS_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "slowlens")) / "suites"

#: What the suites want besides themselves.
NEEDED = """pytest<9 pytest-asyncio pytest-timeout pytest-xprocess pytest-mock ephemeral-port-reserve cryptography
    watchdog httpx httpx2 python-multipart itsdangerous jinja2 pyyaml trio hypothesis psutil trustme truststore uvloop
    objgraph python-dotenv exceptiongroup typing_extensions blinker""".split()
SOURCES = ("flask", "werkzeug", "starlette", "asgiref", "anyio", "django")
INSTALLED = ("greenlet", "gevent")  # their tests come with them


@dataclass(frozen=True)
class Suite:
    #: Where it runs: the source of that name, "": nowhere in particular.
    source: str
    #: After the python: what runs it.
    command: tuple[str, ...]
    #: It brings its own runner, of unittest's tests.
    unittest: bool = False
    #: Below the source.
    folder: str = ""
    #: What it wants in another version than the others do.
    package: str = ""


PYTEST = ("-m", "pytest", "-q", "-p", "suite_hooks", "-p", "no:cacheprovider", "-W", "ignore")


def cpython(tests: str) -> Suite:
    return Suite("", ("-m", "test", "-q", *(f"test_{test}" for test in tests.split())), unittest=True)


def unittests(prefix: str, tests: str) -> Suite:
    return Suite("", ("-m", "unittest", "-q", *(prefix + test for test in tests.split())), unittest=True)


def django(labels: str) -> Suite:
    return Suite("django", ("runtests.py", "--parallel=1", "-v0", *labels.split()), unittest=True, folder="tests")


SUITES = {
    "flask": Suite("flask", (*PYTEST, "tests")),
    # Where watchdog sees no changes of files, one test waits for them for ever: with the limit it fails in each run.
    "werkzeug": Suite("werkzeug", (*PYTEST, "tests", "--ignore=tests/live_apps", "--timeout=30")),
    "starlette": Suite("starlette", (*PYTEST, "tests", "--ignore=tests/middleware/test_opentelemetry.py")),
    "asgiref": Suite("asgiref", (*PYTEST, "tests")),
    "anyio": Suite("anyio", (*PYTEST, "tests", "-m", "not network"), package="pytest>=9"),
    "greenlet": unittests("greenlet.tests.test_", """greenlet contextvars generator generator_nested gc stack_saved
        throw tracing weakref"""),
    "gevent": unittests("gevent.tests.test__", """greenlet queue pool event timeout semaphore local lock hub select
        socket contextvars greenletset joinall order threadpool"""),
    "django handlers": django("""handlers middleware middleware_exceptions requests_tests responses asgi servers wsgi
        async urlpatterns urlpatterns_reverse view_tests"""),
    "django templates": django("template_tests template_backends template_loader context_processors"),
    "django the rest": django("""cache sessions_tests signals dispatch db_utils queries transactions auth_tests
        forms_tests staticfiles_tests test_client decorators logging_tests"""),
    "cpython core": cpython("""contextlib contextlib_async context coroutines generators generator_stop asyncgen frame
        traceback gc weakref exceptions functools with"""),
    "cpython threads": cpython("concurrent_futures.test_thread_pool threading_local queue sched thread"),
    "cpython asyncio": cpython(" ".join(f"asyncio.test_{name}" for name in (
        "tasks", "futures", "locks", "queues", "taskgroups", "timeouts", "runners", "context", "base_events"))),
    "cpython libraries": cpython("""wsgiref httpservers http_cookies json sqlite3 socketserver selectors dataclasses
        logging"""),
}

#: A run that takes longer is ended, and has no results.
SECONDS = 900

#: Results that a profiler changes, and why.
APART = {
    "gevent.tests.test__hub.TestPeriodicMonitoringThread.test_kill_removes_trace":
        "asks that nobody traces greenlets any more; slowlens does while a request runs",
}

MODES = ("off", "deterministic", "sampling")


def pip(python: str, command: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", command, "-qq", "--disable-pip-version-check", *arguments], check=True)


def environment(python: str) -> str:
    """A python with all that the suites need, made once; slowlens comes by PYTHONPATH."""
    version = subprocess.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], check=True,
                             capture_output=True, text=True).stdout.strip()
    venv, wanted = CACHE / f"venv-{version}", " ".join((*NEEDED, *SOURCES, *INSTALLED))
    complete = venv / "complete"
    if not complete.exists() or complete.read_text() != wanted:
        subprocess.run(["rm", "-rf", str(venv)], check=True)
        subprocess.run([python, "-m", "venv", str(venv)], check=True)
        pip(str(venv / "bin/python"), "install", *NEEDED, *SOURCES, *INSTALLED)
        complete.write_text(wanted)
    return str(venv / "bin/python")


def source(name: str, python: str) -> pathlib.Path:
    """The folder of what is installed of `name`, as its makers' archive has it."""
    version = subprocess.run([python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"], check=True,
                             capture_output=True, text=True).stdout.strip()
    folder = CACHE / f"{name}-{version}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pip(python, "download", "--no-deps", "--no-binary", name, "-d", work, f"{name}=={version}")
            (archive,) = pathlib.Path(work).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(f"{work}/all", filter="data")
            (inside,) = pathlib.Path(work, "all").iterdir()
            inside.rename(folder)
    return folder


def apart(package: str, python: str) -> str:
    """A folder for the path that has this package, in place of the environment's; "": none is wanted."""
    folder = CACHE / f"{package}-for-{pathlib.Path(python).parents[1].name}"
    if package and not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pip(python, "install", "--target", f"{work}/all", package)
            pathlib.Path(work, "all").rename(folder)
    return str(folder) if package else ""


def run(suite: Suite, python: str, mode: str) -> dict[str, object]:
    """One run in a process of its own: what suite_hooks wrote."""
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work, "out")
        path = [str(HERE / "suites"), *filter(None, [os.environ.get("PYTHONPATH"), apart(suite.package, python)])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "SUITE_MODE": mode, "SUITE_OUT": str(out),
               "TMPDIR": work, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
        env.pop("SLOWLENS_CACHE", None)  # ours alone
        if suite.unittest:
            env["SUITE_UNITTEST"] = "1"
        folder = source(suite.source, python) / suite.folder if suite.source else work
        log = pathlib.Path(work, "log")
        with open(log, "wb") as file:
            try:
                code = subprocess.run([python, *suite.command], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                      stdout=file, stderr=subprocess.STDOUT, timeout=SECONDS).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if not out.exists():
            return {"outcomes": {}, "profiles": 0, "code": code, "log": log.read_text(errors="replace")[-2000:]}
        return {**json.loads(out.read_text()), "code": code, "log": log.read_text(errors="replace")[-2000:]}


def differing(one: dict, other: dict) -> set[str]:
    return {name for name in one["outcomes"].keys() | other["outcomes"].keys()
            if one["outcomes"].get(name) != other["outcomes"].get(name)}


def judge(name: str, suite: Suite, python: str) -> bool:
    """Prints the suite's lines. Whether it has the same results, and profiles."""
    started = time.monotonic()
    off = run(suite, python, "off")
    tests = off["outcomes"]
    passed = sum(what == "passed" for what in tests.values())
    print(f"| {name} | {len(tests)} tests, {passed} passed |", end="", flush=True)
    good, notes = bool(passed), []
    if not passed:
        notes.append(f"does not run here (exit {off['code']}): {str(off.get('log'))[-300:]}")
    for mode in MODES[1:] if passed else ():
        with_it = run(suite, python, mode)
        bad = differing(off, with_it)
        if bad:  # what differs with itself, too, is nothing of ours
            bad &= differing(run(suite, python, "off"), again := run(suite, python, mode)) & differing(off, again)
        notes += [f"{mode}: {one}: {why}" for one, why in APART.items() if one in bad]
        bad -= APART.keys()
        enough = with_it["profiles"] >= 0.9 * passed
        good = good and not bad and enough and not with_it.get("faults")
        print(f" {'equal' if not bad else f'{len(bad)} differ'}, {with_it['profiles']} profiles |", end="", flush=True)
        notes += [f"{mode}: {one}: {off['outcomes'].get(one)} > {with_it['outcomes'].get(one)}" for one in sorted(bad)]
        notes += [f"{mode}: {message}" for message in with_it.get("messages", ())]
        if not enough:
            notes.append(f"{mode}: too few profiles ({with_it.get('refused')} refused), exit {with_it['code']}: "
                         f"{with_it['log'][-500:]}")
    print(f" {time.monotonic() - started:.0f} s |")
    for note in notes:
        print(f"    {note}")
    return good


def main() -> int:
    python, *names = sys.argv[1:]
    CACHE.mkdir(parents=True, exist_ok=True)
    own = environment(python)
    bad, started = 0, time.monotonic()
    for name in names or SUITES:
        bad += not judge(name, SUITES[name], own)
    print(f"{bad} of {len(names or SUITES)} suites have other results; {time.monotonic() - started:.0f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
