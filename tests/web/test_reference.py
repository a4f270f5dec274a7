"""The page /docs describes every path, and its examples are requests that the service answers."""

from __future__ import annotations

import dataclasses
import html
import re
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from test_api import png

import twelve.client
from twelve.outputs.parts.warned import CODES, Warned, reliable
from twelve.predictor import Predictor
from twelve.web import create_app
from twelve.web.examples import CLIENT
from twelve.web.limits import Limits
from twelve.web.reference import LIMITED, reference
from twelve.web.uploads import FORM, IMAGES


def test_every_example_is_answered(searching_app: FastAPI) -> None:
    client = TestClient(searching_app)
    page = client.get("/docs").text
    described = client.get("/openapi.json").json()
    titles = re.findall("<h3><code>(.*?)</code>", page)
    endpoints = [f"{m.upper()} {path}" for path, methods in described["paths"].items() for m in methods]
    assert titles == [*endpoints, "warnings", "attention"]
    page = page.partition("</nav>")[2]
    assert "string; 1 to 2,000 characters<" in page and "number or null; 0 to 1; confidence below which box" in page
    plain = html.unescape(page)
    asked, measured = (
        plain.partition(f"POST /api/v1/{name}<")[2].split("</section>")[0] for name in ("ask", "depends")
    )
    assert '>"answer" or "entails" or "verify" or "locate"<' in asked
    assert '>"answer" or "entails" or "verify"; default "answer" (optional)<' in measured
    assert '1 to 20 items; an answer in it is "yes", "no" or "n/a"<' in plain and '>"ok"; always the same' in plain
    assert "<td>object; an image: either scene (a scene id) or base64 (the file; not stored)" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page) and "-H 'Authorization" not in plain
    assert "Bearer TOKEN" in reference(described, "http://x", Limits(), token=True)
    answer = page.partition("POST /api/v1/answer<")[2].partition("</section>")[0]
    request, *_, reply = (re.findall(r"<code>(\w+)</code></th>", part) for part in answer.split("<pre"))
    assert request[:4] == ["image", "scene", "base64", "question"] and {"answer", "confidence", "warnings"} <= {*reply}
    assert "<summary>Request</summary>" in answer and "<summary>Reply</summary>" in answer.partition("<pre")[2]
    folded = page.partition("<h2>Parts")[0].replace("</summary><table>", "")
    assert not re.search("<table>(?!<thead>)", folded)  # all fields of endpoints are folded
    stored = client.post("/api/v1/scenes", content=png(1), headers={"Content-Type": "image/png"}).json()["id"]
    for example in re.findall('<pre[^>]* for curl">(.*?)</pre>', page):
        words = shlex.split(html.unescape(example).replace("ID", stored).replace("NAME", "sample-1.png"))
        body = words[words.index("-d") + 1] if "-d" in words else png(1) if "--data-binary" in words else None
        form = {"file": ("scene.png", png(1))} if "-F" in words else None
        method = "DELETE" if "-X" in words else "POST" if body or form else "GET"
        kind = {"Content-Type": "application/json" if "-d" in words else "image/png"} if body else None
        if method != "DELETE":  # the others need the image
            assert client.request(method, words[-1], content=body, files=form, headers=kind).is_success, example


