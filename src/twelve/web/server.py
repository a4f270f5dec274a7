"""``twelve serve``: the application on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from twelve.errors import ConfigError
from twelve.progress import tell
from twelve.web.app import LOCAL, check_token, create_app
from twelve.web.limits import Limits
from twelve.web.service import Service

PORT = 8012
_CONNECTIONS = 512
_LAST = 0.5
"""Seconds for the last replies, which say that there was no time."""


class Server(uvicorn.Server):
    """Told to stop (SIGINT, SIGTERM), it finishes what it accepted and answers 503 to what comes then, be it on a
    connection that is open already; told twice, it stops at once."""

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
        await self._answer_the_last(sockets or [])
        await super().shutdown(sockets)
        ending.cancel()

    async def _answer_the_last(self, listeners: Sequence[socket.socket]) -> None:
        """Let in who has connected already, and nobody else. Every reply ends its connection (by the gate); who asks
        nothing for a while is not waited for."""
        loop = asyncio.get_running_loop()
        made: Any = self.config.http_protocol_class
        protocol = partial(made, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        for listener in listeners:
            loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)  # those that were let in a moment ago get their protocol
        connected = list[socket.socket]()
        for listener in listeners:
            with contextlib.suppress(OSError):  # nobody more
                while True:
                    connected.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for connection in connected:
            await loop.connect_accepted_socket(protocol, connection)
        until = time.monotonic() + self._service.limits.last_seconds
        while self.server_state.connections and time.monotonic() < min(until, self._service.stop_by):
            await asyncio.sleep(0.02)

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


class _Lingering:
    """A transport that, closed while the client still sends, reads on for a while and drops what it reads: a connection
    that is closed with something unread is reset, and the client loses the reply."""

    def __init__(self, transport: asyncio.Transport, sending: Callable[[], bool], seconds: float) -> None:
        self._transport, self._sending, self._seconds = transport, sending, seconds
        self._lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingering or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._sending():
            self._transport.close()
            return
        self._lingering = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)


def patient(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself waits for ever for the first lines of a request, for its reply to be taken,
    and for the rest of a body that was answered before its end; this one ends the connection of a client that takes
    longer, so that neither silent ones nor deaf ones can use up all that there may be.
    """

    class Patient(H11Protocol):
        _silent: _Alarm
        _deaf: _Alarm
        _endless: _Alarm

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._silent = _Alarm(limits.head_seconds, transport.close)
            self._deaf = _Alarm(limits.send_seconds, transport.abort)  # closing would wait for the reply to be taken
            self._endless = _Alarm(limits.body_seconds, transport.abort)
            transport.set_write_buffer_limits(high=0)  # so that whatever is not taken pauses the writing
            super().connection_made(_Lingering(transport, self._sending, limits.body_seconds))  # type: ignore[arg-type]
            self._silent.set()

        def _sending(self) -> bool:
            """Whether the client may be sending something that nobody will read."""
            return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._sending():
                self._endless.set()

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            if not self._sending():
                self._endless.call_off()
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
            self._endless.call_off()
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
