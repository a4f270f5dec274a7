"""The model card says what a model knows, and from where."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tiny_model

from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.runs.card import Origin, origin_of_run, write_card

DATA = {"tasks": {"vqa": {"train": 7410}, "refcoco": {"train": 3722}}}
RUN: dict[str, Any] = {"drawn": False, "began": None, "validations": {}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("saved") / "model")


def card(folder: Path, origin: Origin, tasks: int | None = None) -> str:
    processor = TwelveProcessor.from_pretrained(folder)
    for name in list(processor.task_outputs)[tasks:] if tasks else []:
        del processor.task_outputs[name]
    return write_card(folder, Twelve.from_pretrained(folder).config, processor, origin, 1000).read_text()


def test_a_drawn_world_is_none_of_the_real_datasets(saved: Path) -> None:
    text = card(saved, origin_of_run(DATA, **RUN | {"drawn": True}))
    assert "a drawn world (microworld), not on the real datasets" in text and "7,410 drawn examples" in text
    assert 'model.scene("AN IMAGE OF THE DRAWN WORLD")' in text and "annotators" not in text
    text = card(saved, origin_of_run(DATA, **RUN))
    assert "drawn" not in text.lower() and "7,410 examples" in text and "annotators" in text
    assert "licences of their" in text


def test_what_is_known_when_a_model_is_saved(saved: Path) -> None:
    text = card(saved, origin_of_run(DATA, **RUN | {"validations": {"vqa": 0.4652}, "began": "runs/first"}))
    assert "| 7,410 examples | 46.5 |" in text and "continued from the model `runs/first`" in text
    assert "not been evaluated yet" in text and f"Written on {date.today().isoformat()}" in text
    assert 'twelve.load("PATH OF THIS FOLDER")' in text and "for 7 tasks" in text


def test_one_task_is_one(saved: Path) -> None:
    text = card(saved, origin_of_run({"tasks": {"vqa": {"train": 5}}}, **RUN), tasks=1)
    assert "model for 1 task\n" in text and "Trained on this task alone." in text
    assert "trained on |" not in card(saved, Origin("Converted."))
