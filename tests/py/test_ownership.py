"""Whose code is whose, wherever it was put."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import slowlens
from slowlens import ownership

APP = '''
import json, sys, tempfile
from slowlens import _core
from slowlens.store import Query
from slowlens.wsgi import ProfilerMiddleware
try:
    import extra
except ImportError:
    extra = None

def own_view():
    return extra.of_a_library() if extra else None

def application(environ, start_response):
    own_view()
    start_response("200 OK", [])
    return [b""]

def main(**options):
    app = ProfilerMiddleware(application, debug=True, keep="all", mode="deterministic", store=tempfile.mkdtemp(),
                             **options)
    list(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}, lambda *ignored: None))
    app.recorder.writer.flush(10)
    profile = _core.Profile(app.recorder.store.get(app.recorder.store.list(Query(limit=1)).rows[0]["id"]))
    rows = [row["function"] for row in json.loads(profile.functions())["rows"]]
    print(json.dumps({row["name"]: row["origin"] for row in rows}))
'''
LIBRARY = "def of_a_library():\n    return 1\n"


def origins(folder: Path, *path: Path, code: str = "import application_; application_.main()") -> dict[str, str]:
    """Of the functions of one request, in an interpreter that finds modules in ``path`` too."""
    packages = os.path.dirname(os.path.dirname(os.path.abspath(slowlens.__file__)))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *map(str, path)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_an_application_that_is_installed_itself(tmp_path: Path) -> None:
    site = put(tmp_path / "lib/site-packages", "application_.py", APP)
    put(site, "extra.py", LIBRARY)
    found = origins(tmp_path, site)
    assert (found["own_view"], found["of_a_library"]) == ("project", "library")


def test_what_lies_beside_an_installed_application(tmp_path: Path) -> None:
    """A folder that was installed as a whole, and is where the application's modules are found."""
    whole = put(tmp_path / "lib/site-packages/shop", "application_.py", APP)
    put(whole, "extra.py", LIBRARY)
    found = origins(tmp_path, whole)
    assert (found["own_view"], found["of_a_library"]) == ("project", "project")


def test_an_installed_application_in_a_librarys_middleware(tmp_path: Path) -> None:
    installed = put(tmp_path / "lib/site-packages", "application_.py", APP)
    put(installed, "wrapping.py", "class Wrap:\n    def __init__(self, app):\n        self.wsgi_app = app\n"
        "    def __call__(self, environ, start_response):\n        return self.wsgi_app(environ, start_response)\n")
    code = ("import application_, wrapping; application_.application = wrapping.Wrap(application_.application); "
            "application_.main()")
    found = origins(tmp_path, installed, code=code)
    assert (found["own_view"], found["Wrap.__call__"]) == ("project", "library")


def test_a_package_that_is_installed_itself(tmp_path: Path) -> None:
    site = tmp_path / "lib/site-packages"
    put(site / "shop/views", "pages.py", APP)
    put(site / "shop", "__init__.py", "")
    put(site / "shopping", "__init__.py", LIBRARY)
    put(site, "extra.py", "from shopping import of_a_library\n")
    found = origins(tmp_path, site, code="from shop.views import pages; pages.main()")
    assert (found["own_view"], found["of_a_library"]) == ("project", "library")


def test_libraries_in_a_folder_of_the_project(tmp_path: Path) -> None:
    source = put(tmp_path, "application_.py", APP)
    put(tmp_path / "deps", "extra.py", LIBRARY)
    put(tmp_path / "deps/extra-1.0.dist-info", "RECORD", "extra.py,,\nextra-1.0.dist-info/RECORD,,\n../bin/extra,,\n")
    put(tmp_path / "vendor", "extra.py", LIBRARY)
    for folder in ("deps", "vendor"):
        found = origins(tmp_path, source, tmp_path / folder)
        assert (found["own_view"], found["of_a_library"]) == ("project", "library"), folder


def test_libraries_beside_the_application(tmp_path: Path) -> None:
    """All in one folder, as serverless platforms want it."""
    put(tmp_path, "application_.py", APP)
    put(tmp_path / "extra", "__init__.py", LIBRARY)
    put(tmp_path / "extra-1.0.dist-info", "RECORD", "extra/__init__.py,,\nextra-1.0.dist-info/RECORD,,\n")
    found = origins(tmp_path, tmp_path)
    assert (found["own_view"], found["of_a_library"]) == ("project", "library")


def test_in_a_zip_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("application_.py", APP)
    assert origins(tmp_path, tmp_path / "app.pyz")["own_view"] == "project"


def test_what_is_piped_or_typed_in(tmp_path: Path) -> None:
    packages = os.path.dirname(os.path.dirname(os.path.abspath(slowlens.__file__)))
    typed = "exec(compile('def cell(): return made()', '<ipython-input-3-0f>', 'exec'))\n"
    made = "exec(compile('def made(): return 1', '<made by a library>', 'exec'))\n"
    program = f"{APP}{typed}{made}extra = type('extra', (), {{'of_a_library': staticmethod(cell)}})\nmain()\n"
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": packages})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["own_view"], found["cell"], found["made"]) == ("project", "project", "library")


@pytest.mark.parametrize("option", ["extra", "lib/site-packages/extra.py"])
def test_the_option_has_the_last_word(tmp_path: Path, option: str) -> None:
    source = put(tmp_path, "application_.py", APP)
    put(tmp_path / "lib/site-packages", "extra.py", LIBRARY)
    code = f"import application_; application_.main(project=[{option!r}])"
    found = origins(tmp_path, source, tmp_path / "lib/site-packages", code=code)
    assert (found["own_view"], found["of_a_library"]) == ("project", "project")


def test_the_module_of_an_application() -> None:
    def view() -> None:
        pass

    class Application:
        def __call__(self) -> None:
            pass

    class Wrapper:
        __module__ = "starlette.middleware"

        def __init__(self, app: Any) -> None:
            self.app = app

        def __call__(self) -> None:
            pass

    class Route:
        endpoint = view

    class Router(Wrapper):
        routes = (Route,)

    class Mount:
        routes = (Route,)

    class Mounting(Wrapper):
        routes = (object(), Mount)

    wrapped = (Wrapper(Wrapper(view)), Router(None), Mounting(None))
    for one in (view, functools.partial(view), Application(), Application().__call__, *wrapped):
        assert ownership.module_of(one) == __name__
    assert ownership.module_of(Wrapper(None)) is None
    assert ownership.module_of(3) is None
