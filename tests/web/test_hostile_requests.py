"""Whatever is sent, the reply is a 4xx with a reason; nothing is written to disk, nothing a client names is opened."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from twelve.web.examples import EXAMPLES
from twelve.web.fields import LEVELS

OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    yield TestClient(app, raise_server_exceptions=False)


def encoded(kind: str, size: tuple[int, int] = (80, 60), **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of a few hundred bytes that says it has so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif(frames: int = 300) -> bytes:
    images = [Image.new("RGB", (32, 24), (k % 256, 0, 0)) for k in range(frames)]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:])
    return file.getvalue()


def littered(kind: str) -> bytes:
    """A small whole image among a million empty comments: before its pixels, or ("late") behind them."""
    if kind == "GIF":
        whole = gif(1)
        return whole[:-1] + b"!\xfe\x01a\x00" * 500_000 + b";"
    whole = encoded("JPEG" if kind == "JPEG" else "PNG")
    if kind == "JPEG":
        return whole[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + whole[2:]
    at = 33 if kind == "PNG" else len(whole) - 12
    return whole[:at] + chunk(b"prVt", b"") * 500_000 + whole[at:]


def scans() -> bytes:
    """A JPEG that would be decoded 3,000 times over."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 120).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 3000 + whole[-2:]


UPLOADS: dict[str, tuple[Callable[[], bytes], int]] = {
    "bomb": (bomb, 422),
    "a bomb below Pillow's own limit": (lambda: bomb(8000, 8000), 422),
    "a sliver": (lambda: encoded("PNG", (4000, 2)), 422),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', 415),
    "html": (lambda: b"<!doctype html><img src=x onerror=alert(1)>", 415),
    "script that begins like a gif": (lambda: b"GIF89a/*" + b"\x00" * 20 + b"*/=alert(1)//", 422),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), 415),
    "tiff": (lambda: encoded("TIFF"), 415),
    "wave file": (lambda: b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(32), 422),
    "truncated jpeg": (lambda: encoded("JPEG")[:900], 422),
    "jpeg of thousands of scans": (scans, 422),
    "truncated png": (lambda: encoded("PNG")[:500], 422),
    "header alone": (lambda: b"\xff\xd8\xff", 422),
    "empty": (lambda: b"", 422),
    "moving gif": (gif, 422),
    "too many bytes": (lambda: b"\xff\xd8\xff" + bytes(17_000_000), 413),
    "100 MB": (lambda: bytes(100_000_000), 413),
}


def refused(reply: Any, status: int | None = None) -> None:
    assert 400 <= reply.status_code < 500 and status in (None, reply.status_code), (reply.status_code, reply.text)
    assert reply.json()["error"]


@pytest.mark.parametrize("name", UPLOADS)
def test_upload(name: str, client: TestClient) -> None:
    make, status = UPLOADS[name]
    data = make()
    refused(client.post("/api/v1/scenes", content=data, headers=OCTETS), status)
    if len(data) < 1_000_000:
        asked = {"image": {"base64": base64.b64encode(data).decode()}, "question": "what ?"}
        refused(client.post("/api/v1/answer", json=asked), status)


@pytest.mark.parametrize("kind", ["PNG", "late PNG", "JPEG", "GIF"])
def test_an_image_in_a_million_pieces_is_refused(kind: str, client: TestClient) -> None:
    reply = client.post("/api/v1/scenes", content=littered(kind), headers=OCTETS)
    assert reply.status_code == 422, reply.text
    assert reply.json()["error"] == "the image file consists of too many pieces"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_whole_images_are_taken(kind: str, client: TestClient) -> None:
    assert client.post("/api/v1/scenes", content=encoded(kind), headers=OCTETS).status_code == 201


