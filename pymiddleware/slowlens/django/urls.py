"""The viewer behind a URLconf: ``path("slow/", include("slowlens.django.urls"))``."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from ..viewer.mount import serve
from .middleware import incoming_of, make_recorder, script_name, to_django


@csrf_exempt  # the viewer checks Origin and a header of its own, see viewer/app.py
def viewer(request: Any, rest: str) -> Any:
    """Every page of the viewer; 404 for strangers."""
    incoming = incoming_of(request)
    prefix = incoming.path[: len(incoming.path) - len(rest)] if rest else incoming.path
    recorder = make_recorder()
    granted = recorder.access.grants(incoming) | recorder.access.authorized(request)
    response = serve(recorder, incoming, prefix, script_name(request), granted if granted else None)
    if response is None:
        raise Http404
    return to_django(response)


app_name = "slowlens"
urlpatterns = [re_path(r"^(?P<rest>.*)\Z", viewer, name="viewer")]
