"""The line at the start of a development server, and where that server is.

Nobody tells a middleware at which address it is served. The usual servers of
development are started by a command that does; where it does not, the first
request from this machine says it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

from . import log
from .options import Options

__all__ = [
    "at_a_terminal", "develops", "greet", "say_what_is_missing", "say_whom_the_command_runs", "server_url",
]

#: command -> (default port, options that name the port, options that name the host, options that name both, variables)
_SERVERS: dict[str, tuple[int, tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, str]]] = {
    "flask": (5000, ("-p", "--port"), ("-h", "--host"), (), ("FLASK_RUN_HOST", "FLASK_RUN_PORT")),
    "uvicorn": (8000, ("--port",), ("--host",), (), ("UVICORN_HOST", "UVICORN_PORT")),
    "fastapi": (8000, ("--port",), ("--host",), (), ("", "")),
    "gunicorn": (8000, (), (), ("-b", "--bind"), ("", "PORT")),
    "hypercorn": (8000, (), (), ("-b", "--bind"), ("", "")),
    "daphne": (8000, ("-p", "--port"), ("-b", "--bind"), (), ("", "")),
    "granian": (8000, ("--port",), ("--host",), (), ("GRANIAN_HOST", "GRANIAN_PORT")),
    "waitress-serve": (8080, ("--port",), ("--host",), ("--listen",), ("", "")),
}
#: Options by which a server listens elsewhere than at a port that the command names: a socket of Unix, a descriptor
#: that somebody else bound, what a file says.
_ELSEWHERE = ("--uds", "--unix-socket", "--fd", "--endpoint", "--config", "--socket-name")
_ELSEWHERE_SHORT = {"gunicorn": ("-c",), "hypercorn": ("-c",), "daphne": ("-u", "-e")}
#: ... and by which it speaks https.
_CERTIFICATES = ("--cert", "--certfile", "--keyfile", "--ssl-certfile", "--ssl-keyfile", "--ssl-certificate")
_greeted: set[tuple[int, str]] = set()


def _option(arguments: Sequence[str], names: tuple[str, ...]) -> str:
    for at, argument in enumerate(arguments):
        for name in names:
            if argument == name and at + 1 < len(arguments):
                return arguments[at + 1]
            if name.startswith("--") and argument.startswith(name + "="):
                return argument[len(name) + 1:]
            if not name.startswith("--") and argument.startswith(name) and not argument.startswith("--"):
                return argument[len(name):]  # -b127.0.0.1:8000
    return ""


def _has(arguments: Sequence[str], names: tuple[str, ...]) -> bool:
    return any(argument.partition("=")[0] in names for argument in arguments)


def _split(address: str, port: int) -> tuple[str, str]:
    host, colon, tail = address.rpartition(":")
    if not colon:
        return ("", address) if address.isdigit() else (address, str(port))
    return host.removeprefix("tcp://").removeprefix("[").removesuffix("]"), tail


def _command(arguments: Sequence[str]) -> str:
    command = os.path.basename(arguments[0]) if arguments else ""
    if command == "__main__.py":  # python -m uvicorn
        command = os.path.basename(os.path.dirname(arguments[0]))
    return command


def server_url(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> str:
    """``http://127.0.0.1:8000``, as the command that runs this process says it; "": it does not."""
    arguments = sys.argv if arguments is None else arguments
    environ = os.environ if environ is None else environ
    if not arguments:
        return ""
    command = _command(arguments)
    rest = list(arguments[1:])
    if command == "gunicorn":
        rest += environ.get("GUNICORN_CMD_ARGS", "").split()
        if os.path.exists("gunicorn.conf.py"):  # it reads this one unasked
            rest.append("--config")
    if "runserver" in rest[:1]:
        given = [one for one in rest[1:] if not one.startswith("-")]
        host, port = _split(given[0], 8000) if given else ("", "8000")
    elif command in _SERVERS:
        if command == "flask" and ("run" not in rest or _watches(rest, environ)):
            return ""
        if _has(rest, _ELSEWHERE + _ELSEWHERE_SHORT.get(command, ())) and not _has(rest, _SERVERS[command][3]):
            return ""
        default, ports, hosts, both, variables = _SERVERS[command]
        bound = _option(rest, both)
        if bound.startswith(("unix:", "fd:")):
            return ""
        host, port = _split(bound, default) if bound else ("", "")
        host = host or _option(rest, hosts) or environ.get(variables[0], "")
        port = port or _option(rest, ports) or environ.get(variables[1], "") or str(default)
    else:
        return ""
    if host in ("", "0", "0.0.0.0", "::"):
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port)) or re.fullmatch(r"[\w.:-]+", host, re.ASCII) is None:
        return ""
    scheme = "https" if _has(rest, _CERTIFICATES) else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _watches(rest: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether this is the process of ``flask run --debug`` that only restarts the other one."""
    debug = "--debug" in rest or environ.get("FLASK_DEBUG", "").lower() in ("1", "true", "yes")
    reload = "--reload" in rest or (debug and "--no-reload" not in rest)
    return reload and environ.get("WERKZEUG_RUN_MAIN") != "true"


def develops(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the command that runs this process is a server of development, or watches its files: then somebody
    develops, whatever ``debug`` is."""
    arguments = sys.argv if arguments is None else arguments
    environ = os.environ if environ is None else environ
    command = _command(arguments)
    rest = arguments[1:]
    if command == "flask":
        return "run" in rest and not _watches(rest, environ)
    return "runserver" in rest[:1] or (
        command in _SERVERS and ("--reload" in rest or (command == "fastapi" and "dev" in rest[:1])))


def at_a_terminal() -> bool:
    """Whether somebody is likely to read what is written to stderr now."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (ValueError, OSError):  # it is closed
        return False


#: How a framework is told that this is development.
_DEBUGGING = {"Flask": "flask run --debug", "Django": "DEBUG = True", "ASGI": "FastAPI(debug=True)"}


def say_what_is_missing(options: Options, framework: str) -> None:
    """To somebody who develops an app that does not say so (FastAPI's ``debug`` is off unless asked for), once."""
    key = (os.getpid(), "")
    if key not in _greeted:
        _greeted.add(key)
        own = _DEBUGGING.get(framework.partition(" ")[0], "the option debug=True")
        log.say_hello(f"slowlens: profiling by {options.mode_word(False)}, viewer closed: the app is not debugging. "
                      f"SLOWLENS_DEBUG=1 (or {own}) opens it to this machine")


def say_whom_the_command_runs(application: object) -> None:
    """``fastapi dev`` and ``fastapi run`` look for the FastAPI object in the module and serve that, without what is
    wrapped around it, or find none."""
    if _command(sys.argv) == "fastapi" and type(application).__name__ == "FastAPI":
        key = (os.getpid(), "fastapi")
        if key not in _greeted:
            _greeted.update((key, (os.getpid(), "")))
            log.say_hello("slowlens: the command fastapi runs the FastAPI object itself, not what is wrapped around "
                          "it: nothing is profiled. Write app.add_middleware(ProfilerMiddleware)")


def greet(options: Options, url: str) -> None:
    """Says once in a process what is done and where it is shown. ``url``: of the server, "" if it is not known."""
    key = (os.getpid(), options.viewer_path)
    if key in _greeted:
        return
    _greeted.add(key)
    log.server_url = url
    log.viewer_is_open = True
    share = "every request" if options.sample_rate >= 1 else f"{options.sample_rate * 100:g} % of the requests"
    mode = "as your function says" if callable(options.mode) else options.mode_word(True)
    text = f"slowlens: profiling {'only what is asked for' if mode == 'off' else f'{share} ({mode})'}"
    log.say_hello(f"{text}; viewer {url}{options.viewer_path}")
