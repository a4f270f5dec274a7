"""The service in a process of its own: told to stop, it finishes what it accepted."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from PIL import Image
from serving import served
from starlette.testclient import TestClient
from test_api import png
from typer.testing import CliRunner

import twelve.web
from twelve.cli import app as program
from twelve.errors import CheckpointError, ConfigError
from twelve.extras import install
from twelve.web.examples import EXAMPLES
from twelve.web.limits import Limits
from twelve.web.listening import bound
from twelve.web.server import allowed, serve, urls

# The model is slow to answer here, so that there is something to finish.
_SLOW = """
import sys, time
from twelve.predictor import Predictor
from twelve.web.limits import Limits
from twelve.web.server import serve
scene = Predictor.scene
Predictor.scene = lambda *a, **k: (time.sleep(float(sys.argv[2])), scene(*a, **k))[1]
serve(sys.argv[1], port=0, limits=Limits(stop_seconds=float(sys.argv[3])))
"""


def call(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def uploads(address: str, count: int) -> tuple[list[threading.Thread], list[tuple[int, bytes]]]:
    """Clients that send an image each, all of which the service has accepted; their replies."""
    replies: list[tuple[int, bytes]] = []
    ask = lambda number: replies.append(call(address, "POST", "/api/v1/scenes", png(number)))  # noqa: E731
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    while json.loads(call(address, "GET", "/health")[1])["waiting"] < count:
        time.sleep(0.02)
    return threads, replies


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_finishes_what_was_accepted(number: signal.Signals, model_folder: Path, tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, _SLOW, "0.3", "30", log=log) as (process, address),
    ):
        idle = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        idle.request("GET", "/health")
        assert idle.getresponse().read()
        weights = hashlib.sha256((model_folder / "model.safetensors").read_bytes()).hexdigest()
        assert json.loads(call(address, "GET", "/api/v1/model")[1])["digest"] == weights
        assert f'twelve_build_info{{model="{weights}",version="{twelve.__version__}"}} 1.0' in (
            call(address, "GET", "/metrics")[1].decode()
        )
        threads, replies = uploads(address, 10)
        process.send_signal(number)
        with pytest.raises(OSError):
            while True:
                call(address, "GET", "/health")
        for thread in threads:
            thread.join()
        assert [status for status, _ in replies] == [201] * 10
        assert process.wait(30) == (-signal.SIGTERM if number == signal.SIGTERM else 0)
        idle.close()
    assert re.fullmatch(r"stopped; \d+ requests answered\n", (tmp_path / "log").read_text())


def test_head_over_a_connection(model_folder: Path) -> None:
    """As a load balancer asks: the reply ends, and the connection takes the next request."""
    with served(model_folder) as (_, address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, "/health")
            reply = connection.getresponse()
            assert reply.status == 200 and bool(reply.read()) == (method == "GET")
        connection.close()


@pytest.mark.parametrize(("trusted", "scheme"), [(None, "https"), ("10.0.0.1", "http")])
def test_behind_a_proxy_with_tls_addresses_have_its_scheme(
    trusted: str | None, scheme: str, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a proxy that is trusted is believed; it is one on this machine, unless the variable names others."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if trusted:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    with served(model_folder) as (_, address):
        for path in ("/docs", "/api/v1/nothing"):
            for sent, expected in (("https", scheme), (None, "http")):
                connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
                connection.request(
                    "GET", path, headers={"Host": "localhost"} | ({"X-Forwarded-Proto": sent} if sent else {})
                )
                said = connection.getresponse().read().decode()
                connection.close()
                assert {*re.findall("(https?)://localhost", said)} == {expected}, path


@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("bash", "curl", "base64")), reason="needs bash and curl"
)
def test_the_first_question_of_the_page_about_deployment_is_answered() -> None:
    home, token = Path(__file__).parents[2], "a-secret-of-16-characters"
    page = (home / "docs" / "deploy.md").read_text(encoding="utf-8")
    text = page.partition("\n## Open the service with nginx\n")[2].partition("\n### ")[0]
    (command,) = (each for each in re.findall(r"```bash\n(.*?)```", text, flags=re.S) if each.startswith("curl"))
    (begins,) = re.findall(r"```json\n(.*?)\d+,\n```", text, flags=re.S)
    code = "import sys; from twelve.web.server import serve; serve(sys.argv[1], port=0, token=sys.argv[2])"
    with served(home / "examples" / "quickstart-model", code, token) as (_, address):
        run = subprocess.run(
            ["bash", "-c", command.replace("https://$HOST", address)],
            cwd=home,
            env={**os.environ, "TWELVE_TOKEN": token},
            capture_output=True,
            text=True,
            check=True,
        )
    assert run.stdout.startswith(begins) and json.loads(run.stdout)["answer"] == "red"


def test_the_dockerfile_copies_files_of_the_clone_and_starts_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(__file__).parents[2]
    text = (home / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, flags=re.M) for name in line.split()]
    assert copied and all((home / name).exists() for name in copied)
    (started,) = re.findall(r"^ENTRYPOINT (.+)$", text, flags=re.M)
    words = json.loads(started)
    monkeypatch.setenv("TWELVE_TOKEN", "a-secret-of-16-characters")
    run = CliRunner().invoke(program, [*words[1:], "--name", "images.example.org"])
    assert words[0] == "twelve" and "/model: no such folder" in str(run.exception)  # all options are understood
    assert "(../Dockerfile)" in (home / "docs" / "deploy.md").read_text(encoding="utf-8")
    ignored = (home / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*" and {line[1:] for line in ignored if line[0] == "!"} == {
        name.partition("/")[0] for name in copied
    }


def test_the_page_has_every_endpoint(app: FastAPI) -> None:
    text = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", text.partition("## Endpoints")[2].partition("\n## ")[0], flags=re.M)
    shown = re.sub(r"\{\w+\}|\?\w+=NAME", "{}", " ".join(rows).replace("?image=NAME", ""))
    for path, of in app.openapi()["paths"].items():
        for method in of:
            named = re.escape(re.sub(r"\{\w+\}", "{}", path))
            assert re.search(rf"{method.upper()}(`, `[A-Z]+)* {named}`", shown), (method, path)


def test_the_page_has_every_limit_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    text = text.partition("## Limits")[2]
    rows = dict(re.findall(r"^\| [^|]+ \| `(\w+)` \| (.+) \|$", text, flags=re.M))
    factors = {"MB": 1e6, "million": 1e6, "minutes": 60}
    shown = {}
    for name, default in rows.items():
        number, _, unit = default.replace(",", "").partition(" ")
        shown[name] = float(number) * factors.get(unit, 1)
    assert shown == dataclasses.asdict(Limits())


def test_the_page_has_every_metric_with_its_labels(app: FastAPI) -> None:
    text = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
    section = text.partition("## Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|([^|]*)\| .+ \|$", section, flags=re.M)
    name = re.compile(r"`(\w+)`")
    shown = {each: {*name.findall(labels)} for names, labels in rows for each in name.findall(names)}
    TestClient(app).get("/health")
    app.state.service.metrics.batch.observe(1)
    real = TestClient(app).get("/metrics").text
    found: dict[str, set[str]] = {}
    for series in re.findall(r"^# TYPE (\w+) ", real, flags=re.M):
        labels = re.findall(rf"^{series}(?:_count)?(?:{{(.*)}})? ", real, flags=re.M)
        found[series] = {*re.findall(r'(\w+)="', labels[0])}
    assert shown == found and not re.search("_created\\b", real)
    alerts = (Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    used = {each.removesuffix("_bucket") for each in re.findall(r"\btwelve_\w+", alerts)}
    assert used <= found.keys() and used


def test_the_replies_on_the_page_are_those_of_the_examples() -> None:
    text = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    scene, answer = map(json.loads, re.findall(r"```json\n(.*?)```", text, flags=re.S))
    assert [scene | {"id": "ID"}, answer] == [EXAMPLES["SceneReply"], EXAMPLES["AnswerReply"]]
    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    (found,) = map(json.loads, re.findall(r"```json\n(.*?)```", text, flags=re.S))
    assert found == {key: value for key, value in EXAMPLES["SearchReply"].items() if key not in ("task", "digest")}
    (sent,) = re.findall(r"/api/v1/search .*\n  -d '(.*)'", text)
    assert json.loads(sent) == EXAMPLES["SearchRequest"]


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="GNU's C library"
)
def test_what_a_large_image_took_is_given_back(model_folder: Path) -> None:
    """36 megapixels, several times: at first the C library gives back block by block, later it keeps them."""
    with served(model_folder) as (process, address):

        def resident() -> int:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) >> 10

        def uploaded_and_deleted(size: tuple[int, int]) -> None:
            file = io.BytesIO()
            Image.new("RGB", size, (9, 99, 9)).save(file, "PNG")
            name = json.loads(call(address, "POST", "/api/v1/scenes", file.getvalue())[1])["id"]
            assert call(address, "DELETE", f"/api/v1/scenes/{name}")[0] == 204

        uploaded_and_deleted((320, 240))
        before = resident()
        for _ in range(3):
            uploaded_and_deleted((6000, 6000))
        until = time.monotonic() + 30
        while resident() > before + 70 and time.monotonic() < until:
            time.sleep(0.5)
        assert resident() <= before + 70, f"{before} MB before, {resident()} MB after"


def test_what_is_not_done_in_time_is_given_up(model_folder: Path, tmp_path: Path) -> None:
    """The process ends with the step that the model is in, which cannot be interrupted."""
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, _SLOW, "8", "1", log=log) as (process, address),
    ):
        threads, replies = uploads(address, 3)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.poll() is None
        assert [status for status, _ in replies] == [503] * 3
        assert {json.loads(body)["code"] for _, body in replies} == {"stopping"}
        assert process.wait(60) == -signal.SIGTERM
        assert time.monotonic() - start < 15  # the other two would take the model 8 seconds each
    assert "Traceback" not in (tmp_path / "log").read_text()


_LOSING = """
import sys
import twelve.web.server as server
from twelve.cli import main
from twelve.web.limits import Limits
from twelve.web.service import Service
made = server.create_app
server.create_app = lambda predictor, _, **others: made(predictor, Limits(stop_seconds=1), **others)
Service._extracted = lambda *_: sys.exit()
sys.argv = ["twelve", "serve", sys.argv[1], "--port", "0"]
main()
"""


def test_it_ends_by_itself_once_a_thread_has_ended(model_folder: Path, tmp_path: Path) -> None:
    """What supervises it starts it again: Docker and systemd do nothing about a process that replies 500."""
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, _LOSING, log=log) as (process, address),
    ):
        assert call(address, "GET", "/health")[0] == 200
        assert call(address, "POST", "/api/v1/scenes", png(1))[0] == 503
        assert process.wait(60) == 1
    *_, counted, said = (tmp_path / "log").read_text().splitlines()
    assert counted.startswith("stopped; ")
    lost = "the service has lost its thread for images -> start the service again; the lines above say why"
    assert said == f"twelve: {lost}"


def test_who_does_not_read_does_not_delay_the_end(model_folder: Path, tmp_path: Path) -> None:
    much = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, _SLOW, "0", "1", log=log) as (process, address),
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect((urlsplit(address).hostname, urlsplit(address).port))
        client.sendall(much)
        time.sleep(2)  # until no more fits
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert "Traceback" not in (tmp_path / "log").read_text()


_SHORT = """
import sys
from twelve.web.limits import Limits
from twelve.web.server import serve
serve(sys.argv[1], port=0, limits=Limits(max_bytes=1000))
"""


@pytest.mark.parametrize(("kind", "status"), [("image/png", 413), ("text/plain", 415)])
def test_who_is_answered_early_gets_the_reply(kind: str, status: int, model_folder: Path) -> None:
    """Also who reads only when all is sent."""
    with served(model_folder, _SHORT) as (_, address):
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=60) as client:
            client.sendall(b"POST /api/v1/scenes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n")
            client.sendall(f"Content-Type: {kind}\r\n\r\n".encode())
            for _ in range(20):
                client.sendall(bytes(1_000_000))
            assert client.recv(65536).startswith(f"HTTP/1.1 {status}".encode())


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
    with pytest.raises(ConfigError, match=f"needs {missing} -> {re.escape(install('web'))}$"):
        twelve.web.__getattr__("serve")


def test_without_a_port_the_next_free_one_serves(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told when the service listens, not before a check fails."""
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: sockets[0].close())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for module in ("listening", "server"):
            monkeypatch.setattr(f"twelve.web.{module}.PORT", port := taken.getsockname()[1])
        with bound(tmp_path, "127.0.0.1", None) as listener:
            assert listener.getsockname()[1] not in (0, port)
        with pytest.raises(CheckpointError, match="no such folder"):  # not that the port is in use
            serve(tmp_path / "missing")
        for asked in (None, port):
            with pytest.raises(ConfigError, match="no token is set"):
                serve(tmp_path, host="0.0.0.0", port=asked)
        assert capsys.readouterr() == ("", "")
        serve(model_folder)
        out, err = capsys.readouterr()
        found = int(out.removeprefix("http://127.0.0.1:").partition("/")[0])
        assert found not in (0, port) and err == f"port {port} is in use; serving at {found}\n"


