"""The examples in the description of the API: each is valid, and requests and replies belong together."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from test_api import near

import twelve
from twelve.web import replies, requests
from twelve.web.app import create_app
from twelve.web.examples import EXAMPLES

PLACE = Path(__file__).parents[2] / "examples"
REQUESTS = [name for name in EXAMPLES if name.endswith("Request")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_valid(name: str) -> None:
    model: type[BaseModel] = getattr(requests, name, None) or getattr(replies, name)
    model.model_validate_json(json.dumps(EXAMPLES[name]))
    assert set(EXAMPLES[name]) <= set(model.model_fields)
    assert name in REQUESTS or set(EXAMPLES[name]) == set(model.model_fields) or name == "ImageOf"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    model, place = twelve.load(PLACE / "quickstart-model"), tmp_path_factory.mktemp("clone")
    images, index = Path("tutorial", "images", "mine"), place / "vectors"
    shutil.copytree(PLACE / images, place / "examples" / images)
    model.search(place / "examples" / images, "a green boat", index=index)
    return TestClient(create_app(model, hosts=(), no_token=True, index=index))


def test_every_request_and_reply_of_json_has_an_example(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    shown = described["components"]["schemas"]
    page = client.get("/docs").text
    others = 5  # model, scenes (put, got), health, errors
    assert page.count("<summary>Example of the reply</summary>") == len(REQUESTS) + others
    for path, methods in described["paths"].items():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in (each.get("content", {}).get("application/json") for each in bodies):
                if body is not None and "HTTPValidationError" not in str(body):
                    named = shown.get(body["schema"].get("$ref", "").rpartition("/")[2], {})
                    assert "example" in body or named.get("examples"), path


def test_every_example_of_the_description_has_its_own_schema(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    shown = described["components"]["schemas"]
    assert {name: schema["examples"] for name, schema in shown.items() if "examples" in schema} == {
        name: [example] for name, example in EXAMPLES.items()
    }
    asked = described["paths"]["/api/v1/ask"]["post"]["responses"]["200"]["content"]["application/json"]
    told = [
        (asked["schema"], asked["example"]),
        *(({"$ref": f"#/components/schemas/{n}"}, EXAMPLES[n]) for n in EXAMPLES),
    ]
    validators = pytest.importorskip(
        "jsonschema_rs", reason="jsonschema_rs is not installed (pip install 'twelve-vl[dev]')"
    )
    for schema, example in told:
        validators.Draft202012Validator({**schema, "components": described["components"]}).validate(example)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_answered_with_what_the_examples_say(name: str, client: TestClient) -> None:
    image, kind = (PLACE / "scene.jpg").read_bytes(), {"Content-Type": "image/jpeg"}
    stored = client.post("/api/v1/scenes", content=image, headers=kind).json()
    asked = json.loads(json.dumps(EXAMPLES[name]).replace('"ID"', json.dumps(stored["id"])))
    path = f"/api/v1/{name.removesuffix('Request').lower()}"
    reply = client.post(path, json=asked)
    assert reply.status_code == 200, reply.text
    of = client.get("/openapi.json").json()["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
    told = of.get("example") or EXAMPLES[of["schema"]["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = reply.json()
    same = set(told) - {"alternatives", "boxes", "labels", "confidence_without"}  # those lists are shortened
    assert near({key: found[key] for key in same}, {key: told[key] for key in same})


def test_the_example_of_a_model_is_the_one_of_the_other_examples() -> None:
    app = create_app(twelve.load(PLACE / "quickstart-model"), hosts=(), no_token=True)
    found, told = TestClient(app).get("/api/v1/model").json(), EXAMPLES["ModelReply"]
    for method, tasks in told["methods"].items():
        assert tasks and all(task in found["methods"][method] for task in tasks)
    assert told["limits"].items() <= found["limits"].items()
    rest = set(told) - {"methods", "limits", "samples"}  # shortened
    assert {key: found[key] for key in rest} == {key: told[key] for key in rest}


def test_every_task_of_an_example_is_one_of_the_model(client: TestClient) -> None:
    known = {task["name"] for tasks in client.get("/api/v1/model").json()["methods"].values() for task in tasks}
    named = re.findall(r'"task": "(.*?)"', json.dumps(client.get("/openapi.json").json()))
    shown = re.findall('"task": "(.*?)"', html.unescape(client.get("/docs").text))
    assert set(named) == set(shown) and len(set(named)) == 7 and set(named) <= known
