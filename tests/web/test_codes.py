"""Errors have a code for programs: one of a closed set, which the schema, the page of the API and the service share."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from test_hostile_requests import FORM, IMAGE, OCTETS, SCENE, bomb, encoded, form

from twelve.predictor import Predictor
from twelve.web.app import create_app
from twelve.web.problems import CODES
from twelve.web.replies import Code

ASKED = {**SCENE, "question": "what ?"}
BOXES = [[1, 2, 30, 40]]
JSON = {"content-type": "application/json"}


def turns(*questions: str) -> list[dict[str, str]]:
    return [{"question": question, "answer": "yes"} for question in questions]


def upload(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.post("/api/v1/scenes", content=content, headers={**OCTETS, **headers})


PROVOKED: dict[str, Callable[[TestClient], Any]] = {
    "unreadable_body": lambda client: client.post(
        "/api/v1/answer", content=b"\xff{}", headers={"content-type": "application/json"}
    ),
    "unknown_host": lambda client: client.get("/api/v1/model", headers={"host": "evil.example"}),
    "unauthorized": lambda client: client.get("/api/v1/model", headers={"authorization": "Bearer wrong"}),
    "foreign_origin": lambda client: upload(client, form(IMAGE), **FORM, origin="null"),
    "unknown_path": lambda client: client.get("/nothing"),
    "unknown_scene": lambda client: client.post("/api/v1/answer", json=ASKED),
    "wrong_method": lambda client: client.get("/api/v1/answer"),
    "no_index": lambda client: client.post("/api/v1/search", json={"text": "a ball"}),
    "too_large": lambda client: upload(client, b"\xff\xd8\xff" + bytes(17_000_000)),
    "unsupported_type": lambda client: upload(client, b"%!PS-Adobe"),
    "invalid_input": lambda client: client.post("/api/v1/answer", json={**SCENE, "question": ""}),
    "invalid_image": lambda client: upload(client, encoded("PNG")[:500]),
    "too_many_pixels": lambda client: upload(client, bomb(8000, 8000)),
    "unknown_task": lambda client: client.post("/api/v1/answer", json={**ASKED, "task": "nonsense"}),
}
ELSEWHERE = {"unknown_image", "slow_body", "busy", "internal_error", "stopping", "too_slow", "no_number"}
"""Those that the tests of test_search.py, test_gate.py and test_server.py provoke."""


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Any:
    app = create_app(predictor, token="a-secret-of-16-characters")
    headers = {"authorization": "Bearer a-secret-of-16-characters"}
    yield TestClient(app, base_url="http://localhost", headers=headers)
    app.state.service.close()


@pytest.mark.parametrize("code", PROVOKED)
def test_an_error_has_its_code_and_status(code: Code, client: TestClient) -> None:
    reply = PROVOKED[code](client)
    assert (reply.json()["code"], reply.status_code) == (code, CODES[code])


def test_the_codes_are_those_of_the_schema_and_of_the_page(app: FastAPI) -> None:
    assert PROVOKED.keys() | ELSEWHERE == CODES.keys() and list(CODES) == list(get_args(Code))
    shown = TestClient(app).get("/openapi.json").json()["components"]["schemas"]["Problem"]
    assert shown["properties"]["code"]["enum"] == list(CODES) and "code" in shown["required"]
    text = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3})[^|]* \| (`[^|]+`) \|", text.partition("\n## Errors")[2], flags=re.M)
    assert {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)} == CODES


def test_each_invalid_field_is_named(client: TestClient) -> None:
    asked = {"image": {"scene": 5}, "boxes": [[1, 2, 3, 4], [9, 9, 1, 1]], "question": " "}
    told = client.post("/api/v1/choose", json=asked).json()
    box = "a box is x1, y1, x2, y2 in pixels, with x1 < x2 and y1 < y2"
    assert told["error"] == f"image.scene: expected a string, found 5; question contains only spaces; boxes.1: {box}"
    assert [each["message"] for each in told["fields"][1:]] == ["contains only spaces", box]
    assert [each["path"] for each in told["fields"]] == ["image.scene", "question", "boxes.1"]
    assert told["fields"][0]["message"] == "expected a string, found 5"
    (whole,) = client.post("/api/v1/choose", content="{", headers={"content-type": "application/json"}).json()["fields"]
    assert whole["path"] == "" and whole["message"].startswith("is not valid JSON")
    assert client.get("/api/v1/scenes/none").json()["fields"] is None
    many = [[0, 0, 0, 0]] * 90
    told = client.post("/api/v1/choose", json={**ASKED, "boxes": many}).json()
    assert len(told["fields"]) == 20


@pytest.mark.parametrize(
    ("method", "field", "asked"),
    [
        ("answer", "image.scene", lambda good, gone: {"image": gone, "question": "what ?"}),
        ("depends", "right.scene", lambda good, gone: {"image": good, "right": gone, "text": "it", "method": "verify"}),
        ("choose", "image.scene", lambda good, gone: {"image": gone, "question": "which ?", "boxes": BOXES}),
        ("verify", "left.scene", lambda good, gone: {"left": gone, "right": good, "statement": "it"}),
        ("verify", "right.scene", lambda good, gone: {"left": good, "right": gone, "statement": "it"}),
        ("ask", "images.0.scene", lambda good, gone: {"images": [gone], "text": "what ?", "method": "answer"}),
        ("match", "images.1.scene", lambda good, gone: {"images": [good, gone], "captions": ["a ball"]}),
    ],
)
def test_a_scene_that_is_gone_is_named_by_its_field(
    method: str, field: str, asked: Callable[[Any, Any], Any], client: TestClient
) -> None:
    good = {"scene": upload(client, encoded("PNG")).json()["id"]}
    told = client.post(f"/api/v1/{method}", json=asked(good, {"scene": "zzz"})).json()
    ((path, message),) = [each.values() for each in told["fields"]]
    assert (told["code"], path, told["error"]) == ("unknown_scene", field, f"{field}: {message}")
    assert message == "no scene has this id, or it has expired"


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (b"", "invalid_image"),
        (b"no image", "unsupported_type"),
        (bomb(8000, 8000), "too_many_pixels"),
        (encoded("PNG")[:500], "invalid_image"),
    ],
)
@pytest.mark.parametrize(
    ("method", "field", "asked"),
    [
        ("answer", "image.base64", lambda bad, _: {"image": bad, "question": "what ?"}),
        ("choose", "image.base64", lambda bad, _: {"image": bad, "question": "which ?", "boxes": BOXES}),
        ("verify", "right.base64", lambda bad, good: {"left": good, "right": bad, "statement": "it"}),
        ("match", "images.1.base64", lambda bad, good: {"images": [good, bad], "captions": ["a ball"]}),
    ],
)
def test_an_image_that_is_refused_is_named_by_its_field(
    method: str, field: str, asked: Callable[[Any, Any], Any], image: bytes, code: str, client: TestClient
) -> None:
    bad, good = ({"base64": base64.b64encode(each).decode()} for each in (image, encoded("PNG")))
    told = client.post(f"/api/v1/{method}", json=asked(bad, good)).json()
    ((path, message),) = [each.values() for each in told["fields"]]
    assert (told["code"], path, told["error"]) == (code, field, f"{field}: {message}")
    assert message == upload(client, image).json()["error"]


@pytest.mark.parametrize(
    ("box", "problem"),
    [([500, 500, 600, 600], "the box lies outside the image"), ([-60, 0, 20, 20], "the box lies mostly outside the")],
)
@pytest.mark.parametrize("stored", [True, False])
def test_a_box_outside_the_image_is_named_by_its_field(
    box: list[int], problem: str, stored: bool, client: TestClient
) -> None:
    sent = {"base64": base64.b64encode(encoded("PNG")).decode()}
    image = {"scene": upload(client, encoded("PNG")).json()["id"]} if stored else sent
    asked = {"image": image, "question": "which ?", "boxes": [[0, 0, 20, 20], box]}
    told = client.post("/api/v1/choose", json=asked).json()
    ((path, message),) = [each.values() for each in told["fields"]]
    assert (told["code"], path, told["error"]) == ("invalid_input", "boxes.1", f"boxes.1: {message}")
    assert message.startswith(problem)


def test_a_turn_of_another_form_is_told_in_words_of_json(client: TestClient) -> None:
    told = client.post("/api/v1/guess", json={**SCENE, "dialogue": [["is it red?", "yes"]], "boxes": BOXES}).json()
    assert told["error"] == "dialogue.0: expected a JSON object, found ['is it red?', 'yes']"


@pytest.mark.parametrize("text", ["???", "[PAD]"])
@pytest.mark.parametrize(
    ("method", "field", "asked"),
    [
        ("answer", "question", lambda text: {**SCENE, "question": text}),
        ("locate", "phrase", lambda text: {**SCENE, "phrase": text}),
        ("entails", "statement", lambda text: {**SCENE, "statement": text}),
        ("depends", "text", lambda text: {**SCENE, "text": text}),
        ("choose", "question", lambda text: {**SCENE, "question": text, "boxes": BOXES}),
        ("guess", "dialogue.1.question", lambda text: {**SCENE, "dialogue": turns("is it ?", text), "boxes": BOXES}),
        ("verify", "statement", lambda text: {"left": SCENE["image"], "right": SCENE["image"], "statement": text}),
        ("ask", "text", lambda text: {"images": [SCENE["image"]], "text": text, "method": "answer"}),
        ("match", "captions.1", lambda text: {"images": [SCENE["image"]], "captions": ["a ball", text]}),
        ("search", "text", lambda text: {"text": text}),
    ],
)
def test_a_text_without_words_is_named_by_its_field(
    method: str, field: str, asked: Callable[[str], Any], text: str, client: TestClient
) -> None:
    told = client.post(f"/api/v1/{method}", json=asked(text)).json()
    ((path, message),) = [each.values() for each in told["fields"]]
    assert (told["code"], path, told["error"]) == ("invalid_input", field, f"{field}: {message}")
    what = "no letter and no digit" if text == "???" else "no words"
    assert message == f"this text has {what}: {text!r}" and told["remedy"] == "write a text with words"


@pytest.mark.parametrize(
    ("path", "headers", "remedy"),
    [
        ("scenes", OCTETS, "send an image of at most 16,000,000 bytes"),
        ("scenes", FORM, "send an image of at most 16,000,000 bytes"),
        (
            "answer",
            JSON,
            "send images of at most 16,000,000 bytes together, before base64, or upload each to /api/v1/scenes",
        ),
        ("search", JSON, "send a shorter text"),
    ],
)
def test_a_body_that_is_too_long_is_told_both_limits(
    path: str, headers: dict[str, str], remedy: str, client: TestClient
) -> None:
    told = client.post(f"/api/v1/{path}", content=bytes(21_433_334), headers=headers).json()
    assert told["code"] == "too_large"
    assert (told["error"], told["remedy"]) == ("the body has more than 21,433,333 bytes", remedy)


def test_an_answer_that_no_dialogue_has_is_told_with_those_that_it_has(client: TestClient) -> None:
    turns = [{"question": "is it red?", "answer": "maybe"}]
    told = client.post("/api/v1/guess", json={**SCENE, "dialogue": turns, "boxes": [[1, 2, 30, 40]]}).json()
    assert told["fields"][0]["path"] == "dialogue.0.answer"
    assert told["remedy"] == 'give dialogue.0.answer as "yes", "no" or "n/a"'


def test_the_files_of_the_page_are_revalidated_and_replies_are_not_stored(client: TestClient) -> None:
    page = client.get("/")
    files = re.findall('(?:src|href)="([a-z]+[.][a-z]+)"', page.text)
    assert len(files) >= 3
    for path in ("/", *(f"/{name}" for name in files), "/reference.js"):
        first = client.get(path)
        assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache"), path
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache"), path
    for path in ("/api/v1/model", "/health", "/docs", "/openapi.json", "/none", "/api/v1/none"):
        assert client.get(path).headers["cache-control"] == "no-store", path


def test_a_reply_without_a_body_has_no_type(client: TestClient) -> None:
    scene = client.post("/api/v1/scenes", content=IMAGE, headers=OCTETS).json()["id"]
    gone = client.delete(f"/api/v1/scenes/{scene}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert not {"content-type", "content-length"} & {*gone.headers}
