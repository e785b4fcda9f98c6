"""Django: one line in ``MIDDLEWARE``, first in the list.

    MIDDLEWARE = ["slowlens.django.ProfilerMiddleware", ...]

Options: ``SLOWLENS = {"slow_ms": 100}`` in the settings. With
``"slowlens.django"`` in ``INSTALLED_APPS`` there are system checks and
``manage.py slowlens`` too. Sync and async; no models, no migrations.
"""

from __future__ import annotations

from .middleware import ProfilerMiddleware

__all__ = ["ProfilerMiddleware"]
