"""``manage.py slowlens ...``: the command line, on the store of the settings."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from ....cli import main
from ....options import load
from ...middleware import settings_options


class Command(BaseCommand):
    """Hands its arguments on as they are."""

    help = "Lists, shows and exports the profiles of this site."
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        store = load({}, settings_options(), where="settings.SLOWLENS").store
        raise SystemExit(main(options["arguments"], store=store))
