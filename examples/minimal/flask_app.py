"""The smallest Flask program under slowlens: ``flask --app flask_app run --debug``."""

from flask import Flask

from slowlens.flask import Slowlens

app = Flask(__name__)
Slowlens(app, debug=True)


@app.get("/hello/<name>")
def hello(name: str) -> dict[str, str]:
    """A greeting as JSON."""
    return {"hello": name}
