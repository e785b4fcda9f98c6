"""System checks, with ids that stay.

=====  =================================================================
E001   an option is unknown or ill-typed
E002   the store cannot be used (not writable, or open to other users)
E003   the store lies below MEDIA_ROOT or STATIC_ROOT: anyone could read it
W001   the middleware is missing
W002   the middleware is listed twice
W003   the middleware is not the first: what is above it is not profiled
W004   nothing can be recorded on this interpreter, and why
W005   not debugging, and neither ``authorize`` nor ``key`` opens the viewer
W006   slowlens.django is not in INSTALLED_APPS (said by ``slowlens doctor``)
W007   requests are to be sampled, and cannot be here, and why
=====  =================================================================
"""

from __future__ import annotations

import os
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from .. import engine
from ..options import Options, OptionsError, disabled, load
from ..store import open_store
from .middleware import settings_options

MIDDLEWARE = "slowlens.django.ProfilerMiddleware"


def _options() -> Options:
    return load({}, settings_options(), where="settings.SLOWLENS")


@register()
def check_setup(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Options, store, engine and the middleware's place."""
    if disabled():
        return []
    try:
        options = _options()
    except OptionsError as error:
        return [Error(str(error), id="slowlens.E001")]
    return [*_check_middleware(), *_check_installed(), *_check_store(options), *_check_engine(options)]


def _check_middleware() -> list[CheckMessage]:
    listed = list(settings.MIDDLEWARE)
    count = listed.count(MIDDLEWARE) + listed.count("slowlens.django.middleware.ProfilerMiddleware")
    if count == 0:
        return [Warning("slowlens is installed, but nothing is profiled: its middleware is missing",
                        hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.", id="slowlens.W001")]
    if count > 1:
        return [Warning("slowlens is listed twice in MIDDLEWARE", id="slowlens.W002")]
    if not listed[0].startswith("slowlens."):
        return [Warning("slowlens is not the first middleware: what stands above it is not profiled",
                        hint=f"Put {MIDDLEWARE!r} first.", id="slowlens.W003")]
    return []


def _check_installed() -> list[CheckMessage]:
    if apps.is_installed("slowlens.django"):
        return []
    return [Warning("'slowlens.django' is not in INSTALLED_APPS: neither these checks nor manage.py slowlens run there",
                    hint="Add it.", id="slowlens.W006")]


def _check_store(options: Options) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    store = os.path.realpath(options.store)
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        root = getattr(settings, name, None)
        if root and (store + os.sep).startswith(os.path.realpath(root) + os.sep):
            found.append(Error(f"the profiles in {store} lie below {name}: anyone could read them",
                               hint="Set SLOWLENS['store'] elsewhere.", id="slowlens.E003"))
    problem = open_store(options).problem()
    if problem is not None:
        # A database that is away is no reason not to start: profiles wait for it.
        kind = Warning if "://" in options.store else Error
        found.append(kind(f"profiles cannot be stored: {problem}", id="slowlens.E002"))
    return found


def _check_engine(options: Options) -> list[CheckMessage]:
    reason = engine.why_not()
    if reason is not None:
        return [Warning(f"nothing can be recorded now: {reason}", id="slowlens.W004")]
    unsampled = engine.unsampled()
    if unsampled is None or options.mode_word(settings.DEBUG) != "sampling":
        return []
    return [Warning(f"requests are timed, not profiled: sampling cannot be had here: {unsampled}",
                    hint="Allow it, or set SLOWLENS['mode'] to 'deterministic'.", id="slowlens.W007")]


@register(Tags.security, deploy=True)
def check_access(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Who could open the viewer in production: nobody is safe, but perhaps not meant."""
    try:
        options = _options()
    except OptionsError:
        return []
    if not settings.DEBUG and options.authorize is None and options.key is None:
        return [Warning("nobody can open the slowlens viewer: DEBUG is off, and neither 'authorize' "
                        "nor 'key' is set", id="slowlens.W005")]
    return []
