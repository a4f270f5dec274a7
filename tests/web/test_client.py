"""The client of the service, alone in its file, with a service in a process of its own and with scripted replies."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from serving import served
from test_api import png

import twelve
from twelve import client
from twelve.client import Client, RemoteScene, RequestError
from twelve.predictor import Predictor, Scene

HOME = Path(__file__).parents[2]
_SEARCHED = (
    "import sys; from twelve.web.server import serve; serve(sys.argv[1], port=0, index=sys.argv[2], token=sys.argv[3])"
)


def test_the_python_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = (HOME / "docs" / "http-api.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
    monkeypatch.chdir(HOME)
    monkeypatch.setenv("TWELVE_TOKEN", token := "a-secret-of-16-characters")
    model, index = HOME / "examples" / "quickstart-model", tmp_path / "vectors"
    twelve.load(model).search("examples/tutorial/images/mine", "a green boat", index=index)
    with served(model, _SEARCHED, str(index), token) as (_, address):
        names: dict[str, Any] = {}
        exec(code.replace("http://127.0.0.1:8012", address), names)  # our own page
        assert names["service"].thumbnail(names["each"]["image"]).startswith(b"\xff\xd8\xff")  # a JPEG file
    first, answers, error, *found = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"red \(9\d%\)", first) and answers == "['red', 'yes']"
    assert error.startswith("invalid_input [{'path': 'phrase', 'message': ")
    assert len(found) == 3 and re.fullmatch(r"08\.jpg \(5\d%\)", found[0])


def test_every_method_replies_as_the_service_does(model_folder: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    with served(model_folder) as (_, address):
        service = Client(address + "/")
        with service.scene(str(tmp_path / "1.png")) as left, service.scene(tmp_path / "2.png") as right:
            assert (left.width, left.height, len(left.boxes)) == (160, 128, len(left.labels))
            assert left.warnings == service.get(f"/api/v1/scenes/{left.id}")["warnings"] == []
            asked = left.answer(["what?", "which colour?"])
            assert [each["text"] for each in asked] == ["what?", "which colour?"]
            assert asked[1] == left.answer("which colour?")
            assert left.answer("what?", task="gqa")["task"] == "gqa"
            assert left.locate("a cup", threshold=1.0)["box"] is None and left.entails(["a cup"])[0]["label"]
            boxes = left.boxes[:2]
            assert left.choose("which?", boxes)["box"] in boxes and left.guess([("a cup?", "no")], boxes)["index"] < 2
            turn = {"question": "a cup?", "answer": "no"}
            assert left.guess([turn], boxes) == left.guess([("a cup?", "no")], boxes)
            assert left.depends("what?")["value"] == asked[0]["answer"]
            assert left.ask("answer", "what?", task="vqa") == asked[0]
            assert service.verify(left, right, "both")["verdict"] in (True, False)
            assert len(service.match([left, right], ["a cup"])["captions"][0]["images"]) == 2
            with pytest.raises(RequestError, match=r"^text 2 of 3: question: expected a string") as refused:
                left.answer(["what?", "", "which?"])
            assert refused.value.code == "invalid_input" and refused.value.fields[0]["path"] == "question"
            with pytest.raises(RequestError) as refused:
                service.search("a cup")
            assert (refused.value.code, refused.value.status) == ("no_index", 409)
            assert {"answer", "verify"} <= service.model()["methods"].keys()
            name = right.id
        with pytest.raises(RequestError) as gone:
            service.post("/api/v1/answer", {"image": {"scene": name}, "question": "what?"})
        assert gone.value.code == "unknown_scene"  # deleted with the end of the block
        left.delete()  # twice does no harm


def test_images_may_be_paths_and_bytes_which_are_deleted_after_the_reply(model_folder: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    one, other = str(tmp_path / "1.png"), tmp_path / "2.png"
    with served(model_folder) as (_, address):
        service = Client(address)
        with service.scene(one) as left, service.scene(other) as right:
            verified = service.verify(left, right, "both")
            matched = service.match([left, right], ["a cup"])
            assert service.verify(one, other, "both") == service.verify(left, png(2), "both") == verified
            assert service.match([one, png(2)], "a cup") == service.match((left, other), ["a cup"]) == matched
            assert service.match(one, "a cup") == service.match([left], ["a cup"])
            assert (measured := left.depends("both", method="verify", right=right))["sides"]
            assert left.depends("both", method="verify", right=other) == measured
            for wrong in (7, None, left.sent):
                expected = f"^expected a scene, a path or the bytes of a file, found {type(wrong).__name__}$"
                for call in (
                    lambda wrong=wrong: service.verify(one, wrong, "both"),
                    lambda wrong=wrong: service.match([one, wrong], "a cup"),
                    lambda wrong=wrong: service.match(wrong, "a cup"),
                ):
                    with pytest.raises(TypeError, match=expected):
                        call()
            with pytest.raises(TypeError, match=r"^expected a path or the bytes of a file, found RemoteScene$"):
                service.scene(left)  # type: ignore[arg-type]
            with pytest.raises(FileNotFoundError, match=r"gone\.png"):
                service.match([one, tmp_path / "gone.png"], "a cup")
            assert service.get("/health")["scenes"] == 2  # left and right


def test_methods_have_the_arguments_of_the_python_api() -> None:
    def arguments(method: Any) -> list[str]:
        taken = inspect.signature(method).parameters.values()
        return [each.name for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD]

    names = ("answer", "locate", "entails", "choose", "guess", "depends", "ask")
    pairs = [(RemoteScene, Scene, name) for name in names]
    pairs += [(Client, Predictor, "scene"), (Client, Predictor, "verify"), (Client, Predictor, "match")]
    for remote, local, name in pairs:
        assert arguments(getattr(remote, name)) == arguments(getattr(local, name)), name


def test_an_image_that_is_no_longer_stored_is_sent_again_once(model_folder: Path) -> None:
    with served(model_folder) as (_, address):
        service = Client(address)
        left, right = service.scene(png(1)), service.scene(png(2))
        before = left.answer("what?")
        names = {left.id, right.id}
        left.delete()
        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(left.answer, ["what?"] * 4)] == [before] * 4
        assert left.id not in names and right.id in names
        left.delete()
        right.delete()
        assert service.verify(left, right, "both")["verdict"] in (True, False)
        assert service.get("/health")["scenes"] == 2
        left.delete()
        kept = right.id
        assert service.verify(left, right, "both")["verdict"] in (True, False)
        assert right.id == kept and service.get("/health")["scenes"] == 2  # only what was lost is sent again


def test_a_scene_that_cannot_be_deleted_does_not_cost_the_reply(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service deletes it in time."""
    with served(model_folder) as (_, address):
        service, request = Client(address), Client.request

        def refusing(self: Client, method: str, path: str, body: Any = None) -> bytes:
            if method == "DELETE":
                raise RequestError("busy", code="busy")
            return request(self, method, path, body)

        expected = service.match(deque([png(1), png(2)]), "a cup")
        monkeypatch.setattr(Client, "request", refusing)
        assert service.match([png(1), png(2)], "a cup") == expected
        with pytest.raises(RequestError, match="busy"):
            service.scene(png(1)).delete()


