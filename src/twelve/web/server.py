"""``twelve serve``: runs the application with uvicorn until a stop signal."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Literal

import uvicorn
from fastapi import FastAPI

from twelve.errors import TwelveError
from twelve.predictor.open_index import OpenIndex
from twelve.progress import counted, tell
from twelve.settings import Precision
from twelve.web.access import LOCAL, check_access, is_loopback, public_name
from twelve.web.app import create_app
from twelve.web.limits import Limits
from twelve.web.listening import HOST, PORT, bound
from twelve.web.samples import opening_samples, recorded_samples
from twelve.web.service import Service

_CONNECTIONS = 512
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
        weights: those of the extractor, unless this package has them: a file, ``package:NAME``, ``pretrained`` or
            ``random``.
        precision: see :func:`twelve.load`.
        token: see :func:`twelve.web.app.create_app`. Required if other machines can reach ``host``, or if ``names`` has
            a name that is not one of this machine alone, unless ``no_token`` allows requests without one.
        log_requests: write a line for each request to standard error (the logger ``twelve.requests``): "text" (or True)
            for people, "json" for programs.
        index, regions: see :func:`twelve.web.app.create_app`.

    Raises:
        TwelveError: the model, its extractor or the index cannot be loaded, the port is in use, or a required token is
            missing.
        ThreadLost: a thread of the service has ended.
    """
    from twelve.predictor import load

    check_access(host, PORT if port is None else port, token, no_token=no_token, names=names)
    listener = bound(run, host, port)
    alone = token is None and is_loopback(listener.getsockname()[0]) and public_name(names) is None
    predictor = load(run, weights=weights, device=device, precision=precision)
    samples = recorded_samples(predictor, Path(run)) if alone else ()  # one's own images are shown to nobody else
    app = create_app(
        predictor,
        limits,
        hosts=allowed(host, names),
        token=token,
        no_token=token is None,  # checked above, for the address too
        samples=samples or opening_samples(predictor),
        index=index,
        regions=regions,
    )
    if app.state.service.searching is not None:
        tell(f"{index}: {_to_search(app.state.service.searching.index)}")
    predictor.measure_threads()
    if log_requests:
        lines = logging.StreamHandler()
        lines.setFormatter(_Objects() if log_requests == "json" else _Dated("%(asctime)s %(message)s"))
        logging.basicConfig(handlers=[lines])
        logging.getLogger("twelve.requests").setLevel(logging.INFO)
    app.state.service.warm_up()
    listener.listen(_CONNECTIONS)  # clients can connect as soon as they read the next line
    listening = listener.getsockname()[1]
    if port is None and listening != PORT:
        tell(f"port {PORT} is in use; serving at {listening}")
    print(f"{addresses(host, listening, names)} (ctrl-c stops)", flush=True)
    _run(app, listener)


class ThreadLost(TwelveError):
    """A thread of the service has ended, so that some requests cannot be answered."""

    exit_code = 1


class _Dated(logging.Formatter):
    """Lines that begin with the time and its offset from UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "milliseconds")


class _Objects(_Dated):
    """Lines of JSON: the time, and the fields of a request; of what else is logged, the message."""

    def format(self, record: logging.LogRecord) -> str:
        fields = record.args if isinstance(record.args, dict) else {"message": super().format(record)}
        return json.dumps({"time": self.formatTime(record), **fields})


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
        tell(f"stopped; {counted(self._service.answered, 'request')} answered")


def _run(app: FastAPI, listener: socket.socket) -> None:
    """Reply to requests until SIGINT or SIGTERM."""
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        backlog=_CONNECTIONS,
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


def addresses(host: str, port: int, names: Collection[str] = ()) -> str:
    """Where a service at ``host`` is reached; no browser opens the address that stands for all of a machine's."""
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
