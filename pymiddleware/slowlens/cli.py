"""The command line: ``slowlens list|show|functions|export|serve|delete|gc|token|doctor``.

Works on a store (``--store``, default the one of the current folder) or on
profile files. Errors are one line and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import __version__, _core
from .auth import make_token
from .options import OptionsError, load
from .request import ID
from .store import Query, Store, StoreError, open_store

__all__ = ["main"]


class CliError(Exception):
    """Said on one line; exit status 2."""


def main(arguments: Sequence[str] | None = None, store: str | None = None) -> int:
    """Runs one command. ``store``: the default of ``--store``. Returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.store is None:
        options.store = store
    try:
        return int(options.run(options) or 0)
    except (CliError, StoreError, OptionsError, _core.CorruptError) as error:
        print(f"slowlens: {error}".replace("slowlens: slowlens:", "slowlens:"), file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"slowlens: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slowlens", description="Request profiles: list, read, export.")
    parser.add_argument("--version", action="version", version=f"slowlens {__version__}")
    parser.add_argument("--store", help="folder of the profiles")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--store", help="folder of the profiles", default=argparse.SUPPRESS)
        return sub

    sub = command("list", _list, "Lists profiles, newest first.")
    sub.add_argument("--sort", default="started", help="column, most first (default started)")
    sub.add_argument("--reverse", action="store_true", help="least first")
    sub.add_argument("--route", help="only this route")
    sub.add_argument("--method")
    sub.add_argument("--status", help="404, 5xx or error")
    sub.add_argument("--min-ms", type=float, metavar="MS", help="at least this slow")
    sub.add_argument("--text", help="in path, route or hot path")
    sub.add_argument("--limit", type=int, default=30)
    sub.add_argument("--routes", action="store_true", help="routes with their percentiles instead")
    sub.add_argument("--json", action="store_true")

    sub = command("show", _show, "Shows one profile: summary and call tree.")
    sub.add_argument("profile", help="id, file, 'last' or 'slowest'")
    sub.add_argument("--percent", type=float, default=1.0, help="hide what took less (default 1)")
    sub.add_argument("--json", action="store_true", help="the summary as JSON")

    sub = command("functions", _functions, "Shows the functions of one profile by self time.")
    sub.add_argument("profile", help="id, file, 'last' or 'slowest'")
    sub.add_argument("--limit", type=int, default=30)
    sub.add_argument("--json", action="store_true")

    sub = command("export", _export, "Writes one profile for another tool.")
    sub.add_argument("profile", help="id, file, 'last' or 'slowest'")
    sub.add_argument("-f", "--format", default="slowlens",
                     choices=("slowlens", *_core.EXPORT_FORMATS))
    sub.add_argument("-o", "--output", help="file (default: standard output)")

    sub = command("serve", _serve, "Serves the viewer on this machine, without any app.")
    sub.add_argument("files", nargs="*", help="profile files (default: the store)")
    sub.add_argument("--port", type=int, default=8123)
    sub.add_argument("--bind", default="127.0.0.1", help="address (default 127.0.0.1; nobody is asked for a key)")

    sub = command("delete", _delete, "Deletes profiles.")
    sub.add_argument("profiles", nargs="+", metavar="ID")

    sub = command("gc", _gc, "Deletes what is too old or too much.")
    sub.add_argument("--json", action="store_true")

    sub = command("token", _token, "Makes a link token for the viewer, signed with SLOWLENS_KEY.")
    sub.add_argument("--minutes", type=int, default=10)

    sub = command("doctor", _doctor, "Says what is wrong with this installation.")
    sub.add_argument("--json", action="store_true")
    return parser


def _open(options: argparse.Namespace) -> Store:
    keywords = {"store": options.store} if options.store else {}
    return open_store(load(keywords))


def _is_empty(options: argparse.Namespace, store: Store) -> None:
    root = getattr(store, "root", "")
    if root and not os.path.isdir(root):
        raise CliError(f"there is no store at {root}; name one with --store")


def _blob(options: argparse.Namespace) -> bytes:
    """The bytes of the profile that ``options.profile`` names."""
    name = options.profile
    if os.path.isfile(name):
        with open(name, "rb") as file:
            return file.read()
    store = _open(options)
    _is_empty(options, store)
    if name in ("last", "slowest"):
        rows = store.list(Query(sort="-started" if name == "last" else "-wall_ns", limit=1)).rows
        if not rows:
            raise CliError("the store is empty")
        name = rows[0]["id"]
    if not ID.match(name):
        raise CliError(f"{name}: neither a file nor a profile id, nor 'last' or 'slowest'")
    blob = store.get(name)
    if blob is None:
        raise CliError(f"{name}: no such profile in the store")
    return blob


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _list(options: argparse.Namespace) -> None:
    store = _open(options)
    _is_empty(options, store)
    if options.routes:
        routes = store.routes()
        if options.json:
            print(json.dumps(routes, indent=1))
            return
        print(f"{'count':>7} {'p50 ms':>9} {'p95 ms':>9} {'max ms':>9} {'errors':>7}  route")
        for stats in routes:
            print(f"{stats['count']:7} {stats['p50'] / 1e6:9.1f} {stats['p95'] / 1e6:9.1f} "
                  f"{stats['max'] / 1e6:9.1f} {stats['error_share']:7.0%}  "
                  f"{_clean(stats['method'])} {_clean(stats['route'])}")
        return
    page = store.list(Query(
        sort=("" if options.reverse else "-") + options.sort.replace("_ms", "_ns"),
        route=options.route, method=options.method, status=options.status,
        min_ns=None if options.min_ms is None else int(options.min_ms * 1e6),
        text=options.text, limit=options.limit,
    ))
    if options.json:
        print(json.dumps(page.rows, indent=1))
        return
    print(f"{'id':26} {'when':19} {'ms':>9} {'status':>6}  request")
    for row in page.rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started"] / 1e9))
        print(f"{row['id']} {when} {row['wall_ns'] / 1e6:9.1f} {row['status']:>6}  "
              f"{_clean(row['method'])} {_clean(row['path'])}")
        if row["hot"]:
            print(f"{'':64}{_clean(row['hot'])}")