def test_every_endpoint_that_asks_has_a_method(app: FastAPI) -> None:
    asking = {path.rpartition("/")[2] for path, of in app.openapi()["paths"].items() if "post" in of}
    assert asking - {"scenes"} == {
        name for name in asking if callable(getattr(RemoteScene, name, None) or getattr(Client, name, None))
    }


def test_the_file_works_alone(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_bytes(Path(client.__file__).read_bytes())
    code = "import client, sys; client.Client('http://x'); print('twelve' in sys.modules)"
    run = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [{str(tmp_path)!r}]; {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "False\n"


class _Scripted(BaseHTTPRequestHandler):
    """Sends replies that were prepared: status, headers, body."""

    replies: list[tuple[int, dict[str, str], str]]
    got: list[tuple[str | None, str | None]]

    def do_POST(self) -> None:
        self.got.append((self.headers["Authorization"], self.headers["Content-Type"]))
        self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, body = self.replies.pop(0)
        self.send_response(status)
        for each in headers.items():
            self.send_header(*each)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def scripted(*replies: tuple[int, dict[str, str], str]) -> Iterator[tuple[str, type[_Scripted]]]:
    class Handler(_Scripted): ...

    Handler.replies, Handler.got = list(replies), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler
    finally:
        server.shutdown()
        server.server_close()


SLOW = '{"code": "too_slow", "error": "too long", "remedy": "ask less", "fields": null}'
CLOSED = '{"code": "unauthorized", "error": "the token is wrong", "remedy": "send the header", "fields": null}'
BUSY = (429, {"Retry-After": "7"}, '{"code": "busy", "error": "too many", "remedy": "wait", "fields": null}')


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    monkeypatch.setenv("TWELVE_TOKEN", "")
    return seconds


def test_a_busy_service_is_asked_again_later_each_time(waited: list[float]) -> None:
    with scripted(BUSY, (200, {}, '{"answer": "red"}')) as (address, got):
        assert Client(address).post("/api/v1/answer", {}) == {"answer": "red"}
        assert len(waited) == 1 and 7 <= waited[0] <= 10.5
        assert got.got == [(None, "application/json")] * 2  # an empty token is none
    waited.clear()
    with scripted(*[BUSY] * 7) as (address, _), pytest.raises(RequestError, match=r"^too many -> wait$") as refused:
        Client(address).post("/api/v1/answer", {})
    assert (refused.value.code, refused.value.status) == ("busy", 429)
    least = [7, 7, 7, 8, 16, 32]  # at least Retry-After, then twice as long each time
    assert len(waited) == len(least)
    assert all(low <= seconds <= 1.5 * low for low, seconds in zip(least, waited, strict=True))
    assert len({seconds / low for low, seconds in zip(least, waited, strict=True)}) == 6  # clients disperse


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((502, {"Content-Type": "text/html"}, "<html>"), r"^HTTP Error 502: Bad Gateway$"),
        ((502, {"Content-Type": "application/json"}, "[]"), r"^HTTP Error 502: Bad Gateway$"),
        ((502, {"Content-Length": "99"}, '{"code": '), r"^HTTP Error 502: Bad Gateway$"),
        (
            (401, {}, CLOSED),
            r"^the token is wrong -> pass the token of .* as token=\.\.\., or set .* TWELVE_TOKEN$",
        ),
        ((504, {"Retry-After": "10"}, "{}"), r"^HTTP Error 504: Gateway Timeout$"),
        ((503, {"Retry-After": "5"}, SLOW), "^too long -> ask less$"),
        ((200, {}, "<html>"), r"replied with something else than the service's JSON$"),
        ((200, {}, "[1]"), r"replied with something else than the service's JSON$"),
    ],
)
def test_what_is_not_sent_again(waited: list[float], reply: tuple[int, dict[str, str], str], message: str) -> None:
    with scripted(reply) as (address, _), pytest.raises(RequestError, match=message) as refused:
        Client(address).post("/api/v1/scenes", b"image")
    assert refused.value.code == {"^too": "too_slow", "^the": "unauthorized"}.get(message[:4], "") and not waited


