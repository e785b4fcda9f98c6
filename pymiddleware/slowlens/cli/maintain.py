"""Commands that serve and keep house: serve, delete, gc, token, doctor."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from typing import Any

from .. import __version__, killed
from ..auth import make_token
from ..log import several
from ..options import load
from ..store import open_store
from ..store.interface import name_of
from .source import CliError, is_empty, open_files, open_one
from .terminal import clean

__all__ = ["copy", "delete", "doctor", "gc", "serve", "token"]

#: Folders that web servers commonly hand out.
PUBLIC = ("static", "staticfiles", "public", "public_html", "htdocs", "www", "media", "assets")


def serve(options: argparse.Namespace) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer, make_server

    from ..viewer.app import Viewer
    from ..viewer.mount import wsgi_app

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Answer(ServerHandler):
        http_version = "1.1"
        whole = False

        def cleanup_headers(self) -> None:
            super().cleanup_headers()
            handler, headers = self.request_handler, self.headers  # type: ignore[attr-defined]
            handler.close_connection |= "Content-Length" not in headers
            if handler.close_connection:
                headers["Connection"] = "close"

        def close(self) -> None:
            self.whole = True  # whoever is not there any more, or is told half, does not come here
            super().close()

    class Quiet(WSGIRequestHandler):
        """Connections stay: a page asks for some thirty files, and whose a connection is, is looked up once."""

        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def handle(self) -> None:
            self.close_connection = False
            with suppress(OSError):  # nothing was asked for a minute, or nobody is there any more
                while not self.close_connection:
                    self.answer_one()

        def answer_one(self) -> None:
            self.connection.settimeout(60)
            self.raw_requestline = self.rfile.readline(65537)
            if len(self.raw_requestline) > 65536:
                self.requestline = self.request_version = self.command = ""
                self.send_error(414)  # which ends the connection, as all that cannot be parsed
                return
            if not self.parse_request():
                self.close_connection = True
                return
            # Nobody reads bodies: what may have one, or be read in two ways, is the last of its connection.
            head = self.headers
            if (self.command, self.request_version) != ("GET", "HTTP/1.1") or head.defects or head.get_payload() or (
                    "Content-Length" in head or "Transfer-Encoding" in head):
                self.close_connection = True
            self.connection.settimeout(None)  # a download may pause
            answer = Answer(self.rfile, self.wfile, self.get_stderr(), self.get_environ())  # type: ignore[arg-type]
            answer.request_handler = self  # type: ignore[attr-defined]
            answer.run(self.server.get_app())  # type: ignore[attr-defined]
            self.close_connection |= not answer.whole

        def finish(self) -> None:
            with suppress(OSError):  # what could not be sent is tried again
                super().finish()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    store = open_files(options.files) if options.files else open_one(options)
    is_empty(store)
    app = _local_only(wsgi_app(Viewer(store, None)), options.bind)
    try:
        server = make_server(options.bind, options.port, app, Server, Quiet)
    except OSError as error:
        raise CliError(f"{clean(options.bind)}:{options.port}: {error.strerror or error}") from None
    with server:
        print(f"viewer: http://{options.bind}:{server.server_port}/", flush=True)
        server.serve_forever()


def _local_only(app: Any, bind: str) -> Any:
    """Refuses host names that are not this machine's: a web site could point one here."""
    from ..auth import is_local, is_loopback
    from ..log import Seldom, late
    from ..request import wsgi_incoming

    trusted, said = load({}).trusted_proxies, Seldom()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        incoming = wsgi_incoming(environ)
        if (bind == "localhost" or is_loopback(bind)) and not is_local(incoming, trusted):
            said.say(late("slowlens"), "slowlens: refused a request that a proxy passed on, of another user, or for "
                     "another host: only this machine may look. SLOWLENS_TRUSTED_PROXIES names proxies of yours",
                     once=True)
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        return app(environ, start_response)

    return guarded


def delete(options: argparse.Namespace) -> int:
    store = open_one(options)
    is_empty(store)
    missing = [name for name in options.profiles if not store.delete(name)]
    for name in missing:
        print(f"slowlens: {name}: no such profile", file=sys.stderr)
    return 2 if missing else 0


