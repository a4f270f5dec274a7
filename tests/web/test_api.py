"""Every method answers what the Python API answers."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.predictor import Predictor, Scene
from twelve.predictor.warnings import FOREIGN, LEFT_OUT
from twelve.regions.recipe import Recipe
from twelve.web.described import describe
from twelve.web.fields import PREFIX
from twelve.web.limits import Limits
from twelve.web.samples import samples_for

BOXES = [[10, 10, 60, 60], [70, 20, 120, 100]]


def png(seed: int) -> bytes:
    file = io.BytesIO()
    draw(sample_scene(np.random.default_rng(seed)), seed=seed).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    yield TestClient(app)


@pytest.fixture(scope="module")
def scenes(client: TestClient) -> list[str]:
    found = []
    for seed in (1, 2):
        reply = client.post("/api/v1/scenes", content=png(seed), headers={"content-type": "image/png"})
        assert reply.status_code == 201
        found.append(reply.json()["id"])
    return found


def near(found: Any, expected: Any) -> bool:
    """Equal, numbers to five digits."""
    if isinstance(expected, dict):
        return set(expected) == set(found) and all(near(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(near, found, expected))
    return bool(found == pytest.approx(expected, abs=1e-5)) if isinstance(expected, float) else found == expected


def too_precise(text: str) -> list[str]:
    """The numbers of a text with more than six decimals, zeros at the beginning apart."""
    return re.findall(r"\d+\.0*[1-9]\d{6,}", text)


ASKED: dict[str, dict[str, Any]] = {
    "answer": {"question": "what colour is it ?", "task": "gqa"},
    "locate": {"phrase": "the red one"},
    "entails": {"statement": "it is green"},
    "choose": {"question": "the big one", "boxes": BOXES},
    "guess": {"dialogue": [{"question": "is it red ?", "answer": "yes"}], "boxes": BOXES},
}


@pytest.mark.parametrize("method", ASKED)
def test_numbers_are_rounded(method: str, client: TestClient, scenes: list[str]) -> None:
    asked = {"image": {"scene": scenes[0]}, "explain": True, **ASKED[method]}
    told = client.post(f"/api/v1/{method}", json=asked).text
    told += client.get(f"/api/v1/scenes/{scenes[0]}").text
    assert "." in told and not too_precise(told)
    asked = {"images": [{"scene": name} for name in scenes], "captions": ["the red one"]}
    assert not too_precise(client.post("/api/v1/match", json=asked).text)
    asked = {"image": {"scene": scenes[0]}, "text": "is it red ?"}
    assert not too_precise(client.post("/api/v1/depends", json=asked).text)


@pytest.mark.parametrize("method", ASKED)
def test_says_what_python_says(method: str, client: TestClient, scenes: list[str], predictor: Predictor) -> None:
    asked = ASKED[method]
    reply = client.post(f"/api/v1/{method}", json={"image": {"scene": scenes[0]}, **asked})
    assert reply.status_code == 200, reply.text
    given = {**asked, "dialogue": [("is it red ?", "yes")]} if method == "guess" else asked
    expected = getattr(predictor.scene(png(1)), method)(**given).to_dict()
    assert near(reply.json(), {**expected, "attention": None})


def test_verify_and_match_say_what_python_says(client: TestClient, scenes: list[str], predictor: Predictor) -> None:
    left, right = predictor.scene(png(1)), predictor.scene(png(2))
    reply = client.post(
        "/api/v1/verify",
        json={"left": {"scene": scenes[0]}, "right": {"scene": scenes[1]}, "statement": "both are red"},
    )
    expected = predictor.verify(left, right, "both are red").to_dict()
    verdict = expected.pop("true")
    assert near(reply.json(), {**expected, "verdict": verdict, "attention": None})
    asked = {"method": "verify", "text": "both are red", "images": [{"scene": name} for name in scenes]}
    assert near(client.post("/api/v1/ask", json=asked).json(), reply.json())
    images = [{"scene": scenes[1]}, {"base64": base64.b64encode(png(1)).decode()}, {"scene": scenes[0]}]
    reply = client.post("/api/v1/match", json={"images": images, "captions": ["the red one", "a big thing"]})
    matched = predictor.match([right, left, left], ["the red one", "a big thing"])
    assert near(reply.json()["logits"], matched.logits.tolist())
    assert reply.json()["shortlist"] is None
    asked = {"images": images, "captions": ["the red one"], "shortlist": 1}
    refused = client.post("/api/v1/match", json=asked)
    assert refused.status_code == 422 and "no contrast head" in refused.json()["error"]
    ranked = reply.json()["captions"][0]["images"]
    assert sorted(each["index"] for each in ranked) == [0, 1, 2]
    assert sum(each["share"] for each in ranked) == pytest.approx(1, abs=3e-6)  # rounded, each
    assert [each["share"] for each in ranked] == sorted((each["share"] for each in ranked), reverse=True)


def test_replies_say_whether_their_scores_are_calibrated(
    client: TestClient, scenes: list[str], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> list[bool]:
        image = {"scene": scenes[0]}
        questions = {task: {"image": image, "question": "what is it ?", "task": task} for task in ("vqa", "gqa")}
        replies = [client.post("/api/v1/answer", json=question) for question in questions.values()]
        replies.append(client.post("/api/v1/ask", json={"method": "locate", "text": "the ball", "images": [image]}))
        replies.append(client.post("/api/v1/match", json={"images": [image], "captions": ["a ball"]}))
        return [reply.json()["calibrated"] for reply in replies]

    assert asked() == [True, False, False, False]
    monkeypatch.setitem(predictor.processor.temperatures, "coco", 1.5)
    assert asked() == [True, False, False, True]
    described = client.get("/openapi.json").json()["components"]["schemas"]
    for reply in (
        "AnswerReply",
        "LocateReply",
        "EntailsReply",
        "ChooseReply",
        "GuessReply",
        "VerifyReply",
        "MatchReply",
    ):
        assert "probabilities" in described[reply]["properties"]["calibrated"]["description"]


def test_replies_warn_of_a_task_that_the_last_training_left_out(
    client: TestClient, scenes: list[str], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = {"scene": scenes[0]}
    monkeypatch.setattr(predictor.processor, "left_out", ("gqa", "coco"))
    for task, warnings in (("vqa", []), ("gqa", [{"code": "left_out_task", "text": f"gqa: {LEFT_OUT}"}])):
        question = {"image": image, "question": "what colour is the ball ?", "task": task}
        told = client.post("/api/v1/answer", json=question).json()
        assert told["warnings"] == warnings and told["reliable"] is not bool(warnings)
    matched = client.post("/api/v1/match", json={"images": [image], "captions": ["a red ball"]}).json()
    assert {"code": "left_out_task", "text": f"coco: {LEFT_OUT}"} in matched["warnings"]


def test_any_method_is_asked_by_its_name(client: TestClient, scenes: list[str]) -> None:
    image = {"scene": scenes[0]}
    for method, key, text in (("answer", "question", "what colour is it ?"), ("entails", "statement", "it is green")):
        named = client.post("/api/v1/ask", json={"method": method, "text": text, "images": [image]})
        assert named.status_code == 200, named.text
        assert near(named.json(), client.post(f"/api/v1/{method}", json={"image": image, key: text}).json())
    able = "answer, entails, verify or locate"
    known = f"method: expected {able}, found"
    for method, problem, remedy in (
        ("count", f"{known} count", f"use {able}"),
        ("answers", f'{known} answers (did you mean "answer"?)', f"use {able}"),
        ("verify", "verify: expected 2 images, found 1", "pass 2"),
        *((method, f"{known} {method}", f"use POST /api/v1/{method}") for method in ("choose", "guess", "match")),
    ):
        refused = client.post("/api/v1/ask", json={"method": method, "text": "it", "images": [image]})
        message = problem.removeprefix("method: ")
        fields = None if message == problem else [{"path": "method", "message": message}]
        told = {"code": "invalid_input", "error": problem, "remedy": remedy, "fields": fields}
        assert refused.status_code == 422 and refused.json() == told
    refused = client.post("/api/v1/depends", json={"method": "choose", "text": "it", "image": image})
    assert refused.json()["error"] == "method: expected answer, entails or verify, found choose"
    assert [each["path"] for each in refused.json()["fields"]] == ["method"]
    refused = client.post("/api/v1/depends", json={"method": "verify", "text": "it", "image": image})
    assert [each["path"] for each in refused.json()["fields"]] == ["right"]


def test_an_image_in_the_request_is_the_same_image(client: TestClient, scenes: list[str]) -> None:
    by_id = client.post("/api/v1/answer", json={"image": {"scene": scenes[0]}, "question": "what is it ?"})
    image = base64.b64encode(png(1)).decode()
    inline = client.post("/api/v1/answer", json={"image": {"base64": image}, "question": "what is it ?"})
    assert near(inline.json(), by_id.json())


def test_a_scene_says_what_the_model_sees(
    client: TestClient, scenes: list[str], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client.get(f"/api/v1/scenes/{scenes[0]}").json()
    regions = predictor.scene(png(1)).regions
    assert (found["width"], found["height"], found["expires_in"]) == (160, 128, Limits().scene_seconds)
    assert near(found["boxes"], regions.boxes.tolist())
    assert regions.class_ids is not None
    assert found["labels"] == [predictor.extractor.network.classes[k] for k in regions.class_ids]
    assert found["warnings"] == []
    monkeypatch.setattr(Scene, "labels", None)
    assert client.get(f"/api/v1/scenes/{scenes[0]}").json()["labels"] == []
    monkeypatch.setattr("twelve.predictor.warnings.of_regions", lambda *_: (FOREIGN,))
    unusual = client.post("/api/v1/scenes", content=png(1), headers={"content-type": "image/png"}).json()
    assert unusual["warnings"] == [{"code": "unusual_image", "text": str(FOREIGN)}]
    assert client.get(f"/api/v1/scenes/{unusual['id']}").json() == unusual


def test_a_reply_says_where_the_new_image_is(client: TestClient) -> None:
    reply = client.post("/api/v1/scenes", content=png(1), headers={"content-type": "image/png"})
    place = str(reply.url.join(reply.headers["location"]))
    assert place == f"{client.base_url}/api/v1/scenes/{reply.json()['id']}" and client.get(place).status_code == 200
    described = client.get("/openapi.json").json()["paths"]["/api/v1/scenes"]["post"]["responses"]["201"]
    assert "Location" in described["headers"] and "SceneReply" in str(described["content"])


def test_every_reply_has_the_id_of_its_request(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "twelve.requests")
    for path in ("/health", "/nothing", "/", "/api/v1/answer"):
        ids = {client.get(path).headers["x-request-id"] for _ in range(2)}
        assert len(ids) == 2 and all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
        assert client.get(path, headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        assert path == "/health" or caplog.messages[-1].endswith(" ms mine-1")  # a probe is not logged
    for wrong in (b"two words", b"x" * 65, b"", "ä".encode(), b"a\tb"):
        assert re.fullmatch(
            "[0-9a-f]{16}", client.get("/health", headers={b"x-request-id": wrong}).headers["x-request-id"]
        )


def test_a_photograph_on_its_side_is_upright(client: TestClient) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.open(io.BytesIO(png(1))).save(file, "JPEG", exif=exif)
    found = client.post("/api/v1/scenes", content=file.getvalue(), headers={"content-type": "image/jpeg"}).json()
    assert (found["width"], found["height"]) == (128, 160)


def test_explained(client: TestClient, scenes: list[str]) -> None:
    asked = {"image": {"scene": scenes[0]}, "phrase": "the red one", "explain": True}
    found = client.post("/api/v1/locate", json=asked).json()["attention"]
    seen = client.get(f"/api/v1/scenes/{scenes[0]}").json()
    assert found["words"] == ["[CLS]", "[TASK]", "the", "red", "one", "[SEP]"]
    assert near(found["boxes"][1:], seen["boxes"])
    assert np.asarray(found["words_to_regions"]).shape == (6, len(seen["boxes"]) + 1)
    assert np.asarray(found["regions_to_words"]).sum(1) == pytest.approx(1, abs=1e-3)
    assert np.asarray(found["strongest"]).shape == np.asarray(found["regions_to_words"]).shape


@pytest.mark.parametrize("method", ["answer", "entails"])
def test_what_a_result_depends_on(method: str, client: TestClient, scenes: list[str], predictor: Predictor) -> None:
    asked = {"image": {"scene": scenes[0]}, "text": "is it red ?", "method": method}
    reply = client.post("/api/v1/depends", json=asked)
    assert reply.status_code == 200, reply.text
    assert near(reply.json(), predictor.scene(png(1)).depends("is it red ?", method=method).to_dict())


def test_what_a_result_about_two_images_depends_on(client: TestClient, scenes: list[str], predictor: Predictor) -> None:
    asked = {"image": {"scene": scenes[0]}, "right": {"scene": scenes[1]}, "text": "both are red", "method": "verify"}
    reply = client.post("/api/v1/depends", json=asked)
    assert reply.status_code == 200, reply.text
    left, right = predictor.scene(png(1)), predictor.scene(png(2))
    assert {*reply.json()["sides"]} == {"left", "right"}
    assert near(reply.json(), left.depends("both are red", method="verify", right=right).to_dict())
    alone = client.post("/api/v1/depends", json={**asked, "right": None})
    assert alone.status_code == 422 and alone.json()["remedy"] == "add right, the right image"
    many = client.post("/api/v1/depends", json={**asked, "method": "answer"})
    assert many.status_code == 422 and many.json()["error"] == "answer: expected 1 image, found 2"


def test_what_a_box_depends_on_is_refused(client: TestClient, scenes: list[str]) -> None:
    asked = {"image": {"scene": scenes[0]}, "text": "the red one", "method": "locate"}
    reply = client.post("/api/v1/depends", json=asked)
    assert reply.status_code == 422 and reply.json()["remedy"] == "use answer, entails or verify"


def test_a_threshold_means_not_there(client: TestClient, scenes: list[str]) -> None:
    asked = {"image": {"scene": scenes[0]}, "phrase": "the red one"}
    assert client.post("/api/v1/locate", json={**asked, "threshold": 1.0}).json()["box"] is None
    assert client.post("/api/v1/locate", json={**asked, "threshold": 0.0}).json()["box"] is not None


def test_forgotten(client: TestClient) -> None:
    made = client.post("/api/v1/scenes", content=png(3), headers={"content-type": "application/octet-stream"}).json()
    assert client.delete(f"/api/v1/scenes/{made['id']}").status_code == 204
    reply = client.post("/api/v1/answer", json={"image": {"scene": made["id"]}, "question": "what is it ?"})
    assert reply.status_code == 404 and "send the image to" in reply.json()["remedy"]
    again = client.delete(f"/api/v1/scenes/{made['id']}")
    assert again.status_code == 404 and again.json()["remedy"] == "do nothing: there is nothing to delete"


def test_a_wrong_method_names_the_right_one_with_an_example(client: TestClient) -> None:
    for path, example in (("scenes", "--data-binary @photograph.jpg"), ("answer", '-d \'{"image": {"scene": "ID"}')):
        reply = client.get(f"/api/v1/{path}")
        assert reply.status_code == 405 and reply.json()["error"] == f"/api/v1/{path} does not support GET"
        assert reply.json()["remedy"].startswith("use POST, for example curl") and example in reply.json()["remedy"]
        assert f" {client.base_url}/api/v1/{path}; see " in reply.json()["remedy"]
    assert client.post("/api/v1/model", json={}).json()["remedy"].startswith("use GET")


def test_a_wrong_method_names_all_that_the_path_supports(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    supported = {path: [method.upper() for method in of] for path, of in described.items()}
    supported |= {path: ["GET"] for path in ("/", "/page.js", "/docs", "/client.py", "/openapi.json")}
    assert supported["/api/v1/scenes/{scene}"] == ["GET", "DELETE"]
    for path, methods in supported.items():
        allowed = {*methods, *["HEAD"] * ("GET" in methods)}
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"):
            reply = client.request(method, path.replace("{scene}", "ID").replace("{name}", "NAME"))
            assert (reply.status_code == 405) == (method not in allowed), (method, path)
            if method not in allowed:
                listed = reply.headers["allow"].split(", ")
                assert len(listed) == len(allowed) and {*listed} == allowed, (method, path)
            if method == "PUT":
                assert re.split("[;,]", reply.json()["remedy"])[0] == f"use {' or '.join(methods)}", path


@pytest.mark.parametrize("image", ["abc", {}, {"scene": "a", "base64": "YQ=="}, None])
def test_how_to_name_an_image_is_said(client: TestClient, image: object) -> None:
    said = client.post("/api/v1/answer", json={"image": image, "question": "what is it ?"}).json()["error"]
    assert '{"scene": ' in said and "POST /api/v1/scenes" in said and '{"base64": ' in said


def test_curl_needs_another_option_for_images(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert "--data-binary @" in client.post("/api/v1/scenes", content=png(3), headers=form).json()["remedy"]
    without_breaks = png(3).replace(b"\n", b"").replace(b"\r", b"")
    reply = client.post(
        "/api/v1/scenes", content=b"\x89PNG\r\n\x1a\n" + without_breaks[6:], headers={"content-type": "image/png"}
    )
    assert reply.status_code == 201 or "by --data-binary" in reply.json()["remedy"]


def test_boxes_in_fractions_are_refused_and_the_schema_says_pixels(client: TestClient, scenes: list[str]) -> None:
    boxes = [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]]
    asked = {"image": {"scene": scenes[0]}, "question": "which ?", "boxes": boxes}
    reply = client.post("/api/v1/choose", json=asked)
    assert reply.status_code == 422 and "pixels" in reply.json()["error"] and "fractions" in reply.json()["error"]
    described = client.get("/openapi.json").json()["components"]["schemas"]
    assert "pixels" in described["ChooseRequest"]["properties"]["boxes"]["items"]["description"]


def test_data_of_ones_own_are_not_called_synthetic(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that continues from a model of the microworld, with its network, on images of its own."""
    own = predictor.processor.task_outputs | {"mine": predictor.processor.task_outputs["vqa"]}
    monkeypatch.setattr(predictor.processor, "task_outputs", own)
    monkeypatch.setitem(predictor.titles, "mine", "Mine")
    monkeypatch.setitem(predictor.methods, "answer", ["mine", *predictor.methods["answer"]])
    found = describe(predictor, Limits(), [])
    assert {task.name: task.synthetic for task in found.methods["answer"]} == {"mine": False, "vqa": True, "gqa": True}
    assert not found.synthetic and found.note is not None and found.note.startswith("Apart from “Mine”, this model")
    monkeypatch.setattr(predictor.processor, "left_out", tuple(own.keys() - {"mine"}))
    first = "This model was first trained on synthetic images only, not on photographs; then on “Mine”."
    assert describe(predictor, Limits(), []).note == first


