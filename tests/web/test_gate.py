"""What is beyond a limit is refused, and said so."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient
from test_api import png

from twelve import threads
from twelve.errors import ConfigError
from twelve.evaluation.predict import pair_tiles
from twelve.predictor import Matched, Predictor
from twelve.web.app import create_app
from twelve.web.limits import RANGES, Limits
from twelve.web.scenes import Scenes
from twelve.web.service import LARGE

OCTETS = {"content-type": "application/octet-stream"}


@contextmanager
def serving(predictor: Predictor, **limits: Any) -> Iterator[FastAPI]:
    app = create_app(predictor, Limits(**limits), hosts=(), no_token=True)
    try:
        yield app
    finally:
        app.state.service.close()


def test_threads_are_measured_before_anybody_asks(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    where: list[str] = []
    real = threads.measure

    def measure(*arguments: Any, **options: Any) -> Any:
        where.append(threading.current_thread().name)
        return real(*arguments, **options)

    monkeypatch.setattr(threads, "measure", measure)
    monkeypatch.setattr(threads, "most", lambda processes=1: 2)
    monkeypatch.setattr(predictor, "threads", predictor.threads)
    with threads.given_back(), serving(predictor) as app:
        predictor.measure_threads(said.append)
        app.state.service.warm_up()
        app.state.service.worker.do(lambda: None).result(60)
        assert where == ["model"] and " per step" in said[0]  # a busy machine is warned of, too
        inline = {"base64": base64.b64encode(png(1)).decode()}
        reply = TestClient(app).post("/api/v1/answer", json={"image": inline, "question": "what ?"})
        assert reply.status_code == 200 and where == ["model"]


def test_a_full_queue_is_429(predictor: Predictor) -> None:
    with serving(predictor, max_waiting=2) as app:
        client, service = TestClient(app), app.state.service
        asked = {
            "image": {"scene": TestClient(app).post("/api/v1/scenes", content=png(1), headers=OCTETS).json()["id"]}
        }
        busy, free = threading.Event(), threading.Event()
        service.worker.do(lambda: (busy.set(), free.wait()))  # the model is busy
        assert busy.wait(60)  # a question that came before would be answered first
        replies: list[int] = []

        def ask() -> None:
            own = TestClient(app)  # a client serves one thread
            replies.append(own.post("/api/v1/answer", json={**asked, "question": "what ?"}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while service.waiting < 2:
            assert all(thread.is_alive() for thread in threads), replies
            threading.Event().wait(0.01)
        refused = client.post("/api/v1/answer", json={**asked, "question": "what ?"})
        free.set()
        for thread in threads:
            thread.join()
        assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 60
        assert replies == [200, 200] and service.waiting == service.held == 0


def test_a_fast_model_is_not_waited_for(predictor: Predictor) -> None:
    with serving(predictor) as app:
        service = app.state.service
        service.pace.suppose(60.0)
        service.warm_up()
        service.worker.do(lambda: None).result(60)
        with service.pace.accepted():
            assert 1 <= int(service.busy().headers["Retry-After"]) < 30  # a busy machine may take seconds


def test_health_is_read_under_any_host_name(predictor: Predictor) -> None:
    """A probe sends the address of a container."""
    app = create_app(predictor, hosts=["images.example.org"], token="a-secret-of-16-characters")
    for host in ("10.0.0.7", "[fd00::7]", "evil.example"):
        client = TestClient(app, base_url=f"http://{host}:8012")
        assert client.get("/health").status_code == client.head("/health").status_code == 200
        assert client.post("/health").status_code == 401
        for path in ("/", "/metrics", "/api/v1/model", "/health%0a"):
            assert client.get(path).status_code in (400, 404), path
            assert client.get(path).json()["error"] in ("unknown host name", "no such path")
    app.state.service.close()


def test_the_description_lists_the_reply_to_another_host_name(predictor: Predictor) -> None:
    app = create_app(predictor, hosts=["images.example.org"], no_token=True)
    client = TestClient(app, base_url="http://evil.example")
    for path, of in app.openapi()["paths"].items():
        for method, operation in of.items():
            refused = client.request(method, path).status_code == 400
            assert refused == (path != "/health") and (not refused or "400" in operation["responses"]), (method, path)
    app.state.service.close()


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/metrics", "/api/v1/model", "/", "/page.js"])
def test_an_address_has_one_spelling(app: FastAPI, path: str) -> None:
    """A line break behind an address is not that address, nor is any other character that cannot be seen."""
    client = TestClient(app)
    assert client.get(path).status_code == 200
    for more in ("%0a", "%0d", "%0d%0a", "%00", "%7f", "%09"):
        for method in ("GET", "HEAD"):
            assert client.request(method, path + more).status_code == 404, (method, path + more)
    assert client.get("/health%0a").json()["error"] == client.get("/nothing").json()["error"]


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/metrics", "/api/v1/model", "/", "/page.js"])
def test_head_is_get_without_a_body(app: FastAPI, path: str) -> None:
    client = TestClient(app)
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code == 200 and head.content == b"" and got.content
    assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/nothing").status_code == 404
    reply = client.head("/api/v1/answer")
    assert reply.status_code == 405 and reply.headers["allow"] == "POST" and reply.content == b""


def test_given_up_in_time(predictor: Predictor) -> None:
    with serving(predictor, answer_seconds=2) as app:
        client, free = TestClient(app), threading.Event()
        app.state.service.worker.do(free.wait)
        inline = {"base64": base64.b64encode(png(1)).decode()}
        reply = client.post("/api/v1/answer", json={"image": inline, "question": "what ?"})
        free.set()
        assert reply.status_code == 429 and "retry-after" in reply.headers


def test_a_large_image_keeps_no_small_one_waiting(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scene_of, begun, free = predictor.scene, threading.Event(), threading.Event()

    def slow(image: Any, **options: Any) -> Any:
        if image.width * image.height > LARGE:
            begun.set()
            assert free.wait(60)
        return scene_of(image, **options)

    monkeypatch.setattr(predictor, "scene", slow)
    large = io.BytesIO()
    Image.new("RGB", (2500, 2000)).save(large, "PNG")
    with serving(predictor) as app:
        client, replies = TestClient(app), list[int]()
        scene = client.post("/api/v1/scenes", content=png(1), headers=OCTETS).json()["id"]
        ask = lambda: client.post("/api/v1/scenes", content=large.getvalue(), headers=OCTETS).status_code  # noqa: E731
        thread = threading.Thread(target=lambda: replies.append(ask()))
        thread.start()
        assert begun.wait(60)
        for image in ({"scene": scene}, {"base64": base64.b64encode(png(2)).decode()}):
            boxes = {"image": image, "question": "which ?", "boxes": [[10, 10, 60, 60]]}
            assert client.post("/api/v1/choose", json=boxes).status_code == 200
        assert not replies
        free.set()
        thread.join()
        assert replies == [201]


def test_a_search_keeps_no_question_waiting(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered between two steps."""
    matching, begun, answered = predictor.matching, threading.Event(), threading.Event()
    sizes: list[int] = []

    def slow(*arguments: Any, **options: Any) -> Generator[int, None, Matched]:
        steps = matching(*arguments, **options)
        sizes.append(next(steps))
        yield 0
        begun.set()
        while not answered.is_set():  # as long as the question waits
            yield 0
            time.sleep(0.01)
        return (yield from steps)

    monkeypatch.setattr(predictor, "matching", slow)
    with serving(predictor, answer_seconds=60) as app:
        client, replies = TestClient(app), list[Any]()
        scene = client.post("/api/v1/scenes", content=png(1), headers=OCTETS).json()["id"]
        asked = {"images": [{"scene": scene}] * 20, "captions": ["a red thing", "it"]}
        thread = threading.Thread(target=lambda: replies.append(client.post("/api/v1/match", json=asked)))
        thread.start()
        assert begun.wait(60)
        reply = client.post("/api/v1/answer", json={"image": {"scene": scene}, "question": "what ?"})
        assert reply.status_code == 200 and not replies
        answered.set()
        thread.join()
        assert replies[0].status_code == 200 and len(replies[0].json()["logits"][1]) == 20


