"""Whether the extension may be loaded into this interpreter: asked before it is, since loading alone can do harm.

On a free-threaded build, importing an extension that needs the GIL turns the GIL on for the whole process. In a
sub-interpreter its state would be shared with the main one. In both cases the app runs on, unprofiled.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import types
from typing import Any

__all__ = ["opcodes", "refusal", "stand_in"]


def refusal() -> str | None:
    """Why not, in one sentence; None: it may."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (
            "this is a free-threaded CPython, whose GIL slowlens would turn on again for the whole process: "
            "nothing is profiled"
        )
    if not _is_main_interpreter():
        return (
            "slowlens does not run in sub-interpreters: nothing is profiled "
            "(under mod_wsgi set WSGIApplicationGroup %{GLOBAL})"
        )
    return None


def opcodes() -> bytes:
    """What native/look/depths.h is to know of this interpreter's instructions: three times 256 bytes."""
    import dis

    numbers: dict[str, int] = dis._all_opmap  # type: ignore[attr-defined]
    families: dict[str, str] = dis.deoptmap  # type: ignore[attr-defined]
    entries: Any = dis._inline_cache_entries  # type: ignore[attr-defined]
    two_steps = "PRECALL" in numbers
    base, caches, flags = bytearray(256), bytearray([255]) * 256, bytearray(256)
    for name, number in numbers.items():
        plain = families.get(name, name.removeprefix("INSTRUMENTED_"))
        of = dis.opmap.get(plain, 256)
        if number > 255 or of > 255 or plain in ("ENTER_EXECUTOR", "LINE", "INSTRUCTION", "RESERVED"):
            continue  # none of the code's own, or one that hides what it stands for
        base[number] = of
        caches[number] = entries.get(plain, 0) if hasattr(entries, "get") else entries[of]
        flags[number] = sum(bit for bit, holds in (
            (1, of in dis.hasjrel), (2, "BACKWARD" in plain),
            (4, (plain.startswith("JUMP_") and "_IF_" not in plain) or
             plain in ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "INTERPRETER_EXIT")),
            (8, plain == "EXTENDED_ARG"), (16, plain == ("PRECALL" if two_steps else "CALL")),
            (32, plain == "CALL_KW"), (64, plain == "CALL_FUNCTION_EX"), (128, two_steps and plain == "CALL")) if holds)
    return bytes(base + caches + flags)


def _is_main_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # 3.13+, before
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        current, main = module.get_current(), module.get_main()
        if isinstance(current, tuple):  # 3.13+: with where it came from
            current, main = current[0], main[0]
        return int(current) == int(main)
    return True


class _StandIn(types.ModuleType):
    """What is imported instead of the extension: it says why it is not there to whoever asks it for something."""

    EXPORT_FORMATS: tuple[str, ...] = ()
    EXPORTS: tuple[tuple[str, str, str, str, str], ...] = ()

    class CorruptError(ValueError):
        """As the extension's, so that it can be named."""

    class Span:
        """As the extension's where no request is profiled: nothing."""

        def __init__(self, name: Any, kind: Any = None, detail: Any = None, **options: Any) -> None:
            pass

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: Any) -> None:
            pass

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *error: Any) -> None:
            pass

    class Door:
        """What a recorder is, which is never enabled here."""

        enabled = False
        abandoned = 0

        def _rules_are(self, *rules: Any) -> None:
            pass

    class Pulse:
        """What a writer is."""

    class Draw:
        """Which requests speak for all."""

    class Seen:
        """Of no request."""

    class Transaction:
        """There is none."""

    @staticmethod
    def current() -> None:
        """No request is profiled."""

    @staticmethod
    def upcalls(**functions: Any) -> None:
        """Nobody calls them."""

    @staticmethod
    def wsgi_enter(door: Any, app: Any, environ: Any, start_response: Any, middleware: Any) -> Any:
        """The middleware runs the app."""
        return middleware.look_closer(environ, start_response)

    @staticmethod
    def asgi_enter(door: Any, app: Any, scope: Any, receive: Any, send: Any, middleware: Any) -> Any:
        """As wsgi_enter."""
        return middleware.look_closer(scope, receive, send)

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(self.reason)


def stand_in(package: str, reason: str) -> None:
    """From here on ``import slowlens._core`` gives a stand-in that raises ``reason`` (RuntimeError)."""
    sys.modules.setdefault(f"{package}._core", _StandIn(f"{package}._core", reason))
