"""A local HTTP server that serves files as good and as badly as hosts of datasets do."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Served:
    """One file, and how it is served.

    Attributes:
        cuts: for each of the first requests, the byte of the file at which the connection is cut.
        ranges: whether parts can be asked for.
        etag: whether the server says what tells this content from another; ``modified`` replaces it by a time.
        tag_parts: whether it says so of parts too.
        if_range: whether it sends the whole file if that is not the one that the client has a part of.
        total: what Content-Range says of the whole file's length, if not the truth.
        length: what Content-Length says, if not the truth; None in ``headers`` removes a header.
        more: headers that are sent besides those.
        status: answered instead of the file, for each of the first requests.
        location: redirects there.
        pause: seconds before each piece of ``piece`` bytes.
        chunked: send pieces without a length.
        as_part: answer 206 to whoever asks for the whole.
    """

    content: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: bool = True
    if_range: bool = True
    tag_parts: bool = True
    modified: str = ""
    length: int | None = None
    total: str = ""
    headers: dict[str, str | None] = field(default_factory=dict)
    more: list[tuple[str, str]] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    location: str = ""
    pause: float = 0.0
    piece: int = 1 << 16
    chunked: bool = False
    as_part: bool = False


class DownloadServer:
    """``files``: path -> how it is served; ``requests``: (method, path, Range) of every request so far."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.url = ""

    def add(self, path: str, content: bytes, **how: object) -> str:
        """Serve a file; returns its URL."""
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return f"{self.url}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    home: DownloadServer

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(self.path.lstrip("/"))
        self.home.requests.append((self.command, path, self.headers.get("Range", "")))
        served = self.home.files.get(path)
        self.close_connection = True
        if served is None:
            return self._plain(404)
        if served.location:
            return self._plain(302, Location=served.location)
        if served.status and body:
            return self._plain(served.status.pop(0))
        tag = f'"{hashlib.md5(served.content).hexdigest()}"' if served.etag else served.modified
        start, total = 0, len(served.content)
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range", tag) == tag or not served.if_range
        if served.ranges and asked and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                return self._plain(416, Content_Range=f"bytes */{total}")
        self.send_response(206 if start or served.as_part else 200)
        headers: dict[str, str | None] = {"Content-Type": "application/octet-stream"}
        headers |= {"Transfer-Encoding": "chunked"} if served.chunked else {"Content-Length": str(total - start)}
        if served.tag_parts or not start:
            headers |= {"ETag": tag} if served.etag else {"Last-Modified": served.modified} if served.modified else {}
        headers |= {"Content-Range": f"bytes {start}-{total - 1}/{served.total or total}"} if start else {}
        headers |= {"Content-Length": str(served.length)} if served.length is not None else {}
        for name, value in [*(headers | served.headers).items(), *served.more]:
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if body:
            self._send(served, start)

    def _send(self, served: Served, start: int) -> None:
        end = len(served.content)
        if served.cuts:
            end = max(start, served.cuts.pop(0))
        for at in range(start, end, served.piece):
            if served.pause:
                time.sleep(served.pause)
            piece = served.content[at : min(at + served.piece, end)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if served.chunked else piece)
            self.wfile.flush()
        if served.chunked and end == len(served.content):
            self.wfile.write(b"0\r\n\r\n")

    def _plain(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[DownloadServer]:
    """A server on a free port of this machine, until the block ends.

    Args:
        certificate: a file with a key and a certificate for 127.0.0.1; the server then speaks https.
    """
    home = DownloadServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"home": home}))
    server.daemon_threads = True
    home.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield home
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
