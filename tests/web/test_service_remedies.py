"""What the service says to do about a mistake, done to the letter, is right."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from test_api import png
from test_hostile_requests import encoded, gif

from twelve.predictor import Predictor
from twelve.web.app import create_app
from twelve.web.limits import Limits


def upload(client: TestClient, data: bytes, kind: str = "application/octet-stream") -> Any:
    return client.post("/api/v1/scenes", content=data, headers={"content-type": kind})


def choose(client: TestClient, image: Any, box: Any) -> Any:
    asked = {"image": image, "question": "which ?", "boxes": [box]}
    return client.post("/api/v1/choose", json=asked)


def several(client: TestClient, images: list[Any]) -> Any:
    return client.post("/api/v1/match", json={"images": images, "captions": ["it"]})


def depends(client: TestClient, right: dict[str, str]) -> Any:
    asked = {"image": inline(png(1)), "right": right, "text": "it is red", "method": "verify"}
    return client.post("/api/v1/depends", json=asked)


def inline(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def kept(client: TestClient, data: bytes) -> dict[str, str]:
    return {"scene": upload(client, data).json()["id"]}


def first_frame(data: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(file, "PNG")
    return file.getvalue()


Request = Callable[[TestClient], Any]
REMEDIES: dict[str, tuple[str, Request, Request]] = {
    "no kind of image": (
        "curl --data-binary @photograph.jpg -H 'Content-Type: image/jpeg' http://localhost/api/v1/scenes; "
        "application/octet-stream works for every format",
        lambda client: upload(client, png(1), "text/plain"),
        lambda client: upload(client, png(1)),
    ),
    "no image": (
        "send JPEG, PNG, WebP, GIF or BMP",
        lambda client: upload(client, b"%!PS-Adobe"),
        lambda client: upload(client, encoded("BMP")),
    ),
    "no bytes": ("send an image", lambda client: upload(client, b""), lambda client: upload(client, png(1))),
    "half an image": (
        "send a complete JPEG, PNG, WebP, GIF or BMP file; with curl, by --data-binary, not -d",
        lambda client: upload(client, encoded("JPEG")[:900]),
        lambda client: upload(client, encoded("JPEG")),
    ),
    "a sliver": (
        "crop it",
        lambda client: upload(client, encoded("PNG", (600, 2))),
        lambda client: upload(client, encoded("PNG", (40, 2))),
    ),
    "it moves": (
        "send one of its frames",
        lambda client: upload(client, gif(3)),
        lambda client: upload(client, first_frame(gif(3))),
    ),
    "many pixels": (
        "send a smaller image",
        lambda client: upload(client, encoded("PNG", (400, 300))),
        lambda client: upload(client, encoded("PNG", (200, 150))),
    ),
    "many bytes": (
        "send a smaller image",
        lambda client: upload(client, bytes(400_000)),
        lambda client: upload(client, encoded("PNG", (200, 150))),
    ),
    "many pixels together": (
        "send each to /api/v1/scenes",
        lambda client: several(client, [inline(png(1))] * 9),
        lambda client: several(client, [kept(client, png(1)) for _ in range(9)]),
    ),
    "a scene that is gone": (
        "send the image to /api/v1/scenes again",
        lambda client: choose(client, {"scene": "gone"}, [10, 10, 60, 60]),
        lambda client: choose(client, kept(client, png(1)), [10, 10, 60, 60]),
    ),
    "a box outside": (
        "give x1, y1, x2, y2 in pixels of the image after its EXIF rotation",
        lambda client: choose(client, inline(png(1)), [500, 500, 600, 600]),
        lambda client: choose(client, inline(png(1)), [100, 100, 120, 120]),
    ),
    "another name": (
        "use the URL that the service printed, or start it with --name NAME",
        lambda client: client.get("/api/v1/model", headers={"host": "evil.example"}),
        lambda client: client.get("/api/v1/model", headers={"host": "images.example"}),
    ),
    "no such sample": (
        "see /api/v1/model",
        lambda client: client.get("/api/v1/samples/none"),
        lambda client: client.get(f"/api/v1/samples/{client.get('/api/v1/model').json()['samples'][0]['name']}"),
    ),
    "no such task": (
        "choose among vqa, gqa",
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "it", "task": "x"}),
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "it", "task": "gqa"}),
    ),
    "nothing asked": (
        "write a text with words",
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "\u200b"}),
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "what ?"}),
    ),
    "an endless text": (
        "shorten it to 2,000 characters",
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "why " * 501}),
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "why " * 500}),
    ),
    "an empty question": (
        "write a question",
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": ""}),
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "what ?"}),
    ),
    "only spaces": (
        "write a caption",
        lambda client: client.post("/api/v1/match", json={"images": [inline(png(1))], "captions": [" "]}),
        lambda client: client.post("/api/v1/match", json={"images": [inline(png(1))], "captions": ["a ball"]}),
    ),
    "a number in quotes": (
        "give threshold as a number, without quotes",
        lambda client: client.post(
            "/api/v1/locate", json={"image": inline(png(1)), "phrase": "it", "threshold": "0.5"}
        ),
        lambda client: client.post("/api/v1/locate", json={"image": inline(png(1)), "phrase": "it", "threshold": 0.5}),
    ),
    "true instead of a number": (
        "give threshold as a number",
        lambda client: client.post("/api/v1/locate", json={"image": inline(png(1)), "phrase": "it", "threshold": True}),
        lambda client: client.post("/api/v1/locate", json={"image": inline(png(1)), "phrase": "it", "threshold": 1}),
    ),
    "half a shortlist": (
        "give shortlist as an integer",
        lambda client: client.post(
            "/api/v1/match", json={"images": [inline(png(1))], "captions": ["it"], "shortlist": 0.5}
        ),
        lambda client: client.post(
            "/api/v1/match", json={"images": [inline(png(1))], "captions": ["it"], "shortlist": 0}
        ),
    ),
    "half a box": (
        "write each box as [x1, y1, x2, y2]",
        lambda client: choose(client, inline(png(1)), [10, 10, 60]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "a path": (
        'remove path; an image is {"scene": "ID"}, the id that POST /api/v1/scenes replied with, or {"base64": "..."}, '
        "the bytes of a file in base64",
        lambda client: choose(client, {"path": "photograph.jpg"}, [10, 10, 60, 60]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "a path instead of a right image": (
        'remove path; an image is {"scene": "ID"}, the id that POST /api/v1/scenes replied with, or {"base64": "..."}, '
        "the bytes of a file in base64",
        lambda client: depends(client, {"path": "photograph.jpg"}),
        lambda client: depends(client, inline(png(1))),
    ),
    "a path beside an image": (
        "remove path; expected image, question, task or explain",
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "it", "path": "a.jpg"}),
        lambda client: client.post("/api/v1/answer", json={"image": inline(png(1)), "question": "it"}),
    ),
    "an id instead of an image": (
        'replace scene by "image": {"scene": "ID"}',
        lambda client: client.post("/api/v1/answer", json=kept(client, png(1)) | {"question": "what ?"}),
        lambda client: client.post("/api/v1/answer", json={"image": kept(client, png(1)), "question": "what ?"}),
    ),
    "an id without scene": (
        'write "image": {"scene": "ID"}',
        lambda client: choose(client, kept(client, png(1))["scene"], [10, 10, 60, 60]),
        lambda client: choose(client, kept(client, png(1)), [10, 10, 60, 60]),
    ),
    "base64 without image": (
        'write "image": {"base64": "..."}',
        lambda client: choose(client, inline(png(1))["base64"], [10, 10, 60, 60]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "base64 in lines": (
        r"remove the line breaks: base64 < FILE | tr -d '\n'",
        lambda client: choose(client, {"base64": base64.encodebytes(png(1)).decode()}, [10, 10, 60, 60]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "the address of an image in a page": (
        "remove the beginning up to and including the comma: data:image/...;base64, is not base64",
        lambda client: several(client, [{"base64": f"data:image/png;base64,{inline(png(1))['base64']}"}]),
        lambda client: several(client, [inline(png(1))]),
    ),
    "a form with a text": (
        "curl --data-binary @photograph.jpg -H 'Content-Type: image/jpeg' http://localhost/api/v1/scenes",
        lambda client: client.post("/api/v1/scenes", files={"file": png(1), "more": png(2)}),
        lambda client: client.post("/api/v1/scenes", content=png(1), headers={"content-type": "image/jpeg"}),
    ),
    "ids without scene": (
        'write "images": [{"scene": "ID"}]',
        lambda client: several(client, [kept(client, png(1))["scene"]]),
        lambda client: several(client, [kept(client, png(1))]),
    ),
    "a box that is no list": (
        'write "boxes": [[x1, y1, x2, y2]]',
        lambda client: choose(client, inline(png(1)), 10),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "fractions instead of pixels": (
        "multiply x1 and x2 by the width that POST /api/v1/scenes replied with, y1 and y2 by the height",
        lambda client: choose(client, inline(png(1)), [0, 0, 0.5, 0.5]),
        lambda client: choose(client, inline(png(1)), [0, 0, 0.5 * 160, 0.5 * 128]),
    ),
    "a box from its end": (
        "write each box as [x1, y1, x2, y2], with x1 < x2 and y1 < y2",
        lambda client: choose(client, inline(png(1)), [60, 60, 10, 10]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "a box of five numbers": (
        "write each box as [x1, y1, x2, y2], with x1 < x2 and y1 < y2",
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60, 1]),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "no images": (
        'write "images": [{"scene": "ID"}]',
        lambda client: several(client, []),
        lambda client: several(client, [kept(client, png(1))]),
    ),
    "no boxes": (
        'write "boxes": [[x1, y1, x2, y2]]',
        lambda client: client.post(
            "/api/v1/choose", json={"image": inline(png(1)), "question": "which ?", "boxes": []}
        ),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
    "three images for a method": (
        "shorten images to 2 items",
        lambda client: client.post(
            "/api/v1/ask", json={"method": "verify", "text": "it", "images": [inline(png(1))] * 3}
        ),
        lambda client: client.post(
            "/api/v1/ask", json={"method": "verify", "text": "it", "images": [inline(png(1))] * 2}
        ),
    ),
    "base64 that was cut": (
        r"encode the whole file: base64 < FILE | tr -d '\n'",
        lambda client: several(client, [{"base64": inline(png(1))["base64"][:-1]}]),
        lambda client: several(client, [inline(png(1))]),
    ),
    "base64 for addresses": (
        "replace - by + and _ by /, and add = up to a multiple of four characters",
        lambda client: several(client, [{"base64": base64.urlsafe_b64encode(png(1)).decode().rstrip("=")}]),
        lambda client: several(client, [inline(png(1))]),
    ),
    "a number instead of base64": (
        'write {"base64": "..."}, with the bytes of a file in base64',
        lambda client: several(client, [{"base64": 5}]),
        lambda client: several(client, [inline(png(1))]),
    ),
    "JSON without its header": (
        "send the header Content-Type: application/json",
        lambda client: client.post(
            "/api/v1/match", content=json.dumps({"images": [inline(png(1))], "captions": ["it"]})
        ),
        lambda client: several(client, [inline(png(1))]),
    ),
    "another path": (
        "use POST /api/v1/match; see http://localhost/docs for the form of requests",
        lambda client: client.post("/match", json={"images": [inline(png(1))], "captions": ["it"]}),
        lambda client: several(client, [inline(png(1))]),
    ),
    "an image instead of several": (
        'replace image by "images": [{"scene": "ID"}]',
        lambda client: client.post("/api/v1/match", json={"image": kept(client, png(1)), "captions": ["it"]}),
        lambda client: client.post("/api/v1/match", json={"images": [kept(client, png(1))], "captions": ["it"]}),
    ),
    "a box instead of several": (
        'replace box by "boxes": [[x1, y1, x2, y2]]',
        lambda client: client.post(
            "/api/v1/choose", json={"image": inline(png(1)), "question": "which ?", "box": [10, 10, 60, 60]}
        ),
        lambda client: choose(client, inline(png(1)), [10, 10, 60, 60]),
    ),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_followed_to_the_letter(name: str, predictor: Predictor) -> None:
    remedy, wrong, right = REMEDIES[name]
    limits = Limits(max_bytes=300_000, max_pixels=100_000, max_request_pixels=150_000)
    app = create_app(predictor, limits, hosts=("localhost", "images.example"), no_token=True)
    try:
        client = TestClient(app, base_url="http://localhost")
        reply = wrong(client)
        assert 400 <= reply.status_code < 500 and reply.json()["remedy"] == remedy
        assert right(client).status_code in (200, 201)
    finally:
        app.state.service.close()


def test_remedies_fit_the_mistake(predictor: Predictor) -> None:
    with TestClient(create_app(predictor), base_url="http://127.0.0.1:8012") as client:
        image = inline(png(1))

        def told(path: str, **body: Any) -> tuple[str, str]:
            reply = client.post(f"/api/v1/{path}", json={"image": image, **body})
            assert reply.status_code == 422
            return reply.json()["error"], reply.json()["remedy"]

        problem, remedy = told("locate", phrase="it", threshold=3)
        assert (problem, remedy) == ("threshold: expected at most 1, found 3", "give a number of at most 1")
        assert told("locate", phrase="it", threshold=-1)[0] == "threshold: expected at least 0, found -1"
        assert told("answer", text="what ?")[1] == "rename text to question"
        assert told("answer", question="what ?", txt="")[1] == "remove txt; expected image, question, task or explain"
        asked = {"boxes": [[1, 1, 9, 9]], "dialogue": [{"question": "it ?", "answer": "yes", "no": 1}]}
        assert told("guess", **asked)[1] == "remove no; expected question or answer"
        assert told("answer")[1].startswith("add question; ")
        assert told("choose", question="which ?")[1].startswith('add "boxes": [[x1, y1, x2, y2]]; ')


@pytest.mark.parametrize("query", ["", "?image=", f"?image={'a' * 5000}", "?name=sample-1.png"])
def test_the_remedy_of_a_parameter_names_it(query: str, searching_app: FastAPI) -> None:
    client = TestClient(searching_app)
    told = client.get(f"/api/v1/thumbnail{query}").json()
    assert told["code"] == "invalid_input"
    assert told["remedy"] == "add ?image=NAME to the path, with a name that POST /api/v1/search replied with"
    assert client.get("/api/v1/thumbnail?image=sample-1.png").status_code == 200


def test_the_path_that_is_meant_is_named(predictor: Predictor) -> None:
    with TestClient(create_app(predictor), base_url="http://127.0.0.1:8012") as client:
        for method, path, meant in (
            ("POST", "/api/v1/anwser", "POST /api/v1/answer"),
            ("POST", "/api/answer", "POST /api/v1/answer"),
            ("GET", "/api/v0/answer", "POST /api/v1/answer"),
            ("GET", "/api/scenes/3Ondfb1xibc7k5zhdug8sw", "GET /api/v1/scenes/ID"),
            ("DELETE", "/api/scenes/3Ondfb1xibc7k5zhdug8sw", "DELETE /api/v1/scenes/ID"),
            ("GET", "/api/v1/health", "GET /health"),
            ("DELETE", "/api/v1/scene/x", "DELETE /api/v1/scenes/ID"),
            ("GET", "/api/v1/model/", "GET /api/v1/model"),
        ):
            told = client.request(method, path).json()
            assert told["error"] == f'no such path (did you mean "{meant.split()[1]}"?)'
            assert told["remedy"].startswith(f"use {meant}; see ")
        told = client.get("/api/v1/nosuch").json()
        assert told["error"] == "no such path" and told["remedy"].startswith("see ")
