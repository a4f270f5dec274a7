"""The images with which the page of a model with a task of one's own opens: its own, or none."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_model
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.evaluation import recorded
from twelve.evaluation.results import Baseline, TaskResult, write_results
from twelve.metrics.bootstrap import Interval
from twelve.microworld.draw import draw
from twelve.microworld.language import NOUNS
from twelve.microworld.scene import sample_scene
from twelve.predictor import Dependence, Predictor, Question
from twelve.predictor.measured import TaskStanding, standings_of
from twelve.run_folder import RunFolder
from twelve.types.measurement import Protocol
from twelve.types.predictions import RecordedPrediction
from twelve.web import samples, server
from twelve.web.app import create_app
from twelve.web.samples import COUNT, SIDE, opening_samples, recorded_samples, samples_for

TASKS = {"mine": ("answer", "answer"), "vqa": ("answer", "answer"), "refcoco": ("region", "region")}
TOKEN = "a-token-of-16-characters"


def predicted(task: str, number: int, *images: str) -> RecordedPrediction:
    text, best = f"is it {number}?", (("yes", 0.9),)
    return RecordedPrediction(
        task, "answer", "test.jsonl", f"{task} {number}", text, images, {"yes": 1.0}, "yes", 0.9, best, 1.0
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An evaluated run on a task of one's own, which continued from a model of the microworld."""
    folder, root = tmp_path / "run", tmp_path / "root"
    tiny_model.make(folder / "model", TASKS, ["yes", "no"])
    (root / "images" / "mine").mkdir(parents=True)
    for number in range(8):
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(root / "images" / "mine" / f"{number}.png")
    Image.new("RGB", (3000, 30)).save(root / "images" / "mine" / "wide.jpg")
    (root / "images" / "mine" / "no.png").write_text("no image")
    own = {"kind": "answer", "train": "train.jsonl", "test_split": "test.jsonl", "images": "mine"}
    tree = {"run": str(folder), "data": str(root), "tasks": {"mine": own}}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    asked = [predicted("mine", 20, "mine/gone"), predicted("mine", 21, "mine/no"), predicted("mine", 22, "mine/wide")]
    asked += [predicted("mine", 23, "mine/wide"), predicted("mine", 24, "mine/0", "mine/1")]
    asked += [predicted("mine", number, f"mine/{number}") for number in range(8)]
    recorded.write(RunFolder(folder).predictions, [predicted("vqa", 30, "mine/7"), *asked])
    return folder


def test_samples_are_those_that_the_evaluation_recorded(run: Path) -> None:
    predictor = twelve.load(run)
    found = recorded_samples(predictor, run)
    assert (
        len(found) == COUNT and found[0].texts == {"answer": "is it 22?"} and found[1].texts == {"answer": "is it 0?"}
    )
    assert found[1].alt == "An image of “mine”: 0.png"
    wide, first = (Image.open(io.BytesIO(sample.png)) for sample in found[:2])
    assert wide.width == SIDE and first.size == (160, 128)
    client = TestClient(create_app(predictor, hosts=(), no_token=True, samples=found))
    assert client.get("/api/v1/model").json()["samples"][1]["texts"] == {"answer": "is it 0?"}
    assert client.get("/api/v1/samples/sample-2.png").content == found[1].png
    assert client.get("/api/v1/model").json()["samples"][1]["correct"] == "yes" and samples_for(predictor) == []


def test_usual_texts_are_those_of_tasks_of_ones_own(run: Path) -> None:
    predictor = twelve.load(run)
    predictor.processor.own_texts = {task: ["is it <b>22</b>?"] for task in predictor.processor.task_outputs}
    client = TestClient(create_app(predictor, hosts=(), no_token=True))
    tasks = [task for tasks in client.get("/api/v1/model").json()["methods"].values() for task in tasks]
    assert {task["own"] for task in tasks} == {True, False}
    assert all(task["texts"] == (["is it <b>22</b>?"] if task["own"] else []) for task in tasks)