def copy(options: argparse.Namespace) -> int:
    from ..store.copying import copy as copy_all

    source = open_files([options.source]) if os.path.isdir(options.source) else open_one(
        argparse.Namespace(store=options.source))
    is_empty(source)
    target = open_store(load({"store": options.target}))
    try:
        done = copy_all(source, target)
    finally:
        target.close()
    if options.json:
        print(json.dumps(done._asdict()))
    else:
        print(f"{several(done.copied, 'profile')} copied, {done.bytes / 1e6:.1f} MB; {done.known} were there already")
        if done.hours or done.trees:
            print(f"numbers of all requests: {several(done.hours, 'hour')}; trees of all requests: "
                  f"{several(done.trees, 'time')} ten minutes")
        if done.left:
            print(f"slowlens: numbers and trees of the source itself are not copied: {done.left}", file=sys.stderr)
    return 1 if done.left else 0


def gc(options: argparse.Namespace) -> None:
    store = open_one(options)
    is_empty(store)
    if name_of(store):
        killed.recover(store, name_of(store))
        killed.sweep(store, name_of(store))
    done = {**store.gc(budget_seconds=60.0), **store.contents()}
    if options.json:
        print(json.dumps(done))
    else:
        print(f"deleted {done['deleted']}, {several(done['profiles'], 'profile')} left, {done['bytes'] / 1e6:.1f} MB")


def token(options: argparse.Namespace) -> None:
    from urllib.parse import urlsplit

    loaded = load({})
    if loaded.key is None:
        raise CliError("set SLOWLENS_KEY to the option 'key' of your app first (a secret of 16 characters or more)")
    url = urlsplit(options.url if "://" in options.url else "http://" + options.url)
    if not url.netloc or url.query or url.fragment:
        raise CliError(f"{options.url}: give where your app is, such as https://shop.example")
    host = url.netloc.rpartition("@")[2].lower()
    seconds = options.minutes * 60
    if options.trigger:
        made = make_token(loaded.key, seconds, ("trigger",), host)
        print(f"X-Slowlens: {options.trigger}.{made}")
        return
    made = make_token(loaded.key, seconds, ("view", "change") if options.change else ("view",), host)
    print(f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}{loaded.viewer_path}?token={made}")


def doctor(options: argparse.Namespace) -> int:
    from .. import engine, ownership

    refused = engine.refused()
    if refused is not None:
        print(json.dumps({"version": __version__, "engine": engine.info(), "findings": [refused]}, indent=1)
              if options.json else f"slowlens {__version__}: {refused}")
        return 1
    findings: list[str] = []
    loaded = load({"store": options.store} if options.store else {})
    store = open_store(loaded)
    root = getattr(store, "root", "")
    made = bool(root) and not os.path.isdir(root)
    problem = store.problem()
    if problem is not None:
        findings.append(f"the store cannot be used: {problem}")
    reason = engine.why_not()
    if reason is not None:
        findings.append(f"nothing can be recorded: {reason}")
    if os.environ.get("SLOWLENS_DISABLE"):
        findings.append("SLOWLENS_DISABLE is set: nothing is profiled")
    findings += _web_readable(root) + _other_profilers() + _framework()
    information = engine.info()
    if information["sampler"]["why_not"] is not None:
        findings.append(f"sampling is off: {information['sampler']['why_not']}")
    ownership.claim(paths=loaded.project)
    unseen = _unseen(loaded.store) if problem is None and loaded.board else ""
    report: dict[str, Any] = {
        "version": __version__, "engine": information, "ownership": ownership.explain(),
        "layers": _layers(information),
        "store": getattr(store, "shown", None) or root or loaded.store,
        "findings": findings, "unseen": unseen, "made": made,
    }
    if problem is None:
        report["contents"] = store.contents()
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        info = report["engine"]
        print(f"slowlens {__version__}, Python {info['python']}")
        why = "the interpreter's own, 3.12 and newer" if info["name"] == "sys.monitoring" else "all that 3.11 has"
        print(f"deterministic: {info['name']} ({why}), clock {info['clock']}")
        sampler = info["sampler"]
        print(f"sampling: reads memory by {sampler['memory']}, every {sampler['interval_ns'] / 1000:g} us"
              if sampler["why_not"] is None else "sampling: off")
        print(f"layers: {report['layers']}")
        owned = report["ownership"]
        print("code: installed packages are libraries, all else is the project's")
        for prefix, why in owned["project"].items():
            print(f"  project: {prefix} ({why})")
        for prefix in owned["vendored"]:
            print(f"  library: {prefix} (installed there by pip)")
        print(f"store: {report['store']}")
        if problem is None:
            contents = report["contents"]
            print(f"  {several(contents['profiles'], 'profile')}, {contents['bytes'] / 1e6:.1f} MB"
                  + (f"; {contents['waiting']} {'waits' if contents['waiting'] == 1 else 'wait'} here to be sent"
                     if contents.get("waiting") else ""))
            if made:
                print("  it was not there, and was made to see that it can be: is its name right?")
        if unseen:
            print(unseen)
        for finding in findings:
            print(f"problem: {finding}")
        if not findings:
            print("no problem found")
    return 1 if findings else 0


