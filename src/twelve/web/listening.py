"""The socket that the service listens at. It is bound before anything is loaded, so that a port in use is reported at
once."""

from __future__ import annotations

import contextlib
import errno
import shlex
import socket
from pathlib import Path

from twelve.errors import ConfigError

HOST, PORT = "127.0.0.1", 8012
_TRIED = 20
"""Ports after one in use that are tried."""


def bound(run: str | Path, host: str, port: int | None) -> socket.socket:
    """A socket bound to a port; without one, to the usual port or the next free one.

    Raises:
        ConfigError: the port is in use, or the host is not one of this machine.
    """
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
    found = socket.socket(family)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except BaseException:
        found.close()
        raise
    return found


def _free(host: str, port: int) -> socket.socket:
    """A socket bound to one of the next ports that is free, or to any free one where there is none."""
    for other in range(port + 1, min(port + 1 + _TRIED, 1 << 16)):
        with contextlib.suppress(OSError):
            return _listener(host, other)
    return _listener(host, 0)
