"""From what a command is given to profiles: ids, files, folders, routes."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any, NamedTuple

from .. import _core
from ..insight import windows
from ..options import load
from ..request import ID
from ..store import Query, Store, open_store
from .terminal import Progress

__all__ = [
    "CliError", "Opened", "decode", "find", "find_all", "is_empty", "open_files", "open_one", "route_of",
]

SUFFIX = ".slowlens"


class CliError(Exception):
    """Said on one line; exit status 2."""


class Opened(NamedTuple):
    """A profile that was read and checked."""

    profile: _core.Profile
    meta: dict[str, Any]
    data: bytes


def open_files(paths: list[str]) -> Store:
    """Single files, and those in folders, as a store; a store's folder is that store."""
    from ..store.files import FileStore

    if len(paths) == 1 and is_store(paths[0]):
        return open_store(load({"store": paths[0]}))

    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            inside = files_in(path)
            if not inside:
                raise CliError(f"{path}: no {SUFFIX} files in this folder")
            found += inside
        else:
            found.append(path)
    return FileStore(found)


def is_store(folder: str) -> bool:
    """Whether a folder is a store's, of any version."""
    return any(os.path.isdir(os.path.join(folder, name)) for name in ("segments", "blobs"))


def files_in(folder: str) -> list[str]:
    """Profile files of a folder and those in it, oldest first."""
    found = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names
             if name.endswith(SUFFIX)]
    return sorted(found, key=os.path.basename)


def open_one(options: argparse.Namespace) -> Store:
    """The store, or the folder of files, that ``--store`` names."""
    folder = options.store or ""
    if os.path.isdir(folder) and not is_store(folder) and files_in(folder):
        return open_files([folder])
    return open_store(load({"store": options.store} if options.store else {}))


def is_empty(store: Store) -> None:
    """:raises CliError: the store's folder is not there."""
    root = getattr(store, "root", "")
    if root and not os.path.isdir(root):
        raise CliError(f"there is no store at {root}: run this in the folder that your app runs in, "
                       "or name its store by --store")


def decode(data: bytes) -> Opened:
    """:raises CorruptError: it is no profile."""
    profile = _core.Profile(data)
    return Opened(profile, json.loads(profile.meta())["meta"], data)


def route_of(text: str) -> tuple[str | None, str]:
    """Method and route of ``/books/`` or ``GET /books/``. :raises CliError: it is empty."""
    method, space, route = text.removeprefix("route:").partition(" ")
    if space and method.isupper():
        return method, route
    if not text:
        raise CliError("name a route, as slowlens list --routes shows it")
    return None, text.removeprefix("route:")


def _of_windows(options: argparse.Namespace, name: str) -> list[Opened]:
    """``last:1h`` (or ``last:1h/1d``: the hour that ended a day ago), ``release:NAME``: all requests of then, kept or
    not, as one profile for each route (of ``--route``, if that is given)."""
    kind, _, value = name.partition(":")
    store = open_one(options)
    is_empty(store)
    span, _, ago = value.partition("/")
    now = int(time.time() * 1000) - (windows.seconds_of(ago) * 1000 if ago and kind == "last" else 0)
    method, route = route_of(options.route) if getattr(options, "route", None) else (None, None)
    found = windows.by_route(store, windows.seconds_of(span) if kind == "last" else 0, route=route, method=method,
                             release=value if kind == "release" else None, now_ms=now)
    return [decode(one.blob) for one in found]


def _file(path: str) -> Opened:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return decode(data)
    except _core.CorruptError as error:
        raise CliError(f"{path}: {error}") from None


def find(options: argparse.Namespace, name: str) -> Opened:
    """The one profile that ``name`` means."""
    if os.path.isfile(name):
        return _file(name)
    store = open_one(options)
    is_empty(store)
    if name in ("last", "slowest"):
        rows = store.list(Query(sort="-started" if name == "last" else "-wall_ns", limit=1)).rows
        if not rows:
            raise CliError("the store is empty")
        name = rows[0]["id"]
    if not ID.match(name):
        raise CliError(f"{name}: neither a file nor a profile id, nor 'last' or 'slowest'")
    data = store.get(name)
    if data is None:
        raise CliError(f"{name}: no such profile in the store")
    return decode(data)


def find_all(options: argparse.Namespace, name: str, limit: int = 100) -> list[Opened]:
    """All profiles that ``name`` means: one, those of a folder, or the latest of a route."""
    if "://" in name or is_store(name):
        found = [one.blob for one in Progress(list(open_store(load({"store": name})).everything()), "reading")]
        if not found:
            raise CliError(f"{name}: no profile in this store")
        return [decode(data) for data in found]
    if os.path.isdir(name):
        paths = files_in(name)
        if not paths:
            raise CliError(f"{name}: no {SUFFIX} files in this folder")
        return [_file(path) for path in Progress(paths, "reading")]
    if name.startswith(("last:", "release:")):
        return _of_windows(options, name)
    if not name.startswith("route:"):
        return [find(options, name)]
    store = open_one(options)
    is_empty(store)
    rows = store.list(Query(route=name[len("route:"):], limit=max(1, min(limit, 500)))).rows
    found = [data for row in Progress(rows, "reading") if (data := store.get(row["id"])) is not None]
    if not found:
        raise CliError(f"{name}: no profile of this route")
    return [decode(data) for data in found]
