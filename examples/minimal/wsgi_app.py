"""The smallest WSGI program under slowlens: ``gunicorn wsgi_app:application``.

Why: whatever is a WSGI app can be wrapped, of any framework or none; the response passes through unchanged.
A profile ends when the server closes the body, so the work of a streamed response is in it.
Each worker of gunicorn writes by a thread of its own, begun after the fork.
"""

import json

from slowlens.wsgi import ProfilerMiddleware


def hello(environ, start_response):
    """Says which path was asked for."""
    body = json.dumps({"path": environ["PATH_INFO"]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


application = ProfilerMiddleware(hello, debug=True)
