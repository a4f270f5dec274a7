"""A tiny model behind the service, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from fastapi import FastAPI

import twelve
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.predictor import Predictor
from twelve.web.app import create_app


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
