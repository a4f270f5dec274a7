"""What programs are made from: names, summaries and groups of the operations in the OpenAPI description."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError
from test_api import png

from twelve.outputs import OUTPUTS
from twelve.outputs.classes import Classes
from twelve.outputs.parts.result import named
from twelve.web.requests import ImageOf

NAMES = {
    "scenes": ["upload_image", "get_scene", "delete_scene"],
    "questions": ["answer", "locate", "entails", "depends", "choose", "guess", "verify", "ask", "match"],
    "search": ["search", "thumbnail"],
    "service": ["model", "sample", "health", "metrics"],
}
VERBS = "Answer|Call|Check|Choose|Delete|Describe|Find|Guess|Locate|Match|Measure|Return|Upload"


def test_operations_have_short_names_summaries_and_groups(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    assert described["info"]["description"] and [tag["name"] for tag in described["tags"]] == list(NAMES)
    operations = [each for path in described["paths"].values() for each in path.values()]
    found = [(*each["tags"], each["operationId"]) for each in operations]
    assert found == [(tag, name) for tag, names in NAMES.items() for name in names]
    for each in operations:
        assert re.fullmatch(rf"({VERBS}) [^.`]{{5,70}}", each["summary"]), each["summary"]
        assert each.get("description", "It.").endswith(".")
    assert len({each["summary"] for each in operations}) == len(operations)


def test_a_busy_service_says_when_to_come_again(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    replies = [each["responses"] for path in described["paths"].values() for each in path.values()]
    busy = [reply["429"]["headers"]["Retry-After"] for reply in replies if "429" in reply]
    assert len(busy) == 12 and all(header["schema"]["type"] == "integer" for header in busy)


def test_types_are_those_that_programs_need(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    shown = described["components"]["schemas"]
    outputs = [each for each in OUTPUTS.values() if isinstance(each, Classes) and "entails" in each.methods]
    classes = {named(name) for output in outputs for name in output.classes}
    assert set(shown["EntailsReply"]["properties"]["label"]["enum"]) == classes
    kinds = {name: field["type"] for name, field in shown["LimitsReply"]["properties"].items()}
    assert kinds.pop("scene_seconds") == "number" and set(kinds.values()) == {"integer"} and len(kinds) == 8
    asked = described["paths"]["/api/v1/ask"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    replies = {each["$ref"].rpartition("/")[2] for each in asked["anyOf"]}
    assert replies == {"AnswerReply", "EntailsReply", "LocateReply", "VerifyReply"}
    chosen = ["index", "box"]
    of = {"Answer": ["answer"], "Entails": ["label"], "Locate": ["box"], "Choose": chosen, "Guess": chosen}
    for reply, values in ((f"{method}Reply", values) for method, values in of.items()):
        each = shown[shown[reply]["properties"]["alternatives"]["items"]["$ref"].rpartition("/")[2]]
        assert each["required"] == list(each["properties"]) == [*values, "confidence"]
        own = shown[reply]["properties"]
        for value in values:  # an index and a box of the reply can be null
            kind = own[value]["anyOf"][0] if "anyOf" in own[value] else own[value]
            assert each["properties"][value].get("type") == kind["type"]
            assert each["properties"][value].get("enum") == kind.get("enum")


def test_an_image_and_a_form_have_exactly_one_part(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    form = described["paths"]["/api/v1/scenes"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    image = described["components"]["schemas"]["ImageOf"]
    assert image["properties"]["base64"]["anyOf"][0] == {"type": "string", "contentEncoding": "base64"}
    validators = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")
    for found, valid in (
        ({"scene": "ID"}, True),
        ({"base64": "aGk="}, True),
        ({"scene": None, "base64": "aGk="}, True),
        ({"scene": "ID", "base64": "aGk="}, False),
        ({"scene": None, "base64": None}, False),
        ({}, False),
    ):
        assert validators.Draft202012Validator(image).is_valid(found) == valid
        with nullcontext() if valid else pytest.raises(ValidationError):
            ImageOf.model_validate_json(json.dumps(found))
    for name in ("file", "photo"):  # a form's part may have any name
        assert validators.Draft202012Validator(form).is_valid({name: "..."})
        assert TestClient(app).post("/api/v1/scenes", files={name: ("x.png", png(1))}).status_code == 201
    assert not validators.Draft202012Validator(form).is_valid({})
    assert not validators.Draft202012Validator(form).is_valid({"file": "...", "photo": "..."})
