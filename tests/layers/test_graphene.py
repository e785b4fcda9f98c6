"""Operations of Graphene by the recipe for graphql-core (docs/howto/routes.md), as graphene-django executes them.

Here and not beside the other frameworks: it wants another graphql-core than they have.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import graphene
import pytest

from slowlens.wsgi import ProfilerMiddleware

sys.path.insert(0, str(Path(__file__).parent.parent / "frameworks"))
from asked import recipe

ASKED = ({"query": "query Book { book }", "operationName": "Book"}, {"query": "{ book }"},
         {"query": "query A { book } query B { book }", "operationName": "B"})


@pytest.mark.parametrize("rate", [1.0, 0.0], ids=["profiled", "only counted"])
def test_operations(rate: float, tmp_path: Path) -> None:
    class Query(graphene.ObjectType):  # type: ignore[misc, name-defined]
        book = graphene.String()

        def resolve_book(self, info: Any) -> str:
            return "x"

    schema = graphene.Schema(query=Query)
    name = recipe("graphql-core")["name_the_operation"]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        asked = json.loads(environ["wsgi.input"].read())
        result = schema.execute(asked["query"], operation_name=asked.get("operationName"), middleware=[name])
        assert result.errors is None, result.errors
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(result.data).encode()]

    site = ProfilerMiddleware(app, store=str(tmp_path / "store"), keep="all", log=False, sample_rate=rate)
    for asked in ASKED:
        answer = site({"REQUEST_METHOD": "POST", "PATH_INFO": "/graphql",
                       "wsgi.input": io.BytesIO(json.dumps(asked).encode())}, lambda *given: None)
        assert json.loads(b"".join(answer)) == {"book": "x"}
    assert site.recorder.writer.flush(30)
    rows = site.recorder.store.numbers()["rows"]  # type: ignore[attr-defined]
    assert sorted(row["route"] for row in rows) == ["query (no name)", "query B", "query Book"]
    assert site.recorder.store.contents()["profiles"] == 3 * rate