def _layers(information: dict[str, Any]) -> str:
    """What is known of queries, requests to others and templates on this interpreter, in one sentence."""
    from ..layers import LIBRARIES

    if information["name"] != "sys.monitoring":
        return ("queries, templates and requests to others are seen in deterministic profiles; in sampled ones "
                "the queries of Django and SQLAlchemy (CPython 3.12 has more)")
    monitoring: Any = vars(sys)["monitoring"]
    tools = [monitoring.get_tool(number) for number in (3, 4)]
    bare = "" if "slowlens calls" in tools or "sqlite3" not in sys.modules else (
        "; not sqlite3 and psycopg2 called directly, whose cursors are C: other tools hold the ids of sys.monitoring")
    return f"what {len(LIBRARIES)} libraries ask for is seen, once they are imported{bare}"


def _unseen(store: str) -> str:
    """Why requests that run cannot be noted for others, as each worker does; "": they can. No problem: all else is
    there without."""
    from ..board import board_of

    board = board_of(store)
    board.open()
    if board.core is None:
        board.announce()
    return "" if board.core is not None else (
        f"requests that run, or are killed, cannot be shown: no memory to note them in: {board.why_not}")


def _web_readable(root: str) -> list[str]:
    """Whether a web server may well hand the profiles out."""
    if not root:
        return []
    found = []
    parts = {part.lower() for part in os.path.realpath(root).split(os.sep)}
    public = sorted(parts.intersection(PUBLIC))
    if public:
        found.append(f"the store lies below a folder named {public[0]!r}: a web server may hand it out")
    try:
        if os.stat(root).st_mode & 0o007:
            found.append(f"the store {root} can be read by other users: chmod 700 it")
    except OSError:
        pass
    return found


def _other_profilers() -> list[str]:
    """Tools that were active when we came."""
    found = []
    if sys.getprofile() is not None:
        found.append("another profiler is active in this process (sys.setprofile): on 3.11 there is room for one")
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        for tool in range(6):
            name = monitoring.get_tool(tool)
            if name is not None and not name.startswith("slowlens") and (
                    tool == monitoring.PROFILER_ID or monitoring.get_events(tool)):
                found.append(f"another profiler is active in this process (sys.monitoring, tool {tool}): {name}")
    return found


def _framework() -> list[str]:
    """What the framework's own checks say: by ``manage.py slowlens doctor``, or where DJANGO_SETTINGS_MODULE names
    the settings, which also finds that slowlens is not installed there."""
    name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if name and "django.conf" not in sys.modules:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # as servers do
        try:
            import django

            django.setup()
        except Exception as error:  # whatever the project's modules raise
            return [f"the Django project of {name} (DJANGO_SETTINGS_MODULE) cannot be set up: {error}"]
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return []
    from ..django.checks import check_access, check_setup

    found = [*check_setup(None), *check_access(None)]
    own = ("slowlens.E002", "slowlens.W004", "slowlens.W007")  # doctor looked at store and engine itself
    return [f"{message.id}: {message.msg}" + (f". {message.hint}" if message.hint else "") for message in found
            if message.id not in own]
