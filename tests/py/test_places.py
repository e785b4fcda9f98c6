"""Wherever and however a process runs: without a home, on a read-only root, in a folder that nobody can spell, with
next to no files, whatever the switches of Python. The app answers; what can be stored is; a line says what cannot."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ANYWHERE = """
import sys
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
site = ProfilerMiddleware(app, keep="all", log=False)
body = site({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "wsgi.url_scheme": "http"}, lambda *a: None)
done = site.recorder.writer.flush(10)
sys.stdout.write(f"{b''.join(body).decode()} {done} {site.recorder.counters()['stored']}")
"""


def anywhere(folder: Path, *options: str, **environ: str) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, *options, "-c", ANYWHERE], capture_output=True, text=True, timeout=120, cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder), **environ})
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("options", [("-W", "error", "-X", "dev"), ("-OO",), ("-W", "error", "-O", "-s", "-B")])
@pytest.mark.parametrize("seed", ["0", "1"])
def test_quiet_and_right_however_python_is_started(tmp_path: Path, options: tuple[str, ...], seed: str) -> None:
    assert anywhere(tmp_path, *options, PYTHONHASHSEED=seed) == ("ok True 1", "", 0)


LATE = {"importlib.metadata", "slowlens.insight", "slowlens.viewer.app", "statistics", "difflib", "tomllib", "zipfile"}


def test_what_a_worker_loads_at_its_start() -> None:
    """Nothing that a request does not need: not the viewer, nor what it computes with, nor what only mistakes need."""
    program = (f"import sys; sys.path[:] = {sys.path!r}; import slowlens.asgi, slowlens.flask, slowlens.wsgi; "
               f"print(sorted({LATE!r} & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_a_home(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    found = anywhere(tmp_path, "-W", "error", "-X", "dev", HOME="/nonexistent", TMPDIR=str(tmp_path / "tmp"))
    assert found == ("ok True 1", "", 0)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """As a read-only root: the app answers, and one line says why nothing is stored."""
    said = anywhere(tmp_path, "-W", "error", "-X", "dev", HOME="/nonexistent", XDG_STATE_HOME="/proc/nowhere")
    assert said[0].startswith("ok ") and said[0].endswith(" 0") and said[2] == 0
    assert len([line for line in said[1].splitlines() if line.startswith("slowlens:")]) == 1, said[1]
    assert "Traceback" not in said[1]


READ_ONLY = """
root=$1 folder=$2; shift 2
mount --rbind / "$root"
for at in $(awk -v root="$root" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -u); do
    mount -o remount,bind,ro "$at" 2>/dev/null
done
for at in / /tmp /dev/shm "$folder"; do
    ! touch "$root$at/slowlens-was-here" 2>/dev/null || exit 9
done
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_on_a_read_only_root(tmp_path: Path) -> None:
    """Really one, as containers have it: no folder of this process can be written, /tmp and /dev/shm neither."""
    root = tmp_path / "root"
    root.mkdir()
    private = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("may not mount, or in a chroot, whose root is no mount")
    command = [*private, "sh", "-c", READ_ONLY, "sh", str(root), str(tmp_path),
               sys.executable]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    environ.pop("XDG_STATE_HOME", None)
    strict = ["-W", "error", "-X", "dev", "-X", "warn_default_encoding"]
    done = subprocess.run([*command, *strict, "-c", ANYWHERE], capture_output=True, text=True, timeout=120,
                          cwd=tmp_path, env=environ)
    assert (done.stdout, done.returncode) == ("ok True 0", 0), done.stderr
    assert "Traceback" not in done.stderr and "Read-only file system" in done.stderr
    doctor = subprocess.run([*command, "-m", "slowlens", "doctor"], capture_output=True, text=True, timeout=120,
                            cwd=tmp_path, env=environ)
    assert "Read-only file system" in doctor.stdout and doctor.returncode == 1, doctor.stderr