def test_the_correct_reply_is_told_in_words_where_there_is_one(run: Path) -> None:
    one, frame = predicted("mine", 1, "mine/1"), [0.0, 0.0, 5.0, 5.0]
    graded = replace(one, target={"two": 0.3, "2": 1.0})
    unknown, box = (
        replace(one, target=None),
        replace(one, kind="region", target=frame, value=frame, alternatives=((frame, 0.9),)),
    )
    ranked = replace(one, kind="alignment", target="mine/2", rank=3)
    recorded.write(
        RunFolder(run).predictions,
        [replace(each, images=(f"mine/{n}",)) for n, each in enumerate((graded, unknown, box, ranked))],
    )
    found = recorded_samples(twelve.load(run), run)
    assert [sample.correct for sample in found] == ["2; partly correct: two (30 of 100)", None, None, None]


def evaluated(
    run: Path,
    *baselines: Baseline,
    examples: int = 16,
    score: float = 50.0,
    task: str = "mine",
    drawn: bool = False,
) -> None:
    result = TaskResult(
        task,
        task,
        Protocol("test.jsonl"),
        examples,
        examples,
        "accuracy",
        Interval(score, 25.0, 95.0),
        {},
        {baseline.name: baseline for baseline in baselines},
    )
    facts = dict.fromkeys(("parameters", "training_seconds", "evaluation_seconds"), 1.0)
    write_results(RunFolder(run).evaluation, [result], {**facts, "iterations": 4, "drawn": drawn})


def doubts_of(run: Path) -> dict[str, str | None]:
    return {task: standing.doubt for task, standing in standings_of(run).items()}


def test_a_task_that_is_not_above_a_baseline_says_so(run: Path) -> None:
    assert standings_of(run) == standings_of(run / "model") == standings_of(run / "nowhere") == {}
    none, some = Interval(0.0, -25.0, 25.0), Interval(30.0, 10.0, 50.0)
    evaluated(
        run, Baseline("majority", 50.0, none), Baseline("chance", 40.0, none), Baseline("bag of words", 60.0, some)
    )
    told = (
        "On its 16 test examples, this task scored 50.0: not shown to be better than the majority baseline "
        "(always giving the most frequent answer: 50.0; the difference may be chance)."
    )
    assert standings_of(run) == standings_of(run / "model") == {"mine": TaskStanding(doubt=told)}
    evaluated(run, Baseline("majority", 50.0, none), examples=1600, score=56.25)
    assert str(doubts_of(run)["mine"]).startswith(
        "On its 1,600 test examples, this task scored 56.2: not shown to be better than "
    )
    evaluated(run, Baseline("bag of words", 90.0, Interval(-40.0, -50.0, -30.0)))
    worse = "this task scored 50.0: worse than the bag of words baseline (a text-only model: 90.0)."
    assert str(doubts_of(run)["mine"]).endswith(worse)
    evaluated(run, Baseline("majority", 50.0, some))
    assert doubts_of(run) == {"mine": None}
    RunFolder(run).evaluation.write_text("damaged")
    assert standings_of(run) == {}
    evaluated(run / "model", Baseline("majority", 50.0, none))  # a pushed model has its evaluation beside it
    assert doubts_of(run / "model") == {"mine": told}
    client = TestClient(create_app(twelve.load(run), hosts=(), no_token=True))
    tasks = client.get("/api/v1/model").json()["methods"]["answer"]
    assert {task["name"]: (task["own"], task["doubt"], task["test_score"]) for task in tasks} == {
        "mine": (True, told, None),
        "vqa": (False, None, None),
    }


