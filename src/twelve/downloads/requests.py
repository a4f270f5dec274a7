"""Requests to servers of files: http and https alone, and a say in every redirect."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twelve.version import __version__

_LENGTH = re.compile("[0-9]{1,15}")


class Refused(Exception):
    """This URL does not give the file; another may."""


class Hosts:
    """What is known of the hosts of one run: those that could not be connected to are not asked again.

    Attributes:
        reached: hosts that were connected to; they may be waited for.
        lost: host -> why it could not be connected to.
    """

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self.lost: dict[str, str] = {}


class Unreachable(OSError):
    """No connection to a host.

    Attributes:
        host: with its port.
        before: it was found out earlier in this run, and the host was not asked.
    """

    def __init__(self, host: str, why: str, *, before: bool = False) -> None:
        super().__init__(f"{host} was not reached before in this run, and is not asked again: {why}" if before else why)
        self.host, self.why, self.before = host, why, before


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows at most ten redirects; never to anything but http and https, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        to, of = urlsplit(newurl).scheme, urlsplit(req.full_url).scheme
        if to not in ("http", "https") or (of == "https" and to == "http"):
            raise Refused(f"redirects to {newurl[:200]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Connection(http.client.HTTPConnection):
    """Ends if the answer's headers are not complete ``window`` seconds after the connection is made: the timeout of a
    socket begins anew with every byte, and after every "100 Continue"."""

    window = 60.0
    hosts: Hosts
    _target: str | None = None
    """Where a proxy shall connect to."""
    _late: threading.Event
    _held: socket.socket
    _timer: threading.Timer | None = None

    def set_tunnel(self, host: str, port: int | None = None, headers: Any = None) -> None:
        super().set_tunnel(host, port, headers)
        self._target = f"{host}:{port}" if port else host

    def connect(self) -> None:
        host = self._target or f"{self.host}:{self.port}"
        if why := self.hosts.lost.get(host):
            raise Unreachable(host, why, before=True)
        try:
            super().connect()
        except OSError as error:
            raise Unreachable(host, str(error) or type(error).__name__) from None
        self.hosts.reached.add(host)
        self._held = self.sock.dup()  # TLS takes the socket itself
        self._late = threading.Event()
        self._timer = threading.Timer(self.window, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self._late.set()
        with contextlib.suppress(OSError):
            self._held.shutdown(socket.SHUT_RDWR)

    def getresponse(self) -> http.client.HTTPResponse:
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if not self._late.is_set():
                raise
            response = None
        finally:
            self._stop()
        if response is None or self._late.is_set():
            raise TimeoutError(f"no complete answer within {self.window:g} seconds")
        return response

    def close(self) -> None:
        self._stop()
        super().close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._held.close()


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    """The same for https, from before the handshake on."""


_Make = Callable[[type[_Connection]], Any]


class _Http(urllib.request.HTTPHandler):
    def __init__(self, make: _Make) -> None:
        super().__init__()
        self._make = make

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._make(_Connection), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, make: _Make) -> None:
        super().__init__()
        self._make = make

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._make(_TlsConnection), req)


def opener(window: float, hosts: Hosts) -> urllib.request.OpenerDirector:
    """Opens http and https alone, through the proxies of the environment.

    Args:
        window: seconds that a server may take until its headers are complete.
        hosts: what is known of the hosts of this run.
    """

    def make(kind: type[_Connection]) -> Any:
        def connection(*args: Any, **options: Any) -> _Connection:
            made = kind(*args, **options)
            made.window, made.hosts = window, hosts
            return made

        return connection

    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(make),
        _Https(make),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        Redirects(),
    ):
        made.add_handler(handler)
    return made


def request(url: str, method: str = "GET", **headers: str) -> urllib.request.Request:
    """A request for a file as it is, not packed; underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    agent = {"User-Agent": f"twelve/{__version__}", "Accept-Encoding": "identity"}
    return urllib.request.Request(url, method=method, headers=agent | named)


def stated_length(response: http.client.HTTPResponse) -> int | None:
    """Bytes that a server says it sends; None if it does not say so. Raises Refused where that cannot be."""
    lengths = {each.strip() for each in response.headers.get_all("Content-Length", [])}
    if not lengths or response.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return None
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise Refused(f"the server states no length that can be: {', '.join([length, *lengths])[:60]}")
    return int(length)


def is_page(response: http.client.HTTPResponse) -> bool:
    """Whether a server answers with a web page."""
    return "html" in response.headers.get("Content-Type", "").lower()


def remote_size(url: str, timeout: float = 10.0, *, hosts: Hosts | None = None) -> int | None:
    """What a server says about the size of a file, in bytes; None if it does not answer."""
    hosts = hosts or Hosts()
    try:
        with opener(timeout, hosts).open(request(url, "HEAD"), timeout=timeout) as response:
            return None if is_page(response) else stated_length(response)
    except (OSError, http.client.HTTPException, ValueError, Refused) as error:
        if isinstance(reason := getattr(error, "reason", None), Unreachable):
            hosts.lost[reason.host] = reason.why
        return None
