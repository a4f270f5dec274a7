"""The service in a process of its own: what it accepted it finishes, what comes while it stops it refuses."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
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


def test_names_that_are_listened_to() -> None:
    assert "evil.example" not in allowed("127.0.0.1") and "localhost" in allowed("127.0.0.1")
    assert "box.example" in allowed("0.0.0.0", ["box.example"])
    assert allowed("0.0.0.0") == ()


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
