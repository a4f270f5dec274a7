"""The model card says what a model knows, and from where."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from huggingface_hub import ModelCard

from twelve.evaluation.results import Baseline, TaskResult
from twelve.metrics.bootstrap import Interval
from twelve.microworld.scene import sample_scene
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.runs.card import write_card
from twelve.runs.card_origin import Origin, origin_of_run
from twelve.settings import TaskSettings
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks
from twelve.types.measurement import Protocol

DATA = {"tasks": {"vqa": {"train": 7410}, "refcoco": {"train": 3722}}}
BASELINES = {"chance": 1.0, "majority": 30.0}
CALLS = [
    *("scene.answer", "model.match", "scene.locate", "scene.choose", "scene.guess"),
    *("model.verify", "scene.entails"),
]
RUN: dict[str, Any] = {"drawn": False, "began": None, "validations": {}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("saved") / "model")


def card(folder: Path, origin: Origin, tasks: int | None = None, left_out: tuple[str, ...] = ()) -> str:
    processor = TwelveProcessor.from_pretrained(folder)
    processor.left_out = left_out
    if not (origin.drawn or left_out):
        processor.region_recipes = {}  # of an extractor of the microworld
    for name in list(processor.task_outputs)[tasks:] if tasks else []:
        del processor.task_outputs[name]
    return write_card(folder, Twelve.from_pretrained(folder).config, processor, origin, 1000).read_text()


def test_a_drawn_world_is_none_of_the_real_datasets(saved: Path) -> None:
    text = card(saved, origin_of_run(DATA, **RUN | {"drawn": True}))
    assert "synthetic stand-ins for the datasets" in text and "7,410 synthetic examples" in text
    assert "annotators" not in text and "photograph.jpg" not in text
    text = card(saved, origin_of_run(DATA, **RUN))
    assert (
        "drawn" not in text.lower()
        and "synthetic" not in text
        and 'model.scene("photograph.jpg")' in text
        and "7,410 examples" in text
        and "annotators" in text
    )
    assert "licences of their" in text and "\nInstall the package as the README of" in text
    assert "pip install" not in text


def test_what_is_known_when_a_model_is_saved(saved: Path) -> None:
    text = card(saved, origin_of_run(DATA, **RUN | {"validations": {"vqa": 0.4652}, "began": "/home/me/first"}))
    assert "| 7,410 examples | 46.5 |" in text and "Trained on vqa, refcoco. " in text
    assert "continued from the model `first`" in text and "left out" not in text
    assert "not been evaluated yet" in text and f"Written on {date.today().isoformat()}" in text
    assert 'twelve.load("PATH OF THIS FOLDER")' in text and "for 7 tasks" in text


def test_tasks_that_the_last_training_left_out_are_no_skills_of_the_model(saved: Path) -> None:
    """The fixture's regions are those of a microworld, which the base model therefore knew."""
    old = tuple(tiny_model.TASKS)[1:]
    origin = origin_of_run({"tasks": {"vqa": {"train": 16}}}, **RUN | {"began": "/home/me/old/run"})
    text = card(saved, origin, left_out=old)
    assert "model for 1 task\n" in text and "`old/run`" in text and "/home" not in text
    assert "left out these tasks of the base model:** COCO retrieval, RefCOCO, " in text
    assert text.count("| left out |") == len(old) and "| VQA v2 | answer | answer, 6 answers | 0 | 16 | 16 ex" in text
    assert "trained on synthetic images only" in text and ModelCard(text).data.tags[-1] == "synthetic-data"


def test_a_task_of_ones_own_does_not_hide_that_its_base_was_synthetic(saved: Path) -> None:
    processor = TwelveProcessor.from_pretrained(saved)
    processor.left_out = tuple(processor.task_outputs)
    processor.task_outputs = {"mine": "answer"} | processor.task_outputs
    settings = TaskSettings(kind="answer", train="train.jsonl", test_split="val.jsonl")
    origin = origin_of_run({"tasks": {"mine": {"train": 5}}}, **RUN | {"began": "base"})
    config = Twelve.from_pretrained(saved).config
    text = write_card(saved, config, processor, origin, 1000, own_tasks({"mine": settings})).read_text()
    first = "This model was first trained on synthetic images only, not on photographs; then on “mine”."
    assert f"\n**{first}**\n" in text and 'model.scene("image.jpg")' in text
    processor.task_outputs = {"second": "answer"} | processor.task_outputs  # of a run that began with this one
    text = write_card(
        saved, config, processor, origin, 1000, own_tasks({"mine": settings, "second": settings})
    ).read_text()
    assert f"\n**{first.replace('“mine”', '“mine”, “second”')}**\n" in text


