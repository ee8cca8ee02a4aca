"""The server: which address is answered by what, and by which rules."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from wavenet.errors import WavenetError
from wavenet.studio import models, stack, streaming, training, uploads
from wavenet.studio.safety import Safety
from wavenet.studio.studio import Studio

STATIC = Path(__file__).parent / "static"
# As many as there are connections: none waits for a thread while others compute.
MOST_THREADS = 300


def create_app(studio: Studio, token: str = "") -> Starlette:
    """The studio as an ASGI application.

    `token` is what pages must know, where other machines can reach them; "" where none can.
    """
    studio = replace(studio, report=_surely(studio.report))
    kept, played = uploads.Uploads(), models.Models(studio)

    @asynccontextmanager
    async def until_it_ends(app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_THREADS
        yield
        await run_in_threadpool(played.close)
        kept.close()

    api = [
        *models.routes(played),
        *uploads.routes(kept),
        *streaming.routes(played, kept, studio.report),
        *stack.routes(studio),
        *training.routes(studio),
    ]
    app = Starlette(
        routes=[
            Route("/", _index),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/api", Router(api, redirect_slashes=False)),
        ],
        middleware=[Middleware(Safety, token=token, report=studio.report)],
        exception_handlers={WavenetError: _refused, HTTPException: _failed},
        lifespan=until_it_ends,
    )
    # It would send a page where its Host header says.
    app.router.redirect_slashes = False
    return app


def _surely(report: Callable[[str], None]) -> Callable[[str], None]:
    """A report that ends nothing where it fails, as on a terminal that was closed."""

    def surely(line: str) -> None:
        with suppress(OSError, ValueError):
            report(line)

    return surely


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
