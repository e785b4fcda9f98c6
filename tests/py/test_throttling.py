"""Waiting for the next period of a CPU limit is told apart from waiting for others who have the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import slowlens
from slowlens import throttling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = throttling._count, throttling._prepared
    throttling._count, throttling._prepared = None, False
    yield
    if throttling._count is not None:
        os.close(throttling._count[0])
    throttling._count, throttling._prepared = before


def made_up(folder: Path, groups: str, mount: str) -> str:
    """A /proc/self that says so; MOUNT stands for the folder below which the groups lie."""
    (folder / "proc").mkdir()
    (folder / "proc/cgroup").write_text(groups)
    (folder / "proc/mountinfo").write_text(mount.replace("MOUNT", str(folder / "groups")))
    return str(folder / "proc")


def group(folder: Path, path: str, **files: str) -> Path:
    at = folder / "groups" / path
    at.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (at / name.replace("_dot_", ".")).write_text(text)
    return at


TWO = "30 23 0:26 / MOUNT rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
ONE = "31 23 0:27 /docker/abc MOUNT rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


def test_version_2_and_the_nearest_group_that_has_a_limit(tmp_path: Path) -> None:
    group(tmp_path, "")
    pod = group(tmp_path, "pod", cpu_dot_max="50000 100000\n",
                cpu_dot_stat="usage_usec 9\nnr_throttled 3\nthrottled_usec 1500\n")
    group(tmp_path, "pod/app", cpu_dot_max="max 100000\n", cpu_dot_stat="throttled_usec 7\n")
    throttling.prepare(made_up(tmp_path, "0::/pod/app\n", TWO))
    assert throttling.total_ns() == 1_500_000
    (pod / "cpu.stat").write_text("throttled_usec 2500\n")
    assert throttling.total_ns() == 2_500_000


def test_version_1_in_a_container(tmp_path: Path) -> None:
    group(tmp_path, "", cpu_dot_cfs_quota_us="20000\n", cpu_dot_stat="nr_periods 4\nthrottled_time 123456\n")
    groups = "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n0::/\n"
    throttling.prepare(made_up(tmp_path, groups, TWO.replace("MOUNT", "/none") + ONE))
    assert throttling.total_ns() == 123456


@pytest.mark.parametrize(("groups", "mount"), [
    ("0::/\n", TWO), ("0::/../elsewhere\n", TWO), ("4:cpu:/docker/abc\n", ONE), ("", ""), ("nonsense\n", "nonsense\n"),
])
def test_without_a_limit_there_is_nothing_to_tell(tmp_path: Path, groups: str, mount: str) -> None:
    group(tmp_path, "", cpu_dot_max="max 100000\n", cpu_dot_cfs_quota_us="-1\n", cpu_dot_stat="throttled_time 9\n")
    throttling.prepare(made_up(tmp_path, groups, mount))
    assert throttling.total_ns() == 0


REAL = """
    import json, sys, time
    from pathlib import Path
    from slowlens import _core
    from slowlens.store import Query
    from slowlens.wsgi import ProfilerMiddleware
    group = Path(sys.argv[1])
    def app(environ, start_response):
        end = time.thread_time() + 0.03
        while time.thread_time() < end: pass
        start_response("200 OK", []); return [b"x"]
    def limit(ms):
        if (group / "cpu.max").exists(): (group / "cpu.max").write_text(f"{ms * 1000} 100000")
        else: (group / "cpu.cfs_quota_us").write_text(str(ms * 1000))
    def held_back():
        found = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        return int(found.get("throttled_time", 0)) + int(found.get("throttled_usec", 0)) * 1000
    limit(95)
    (group / "cgroup.procs").write_text("0")
    middleware = ProfilerMiddleware(app, keep="all", mode=sys.argv[2])
    limit(2)
    before = held_back()
    list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}, lambda *_: None))
    after = held_back()
    limit(95)
    assert middleware.recorder.writer.flush(60)
    store = middleware.recorder.store
    meta = json.loads(_core.Profile(store.get(store.list(Query()).rows[0]["id"])).summary())["meta"]
    assert 0 < meta["throttled_ns"] <= min(after - before, meta["run_queue_ns"]), (meta, after - before)
    assert meta["throttled_ns"] > 0.8 * min(after - before, meta["run_queue_ns"]), (meta, after - before)
"""


def new_group() -> Path | None:
    """A control group of ours with a CPU controller; None: this machine lets us make none."""
    for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        made = Path(top) / f"slowlens-test-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        if (made / "cpu.stat").exists() and ((made / "cpu.max").exists() or (made / "cpu.cfs_quota_us").exists()):
            return made
        made.rmdir()
    return None


@pytest.mark.parametrize("mode", ("sampling", "deterministic"))
def test_a_request_in_a_real_group(tmp_path: Path, mode: str) -> None:
    made = new_group()
    if made is None:
        pytest.skip("no control group can be made here")
    package = str(Path(slowlens.__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": package, "SLOWLENS_STORE": str(tmp_path)}
    try:
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(REAL), str(made), mode],
                              capture_output=True, text=True, env=environ, timeout=120)
    finally:
        made.rmdir()
    assert done.returncode == 0, done.stderr
