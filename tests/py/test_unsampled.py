"""Where nothing can be sampled: a build without the sampler (other systems than Linux), or a container that forbids it.

``tests/offlinux.sh`` runs this file on a build without the sampler; on others the children forbid what it needs.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from slowlens import engine
from slowlens.cli import main

from conftest import SECCOMP

engine.prepare()
ABSENT = "without its sampler" in (engine.unsampled() or "") or sys.platform != "linux"

pytestmark = pytest.mark.skipif(not ABSENT and platform.machine() != "x86_64", reason="numbers of system calls")

APP = """
    import json, logging, sys, time
    logging.basicConfig()
    from slowlens import _core, engine
    from slowlens.store import Query
    from slowlens.wsgi import ProfilerMiddleware

    def busy():
        until = time.perf_counter() + 0.03
        while time.perf_counter() < until:
            pass

    def page(environ, start_response):
        start_response("200 OK", [("X-App", "1")])
        busy()
        return [b"fine"]

    def ask(app, **more):
        body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1", **more}, lambda *_: None)
        assert b"".join(body) == b"fine"
        getattr(body, "close", int)()

    def stored(app):
        app.recorder.writer.flush()
        for row in app.recorder.store.list(Query()).rows:
            profile = _core.Profile(app.recorder.store.get(row["id"]))
            tree = json.loads(profile.tree(0, 1 << 30, False, 1 << 24))
            print(json.dumps([json.loads(profile.meta())["meta"], tree]))
"""


def run(script: str, **options: Any) -> tuple[list[Any], str]:
    """What a child that cannot sample prints, a JSON document a line; what it said."""
    forbid = "" if ABSENT else SECCOMP + "    forbid(319, 311)  # memfd_create, process_vm_writev"
    done = subprocess.run([sys.executable, "-c", "\n".join(map(textwrap.dedent, (forbid, APP, script)))],
                          capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def names(tree: Any) -> list[str]:
    return [function["name"] for function in tree["functions"]]


def test_it_says_why() -> None:
    (info, why, anyway), _ = run("""
    print(json.dumps(engine.info()["sampler"]))
    print(json.dumps(engine.unsampled()))
    try:
        _core.Recording(sampled=True)
    except RuntimeError as error:
        print(json.dumps(str(error)))
    """)
    assert info["why_not"] == why
    assert ("without its sampler" if ABSENT else "lets no thread read") in why
    assert anyway == f"sampling cannot be had here: {why}"


def test_a_request_to_be_sampled_is_timed(tmp_path: Path) -> None:
    kept, said = run(f"""
    app = ProfilerMiddleware(page, mode="sampling", keep="all", log=False, store={str(tmp_path)!r})
    for _ in range(3):
        ask(app)
    stored(app)
    """)
    assert len(kept) == 3
    for meta, tree in kept:
        assert meta["mode"] == "sampling" and meta["wall_ns"] >= 30e6 and 0 < meta["cpu_ns"] <= meta["wall_ns"]
        assert meta["status"] == 200 and not meta.get("samples")
        assert all(name.startswith("[") for name in names(tree)), "no function was seen, none is named"
    assert said.count("requests are timed, not profiled") == 1, "one clear line"


@pytest.mark.parametrize(("options", "found"), [("'debug': False", True), ("'mode': 'deterministic'", False)])
def test_djangos_check_says_so(tmp_path: Path, options: str, found: bool) -> None:
    pytest.importorskip("django")
    (ids,), _ = run(f"""
    from django.conf import settings
    settings.configure(DEBUG=False, INSTALLED_APPS=["slowlens.django"], ROOT_URLCONF=__name__,
                       MIDDLEWARE=["slowlens.django.ProfilerMiddleware"],
                       SLOWLENS={{"store": {str(tmp_path / "store")!r}, {options}}})
    urlpatterns = []
    import django
    django.setup()
    from django.core import checks
    print(json.dumps([one.id + one.msg for one in checks.run_checks() if one.id.startswith("slowlens")]))
    """)
    assert [one.startswith("slowlens.W007requests are timed, not profiled: sampling") for one in ids] == [True] * found


def test_who_asks_for_one_gets_it_by_events(tmp_path: Path) -> None:
    kept, said = run(f"""
    app = ProfilerMiddleware(page, mode="off", log=False, debug=True, store={str(tmp_path)!r})
    ask(app, HTTP_X_SLOWLENS="sampling", HTTP_HOST="127.0.0.1:8000")
    stored(app)
    """)
    ((meta, tree),) = kept
    assert meta["mode"] == "deterministic" and "busy" in names(tree)
    assert said.count("profiled by events instead") == 1


def test_a_timed_request_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(f"""
    app = ProfilerMiddleware(page, mode="sampling", keep="all", log=False, store={str(tmp_path)!r})
    ask(app)
    app.recorder.writer.flush()
    """)
    for command in (["list"], ["show", "last"], ["top", "last"], ["tree", "last"], ["export", "last", "-f", "json"]):
        code = main([*command, "--store", str(tmp_path)])
        assert code == 0, (command, capsys.readouterr())
    assert "GET" in capsys.readouterr().out


def test_await_and_cpu_of_a_timed_request() -> None:
    (totals,), _ = run("""
    import asyncio
    engine.prepare()
    recording = _core.Recording(sampled=True, anyway=True, follows=True)
    async def child():
        await asyncio.sleep(0.01)
    async def request():
        await asyncio.gather(child(), child())
        await asyncio.sleep(0.05)
        busy()
    async def serve():
        await recording.step(request())
    asyncio.run(serve())
    recording.finish()
    print(json.dumps({**recording.totals(), "held_by": None, "held_where": None}))
    """)
    assert totals["samples"] == 0 and not totals["fork_lost"]
    assert totals["await_ns"] >= 50e6 and 0 < totals["cpu_ns"] < totals["wall_ns"]
    assert totals["wall_ns"] >= 80e6


def test_probes_read_the_own_stack_all_the_same() -> None:
    (told,), _ = run("""
    from concurrent.futures import ThreadPoolExecutor
    engine.prepare()
    pool = ThreadPoolExecutor(1)
    def job():
        return sum(range(1000))
    pool.submit(int).result()
    recording = _core.Recording()
    recording.enter()
    pool.submit(job).result()
    recording.leave()
    recording.finish()
    profile = _core.Profile(recording.encode({}))
    print(json.dumps(json.loads(profile.tree(0, 1 << 30, False, 1 << 24))))
    """)
    assert any(name.endswith("job") for name in names(told)), names(told)  # 3.11: by the hook
