"""One line for each slow request, no more than a reader can follow; and our own troubles, once each.

Nobody has to configure logging: warnings and errors go where Python's last
resort sends them (stderr), and so does the line that says hello.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

__all__ = ["ASKED", "Seldom", "SlowLog", "clean", "counted", "late", "printable", "say_hello", "several", "slow_line"]


class _Late:
    """A logger that is looked up when something is said. ``dictConfig`` and ``fileConfig`` switch off the loggers that
    are there already, unless told otherwise, and apps configure logging after their imports."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(logging.getLogger(self._name), attribute)


def late(name: str) -> Any:
    """The logger of this name, as soon as it is used and not before."""
    return _Late(name)


_slow = late("slowlens.slow")

#: Where the viewer's server is, if that is known: links of lines can then be clicked.
server_url = ""
#: Whether an app of this process is being debugged, so that its viewer opens to this machine.
viewer_is_open = False

#: What a request asks others for, by kind: one of it, and more.
ASKED = {
    "db": ("query", "queries"), "http": ("HTTP request", "HTTP requests"), "cache": ("cache call", "cache calls"),
    "template": ("template", "templates"), "task": ("task", "tasks"), "file": ("file", "files"),
    "process": ("process", "processes"), "rpc": ("call of a service", "calls of services"), "mail": ("mail", "mails"),
    "profile": ("profile within", "profiles within"), "custom": ("span", "spans"),
}

#: So many of a kind are told of however little they took.
OFTEN = 10

BURST = 20.0
PER_SECOND = 2.0
#: The same trouble is said again after so many seconds.
AGAIN = 60.0


def counted(kind: str, count: int) -> str:
    """``1 query``, ``120 queries``."""
    return f"{count} {ASKED.get(kind, (kind, kind))[count != 1]}"


def several(count: int, what: str) -> str:
    """``1 profile``, ``2 profiles``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """``text`` without characters that could forge a line, move a terminal or turn text round."""
    return "".join(char if char.isprintable() else "?" for char in text)


def clean(text: str) -> str:
    """The same of a text that may be of any length: its first 500 characters."""
    return printable(text[:500])


class Seldom:
    """Says the same thing once a minute, or once; and no more than a hundred things."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def say(self, logger: logging.Logger, text: str, *, key: str = "", exc: bool | BaseException = False,
            once: bool = False, level: int = logging.WARNING) -> None:
        """``key``: what makes two texts the same thing. Never raises: handlers are the app's, and may."""
        key = key or text
        now = time.monotonic()
        last = self._said.get(key)
        if last is not None and (once or now - last < AGAIN):
            return
        if last is None and len(self._said) >= 100:
            return
        self._said[key] = now
        try:
            logger.log(level, "%s (said once%s)", text, "" if once else " a minute", exc_info=exc)
        except Exception:
            pass


def say_hello(text: str) -> None:
    """An INFO line that is seen where nobody has configured logging, as warnings are."""
    try:
        # Not asked of our own logger: it would be there from then on, and be switched off by a later dictConfig.
        if "slowlens" in logging.Logger.manager.loggerDict or logging.root.handlers:
            known = logging.getLogger("slowlens").hasHandlers()
        else:
            known = False
        if known:
            logging.getLogger("slowlens").info("%s", text)
        elif sys.stderr is not None:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
    except Exception:
        pass  # a closed stderr is no reason to stop a server


def slow_line(meta: dict[str, Any], said: str, link: str) -> str:
    """``slow: GET /books/<int:pk> 200 812 ms (120 queries 402, cpu 340) 76 % in copy.deepcopy, called by ... LINK``

    What was asked of others comes first, where it took a millisecond or was often: counts are the same on any machine.

    :param said: the headline, which names the line; or the hot path.
    """
    parts = [f"{counted(kind, meta[f'{kind}_count'])} {meta[f'{kind}_ns'] / 1e6:.0f}" for kind in ASKED
             if meta.get(f"{kind}_ns", 0) >= 1_000_000 or meta.get(f"{kind}_count", 0) >= OFTEN]
    parts += [f"cpu {meta['cpu_ns'] / 1e6:.0f}"] if "cpu_ns" in meta else []
    waits = ("run_queue", "throttled", "blocked", "gil_wait") if "blocked_ns" in meta else ("waiting",)
    named = {"run_queue": "cpu wait", "throttled": "of it throttled", "gil_wait": "gil"}
    for name in (*waits, "await", "loop", "gc"):
        if meta.get(name + "_ns", 0) >= 1_000_000:
            parts.append(f"{named.get(name, name)} {meta[name + '_ns'] / 1e6:.0f}")
    route = meta.get("route") or ""
    where = clean(meta["path"] if route[:1] in ("", "[") else route)
    held = ""
    if meta.get("held_ns", 0) > meta["wall_ns"] / 10 and clean(meta["held_by"]) not in clean(said):
        held = f" [event loop held up {meta['held_ns'] / 1e6:.0f} ms by {clean(meta['held_by'])}]"
        if meta.get("held_id") == meta["id"]:
            held = f" [it held the event loop up {meta['held_ns'] / 1e6:.0f} ms in a row]"
    return (
        f"slow: {clean(meta['method'])} {where} {meta['status'] or '-'} {meta['wall_ns'] / 1e6:.0f} ms "
        f"({', '.join(parts)}) {clean(said)}{held} {link}"
    ).rstrip()


class SlowLog:
    """Rate-limited: a burst, then two lines a second; what was left out is counted."""

    def __init__(self) -> None:
        self._budget = BURST
        self._at = time.monotonic()
        self.suppressed = 0

    def write(self, meta: dict[str, Any], summary: dict[str, Any], link: str) -> None:
        """:param summary: of the blob: ``headline``, ``findings``, ``hot_text``."""
        now = time.monotonic()
        self._budget = min(BURST, self._budget + (now - self._at) * PER_SECOND)
        self._at = now
        if self._budget < 1:
            self.suppressed += 1
            return
        self._budget -= 1
        hot = summary.get("hot_text", "")
        line = slow_line(meta, summary.get("headline") or hot, link)
        if self.suppressed:
            line += f" (+{self.suppressed} slow requests not logged)"
            self.suppressed = 0
        extra = {key: value for key, value in meta.items() if not key.startswith("tag.")}
        extra.update((key, summary[key]) for key in ("headline", "findings") if key in summary)
        _slow.warning("%s", line, extra={"slowlens": {**extra, "hot_path": hot}})
