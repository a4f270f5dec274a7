"""The ASGI application: API, page, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from twelve import client
from twelve.predictor import Predictor
from twelve.predictor.measured import digest_of
from twelve.predictor.open_index import OpenIndex
from twelve.version import __version__
from twelve.web import problems
from twelve.web.access import LOCAL, check_hosts, check_origin
from twelve.web.api import CLOSED, TAGS, routes
from twelve.web.examples import add_examples
from twelve.web.fields import PREFIX
from twelve.web.gate import METRICS, SAMPLES, STATIC, Gate
from twelve.web.limits import Limits
from twelve.web.reference import reference
from twelve.web.replies import Health
from twelve.web.samples import Sample, samples_for
from twelve.web.service import Service

_ABOUT = (
    f"Upload an image to `{PREFIX}/scenes`, then replace `ID` with the `id` from the reply. Examples use "
    f"`examples/scene.jpg` of the repository; those of `{PREFIX}/search` use an index of "
    "`examples/tutorial/images/mine`. The replies are those of the model `examples/quickstart-model`."
)
_STATIC = Path(__file__).with_name("static")
_FREE = ("/", "/docs", "/client.py", "/openapi.json", "/health")
"""Paths that need no token, besides the page's files and samples: they contain no user's data."""


def create_app(
    predictor: Predictor,
    limits: Limits | None = None,
    *,
    hosts: Collection[str] = LOCAL,
    token: str | None = None,
    no_token: bool = False,
    metrics_token: str | None = None,
    allow_origins: Collection[str] = (),
    samples: Sequence[Sample] = (),
    index: str | os.PathLike[str] | None = None,
    regions: str | os.PathLike[str] | None = None,
) -> FastAPI:
    """The ASGI application that serves a predictor.

    The scores of the model's tasks and the SHA-256 of its weights are read from the folder that the model was loaded
    from.

    Args:
        predictor: what :func:`twelve.load` returns.
        limits: by default, the defaults of :class:`~twelve.web.limits.Limits`.
        hosts: host names that requests may use, except for ``/health``; empty to allow any.
        token: requests must send it as ``Authorization: Bearer TOKEN``, except for the page's own files, its samples,
            ``/docs``, ``/client.py``, ``/openapi.json`` and ``/health``. Two tokens with a space between are both
            accepted, so that you can replace a token. A token is required if ``hosts`` is empty or has a name that is
            not local to this machine, unless ``no_token`` allows requests without a token.
        metrics_token: ``/metrics`` needs this token instead of ``token``; it opens nothing else. Two tokens are
            possible here too.
        allow_origins: origins of other web pages that may use the API, as browsers send them
            (``https://app.example.org``). Requests need the token as always; cookies are not used.
        samples: images to try. Neither the images nor their texts need a token. By default, images that suit the model.
        index: a file that :meth:`twelve.Predictor.search` or ``twelve match --index`` wrote: requests can search its
            images. The file is read once, and never written.
        regions: a region store that has some of these images, by file name. Regions of the other images are extracted.

    Raises:
        DataError: the index is missing, damaged or of another model, or its images are gone.
        ConfigError: a token is too short, cannot be sent in a header, or is required and missing; an origin is invalid,
            or is an origin that any page may have.
        ConfigError, RegionError: the predictor has no extractor for images.
    """
    check_hosts(hosts, token, no_token=no_token, metrics_token=metrics_token)
    for origin in allow_origins:
        check_origin(origin)
    _ = predictor.extractor  # a missing extractor is an error now, not at the first image
    found = None if index is None else OpenIndex(predictor, index, regions)
    service = Service(predictor, limits or Limits(), found)
    folder = predictor.folder
    digest = None if folder is None else digest_of(folder)
    service.metrics.build.info({"version": __version__, "model": digest or ""})
    app = _without_endpoints(service)
    samples = list(samples) or samples_for(predictor)
    problems.install(app)
    for router in routes(service, samples, digest):
        app.include_router(router)
    _add_monitoring(app, service)
    _add_pages(app, service.limits, samples, secured=token is not None)
    paths, json = _described(app, secured=token is not None, own_metrics=metrics_token is not None)
    app.add_middleware(
        Gate,
        service=service,
        hosts=hosts,
        token=token,
        metrics_token=metrics_token,
        free={*_FREE, STATIC, SAMPLES},
        paths=paths,
        json=json,
        files={f"/{file.name}" for file in _STATIC.iterdir()},
        origins=allow_origins,
    )
    return app


def _without_endpoints(service: Service) -> FastAPI:
    """An application that closes its service when it ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(service.tidy())
        yield
        tidying.cancel()
        await asyncio.to_thread(service.close)

    # FastAPI's documentation pages load scripts from other hosts; /docs is web/reference.py.
    app = FastAPI(
        title="twelve",
        version=__version__,
        summary="Questions about images",
        description=_ABOUT,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    return app


def _add_pages(app: FastAPI, limits: Limits, samples: Sequence[Sample], *, secured: bool) -> None:
    """Add what people read: the description of the API, the client's file, and the page."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        url = str(request.base_url).rstrip("/")
        return HTMLResponse(reference(app.openapi(), url, limits, token=secured, samples=samples))

    @app.get("/client.py", include_in_schema=False)
    async def client_file() -> Response:
        return Response(inspect.getsource(client), media_type="text/x-python")

    # A mount would match before the endpoints and hide their 405 replies.
    app.router.default = _Page(directory=_STATIC, html=True)


def _described(app: FastAPI, *, secured: bool, own_metrics: bool) -> tuple[tuple[str, ...], list[str]]:
    """Complete the application's description; its paths, and those of them that take JSON."""
    description = app.openapi()
    _add_summaries(description)
    add_examples(description)
    _add_security(description, required=secured, own_metrics=own_metrics)
    posts = {path: each["post"].get("requestBody", {}) for path, each in description["paths"].items() if "post" in each}
    json = [path for path, body in posts.items() if "application/json" in body.get("content", {})]
    return (*_FREE, *description["paths"]), json


class _Page(StaticFiles):
    """The page's files, for paths that no endpoint matches."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] in ("GET", "HEAD"):
            found = await super().get_response(path, scope)
            found.headers["Cache-Control"] = "no-cache"  # asked for again with the ETag; 304 has no body
            return found
        await super().get_response(path, {**scope, "method": "HEAD"})  # 404 where there is nothing
        raise HTTPException(405, headers={"Allow": "GET"})


def _add_summaries(description: dict[str, Any]) -> None:
    """Make the first line of what is said of an operation its summary."""
    for operation in (each for path in description["paths"].values() for each in path.values()):
        first, _, rest = operation.pop("description").partition("\n\n")
        operation["summary"] = first.rstrip(".")
        if rest:
            operation["description"] = " ".join(rest.split())


def _add_security(description: dict[str, Any], *, required: bool, own_metrics: bool) -> None:
    """Say in the OpenAPI description which paths need the token: those that may reply that it is wrong. A service
    without a token ignores one, so that a client made from its description can send it to others."""
    scheme = {"type": "http", "scheme": "bearer"}
    description["components"]["securitySchemes"] = {"token": scheme}
    for path in description["paths"].values():
        for operation in path.values():
            if "401" in operation["responses"]:
                operation["security"] = [{"token": []}] if required else [{"token": []}, {}]
    if own_metrics:
        description["components"]["securitySchemes"]["metrics_token"] = scheme
        description["paths"][METRICS]["get"] |= {
            "description": "Needs the metrics token, which opens nothing else.",
            "security": [{"metrics_token": []}],
        }


def _add_monitoring(app: FastAPI, service: Service) -> None:
    @app.get(
        "/health",
        tags=["service"],
        response_description="The service works.",
        responses=problems.documented("stopping"),
    )
    async def health() -> Health:
        """Check whether the service works.

        The status is 500 if a thread of the service, such as the one that runs the model, has ended or hangs; only a
        restart helps. It stays 200 while too many requests are waiting. The reply has the number of waiting requests
        and of scenes.
        """
        service.check_threads()
        return Health(status="ok", waiting=service.waiting, scenes=len(service.scenes))

    @app.get(
        METRICS,
        tags=["service"],
        response_description="The metrics.",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **problems.documented(*CLOSED)},
    )
    async def metrics() -> Response:
        """Return metrics in the format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