@pytest.mark.parametrize("size", [0, 2_000_000, 30_000_000])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "image/svg+xml", "application/json", None]
)
def test_content_type(kind: str | None, size: int, client: TestClient) -> None:
    content = encoded("PNG") + b'[]{}:,"x' * (size // 8)
    reply = client.post("/api/v1/scenes", content=content, headers={"content-type": kind} if kind else {})
    refused(reply, 415)
    found = f"the content type {kind}" if kind else "no Content-Type header"
    assert reply.json()["error"] == f"expected an image, found {found}"
    assert reply.json()["remedy"].startswith("curl --data-binary @")


def test_marks_are_those_of_json(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        reply = client.post("/api/v1/answer", content=b"[]" * 20_000, headers={"content-type": kind})
        refused(reply, 415)
        assert reply.json()["error"] == f"expected JSON, found the content type {kind}"
        assert reply.json()["remedy"] == "send the header Content-Type: application/json"
    for kind in ("application/json", "Application/Problem+JSON; charset=x"):
        assert "brackets" in client.post("/api/v1/answer", content=b"[]" * 20_000, headers={"content-type": kind}).text


def form(*files: bytes, end: bytes = b"--x--\r\n", name: bytes = b'; filename="a.png"') -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"' + name + b"\r\nContent-Type: image/png\r\n\r\n"
    return b"".join(head + file + b"\r\n" for file in files) + end


FORM = {"content-type": "multipart/form-data; boundary=x"}
IMAGE = encoded("PNG")


def test_a_form_with_one_image_is_taken(client: TestClient) -> None:
    for content, boundary in ((form(IMAGE), "x"), (form(IMAGE), '"x"'), (form(IMAGE, end=b"--x--"), "x; charset=y")):
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        assert client.post("/api/v1/scenes", content=content, headers=kind).status_code == 201
    reply = client.post("/api/v1/scenes", files={"file": ("a.png", IMAGE, "image/png")})
    assert reply.status_code == 201 and (reply.json()["width"], reply.json()["height"]) == (80, 60)
    refused(client.post("/api/v1/scenes", content=form(b""), headers=FORM), 422)
    refused(client.post("/api/v1/scenes", content=form(b"%!PS-Adobe"), headers=FORM), 415)
    large = form(IMAGE + bytes(client.app.state.service.limits.max_bytes))  # type: ignore[attr-defined]
    assert "the image has more than" in client.post("/api/v1/scenes", content=large, headers=FORM).json()["error"]


@pytest.mark.parametrize(
    ("content", "boundary", "found"),
    [
        (form(IMAGE, IMAGE), "; boundary=x", "2 parts"),
        (form(IMAGE, end=b""), "; boundary=x", "no end"),
        (form(IMAGE, end=b"--x-"), "; boundary=x", "no end"),
        (form(IMAGE, end=b"--x--\r\nmore"), "; boundary=x", "more after its end"),
        (form(IMAGE, name=b""), "; boundary=x", "a text"),
        (form(), "; boundary=x", "0 parts"),
        (b"", "; boundary=x", "an empty body"),
        (IMAGE, "; boundary=x", "a body that does not begin with its boundary"),
        (form(IMAGE), "; boundary=y", "a body that does not begin with its boundary"),
        (form(IMAGE), "", "no boundary in the header Content-Type"),
        (form(IMAGE), "; boundary*=utf-8''%f0%9f", "a body that does not begin with its boundary"),
    ],
    ids=[
        *("two files", "no end", "half an end", "more", "no file", "no part", "empty", "no form"),
        *("other", "none", "encoded"),
    ],
)
def test_any_other_form_is_refused(content: bytes, boundary: str, found: str, client: TestClient) -> None:
    kind = {"content-type": f"multipart/form-data{boundary}"}
    reply = client.post("/api/v1/scenes", content=content, headers=kind)
    refused(reply, 422)
    assert reply.json()["error"] == f"expected a form with one file and nothing else, found {found}"


def test_a_form_of_another_web_page_is_refused(client: TestClient) -> None:
    """Browsers ask nobody before they send it; an image by itself they send to a service of the same origin only."""
    for origin in ("http://evil.example", "null"):
        reply = client.post("/api/v1/scenes", content=form(IMAGE), headers={**FORM, "origin": origin})
        refused(reply, 403)
        assert reply.json()["error"] == f"expected a form from a program, found one from a web page (Origin: {origin})"


SCENE = {"image": {"scene": "none"}}
MISSING = ("no such scene", "a path for a scene")
BODIES: dict[str, tuple[str, Any]] = {
    "no such scene": ("answer", {**SCENE, "question": "what ?"}),
    "a path for a scene": ("answer", {"image": {"scene": "../../etc/passwd"}, "question": "what ?"}),
    "no image": ("answer", {"image": {}, "question": "what ?"}),
    "two images": ("answer", {"image": {"scene": "a", "base64": "aGk="}, "question": "what ?"}),
    "no base64": ("answer", {"image": {"base64": "file:///etc/passwd"}, "question": "what ?"}),
    "an address": ("answer", {"image": {"base64": "http://127.0.0.1:1/x.png"}, "question": "what ?"}),
    "unknown key": ("answer", {**SCENE, "question": "what ?", "path": "/etc/passwd"}),
    "no text": ("answer", {**SCENE, "question": "  "}),
    "a long text": ("answer", {**SCENE, "question": "what " * 1000}),
    "unknown task": ("answer", {**SCENE, "question": "what ?", "task": "nonsense"}),
    "half a character": ("answer", {**SCENE, "question": "\ud800"}),
    "no boxes": ("choose", {**SCENE, "question": "which ?", "boxes": []}),
    "a box inside out": ("choose", {**SCENE, "question": "which ?", "boxes": [[9, 9, 1, 1]]}),
    "three corners": ("choose", {**SCENE, "question": "which ?", "boxes": [[1, 2, 3]]}),
    "an infinite box": ("choose", {**SCENE, "question": "which ?", "boxes": [[0, 0, float("inf"), 9]]}),
    "many boxes": ("choose", {**SCENE, "question": "which ?", "boxes": [[0, 0, 9, 9]] * 101}),
    "a box elsewhere": ("choose", {"question": "which ?", "boxes": [[5000, 5000, 5010, 5010]]}),
    "no number": ("locate", {**SCENE, "phrase": "it", "threshold": float("nan")}),
    "an answer of its own": (
        "guess",
        {**SCENE, "dialogue": [{"question": "?", "answer": "maybe"}], "boxes": [[0, 0, 9, 9]]},
    ),
    "many captions": ("match", {"images": [{"scene": "a"}], "captions": ["a"] * 33}),
    "no images": ("match", {"images": [], "captions": ["a"]}),
    "a number in quotes": ("locate", {**SCENE, "phrase": "it", "threshold": "0.5"}),
    "a yes for a number": ("locate", {**SCENE, "phrase": "it", "threshold": True}),
    "a yes in quotes": ("answer", {**SCENE, "question": "what ?", "explain": "yes"}),
    "a one for a yes": ("answer", {**SCENE, "question": "what ?", "explain": 1}),
    "a box in quotes": ("choose", {**SCENE, "question": "which ?", "boxes": [["1", "2", "3", "4"]]}),
    "a list": ("answer", []),
    "a string": ("verify", "x"),
}


@pytest.mark.parametrize("name", BODIES)
def test_body(name: str, client: TestClient) -> None:
    method, body = BODIES[name]
    if name == "a box elsewhere":
        body = {**body, "image": {"base64": base64.b64encode(encoded("PNG")).decode()}}
    headers = {"content-type": "application/json"}
    reply = client.post(f"/api/v1/{method}", content=json.dumps(body), headers=headers)
    refused(reply, 404 if name in MISSING else 422)
    assert reply.json()["remedy"]


@pytest.mark.parametrize("text", ["!!!", "aGk", "aGk=\n", "aG k=", "a-_=", "\ud800", 3, [1]])
def test_no_base64(text: Any, client: TestClient) -> None:
    asked = json.dumps({"image": {"base64": text}, "question": "what ?"})
    reply = client.post("/api/v1/answer", content=asked, headers={"content-type": "application/json"})
    refused(reply, 422)
    assert reply.json()["error"].startswith("image.base64 is not base64")


def test_what_a_flaw_is_called(client: TestClient) -> None:
    docs = f"see {client.base_url}/docs for the form of requests"
    said = {
        '{"question": ""}': "image is missing; question: expected a string of at least 1 character, found an empty one",
        '{"image': "the body is not valid JSON (Unterminated string at line 1, column 2)",
        '{\n "image": 1\n "question": ""}': "the body is not valid JSON (Expecting ',' delimiter at line 3, column 2)",
        '{"image": {"scene": "a"}, "question": 5, "explain": "yes"}': "explain: expected true or false, "
        "found 'yes'; question: expected a string, found 5",
        "[]": "the body: expected a JSON object, found []",
        '{"image": {"scene": "a"}, "question": null}': "question: expected a string, found null",
        '{"image": {"scene": "a"}, "question": [true, NaN]}': "question: expected a string, found [true, NaN]",
        "": "the body: expected a JSON object, found nothing",
        "null": "the body: expected a JSON object, found null",
        '{"image": {"scene": "a", "scene": "b"}}': "the key 'scene' is repeated",
        '{"image": {"scene": "a"}, "question": "\\ud800"}': "question contains half a character (a lone surrogate)",
        '{"image": {"scene": "a"}, "question": "what\\u0000 ?"}': "question contains the control character U+0000",
        '{"image": {"scene": "a"}, "question": "a\\tb\\nc", "x": "\\u0000"}': "x: no such key",
    }
    remedies = {
        '{"image": {"scene": "a", "scene": "b"}}': "write each key of an object once",
        '{"image": {"scene": "a"}, "question": null}': "give question as a string, in quotes",
        '{"image": {"scene": "a"}, "question": [true, NaN]}': "give question as a string, in quotes",
        '{"question": ""}': f'add "image": {{"scene": "ID"}}; {docs}',
        '{"image": {"scene": "a"}, "question": "\\ud800"}': "send the question in UTF-8, or with both halves of each "
        "character: \\ud83d\\ude00",
        '{"image": {"scene": "a"}, "question": "what\\u0000 ?"}': "remove it; the only control characters allowed "
        "are tabs and line breaks",
        '{"image": {"scene": "a"}, "question": "a\\tb\\nc", "x": "\\u0000"}': "remove x; expected image, question, "
        "task or explain",
        '{"image": {"scene": "a"}, "question": 5, "explain": "yes"}': "give explain as true or false, without quotes",
        '{"image": {"scene": "a"}, "question": "what ?", "qestion": ""}': "remove qestion; expected image, question, "
        "task or explain",
    }
    for content, error in said.items():
        reply = client.post("/api/v1/answer", content=content, headers={"content-type": "application/json"})
        assert reply.status_code == 422 and reply.json()["error"] == error
        assert reply.json()["code"] == "invalid_input" and reply.json()["fields"]
        assert reply.json()["remedy"] == remedies.get(content, docs)


def levels(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def test_why_a_body_cannot_be_read(client: TestClient) -> None:
    assert max(levels(each) for name, each in EXAMPLES.items() if name.endswith("Request")) == LEVELS
    said = {
        b"[" * 19_000: "the body is nested too deeply for Python; a request needs at most 3 levels of objects and "
        "lists",
        b"\xff{}": "the body is not UTF-8",
        b"1" * 5000: "a number of the body has more than 4,300 digits",
    }
    for content, error in said.items():
        reply = client.post("/api/v1/answer", content=content, headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["code"], reply.json()["error"]) == (400, "unreadable_body", error)


@pytest.mark.parametrize(
    "content",
    [
        "{" + ",".join(f'"{k:x}":1' for k in range(300_000)) + "}",
        '{"image":{"scene":"none"},"question":"what ?","boxes":[' + "[]," * 300_000 + "[]]}",
        '{"captions":[' + '"a",' * 300_000 + '"a"]}',
    ],
    ids=["keys", "lists", "texts"],
)
def test_intricate_json_is_refused_before_it_is_read(content: str, client: TestClient) -> None:
    start = time.perf_counter()
    reply = client.post("/api/v1/answer", content=content, headers={"content-type": "application/json"})
    refused(reply, 422)
    assert reply.json()["remedy"] == f"see {client.base_url}/docs for the form of requests"
    assert "brackets" in reply.json()["error"] and time.perf_counter() - start < 1


def test_the_largest_request_is_not_too_intricate(client: TestClient) -> None:
    images = [{"base64": base64.b64encode(encoded("PNG", (8, 8))).decode()} for _ in range(64)]
    asked = {"images": images, "captions": ['a "red" one, and a blue one; [it] ' * 58] * 32}
    assert client.post("/api/v1/match", json=asked).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/nosuch", 404),
        ("POST", "/nosuch", 404),
        ("GET", "/api/v1/nosuch", 404),
        ("PUT", "/api/v1/answer", 405),
        ("GET", "/api/v1/answer", 405),
        ("POST", "/page.js", 405),
        ("POST", "/", 405),
        ("GET", "/api/v1/model/", 404),
    ],
)
def test_addresses_and_methods(method: str, path: str, status: int, client: TestClient) -> None:
    reply = client.request(method, path, follow_redirects=False)
    assert reply.status_code == status and reply.json()["error"] and reply.json()["remedy"]
    assert ("allow" in reply.headers) == (status == 405)
    assert f"see {client.base_url}/docs for the form of requests" in reply.json()["remedy"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"image": ' * 5000, b"1" * 10_000])
def test_malformed_json(content: bytes, client: TestClient) -> None:
    refused(client.post("/api/v1/answer", content=content, headers={"content-type": "application/json"}))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_body_that_is_not_utf_8_cannot_be_read(encoding: str, client: TestClient) -> None:
    text = '{"image": {"scene": "none"}, "question": "wo ist das grüne Boot ?"}'
    kind = {"content-type": "application/json"}
    reply = client.post("/api/v1/answer", content=text.encode(encoding), headers=kind)
    refused(reply, 400)
    assert reply.json()["error"] == "the body is not UTF-8"
    for right in ("utf-8", "utf-8-sig"):
        refused(client.post("/api/v1/answer", content=text.encode(right), headers=kind), 404)


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    for path, kind in (("answer", "application/json"), ("scenes", "image/png")):
        packed = {"content-type": kind, "content-encoding": "gzip"}
        reply = client.post(f"/api/v1/{path}", content=b"\x1f\x8b", headers=packed)
        refused(reply, 415)
        assert reply.json()["error"] == "expected a body without Content-Encoding, found gzip"
    identity = {**OCTETS, "content-encoding": "identity"}
    assert client.post("/api/v1/scenes", content=IMAGE, headers=identity).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/upload",
        "/gradio_api/upload",
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fapp.py",
        "//etc/passwd",
        "/static/",
        "/docs/../app.py",
        "/redoc",
        "/api/v1/samples/..%2f..%2fapp.py",
        "/api/v1/scenes/..%2f..%2fetc%2fpasswd",
        "/api/v1/scenes/%00",
        "/%00",
        "/" + "a" * 5000,
    ],
)
def test_no_way_to_files(path: str, client: TestClient) -> None:
    for reply in (client.get(path), client.post(path, files={"file": ("../../x.png", b"x")})):
        assert reply.status_code in (404, 405, 422), (path, reply.status_code)