def test_an_answer_of_a_task_that_is_not_above_a_baseline_has_a_warning(run: Path) -> None:
    image, asked = run.parent / "root" / "images" / "mine" / "0.png", "is it ?"

    def codes(task: str) -> list[str]:
        """Of an answer in Python."""
        return [each.code for each in twelve.load(run).scene(image).answer(asked, task=task).warnings]

    assert "doubtful_task" not in codes("mine")  # nothing is stored
    evaluated(run, Baseline("majority", 50.0, Interval(0.0, -25.0, 25.0)))
    told = (
        "mine: on its 16 test examples, this task scored 50.0: not shown to be better than the majority baseline "
        "(always giving the most frequent answer: 50.0; the difference may be chance)"
    )
    predictor = twelve.load(run)
    result = predictor.scene(image).answer(asked, task="mine")
    assert result.warnings[-1:] == (told,) and not result.reliable
    question = predictor.question("answer", asked, predictor.scene(image), task="mine")
    assert predictor.depends(question).warnings[-1:] == (told,)
    assert "doubtful_task" not in codes("vqa")  # nothing is stored of it
    client = TestClient(create_app(predictor, hosts=(), no_token=True))
    sent = {"image": {"base64": base64.b64encode(image.read_bytes()).decode()}, "question": asked, "task": "mine"}
    reply = client.post("/api/v1/answer", json=sent).json()
    assert reply["warnings"][-1] == {"code": "doubtful_task", "text": told} and reply["reliable"] is False
    words = ["--image", image.parent / "1.png", "--image", image, "--ask", "what is it ?", "--ask", asked]
    said = CliRunner().invoke(cli.app, [str(word) for word in ("predict", run, *words, "--task", "mine")])
    assert said.stderr.count("on its 16 test examples") == said.stderr.count(f"\nwarning: {told}\n") == 1
    evaluated(run, Baseline("majority", 20.0, Interval(30.0, 10.0, 50.0)))
    assert "doubtful_task" not in codes("mine")


def test_the_score_of_an_earlier_model_is_no_doubt(run: Path) -> None:
    image = run.parent / "root" / "images" / "mine" / "0.png"
    evaluated(run, Baseline("majority", 50.0, Interval(0.0, -25.0, 25.0)))  # after 4 iterations
    for iteration, doubted in ((4, True), (5, False)):
        RunFolder(run).metrics.write_text(json.dumps({"kind": "step", "iteration": iteration}) + "\n")
        predictor = twelve.load(run)
        warnings = predictor.scene(image).answer("is it ?", task="mine").warnings
        assert ("doubtful_task" in [each.code for each in warnings]) is doubted
        client = TestClient(create_app(predictor, hosts=(), no_token=True))
        (told,) = (
            task["doubt"] for task in client.get("/api/v1/model").json()["methods"]["answer"] if task["name"] == "mine"
        )
        assert (told is not None) is doubted
        said = CliRunner().invoke(cli.app, ["predict", str(run), "--image", str(image), "--ask", "is it ?"])
        assert said.exit_code == 0 and ("test examples, this task scored" in said.stderr) is doubted, said.stderr


def test_a_task_that_is_above_every_baseline_tells_its_score(run: Path) -> None:
    def scores() -> dict[str, str | None]:
        found = standings_of(run)
        assert all(standing.doubt is None for standing in found.values())
        return {task: standing.test_score for task, standing in found.items()}

    some = Interval(30.0, 10.0, 50.0)
    several = Baseline("majority", 50.0, some), Baseline("bag of words", 60.25, some), Baseline("chance", 2.0, some)
    measured = "90.5% on 1,600 test examples"
    evaluated(run, *several, examples=1600, score=90.5)
    told = {"mine": f"{measured}, better than every baseline"}
    assert scores() == told
    evaluated(run, *several, examples=1600, score=90.5, drawn=True)  # what is drawn are not the user's own images
    assert scores() == told
    evaluated(run, *several, examples=1600, score=90.5, drawn=True, task="vqa")
    assert scores() == {"vqa": str(told["mine"]).replace("test", "synthetic test")}
    evaluated(run, several[0], examples=1600, score=90.5)
    majority = "the majority baseline (always giving the most frequent answer: 50.0)"
    assert scores() == {"mine": f"{measured}, better than {majority}"}
    evaluated(run, examples=1600, score=90.5)
    assert scores() == {"mine": measured}
    tasks = (
        TestClient(create_app(twelve.load(run), hosts=(), no_token=True))
        .get("/api/v1/model")
        .json()["methods"]["answer"]
    )
    assert [task["test_score"] for task in tasks] == [measured, None]
    for iteration, known in ((4, True), (5, False)):  # evaluated after 4 iterations
        RunFolder(run).metrics.write_text(json.dumps({"kind": "step", "iteration": iteration}) + "\n")
        assert scores() == {"mine": measured if known else None}


@pytest.mark.parametrize("lost", ["predictions.jsonl", "config.yaml", "../root/images", "../root", None])
def test_without_recorded_images_the_page_opens_empty(run: Path, lost: str | None) -> None:
    predictor = twelve.load(run)
    if lost is None:
        RunFolder(run).predictions.write_text("damaged")
    else:
        (run / lost).rename(run.parent / "elsewhere")
    assert recorded_samples(predictor, run) == [] == samples_for(predictor)
    assert TestClient(create_app(predictor, hosts=(), no_token=True)).get("/api/v1/model").json()["samples"] == []


