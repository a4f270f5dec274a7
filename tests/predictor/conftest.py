"""A tiny model and an image that it can be asked about; each module has its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_model
from PIL import Image

import twelve
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.predictor import Predictor, Scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return twelve.load(folder)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return draw(sample_scene(np.random.default_rng(1)), seed=1)


@pytest.fixture(scope="module")
def scene(model: Predictor, image: Image.Image) -> Scene:
    return model.scene(image)
