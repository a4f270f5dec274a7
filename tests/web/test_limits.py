"""The limits that no option changes are those of /docs and docs/http-api.md: a request beyond one is refused."""

from __future__ import annotations

import html
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from test_hostile_requests import FORM, IMAGE, OCTETS, encoded, form, gif
from typer.testing import CliRunner

from twelve.cli import app as program
from twelve.predictor import Predictor
from twelve.web import create_app
from twelve.web.limits import MARKS, Limits
from twelve.web.reference import FIXED
from twelve.web.server import _run
from twelve.web.uploads import MAX_READS

MANUAL = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
OF = {"image": {"scene": "none"}}
BOX = [1, 2, 3, 4]
TURN = {"question": "is it red?", "answer": "yes"}
MATCHED: dict[str, Any] = {"images": [{"scene": "none"}], "captions": ["a ball"]}


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(f"/api/v1/{path}", json=body)


def upload(client: TestClient, content: bytes, headers: dict[str, str] = OCTETS) -> Any:
    return client.post("/api/v1/scenes", content=content, headers=headers)


def raw(client: TestClient, content: str) -> Any:
    return client.post("/api/v1/answer", content=content, headers={"content-type": "application/json"})


def scanned(count: int) -> bytes:
    """A JPEG of so many scans."""
    whole = encoded("JPEG", (16, 16), progressive=True)
    last, more = whole.rindex(b"\xff\xda"), count - whole.count(b"\xff\xda")
    return whole[:last] + whole[last:-2] * more + whole[last:]


def commented(count: int) -> bytes:
    """A JPEG with so many comments, each of which takes some reads, fewer than ten."""
    whole = encoded("JPEG", (16, 16))
    return whole[:2] + b"\xff\xfe\x00\x02" * count + whole[2:]


# What a limit is of -> a request of this size.
SENT: dict[str, Callable[[TestClient, int], Any]] = {
    "characters of a text": lambda client, size: post(client, "answer", **OF, question="a" * size),
    "boxes of a request": lambda client, size: post(client, "choose", **OF, question="it", boxes=[BOX] * size),
    "absolute value of a coordinate": lambda client, size: post(
        client, "choose", **OF, question="it", boxes=[[-size, 0, 1, 1]]
    ),
    "turns of a dialogue": lambda client, size: post(client, "guess", **OF, dialogue=[TURN] * size, boxes=[BOX]),
    "images of `ask`": lambda client, size: post(
        client, "ask", method="verify", text="it is red", images=[{"scene": "none"}] * size
    ),
    "images of `match`": lambda client, size: post(client, "match", **MATCHED | {"images": [OF["image"]] * size}),
    "captions of `match`": lambda client, size: post(client, "match", **MATCHED | {"captions": ["a ball"] * size}),
    "`top` and `shortlist` of `search`": lambda client, size: post(
        client, "search", text="a ball", top=size, shortlist=size
    ),
    "`contrast_weight`": lambda client, size: post(client, "match", **MATCHED, contrast_weight=size),
    "characters of a scene id": lambda client, size: client.get(f"/api/v1/scenes/{'a' * size}"),
    "characters of the name of a task": lambda client, size: post(
        client, "answer", **OF, question="it", task="a" * size
    ),
    "characters of the name of an image": lambda client, size: client.get(f"/api/v1/thumbnail?image={'a' * size}"),
    "longer side of an image": lambda client, size: upload(client, encoded("PNG", (8 * size, 8))),
    "read operations to decode one image file": lambda client, size: upload(
        client, commented(size // 10 if size == MAX_READS else size)
    ),
    "scans of a JPEG": lambda client, size: upload(client, scanned(size)),
    "files in a form": lambda client, size: upload(client, form(*[IMAGE] * size), FORM),
    "digits of a whole number": lambda client, size: raw(client, json.dumps(OF)[:-1] + f', "x": {"1" * size}}}'),
}
OTHERS = {
    "formats of images",
    "levels of nesting in JSON",
    "connections to `twelve serve`",
}
"""Limits without a number, or that only a server has: tested below."""


def rows(page: str) -> dict[str, str]:
    """What the limits of /docs are of, without their status -> their value."""
    fixed = page.partition("The following limits have no option of their own.")[2].partition("</section>")[0]
    found = re.findall(r'scope="row">(.*?)</th><td class="value">(.*?)</td>', fixed)
    return {re.sub("</?code>", "`", html.unescape(what)): value for what, value in found}


@pytest.mark.parametrize("what", SENT)
def test_a_request_beyond_a_limit_of_the_page_is_refused(what: str, searching_app: FastAPI) -> None:
    client = TestClient(searching_app, raise_server_exceptions=False)
    ((told, value),) = [each for each in rows(client.get("/docs").text).items() if each[0].startswith(what)]
    size, status = int(re.sub("( : 1|,)", "", value)), int(told.rpartition(" ")[2])
    within, beyond = SENT[what](client, size), SENT[what](client, size + 1)
    assert beyond.status_code == status and beyond.json()["error"] != within.json().get("error"), beyond.text
    assert within.status_code != status or within.json()["code"] == "unknown_task", within.text


def test_the_other_limits_of_the_page(searching_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(searching_app)
    found = rows(client.get("/docs").text)
    numbered = {what for what in found if what.startswith((*SENT, "bytes of a body"))}
    rest = {what.partition(",")[0].partition(";")[0]: value for what, value in found.items() if what not in numbered}
    assert rest.keys() == OTHERS and len(numbered) == len(SENT) + 1
    for name in re.findall(r"\w+", rest["formats of images"].replace(" or", "")):
        assert upload(client, encoded(name)).status_code == 201
    assert upload(client, encoded("TIFF")).status_code == 415 and upload(client, gif(2)).status_code == 422
    assert raw(client, "[" * 9000 + "]" * 9000).status_code == 400
    limits: Limits = searching_app.state.service.limits
    assert found["bytes of a body, which follow from `max_bytes`; more get 413"] == f"{limits.max_body:,}"
    assert raw(client, " " * (limits.max_body + 1)).status_code == 413
    assert raw(client, " " * limits.max_body).status_code == 422

    def configured(*_: Any, limit_concurrency: int, **__: Any) -> None:
        assert limit_concurrency == int(rest["connections to `twelve serve`"])
        raise InterruptedError

    monkeypatch.setattr("uvicorn.Config", configured)
    with socket.socket() as listener, pytest.raises(InterruptedError):
        _run(searching_app, listener)


def test_the_limits_of_the_manual_are_those_of_the_page() -> None:
    table = MANUAL.partition("| limit | value |")[2]
    assert tuple(re.findall(r"^\| (?!-)(.*) \| (.*) \|$", table, flags=re.M)) == FIXED


def test_what_max_marks_counts_is_told_alike(predictor: Predictor) -> None:
    app = create_app(predictor, Limits(max_marks=1000))
    client = TestClient(app, base_url="http://localhost")
    page = client.get("/docs").text
    for mark in '[]{}:,"':  # inside and outside of texts
        refusal = raw(client, mark * 1001).json()["error"]
        assert refusal == f"the JSON has more than 1,000 {MARKS}"
    app.state.service.close()
    help = " ".join(CliRunner().invoke(program, ["serve", "--help"], terminal_width=500).output.split())
    assert all(MARKS in each for each in (page, MANUAL, str(Limits.__doc__)))
    assert MARKS.capitalize() in help
    assert not re.search("brackets, (?!braces)", page + MANUAL + help, re.IGNORECASE)
