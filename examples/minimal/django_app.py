"""The smallest Django program under slowlens: ``python django_app.py runserver``.

Why: one line in MIDDLEWARE is all, and it goes first, so that the other middlewares are in the profile, too.
DEBUG opens the viewer to this machine; without it nobody is let in until `key` or `authorize` says who.
A project of your own differs in nothing but where these settings stand.
"""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=True,
    SECRET_KEY="only-an-example",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["slowlens.django.ProfilerMiddleware"],
)


def hello(request: HttpRequest, name: str) -> JsonResponse:
    """A greeting as JSON."""
    return JsonResponse({"hello": name})


urlpatterns = [path("hello/<str:name>/", hello)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