@pytest.mark.parametrize(("store", "stored"), [("", 1), ("profiles", 0)])
def test_where_the_current_folder_was_removed(tmp_path: Path, store: str, stored: int) -> None:
    """A release that was replaced under its server: a new worker starts all the same."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})" + ANYWHERE
    more = {"SLOWLENS_STORE": store} if store else {}
    paths = os.pathsep.join(filter(os.path.isabs, sys.path))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-X", "dev", "-c", script], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": paths, "XDG_STATE_HOME": str(tmp_path / "state"), **more})
    assert (done.stdout, done.returncode) == (f"ok True {stored}", 0), done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_folder_that_is_no_absolute_path_is_none(tmp_path: Path) -> None:
    assert anywhere(tmp_path, "-W", "error", XDG_STATE_HOME="state") == ("ok True 1", "", 0)
    assert (tmp_path / ".local" / "state" / "slowlens").is_dir() and not (tmp_path / "state").exists()


@pytest.mark.parametrize(("limit", "most"), [
    *(("NOFILE", most) for most in (6, 8, 10, 12, 16)), ("FSIZE", 0), ("FSIZE", 4096), ("MEMLOCK", 0),
    ("STACK", 256 << 10),
])
def test_with_next_to_nothing(tmp_path: Path, limit: str, most: int) -> None:
    """What cannot be stored is said, with the system's own reason."""
    what: Any = getattr(resource, "RLIMIT_" + limit)
    script = f"import resource; resource.setrlimit({what}, ({most}, {most}))\n"
    done = subprocess.run(
        [sys.executable, "-B", "-X", "dev", "-W", "error", "-c", script + ANYWHERE], capture_output=True, text=True,
        timeout=120, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)})
    assert done.returncode == 0 and done.stdout in ("ok True 0", "ok True 1"), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if done.stdout.endswith("0"):
        assert os.strerror(errno.EMFILE if limit == "NOFILE" else errno.EFBIG) in done.stderr, done.stderr


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    """Every folder on the way, too: who may write to ``~/.local`` may put programs there."""
    (tmp_path / "home").mkdir()
    script = ANYWHERE.replace("import sys", f"import os, sys; os.umask({mask})")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path / "home")})
    if mask != 0o777 or os.geteuid() == 0:  # what may not even be entered holds no profiles
        assert (done.stdout, done.stderr) == ("ok True 1", "")
    made = list((tmp_path / "home").rglob("*"))
    assert len(made) > 5 or mask == 0o777
    assert [path for path in made if path.lstat().st_mode & 0o077] == []


SPELLED = """
import json, sys
from slowlens import _core, engine
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware
def page(environ, start_response):
    for _ in range(20):
        sum(map(float, range(20_000)))
    start_response("200 OK", [])
    return [b"ok"]
found = []
for mode in ("deterministic", "sampling"):
    site = ProfilerMiddleware(page, keep="all", log=False, mode=mode, store=sys.argv[1] + mode)
    b"".join(site({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}, lambda *a: None))
    assert site.recorder.writer.flush(10)
    store = site.recorder.store
    profile = _core.Profile(store.get(store.list(Query()).rows[0]["id"]))
    rows = [one["function"] for one in json.loads(profile.functions())["rows"]]
    found.append(sorted({one["file"] for one in rows if one["name"] == "page"}))
print(json.dumps([engine.unsampled(), *found]))
"""


def test_samples_in_a_folder_that_is_not_utf8(tmp_path: Path) -> None:
    """Its name, in those of code objects, was taken for a sign that frames cannot be read."""
    folder = os.fsencode(tmp_path) + b"/\xe9t\xe9"
    os.mkdir(folder)
    with open(folder + b"/app.py", "w") as file:
        file.write(SPELLED)
    done = subprocess.run([os.fsencode(sys.executable), folder + b"/app.py", os.fsencode(tmp_path / "store-")],
                          capture_output=True, timeout=120, cwd=folder, text=True, env={
                              **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    unsampled, events, samples = json.loads(done.stdout)
    assert unsampled is None
    assert events == samples == [f"{tmp_path}/\\udce9t\\udce9/app.py"]


DAEMON = """
import os, sys
sys.path[:0] = {path!r}
from conftest import wsgi_call
from slowlens.wsgi import ProfilerMiddleware
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
sites = [ProfilerMiddleware(app, store={store!r} + mode, debug=True, keep="all", mode=mode, log=False)
         for mode in ("deterministic", "sampling")]
for _ in range(2):
    for site in sites:
        wsgi_call(site, **{{"wsgi.errors": None}})
        assert site.recorder.writer.flush(30)
    for fd in range(3):  # a library in C says something, where nobody listens
        try:
            raise SystemExit(f"{{fd}} is {{os.readlink(f'/proc/self/fd/{{fd}}')}}")
        except FileNotFoundError:
            pass
        try:
            os.write(fd, b"what nobody shall read" * 99)
        except OSError:
            pass
counters = [site.recorder.counters() for site in sites]
assert [(one["stored"], one["failed"], one["faults"]) for one in counters] == [(2, 0, 0)] * 2, counters
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_without_standard_streams_what_is_kept_open_takes_none_of_their_numbers(tmp_path: Path) -> None:
    """A daemon: the board had the number of stderr, and was overwritten by what somebody said."""
    script = DAEMON.format(path=[str(Path(__file__).parent)], store=str(tmp_path / "store"))
    (tmp_path / "said.py").write_text(f"try:\n    exec({script!r})\nexcept BaseException as error:\n"
                                      f"    open({str(tmp_path / 'said')!r}, 'w').write(repr(error)); raise\n")
    done = subprocess.run(["sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', sys.executable, str(tmp_path / "said.py")],
                          timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    said = tmp_path / "said"
    assert (done.returncode, said.read_text() if said.exists() else "") == (0, "")
