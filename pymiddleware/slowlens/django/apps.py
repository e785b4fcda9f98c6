"""App configuration: registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig


class SlowlensConfig(AppConfig):
    """For ``INSTALLED_APPS``; optional."""

    name = "slowlens.django"
    label = "slowlens"
    verbose_name = "slowlens"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers itself)
