"""/docs in a browser: a form sends a request to each endpoint, here below a path and with a token."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe
import pytest
from serving import served
from test_api import png
from test_page import browser, sync_api  # noqa: F401

pytestmark = pytest.mark.slow
TOKEN = "a-secret-of-16-characters"
_CODE = f"""
import socket, sys, twelve, uvicorn
from fastapi import FastAPI
from twelve.web import create_app
outer, bound = FastAPI(), socket.create_server(("127.0.0.1", 0))
outer.mount("/below", create_app(twelve.load(sys.argv[1]), token="{TOKEN}"))
print(f"http://127.0.0.1:{{bound.getsockname()[1]}}/below")
uvicorn.Server(uvicorn.Config(outer, log_level="warning")).run(sockets=[bound])
"""


@pytest.fixture(scope="module")
def address(model_folder: Path) -> Iterator[str]:
    with served(model_folder, _CODE) as (_, found):
        yield found


@pytest.fixture(params=[1280, 390], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:  # noqa: F811
    context = browser.new_context(viewport={"width": request.param, "height": 844})
    found, complaints = context.new_page(), list[str]()
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    found.goto(f"{address}/docs")
    yield found
    context.close()
    assert [text for text in complaints if "the server responded with a status of 4" not in text] == []


def opened(page: sync_api.Page, name: str) -> sync_api.Locator:
    """The form of an endpoint, opened by keyboard."""
    folded = page.locator(f"#{name} .try")
    folded.locator("summary").press("Enter")
    folded.locator("form").wait_for()
    return folded


def sent(form: sync_api.Locator) -> tuple[int, str, list[str]]:
    """The status of the reply, the reply, and the words of the command that sends the request."""
    form.get_by_role("button", name="Send").press("Enter")
    form.get_by_text("The same with curl").wait_for()
    reply, command = form.locator("pre").all_inner_texts()
    status, unit = form.get_by_role("status").inner_text().removeprefix("Status ").split(", ")
    assert unit.endswith(" ms")
    return int(status), reply, shlex.split(command[command.rindex("curl -s ") :])


def asked(address: str, path: str, **options: Any) -> Any:
    """What the service replies, as JSON."""
    request = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {TOKEN}"}, **options)
    with urllib.request.urlopen(request) as reply:
        text = reply.read()
    return json.loads(text) if text else None


STATUS = {"upload_image": 201, "delete_scene": 204, "search": 409, "thumbnail": 409}
"""Endpoints whose reply is not 200."""


def test_every_command_gets_the_reply_that_is_shown(page: sync_api.Page, address: str, tmp_path: Path) -> None:
    paths = asked(address, "/openapi.json")["paths"]
    found = {each["operationId"]: (path, each) for path, of in paths.items() for each in of.values()}
    page.locator(".try").nth(len(found) - 1).wait_for()
    assert page.locator(".try").count() == len(found) == 18
    for name, (path, described) in found.items():
        form = opened(page, name)
        secret = "401" in described["responses"]
        assert form.get_by_label("Token").count() == secret
        if secret:
            form.get_by_label("Token").fill(TOKEN)
        if name == "thumbnail":
            form.get_by_label("image", exact=True).fill("a b.jpg")
        status, reply, words = sent(form)
        assert status == STATUS.get(name, 200), reply
        *_, command = form.locator("pre").all_inner_texts()
        run = subprocess.run(
            command.replace("TOKEN", TOKEN), shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        if name == "upload_image":
            again = json.loads(run.stdout)
            assert again | {"id": 0} == json.loads(reply) | {"id": 0}
        elif name == "sample":
            assert (tmp_path / "sample-1.png").read_bytes().startswith(b"\x89PNG") and not reply
            form.get_by_alt_text("The image of the reply").wait_for()
        elif name == "delete_scene":
            assert not reply and json.loads(run.stdout)["code"] == "unknown_scene"  # it is gone already
        elif name == "metrics":
            assert reply.partition("\n")[0] == run.stdout.partition("\n")[0] != ""
        elif name != "health":  # of other numbers by now
            assert json.loads(run.stdout) == json.loads(reply), name
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        assert re.fullmatch(re.escape(address) + pattern + r"(\?image=a%20b\.jpg)?", words[-1])
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert axe.findings(page) == []


FIELDS = {"answer": "question", "locate": "phrase", "entails": "statement", "choose": "question", "verify": "statement"}


def test_a_body_asks_about_the_selected_sample_until_it_is_edited(page: sync_api.Page, address: str) -> None:
    samples = asked(address, "/api/v1/model")["samples"]
    bodies = {name: opened(page, name).get_by_label("Body") for name in (*FIELDS, "guess", "match", "ask", "depends")}
    typed = bodies["locate"]
    typed.fill(typed.input_value().replace("the ", "a "))
    kept = typed.input_value()
    page.locator("#answer").get_by_label("Image", exact=True).select_option(samples[2]["name"])
    for place, texts in enumerate([samples[2]["texts"], samples[4]["texts"]]):
        if place:
            page.locator("#verify").get_by_label("Left image").select_option(samples[4]["name"])
        told = {name: json.loads(body.input_value()) for name, body in bodies.items()}
        for name, field in FIELDS.items():
            assert name == "locate" or told[name][field] == texts[name]
        assert told["guess"]["dialogue"] == [{"question": texts["guess"], "answer": "yes"}]
        assert told["match"]["captions"] == [texts["match"]]
        assert told["ask"]["text"] == told["depends"]["text"] == texts["answer"]
        assert typed.input_value() == kept
    opened(page, "model").get_by_label("Token").fill(TOKEN)
    form = page.locator("#choose .try")
    _, _, words = sent(form)
    body = json.loads(words[words.index("--data-raw") + 1])
    assert body["boxes"] == asked(address, f"/api/v1/scenes/{body['image']['scene']}")["boxes"]


def test_each_image_of_a_request_has_a_field_and_one_that_is_selected_is_so_everywhere(
    page: sync_api.Page, address: str
) -> None:
    verify, match, stored = opened(page, "verify"), opened(page, "match"), opened(page, "get_scene")
    verify.get_by_label("Token").fill(TOKEN)
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": png(1)}
    verify.locator("input[type=file]").nth(1).set_input_files([file])  # type: ignore[list-item]
    verify.get_by_label("Left image").select_option("sample-3.png")
    assert match.get_by_label("Image 1").input_value() == "sample-3.png"
    assert match.get_by_label("Image 2").input_value() == "mine.png"
    assert stored.get_by_label("Image", exact=True).input_value() == "sample-3.png"
    assert opened(page, "entails").get_by_label("Image", exact=True).input_value() == "sample-3.png"
    _, _, words = sent(verify)
    told = json.loads(words[words.index("--data-raw") + 1])
    assert told["left"] != told["right"]
    shown = json.loads(sent(stored)[1])
    assert shown["id"] == told["left"]["scene"]
    body = match.get_by_label("Body")
    body.fill(body.input_value().replace('"images": [', '"images": [{"scene": "ID"}, '))
    assert match.locator("select").count() == 3
    match.get_by_label("Image 3").select_option("mine.png")
    _, _, words = sent(match)
    ids = [each["scene"] for each in json.loads(words[words.index("--data-raw") + 1])["images"]]
    assert ids == [told["left"]["scene"], told["right"]["scene"], told["right"]["scene"]]  # each is uploaded once


def test_the_token_is_kept_for_the_tab_and_never_shown(page: sync_api.Page) -> None:
    form, other = opened(page, "answer"), opened(page, "search")
    field = other.get_by_label("Token (required)")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    other.get_by_role("button", name="Send").press("Enter")
    other.get_by_text("Enter the token first.").wait_for()
    assert asked == [] and field.evaluate("field => field.required && field === document.activeElement")
    field.fill("another-secret-of-16")
    status, reply, _ = sent(other)
    assert status == 401 and json.loads(reply)["code"] == "unauthorized" and asked
    form.get_by_label("Token").fill(TOKEN)
    assert other.get_by_label("Token").input_value() == TOKEN
    page.reload()
    form = opened(page, "answer")
    assert form.get_by_label("Token").input_value() == TOKEN and sent(form)[0] == 200
    assert TOKEN not in page.locator("body").inner_text()


def test_the_metrics_token_has_a_field_of_its_own(model_folder: Path, browser: sync_api.Browser) -> None:  # noqa: F811
    token, metrics = f', token="{TOKEN}"', ', token="a-secret-of-Prometheus"'
    assert token in _CODE
    own = _CODE.replace(token, token + metrics.replace("token", "metrics_token"))
    alone = _CODE.replace(token, ", no_token=True" + metrics.replace("token", "metrics_token"))
    for code in (own, alone):
        with served(model_folder, code) as (_, address):
            page = browser.new_context().new_page()
            page.goto(f"{address}/docs")
            form, other = opened(page, "metrics"), opened(page, "model")
            field = form.get_by_label("Metrics token (required)")
            assert "not the token of the other forms" in form.inner_text() and "etrics" not in other.inner_text()
            form.get_by_role("button", name="Send").press("Enter")
            form.get_by_text("Enter the metrics token first.").wait_for()
            field.fill("a-secret-of-Prometheus")
            if code == own:
                assert other.get_by_label("Token (required)").input_value() == ""
                other.get_by_label("Token (required)").fill(TOKEN)
                assert field.input_value() == "a-secret-of-Prometheus"
            else:
                assert other.get_by_label("Token").count() == 0
            status, reply, words = sent(form)
            assert status == 200 and "twelve_scenes" in reply and "Authorization: Bearer TOKEN" in words
            assert sent(other)[0] == 200
            page.context.close()


def test_a_file_replaces_the_sample_and_is_uploaded_again_once_it_is_gone(page: sync_api.Page, address: str) -> None:
    form, other = opened(page, "entails"), opened(page, "match")
    form.get_by_label("Token").fill(TOKEN)
    file = {"name": "it's mine.png", "mimeType": "image/png", "buffer": png(1)}
    form.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]
    assert form.get_by_label("Image", exact=True).input_value() == file["name"]
    body = form.get_by_label("Body")
    body.fill(re.sub('"statement": ".*"', '"statement": "it\'s red"', body.input_value()))
    status, reply, words = sent(form)
    assert status == 200 and json.loads(reply)["text"] == "it's red"
    scene = json.loads(words[words.index("--data-raw") + 1])["image"]["scene"]
    assert scene in sent(other)[2][-2]  # it is uploaded once
    stored = urllib.request.Request(f"{address}/api/v1/scenes/{scene}", None, {"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(stored) as found:
        assert json.load(found)["width"] == 160
    stored.method = "DELETE"
    urllib.request.urlopen(stored).close()
    assert [sent(form)[0], sent(form)[0]] == [404, 200]
    upload = opened(page, "upload_image")
    assert sent(upload)[2][4:8] == ["-H", "Content-Type: image/png", "--data-binary", f"@{file['name']}"]
    assert "\n" not in upload.locator("pre").last.inner_text()  # there is nothing to download


def test_a_command_is_copied_as_it_stands(page: sync_api.Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    example = page.locator("#upload_image .example").first
    command = example.locator("pre").inner_text()
    assert command.startswith("curl -s -H ") and " --data-binary @examples/scene.jpg http" in command
    button = example.get_by_role("button")
    assert button.evaluate("button => getComputedStyle(button).borderStyle") == "solid"  # a browser's own is outset
    button.click()
    example.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_examples_have_the_id_of_an_image_that_is_uploaded_until_it_is_gone(page: sync_api.Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer, verify, stored = (page.locator(f"#{name} > .example pre") for name in ("answer", "verify", "get_scene"))
    assert '{"scene": "ID"}' in answer.inner_text() and stored.inner_text().endswith("/scenes/ID")
    upload = opened(page, "upload_image")
    upload.get_by_label("Token").fill(TOKEN)
    name = json.loads(sent(upload)[1])["id"]
    page.locator("#answer > .example").get_by_role("button", name="Copy").click()
    page.locator("#answer > .example").get_by_role("button", name="Copied").wait_for()
    copied = shlex.split(page.evaluate("navigator.clipboard.readText()").replace("TOKEN", TOKEN))
    assert json.loads(copied[copied.index("-d") + 1])["image"] == {"scene": name}
    run = subprocess.run(copied, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["text"] == "what colour is the boat?"
    assert verify.inner_text().count(f'"{name}"') == 2 and stored.inner_text().endswith(f"/scenes/{name}")
    opened(page, "verify")
    both = json.loads((words := sent(page.locator("#verify .try"))[2])[words.index("--data-raw") + 1])
    assert both["left"]["scene"] == name and f'"{both["right"]["scene"]}"' in verify.inner_text()
    page.locator("#delete_scene .try summary").click()
    sent(page.locator("#delete_scene .try"))
    assert name not in page.locator("main .example pre").all_inner_texts().__str__()


def test_the_contents_stay_in_view(page: sync_api.Page) -> None:
    nav = page.get_by_role("navigation", name="Endpoints")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#match").evaluate("section => section.scrollIntoView()")
    first, last = nav.get_by_role("link").first, nav.get_by_role("link").last
    for link in (first, last):
        box = link.bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900 and box["x"] + box["width"] < 320
    page.set_viewport_size({"width": 390, "height": 900})
    page.locator("#match").evaluate("section => section.scrollIntoView()")
    summary = nav.get_by_text("Contents")
    box = summary.bounding_box()
    assert box and 0 <= box["y"] < 40 and not first.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert axe.findings(page) == []
    nav.get_by_role("link", name="POST /api/v1/locate").press("Enter")
    assert not first.is_visible()
    top = page.locator("#locate h3").bounding_box()
    assert top and 30 < top["y"] < 120
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_code_breaks_nowhere_and_scrolls(page: sync_api.Page) -> None:
    page.locator(".program summary").first.click()
    for block in page.locator(".program[open] pre").all():
        lines = block.inner_text().rstrip("\n").count("\n") + 1
        shown = block.evaluate(
            """block => { const range = document.createRange();
            range.selectNodeContents(block);
            return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size; }"""
        )
        assert 3 < shown <= lines
    wide = "block => block.scrollWidth > block.clientWidth"
    if page.viewport_size and page.viewport_size["width"] == 390:
        assert page.locator(".program[open] pre").first.evaluate(wide)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_width_scrolls_sideways(page: sync_api.Page) -> None:
    for width in (320, 360, 375, 390, 500):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        first, second, third = (
            cell.bounding_box() for cell in page.locator("#limits tbody tr").first.locator("> *").all()
        )
        assert first and second and third and second["y"] == first["y"] < third["y"] and third["width"] > 250
    assert axe.findings(page) == []
