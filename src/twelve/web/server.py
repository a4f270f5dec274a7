"""``twelve serve``: the application on a socket, until it is told to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
from collections.abc import Collection
from pathlib import Path

import uvicorn

from twelve.errors import ConfigError
from twelve.progress import tell
from twelve.web.app import LOCAL, check_token, create_app
from twelve.web.limits import Limits

PORT = 8012
_CONNECTIONS = 512


def serve(
    run: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    names: Collection[str] = (),
    weights: str | None = None,
    device: str = "cpu",
    limits: Limits | None = None,
    token: str | None = None,
    no_token: bool = False,
) -> None:
    """Serve a trained model until SIGINT or SIGTERM.

    Args:
        run: see :func:`twelve.load`.
        host, port: where to listen; by default this machine alone can reach it.
        names: further names that requests may give the service. Where ``host`` is not this machine's own: none means
            any.
        weights: of the extractor, if they came from a file.
        token: see :func:`twelve.web.app.create_app`. Where others than this machine can reach ``host``, there must be
            one, unless ``no_token`` says that whoever can reach it may ask.

    Raises:
        TwelveError: there is no model, its extractor is not at hand, the port is taken, or there is no token where
            there must be one.
    """
    from twelve.predictor import load

    check_token(token)
    if token is not None and no_token:
        raise ConfigError("a token and --no-token", remedy="leave one out (the token may come from TWELVE_TOKEN)")
    bound = _bound(host, port)
    if token is None and not no_token and not _is_loopback(bound.getsockname()[0]):
        bound.close()
        raise ConfigError(
            f"others can reach {host}, and there is no token",
            remedy="set TWELVE_TOKEN to a secret of at least 16 characters, or add --no-token to answer whoever can",
        )
    predictor = load(run, weights=weights, device=device)
    app = create_app(predictor, limits, hosts=allowed(host, names), token=token)
    predictor.measure_threads(tell)
    app.state.service.warm_up()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        backlog=_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(app.state.service.limits.stop_seconds),
    )
    shown = f"[{host}]" if ":" in host else host
    bound.listen(_CONNECTIONS)  # clients can connect as soon as they read the next line
    print(f"http://{shown}:{bound.getsockname()[1]}/ (ctrl-c stops)", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])
    finally:
        # The interpreter must not exit while a thread is inside torch. A second ctrl-c skips the application's own end.
        app.state.service.close()


def allowed(host: str, names: Collection[str] = ()) -> tuple[str, ...]:
    """Names that requests may give a service that listens at ``host``."""
    if host in LOCAL or names or _is_loopback(host):
        return (*LOCAL, host, *names)
    return ()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a name
        return False


def _bound(host: str, port: int) -> socket.socket:
    """A socket at an address; taken before the model is loaded, which takes longer than to say that it is not free."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot listen at {host}:{port} ({reason})", remedy="choose another port or host") from None
    return bound
