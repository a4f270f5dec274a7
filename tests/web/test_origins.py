"""Pages of other origins can use the service if it was started with their origins, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from test_api import png
from typer.testing import CliRunner

import twelve.web
from twelve.cli import app as program
from twelve.errors import ConfigError
from twelve.predictor import Predictor
from twelve.web import access, listening
from twelve.web.app import create_app
from twelve.web.limits import Limits
from twelve.web.server import serve

PAGE, OTHER = "https://app.example.org", "http://localhost:3000"
TOKEN = {"authorization": "Bearer a-secret-of-16-characters"}
OCTETS = {"content-type": "application/octet-stream"}
ASKING = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
ALLOWED, VARY = "access-control-allow-origin", "vary"


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    limits = Limits(max_waiting=1)
    app = create_app(
        predictor, limits, hosts=["service"], token=TOKEN["authorization"][7:], allow_origins=[PAGE, OTHER]
    )
    yield TestClient(app, base_url="http://service", raise_server_exceptions=False)
    app.state.service.close()


@pytest.mark.parametrize("origin", [PAGE, OTHER])
def test_a_browser_may_ask_without_the_token_what_a_page_may_send(origin: str, client: TestClient) -> None:
    for path in ("/api/v1/scenes", "/api/v1/scenes/x", "/nothing"):
        reply = client.options(path, headers={"origin": origin, **ASKING})
        assert (reply.status_code, reply.content) == (204, b"")
        told = reply.headers
        assert (told[ALLOWED], told[VARY]) == (origin, "Origin")
        assert {"GET", "POST", "DELETE"} <= {*told["access-control-allow-methods"].split(", ")}
        assert {"authorization", "content-type"} <= {*told["access-control-allow-headers"].lower().split(", ")}
        assert int(told["access-control-max-age"]) > 0 and "x-request-id" in told
        assert "access-control-allow-credentials" not in told
    counted = client.get("/metrics", headers=TOKEN).text
    assert 'twelve_requests_total{endpoint="/api/v1/scenes",status="204"}' in counted


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", f"{PAGE}.evil.example", f"{PAGE}:8443", "http://app.example.org", "null", "", "*"],
)
def test_other_origins_are_told_nothing(origin: str, client: TestClient) -> None:
    asked = client.options("/api/v1/scenes", headers={"origin": origin, **ASKING})
    assert asked.status_code == 401
    for reply in (asked, client.get("/api/v1/model", headers={"origin": origin, **TOKEN})):
        assert not any(name.startswith("access-control") for name in reply.headers)
        assert reply.headers[VARY] == "Origin"
    twice = client.get("/api/v1/model", headers=[("origin", PAGE), ("origin", origin), *TOKEN.items()])
    assert ALLOWED not in twice.headers


def test_a_page_can_read_every_reply_also_errors(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    at = {"origin": PAGE}
    sent = client.post("/api/v1/scenes", content=png(1), headers=at | TOKEN | OCTETS)
    assert "access-control-allow-methods" not in sent.headers
    replies = {
        201: sent,
        200: client.get("/api/v1/model", headers=at | TOKEN),
        204: client.delete(f"/api/v1/{sent.headers['location']}", headers=at | TOKEN),
        401: client.get("/api/v1/model", headers=at),
        400: client.get("/api/v1/model", headers=at | TOKEN | {"host": "evil.example"}),
        404: client.get("/api/v1/scenes/x", headers=at | TOKEN),
        405: client.get("/api/v1/answer", headers=at | TOKEN),
        422: client.post("/api/v1/answer", json={}, headers=at | TOKEN),
        403: client.post("/api/v1/scenes", files={"file": png(1)}, headers=at | TOKEN),  # a form, as for every page
    }
    with service.pace.accepted():
        replies[429] = client.post("/api/v1/scenes", content=png(1), headers=at | TOKEN | OCTETS)
    monkeypatch.setattr(service, "check_threads", lambda: 1 / 0)
    replies[500] = client.get("/health", headers=at)
    for status, reply in replies.items():
        assert (reply.status_code, reply.headers.get(ALLOWED), reply.headers.get(VARY)) == (status, PAGE, "Origin")
        exposed = reply.headers["access-control-expose-headers"].lower().split(", ")
        assert {"retry-after", "x-request-id", "location"} == {*exposed}


def test_by_default_there_are_no_other_origins(app: object) -> None:
    client = TestClient(app)  # type: ignore[arg-type]
    for reply in (client.get("/health", headers={"origin": PAGE}), client.options("/", headers={"origin": PAGE})):
        assert not {VARY, ALLOWED} & {*reply.headers}


@pytest.mark.parametrize(
    ("origin", "meant"),
    [
        ("https://app.example.org/", PAGE),
        ("HTTPS://App.Example.org:443/page?x#y", PAGE),
        ("http://app.example.org:80", "http://app.example.org"),
        ("https://user@app.example.org", PAGE),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        *((each, PAGE) for each in ("", "app.example.org", "https://*.example.org", "https://a b", "file:///x")),
        *((each, PAGE) for each in ("https://", "https://a.org:x", "https://a.org:99999", "https://bücher.example")),
    ],
)
def test_what_is_no_origin_is_refused(origin: str, meant: str, predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match=r"^expected an origin as browsers send it, found '") as error:
        create_app(predictor, allow_origins=[PAGE, origin])
    assert str(error.value).endswith(f"such as {meant}")
    access.check_origin(meant)  # what is advised is taken


@pytest.mark.parametrize(("origin", "whose"), [("*", "every web page"), ("null", "every sandboxed page")])
def test_the_origin_of_everyone_is_refused(origin: str, whose: str) -> None:
    with pytest.raises(ConfigError, match=f"^the origin '[*]?(null)?' would let {whose} "):
        serve("nothing", allow_origins=[origin])


@pytest.mark.parametrize("origin", [PAGE, OTHER, "http://127.0.0.1:8000", "http://[::1]:3000", "http://localhost"])
def test_origins_are_taken(origin: str) -> None:
    access.check_origin(origin)


def test_the_option_can_be_repeated(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(twelve.web, "serve", lambda run, **options: given.update(options))
    monkeypatch.setattr(listening, "bound", lambda *_: type("Socket", (), {"close": lambda self: None})())
    folder = str(predictor.folder)
    run = CliRunner().invoke(program, ["serve", folder, "--allow-origin", PAGE, "--allow-origin", OTHER])
    assert run.exit_code == 0 and given["allow_origins"] == [PAGE, OTHER], run.output
    refused = CliRunner().invoke(program, ["serve", folder, "--allow-origin", "*"])
    assert "would let every web page use" in str(refused.exception)
