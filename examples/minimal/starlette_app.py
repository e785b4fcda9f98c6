"""The smallest Starlette program under slowlens: ``uvicorn starlette_app:app``.

Why: the wrapper stands outside of everything, Starlette's own handler of errors included; FastAPI is the same.
While the request awaits, only what runs for it counts as its CPU; what kept it from going on is named.
`debug=True` says that this is development: Starlette tells only where it was itself made with `debug=True`.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from slowlens.asgi import ProfilerMiddleware


async def hello(request: Request) -> JSONResponse:
    """A greeting that takes its time."""
    await asyncio.sleep(0.01)
    return JSONResponse({"hello": request.path_params["name"]})


app = ProfilerMiddleware(Starlette(routes=[Route("/hello/{name}", hello)]), debug=True)
