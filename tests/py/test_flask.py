"""Flask: extension, factory, configuration, routes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Stored
from programs import fib

flask = pytest.importorskip("flask")

from slowlens.flask import Slowlens  # noqa: E402
from slowlens.options import OptionsError  # noqa: E402


def make(store_path: str, **config: Any) -> Any:
    app = flask.Flask(__name__)
    app.debug = True
    app.config.update(SLOWLENS_STORE=store_path, **config)

    @app.get("/items/<int:n>")
    def item(n: int) -> Any:
        fib(n)
        return {"n": n}

    @app.get("/stream")
    def stream() -> Any:
        @flask.stream_with_context
        def chunks() -> Any:
            for i in range(3):
                fib(5)
                yield str(i)
        return flask.Response(chunks())

    @app.get("/failing")
    def failing() -> Any:
        raise ValueError("mine")

    return app


def test_requests_are_profiled_by_route(store_path: str) -> None:
    app = make(store_path)
    Slowlens(app)
    client = app.test_client()
    assert client.get("/items/5").json == {"n": 5}
    assert client.get("/stream").text == "012"
    with pytest.raises(ValueError, match="mine"):
        client.get("/failing")
    with client.get("/none") as response:  # a body nobody reads ends when it is closed
        assert response.status_code == 404
    stored = Stored(app.extensions["slowlens"])
    rows = {row["path"]: row for row in stored.rows()}
    assert {path: (row["route"], row["status"]) for path, row in rows.items()} == {
        "/items/5": ("/items/<int:n>", 200), "/stream": ("/stream", 200), "/failing": ("/failing", 500),
        "/none": ("[unmatched]", 404)}
    assert rows["/items/5"]["framework"].startswith("Flask ")
    assert any(name.endswith("item") for name in stored.names(rows["/items/5"]["id"]))
    assert "fib" in stored.names(rows["/stream"]["id"])


def test_factory_and_two_apps(store_path: str, tmp_path: Any) -> None:
    extension = Slowlens(slow_ms=1)
    apps = [make(store_path), make(str(tmp_path / "other"))]
    for app in apps:
        extension.init_app(app)
        app.test_client().get("/items/3")
    for app in apps:
        assert len(Stored(app.extensions["slowlens"]).rows()) == 1
    with pytest.raises(RuntimeError, match="already"):
        extension.init_app(apps[0])


def test_wrong_options_fail_at_start(store_path: str) -> None:
    with pytest.raises(OptionsError, match=r"app\.config: unknown option 'slow'"):
        Slowlens(make(store_path, SLOWLENS_SLOW=1))
    with pytest.raises(OptionsError, match="mode"):
        Slowlens(make(store_path, SLOWLENS_MODE="sometimes"))


def test_viewer_follows_debug(store_path: str) -> None:
    app = make(store_path)
    Slowlens(app)
    client = app.test_client()
    client.get("/items/3")
    Stored(app.extensions["slowlens"]).rows()
    assert client.get("/__slowlens__/api/requests").json["requests"][0]["path"] == "/items/3"
    app.debug = False
    assert client.get("/__slowlens__/api/requests").status_code == 404
    assert client.get("/__slowlens__/").status_code == 404


def test_disable_in_the_configuration(store_path: str) -> None:
    app = make(store_path, SLOWLENS_DISABLE="1")
    Slowlens(app)
    assert app.test_client().get("/items/3").json == {"n": 3}
    assert Stored(app.extensions["slowlens"]).rows() == []


def test_flask_command(store_path: str) -> None:
    app = make(store_path)
    Slowlens(app)
    app.test_client().get("/items/3")
    Stored(app.extensions["slowlens"]).rows()
    result = app.test_cli_runner().invoke(args=["slowlens", "list", "--json"])
    assert json.loads(result.output)[0]["path"] == "/items/3"
