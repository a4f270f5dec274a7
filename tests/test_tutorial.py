"""docs/tutorial.md from its first command to its last, with the images and the model of the repository."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import test_docs
import yaml
from small_world import SIZES
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve import config as configuration
from twelve.data.check import check_root
from twelve.formats.data_root import DataRoot
from twelve.microworld.make import make_microworld
from twelve.predictor.warnings import FEW_SHARED
from twelve.report.write import write_report
from twelve.tasks.custom import own_tasks

PAGE = test_docs.HOME / "docs" / "tutorial.md"
EXAMPLES = test_docs.HOME / "examples"
TABLE = "\n## From a table (CSV)\n"
SHORT = [word for key in ("iterations", "eval_every", "save_every") for word in ("--set", f"training.{key}=2")]


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, _, rest = PAGE.read_text(encoding="utf-8").partition(TABLE)
    text += rest.partition("\n## ")[2]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    commands = [command for body in test_docs.blocks(text, "bash") for command in body.splitlines()]
    assert len(commands) == 9 and commands[1] == "cp -r examples/tutorial mine"
    printed = {}
    for command in commands:
        name, *words = shlex.split(command, comments=True)
        if name == "cp":
            shutil.copytree(words[1], words[2])
            continue
        result = CliRunner().invoke(cli.app, words)
        assert result.exit_code == 0, (command, result.output, result.exception)
        printed[" ".join(words)] = result.output
    training_questions = " ".join(printed["evaluate runs/mine --split train.jsonl"].split())
    assert "split train.jsonl; 20 examples" in training_questions
    assert "trained on 16 of train.jsonl's 20 images, so this is not a test score" in training_questions
    assert "so this is not a test score" not in printed["evaluate runs/mine"]
    shown = " ".join(" ".join(test_docs.blocks(text, "text")).split())
    assert json.loads((tmp_path / "runs/mine/trained.json").read_text())["on_training_examples"]["mine"] > 0.9
    for said in (
        "none of the test images was used to train the base model (compared: 20 of mine)",
        "on its own training examples",
        "is one of them; the training examples have yes (9), no (7)",
        "fewer than 20 often teach nothing",
        "confidence not calibrated: this needs 50 validation examples, the task has 4",
    ):
        assert said in shown and said in " ".join(printed["train mine/mine.yaml"].split())
    (predicted,) = (printed[each] for each in printed if each.startswith("predict runs/mine") and "--out" not in each)
    unusual = re.findall(r"(\d\d\.jpg): the image may be unlike the training images", " ".join(predicted.split()))
    (named,) = re.findall(r"warns that (\S+) and (\S+) may be unlike the training images", text)
    assert {*unusual} == {*named}
    for name in ("majority", "bag of words", "shuffled images"):
        assert f"over {name}" in shown and f"over {name}" in printed["evaluate runs/mine"]
    score = json.loads((tmp_path / "runs/mine/evaluation.json").read_text())["tasks"]["mine"]["score"]["mean"]
    assert score > 70  # always giving the same answer scores 50
    chance = json.loads((tmp_path / "runs/mine/evaluation.json").read_text())["tasks"]["mine"]["baselines"]["chance"]
    assert (chance["score"], chance["drawn_from"]) == (50.0, 2)  # yes or no, not any of the base model's 53 answers
    refused = CliRunner().invoke(cli.app, ["evaluate", "runs/mine/model", "--set", "data=mine"])
    assert "does not name the files of your task 'mine' -> name its run: runs/mine" in str(refused.exception)
    write_report(tmp_path / "runs/mine")
    report = (tmp_path / "runs/mine/report.html").read_text()
    assert "one of the 2 answers of the task&#39;s own training examples" in report
    model = twelve.load("runs/mine")
    scene = model.scene("mine/images/mine/20.jpg")
    assert model.question("answer", "is it red?", scene).task == "mine"  # not one of the base
    assert model.processor.own_words == {"mine": {"could", "i", "ride", "on", "something", "here", "?"}}
    assert model.processor.own_texts == {"mine": ["could I ride on something here?"]}
    assert model.processor.own_answers == {"mine": ["no", "yes"]}
    answer = scene.answer("could I ride on something here?")
    assert {each for each, _ in answer.alternatives} - {answer.answer} <= {"no", "yes"}  # none of the base model's
    asked = ("what colour is the boat?", "can I ride on anything?", "could I ride on something here?")
    assert [f"mine: {FEW_SHARED}" in scene.answer(each).warnings for each in asked] == [True, False, False]
    kept = [json.loads(line) for line in (tmp_path / "runs/mine/predictions.jsonl").read_text().splitlines()]
    assert {each["task"] for each in kept} == {"mine"}


def run(command: str) -> str:
    """What a command prints; training is two iterations long."""
    name, *words = shlex.split(command, comments=True)
    if name != "twelve":
        subprocess.run(["bash", "-c", command], check=True)
        return ""
    result = CliRunner().invoke(cli.app, [*words, *(SHORT if words[0] == "train" else ())])
    assert result.exit_code == 0, (command, result.output, result.exception)
    return result.output


def test_the_table_is_converted_corrected_and_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8").partition(TABLE)[2].partition("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (copy, make), (add, update, extract, evaluate, train) = (
        body.splitlines() for body in test_docs.blocks(text, "bash")
    )
    run(copy)
    printed = [line.strip() for line in run(make).partition("next:\n")[2].splitlines()]
    assert shlex.split(printed[0]) == shlex.split(extract, comments=True) and printed[4] == "twelve report runs/riding"
    for command in printed[:5]:
        run(command)
    sides = [Path("riding", f"{split}.jsonl") for split in ("train", "test")]
    before = [file.read_text().splitlines() for file in sides]
    run(add)
    run(update)
    after = [file.read_text().splitlines() for file in sides]
    assert all(set(old) < set(new) for old, new in zip(before, after, strict=True))  # each image stays on its side
    assert [len(lines) for lines in (*before, *after)] == [10, 10, 23, 17]
    assert "20 were extracted before" in run(extract)
    assert f"{len(after[1])} examples" in " ".join(run(evaluate).split())
    run(train)
    assert Path("runs/riding-2/model").is_dir()
    others = re.search(r"a table of\s+(\d+) images, or of (\d+) with `--test-fraction 0.25`", text)
    assert others is not None and (int(others[1]) / 2, int(others[2]) * 0.75) == (60, 60)


def test_what_the_base_model_can_tell() -> None:
    """The questions that the page recommends and advises against, if the model does not learn one's own."""
    told = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert '`--ask "is there a boat?"` and `--locate "boat"`' in told and '"is the boat red or blue?": "small"' in told
    model = twelve.load(EXAMPLES / "quickstart-model")
    scenes = [model.scene(EXAMPLES / f"tutorial/images/mine/{number:02}.jpg") for number in range(20)]
    boats, small = {0, 4, 8, 10, 12}, 0
    for number, scene in enumerate(scenes):
        assert scene.answer("is there a boat?").answer == ("yes" if number in boats else "no")
        assert number in boats or scene.locate("boat").unlikely
        small += scene.answer("is the boat red or blue?").answer in ("small", "large")
    assert small == len(scenes) and not scenes[0].locate("boat").unlikely
    assert scenes[0].answer("is the boat red or blue?").answer == "small"  # it is purple