def test_every_example_in_python_runs_and_prints_the_reply(
    searching_app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(searching_app)
    sections = client.get("/docs").text.split("<section ")[1:]
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "scene.jpg").write_bytes(png(1))
    monkeypatch.chdir(tmp_path)
    stored = client.post("/api/v1/scenes", content=png(1), headers={"Content-Type": "image/png"}).json()["id"]
    replied: list[Any] = []

    def opened(sent: Request, timeout: float) -> Any:
        body = sent.data if sent.data is None or isinstance(sent.data, bytes) else pytest.fail("expected bytes")
        reply = client.request(sent.get_method(), sent.full_url, content=body, headers=dict(sent.header_items()))
        assert reply.is_success and timeout, reply.text
        replied.append(reply)
        return nullcontext(SimpleNamespace(read=lambda: reply.content))

    monkeypatch.setattr("twelve.client.build_opener", lambda *_: SimpleNamespace(open=opened))
    monkeypatch.setitem(sys.modules, "client", twelve.client)
    found = [re.findall('<pre[^>]* for Python">(.*?)</pre>', section, re.S) for section in sections]
    programs = [html.unescape(each) for own in found for each in own]
    assert len(programs) == 18 == sum(map(bool, found))
    # The client has methods for all endpoints except these.
    plain = [re.findall(r"service\.(get|post|request)\((.*)\)$", each.removesuffix(".decode())")) for each in programs]
    assert [each[0][1].removesuffix(")") for each in plain if each] == [
        '"/api/v1/scenes/ID"',
        '"GET", "/api/v1/samples/NAME"',
        '"/health"',
        '"GET", "/metrics"',
    ]
    deleted = [each for each in programs if "scene.delete()" in each]
    for program in [*(each for each in programs if each not in deleted), *deleted]:
        exec(program.replace("ID", stored).replace("NAME", "sample-1.png"), {})
        reply, said = replied[-1], capsys.readouterr().out
        if reply.status_code == 201:
            assert said == f"{reply.json()['id']} {reply.json()['boxes']}\n"
        elif reply.headers.get("Content-Type") == "application/json":
            assert said == f"{reply.json()}\n"
        elif reply.status_code == 204:
            assert not said
        elif reply.headers["Content-Type"].startswith("image/"):
            assert Path("FILE").read_bytes() == reply.content and not said
        else:
            assert said.startswith(reply.text[:40])
    assert len([each for each in replied if each.request.url.path != "/api/v1/scenes"]) == 17
    described = client.get("/openapi.json").json()
    secret = html.unescape(reference(described, "http://x", Limits(), token=True))
    assert 'service = Client("http://x", "TOKEN")\nprint(service.model())' in secret


def test_the_upload_has_its_content_types_a_form_and_the_status_of_its_reply(app: FastAPI) -> None:
    page = html.unescape(TestClient(app).get("/docs").text)
    upload, deleted, sample = (
        page.partition(f'<section id="{name}"')[2].partition("</section>")[0]
        for name in ("upload_image", "delete_scene", "sample")
    )
    kinds = re.findall(r"<code>([\w/, -]+)</code></th>", upload.partition("<pre")[0])
    assert kinds == [", ".join(IMAGES), FORM] and "object; one part, of any name" in upload
    assert upload.count(" for curl") == 2 and "-F file=@examples/scene.jpg http" in upload
    assert "<p>Reply with status 201 (application/json): the new scene: its id, size and boxes. <" in upload
    assert "status 204 (no body): the scene is deleted. <" in deleted and "200 (image/png): the image. <" in sample


