"""A service with a token answers nobody without it; one that others can reach has a token, or was told to have none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from test_api import png
from typer.testing import CliRunner

import twelve.web
from twelve.cli import app as program
from twelve.errors import ConfigError
from twelve.predictor import Predictor
from twelve.web.app import create_app
from twelve.web.server import serve

TOKEN = "a-Secret_of.16+characters=%"
OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    app: FastAPI = create_app(predictor, hosts=(), token=TOKEN)
    yield TestClient(app)
    app.state.service.close()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


WRONG = {
    "none": {},
    "another": bearer("another-secret-of-16"),
    "nothing": bearer(""),
    "a part": bearer(TOKEN[:-1]),
    "more": bearer(TOKEN + "x"),
    "another case": bearer(TOKEN.lower()),
    "without a kind": {"authorization": TOKEN},
    "another kind": {"authorization": f"Basic {TOKEN}"},
    "in a cookie": {"cookie": f"token={TOKEN}"},
}


def test_a_command_that_is_advised_sends_the_token(client: TestClient) -> None:
    told = client.post("/api/v1/scenes", content=png(1), headers=bearer(TOKEN) | {"content-type": "text/plain"}).json()
    assert "-H 'Authorization: Bearer TOKEN' http://testserver/api/v1/scenes; " in told["remedy"]
    assert TOKEN not in told["remedy"]


@pytest.mark.parametrize("name", WRONG)
def test_without_the_token_nothing_is_done(name: str, client: TestClient) -> None:
    for method, path in (
        ("GET", "/api/v1/model"),
        ("HEAD", "/api/v1/model"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/scenes"),
        ("POST", f"/api/v1/scenes?token={TOKEN}"),
        ("POST", "/"),
        ("POST", "/health"),
        ("OPTIONS", "/api/v1/scenes"),
        ("DELETE", "/api/v1/scenes/x"),
        ("GET", "/nothing"),
        ("GET", "/health/../api/v1/model"),
        ("GET", "//api/v1/model"),
        ("GET", "/api/v1/samples/../model"),
        ("GET", "/page.js/../api/v1/model"),
    ):
        body = png(1) if method == "POST" else None
        reply = client.request(method, path, content=body, headers=OCTETS | WRONG[name])
        assert reply.status_code == 401, (method, path)
        assert reply.headers["www-authenticate"] == "Bearer" and TOKEN not in reply.text
        assert method == "HEAD" or reply.json()["remedy"]


def test_a_request_without_the_token_is_counted_under_its_path(client: TestClient) -> None:
    for path in ("/api/v1/answer", "/api/v1/nothing"):
        client.post(path)
    text = client.get("/metrics", headers=bearer(TOKEN)).text
    for endpoint in ("/api/v1/answer", "other"):
        assert f'twelve_requests_total{{endpoint="{endpoint}",status="401"}}' in text
    assert "nothing" not in text


def test_it_is_said_that_the_word_bearer_is_missing(client: TestClient) -> None:
    for given in (TOKEN, "x"):
        told = client.get("/api/v1/model", headers={"authorization": given}).json()
        assert told["error"] == "the word Bearer is missing before the token"
        assert told["remedy"].startswith("send the header Authorization: Bearer TOKEN, ")
    for given in ("", " ", "Bearer", "Bearer ", "bearer  "):  # as of a client whose variable is empty
        assert client.get("/api/v1/model", headers={"authorization": given}).json()["error"] == "the token is missing"
    assert client.get("/api/v1/model", headers=bearer("x")).json()["error"] == "the token is wrong"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic"),
        (f"basic {TOKEN}", "Basic"),
        ("Basic", "Basic"),
        ("DIGEST username=x", "Digest"),
        (f"Token {TOKEN}", "Token"),
        (f"{TOKEN} {TOKEN}", "another word"),  # two tokens without the word: the first is none to show
    ],
)
def test_another_scheme_is_named_without_what_follows(given: str, found: str, client: TestClient) -> None:
    told = client.get("/api/v1/model", headers={"authorization": given})
    assert (told.status_code, told.json()["error"]) == (401, f"expected Bearer, found {found}")
    assert told.json()["remedy"].startswith("send the header Authorization: Bearer TOKEN, with the token")
    assert not any(len(word) > 8 and word in told.text for word in given.split())


def test_two_tokens_are_none(client: TestClient) -> None:
    headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
    for several in (headers, headers[::-1]):
        assert client.get("/api/v1/model", headers=several).status_code == 401


def test_a_token_can_be_replaced_while_clients_use_the_old_one(predictor: Predictor) -> None:
    new = "the-new-secret-of-24-chars"
    app = create_app(predictor, hosts=(), token=f"{new} {TOKEN}")
    client = TestClient(app)
    for given, status in ((new, 200), (TOKEN, 200), (f"{new} {TOKEN}", 401), (new[:-1], 401), ("", 401)):
        assert client.get("/api/v1/model", headers=bearer(given)).status_code == status, given
    app.state.service.close()


METRICS = "a-secret-of-Prometheus"


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_metrics_token_opens_the_metrics_and_nothing_else(token: str | None, predictor: Predictor) -> None:
    app = create_app(
        predictor,
        token=token,
        metrics_token=f"{METRICS} the-old-secret-of-Prometheus",
        hosts=["testserver", "::1"],
        no_token=token is None,
    )
    client, free = TestClient(app), token is None
    for given in (METRICS, "the-old-secret-of-Prometheus"):
        assert client.get("/metrics", headers=bearer(given)).status_code == 200
        assert client.head("/metrics", headers=bearer(given)).status_code == 200
        for method, path in (
            ("GET", "/api/v1/model"),
            ("POST", "/api/v1/scenes"),
            ("DELETE", "/api/v1/scenes/x"),
            ("GET", "http://testserver//metrics"),
            ("GET", "/metrics/"),
            ("GET", "/metrics/../api/v1/model"),
            ("GET", "/metrics%0a"),
        ):
            reply = client.request(method, path, headers=OCTETS | bearer(given), content=png(1))
            assert (reply.status_code == 401) == (not free), path
    for wrong in (bearer(TOKEN), bearer(METRICS[:-1]), {}):  # that of the users does not open them
        reply = client.get("/metrics", headers=wrong)
        assert reply.status_code == 401 and "the metrics token is" in reply.json()["error"]
        assert "with the metrics token that the service was started with" in reply.json()["remedy"]
    assert client.post("/metrics").status_code == 401
    assert client.get("/health").status_code == client.get("/api/v1/model", headers=bearer(TOKEN)).status_code == 200
    described = client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"].keys() == {"token", "metrics_token"}
    operations = {path: each["get"].get("security") for path, each in described["paths"].items() if "get" in each}
    assert operations["/metrics"] == [{"metrics_token": []}]
    assert operations["/api/v1/model"] == [{"token": []}, *([{}] if free else [])]
    page = client.get("/docs").text
    section = page.partition('id="metrics"')[2].partition("</section>")[0]
    assert "Needs the metrics token, which opens nothing else." in section and "Bearer TOKEN" in section
    assert ("<code>/metrics</code> needs another token, the metrics token." in page) == (not free)
    app.state.service.close()


def test_not_ascii_is_no_token(client: TestClient) -> None:
    assert client.get("/api/v1/model", headers=[(b"authorization", b"Bearer \xff\xfe")]).status_code == 401


def test_with_the_token_everything_is(client: TestClient) -> None:
    for kind in ("Bearer", "bearer"):
        headers = {"authorization": f"{kind} {TOKEN}"}
        assert client.get("/api/v1/model", headers=headers).status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200
        assert client.post("/api/v1/scenes", content=png(1), headers=OCTETS | headers).status_code == 201


def test_the_page_and_health_need_none(client: TestClient) -> None:
    samples = client.get("/api/v1/model", headers=bearer(TOKEN)).json()["samples"]
    for path in ("/", "/page.js", "/docs", "/openapi.json", "/health", f"/api/v1/samples/{samples[0]['name']}"):
        assert client.get(path).status_code == 200
    assert client.get("/api/v1/samples/none").json()["code"] == "unknown_path"
    described = client.get("/openapi.json").json()["paths"]["/api/v1/answer"]["post"]["responses"]
    assert "401" in described


def test_the_description_says_what_needs_the_token(client: TestClient, app: FastAPI) -> None:
    described = client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    sample = client.get("/api/v1/model", headers=bearer(TOKEN)).json()["samples"][0]["name"]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            reply = client.request(method, path.format(name=sample, scene="x"))
            assert operation.get("security") == ([{"token": []}] if reply.status_code == 401 else None), path
    free = TestClient(app).get("/openapi.json").json()  # a service without a token ignores it
    assert free["components"]["securitySchemes"] == described["components"]["securitySchemes"]
    assert free["paths"]["/api/v1/model"]["get"]["security"] == [{"token": []}, {}]
    assert "security" not in free["paths"]["/health"]["get"]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "short",
        "with spaces in between",
        "ümlaute-sind-keine-zeichen",
        "x" * 20 + "\n",
        f"{TOKEN} short",
        f"short {TOKEN}",
        f"{TOKEN} ",
        f"{TOKEN}  {TOKEN}",
        f"{TOKEN} {TOKEN} {TOKEN}",
    ],
)
def test_tokens_that_cannot_be_sent_or_can_be_guessed(token: str, tmp_path: Path) -> None:
    for name, called in (("token", "token"), ("metrics_token", "metrics token")):
        with pytest.raises(ConfigError, match=f"expected a {called} of at least 16") as error:
            serve(tmp_path, **{name: token})  # type: ignore[arg-type]
        assert not token or token not in str(error.value)


NAMES = {
    "bad name/": False,
    "": False,
    "http://images.example.org": False,
    "images.example.org:8012": False,
    "images..org": False,
    "-images.org": False,
    "bücher.example": False,
    "a.org\n": False,
    "x" * 64: False,
    "images.example.org": True,
    "Images_1": True,
    "10.0.0.7": True,
    "fe80::1": True,
    "xn--bcher-kva.example": True,
}


@pytest.mark.parametrize("name", NAMES)
def test_only_a_host_name_is_a_name_of_the_service(name: str, tmp_path: Path) -> None:
    wrong = "expected a host name, found .* -> give the name alone, without http://"
    with pytest.raises(
        ConfigError if not NAMES[name] else Exception, match=r"config\.json|model" if NAMES[name] else wrong
    ):
        serve(tmp_path, port=0, names=[name], no_token=True)
    arguments = ["serve", str(tmp_path), "--no-token", "--name", "images.example.org", "--name", name]
    run = CliRunner().invoke(program, arguments)
    assert ("expected a host name" in str(run.exception)) == (not NAMES[name])


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_who_can_be_reached_wants_a_token(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no token is set -> set TWELVE_TOKEN .*--no-token"):
        serve(tmp_path, host=host, port=0)
    for more in ({"token": TOKEN}, {"no_token": True}):
        with pytest.raises(Exception, match=r"config\.json|model"):  # goes on, to find no model
            serve(tmp_path, host=host, port=0, **more)  # type: ignore[arg-type]


def test_the_command_takes_it_from_the_environment(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twelve.web, "serve", lambda run, **_: None, raising=False)
    arguments = ["serve", str(model_folder), "--host", "0.0.0.0", "--port", "0"]
    run = CliRunner().invoke(program, arguments, env={"TWELVE_TOKEN": "short"})
    assert "expected a token of at least 16" in str(run.exception)
    run = CliRunner().invoke(program, [*arguments, "--no-token"], env={"TWELVE_TOKEN": TOKEN})
    assert "expected a token or --no-token" in str(run.exception)
    run = CliRunner().invoke(program, arguments, env={"TWELVE_TOKENS": TOKEN})
    assert "other machines can reach 0.0.0.0, and no token is set" in str(run.exception)
    for more in ([], ["--host", "0.0.0.0"], ["--name", "images.example.org"], ["--no-token"]):
        run = CliRunner().invoke(program, ["serve", str(model_folder), *more], env={"TWELVE_TOKEN": ""})
        assert re.fullmatch(
            r"expected a token of at least 16 .*, found an empty one -> .*; to have none, unset TWELVE_TOKEN",
            str(run.exception),
        )


def test_the_command_takes_the_metrics_token_too(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(twelve.web, "serve", lambda run, **options: given.update(options), raising=False)
    arguments = ["serve", str(model_folder), "--port", "0"]
    for more, variables in ((["--metrics-token", METRICS], {}), ([], {"TWELVE_METRICS_TOKEN": METRICS})):
        given.clear()
        assert CliRunner().invoke(program, [*arguments, *more], env=variables).exit_code == 0
        assert (given["token"], given["metrics_token"]) == (None, METRICS)
    run = CliRunner().invoke(program, arguments, env={"TWELVE_METRICS_TOKEN": "short"})
    assert "expected a metrics token of at least 16" in str(run.exception)
    run = CliRunner().invoke(program, [*arguments, "--host", "0.0.0.0"], env={"TWELVE_METRICS_TOKEN": METRICS})
    assert "other machines can reach 0.0.0.0, and no token is set" in str(run.exception)
    run = CliRunner().invoke(program, arguments, env={"TWELVE_METRICS_TOKEN": ""})
    assert re.fullmatch(
        r"expected a metrics token .*, found an empty one -> .*; to have none, unset TWELVE_METRICS_TOKEN",
        str(run.exception),
    )


@pytest.mark.parametrize("name", ["token", "metrics token"])
def test_the_command_reads_a_token_in_a_file(
    name: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(twelve.web, "serve", lambda run, **options: given.update(options), raising=False)
    file, option = tmp_path / "secret", f"--{name.replace(' ', '-')}"
    variable = f"TWELVE_{name.replace(' ', '_').upper()}"
    arguments = ["serve", str(model_folder), "--port", "0"]

    def run(text: str | None, *more: str, **variables: str) -> str:
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        given.clear()
        found = CliRunner().invoke(program, [*arguments, *more], env=variables)
        return str(given[name.replace(" ", "_")] if found.exit_code == 0 else found.exception)

    for text, expected in ((f"{TOKEN}\n", TOKEN), (f"{TOKEN}\n{METRICS}\n", f"{TOKEN} {METRICS}")):
        assert run(text, f"{option}-file", str(file)) == run(text, **{f"{variable}_FILE": str(file)}) == expected
    both = f"expected {option} or {option}-file, found both -> omit one ({variable} and {variable}_FILE set them too)"
    assert run(TOKEN, f"{option}-file", str(file), option, TOKEN) == both
    assert run(TOKEN, f"{option}-file", str(file), **{variable: TOKEN}) == both
    assert run(TOKEN, **{f"{variable}_FILE": str(file), variable: ""}) == both
    wrong = f"{file}: expected a {name} of at least 16 printable ASCII characters, or two such tokens"
    assert run("short", f"{option}-file", str(file)).startswith(wrong)
    empty = run("\n", f"{option}-file", str(file))
    assert empty.startswith(wrong) and empty.endswith(f"to have none, unset {variable}_FILE and omit {option}-file")
    remedy = f"-> name a file with a token, or omit {option}-file ({variable}_FILE sets it too)"
    assert run(None, f"{option}-file", str(file)) == f"{file} cannot be read: No such file or directory {remedy}"
    assert run(TOKEN, f"{option}-file", str(tmp_path)).endswith(remedy)
    assert run(TOKEN, **{f"{variable}_FILE": ""}).endswith(remedy)


PUBLIC = {"images.example.org": True, "10.0.0.7": True, "localhost": False, "LOCALHOST": False, "127.0.0.2": False}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_wants_a_token(name: str, tmp_path: Path, predictor: Predictor) -> None:
    """A proxy forwards requests of other machines to a service that only this machine can reach."""
    names = ["::1", name]
    missing = rf"{name} is a public name, and no token is set -> set TWELVE_TOKEN .*--no-token"
    goes_on = r"config\.json|model"  # to find no model
    with pytest.raises(ConfigError if PUBLIC[name] else Exception, match=missing if PUBLIC[name] else goes_on):
        serve(tmp_path, port=0, names=names)
    for more in ({"token": TOKEN}, {"no_token": True}):
        with pytest.raises(Exception, match=goes_on):
            serve(tmp_path, port=0, names=names, **more)  # type: ignore[arg-type]
        create_app(predictor, hosts=names, **more).state.service.close()  # type: ignore[arg-type]
    if PUBLIC[name]:
        with pytest.raises(ConfigError, match=rf"hosts allows {name}, and no token is set -> pass token.*no_token"):
            create_app(predictor, hosts=names)
    else:
        create_app(predictor, hosts=names).state.service.close()


def test_an_application_for_every_name_wants_a_token(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="hosts allows every name, and no token is set"):
        create_app(predictor, hosts=())
    with pytest.raises(ConfigError, match="expected a token or no_token=True, found both"):
        create_app(predictor, token=TOKEN, no_token=True)
    with pytest.raises(ConfigError, match=r"expected a token of at least 16 .*, found an empty one"):
        create_app(predictor, token="")
    with pytest.raises(ConfigError, match=r"expected a metrics token of at least 16 .*, found an empty one"):
        create_app(predictor, metrics_token="")
