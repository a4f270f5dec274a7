"""The application: the API, the page, what watches over both."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from twelve.errors import ConfigError
from twelve.predictor import Predictor
from twelve.version import __version__
from twelve.web import problems
from twelve.web.api import routes
from twelve.web.gate import Gate
from twelve.web.limits import Limits
from twelve.web.samples import samples_for
from twelve.web.schemas import Health
from twelve.web.service import Service

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""
_STATIC = Path(__file__).with_name("static")
_FREE = ("/", "/openapi.json", "/health")
"""What can be read without the token, besides the page's files and samples: nothing in it is anybody's."""
_TOKEN = 16
"""Least characters of a token."""


def create_app(
    predictor: Predictor,
    limits: Limits | None = None,
    *,
    hosts: Collection[str] = LOCAL,
    token: str | None = None,
) -> FastAPI:
    """The service on a predictor, as an ASGI application; ``app.state.service`` is what stands behind it.

    Args:
        hosts: names that requests may give the service; empty: any.
        token: what requests must bring as ``Authorization: Bearer``, but for the page's own files, its samples, the
            description and ``/health``; None: nothing.

    Raises:
        ConfigError: the token is none that can be sent, or too short.
        ConfigError, RegionError: the predictor cannot look at images.
    """
    check_token(token)
    _ = predictor.extractor  # what is missing shows now, not when the first image comes
    service = Service(predictor, limits or Limits())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(service.tidy())
        yield
        tidying.cancel()
        await asyncio.to_thread(service.close)

    # No pages of documentation: theirs would load scripts from elsewhere. The description itself is /openapi.json.
    app = FastAPI(
        title="twelve",
        version=__version__,
        summary="Questions about images",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    samples = samples_for(predictor)
    free = {*_FREE, *(f"/{file.name}" for file in _STATIC.iterdir()), *(f"/api/samples/{one.name}" for one in samples)}
    app.add_middleware(Gate, service=service, hosts=hosts, token=token, free=free)
    problems.install(app)
    app.include_router(routes(service, samples))
    _watched(app, service)
    # Not mounted: that would match before an endpoint that is asked with the wrong method.
    app.router.default = _Page(directory=_STATIC, html=True)
    return app


def check_token(token: str | None) -> None:
    """Raise ConfigError for a token that no header can bring, or that can be guessed."""
    if token is None or re.fullmatch(f"[!-~]{{{_TOKEN},}}", token):
        return
    raise ConfigError(
        f"the token is not at least {_TOKEN} letters, digits and signs of ASCII, without spaces",
        remedy="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
    )


class _Page(StaticFiles):
    """The page's files, where no endpoint is."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] in ("GET", "HEAD"):
            return await super().get_response(path, scope)
        await super().get_response(path, {**scope, "method": "HEAD"})  # 404 where there is nothing
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})


def _watched(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> Health:
        """The service accepts requests."""
        return Health(status="ok", waiting=service.waiting, scenes=len(service.scenes))

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **problems.documented(401)},
    )
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def failed(_: Request, error: Exception) -> JSONResponse:
        return problems.reply(500, "something went wrong here", "see the service's log")

    app.add_exception_handler(Exception, failed)
