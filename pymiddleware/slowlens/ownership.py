"""Whose code is whose: the project's, a library's, the standard library's.

The project is what its people work on. Most of it is told by where a file lies
(``site-packages`` is not the project), but an application may be pip-installed
itself (``pip install .`` in its container), and libraries may lie in its own
folder (``pip install --target vendor``). So, in this order:

1. what the option ``project`` names (folders, files, modules) is the project;
2. the package or module that the application object comes from is the project, and what lies beside it in a folder
   that was installed;
3. what lies in ``site-packages`` is a library, and in any other folder of ``sys.path`` what pip installed there (a
   ``NAME.dist-info`` lists it) or what is in a folder named ``vendor``;
4. the standard library, and slowlens itself;
5. everything else is the project.

``slowlens doctor`` shows what this comes to here.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from typing import Any

from . import _core

__all__ = ["OWN", "claim", "configure", "explain", "module_of"]

#: Prefix of slowlens's own files.
OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep

#: Modules whose objects are applications made by others for the project: where they come from says nothing.
FRAMEWORKS = frozenset((
    "__main__", "aiohttp", "asgiref", "bottle", "builtins", "cherrypy", "connexion", "dash", "django",
    "eventlet", "falcon", "fastapi", "flask", "functools", "gevent", "gunicorn", "hypercorn", "litestar",
    "paste", "pyramid", "quart", "sanic", "slowlens", "starlette", "tornado", "uvicorn", "webob", "werkzeug",
    "whitenoise",
))

#: A folder of ``sys.path`` with such a name holds libraries, whoever put them there.
VENDOR = frozenset(("vendor", "vendored", "_vendor", "third_party", "thirdparty"))

#: What is typed or piped into an interpreter, and a notebook's cells (newer ones are files in a temporary folder).
#: Other names in angle brackets are code that libraries make: dataclasses, attrs.
_TYPED = ("<stdin>", "<console>", "<python-input-", "<ipython-input-")

_INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)

#: Files and folders that are the project although they are installed, and why.
_project: dict[str, str] = {}
_vendored: tuple[str, ...] = ()
_searched: list[str] | None = None
_rest: dict[str, Any] = {}


def configure(chosen: tuple[str, ...], use_tsc: bool) -> None:
    """Tells the core; once, before anything is recorded."""
    _rest.update(chosen=chosen, use_tsc=use_tsc)
    _search()
    _apply()


def _search() -> bool:
    """Looks for libraries in ``sys.path`` if that is another than the last time. Whether it was."""
    global _vendored, _searched
    if _searched == sys.path:
        return False
    _searched, _vendored = list(sys.path), tuple(sorted(_find_vendored()))
    return True


def _apply() -> None:
    if not _rest:
        return
    paths = sysconfig.get_paths()
    stdlib = {os.path.realpath(paths["stdlib"]), paths["stdlib"], paths["platstdlib"]}
    _core.configure(
        (*sorted(path + os.sep for path in stdlib), "<frozen "), (*_INSTALLED, OWN), _rest["chosen"], OWN,
        use_tsc=_rest["use_tsc"], project=(*_TYPED, *sorted(_project)), vendored=_vendored,
    )


def _find_vendored() -> set[str]:
    """Prefixes of what pip put into folders of ``sys.path`` that are not ``site-packages``."""
    found: set[str] = set()
    for folder in {os.path.abspath(entry) for entry in sys.path if entry}:
        inside = folder + os.sep
        if any(part in inside for part in _INSTALLED):
            continue
        if os.path.basename(folder) in VENDOR:
            found.add(inside)
            continue
        try:
            records = [entry.path for entry in os.scandir(folder) if entry.name.endswith(".dist-info")]
        except OSError:
            continue
        for record in records[:2000]:
            for top in _tops(record):
                found.add(inside + top + ("" if top.endswith(".py") else os.sep))
    return found


def _tops(record: str) -> Iterable[str]:
    """What a distribution put beside its ``dist-info``: names of packages, and of modules with their ``.py``."""
    try:
        with open(os.path.join(record, "RECORD"), encoding="utf-8") as file:
            names = {line.split(",", 1)[0].split("/", 1)[0].strip('"') if "/" in line.split(",", 1)[0]
                     else line.split(",", 1)[0].strip('"') for line in file}
    except (OSError, UnicodeDecodeError):
        return ()
    # An editable installation lists a .pth alone: its files are the project's.
    return {name for name in names - {"..", "bin", "__pycache__"} if name.endswith(".py") or "." not in name}


def claim(application: Any = None, module: str | None = None, paths: Iterable[str] = ()) -> None:
    """The application object or module is the project's; so are ``paths``: folders, files, names of modules."""
    before, changed = len(_project), _search()
    for path in paths:
        for prefix in _prefixes(path):
            _project.setdefault(prefix, "option project")
    name = module if module is not None else module_of(application)
    if name is not None and name.partition(".")[0] not in FRAMEWORKS:
        for prefix in _module_prefixes(name):
            if _is_installed(prefix):
                _project.setdefault(_whole(prefix), f"the application comes from {name}")
    if changed or len(_project) != before:
        _apply()


