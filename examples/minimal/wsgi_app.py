"""The smallest WSGI program under slowlens: ``gunicorn wsgi_app:application``."""

import json

from slowlens.wsgi import ProfilerMiddleware


def hello(environ, start_response):
    """Says which path was asked for."""
    body = json.dumps({"path": environ["PATH_INFO"]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


application = ProfilerMiddleware(hello, debug=True)
