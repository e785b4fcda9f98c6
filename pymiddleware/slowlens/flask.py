"""Flask: ``Slowlens(app)``, or ``init_app`` in an app factory.

Options: keywords, or ``app.config["SLOWLENS_<OPTION>"]``. Flask itself is
imported only when an app is handed over.
"""

from __future__ import annotations

from typing import Any

from .recorder import Recorder
from .routing import watch
from .wsgi import ProfilerMiddleware

__all__ = ["Slowlens"]


class Slowlens:
    """Profiles Flask apps; holds no state of any one of them.

    :param app: the one to profile at once; in a factory leave it out, and call :meth:`init_app`.
    :param options: see the page *Options*; they win over ``app.config["SLOWLENS_..."]``.
    :raises OptionsError: a wrong option (in ``init_app``).
    """

    def __init__(self, app: Any = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Any) -> None:
        """Wraps ``app.wsgi_app``.

        :raises RuntimeError: slowlens is set up on this app already.
        :raises OptionsError: a wrong option.
        """
        if "slowlens" in app.extensions:
            raise RuntimeError("slowlens is already set up on this app")
        settings = {
            name[len("SLOWLENS_"):].lower(): value
            for name, value in app.config.items()
            if name.startswith("SLOWLENS_") and name != "SLOWLENS_DISABLE"
        }
        recorder = Recorder(
            self._options, settings, framework=_version(), debug=lambda: bool(app.debug),
            where="app.config",
        )
        if str(app.config.get("SLOWLENS_DISABLE", "")).lower() in ("1", "true", "yes"):
            recorder.enabled = False
        recorder.owns(module=app.import_name)
        app.extensions["slowlens"] = recorder
        app.wsgi_app = ProfilerMiddleware(app.wsgi_app, recorder=recorder)
        watch(app)
        _add_commands(app)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return "Flask " + version("flask")
    except PackageNotFoundError:
        return "Flask"


def _add_commands(app: Any) -> None:
    """``flask slowlens ...`` is the command line, on this app's store."""
    import click

    @app.cli.command(
        "slowlens", context_settings={"ignore_unknown_options": True, "help_option_names": []},
        help="The slowlens command line on this app's store.",
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def slowlens_command(arguments: tuple[str, ...]) -> None:
        from .cli import main

        raise SystemExit(main(list(arguments), store=app.extensions["slowlens"].options.store))