def test_a_model_without_a_task_of_its_own_keeps_the_drawn_ones(run: Path, predictor: Predictor) -> None:
    assert recorded_samples(predictor, run) == [] and len(samples_for(predictor)) == COUNT


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, True),
        ({"names": ["127.0.0.2"]}, True),
        ({"token": TOKEN}, False),
        ({"host": "0.0.0.0", "no_token": True}, False),
        ({"names": ["images.example.org"], "no_token": True}, False),  # behind a proxy
    ],
)
def test_ones_own_images_are_shown_to_nobody_else(
    run: Path, options: dict[str, object], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FastAPI] = []

    class Stopped(Exception):
        pass

    def noted(app: FastAPI, **_: object) -> None:
        made.append(app)
        raise Stopped

    evaluated(run, Baseline("majority", 50.0, Interval(0.0, -25.0, 25.0)))
    monkeypatch.setattr(server.uvicorn, "Config", noted)
    with pytest.raises(Stopped):
        server.serve(run, port=0, **options)  # type: ignore[arg-type]
    made[0].state.service.close()
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}
    told = TestClient(made[0]).get("/api/v1/model", headers=headers).json()
    assert bool(told["samples"]) == shown
    assert ("correct" in json.dumps(told)) == shown  # nor are the correct answers
    assert told["methods"]["answer"][0]["doubt"].startswith("On its 16 test examples")


def answering(monkeypatch: pytest.MonkeyPatch, falls: Callable[[str], float], value: str | None = None) -> list[str]:
    """Make every answer the right one (or ``value``), with a fall of its confidence without the box of the thing that
    depends on the thing's noun; the list collects the questions."""
    asked, scenes = list[str](), list[samples._Scene]()
    plain = samples._scenes

    def noted(predictor: Predictor, count: int) -> Iterator[samples._Scene]:
        for one in plain(predictor, count):
            scenes.append(one)
            yield one

    def depends(_: Predictor, question: Question) -> Dependence:
        asked.append(question.text)
        noun = question.text.rstrip("?").split()[-1]
        things = scenes[-1].scene.things
        place, thing = next((k, one) for k, one in enumerate(things) if NOUNS[one.kind][0] == noun)
        without = np.full(len(things), 0.9)
        without[place] -= falls(noun)
        boxes = tuple(one.box for one in things)
        told = thing.colour if value is None else value
        return Dependence(
            text=question.text,
            task="vqa",
            value=told,
            confidence=0.9,
            calibrated=True,
            boxes=boxes,
            confidence_without=without,
        )

    monkeypatch.setattr(samples, "_scenes", noted)
    monkeypatch.setattr(Predictor, "depends", depends)
    return asked


def test_each_sample_asks_what_clearly_depends_on_a_box(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = samples_for(predictor)
    first = [one.texts["answer"] for one in plain]
    unclear = {plain[0].texts["answer"].rstrip("?").split()[-1]}
    answering(monkeypatch, lambda noun: 0.1 if noun in unclear else 0.8)
    found = opening_samples(predictor)
    assert [one.png for one in found] == [one.png for one in plain]
    asked = [one.texts["answer"] for one in found]
    assert asked[0] != first[0] and not any(text.rstrip("?").split()[-1] in unclear for text in asked)
    monkeypatch.undo()
    # Without a right answer, or if the model is not small, the first question stays.
    with monkeypatch.context() as other:
        answering(other, lambda noun: 0.8, value="no colour")
        assert opening_samples(predictor) == plain
    with monkeypatch.context() as other:
        none = answering(other, lambda noun: 0.8)
        other.setattr(samples, "QUICK", 0)
        assert opening_samples(predictor) == plain and none == []


def test_an_image_without_a_clear_question_comes_last(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = samples_for(predictor)
    lost = {NOUNS[thing.kind][0] for thing in next(samples._scenes(predictor, 1)).things}
    answering(monkeypatch, lambda noun: 0.1 if noun in lost else 0.8)
    found = opening_samples(predictor)
    assert found[0].name != plain[0].name and plain[0] in found
