"""A tiny model behind the service, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_model
from fastapi import FastAPI

import twelve
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
    made = create_app(predictor, hosts=())
    yield made
    made.state.service.close()
