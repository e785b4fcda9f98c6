"""The smallest Flask program under slowlens: ``flask --app flask_app run --debug``.

Why: an extension as Flask knows them; `Slowlens()` and `init_app(app)` do the same in a factory.
Unlike a wrapper around `wsgi_app` it knows the route's template, so `/hello/<name>` is one route, not one a name.
`debug=True` opens the viewer where `flask run` is started without `--debug`, too; else the app's own decides.
"""

from flask import Flask

from slowlens.flask import Slowlens

app = Flask(__name__)
Slowlens(app, debug=True)


@app.get("/hello/<name>")
def hello(name: str) -> dict[str, str]:
    """A greeting as JSON."""
    return {"hello": name}