def test_another_name_for_this_machine(predictor: Any) -> None:
    from twelve.web.app import create_app

    app = create_app(predictor)
    try:
        client = TestClient(app, base_url="http://127.0.0.1:8012")
        assert client.get("/api/v1/model").status_code == 200
        refused(client.get("/api/v1/model", headers={"host": "evil.example"}), 400)
    finally:
        app.state.service.close()


_WATCHED: list[tuple[str, Any]] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHED is not None and event in ("open", "socket.connect", "os.mkdir", "subprocess.Popen"):
        _WATCHED.append((event, arguments))


@pytest.fixture(scope="module")
def watched() -> Callable[[], list[tuple[str, Any]]]:
    """Begins to record what is opened; an audit hook cannot be taken out again, so that it is idle otherwise."""
    sys.addaudithook(_watch)

    def begin() -> list[tuple[str, Any]]:
        global _WATCHED
        _WATCHED = []
        return _WATCHED

    return begin


def test_nothing_is_written_and_nothing_named_is_opened(
    client: TestClient, watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    global _WATCHED
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    large = encoded("BMP", (2000, 1500))  # 9 MB: beyond what upload libraries keep in memory
    secret = "/tmp/secret-name.png"
    seen = watched()
    try:
        made = client.post("/api/v1/scenes", content=large, headers=OCTETS)
        assert made.status_code == 201
        inline = {"image": {"base64": base64.b64encode(large).decode()}, "question": "what ?"}
        assert client.post("/api/v1/answer", json=inline).status_code == 200
        for image in (secret, f"file://{secret}", "http://127.0.0.1:9/x.png"):
            client.post("/api/v1/answer", json={"image": {"base64": image}, "question": "what ?"})
            client.post("/api/v1/answer", json={"image": {"scene": image}, "question": image})
        client.post("/api/v1/scenes", files={"file": (secret, large, "image/bmp")})
        client.post("/api/v1/scenes", content=large, headers={**OCTETS, "content-disposition": f'filename="{secret}"'})
    finally:
        _WATCHED = None
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    opened = [arguments for event, arguments in seen if event == "open"]
    written = [path for path, mode, flags in opened if (flags or 0) & writing and path != os.devnull]
    assert written == []
    assert not [path for path, *_ in opened if "secret" in str(path)]
    assert not [event for event, _ in seen if event != "open"]
    assert list(tmp_path.iterdir()) == []