def test_the_command_says_at_once_what_it_loads(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = []
    monkeypatch.setattr(twelve.web, "serve", lambda run, **_: served.append(run), raising=False)
    run = CliRunner().invoke(program, ["serve", str(model_folder)])
    assert (run.stdout, run.stderr, served) == ("", f"loading {model_folder}\n", [str(model_folder)])
    run = CliRunner().invoke(program, ["serve", str(model_folder / "none"), "--host", "0.0.0.0"])
    assert run.stderr == "" and "no token is set" in str(run.exception)  # before a model is looked for
    run = CliRunner().invoke(program, ["serve", str(model_folder), "--host", "no.such.host.invalid"])
    assert str(run.exception).startswith("cannot listen at no.such.host.invalid (")


_COMMAND = "import sys; from twelve.cli import main; sys.argv[1:] = ['serve', *sys.argv[1:], '--port', '0']; main()"


def test_requests_are_logged_only_on_demand(model_folder: Path, tmp_path: Path) -> None:
    lines = {}
    for options in ((), ("--log-requests",), ("--log-json",)):
        with (
            (tmp_path / "log").open("w") as log,
            served(model_folder, _COMMAND, *options, log=log) as (process, address),
        ):
            assert call(address, "GET", "/api/v1/scenes/secret?secret")[0] == 404
            assert call(address, "GET", "/health")[0] == call(address, "GET", "/metrics")[0] == 200
            assert call(address, "GET", "/page.js")[0] == 200  # a file of the page is logged only if it fails
            assert call(address, "POST", "/health")[0] == call(address, "POST", "/page.js")[0] == 405
            assert call(address, "GET", "/secret")[0] == 404
            assert call(address, "GET", "/")[0] == 200
            counted = call(address, "GET", "/metrics")[1].decode()
            process.terminate()
            process.wait(60)
            assert process.stdout is not None and process.stdout.read() == ""
        lines[options] = (tmp_path / "log").read_text().splitlines()
    first, last = f"loading {model_folder}", "stopped; 5 requests answered"
    assert lines[()] == [first, last]
    began, *logged, ended = lines["--log-requests",]
    assert (began, ended, len(logged)) == (first, last, 5)  # a probe is logged only if it fails
    dated, named = r"[\d-]{10} [\d:]{8}\.\d{3}[+-]\d\d:\d\d", r"\d+ ms [0-9a-f]{16}"
    assert re.fullmatch(rf"{dated} GET /api/v1/scenes/\{{scene\}} 404 unknown_scene {named}", logged[0])
    assert re.fullmatch(rf"{dated} POST /health 405 wrong_method {named}", logged[1])
    assert re.fullmatch(rf"{dated} POST static 405 wrong_method {named}", logged[2])
    assert re.fullmatch(rf"{dated} GET other 404 unknown_path {named}", logged[3])
    assert re.fullmatch(rf"{dated} GET / 200 {named}", logged[4])
    loading, ready, *told, stopped = map(json.loads, lines["--log-json",])
    assert (loading["event"], loading["message"]) == ("loading", first)
    assert ready["event"] == "ready" and ready["message"] == f"serving at {address}/"
    assert ready["port"] == urlsplit(address).port
    assert (stopped["event"], stopped["message"], stopped["answered"]) == ("stopped", last, 5)
    assert [(each["method"], each["path"], each["status"], each["code"]) for each in told] == [
        ("GET", "/api/v1/scenes/{scene}", 404, "unknown_scene"),
        ("POST", "/health", 405, "wrong_method"),
        ("POST", "static", 405, "wrong_method"),
        ("GET", "other", 404, "unknown_path"),
        ("GET", "/", 200, None),
    ]
    for each in told:
        assert [*each] == ["time", "event", "method", "path", "status", "code", "ms", "id"]
        assert each["event"] == "request" and isinstance(each["ms"], int)
        assert re.fullmatch(dated, each["time"]) and re.fullmatch("[0-9a-f]{16}", each["id"])
    for endpoint, status in (("static", 200), ("static", 405), ("other", 404), ("/metrics", 200), ("/health", 200)):
        assert f'twelve_requests_total{{endpoint="{endpoint}",status="{status}"}} 1.0' in counted


_FAILING = f"""
import logging, warnings
from twelve.web.service import Service
from twelve.progress import tell
loaded = Service.warm_up
def warm_up(service):
    tell("warning: of the program")
    warnings.warn("of a library")
    print("two", "lines", sep=chr(10), file=sys.stderr)
    logging.getLogger("library").error("it failed")
    loaded(service)
Service.warm_up = warm_up
Service.check_threads = lambda _: 1 / 0
{_COMMAND}
"""


def test_every_line_of_a_json_log_is_an_object(model_folder: Path, tmp_path: Path) -> None:
    """Warnings, errors with their tracebacks, and what libraries print."""
    with (
        (tmp_path / "log").open("w") as log,
        served(model_folder, f"import sys\n{_FAILING}", "--log-json", log=log) as (process, address),
    ):
        assert call(address, "GET", "/health")[0] == 500
        process.terminate()
        process.wait(60)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert all([*each][:2] == ["time", "event"] for each in told)
    events = [each["event"] for each in told]
    assert events == [
        *("loading", "warning", "warning", "message", "message", "error", "ready", "request", "error", "stopped")
    ]
    assert told[1]["message"] == "of the program" and "of a library" in told[2]["message"]
    assert [each["message"] for each in told[3:6]] == ["two", "lines", "it failed"]
    assert told[7]["code"] == "internal_error" and "ZeroDivisionError" in told[8]["traceback"]


@pytest.mark.parametrize("words", [["--host", "0.0.0.0"], ["--max-held-bytes", "5000"]])
def test_an_error_at_the_start_is_an_object_too(words: list[str], model_folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TWELVE_TOKEN"}
    started = [sys.executable, "-c", _COMMAND, str(model_folder), "--log-json", *words]
    run = subprocess.run(started, capture_output=True, text=True, check=False, env=environment)
    (told,) = map(json.loads, run.stderr.splitlines())
    assert run.returncode == 2 and run.stdout == "" and told["event"] == "error" and " -> " in told["message"]


def test_the_limits_of_the_command_are_those_of_the_service(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Limits] = []
    monkeypatch.setattr(twelve.web, "serve", lambda _, **named: given.append(named["limits"]), raising=False)
    fields = [field.name for field in dataclasses.fields(Limits)]
    wanted = {name: getattr(Limits(), name) + 1 + number for number, name in enumerate(fields)}
    options = [word for name, value in wanted.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    for words in ([], options):
        run = CliRunner().invoke(program, ["serve", str(model_folder), *words])
        assert run.exit_code == 0, run.output
    assert given == [Limits(), Limits(**wanted)]


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen at") as caught:
            serve(tmp_path, port=taken.getsockname()[1])
        command, _, port = str(caught.value.remedy).rpartition(" --port ")
        assert command == f"choose another port: twelve serve {tmp_path}"
        with socket.socket() as other:
            other.bind(("127.0.0.1", int(port)))


_TAKEN = """
import sys
from twelve.cli import app
try:
    app(["serve", sys.argv[1], "--port", sys.argv[2]], standalone_mode=False)
except Exception as error:
    print("torch" in sys.modules, error)
"""


def test_the_command_finds_a_taken_port_before_it_loads_anything(model_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [sys.executable, "-c", _TAKEN, str(model_folder), str(taken.getsockname()[1])]
        run = subprocess.run(words, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("False cannot listen at 127.0.0.1:") and run.stderr == ""


def test_the_printed_url_is_one_that_others_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    assert urls("127.0.0.1", 8012) == "http://127.0.0.1:8012/"
    assert urls("192.168.0.7", 8012, ["example.org"]) == "http://192.168.0.7:8012/"
    assert urls("::1", 8012) == "http://[::1]:8012/"
    others = {"desk": [], "example.org": ["example.org"]}
    for name, names in others.items():
        for host, here in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]")):
            found = f"http://{here}:8012/ from this machine, http://{name}:8012/ from others"
            assert urls(host, 8012, names) == found
