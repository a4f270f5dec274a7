"""The page /docs describes every path, and its examples are requests that the service answers."""

from __future__ import annotations

import html
import re
import shlex

from fastapi import FastAPI
from fastapi.testclient import TestClient
from test_api import png

from twelve.web.reference import reference
from twelve.web.uploads import FORM, IMAGES


def test_every_example_is_answered(searching_app: FastAPI) -> None:
    client = TestClient(searching_app)
    page = client.get("/docs").text
    described = client.get("/openapi.json").json()
    titles = re.findall("<h3><code>(.*?)</code>", page)
    assert titles == [f"{m.upper()} {path}" for path, methods in described["paths"].items() for m in methods]
    page = page.partition("</nav>")[2]
    assert "string; 1 to 2,000 characters<" in page and "number or null; 0 to 1; if the best box has a" in page
    plain = html.unescape(page)
    asked, measured = (
        plain.partition(f"POST /api/v1/{name}<")[2].split("</section>")[0] for name in ("ask", "depends")
    )
    assert '>"answer" or "entails" or "verify" or "locate"<' in asked
    assert '>"answer" or "entails" or "verify"; default "answer" (optional)<' in measured
    assert '1 to 20 items; an answer in it is "yes", "no" or "n/a"<' in plain and '>"ok"; always the same' in plain
    assert "<td>object; an image: either scene (id of an uploaded image) or base64 (the file; not stored)" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page) and "-H 'Authorization" not in plain
    assert "Bearer TOKEN" in reference(described, "http://x", token=True)
    answer = page.partition("POST /api/v1/answer<")[2].partition("</section>")[0]
    request, reply = (re.findall(r"<code>(\w+)</code></th>", part) for part in answer.split("<pre"))
    assert request[:2] == ["image", "question"] and {"answer", "score", "warnings"} <= {*reply}
    assert "<summary>Request</summary>" in answer and "<summary>Reply</summary>" in answer.partition("<pre")[2]
    assert not re.search("<table>(?!<thead>)", page.replace("</summary><table>", ""))  # all fields are folded
    stored = client.post("/api/v1/scenes", content=png(1), headers={"Content-Type": "image/png"}).json()["id"]
    for example in re.findall("<pre.*?>(.*?)</pre>", page):
        words = shlex.split(html.unescape(example).replace("ID", stored).replace("NAME", "sample-1.png"))
        body = words[words.index("-d") + 1] if "-d" in words else png(1) if "--data-binary" in words else None
        form = {"file": ("scene.png", png(1))} if "-F" in words else None
        method = "DELETE" if "-X" in words else "POST" if body or form else "GET"
        kind = {"Content-Type": "application/json" if "-d" in words else "image/png"} if body else None
        if method != "DELETE":  # the others need the image
            assert client.request(method, words[-1], content=body, files=form, headers=kind).is_success, example


def test_the_upload_has_its_content_types_a_form_and_the_status_of_its_reply(app: FastAPI) -> None:
    page = html.unescape(TestClient(app).get("/docs").text)
    upload, deleted, sample = (
        page.partition(f'<section id="{name}"')[2].partition("</section>")[0]
        for name in ("upload_image", "forget_image", "sample")
    )
    kinds = re.findall(r"<code>([\w/, -]+)</code></th>", upload.partition("<pre")[0])
    assert kinds == [", ".join(IMAGES), FORM] and "object; one part, of any name" in upload
    assert upload.count("<pre") == 2 and "-F file=@examples/scene.jpg http" in upload
    assert "<p>Reply with status 201 (application/json): the image is stored: its id, size and boxes. <" in upload
    assert "status 204 (no body): the image is deleted. <" in deleted and "200 (image/png): the image. <" in sample


