"""The service in a process of its own: what it accepted it finishes, what comes while it stops it refuses."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import io
import json
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from serving import served
from test_api import png

import twelve.web
from twelve.errors import ConfigError
from twelve.web.server import allowed, serve

# The model is slow to answer here, so that there is something to finish.
_SLOW = """
import sys, time
from twelve.predictor import Predictor
from twelve.web.server import serve
look = Predictor.look
Predictor.look = lambda *a, **k: (time.sleep(2), look(*a, **k))[1]
serve(sys.argv[1], port=0)
"""


def call(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_stops_gracefully(model_folder: Path) -> None:
    with served(model_folder, _SLOW) as (process, address):
        finished: list[int] = []
        sending = threading.Thread(target=lambda: finished.append(call(address, "POST", "/api/scenes", png(1))[0]))
        sending.start()
        while not json.loads(call(address, "GET", "/health")[1])["waiting"]:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        while (status := call(address, "GET", "/health")[0]) == 200:
            time.sleep(0.02)
        refused = call(address, "POST", "/api/scenes", png(2))
        assert status == 503 and refused[0] == 503 and b"stopping" in refused[1]
        sending.join()
        assert finished == [201]
        assert process.wait(30) == 0


def test_head_over_a_connection(model_folder: Path) -> None:
    """As a load balancer asks: the reply ends, and the connection takes the next request."""
    with served(model_folder) as (_, address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, "/health")
            reply = connection.getresponse()
            assert reply.status == 200 and bool(reply.read()) == (method == "GET")
        connection.close()


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="GNU's C library"
)
def test_what_a_large_image_took_is_given_back(model_folder: Path) -> None:
    """36 megapixels, several times: at first the C library gives back block by block, later it keeps them."""
    with served(model_folder) as (process, address):

        def resident() -> int:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) >> 10

        def looked(size: tuple[int, int]) -> None:
            file = io.BytesIO()
            Image.new("RGB", size, (9, 99, 9)).save(file, "PNG")
            name = json.loads(call(address, "POST", "/api/scenes", file.getvalue())[1])["id"]
            assert call(address, "DELETE", f"/api/scenes/{name}")[0] == 204

        looked((320, 240))
        before = resident()
        for _ in range(3):
            looked((6000, 6000))
        until = time.monotonic() + 30
        while resident() > before + 70 and time.monotonic() < until:
            time.sleep(0.5)
        assert resident() <= before + 70, f"{before} MB before, {resident()} MB after"


_BUSY = """
import sys, time
from twelve.predictor import Predictor
from twelve.web.server import serve
from twelve.web.limits import Limits
look = Predictor.look
Predictor.look = lambda *a, **k: (time.sleep(0.02), look(*a, **k))[1]
serve(sys.argv[1], port=0, limits=Limits(last_seconds=20))
"""


def test_none_of_many_busy_clients_is_cut_off(model_folder: Path, tmp_path: Path) -> None:
    """Whoever could connect is answered, in whatever state its connection was."""
    large = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)).save(large, "PNG")
    statuses, failures, ready = Counter[int](), list[str](), threading.Barrier(21)

    def ask(number: int, where: str) -> None:
        connection, sent = http.client.HTTPConnection(where, timeout=60), 0
        image = large.getvalue() if number % 2 else png(number)
        headers = {"Content-Type": "application/octet-stream"}
        if number % 4 > 1:
            headers["Connection"] = "close"
        status = 201
        while status == 201:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:  # nobody listens any more
                break
            try:
                connection.request("POST", "/api/scenes", image, headers)
                reply = connection.getresponse()
                reply.read()
                statuses[status := reply.status] += 1
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                break
            sent += 1
            if sent == 2:
                ready.wait(60)

    with (tmp_path / "log").open("w") as log, served(model_folder, _BUSY, log=log) as (process, address):
        threads = [threading.Thread(target=ask, args=(number, urlsplit(address).netloc)) for number in range(20)]
        for thread in threads:
            thread.start()
        ready.wait(60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        for thread in threads:
            thread.join()
    assert failures == [] and set(statuses) <= {201, 503} and statuses[201] >= 20
    assert (tmp_path / "log").read_text() == ""


# Half of a request's first lines: at once, as the second request of a connection, and a byte at a time.
_HALF = b"POST /api/answer HTTP/1.1\r\nHost: localhost\r\nContent-"
_WHOLE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_IMPATIENT = """
import sys
from twelve.web.limits import Limits
from twelve.web.server import serve
serve(sys.argv[1], port=0, limits=Limits(head_seconds=1))
"""


def test_slow_first_lines_end_the_connection(model_folder: Path) -> None:
    with served(model_folder, _IMPATIENT) as (_, address):
        where = urlsplit(address)
        for sent, dripping in ((b"", False), (_HALF, False), (_WHOLE + _HALF, False), (_HALF, True)):
            with socket.create_connection((where.hostname, where.port), timeout=20) as client:
                client.sendall(sent)
                received, until = b"", time.monotonic() + 15
                client.settimeout(0.2)
                while time.monotonic() < until:
                    try:
                        part = client.recv(65536)
                    except TimeoutError:
                        if dripping:
                            client.sendall(b"x")
                        continue
                    except ConnectionError:
                        break
                    if not part:
                        break
                    received += part
                else:
                    pytest.fail(f"still open after {sent!r}")
                assert received.count(b"HTTP/1.1 200") == sent.count(b"GET")
        with socket.create_connection((where.hostname, where.port), timeout=20) as client:
            for _ in range(3):  # one who asks again and again is not cut off
                client.sendall(_WHOLE)
                received = b""
                while not received.endswith(b"}"):
                    received += (part := client.recv(65536))
                    assert part
                assert received.startswith(b"HTTP/1.1 200")
                time.sleep(0.7)


_SHORT = """
import sys
from twelve.web.limits import Limits
from twelve.web.server import serve
serve(sys.argv[1], port=0, limits=Limits(body_seconds=5, max_bytes=1000))
"""


def test_who_is_answered_early_may_send_on_for_a_while(model_folder: Path) -> None:
    with served(model_folder, _SHORT) as (_, address):
        where = urlsplit(address)
        for closing in (b"", b"Connection: close\r\n"):
            head = b"POST /api/scenes HTTP/1.1\r\nHost: localhost\r\n" + closing
            # Who reads only when all is sent gets the reply.
            with socket.create_connection((where.hostname, where.port), timeout=60) as client:
                client.sendall(head + b"Content-Length: 20000000\r\n\r\n")
                for _ in range(20):
                    client.sendall(bytes(1_000_000))
                assert client.recv(65536).startswith(b"HTTP/1.1 413")
            # Who sends for ever is cut off.
            with socket.create_connection((where.hostname, where.port), timeout=60) as client:
                client.sendall(head + b"Content-Length: 1000000000\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 413")
                until = time.monotonic() + 60
                with contextlib.suppress(ConnectionError):
                    while time.monotonic() < until:
                        client.sendall(b"x")
                        time.sleep(0.2)
                assert time.monotonic() < until


_DEAF = """
import sys
from twelve.web.limits import Limits
from twelve.web.server import serve
serve(sys.argv[1], port=0, limits=Limits(send_seconds=float(sys.argv[2]), stop_seconds=2))
"""
_MUCH = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400


def deaf(address: str) -> socket.socket:
    """A client that asks for more than a connection holds, and reads nothing."""
    where, client = urlsplit(address), socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect((where.hostname, where.port))
    client.sendall(_MUCH)
    return client


def test_who_does_not_read_is_cut_off(model_folder: Path) -> None:
    with served(model_folder, _DEAF, "1") as (_, address), deaf(address) as client:
        client.settimeout(20)
        time.sleep(3)  # until no more fits, and a second more
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(1_000_000):
                received += part
        assert received.count(b"HTTP/1.1 200") < _MUCH.count(b"GET")
        assert call(address, "GET", "/health")[0] == 200


def test_who_does_not_read_does_not_delay_the_end(model_folder: Path, tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, _DEAF, "60", log=log) as (process, address),
        deaf(address),
        deaf(address),
    ):
        time.sleep(2)  # until no more fits
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - start < 50  # they have 60 seconds to read
    assert (tmp_path / "log").read_text() == ""


# The model does not come to an end.
_ENDLESS = """
import sys, time
from twelve.predictor import Predictor
from twelve.web.limits import Limits
from twelve.web.server import serve
Predictor.look = lambda *a, **k: time.sleep(60)
serve(sys.argv[1], port=0, limits=Limits(stop_seconds=1))
"""


def test_what_is_not_done_in_time_is_given_up(model_folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, served(model_folder, _ENDLESS, log=log) as (process, address):
        replies: list[tuple[int, bytes]] = []
        ask = lambda: replies.append(call(address, "POST", "/api/scenes", png(1)))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while json.loads(call(address, "GET", "/health")[1])["waiting"] < 2:
            time.sleep(0.02)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1  # not everything was answered
        assert time.monotonic() - start < 50  # the model takes 60 seconds
        for thread in threads:
            thread.join()
        assert [status for status, _ in replies] == [503, 503] and b"stopping" in replies[0][1]
    assert (tmp_path / "log").read_text() == ""


def test_names_that_are_listened_to() -> None:
    assert "evil.example" not in allowed("127.0.0.1") and "localhost" in allowed("127.0.0.1")
    assert "box.example" in allowed("0.0.0.0", ["box.example"])
    assert allowed("0.0.0.0") == ()
    assert "evil.example" not in allowed("127.0.0.2") != ()


@pytest.mark.parametrize("missing", ["uvicorn", "prometheus_client"])
def test_without_the_extra_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for name in ("server", "app", "service", "metrics", "gate"):
        monkeypatch.delitem(sys.modules, f"twelve.web.{name}", raising=False)
    with pytest.raises(ConfigError, match=rf"needs {missing} -> pip install 'twelve\[web\]'"):
        twelve.web.__getattr__("serve")


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen at"):
            serve(tmp_path, port=taken.getsockname()[1])
