"""``twelve serve``: runs the application with uvicorn until a stop signal."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import shlex
import socket
from collections.abc import Collection
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from twelve.errors import ConfigError
from twelve.predictor.open_index import OpenIndex
from twelve.progress import counted, tell
from twelve.settings import Precision
from twelve.web.access import check_access, is_loopback
from twelve.web.app import LOCAL, create_app
from twelve.web.limits import Limits
from twelve.web.samples import opening_samples, recorded_samples
from twelve.web.service import Service

HOST, PORT = "127.0.0.1", 8012
_CONNECTIONS = 512
_NAMED = 10
"""Folders of an index that are named."""
_TRIED = 20
"""Ports after one in use that are tried."""


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
    log_requests: bool = False,
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
        token: see :func:`twelve.web.app.create_app`. Required if other machines can reach ``host``, unless ``no_token``
            allows requests without one.
        log_requests: write a line for each request to standard error (the logger ``twelve.requests``).
        index, regions: see :func:`twelve.web.app.create_app`.

    Raises:
        TwelveError: the model, its extractor or the index cannot be loaded, the port is in use, or a required token is
            missing.
    """
    from twelve.predictor import load

    check_access(host, PORT if port is None else port, token, no_token=no_token, names=names)
    bound = _bound(run, host, port)
    alone = token is None and is_loopback(bound.getsockname()[0])
    predictor = load(run, weights=weights, device=device, precision=precision)
    samples = recorded_samples(predictor, Path(run)) if alone else ()  # one's own images are shown to nobody else
    app = create_app(
        predictor,
        limits,
        hosts=allowed(host, names),
        token=token,
        samples=samples or opening_samples(predictor),
        index=index,
        regions=regions,
    )
    if app.state.service.searching is not None:
        tell(f"{index}: {_to_search(app.state.service.searching.index)}")
    predictor.measure_threads()
    if log_requests:
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("twelve.requests").setLevel(logging.INFO)
    app.state.service.warm_up()
    bound.listen(_CONNECTIONS)  # clients can connect as soon as they read the next line
    listening = bound.getsockname()[1]
    if port is None and listening != PORT:
        tell(f"port {PORT} is in use; serving at {listening}")
    print(f"{addresses(host, listening, names)} (ctrl-c stops)", flush=True)
    _run(app, bound)


def _run(app: FastAPI, bound: socket.socket) -> None:
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
            uvicorn.Server(config).run(sockets=[bound])
    finally:
        # The interpreter must not exit while a thread runs torch; a second ctrl-c skips the lifespan's shutdown.
        service.close()


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


def _bound(run: str | Path, host: str, port: int | None) -> socket.socket:
    """A bound socket. It is bound before the model is loaded, so that a port in use is reported at once."""
    asked = PORT if port is None else port
    try:
        return _listener(host, asked)
    except OSError as error:
        reason, remedy = error.strerror or str(error), "choose another port or host"
        if error.errno == errno.EADDRINUSE:
            free = _free(host, asked)
            if port is None:
                return free
            with free:
                words = ["twelve", "serve", str(run), *(() if host == HOST else ("--host", host))]
                remedy = f"choose another port: {shlex.join([*words, '--port', str(free.getsockname()[1])])}"
        raise ConfigError(f"cannot listen at {host}:{asked} ({reason})", remedy=remedy) from None


def _listener(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _free(host: str, port: int) -> socket.socket:
    """A socket bound to one of the next ports that is free, or to any free one where there is none."""
    for other in range(port + 1, min(port + 1 + _TRIED, 1 << 16)):
        with contextlib.suppress(OSError):
            return _listener(host, other)
    return _listener(host, 0)