async def raw(
    app: FastAPI,
    messages: list[dict[str, Any]],
    headers: list[tuple[bytes, bytes]],
    on_send: Callable[[Any], None] = lambda message: None,
    *,
    taking: bool = False,
) -> int:
    """Status of a request whose body comes in these messages; after them, nothing comes any more.

    Args:
        on_send: called with every part of the reply.
        taking: whether the messages that are read are taken from the list.
    """
    left, status = messages if taking else list(messages), 0

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(3600)
        return left.pop(0)

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        on_send(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v1/scenes",
        "raw_path": b"/api/v1/scenes",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", b"application/octet-stream"), *headers],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    return status


def part(size: int, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": bytes(size), "more_body": more}


def test_a_place_is_given_back_before_the_reply_is_read(predictor: Predictor) -> None:
    waiting: list[int] = []
    with serving(predictor) as app:
        sent = lambda _: waiting.append(app.state.service.waiting)  # noqa: E731
        assert asyncio.run(raw(app, [part(10, more=False)], [], sent)) == 415
    assert waiting and set(waiting) == {0}


def test_pixels_are_not_held_while_a_question_waits(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    ask, matching = predictor.ask, predictor.matching

    def asked(questions: Any, **options: Any) -> Any:
        seen.extend(scene.image is not None for question in questions for scene in question.scenes)
        return ask(questions, **options)

    def matched(scenes: Any, *arguments: Any, **options: Any) -> Any:
        seen.extend(scene.image is not None for scene in scenes)
        return matching(scenes, *arguments, **options)

    monkeypatch.setattr(predictor, "ask", asked)
    monkeypatch.setattr(predictor, "matching", matched)
    with serving(predictor) as app:
        client = TestClient(app)
        inline = {"base64": base64.b64encode(png(1)).decode()}
        kept = {"scene": client.post("/api/v1/scenes", content=png(1), headers=OCTETS).json()["id"]}
        for image in (inline, kept):
            for path, more in (
                ("answer", {"image": image, "question": "what ?"}),
                ("choose", {"image": image, "question": "which ?", "boxes": [[10, 10, 60, 60]]}),
                ("match", {"images": [image, inline], "captions": ["it"]}),
            ):
                assert client.post(f"/api/v1/{path}", json=more).status_code == 200
        assert client.get(f"/api/v1/scenes/{kept['scene']}").status_code == 200
    assert len(seen) == 8 and not any(seen)


def test_images_of_a_request_are_limited_together(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(predictor, "scene", lambda *_, **__: opened.append(1))
    with serving(predictor, max_request_pixels=3 * 160 * 128 - 1) as app:
        inline = {"base64": base64.b64encode(png(1)).decode()}
        reply = TestClient(app).post("/api/v1/match", json={"images": [inline] * 3, "captions": ["it"]})
        assert reply.status_code == 422 and "together" in reply.json()["error"] and not opened


def test_a_request_is_given_up_as_a_whole(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    scene_of = predictor.scene
    monkeypatch.setattr(predictor, "scene", lambda *a, **k: (opened.append(1), time.sleep(0.3), scene_of(*a, **k))[2])
    with serving(predictor, answer_seconds=0.5) as app:
        inline = {"base64": base64.b64encode(png(1)).decode()}
        reply = TestClient(app).post("/api/v1/match", json={"images": [inline] * 6, "captions": ["it"]})
        assert reply.status_code in (429, 503) and len(opened) < 4
        assert reply.json()["code"] == {429: "busy", 503: "too_slow"}[reply.status_code]


def test_what_took_too_long_is_told_apart(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scene_of, operator = predictor.scene, "ask the operator of the service for more time (--answer-seconds)"
    with serving(predictor, answer_seconds=0.3) as app:
        monkeypatch.setattr(predictor, "scene", lambda *a, **k: (time.sleep(1), scene_of(*a, **k))[1])
        told = TestClient(app).post("/api/v1/scenes", content=png(1), headers={"content-type": "image/png"})
        assert (told.status_code, told.json()["code"]) == (503, "too_slow")
        assert told.json()["remedy"] == f"send a smaller image, or {operator}"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_503(value: float, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = predictor.ask

    def unmatched(*arguments: Any, **options: Any) -> Generator[int, None, NDArray[np.float32]]:
        found = yield from pair_tiles(*arguments, **options)
        return found * np.float32(value)

    spoilt = lambda *a, **k: [dataclasses.replace(result, confidence=value) for result in ask(*a, **k)]  # noqa: E731
    monkeypatch.setattr(predictor, "ask", spoilt)
    monkeypatch.setattr("twelve.predictor.matching.pair_tiles", unmatched)
    with serving(predictor) as app:
        inline = {"base64": base64.b64encode(png(1)).decode()}
        for path, asked in (
            ("answer", {"image": inline, "question": "what ?"}),
            ("match", {"images": [inline], "captions": ["it"]}),
        ):
            reply = TestClient(app).post(f"/api/v1/{path}", json=asked)
            assert reply.status_code == 503 and reply.json()["code"] == "no_number"


def test_features_that_are_no_numbers_are_503(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    network = predictor.extractor.network
    describe = network.describe
    monkeypatch.setattr(network, "describe", lambda *a: [features * float("nan") for features in describe(*a)])
    with serving(predictor) as app:
        reply = TestClient(app).post("/api/v1/scenes", content=png(1), headers=OCTETS)
        assert reply.status_code == 503 and reply.json()["code"] == "no_number"


def test_a_slow_body_is_408(predictor: Predictor) -> None:
    sent: list[Any] = []
    with serving(predictor, body_seconds=0.1) as app:
        assert asyncio.run(raw(app, [part(10)], [], sent.append)) == 408
        assert app.state.service.held == 0
    told = json.loads(sent[-1]["body"])
    assert (told["code"], told["error"]) == ("slow_body", "the body did not arrive within 0.1 seconds")
    assert told["remedy"] == "send it faster, or ask the operator of the service for more time (--body-seconds)"


def test_an_endless_body_is_413_before_it_is_read(predictor: Predictor) -> None:
    with serving(predictor, max_bytes=1000) as app:
        assert asyncio.run(raw(app, [part(50_000)] * 10, [])) == 413
        assert asyncio.run(raw(app, [], [(b"content-length", b"100000000000")])) == 413
        assert app.state.service.held == 0


def test_bodies_together_are_limited(predictor: Predictor) -> None:
    with serving(predictor, max_bytes=1000, max_held_bytes=101_333, body_seconds=0.5) as app:
        app.state.service.held += 100_000  # the bodies of others
        assert asyncio.run(raw(app, [part(2000)], [])) == 429
        app.state.service.held -= 100_000
        assert app.state.service.held == 0


@pytest.mark.parametrize("held", [0, 110_000])
def test_who_is_refused_while_sending_gets_the_reply(held: int, predictor: Predictor) -> None:
    """The body is read to its end first: a connection with unread bytes is reset, and the reply is lost."""
    with serving(predictor, max_bytes=10_000, max_held_bytes=113_333, max_waiting=1) as app:
        service, parts = app.state.service, [part(5000), part(5000), part(5000, more=False)]
        unread: list[int] = []
        service.held += held
        with contextlib.ExitStack() as stack:
            if not held:
                stack.enter_context(service.pace.accepted())
            assert asyncio.run(raw(app, parts, [], lambda _: unread.append(len(parts)), taking=True)) == 429
        assert {*unread} == {0}
        service.held -= held
        assert service.held == 0


def test_scenes_are_few_small_and_short_lived(predictor: Predictor) -> None:
    now = 0.0
    scene = predictor.scene(png(1))
    size = 3 * 160 * 128
    kept = Scenes(Limits(max_scenes=2, scene_seconds=10), now=lambda: now)
    one, two = kept.add(scene), kept.add(scene)
    kept.get(one)
    three = kept.add(scene)  # two was asked about longest ago
    assert kept.get(one) is scene and kept.get(three) is scene and len(kept) == 2
    assert kept.bytes > 2 * size
    with pytest.raises(Exception, match="no scene has this id, or it has expired"):
        kept.get(two)
    now = 9.0
    kept.get(one)
    now = 11.0
    kept.expire()
    assert len(kept) == 1
    kept.remove(one)
    assert len(kept) == 0 and kept.bytes == 0
    small = Scenes(Limits(max_scene_bytes=2 * size))
    assert len({small.add(scene) for _ in range(5)}) == 5 and len(small) == 1


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
def test_limits_have_ranges(name: str) -> None:
    least, most = RANGES[name]
    for value in (0, -1, least / 2, most * 2, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=rf"^expected {name} of {least:,} to {most:,}, found {value:,}"):
            Limits(**{name: value})
    within = {"max_bytes": least, "max_held_bytes": most} if name == "max_bytes" else {"max_bytes": 1000, name: most}
    assert getattr(Limits(**within), name) in (least, most)


def test_the_bodies_of_all_requests_can_be_as_large_as_one() -> None:
    with pytest.raises(
        ConfigError, match=r"^expected max_held_bytes of at least 21,433,333, .* found 1,000,000 -> inc"
    ):
        Limits(max_held_bytes=1_000_000)


def test_an_error_of_ours_is_json_without_its_cause(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(predictor) as app:
        client = TestClient(app, raise_server_exceptions=False)

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("secret")

        monkeypatch.setattr(predictor, "scene", broken)
        reply = client.post("/api/v1/scenes", content=png(1), headers=OCTETS)
        assert reply.status_code == 500 and "secret" not in reply.text and reply.json()["error"]
        assert reply.json()["code"] == "internal_error" and "x-request-id" in reply.headers
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("line", "name"), [("worker", "model"), ("_small", "images"), ("_large", "large images"), (None, "searches")]
)
def test_health_is_red_once_a_thread_has_ended(
    line: str | None, name: str, searcher: Predictor, searched: Path
) -> None:
    app = create_app(searcher, hosts=(), no_token=True, index=searched)
    service, client = app.state.service, TestClient(app, raise_server_exceptions=False)
    ended = getattr(service, line) if line else service.searching.lines[0]
    ended.do(lambda: 1 // 0).exception(60)  # an error does not end it
    assert client.get("/health").json()["status"] == "ok"
    ended.do(sys.exit)
    ended._thread.join(60)
    for method in ("get", "head"):
        assert getattr(client, method)("/health").status_code == 500
    told = client.get("/health").json()
    assert (told["code"], told["error"]) == ("internal_error", f"the service has lost its thread for {name}")
    if line == "_small":  # no request waits for it
        assert client.post("/api/v1/scenes", content=png(1), headers=OCTETS).status_code == 500
    service.close()


def test_closing_does_not_wait_for_a_search_that_waits_for_a_lost_thread(
    searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.web.service._LEFT", 0.1)
    service = create_app(searcher, hosts=(), no_token=True, index=searched).state.service
    busy = threading.Event()
    ended = service.worker.do(lambda: busy.wait() and sys.exit())
    while not ended.begun:
        time.sleep(0.01)
    assert service.searching is not None
    searches = service.searching.lines[0]
    found = service.searching.search("the red ball", None, 1, 1.0)
    while not service.worker._works:  # the search waits for the text's vectors
        time.sleep(0.01)
    busy.set()
    service.worker._thread.join(60)
    service.close()
    assert not found.done() and searches._thread.is_alive()
    assert service.lost == "the service has lost its thread for model"


@pytest.mark.parametrize(("line", "name"), [("worker", "model"), ("_small", "images"), ("_large", "large images")])
def test_health_is_red_while_a_thread_hangs(
    line: str, name: str, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, free = [0.0], threading.Event()
    monkeypatch.setattr("twelve.web.line.monotonic", lambda: now[0])
    with serving(predictor, answer_seconds=20.0) as app:
        client = TestClient(app)
        hung = getattr(app.state.service, line).do(free.wait)
        while not hung.begun:
            time.sleep(0.01)
        now[0] = 200.0  # ten times as long as a request may take
        assert client.get("/health").status_code == 200
        now[0] = 201.0
        told = client.get("/health")
        problem = f"the thread for {name} has made no progress for 200 seconds"
        wanted = {"code": "internal_error", "error": problem, "remedy": "restart the service", "fields": None}
        assert (told.status_code, told.json()) == (500, wanted)
        assert app.state.service.lost is None  # the process goes on
        free.set()
        hung.result(60)
        until = time.monotonic() + 60
        while client.get("/health").status_code != 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert client.get("/health").status_code == 200
    assert Limits(answer_seconds=0.01).hung_seconds == 60


def test_health_stays_green_while_a_search_waits_for_the_model(
    searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = create_app(searcher, hosts=(), no_token=True, index=searched).state.service
    free = threading.Event()
    searching = service.searching.lines[0].do(free.wait)
    while not searching.begun:
        time.sleep(0.01)
    monkeypatch.setattr("twelve.web.line.monotonic", lambda: time.monotonic() + 100_000)
    assert service.hung is None and service.searching.lines[0].still > 100_000
    free.set()
    service.close()


def test_health_stays_green_while_too_many_wait(predictor: Predictor) -> None:
    with serving(predictor, max_waiting=1) as app:
        client = TestClient(app)
        with app.state.service.pace.accepted():
            assert client.post("/api/v1/scenes", content=png(1), headers=OCTETS).status_code == 429
            assert client.get("/health").json() == {"status": "ok", "waiting": 1, "scenes": 0}


def test_headers_keep_the_page_to_itself(predictor: Predictor) -> None:
    with serving(predictor) as app:
        client = TestClient(app)
        for path in ("/", "/page.js", "/api/v1/model", "/nothing"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
