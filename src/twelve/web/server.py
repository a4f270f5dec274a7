"""``twelve serve``: runs the application with uvicorn until a stop signal."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from twelve.errors import TwelveError
from twelve.predictor.open_index import OpenIndex
from twelve.progress import counted
from twelve.settings import Precision
from twelve.web.access import LOCAL, check_access, is_loopback, public_name
from twelve.web.app import create_app
from twelve.web.limits import CONNECTIONS, Limits
from twelve.web.listening import HOST, PORT, bound
from twelve.web.log import in_json, logged, say
from twelve.web.samples import opening_samples, recorded_samples
from twelve.web.service import Service

_NAMED = 10
"""Folders of an index that are named."""


def serve(
    run: str | Path,
    *,
    host: str = HOST,
    port: int | None = None,
    names: Collection[str] = (),
    weights: str | None = None,
    device: str = "cpu",
    precision: Precision = "auto",
    limits: Limits | None = None,
    token: str | None = None,
    no_token: bool = False,
    metrics_token: str | None = None,
    allow_origins: Collection[str] = (),
    log_requests: bool | Literal["text", "json"] = False,
    index: str | os.PathLike[str] | None = None,
    regions: str | os.PathLike[str] | None = None,
) -> None:
    """Serve a trained model until SIGINT or SIGTERM.

    Args:
        run: see :func:`twelve.load`.
        host: address to listen at; by default, only this machine can reach it.
        port: by default 8012, or the next free one if that is in use; 0 chooses any free one.
        names: host names that requests may use, besides ``localhost`` and ``host``. If other machines can reach
            ``host``, an empty list allows any.
        weights: of the extractor; needed only if neither this package nor the extra ``sample`` includes them: a file,
            ``package:NAME``, ``pretrained`` or ``random``.
        precision: see :func:`twelve.load`.
        token: see :func:`twelve.web.app.create_app`. Required if other machines can reach ``host``, or if ``names`` has
            a name that is not one of this machine alone, unless ``no_token`` allows requests without one.
        metrics_token, allow_origins: see :func:`twelve.web.app.create_app`.
        log_requests: write a line for each request to standard error (the logger ``twelve.requests``): "text" (or True)
            for people, "json" for programs. With "json", every line is an object, also those of other events, and the
            URL is not printed to standard output.
        index, regions: see :func:`twelve.web.app.create_app`.

    Raises:
        TwelveError: the model, its extractor or the index cannot be loaded, the port is in use, or a required token is
            missing.
        ThreadLost: a thread of the service has ended.
    """
    check_access(
        host,
        PORT if port is None else port,
        token,
        no_token=no_token,
        metrics_token=metrics_token,
        names=names,
        origins=allow_origins,
    )
    listener = bound(run, host, port)
    with logged(log_requests):
        app = _loaded(
            run,
            alone=token is None
            and is_loopback(listener.getsockname()[0])
            and public_name(names) is None
            and not allow_origins,
            weights=weights,
            device=device,
            precision=precision,
            limits=limits,
            hosts=allowed(host, names),
            token=token,
            metrics_token=metrics_token,
            allow_origins=allow_origins,
            index=index,
            regions=regions,
        )
        listener.listen(CONNECTIONS)  # clients can connect as soon as they read the next line
        listening = listener.getsockname()[1]
        if port is None and listening != PORT:
            say("port", f"port {PORT} is in use; serving at {listening}", port=listening)
        url = urls(host, listening, names)
        if in_json():
            say("ready", f"serving at {url}", port=listening)
        else:
            print(f"{url} (ctrl-c stops)", flush=True)
        _run(app, listener)


def _loaded(
    run: str | Path,
    *,
    alone: bool,
    weights: str | None,
    device: str,
    precision: Precision,
    limits: Limits | None,
    hosts: Collection[str],
    token: str | None,
    metrics_token: str | None,
    allow_origins: Collection[str],
    index: str | os.PathLike[str] | None,
    regions: str | os.PathLike[str] | None,
) -> FastAPI:
    """The application, with its model loaded and warm.

    Args:
        alone: whether only the user of this machine can reach it, and no web page of others.
    """
    from twelve.predictor import load

    predictor = load(run, weights=weights, device=device, precision=precision)
    samples = recorded_samples(predictor, Path(run)) if alone else ()  # one's own images are shown to nobody else
    app = create_app(
        predictor,
        limits,
        hosts=hosts,
        token=token,
        no_token=token is None,  # checked before, for the address too
        metrics_token=metrics_token,
        allow_origins=allow_origins,
        samples=samples or opening_samples(predictor),
        index=index,
        regions=regions,
    )
    service: Service = app.state.service
    if service.searching is not None:
        say("index", f"{index}: {_to_search(service.searching.index)}", images=len(service.searching.index))
    predictor.measure_threads()
    service.warm_up()
    return app


class ThreadLost(TwelveError):
    """A thread of the service has ended, so that some requests cannot be answered."""

    exit_code = 1


class _Server(uvicorn.Server):
    """A server that stops when the service has lost a thread, and says when it has stopped: after SIGTERM, nothing runs
    after :meth:`run`."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def on_tick(self, counter: int) -> bool:
        if self._service.lost is not None:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        count = self._service.answered
        say("stopped", f"stopped; {counted(count, 'request')} answered", answered=count)


def _run(app: FastAPI, listener: socket.socket) -> None:
    """Reply to requests until SIGINT or SIGTERM."""
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None if in_json() else LOGGING_CONFIG,  # uvicorn's own handlers write plain lines
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=CONNECTIONS,
        backlog=CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(service.limits.stop_seconds),
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _Server(config, service).run(sockets=[listener])
    finally:
        # The interpreter must not exit while a thread runs torch; a second ctrl-c skips the lifespan's shutdown.
        service.close()
    if service.lost is not None:  # an exit code, so that what supervises the process starts it again
        raise ThreadLost(service.lost, remedy="start the service again; the lines above say why")


def urls(host: str, port: int, names: Collection[str] = ()) -> str:
    """The URL of a service at ``host``, or two; no browser opens the address that stands for all of a machine's."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    local = f"http://[{here}]:{port}/" if ":" in here else f"http://{here}:{port}/"
    if here == host:
        return local
    return f"{local} from this machine, http://{next(iter(names), socket.gethostname())}:{port}/ from others"


def allowed(host: str, names: Collection[str] = ()) -> tuple[str, ...]:
    """Host names that requests to a service at ``host`` may use; empty for any."""
    if host in LOCAL or names or is_loopback(host):
        return (*LOCAL, host, *names)
    return ()


def _to_search(index: OpenIndex) -> str:
    """How many images of which folders can be searched: others than one may expect, since an index keeps the images of
    all searches."""
    named = [f"{folder} ({count:,})" for folder, count in sorted(index.folders.items())]
    more = [f"and {len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
    left = f"; left out, because they are gone or have changed: {index.left_out:,}" if index.left_out else ""
    folders = f"{counted(len(named), 'folder')}: {', '.join([*named[:_NAMED], *more])}"
    return f"{counted(len(index), 'image')} to search, from {folders}{left}"