def test_the_list_at_the_top_leads_to_every_endpoint_the_errors_and_the_token(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    names = [each["operationId"] for path in described["paths"].values() for each in path.values()]
    for token in (False, True):
        page = reference(described, "http://x", Limits(), token=token)
        nav = page.partition("<nav")[2].partition("</nav>")[0]
        wanted = [*names, "warnings", "attention", "errors", "client", "limits", *["token"] * token]
        assert re.findall('href="#(.*?)"', nav) == re.findall('<section id="(.*?)"', page) == wanted
        introduction = page.partition("</header>")[0]
        assert ('This service requires a <a href="#token">token</a>.' in introduction) == token
    assert "<code>/health</code>, <code>/docs</code>" in page.partition('id="token"')[2]


def test_endpoints_are_in_the_groups_of_the_description(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    groups: dict[str, list[str]] = {tag["name"].capitalize(): [] for tag in described["tags"]}
    for each in (each for path in described["paths"].values() for each in path.values()):
        groups[each["tags"][0].capitalize()].append(each["operationId"])
    page = TestClient(app).get("/docs").text
    nav, _, main = page.partition("</nav>")
    lists = [part.split("<ul>") for part in nav.split("<nav")[1].split("<li>Parts")[0].split("</ul>")]
    shown = {re.sub("<.*?>", "", part[-2]): re.findall('href="#(.*?)"', part[-1]) for part in lists if len(part) > 1}
    assert list(shown.items()) == list(groups.items())
    parts = main.split("\n<h2>Parts")[0].split("\n<h2>")[1:]
    assert {part.partition("<")[0]: re.findall('<section id="(.*?)"', part) for part in parts} == groups
    assert [part.split("<p>")[1].split("<")[0] for part in parts] == [tag["description"] for tag in described["tags"]]


def test_a_parameter_of_a_path_says_what_it_is_and_is_not_empty(app: FastAPI) -> None:
    page = html.unescape(TestClient(app).get("/docs").text)
    assert page.count("<td>string; 1 to 64 characters; scene id</td>") == 2
    assert "<td>string; 1 to 64 characters; one of those in /api/v1/model</td>" in page
    assert "<td>string or null; at most 64 characters; scene id</td>" in page
    assert ">0 to" not in page
    assert not re.search("; 0 to [\\d,]+ (characters|items)", page)


def test_errors_have_their_form_and_what_to_do(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    section = reference(described, "http://x", Limits()).partition('id="errors"')[2].partition("</section>")[0]
    assert re.findall(r"<code>(\w+)</code></th>", section) == ["code", "error", "remedy", "fields", "path", "message"]
    assert "write a question" in section and "<code>unknown_scene</code>" in section
    of = {status for path in described["paths"].values() for each in path.values() for status in each["responses"]}
    assert set(re.findall(r'scope="row">(\d+)<', section)) == {"405", *(status for status in of if status >= "400")}
    each = [operation["responses"] for path in described["paths"].values() for operation in path.values()]
    assert all("500" in responses for responses in each) and "<code>internal_error</code>" in section
    assert "<code>Retry-After</code>" in section


def test_each_endpoint_lists_its_errors_and_the_main_ones_show_their_fields(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    page, opened = reference(described, "http://x", Limits()), list[str]()
    for each in (each for path in described["paths"].values() for each in path.values()):
        section = page.partition(f'<section id="{each["operationId"]}"')[2].partition("</section>")[0]
        wanted = ", ".join(status for status in sorted(each["responses"]) if status >= "400")
        assert f'<a href="#errors">Errors</a>: {wanted}.</p>' in section and "500" in wanted
        assert "Successful Response" not in str(each) and "uccessful" not in section
        opened += [each["operationId"]] * section.count(" open>")
    shown = ("Request", "Python", "Reply")
    assert sorted(opened) == [name for name in ("answer", "search", "upload_image") for _ in shown]
    folded = re.sub("</?code>", "", page.partition('<section id="locate"')[2].partition("</section>")[0])
    assert "<summary>Request: image, phrase, task, explain, threshold</summary>" in folded
    assert ", reliable, warnings, attention, box, alternatives, unlikely</summary>" in folded


def test_the_limits_are_those_of_the_service(predictor: Predictor) -> None:
    assert LIMITED.keys() == {field.name for field in dataclasses.fields(Limits)}
    app = create_app(predictor, Limits(max_waiting=7, answer_seconds=2.5))
    client = TestClient(app, base_url="http://localhost")
    section = client.get("/docs").text.partition('id="limits"')[2].partition("</section>")[0]
    told = client.get("/api/v1/model").json()["limits"]
    app.state.service.close()
    shown = dict(re.findall(r'<code>(\w+)</code></th><td class="value">([\d.,]+)</td>', section))
    assert (shown["max_waiting"], shown["answer_seconds"], shown["max_bytes"]) == ("7", "2.5", "16,000,000")
    assert (shown["scene_seconds"], len(shown)) == ("900", len(LIMITED))
    options = {name: getattr(Limits(), name) for name in told if name in LIMITED}
    assert options.keys() == {"max_bytes", "max_pixels", "max_request_pixels", "scene_seconds"}
    assert options.items() <= told.items()


def test_the_client_is_that_of_the_manual(app: FastAPI) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    assert f"```python\n{CLIENT}```" in manual
    section = html.unescape(TestClient(app).get("/docs").text).partition('id="client"')[2].partition("</section>")[0]
    shown = CLIENT.replace("http://127.0.0.1:8012", "http://testserver").replace("twelve.client", "client")
    source = Path(twelve.client.__file__).read_text(encoding="utf-8")
    assert shown in section and source in section and "curl -sO http://testserver/client.py" in section
    assert TestClient(app).get("/client.py").text == source
    for name in ("upload_image", "answer", "health"):  # beside each program that imports it
        section = TestClient(app).get("/docs").text.partition(f'id="{name}"')[2].partition("</section>")[0]
        assert "from client import Client" in section and "<code>curl -sO http://testserver/client.py</code>" in section


def test_the_codes_of_warnings_say_what_is_unreliable(app: FastAPI) -> None:
    section = TestClient(app).get("/docs").text.partition('id="warnings"')[2].partition("</section>")[0]
    shown = {code: value == "true" for code, value in re.findall(r"<code>(\w+)</code></th><td>(true|false)<", section)}
    assert shown == {code: reliable([Warned(code, "")]) for code in CODES}


def test_errors_say_what_404_means(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    assert "404" not in described["paths"]["/api/v1/scenes"]["post"]["responses"]
    told = described["paths"]["/api/v1/answer"]["post"]["responses"]["404"]["description"]
    assert told == "`unknown_scene`: The scene does not exist, or has expired."
    told = described["paths"]["/api/v1/scenes/{scene}"]["get"]["responses"]["404"]["description"]
    assert "`unknown_scene`" in told and "`unknown_path`" in told


def test_every_field_of_a_reply_says_what_it_is(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    shown = described["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name, schema in shown.items()
        if not name.endswith("Request") and name not in ("ImageOf", "Turn")
        for field, of in schema["properties"].items()
        if "description" not in {*of, *shown.get(of.get("$ref", "").rpartition("/")[2], {})}
        and "description" not in of.get("items", {})
    ]
    assert bare == []


def test_objects_in_objects_are_shown_with_their_fields(app: FastAPI) -> None:
    page = TestClient(app).get("/docs").text
    fields = {
        "answer": ("image.scene", "image.base64", "alternatives[].confidence"),
        "attention": ("words", "strongest"),
        "warnings": ("code", "text"),
        "guess": ("dialogue[].question", "dialogue[].answer"),
        "ask": ("images[].scene",),
        "match": ("captions[].caption", "captions[].images[].share"),
        "model": ("methods{NAME}[].name", "samples[].texts"),
    }
    for name, wanted in fields.items():
        section = page.partition(f'id="{name}"')[2].partition("</section>")[0]
        for field in wanted:
            depth, own = field.count("."), field.rpartition(".")[2]
            mark = f' class="in-{depth}" aria-label="{field}"' if depth else ""
            assert f'<th scope="row"{mark}><code>{own}</code></th>' in section, field
    replies = page.count('<a href="#attention">its fields</a>')
    assert replies == 6 and page.count("words_to_regions</code></th>") == 1  # described once
    assert page.count('; <a href="#warnings">their fields</a>') == replies + 5
    assert "<td>list of lists of numbers; " in page and "<td>list of lists of numbers or null; " in page
    assert "<td>list of 4 numbers; " in page and "<td>object with a list of objects for each name; " in page
    assert "array" not in page and "boolean" not in page and "integer" not in page
    assert "object {" not in page
    assert ">object; the limits of the service<" in page and not re.search("<td>[^<]*; [A-Z][a-z]* ", page)
