"""The smallest Starlette program under slowlens: ``uvicorn starlette_app:app``.

FastAPI is the same: ``app = ProfilerMiddleware(FastAPI())``.
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