def test_the_page_shows_the_files() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert test_docs.blocks(text, "yaml")[0].strip() == (EXAMPLES / "tutorial" / "mine.yaml").read_text().strip()
    lines = (EXAMPLES / "tutorial" / "train.jsonl").read_text().splitlines()
    assert test_docs.blocks(text, "json")[0].splitlines() == lines[:2]
    for name in ("train", "test"):
        answers = [json.loads(line) for line in (EXAMPLES / "tutorial" / f"{name}.jsonl").read_text().splitlines()]
        assert [each["target"] for each in answers].count("yes") == len(answers) / 2 == 10


def test_the_task_can_have_another_name(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "tutorial", tmp_path / "mine")
    renaming = re.search(
        r"\*\*Another name\.\*\*.*?\n\n((?: {4}[^\n]*\n)+)", PAGE.read_text(encoding="utf-8"), flags=re.S
    )
    assert renaming is not None and shutil.which("bash")
    subprocess.run(["bash", "-e"], input=renaming[1], text=True, cwd=tmp_path, check=True)
    assert [each.name for each in tmp_path.iterdir()] == ["boats"]
    text = (tmp_path / "boats/boats.yaml").read_text()
    assert text == (EXAMPLES / "tutorial/mine.yaml").read_text().replace("mine", "boats")
    config = configuration.parse(yaml.safe_load(text))
    assert (config.run, config.data, list(config.tasks)) == ("runs/boats", "boats", ["boats"])
    root = DataRoot(tmp_path / "boats", own_tasks=own_tasks(config.tasks))
    assert check_root(root, ["boats"]).ok


def test_answers_from_scene_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of the page, on a small world."""
    monkeypatch.chdir(tmp_path)
    make_microworld(Path("more"), 7, SIZES)
    Path("mine/images/mine").mkdir(parents=True)
    (program,) = test_docs.blocks(PAGE.read_text(encoding="utf-8"), "python")
    exec(program, {})  # our own page
    for name in ("train", "test"):
        lines = [json.loads(line) for line in Path(f"mine/{name}.jsonl").read_text().splitlines()]
        assert [each["target"] for each in lines].count("yes") == len(lines) / 2
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "test.jsonl"}
    config = configuration.parse({"run": "r", "data": "mine", "tasks": {"mine": settings}})
    report = check_root(DataRoot(Path("mine"), own_tasks=own_tasks(config.tasks)), ["mine"])
    assert report.ok and {"yes", "no"} <= set(report.tasks[0].train.answers.replace(",", " ").split())
