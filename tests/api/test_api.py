"""The viewer's API as it describes itself, under a fuzzer: whatever is asked, the answer is one of those described."""

from __future__ import annotations

import json
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from hypothesis.strategies import integers  # noqa: E402
from schemathesis import checks  # noqa: E402

from slowlens.store import Query  # noqa: E402
from slowlens.wsgi import ProfilerMiddleware  # noqa: E402

BASE = "/__slowlens__/"


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    json.loads("[1, 2]")
    start_response("200 OK", [])
    return [b"x"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A site with profiles in it; every request of a client comes from this machine."""
    middleware = ProfilerMiddleware(app, store=str(tmp_path_factory.mktemp("api") / "store"), debug=True, log=False,
                                    mode="deterministic", c_calls="all")

    def local(environ: dict[str, Any], start_response: Any) -> Any:
        return middleware({**environ, "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}, start_response)

    for number in range(5):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/orders/{number}", "QUERY_STRING": "", "SERVER_NAME": "x",
                   "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        b"".join(local(environ, lambda *ignored: None))
    assert middleware.recorder.writer.flush()
    store = middleware.recorder.store
    return local, store.list(Query()).rows, lambda: store.list(Query())


def operations(site: Any) -> dict[str, Any]:
    schema = schemathesis.openapi.from_wsgi(BASE + "api/openapi.json", site[0])
    found = [result.ok() for result in schema.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


def test_any_request_gets_an_answer_that_is_described(site: Any) -> None:
    found = operations(site)
    assert len(found) > 15 and {"POST /api/delete", "POST /api/pin"} <= set(found)
    statuses: set[int] = set()
    changed: set[tuple[str, int]] = set()
    mine = [row["id"] for row in site[1][1:]]  # the first is for those that only read
    for operation in found.values():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode), chance=integers(0, 3))
            @settings(max_examples=40, deadline=None, derandomize=True, database=None,
                      suppress_health_check=list(HealthCheck))
            def ask(case: Any, chance: int) -> None:
                if "ref" in (case.path_parameters or {}) and chance:  # mostly of a profile that is there
                    case.path_parameters["ref"] = site[1][0]["id"]
                if case.method.upper() == "POST":
                    if chance:  # as the viewer does, mostly of profiles that are there; else as another site would
                        case.headers = {**(case.headers or {}), "X-Slowlens-Viewer": "1"}
                    if chance > 1:
                        one = mine[chance % 2 + (2 if case.path.endswith("pin") else 0)]  # a deleted one has no pin
                        case.query = {**(case.query or {}), "id": one}
                response = case.call()
                if case.method.upper() == "POST":
                    changed.add((case.path.rpartition("/")[2], response.status_code))
                    said = {name.lower(): value for name, value in (case.headers or {}).items()}
                    assert response.status_code != 200 or said.get("x-slowlens-viewer") == "1"
                statuses.add(response.status_code)
                assert response.status_code < 500, response.text
                case.validate_response(response, checks=[
                    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
                    checks.response_schema_conformance])

            try:
                ask()
            except Unsatisfiable:
                pass  # nothing of this operation can be wrong
    assert {200, 400, 404} <= statuses
    assert {("delete", 200), ("delete", 400), ("pin", 200), ("pin", 400)} <= changed, changed
    left = [row["id"] for row in site[2]().rows]
    assert {site[1][0]["id"], *mine[2:]} <= set(left), "nothing else than what was asked for was deleted"
    assert len(left) < len(site[1])
