"""The description of the API lists the codes of the errors that each endpoint replies with, and no others."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from conftest import listed
from fastapi import FastAPI
from starlette.testclient import TestClient
from test_hostile_requests import FORM, IMAGE, OCTETS, bomb, encoded, form

from twelve.predictor import Predictor
from twelve.web.app import create_app
from twelve.web.gate import Gate
from twelve.web.limits import Limits
from twelve.web.problems import CODES, MEANINGS, ServiceError

TOKEN = {"authorization": "Bearer a-secret-of-16-characters"}
JSON = {"content-type": "application/json"}
BAD = [encoded("PNG")[:500], bomb(8000, 8000)]
"""A damaged image, and one of too many pixels."""


@pytest.fixture(scope="module")
def clients(searcher: Predictor, searched: Any) -> Iterator[list[TestClient]]:
    """Of a service with an index, and of one without."""
    limits, token = Limits(max_bytes=100_000, body_seconds=0.05), TOKEN["authorization"].removeprefix("Bearer ")
    apps = [create_app(searcher, limits, token=token, index=index) for index in (searched, None)]
    yield [TestClient(app, base_url="http://localhost", headers=TOKEN, raise_server_exceptions=False) for app in apps]
    for app in apps:
        app.state.service.close()


def with_image(tree: Any, image: Mapping[str, str]) -> Any:
    """The example of a request, with another image instead of each."""
    if tree == {"scene": "ID"}:
        return image
    if isinstance(tree, dict):
        return {key: with_image(value, image) for key, value in tree.items()}
    return [with_image(value, image) for value in tree] if isinstance(tree, list) else tree


def in_base64(image: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(image).decode()}


def bodies(example: Any) -> Iterator[dict[str, Any]]:
    """Bodies that are wrong: JSON if there is an ``example``, otherwise images."""
    yield {"content": b"%!", "headers": {"content-type": "text/x"}}
    yield {"content": b" " * 300_000, "headers": JSON if example else OCTETS}
    if not example:
        yield from ({"content": image, "headers": OCTETS} for image in BAD)
        yield {"content": form(IMAGE), "headers": {**FORM, "origin": "null"}}
        yield {"content": b"nonsense", "headers": FORM}
        return
    yield from ({"content": content, "headers": JSON} for content in (b"{", b"\xff{}"))
    missing = with_image(example, {"scene": "none"})
    yield from ({"json": each} for each in (missing, {**missing, "task": "nonsense"}))
    yield from ({"json": with_image(example, in_base64(image))} for image in BAD)


def requests(path: str, example: Any, *, posted: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """URLs and other arguments of requests that are refused."""
    for place in ("none", "x" * 65, "a%0A"):
        yield path.format(scene=place, name=place), {}
    url = path.format(scene="none", name="none")
    yield f"{url}?image=none", {}
    yield from ((url, {"headers": headers}) for headers in ({"host": "evil.example"}, {"authorization": "Bearer no"}))
    yield from ((url, body) for body in (bodies(example) if posted else ()))


async def begun(app: FastAPI, path: str, headers: Mapping[str, str], *rest: Mapping[str, Any]) -> str:
    """The code of the reply to a request whose body begins and goes on with ``rest``, after which nothing comes."""
    messages, replied = [{"type": "http.request", "body": b"x", "more_body": True}, *rest], list[Any]()

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.sleep(60)

    async def send(message: Any) -> None:
        replied.append(message)

    given = {"host": "localhost", **TOKEN, **headers}
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "server": ("localhost", 80)}
    named = [(key.encode(), value.encode()) for key, value in given.items()]
    scope |= {"path": path, "query_string": b"", "root_path": "", "headers": named}
    await app(scope, receive, send)  # type: ignore[arg-type]
    return str(json.loads(replied[-1]["body"])["code"])


def raising(error: BaseException) -> Callable[..., Any]:
    async def raised(*_: object, **__: object) -> None:
        raise error

    return raised


def failures(service: Any, *, posted: bool) -> Iterator[tuple[object, str, Callable[..., Any]]]:
    """What fails in a service without a request being wrong: the function that fails, and what it does instead."""
    yield from ((Gate, "_through", raising(error)) for error in (ZeroDivisionError(), asyncio.CancelledError()))

    def full() -> None:
        raise service.busy()

    yield service, "admit", full
    yield service, "_result", raising(ServiceError("too_slow", "too slow"))
    if posted:  # the others do not run the model
        yield service, "_result", raising(ServiceError("no_number", "no number"))


@pytest.mark.parametrize(
    "name",
    [
        *("upload_image", "get_scene", "delete_scene", "answer", "locate", "entails", "depends", "choose", "guess"),
        *("verify", "ask", "match", "search", "thumbnail", "model", "sample", "health", "metrics"),
    ],
)
def test_each_endpoint_lists_its_codes(name: str, clients: list[TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = clients[0].app
    found = [(path, *each) for path, of in app.openapi()["paths"].items() for each in of.items()]
    ((path, method, operation),) = [each for each in found if each[2]["operationId"] == name]
    posted, url = method == "post", path.format(scene="none", name="none")
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    example = schema and app.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"][0]
    refused = [
        client.request(method, at, **given)
        for client in clients
        for at, given in requests(path, example, posted=posted)
    ]
    whole: dict[str, Any] = {"params": {"image": "sample-1.png"}} if name == "thumbnail" else {}
    if posted:
        whole = {"content": IMAGE, "headers": OCTETS}
        if example:
            whole = {"json": with_image(example, in_base64(IMAGE))}
    for place, function, fails in failures(app.state.service, posted=posted):
        with monkeypatch.context() as patched:
            patched.setattr(place, function, fails)
            refused.append(clients[0].request(method, url, **whole))
    codes = {reply.json()["code"] for reply in refused if reply.status_code >= 400}
    for rest in ((), ({"type": "http.disconnect"},)) if posted else ():
        codes.add(asyncio.run(begun(app, url, JSON if example else OCTETS, *rest)))
    assert codes == listed(app, url, method)
    for status, reply in operation["responses"].items():
        if status >= "400":
            own = reply["content"]["application/json"]["schema"]["properties"]["code"]["enum"]
            assert {CODES[code] for code in own} == {int(status)}
            assert reply["description"] == " ".join(f"`{code}`: {MEANINGS[code][0]}" for code in own)


def test_every_endpoint_is_among_them(app: FastAPI) -> None:
    (mark,) = test_each_endpoint_lists_its_codes.pytestmark  # type: ignore[attr-defined]
    assert {each["operationId"] for of in app.openapi()["paths"].values() for each in of.values()} == {*mark.args[1]}