def _whole(prefix: str) -> str:
    """Of a package in a folder that is itself installed, and a folder of ``sys.path``, all of that folder: a Django
    project whose ``manage.py`` and apps were installed in one (label_studio/core, label_studio/users...)."""
    folder = os.path.dirname(prefix.rstrip(os.sep)) + os.sep
    if folder.endswith(_INSTALLED):
        return prefix
    return folder if any(part in folder for part in _INSTALLED) else prefix


def _is_installed(prefix: str) -> bool:
    return any(part in prefix for part in _INSTALLED) or prefix.startswith(_vendored)


def _prefixes(path: str) -> list[str]:
    """Of what the option names: a folder or file where it looks like one, else a module."""
    if os.sep in path or path.endswith(".py") or os.path.exists(path):
        whole = os.path.abspath(os.path.expanduser(path))
        return [whole if whole.endswith(".py") else whole + os.sep]
    return _module_prefixes(path)


def _module_prefixes(name: str) -> list[str]:
    """Where the top-level package (or module) of ``name`` lies."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    spec = getattr(module, "__spec__", None)
    if spec is None and module is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return []
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    if folders:
        return [os.path.abspath(folder) + os.sep for folder in folders]
    file = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    return [os.path.abspath(file)] if file and file.endswith(".py") else []


def module_of(application: Any) -> str | None:
    """The module that the application is written in: its function's, its class's, or its first route's. What is
    installed and wraps another (a library's middleware, say) gives way to that, where that has a name."""
    found: str | None = None
    for _ in range(20):
        while isinstance(application, functools.partial):
            application = application.func
        application = getattr(application, "__wrapped__", application)
        imported = getattr(application, "import_name", None)  # Flask, Quart
        if isinstance(imported, str):
            return imported
        name = _named(application)
        routes = getattr(application, "routes", None)
        if isinstance(routes, (list, tuple)):
            name = name or next(_endpoints(routes), None)
            if name is not None:
                return name
        if name is not None and not any(map(_is_installed, _module_prefixes(name))):
            return name
        found = name or found
        inside = (_plain(application, name) for name in _INSIDE)
        inner = next((one for one in inside if callable(one)), None)
        if inner is None or inner is application:
            return found
        application = inner
    return found


def _endpoints(routes: Any, deep: int = 3) -> Iterator[str]:
    """The modules of an application's endpoints, those of mounted ones last."""
    if not isinstance(routes, (list, tuple)):
        return
    names = (_named(getattr(route, "endpoint", None)) for route in routes[:100])
    yield from (name for name in names if name is not None)
    for route in routes[:100] if deep > 0 else ():
        yield from _endpoints(_plain(route, "routes"), deep - 1)


#: What wrappers call the application that they wrap.
_INSIDE = ("app", "application", "wsgi_app", "asgi_app", "wsgi", "asgi", "_app", "flask_app", "__self__")


def _named(of: Any) -> str | None:
    name = getattr(of, "__module__", None)
    return name if isinstance(name, str) and name.partition(".")[0] not in FRAMEWORKS else None


def _plain(of: Any, name: str) -> Any:
    try:
        return getattr(of, name, None)
    except Exception:  # a property of somebody else's
        return None


def explain() -> dict[str, Any]:
    """What is whose here, and why."""
    return {"project": dict(sorted(_project.items())), "vendored": list(_vendored), "installed": list(_INSTALLED)}
