"""A tiny model behind the service, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from fastapi import FastAPI
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

import twelve
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.predictor import Predictor
from twelve.web import problems
from twelve.web.app import create_app


def listed(app: FastAPI, path: str, method: str) -> set[str] | None:
    """The codes that the description of an endpoint lists; None if there is no such endpoint."""
    for form, operations in app.openapi()["paths"].items():
        if compile_path(form)[0].fullmatch(path) and method.lower() in operations:
            bodies = [each.get("content", {}) for each in operations[method.lower()]["responses"].values()]
            schemas = [body["application/json"]["schema"] for body in bodies if "application/json" in body]
            return {code for schema in schemas for code in schema.get("properties", {}).get("code", {}).get("enum", ())}
    return None


@pytest.fixture(autouse=True)
def every_code_is_listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every error reply of a test in this process has a code that the description of its endpoint lists."""
    replied, send_reply = list[tuple[Scope, str]](), problems._Reply.__call__

    async def noted(reply: problems._Reply, scope: Scope, receive: Receive, send: Send) -> None:
        replied.append((scope, reply._code))
        await send_reply(reply, scope, receive, send)

    monkeypatch.setattr(problems._Reply, "__call__", noted)
    yield
    for scope, code in replied:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        codes = listed(scope["app"], path, scope["method"]) if "app" in scope else None
        assert codes is None or code in codes, (scope["method"], path, code)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = tiny_model.TASKS | {"gqa": ("answer", "answer")}  # one method may be asked as several tasks
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model", tasks, ["red", "green", "blue"])


@pytest.fixture(scope="session")
def predictor(model_folder: Path) -> Predictor:
    return twelve.load(model_folder)


@pytest.fixture(scope="session")
def app(predictor: Predictor) -> Iterator[FastAPI]:
    made = create_app(predictor, hosts=(), no_token=True)
    yield made
    made.state.service.close()


@pytest.fixture(scope="session")
def searching_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a contrast head, and two tasks for matching."""
    tasks = tiny_model.TASKS | {"flickr30k": ("alignment", "alignment")}
    return tiny_model.make(tmp_path_factory.mktemp("searching") / "model", tasks, contrast=16)


@pytest.fixture(scope="session")
def searcher(searching_model: Path) -> Predictor:
    return twelve.load(searching_model)


def images(folder: Path, count: int = 6) -> Path:
    """Images ``sample-1.png`` and so on in a new folder."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(folder / f"sample-{number}.png")
    return folder


@pytest.fixture(scope="session")
def searched(searcher: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of six images, beside them."""
    place = images(tmp_path_factory.mktemp("searched") / "images")
    searcher.search(place, "the red ball", index=place / "index")
    return place / "index"


@pytest.fixture(scope="session")
def searching_app(searcher: Predictor, searched: Path) -> Iterator[FastAPI]:
    made = create_app(searcher, hosts=(), no_token=True, index=searched)
    yield made
    made.state.service.close()