def test_model_and_samples(client: TestClient) -> None:
    found = client.get("/api/v1/model").json()
    assert set(found["methods"]) == {*ASKED, "verify", "match"}
    assert [task["name"] for task in found["methods"]["answer"]] == ["vqa", "gqa"]
    assert "synthetic images only" in found["note"] and found["synthetic"] is True
    assert found["samples"] and all(sample["alt"] and sample["texts"] for sample in found["samples"])
    image = client.get(f"/api/v1/samples/{found['samples'][0]['name']}")
    assert Image.open(io.BytesIO(image.content)).size == (160, 128)


def test_who_saw_photographs_too_has_samples_without_a_note(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = predictor.processor.region_recipes
    drawn = Recipe.from_json(recipes["coco"])
    monkeypatch.setitem(
        recipes, "flickr30k", replace(drawn, config=replace(drawn.config, backbone="resnet18")).to_json()
    )
    assert predictor.note is None and samples_for(predictor, 1)
    monkeypatch.delitem(recipes, "coco")
    assert predictor.note is None and not samples_for(predictor, 1)
    monkeypatch.delitem(recipes, "flickr30k")
    assert predictor.note is None  # nothing is known


def test_the_page_asks_the_version_that_is_served(client: TestClient) -> None:
    assert f'const API = "{PREFIX.removeprefix("/")}";' in client.get("/api.js").text
    assert all(path.startswith(PREFIX) for path in client.get("/openapi.json").json()["paths"] if "/api" in path)


def test_watched(client: TestClient, scenes: list[str]) -> None:
    assert client.get("/health").json()["status"] == "ok"
    client.post("/api/v1/answer", json={"image": {"scene": scenes[0]}, "question": "what is it ?"})
    text = client.get("/metrics").text
    assert 'twelve_requests_total{endpoint="/api/v1/answer",status="200"}' in text
    assert "process_resident_memory_bytes" in text


def test_a_refused_request_is_counted_under_its_path(
    client: TestClient, scenes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The count and the log have no ids, so that the former is bounded and the latter opens no image."""
    caplog.set_level("INFO", "twelve.requests")
    client.post("/api/v1/scenes?secret=1", content=png(1), headers={"content-type": "text/plain"})
    client.head(f"/api/v1/scenes/{scenes[0]}")
    client.get("/secret")
    text = client.get("/metrics").text
    for path, status in (("/api/v1/scenes", 415), ("/api/v1/scenes/{scene}", 200), ("other", 404)):
        assert f'twelve_requests_total{{endpoint="{path}",status="{status}"}}' in text
    assert "secret" not in text + caplog.text and scenes[0] not in text + caplog.text
    assert [re.sub(r"\d+ ms [0-9a-f]{16}", "1 ms", line) for line in caplog.messages] == [
        "POST /api/v1/scenes 415 unsupported_type 1 ms",
        "HEAD /api/v1/scenes/{scene} 200 1 ms",
        "GET other 404 unknown_path 1 ms",
    ]
