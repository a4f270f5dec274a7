"""/docs in a browser: a form sends a request to each endpoint that takes one, here below a path and with a token."""

from __future__ import annotations

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

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
    """The status of the reply, the reply, and the words of the command."""
    form.get_by_role("button", name="Send").press("Enter")
    form.get_by_text("The same with curl").wait_for()
    reply, command = form.locator("pre").all_inner_texts()
    status, unit = form.get_by_role("status").inner_text().removeprefix("Status ").split(", ")
    assert unit.endswith(" ms")
    return int(status), reply, shlex.split(command)


def test_every_request_is_answered_and_its_command_gets_the_same_reply(page: sync_api.Page, address: str) -> None:
    with urllib.request.urlopen(f"{address}/openapi.json") as described:
        paths = json.load(described)["paths"]
    names = {each["post"]["operationId"]: path for path, each in paths.items() if "post" in each}
    page.locator(".try").nth(len(names) - 1).wait_for()
    assert page.locator(".try").count() == len(names) > 9
    for name, path in names.items():
        form = opened(page, name)
        form.get_by_label("Token").fill(TOKEN)
        status, reply, words = sent(form)
        assert status == {"upload_image": 201, "search": 409}.get(name, 200), reply
        assert words[-1] == address + path and words[2:4] == ["-H", "Authorization: Bearer TOKEN"]
        if name == "upload_image":
            assert words[-3:-1] == ["--data-binary", "@sample-1.png"] and json.loads(reply)["id"]
            continue
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        asked = urllib.request.Request(words[-1], words[words.index("-d") + 1].encode(), headers)
        try:
            answered = urllib.request.urlopen(asked)
        except urllib.error.HTTPError as error:
            answered = error
        with answered:
            assert json.load(answered) == json.loads(reply), name
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert axe.findings(page) == []


def test_the_token_is_kept_for_the_tab_and_never_shown(page: sync_api.Page) -> None:
    form, other = opened(page, "answer"), opened(page, "search")
    status, reply, _ = sent(other)
    assert status == 401 and json.loads(reply)["code"] == "unauthorized"
    form.get_by_label("Token").fill(TOKEN)
    assert other.get_by_label("Token").input_value() == TOKEN
    page.reload()
    form = opened(page, "answer")
    assert form.get_by_label("Token").input_value() == TOKEN and sent(form)[0] == 200
    assert TOKEN not in page.locator("body").inner_text()


def test_a_file_replaces_the_sample_and_is_uploaded_again_once_it_is_gone(page: sync_api.Page, address: str) -> None:
    form, other = opened(page, "entails"), opened(page, "match")
    form.get_by_label("Token").fill(TOKEN)
    file = {"name": "it's mine.png", "mimeType": "image/png", "buffer": png(1)}
    form.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]
    assert form.get_by_label("Image", exact=True).input_value() == file["name"]
    body = form.get_by_label("Body")
    body.fill(body.input_value().replace("there is a red boat", "it's red"))
    status, reply, words = sent(form)
    assert status == 200 and json.loads(reply)["text"] == "it's red"
    scene = json.loads(words[words.index("-d") + 1])["image"]["scene"]
    other.get_by_label("Image", exact=True).select_option(str(file["name"]))
    assert f'{{"scene":"{scene}"}}' in sent(other)[2][-2]  # it is uploaded once
    stored = urllib.request.Request(f"{address}/api/v1/scenes/{scene}", None, {"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(stored) as found:
        assert json.load(found)["width"] == 160
    stored.method = "DELETE"
    urllib.request.urlopen(stored).close()
    assert [sent(form)[0], sent(form)[0]] == [404, 200]
    upload = opened(page, "upload_image")
    upload.get_by_label("Image", exact=True).select_option(str(file["name"]))
    assert sent(upload)[2][-2] == f"@{file['name']}"