def test_the_token_is_not_sent_to_where_a_server_redirects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWELVE_TOKEN", "of-the-environment")
    with scripted((200, {}, "{}")) as (other, thief):
        for status in (301, 302, 303, 307, 308):
            with scripted((status, {"Location": f"{other}/x"}, "")) as (address, got):
                with pytest.raises(RequestError, match=rf"^HTTP Error {status}.* -> use the URL {other}/x$"):
                    Client(address, "given\n").post("/api/v1/answer", {})
                assert got.got == [("Bearer given", "application/json")]
        assert not thief.got
        Client(other).post("/api/v1/answer", {})
        assert thief.got == [("Bearer of-the-environment", "application/json")]


def test_the_manual_names_the_exceptions_of_wrong_arguments(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    told = " ".join(manual.partition("Only wrong arguments raise")[2].partition("\n- ")[0].partition("```")[0].split())
    with pytest.raises(ValueError) as url:
        Client("127.0.0.1:8012")
    with pytest.raises(OSError) as path:
        Client("http://127.0.0.1:8012").scene(tmp_path / "gone.png")
    for raised in (url, path):
        assert f"`{raised.type.__name__}`" in told and not issubclass(raised.type, RequestError)


def test_no_reply_and_wrong_arguments(waited: list[float]) -> None:
    with scripted() as (address, _):
        pass
    with pytest.raises(
        RequestError, match=rf"^no reply from {address}: Connection refused -> check the URL"
    ) as refused:
        Client(address).post("/api/v1/answer", {})
    assert (refused.value.code, refused.value.status) == ("no_reply", None)
    with pytest.raises(RequestError, match=r"^no reply from http://no\.invalid: .+ -> check the URL, and that"):
        Client("http://no.invalid").get("/health")
    for secret in ("two tokens", "line\nbreak", "\u0448\u0438\u0444\u0440"):
        with pytest.raises(ValueError, match=r"^expected one token, of ASCII without spaces or line breaks$"):
            Client(address, secret)
    for wrong in ("127.0.0.1:8012", "file:///etc/passwd"):
        with pytest.raises(ValueError, match="begins with http:// or https://"):
            Client(wrong)