def test_one_task_is_one(saved: Path) -> None:
    text = card(saved, origin_of_run({"tasks": {"vqa": {"train": 5}}}, **RUN), tasks=1)
    assert "model for 1 task\n" in text and "Trained on vqa alone." in text
    assert "trained on |" not in card(saved, Origin("Converted."))


def test_the_program_of_a_card_runs_as_it_stands(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The drawn image holds what the examples of all outputs ask about."""
    text = card(saved, replace(origin_of_run(DATA, **RUN | {"drawn": True}), source=str(saved)))
    program = text.split("```python\n")[1].split("```")[0]
    exec(program, {})
    assert program.count("print(") == 2 and len(capsys.readouterr().out.splitlines()) >= 2
    things = sample_scene(np.random.default_rng(3645)).things
    assert [(thing.colour, thing.size) for thing in things if thing.kind in ("boat", "cup")] == [("red", "small")] * 2


def test_the_program_of_a_model_of_all_kinds_runs(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = card(saved, Origin("Made up.", drawn=True, source=str(saved)))
    program = text.split("```python\n")[1].split("```")[0]
    exec(program, {})
    calls = [line.partition("(")[2].partition("(")[0] for line in program.splitlines() if line.startswith("print(")]
    assert calls == CALLS and len(capsys.readouterr().out.splitlines()) >= len(CALLS)


def test_the_program_asks_the_tasks_of_the_last_run_and_no_question_of_others(saved: Path) -> None:
    """A run that continues from a model keeps the tasks of that model, which it does not train."""
    text = card(saved, origin_of_run({"tasks": {"nlvr2": {"train": 5}}}, **RUN | {"began": "runs/base"}))
    assert printed(text) == ['print(model.verify(scene, scene, "both show a boat"))  # nlvr2']
    settings = TaskSettings(kind="answer", train="train.jsonl", test_split="val.jsonl")
    origin = origin_of_run({"tasks": {"mine": {"train": 5}}}, **RUN)
    processor = TwelveProcessor.from_pretrained(saved)
    processor.task_outputs = {"mine": "answer"} | processor.task_outputs
    own = own_tasks({"mine": settings})
    text = write_card(saved, Twelve.from_pretrained(saved).config, processor, origin, 1000, own).read_text()
    assert printed(text) == ['print(scene.answer("YOUR QUESTION"))  # mine']


def printed(text: str) -> list[str]:
    """The calls of a card's program."""
    return [line for line in text.split("```python\n")[1].split("```")[0].splitlines() if line.startswith("print(")]


def test_hubs_can_read_the_head(saved: Path) -> None:
    results = [tiny_result("vqa", "accuracy", 46.52), tiny_result("refcoco", "accuracy", 50.0)]
    origin = replace(origin_of_run(DATA, **RUN | {"results": results}), source="hub:me/tiny", licence="cc-by-4.0")
    data = ModelCard(card(saved, origin)).data
    assert data.license == "cc-by-4.0" and data.library_name == "twelve" and data.model_name == "me/tiny"
    assert data.pipeline_tag == "visual-question-answering"
    found = {each.task_type: (each.dataset_split, each.metric_type, each.metric_value) for each in data.eval_results}
    assert found == {"vqa": ("val", "accuracy", 46.52), "refcoco": ("val", "accuracy", 50.0)}
    synthetic = ModelCard(card(saved, replace(origin, drawn=True))).data
    assert {each.dataset_name for each in synthetic.eval_results} == {
        "VQA v2 (synthetic stand-in)",
        "RefCOCO (synthetic stand-in)",
    }


def test_results_stand_beside_the_best_baseline_and_what_is_possible(saved: Path) -> None:
    origin = replace(origin_of_run(DATA, **RUN), results=[tiny_result("vqa", "accuracy", 46.52)])
    text = card(saved, origin)
    assert "| VQA v2, accuracy | val, 90 examples | 46.5 [45.0, 48.0] | 30.0 (majority) | 99.0 |" in text
    assert text.index("## Use") < text.index("## Results") < text.index("## Tasks") < text.index("## Limits")


def tiny_result(task: str, metric: str, score: float) -> TaskResult:
    known = all_tasks()[task]
    return TaskResult(
        task=task,
        title=known.title,
        protocol=Protocol(split="val"),
        examples=90,
        groups=30,
        metric=metric,
        score=Interval(score, 45.0, 48.0),
        metrics={},
        baselines={
            name: Baseline(name, low, Interval(9, 8, 10)) for name, low in (("chance", 1.0), ("majority", 30.0))
        },
        upper_bound=99.0,
    )
