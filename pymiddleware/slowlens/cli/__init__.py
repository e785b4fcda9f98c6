"""The command line: ``slowlens list|show|tree|top|export|diff|compare|explain...``; ``slowlens --help`` has all.

Works on a store (``--store``, default the one of the current folder), on a
folder of profile files, or on single files. Errors are one line and exit
status 2; 1 is an answer (``diff --fail-over``, ``doctor``).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__, _core
from ..options import OptionsError
from ..store import StoreError
from . import compare, flame, insight, lines, maintain, mcp, read, replay, run
from .examples import EXAMPLES, FIRST, Help, epilog
from .source import CliError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, store: str | None = None) -> int:
    """Runs one command. ``store``: the default of ``--store``. Returns the exit status."""
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)  # who types the name alone wants to know what there is
        return 2
    options = parser.parse_args(arguments)
    if options.store is None:
        options.store = store
    try:
        return int(options.run(options) or 0)
    except (CliError, StoreError, OptionsError, _core.CorruptError) as error:
        print(f"slowlens: {error}".replace("slowlens: slowlens:", "slowlens:"), file=sys.stderr)
        return 2
    except MemoryError:
        print("slowlens: not enough memory", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"slowlens: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        print(f"slowlens: {type(error).__name__}: {error} (a fault of slowlens; python -X dev shows where)",
              file=sys.stderr)
        return 2


def number(least: int, most: int | None = None) -> Callable[[str], int]:
    """What reads an option that is a number from ``least`` on, up to ``most``."""
    def read(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text}: from {least} " + (f"to {most}" if most is not None else "on"))
        return value

    read.__name__ = "int"  # as argparse calls it in its message
    return read


_STORE = "folder of the profiles, or URL of a store (default: SLOWLENS_STORE, or what the app of this folder has)"
_PROFILE = "id, file, 'last' or 'slowest'"
_SEVERAL = "id, file, folder of files, 'last', 'slowest', or 'route:/path' (its latest profiles)"
_TIMES = ("; or all requests of a time, kept or not: 'last:1h', 'last:1h/1d' (the hour that ended "
          "a day ago), 'release:NAME'")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slowlens", description="Request profiles: list, read, compare, export.",
                                     formatter_class=Help, epilog=epilog(FIRST))
    parser.add_argument("--version", action="version", version=f"slowlens {__version__}")
    parser.add_argument("--store", help=_STORE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, formatter_class=Help,
                                  epilog=epilog(EXAMPLES.get(name, EXAMPLES["top"])))
        sub.set_defaults(run=run)
        sub.add_argument("--store", help=_STORE, default=argparse.SUPPRESS)
        return sub

    def as_json(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="for programs: one JSON document")

    def color(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="auto: in a terminal")

    sub = command("list", read.list_profiles, "Lists profiles, newest first.")
    sub.add_argument("paths", nargs="*", help="profile files or folders of them (default: the store)")
    sub.add_argument("--filter", default="", metavar="WORDS",
                     help="as in the viewer's box: '/books/ 5xx >200ms tag:user=anna last:1h sort:slowest'")
    sub.add_argument("--sort", default="started", help="queries, time or a column, most first (default started)")
    sub.add_argument("--reverse", action="store_true", help="least first")
    sub.add_argument("--route", help="only this route")
    sub.add_argument("--method", help="GET, POST...: only these")
    sub.add_argument("--status", help="404, 5xx or error")
    sub.add_argument("--min-ms", type=float, metavar="MS", help="at least this slow")
    sub.add_argument("--text", help="in path, route or hot path")
    sub.add_argument("--tag", help="with this tag, or with this value of one: key=value")
    sub.add_argument("--mode", choices=("deterministic", "sampling"), help="only those profiled this way")
    sub.add_argument("--host", help="of this machine")
    sub.add_argument("--release", help="of this release")
    sub.add_argument("--finding", help="with this finding")
    sub.add_argument("--limit", type=number(1), help="lines shown, at most (default 30; routes: all)")
    sub.add_argument("--live", action="store_true", help="what runs now, in all processes of the store, longest first")
    sub.add_argument("--follow", action="store_true", help="what is stored from now on, as it comes")
    sub.add_argument("--routes", action="store_true", help="routes with their percentiles instead")
    as_json(sub)

    def shows_tree(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("profile", help=_PROFILE)
        sub.add_argument("--percent", type=float, default=1.0, help="hide what took less (default 1)")
        sub.add_argument("--no-fold", dest="fold", action="store_false",
                         help="show library frames that only pass on, too")
        color(sub)
        as_json(sub)

    shows_tree(command("show", read.show, "Shows one profile: summary and call tree."))
    shows_tree(command("tree", read.tree, "Shows the call tree of one profile."))

    for name, text in (("top", "Shows functions as pstats does."), ("functions", "The same as top.")):
        sub = command(name, read.top, text)
        sub.add_argument("profile", help=_PROFILE)
        sub.add_argument("pattern", nargs="?", help="only functions whose 'file:line(name)' matches this expression")
        sub.add_argument("--sort", default="tottime", choices=read.SORTS, metavar="COLUMN",
                         help=f"{', '.join(read.SORTS)} (default tottime)")
        sub.add_argument("--limit", type=int, default=30, help="lines shown, at most (default 30)")
        sub.add_argument("--callers", action="store_true", help="who called them")
        sub.add_argument("--callees", action="store_true", help="whom they called")
        as_json(sub)

    sub = command("lines", lines.lines, "Shows your functions line by line: hits, time, average (of --mode lines).")
    sub.add_argument("profile", help=_PROFILE)
    sub.add_argument("pattern", nargs="?", help="functions whose 'file:line(name)' matches, anybody's")
    sub.add_argument("--limit", type=int, default=10, help="functions (default 10; 0: all)")
    color(sub)
    as_json(sub)

    sub = command("export", read.export, "Writes one profile for another tool.")
    sub.add_argument("profile", help=_PROFILE)
    sub.add_argument("-f", "--format", default="slowlens", choices=("slowlens", *_core.EXPORT_FORMATS),
                     metavar="FORMAT", help=f"{', '.join(('slowlens', *_core.EXPORT_FORMATS))} (default slowlens)")
    sub.add_argument("-o", "--output", help="file (default: standard output)")

    sub = command("flame", flame.flame, "Shows what all requests of a route, or of the site, did in the last hour.")
    sub.add_argument("what", nargs="?", help="a route as slowlens list --routes shows it, or one profile: id, file, "
                     "'last', 'slowest' (default: the whole site)")
    sub.add_argument("--last", metavar="TIME", help="15m, 1h (default), 7d: all requests that ended then, kept or not")
    sub.add_argument("--release", help="of this release (without --last: whenever)")
    sub.add_argument("--method", help="GET, POST...: only these")
    sub.add_argument("--mode", choices=("deterministic", "sampling"), help="default: what most of them are")
    sub.add_argument("-f", "--format", choices=("text", "slowlens", *_core.EXPORT_FORMATS), metavar="FORMAT",
                     help="as export has them, or text (default: a tree in the terminal, or by the ending of the file)")
    sub.add_argument("-o", "--output", help="file (default: standard output)")
    sub.add_argument("--percent", type=float, default=1.0, help="text: hide what took less (default 1)")
    sub.add_argument("--no-fold", dest="fold", action="store_false",
                     help="text: show library frames that only pass on, too")
    color(sub)
    as_json(sub)

    sub = command("diff", compare.diff, "Compares two profiles, two routes, two times, or all routes of two folders.")
    sub.add_argument("before", help=_SEVERAL + _TIMES)
    sub.add_argument("after", help=_SEVERAL + _TIMES)
    sub.add_argument("--route", help="only this route, of whatever the two sides are")
    sub.add_argument("--fail-over", metavar="PERCENT", type=compare.percentage,
                     help="exit 1 if a route, a function or a call count got worse by more, such as 20%%")
    sub.add_argument("--min-percent", type=float, default=1.0,
                     help="functions below this share of the time are not compared (default 1)")
    sub.add_argument("--limit", type=int, default=20, help="functions shown")
    sub.add_argument("-o", "--output", help="also write what 'after' has more than 'before', as a profile")
    as_json(sub)

    sub = command("compare", insight.compare, "Says what the slow requests of a route do differently.")
    sub.add_argument("route", help="as slowlens list --routes shows it; or with its method: 'GET /books/'")
    sub.add_argument("--slow", help="which are slow: p90 (default: the slowest tenth), p95, 500ms")
    sub.add_argument("--where", action="append", default=[], metavar="KEY=VALUE",
                     help="instead: these (release, host, status, or a tag), beside all others; may be repeated")
    sub.add_argument("--against", action="append", default=[], metavar="KEY=VALUE", help="...beside these")
    sub.add_argument("--tag", metavar="KEY=VALUE", help="the same as --where")
    sub.add_argument("--host", help="the same as --where host=...")
    sub.add_argument("--status", help="the same as --where status=...; 5xx is a class")
    sub.add_argument("--method", help="GET, POST...: only these")
    sub.add_argument("--mode", choices=("deterministic", "sampling"), help="default: what most of them are")
    sub.add_argument("--limit", type=int, default=500, help="the newest so many profiles (default 500)")
    as_json(sub)

    sub = command("explain", insight.explain, "Says why a request or a route is slow: short text, with file and line.")
    sub.add_argument("what", help="id, file, 'last', 'slowest', or a route as slowlens list --routes shows it")
    sub.add_argument("--budget", type=int, default=1500, metavar="TOKENS",
                     help="never longer than this (100 at least), by an estimate of 3 bytes a token (default 1500)")
    sub.add_argument("--json", action="store_true", help="all of it; shapes: slowlens/insight/explain.py")

    sub = command("check", insight.check, "Checks profiles against slowlens.toml; exit 1: a budget is exceeded.")
    sub.add_argument("paths", nargs="*", help="profile files or folders of them (default: the store)")
    sub.add_argument("--file", help="the budgets (default: slowlens.toml here or in a folder above)")
    sub.add_argument("--against", metavar="STORE", help="profiles that diff.* compares with: a folder, or a store's")
    sub.add_argument("--limit", type=int, default=2000, help="the newest so many profiles (default 2000)")
    sub.add_argument("--allow-unknown", action="store_true", help="an assertion that no profile can answer is fine")
    sub.add_argument("--github", action=argparse.BooleanOptionalAction, default=bool(os.environ.get("GITHUB_ACTIONS")),
                     help="mark the lines in GitHub's way (default: in its actions)")
    sub.add_argument("--markdown", metavar="FILE", default=os.environ.get("GITHUB_STEP_SUMMARY"),
                     help="append a table to this file (default: the job's summary on GitHub)")
    as_json(sub)

    sub = command("regressions", insight.regressions, "Says which routes became worse with which release.")
    sub.add_argument("--release", help="only this one (default: the last ten)")
    sub.add_argument("--fail", action="store_true", help="exit 1 if something became worse")
    as_json(sub)

    sub = command("replay", replay.replay, "Asks the running app for the same page again, and says what varied.")
    sub.add_argument("profile", help=_PROFILE)
    sub.add_argument("-n", dest="count", type=number(1), default=20, help="how often (default 20)")
    sub.add_argument("--url", default="http://127.0.0.1:8000", help="where your app is (default http://127.0.0.1:8000)")
    sub.add_argument("--against", metavar="URL", help="and another deployment, to compare with")
    sub.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="sent, too; may be repeated")
    sub.add_argument("--query", help="the query to send: none is stored")
    as_json(sub)

    sub = command("skill", insight.skill, "Writes a file that teaches a coding agent these commands.")
    sub.add_argument("-o", "--output", help="file (default: standard output), such as .claude/skills/slowlens/SKILL.md")

    command("mcp", mcp.serve, "Answers a coding agent over stdio: an MCP server (pip install 'slowlens[mcp]').")

    sub = command("merge", compare.merge, "Adds several profiles up into one.")
    sub.add_argument("profiles", nargs="+", help=_SEVERAL)
    sub.add_argument("-o", "--output", required=True, help="the profile to write")
    sub.add_argument("--limit", type=int, default=100, help="profiles of a route (default 100)")
    as_json(sub)

    sub = command("run", run.run, "Profiles a script: slowlens run [options] script.py arguments...")
    sub.add_argument("--mode", choices=("deterministic", "sampling", "lines"), default="deterministic",
                     help="lines: each line counted and timed, too (default deterministic)")
    sub.add_argument("--c-calls", choices=("chosen", "all", "none"), default="chosen",
                     help="which calls of compiled functions are told (default chosen)")
    sub.add_argument("-o", "--output", help="profile file (default: into the store)")
    sub.add_argument("-m", dest="module", action="store_true", help="the script is the name of a module")
    sub.add_argument("script", help="a Python file")
    sub.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script gets")

    sub = command("serve", maintain.serve, "Serves the viewer on this machine, without any app.")
    sub.add_argument("files", nargs="*", help="profile files or folders of them (default: the store)")
    sub.add_argument("--port", type=number(0, 65535), default=8123, help="of the address (default 8123)")
    sub.add_argument("--bind", default="127.0.0.1", help="address (default 127.0.0.1; nobody is asked for a key)")

    sub = command("delete", maintain.delete, "Deletes profiles.")
    sub.add_argument("profiles", nargs="+", metavar="ID", help="as slowlens list shows them")

    sub = command("copy", maintain.copy, "Copies one store into another, with numbers and trees of all requests; "
                  "again: what is new.")
    sub.add_argument("source", metavar="FROM", help="folder or URL of a store, or a folder of profile files")
    sub.add_argument("target", metavar="TO", help="folder or URL of a store")
    as_json(sub)

    sub = command("gc", maintain.gc, "Deletes what is too old or too much.")
    as_json(sub)

    sub = command("token", maintain.token, "Makes a link that opens the viewer, signed with SLOWLENS_KEY.")
    sub.add_argument("--url", default="http://127.0.0.1:8000", help="where your app is (default http://127.0.0.1:8000)")
    sub.add_argument("--minutes", type=number(1), default=10, help="how long it can be used (default 10)")
    sub.add_argument("--change", action="store_true", help="a link for deleting and pinning too")
    sub.add_argument("--trigger", choices=("deterministic", "sampling", "lines"), nargs="?", const="deterministic",
                     help="instead, the header that has a request profiled this way")

    sub = command("doctor", maintain.doctor, "Says what is wrong with this installation.")
    as_json(sub)
    return parser
