"""Behind a proxy that serves it under a path, or mounted in another application, the service gives right addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from twelve.predictor import Predictor
from twelve.web.app import create_app

TOKEN = "a-secret-of-16-characters"


@pytest.fixture(scope="module")
def guarded(predictor: Predictor) -> Iterator[FastAPI]:
    app = create_app(predictor, hosts=(), token=TOKEN)
    yield app
    app.state.service.close()


@pytest.mark.parametrize("given", ["/twelve", "/twelve/", "/a/b-c_1."])
def test_addresses_are_below_the_path_of_a_proxy(given: str, guarded: FastAPI) -> None:
    """The proxy removes the path from requests."""
    root, headers = given.rstrip("/"), {"x-forwarded-prefix": given}
    client = TestClient(guarded, "http://images.example.org", headers=headers)
    assert f" http://images.example.org{root}/api/v1/answer<" in client.get("/docs").text
    assert client.get("/openapi.json").json()["servers"] == [{"url": root}]
    assert client.get("/page.js").status_code == client.get("/").status_code == 200
    assert client.get("/api/v1/model").status_code == 401
    client.headers["authorization"] = f"Bearer {TOKEN}"
    remedy = client.get("/api/v1/anwser").json()["remedy"]
    assert remedy == f"use POST /api/v1/answer; see http://images.example.org{root}/docs for the form of requests"
    told = client.post("/api/v1/scenes", content=b"x", headers={"content-type": "text/plain"}).json()
    assert f" http://images.example.org{root}/api/v1/scenes; " in told["remedy"]
    assert 'endpoint="/api/v1/scenes",status="415"' in client.get("/metrics").text
    del client.headers["x-forwarded-prefix"]
    assert root not in client.get("/docs").text and "servers" not in client.get("/openapi.json").json()


def test_addresses_have_the_port_of_the_header_host(predictor: Predictor) -> None:
    """nginx passes it on as $http_host; $host has no port."""
    app = create_app(predictor, hosts=("images.example.org",), no_token=True)
    client = TestClient(app, "http://images.example.org:8443")
    assert " http://images.example.org:8443/api/v1/answer<" in client.get("/docs").text
    assert " http://images.example.org:8443/docs " in client.get("/api/v1/nosuch").json()["remedy"]
    assert client.get("/docs", headers={"host": "evil.example:8443"}).status_code == 400
    app.state.service.close()


@pytest.mark.parametrize(
    "given",
    [
        "twelve",
        "//evil.example",
        "/",
        "/a b",
        "/<b>",
        "/a'b",
        "/a?b",
        "/é",
        "/a,/b",
        "/a" * 5,
        "/..",
        "/a/../b",
        "/" + "a" * 33,
    ],
)
def test_what_is_no_plain_path_is_not_shown(given: str, app: FastAPI) -> None:
    headers = [("x-forwarded-prefix", given.encode())]
    client = TestClient(app, "http://images.example.org")
    for path in ("/docs", "/openapi.json", "/api/v1/anwser"):
        assert client.get(path, headers=headers).content == client.get(path).content
    twice = client.get("/openapi.json", headers=[("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/b")])
    assert "servers" not in twice.json()


@pytest.mark.parametrize("prefix", ["", "/proxy"])
def test_below_the_path_of_another_application_the_same_is_checked(prefix: str, guarded: FastAPI) -> None:
    outer = FastAPI()
    outer.mount("/m", guarded)
    client = TestClient(outer, headers={"x-forwarded-prefix": prefix})
    assert client.get("/m/health").status_code == 200 and client.get("/m/api/v1/model").status_code == 401
    assert f" http://testserver{prefix}/m/api/v1/answer<" in client.get("/m/docs").text
    client.headers["authorization"] = f"Bearer {TOKEN}"
    assert client.post("/m/api/v1/answer", content=b"{}").json()["error"].startswith("expected JSON, found")
    form = client.post("/m/api/v1/scenes", files={"file": b"x"}, headers={"origin": "http://evil.example"})
    assert form.json()["code"] == "foreign_origin"


def test_below_an_application_with_a_path_that_its_proxy_removes(guarded: FastAPI) -> None:
    outer = FastAPI()
    outer.mount("/m", guarded)
    client = TestClient(outer, "http://images.example.org", root_path="/proxy")
    assert client.get("/m/health").status_code == 200 and client.get("/m/api/v1/model").status_code == 401
    assert " http://images.example.org/proxy/m/api/v1/answer<" in client.get("/m/docs").text


@pytest.mark.parametrize("root", ["/tw", "/tw/"])
def test_a_final_slash_of_the_root_path_changes_nothing(root: str, guarded: FastAPI) -> None:
    client = TestClient(guarded, root_path=root)
    assert client.get("/tw/health").status_code == 200 and client.get("/tw/api/v1/model").status_code == 401