def test_the_list_at_the_top_leads_to_every_endpoint_the_errors_and_the_token(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    names = [each["operationId"] for path in described["paths"].values() for each in path.values()]
    for token in (False, True):
        page = reference(described, "http://x", token=token)
        nav = page.partition("<nav")[2].partition("</nav>")[0]
        assert re.findall('href="#(.*?)"', nav) == [*names, "errors", *["token"] * token]
        assert re.findall('<section id="(.*?)"', page) == [*names, "errors", *["token"] * token]
    assert "<code>/health</code>, <code>/docs</code>" in page.partition('id="token"')[2]


def test_endpoints_are_in_the_groups_of_the_description(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    groups: dict[str, list[str]] = {tag["name"].capitalize(): [] for tag in described["tags"]}
    for each in (each for path in described["paths"].values() for each in path.values()):
        groups[each["tags"][0].capitalize()].append(each["operationId"])
    page = TestClient(app).get("/docs").text
    nav, _, main = page.partition("</nav>")
    lists = [part.split("<ul>") for part in nav.split("<nav")[1].split("<li>Errors")[0].split("</ul>")]
    shown = {re.sub("<.*?>", "", part[-2]): re.findall('href="#(.*?)"', part[-1]) for part in lists if len(part) > 1}
    assert list(shown.items()) == list(groups.items())
    parts = main.split('<section id="errors"')[0].split("\n<h2>")[1:]
    assert {part.partition("<")[0]: re.findall('<section id="(.*?)"', part) for part in parts} == groups
    assert [part.split("<p>")[1].split("<")[0] for part in parts] == [tag["description"] for tag in described["tags"]]


def test_a_parameter_of_a_path_says_what_it_is_and_is_not_empty(app: FastAPI) -> None:
    page = html.unescape(TestClient(app).get("/docs").text)
    assert page.count("<td>string; 1 to 64 characters; id of an uploaded image</td>") == 2
    assert "<td>string; 1 to 64 characters; one of those in /api/v1/model</td>" in page
    assert "<td>string or null; at most 64 characters; id of an uploaded image</td>" in page
    assert ">0 to" not in page
    assert not re.search("; 0 to [\\d,]+ (characters|items)", page)


def test_errors_have_their_form_and_what_to_do(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    section = reference(described, "http://x").partition('id="errors"')[2].partition("</section>")[0]
    assert re.findall(r"<code>(\w+)</code></th>", section) == ["code", "error", "remedy", "fields"]
    assert "write a question" in section and "<code>unknown_image</code>" in section
    of = {status for path in described["paths"].values() for each in path.values() for status in each["responses"]}
    assert set(re.findall(r'scope="row">(\d+)<', section)) == {"405", *(status for status in of if status >= "400")}
    each = [operation["responses"] for path in described["paths"].values() for operation in path.values()]
    assert all("500" in responses for responses in each) and "<code>internal_error</code>" in section
    assert "<code>Retry-After</code>" in section


def test_each_endpoint_lists_its_errors_and_the_main_ones_show_their_fields(app: FastAPI) -> None:
    described = TestClient(app).get("/openapi.json").json()
    page, opened = reference(described, "http://x"), list[str]()
    for each in (each for path in described["paths"].values() for each in path.values()):
        section = page.partition(f'<section id="{each["operationId"]}"')[2].partition("</section>")[0]
        wanted = ", ".join(status for status in sorted(each["responses"]) if status >= "400")
        assert f'<a href="#errors">Errors</a>: {wanted}.</p>' in section and "500" in wanted
        assert "Successful Response" not in str(each) and "uccessful" not in section
        opened += [each["operationId"]] * section.count(" open>")
    assert sorted(opened) == [name for name in ("answer", "search", "upload_image") for _ in ("Request", "Reply")]
    folded = re.sub("</?code>", "", page.partition('<section id="locate"')[2].partition("</section>")[0])
    assert "<summary>Request: image, phrase, task, explain, threshold</summary>" in folded
    assert ", reliable, warnings, attention, box, alternatives, unlikely</summary>" in folded


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
        "answer": ("image.scene", "image.base64", "attention.words"),
        "guess": ("dialogue[].question", "dialogue[].answer"),
        "ask": ("images[].scene",),
        "match": ("captions[].caption", "captions[].images[].share"),
        "model": ("methods.NAME[].name", "samples[].texts"),
    }
    for name, wanted in fields.items():
        section = page.partition(f'id="{name}"')[2].partition("</section>")[0]
        assert all(f"<code>{field}</code></th>" in section for field in wanted), name
    assert "object {" not in page
    assert ">object; the limits of the service<" in page and not re.search("<td>[^<]*; [A-Z][a-z]* ", page)
