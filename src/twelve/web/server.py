"""``twelve serve``: the application on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Collection
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
_LAST = 0.5
"""Seconds for the last replies, which say that there was no time."""


class Server(uvicorn.Server):
    """Told to stop (SIGINT, SIGTERM), it finishes what it accepted and answers 503 to what comes then; told twice, it
    stops at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.stopping:
            super().handle_exit(sig, frame)
        self._service.stop()

    async def on_tick(self, counter: int) -> bool:
        if self._service.stopping and (not self._service.busy_now or time.monotonic() > self._service.stop_by):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(self._give_up())
        await super().shutdown(sockets)
        ending.cancel()

    async def _give_up(self) -> None:
        """End what is not done in time: who waits for an answer is told (by the gate), who does not read is cut off."""
        while (left := self._service.stop_by - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))  # a second signal may bring the end nearer
        self._cut_off(lambda connection: connection.flow.write_paused)
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(_LAST)
        self._cut_off(lambda _: True)

    def _cut_off(self, which: Callable[[H11Protocol], bool]) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and which(connection):
                connection.transport.abort()


class _Alarm:
    """Does something a while after it was set, unless it is called off before."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Set it, if it is not set already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._action)

    def call_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def patient(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself waits for ever for the first lines of a request, and for its reply to be
    taken; this one ends the connection of a client that takes longer, so that neither silent ones nor deaf ones can use
    up all that there may be.
    """

    class Patient(H11Protocol):
        _silent: _Alarm
        _deaf: _Alarm

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._silent = _Alarm(limits.head_seconds, transport.close)
            self._deaf = _Alarm(limits.send_seconds, transport.abort)  # closing would wait for the reply to be taken
            transport.set_write_buffer_limits(high=0)  # so that whatever is not taken pauses the writing
            super().connection_made(transport)
            self._silent.set()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Of a connection that is kept open, uvicorn watches the time until the next request's first byte.
            if self.conn.their_state is h11.IDLE:
                self._silent.set()
            else:
                self._silent.call_off()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._deaf.set()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._deaf.call_off()

        def connection_lost(self, exc: Exception | None) -> None:
            self._silent.call_off()
            self._deaf.call_off()
            super().connection_lost(exc)

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
        http=patient(service.limits),
        limit_concurrency=_CONNECTIONS,
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
    try:
        server.run(sockets=[bound])
    finally:
        if app.state.service.at_work:
            # The model is still at work: it cannot be interrupted, nor taken down under its own thread.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


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