def _show(options: argparse.Namespace) -> None:
    blob = _core.Blob(_blob(options))
    summary = json.loads(blob.summary())
    if options.json:
        print(json.dumps(summary, indent=1))
        return
    meta = summary["meta"]
    print(f"{_clean(str(meta.get('method', '')))} {_clean(str(meta.get('path', '')))} "
          f"{meta.get('status', '')}  {summary['wall_ns'] / 1e6:.1f} ms  {_clean(str(meta.get('id', '')))}")
    split = {name: ns for name, ns in summary["self_ns"].items() if ns}
    print("self time: " + ", ".join(f"{name} {ns / 1e6:.1f} ms" for name, ns in split.items()))
    if "cpu_ns" in meta:
        print(f"cpu {meta['cpu_ns'] / 1e6:.1f} ms, calls {summary['calls']} Python, {summary['c_calls']} C")
    print(f"hot path: {_clean(summary['hot_text'])}\n")
    sys.stdout.write(blob.text(max(0, int(options.percent * 10))).decode("utf-8", "replace"))


def _functions(options: argparse.Namespace) -> None:
    report = json.loads(_core.Blob(_blob(options)).functions(max(0, options.limit)))
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{'calls':>9} {'self ms':>10} {'total ms':>10}  function")
    for row in report["rows"]:
        function = row["function"]
        where = f" ({_clean(function['file'])}:{function['line']})" if function["file"] else ""
        print(f"{row['calls'] + row['resumes']:9} {row['self_ns'] / 1e6:10.3f} {row['total_ns'] / 1e6:10.3f}  "
              f"{_clean(function['name'])}{where}")


def _export(options: argparse.Namespace) -> None:
    data = _blob(options)
    blob = _core.Blob(data)  # checked, whatever the format
    if options.format != "slowlens":
        data = blob.export(options.format)
    if options.output is None:
        if sys.stdout.isatty() and options.format == "slowlens":
            raise CliError("a profile is binary: name a file with -o")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with open(options.output, "wb") as file:
        file.write(data)


def _serve(options: argparse.Namespace) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    from .viewer.app import Viewer
    from .viewer.mount import wsgi_app

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    store: Store
    if options.files:
        from .store.files import FileStore

        store = FileStore(options.files)
    else:
        store = _open(options)
        _is_empty(options, store)
    app = _local_only(wsgi_app(Viewer(store, None)), options.bind)
    with make_server(options.bind, options.port, app, Server, Quiet) as server:
        print(f"viewer: http://{options.bind}:{server.server_port}/", flush=True)
        server.serve_forever()


def _local_only(app: Any, bind: str) -> Any:
    """Refuses host names that are not this machine's: a web site could point one here."""
    from .auth import is_local
    from .request import wsgi_incoming

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        incoming = wsgi_incoming(environ)
        if bind in ("127.0.0.1", "::1", "localhost") and not is_local(incoming):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        return app(environ, start_response)

    return guarded


def _delete(options: argparse.Namespace) -> int:
    store = _open(options)
    _is_empty(options, store)
    missing = [name for name in options.profiles if not store.delete(name)]
    for name in missing:
        print(f"slowlens: {name}: no such profile", file=sys.stderr)
    return 2 if missing else 0


def _gc(options: argparse.Namespace) -> None:
    store = _open(options)
    _is_empty(options, store)
    done = store.gc(budget_seconds=60.0)
    if options.json:
        print(json.dumps(done))
    else:
        print(f"deleted {done['deleted']}, {done['kept']} profiles left, {done['bytes'] / 1e6:.1f} MB")


def _token(options: argparse.Namespace) -> None:
    key = load({}).key
    if key is None:
        raise CliError("set SLOWLENS_KEY to the option 'key' of your app first")
    print(make_token(key, options.minutes * 60))


def _doctor(options: argparse.Namespace) -> int:
    from . import engine

    findings: list[str] = []
    loaded = load({"store": options.store} if options.store else {})
    store = open_store(loaded)
    problem = store.problem()
    if problem is not None:
        findings.append(f"the store cannot be used: {problem}")
    reason = engine.why_not()
    if reason is not None:
        findings.append(f"nothing can be recorded: {reason}")
    if os.environ.get("SLOWLENS_DISABLE"):
        findings.append("SLOWLENS_DISABLE is set: nothing is profiled")
    report: dict[str, Any] = {
        "version": __version__, "engine": engine.info(), "store": getattr(store, "root", loaded.store),
        "findings": findings,
    }
    if problem is None:
        report["contents"] = store.gc(budget_seconds=0.0)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        info = report["engine"]
        print(f"slowlens {__version__}, Python {info['python']}")
        print(f"engine: {info['name']}, clock {info['clock']}")
        print(f"store: {report['store']}")
        if problem is None:
            print(f"  {report['contents']['kept']} profiles, {report['contents']['bytes'] / 1e6:.1f} MB")
        for finding in findings:
            print(f"problem: {finding}")
        if not findings:
            print("no problem found")
    return 1 if findings else 0
