"""``twelve serve``: the application on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection
from pathlib import Path
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from twelve.errors import ConfigError
from twelve.web.app import LOCAL, create_app
from twelve.web.limits import Limits
from twelve.web.service import Service

PORT = 8012
_CONNECTIONS = 512


class Server(uvicorn.Server):
    """Told to stop (SIGINT, SIGTERM), it finishes what it accepted and answers 503 to what comes then; told twice, it
    stops at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service, self._until = service, 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.stopping:
            super().handle_exit(sig, frame)
        self._until = time.monotonic() + self._service.limits.stop_seconds
        self._service.stopping = True

    async def on_tick(self, counter: int) -> bool:
        if self._service.stopping and (not self._service.busy_now or time.monotonic() > self._until):
            self.should_exit = True
        return await super().on_tick(counter)


def patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself waits for ever for the first lines of a request; this one closes the
    connection of a client that takes longer than ``seconds``, so that silent ones cannot use up all that there may be.
    """

    class Patient(H11Protocol):
        _overdue: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Of a connection that is kept open, uvicorn watches the time until the next request's first byte.
            if self.conn.their_state is h11.IDLE:
                self._wait()
            else:
                self._arrived()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._overdue is None:
                self._overdue = self.loop.call_later(seconds, self.transport.close)

        def _arrived(self) -> None:
            if self._overdue is not None:
                self._overdue.cancel()
                self._overdue = None

    return Patient


def make_server(
    service_app: object, service: Service, *, host: str = "127.0.0.1", port: int = PORT, log_level: str = "warning"
) -> Server:
    """A server for :func:`twelve.web.app.create_app`'s application; nothing is logged of what is asked."""
    config = uvicorn.Config(
        service_app,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_level=log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=patient(service.limits.head_seconds),
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(service.limits.stop_seconds)),
    )
    return Server(config, service)


def serve(
    run: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    names: Collection[str] = (),
    weights: str | None = None,
    device: str = "cpu",
    limits: Limits | None = None,
) -> None:
    """Serve a trained model until SIGINT or SIGTERM.

    Args:
        run: see :func:`twelve.load`.
        host, port: where to listen; by default this machine alone can reach it.
        names: further names that requests may give the service. Where ``host`` is not this machine's own: none means
            any.
        weights: of the extractor, if they came from a file.

    Raises:
        TwelveError: there is no model, its extractor is not at hand, or the port is taken.
    """
    from twelve.predictor import load

    bound = _bound(host, port)
    app = create_app(load(run, weights=weights, device=device), limits, hosts=allowed(host, names))
    server = make_server(app, app.state.service, host=host, port=port)
    shown = f"[{host}]" if ":" in host else host
    bound.listen(_CONNECTIONS)  # so that whoever reads the next line may connect at once
    print(f"http://{shown}:{bound.getsockname()[1]}/ (ctrl-c stops)", flush=True)
    server.run(sockets=[bound])


def allowed(host: str, names: Collection[str] = ()) -> tuple[str, ...]:
    """Names that requests may give a service that listens at ``host``."""
    if host in LOCAL or names:
        return (*LOCAL, host, *names)
    return ()


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
