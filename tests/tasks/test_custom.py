"""Tasks of one's own: from the configuration, from a file outside the package, beside what a model knows."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_others
import tiny_own
import torch
import yaml
from PIL import Image
from rich.console import Console

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.check import check_root
from twelve.data.prepare import prepare
from twelve.errors import CheckpointError, ConfigError, DataError, TwelveError
from twelve.evaluation import published_scores
from twelve.evaluation.results import read_results
from twelve.evaluation.submission import write_submission
from twelve.formats.data_root import DataRoot
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs.alignment import RetrievalScores
from twelve.report.reading import read_run
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.tasks import base
from twelve.tasks.custom import KINDS, own_tasks
from twelve.types.measurement import MARKS, Protocol

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_others.make(tmp_path_factory.mktemp("root"), train=9, val=4)


@pytest.fixture(scope="module")
def known(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt two datasets."""
    tree = configured(root, tmp_path_factory.mktemp("runs") / "known", {})
    tree["tasks"] = {task: tiny_others.settings(root, task) for task in ("vqa", "snli_ve")}
    return train(configuration.parse(tree), console=QUIET)


def configured(root: Path, run: Path, tasks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    tree = tiny.tree(root, run, sources={}, tasks=tasks)
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    return tree | changes


def own(root: Path, kind: str, **changes: Any) -> dict[str, Any]:
    return tiny_own.settings(root, kind, train=9, val=4) | changes


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_trained_and_measured(kind: str, root: Path, tmp_path: Path) -> None:
    """Reading, a batch, its loss, and the metric of what is right in every example: 100."""
    config = configuration.parse(configured(root, tmp_path / "run", {"mine": own(root, kind)}))
    data = prepare(config)
    mine = data.tasks["mine"]
    assert len(mine.train) + len(mine.validation) == 9 and mine.validation
    processor = TwelveProcessor.from_tokenizer(root / "tokenizer")
    processor.add_task("mine", output=mine.task.output, max_text=12)
    processor.vocabularies = {key: list(answers) for key, answers in data.vocabularies.items()}
    pool = mine.output.prepare(mine.train, data.store.get)
    batch = Collator("mine", mine.output, mine.task.output, processor, data.store, pool)(
        mine.train[:4], np.random.default_rng(0)
    )
    assert batch.pairs >= 4 and ("mismatched" if kind == "pretraining" else "target") in batch.targets
    examples = mine.task.read(data.root, mine.test_split)
    right: Any = [SimpleNamespace(value=_right(example.target)) for example in examples]
    if mine.output.ranks_gallery:
        names = tuple(example.id for example in examples)
        images = tuple(example.images[0] for example in examples)
        right = RetrievalScores(np.eye(4, dtype=np.float32), names, images, np.arange(4))
    measured = mine.task.measure(examples, right)
    assert measured.headline == 100 and len(measured.per_example) == 4
    if not mine.output.ranks_gallery:
        wrong = [SimpleNamespace(value=(0.0, 0.0, 1.0, 1.0) if kind == "region" else "nothing") for _ in examples]
        assert mine.task.measure(examples, wrong).headline == 0


def _right(target: Any) -> Any:
    return max(target, key=target.get) if isinstance(target, dict) else target


def test_a_task_of_ones_own_goes_the_whole_way(root: Path, tmp_path: Path) -> None:
    """Beside a dataset: a head that both share, a row that no dataset has in the released model, a report."""
    tasks = {"mine": own(root, "answer", title="My cups"), "vqa": tiny_others.settings(root, "vqa")}
    tasks["vqa"]["title"] = "Rooms"  # other data, instead of the dataset's
    tasks["mine"]["val_split"] = tiny_own.write(root, "answer", "validation", range(0, 3))
    run = train(configuration.parse(configured(root, tmp_path / "run", tasks)), console=QUIET)
    processor = TwelveProcessor.from_pretrained(run / "model")
    assert processor.token_rows["vqa"] == 1 and processor.own_words.keys() == {"mine"}
    assert processor.token_rows["mine"] not in [base.get(name).token for name in tiny_others.ALL_TASKS]
    assert set(tiny.COLOURS) | set(tiny_own.SAID) == set(processor.vocabularies["answer"])
    sizes = json.loads((run / "data.json").read_text())["tasks"]["mine"]
    assert sizes["validation"] == 3 and sizes["train"] <= 6
    results = {result.task: result for result in evaluate_run(run, console=QUIET)}
    assert results["mine"].title == "My cups" and results["mine"].examples == 4 and results["mine"].baselines
    assert results["vqa"].title == "Rooms" and published_scores.beside(results["vqa"], drawn=False) == []
    page = write_report(run).read_text(encoding="utf-8")
    assert "My cups" in page and "Rooms" in page and "VQA v2" not in page
    out = tmp_path / "mine.jsonl"
    tiny_own.write(root, "answer", "open", range(9, 12))
    records = [json.loads(line) for line in (root / "answer" / "open.jsonl").read_text().splitlines()]
    tiny.write_lines(root / "answer" / "open.jsonl", [{**record, "target": None} for record in records])
    assert evaluate_run(run, tasks=["mine"], split="answer/open.jsonl", submit=out, console=QUIET) == []
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["1", "2", "3"]


def test_a_file_that_is_read_as_every_task(root: Path, tmp_path: Path) -> None:
    """The remedy, to name its task, works."""
    tasks = {"mine": own(root, "answer"), "other": own(root, "entailment")}
    run = train(configuration.parse(configured(root, tmp_path / "run", tasks)), console=QUIET)
    file = tasks["mine"]["train"]
    problem = rf"^{root / file} \[line 1\]: field 'target' must be .* -> correct this line; .*; or name its task: "

    def refused(tasks: list[str] | None = None, split: str = file) -> str:
        with pytest.raises(DataError) as caught:
            evaluate_run(run, tasks=tasks, split=split, baselines=False, console=QUIET)
        return str(caught.value)

    assert re.search(rf"{problem}--task mine$", refused()), refused()
    assert "--task" not in refused(["other"])
    assert "or name its task" not in refused(split="answer/none.jsonl")
    assert evaluate_run(run, tasks=["mine"], split=file, baselines=False, console=QUIET)[0].examples == 9


def test_training_and_evaluation_say_what_may_be_wrong_in_the_files(root: Path, tmp_path: Path) -> None:
    """In all lines of the training file, also those that are held back."""
    mine = own(root, "answer")
    lines = [record | {"target": "red"} for record in tiny_own.lines("answer", range(9))]
    lines[8] |= {"target": "Red", "text": ""}
    mine["train"] = "answer/red.jsonl"
    tiny.write_lines(root / mine["train"], lines)
    said = io.StringIO()
    run = train(configuration.parse(configured(root, tmp_path / "run", {"mine": mine})), console=Console(file=said))
    shown, path = " ".join(said.getvalue().split()), root / mine["train"]
    assert "; the training examples have red (" in shown
    assert f"warning: {path}: 1 of 9 texts is empty, the first in line 9 " in shown
    assert f"warning: {path}: answer 'Red' (1 time) differs from 'red' (8 times) only in case or spaces " in shown
    said = io.StringIO()
    evaluate_run(run, console=Console(file=said))
    shown = " ".join(said.getvalue().split())
    assert re.search(
        r"warning: mine: the model cannot give the answers? to \d of 4 questions of answer/val.jsonl: ", shown
    )
    (result,), _ = read_results(run / "evaluation.json")
    assert result.unanswerable[0] in shown and result.contradicted == {}
    assert "answer 'Red' (1 time) differs from 'red' (8 times) only in case or spaces" in result.train_warnings
    digest = hashlib.sha256((root / "answer/val.jsonl").read_bytes()).hexdigest()
    assert result.files == {"answer/val.jsonl": digest}
    assert read_run(run).other_training == {}
    tiny.write_lines(path, [record | {"id": f"row {row}"} for row, record in enumerate(lines)])
    assert read_run(run).other_training == {}  # as after another line of its table was removed
    tiny.write_lines(path, [*lines[:8], lines[8] | {"target": "red"}])
    assert read_run(run).other_training == {"mine": "answer/red.jsonl"}
    tiny.write_lines(path, lines)
    both = [json.loads(line) for line in (root / "answer/val.jsonl").read_text().splitlines()]
    added = [both[0] | {"id": "again", "target": "neither"}, both[1] | {"id": "twice"}]
    added += [both[2] | {"id": "misspelt", "text": "which colour ?", "target": "rad"}]
    tiny.write_lines(root / "answer/two.jsonl", [*both, *added])
    said = io.StringIO()
    (result,) = evaluate_run(run, split="answer/two.jsonl", console=Console(file=said))
    assert result.contradicted == {"answer/two.jsonl": 1} and len(result.unanswerable) == 1
    repeated, misspelt = result.test_warnings  # what is said elsewhere is not said again
    assert repeated.startswith("1 of 7 lines of answer/two.jsonl repeats an earlier one, first: ")
    assert misspelt == "answer 'rad' (1 time) may be a misspelling of 'red' (8 times in answer/red.jsonl)"
    assert "warning: mine: 1 question has different answers in answer/two.jsonl, first: " in " ".join(
        said.getvalue().split()
    )


def test_contradictions_of_the_training_file_are_those_that_data_check_counts(root: Path, tmp_path: Path) -> None:
    """With the lines that are held out for validation."""
    mine = own(root, "answer") | {"train": "answer/twice.jsonl"}
    once = [record | {"target": "red"} for record in tiny_own.lines("answer", range(9))]
    tiny.write_lines(root / mine["train"], [*once, *(record | {"target": "blue"} for record in once)])
    run = train(configuration.parse(configured(root, tmp_path / "run", {"mine": mine})), console=QUIET)
    (result,) = evaluate_run(run, console=QUIET)
    assert result.contradicted == {"answer/twice.jsonl": 9}


@pytest.mark.parametrize(("kind", "output"), [("answer", None), ("answer", "mine"), ("pair", None)])
def test_a_saved_model_learns_another_task(
    kind: str, output: str | None, known: Path, root: Path, tmp_path: Path
) -> None:
    """New answers follow the old ones, new heads stand beside the old ones, and nothing that was there has moved."""
    both = {name: own(root, kind, output=output, learning_rate=1e-12) for name in ("mine", "second")}
    tree = configured(root, tmp_path / "run", both)
    tree["model"] = {"init": str(known)}
    tree["optimizer"] |= {"head_learning_rate": 1e-12, "weight_decay": 0}
    run = train(configuration.parse(tree), console=QUIET)
    old, new = (Twelve.from_pretrained(folder / "model") for folder in (known, run))
    before, after = (TwelveProcessor.from_pretrained(folder / "model") for folder in (known, run))
    key = output or kind
    answers = before.vocabularies["answer"]
    assert after.vocabularies["answer"][: len(answers)] == answers
    assert {name: after.token_rows[name] for name in before.token_rows} == before.token_rows
    released = [base.get(name).token for name in tiny_others.ALL_TASKS]
    assert not {after.token_rows["mine"], after.token_rows["second"]} & set(released)
    assert set(new.config.heads) == {*old.config.heads, key}
    if kind == "answer":
        assert set(tiny_own.SAID) <= set(after.vocabularies[key])
        assert new.config.heads[key]["size"] == len(after.vocabularies[key])
    ours = new.state_dict()
    for name, tensor in old.state_dict().items():
        kept = ours[name] if ours[name].shape == tensor.shape else ours[name][: len(tensor)]
        assert torch.allclose(kept, tensor, atol=1e-6), name
    grown = [name for name, tensor in old.state_dict().items() if ours[name].shape != tensor.shape]
    assert bool(grown) == (key in old.config.heads) and all(name.startswith("heads.answer.") for name in grown)
    assert evaluate_run(run, baselines=False, console=QUIET)[0].task == "mine"


def test_the_words_of_a_task_are_those_of_every_training(root: Path, tmp_path: Path) -> None:
    mine = own(root, "answer")
    first = train(configuration.parse(configured(root, tmp_path / "first", {"mine": mine})), console=QUIET)
    known = TwelveProcessor.from_pretrained(first / "model")
    assert known.own_words == {"mine": {"what", "is", "it", "?"}} and known.own_texts == {"mine": ["what is it ?"]}
    assert set(known.own_answers["mine"]) == {*tiny_own.SAID, "red", "green", "blue"}  # the targets of tiny_own
    file = root / mine["train"]
    file.write_text(file.read_text().replace("what is it", "Which one is it"))
    tree = configured(root, tmp_path / "second", {"mine": mine}, model={"init": str(first)})
    known = TwelveProcessor.from_pretrained(train(configuration.parse(tree), console=QUIET) / "model")
    assert known.own_words == {"mine": {"what", "which", "one", "is", "it", "?"}}
    assert known.own_texts == {"mine": ["Which one is it ?"]}  # of the last training


def test_a_head_of_another_kind_is_refused(known: Path, root: Path, tmp_path: Path) -> None:
    tree = configured(root, tmp_path / "first", {"mine": own(root, "pair", output="own_head")})
    tree["model"] = {"init": str(known)}
    first = train(configuration.parse(tree), console=QUIET)
    tree = configured(root, tmp_path / "second", {"other": own(root, "entailment", output="own_head")})
    tree["model"] = {"init": str(first)}
    with pytest.raises(CheckpointError, match="'own_head' is of kind pair, other needs one of kind entailment"):
        train(configuration.parse(tree), console=QUIET)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ({"vqa": {"kind": "answer"}}, "tasks.vqa.kind.*known dataset"),
        ({"vqa": {"images": "coco"}}, "tasks.vqa.images.*known dataset"),
        ({"mine": {"train": "a"}}, "tasks.mine.train.*add tasks.mine.kind"),
        ({"mine": {"kind": "answer", "test_split": "b"}}, "tasks.mine.train.*required"),
        ({"mine": {"kind": "answers"}}, "tasks.mine.kind.*unknown kind .*did you mean .answer"),
        ({"Mine!": {"kind": "answer", "train": "a", "test_split": "b"}}, "found 'Mine!'"),
        ({"mine": {"kind": "pair", "train": "a", "test_split": "a"}}, "tasks.mine.test_split.*trained on"),
        ({"mine": {"kind": "pair", "train": "a", "test_split": "b", "val_split": "b"}}, "tasks.mine.val_split"),
        ({"mine": {"kind": "pair", "train": "a", "test_split": "b", "output": "answer"}}, "of kind answer"),
        ({"mine": {"kind": "pair", "train": "a", "test_split": "b", "images": "a/b"}}, "tasks.mine.images"),
    ],
)
def test_mistakes_in_settings_are_named(tasks: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configuration.parse({"run": "r", "data": "d", "tasks": tasks})


@pytest.mark.parametrize(
    ("kind", "record", "words"),
    [
        ("answer", {"image": "a.jpg"}, r"line 1.*'text' is missing.* -> correct this line"),
        ("answer", {"text": "t", "image": "a.jpg"}, "'target' is missing"),
        ("answer", {"text": "t", "image": "a.jpg", "target": {"x": 2}}, "scores in 0..1"),
        ("answer", {"text": "t", "image": "a.jpg", "target": " "}, "line 1.*the answer is empty -> write the answer"),
        ("answer", {"text": "t", "image": "a.jpg", "target": {"x": 1, "": 0.5}}, "the answer is empty -> write"),
        ("region", {"text": "t", "image": "a.jpg", "target": [5, 5, 5, 9]}, "no area"),
        (
            "candidates",
            {"text": "t", "image": "a.jpg", "target": 1, "candidates": [[0, 0, 1, 1]]},
            "must be 0 to 0, found 1",
        ),
        ("pair", {"text": "t", "images": ["a.jpg"], "target": True}, "2 images, found 1"),
        ("pair", {"text": "t", "images": ["a.jpg", "b/a.jpg"], "target": True}, "have the same name"),
        ("entailment", {"text": "t", "image": "a.jpg", "target": "yes"}, "must be one of .*found 'yes'"),
        (
            "answer",
            {"question": "t", "image": "a.jpg", "answer": "x"},
            "line 1.*expected 'text', 'target', found 'question', 'answer' -> rename 'question' to 'text', 'answer' to",
        ),
        (
            "answer",
            {"text": "t", "img": "a.jpg", "target": "x"},
            "found 'img' -> rename 'img' to 'image' in every line without 'image'$",
        ),
        ("answer", {"text": "t", "photo": "a.jpg", "target": "x"}, "rename 'photo' to 'image' in every line without"),
        ("answer", {"text": "t", "image": "a.jpg", "targett": "x"}, "expected 'target', found 'targett'"),
        (
            "region",
            {"expression": "t", "image": "a.jpg", "bbox": [0, 0, 9, 9]},
            "rename 'expression' to 'text', 'bbox'",
        ),
        (
            "candidates",
            {"text": "t", "image": "a.jpg", "target": 0, "boxes": [[0, 0, 1, 1]]},
            "'boxes' to 'candidates'",
        ),
    ],
)
def test_mistakes_in_lines_are_named(kind: str, record: dict[str, Any], words: str, tmp_path: Path) -> None:
    settings = {"kind": kind, "train": "mine/train.jsonl", "test_split": "b"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    task = own_tasks(config.tasks)["mine"]
    tiny.write_lines(tmp_path / "mine" / "train.jsonl", [record])
    with pytest.raises(DataError, match=words):
        task.read(DataRoot(tmp_path), "mine/train.jsonl")
    with pytest.raises(DataError, match="no such file"):
        task.read(DataRoot(tmp_path), "b")


def test_data_check_warns_of_the_good_lines_of_a_bad_file(tmp_path: Path) -> None:
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    good = {"text": "t", "image": "a.jpg", "target": "garage"}
    for name in ("train", "val"):
        tiny.write_lines(
            tmp_path / f"{name}.jsonl", [good, good | {"text": "u"}, good | {"target": "Garage"}, {"text": "t"}]
        )
    (found,) = check_root(DataRoot(tmp_path, own_tasks=own_tasks(config.tasks)), ["mine"]).tasks
    assert "[line 4]" in found.train.errors[0]
    assert found.train.warnings == ("answer 'Garage' (1 time) differs from 'garage' (2 times) only in case or spaces",)


@pytest.mark.parametrize(
    ("kind", "targets", "said"),
    [
        ("answer", ["yes"] * 24, "all 24 training examples have the answer yes, so the model can learn only this one"),
        ("answer", ["yes"] * 19 + ["no"], "19 of 20 training examples have the answer yes, so the model may learn to"),
        ("answer", ["yes"] * 7 + ["no"] * 3, "7 of 10 training examples have the answer yes, so the model may"),
        ("answer", ["yes"] * 13 + ["no"] * 7, ""),
        ("answer", ["yes"], ""),
        ("pair", [True] * 20, "all 20 training examples have the answer true"),
        ("pair", [True] * 10 + [False] * 10, ""),
        ("entailment", ["neutral"] * 20, "all 20 training examples have the answer neutral"),
        ("candidates", [0] * 20, ""),  # the place of the correct box among them, which the model does not read
    ],
)
def test_one_answer_to_all_training_examples_is_told(kind: str, targets: list[Any], said: str, tmp_path: Path) -> None:
    settings = {"kind": kind, "train": "train.jsonl", "test_split": "val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    images = {"images": ["a.jpg", "b.jpg"]} if kind == "pair" else {"image": "a.jpg"}
    boxes = {"candidates": [[0, 0, 9, 9], [9, 9, 18, 18]]} if kind == "candidates" else {}
    for name in ("train", "val"):
        lines = [{"text": f"t {n}", "target": target} | images | boxes for n, target in enumerate(targets)]
        tiny.write_lines(tmp_path / f"{name}.jsonl", lines)
    (found,) = check_root(DataRoot(tmp_path, own_tasks=own_tasks(config.tasks)), ["mine"]).tasks
    told = [each for each in found.train.warnings if "have the answer" in each]
    assert len(told) == bool(said) and all(each.startswith(said) for each in told)
    assert not any("have the answer" in each for split in found.measured for each in split.warnings)
    tested = [each for split in found.measured for each in split.warnings if "so that alone scores" in each]
    assert len(tested) == bool(said)
    if targets == ["yes"] * 7 + ["no"] * 3:
        always = "the answer yes to everything is right for 7 of 10 examples, so that alone scores 70.0"
        assert tested == [f"{always}; add examples with other answers"]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([{"cup": 0.4, "mug": 0.3}] * 10, "the best one for 10 of 10 examples, so that alone scores 40.0"),
        ([{"cup": 1}] * 7 + [{"cup": 0.3, "mug": 1}] * 3, "the best one for 7 of 10 examples, so that alone scores 79"),
        ([{"cup": 1, "mug": 0.3}] * 10, "right for 10 of 10 examples, so that alone scores 100.0"),
    ],
)
def test_one_answer_scores_its_marks(targets: list[dict[str, float]], said: str, tmp_path: Path) -> None:
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    for name in ("train", "val"):
        lines = [{"text": f"t {n}", "target": target, "image": "a.jpg"} for n, target in enumerate(targets)]
        tiny.write_lines(tmp_path / f"{name}.jsonl", lines)
    (found,) = check_root(DataRoot(tmp_path, own_tasks=own_tasks(config.tasks)), ["mine"]).tasks
    told = [each for split in found.measured for each in split.warnings if "alone scores" in each]
    assert len(told) == 1 and told[0].startswith(f"the answer cup to everything is {said}")


def test_data_check_lists_the_bad_lines(tmp_path: Path) -> None:
    """The first ten of a file, each remedy once; reading stops at the first."""
    settings = {"kind": "answer", "train": "mine/train.jsonl", "test_split": "mine/val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    root = DataRoot(tmp_path, own_tasks=own_tasks(config.tasks))
    good = {"text": "t", "image": "a.jpg", "target": "x"}
    lines = [json.dumps(record) for record in (good, good | {"id": "a"}, good | {"id": "a"}, good | {"target": None})]
    lines += ["", "{not JSON", "[]", *(json.dumps(good | {"image": number}) for number in range(9)), json.dumps(good)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl").write_text("\n".join(lines))
    (tmp_path / "mine" / "val.jsonl").write_bytes(b"{}\n" + json.dumps(good).encode() + b'\n{"text": "\xfc"}\n{}\n')
    (found,) = check_root(root, ["mine"]).tasks
    *errors, more, images = found.train.errors
    assert "there is no folder" in images and "tasks.mine.images" in images  # in the same run
    assert [re.findall(r"\[line (\d+)\]", error) for error in errors] == [[str(n)] for n in (3, 4, *range(6, 14))]
    assert errors[0].endswith("id 'a' occurs twice -> give every line a distinct id")
    assert errors[2].endswith("-> correct this line; docs/add-a-task.md shows one of each kind") and "JSON" in errors[2]
    assert not any("->" in error for error in errors[3:]) and more == "and 3 more"
    (val,) = found.measured
    assert not found.ok and [re.findall(r"line \d", error) for error in val.errors] == [["line 1"], ["line 3"], []]
    with pytest.raises(DataError, match=r"line 3.*occurs twice"):
        root.own_tasks["mine"].read(root, "mine/train.jsonl")


def test_data_check_names_the_lines_of_missing_images(tmp_path: Path) -> None:
    """Each image once, as it is written, in the same run as lines that are malformed."""
    settings = {"kind": "answer", "train": "train.jsonl", "test_split": "val.jsonl"}
    config = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}})
    folder = tmp_path / "images" / "mine"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    good = {"text": "t", "image": "a.png", "target": "x"}
    lines = [good, good | {"image": "b/nope.jpg"}, good | {"target": ""}, good | {"image": "b/nope.jpg"}]
    tiny.write_lines(tmp_path / "train.jsonl", [*lines, good | {"image": "bare"}])
    tiny.write_lines(tmp_path / "val.jsonl", [good | {"image": f"{number}.jpg"} for number in range(12)])
    (found,) = check_root(DataRoot(tmp_path, own_tasks=own_tasks(config.tasks)), ["mine"]).tasks
    lacking = f"in {folder}, and no regions of it"
    assert found.train.errors == (
        f"{tmp_path / 'train.jsonl'} [line 3]: the answer is empty -> write the answer into this line, or remove the "
        "line",
        f"{tmp_path / 'train.jsonl'} [line 2]: there is no image b/nope.jpg {lacking} -> correct the name in this "
        f"line, or put the image into {folder}",
        f"{tmp_path / 'train.jsonl'} [line 5]: there is no image bare {lacking}",
    )
    assert len(found.measured[0].errors) == 11 and found.measured[0].errors[-1] == "and 2 more"


def test_further_fields_are_ignored(tmp_path: Path) -> None:
    """Also those that could be other names of fields that are there, or not needed."""
    config = configuration.parse(
        {"run": "r", "data": "d", "tasks": {"mine": {"kind": "retrieval", "train": "a", "test_split": "b"}}}
    )
    line = {"text": "t", "image": "a.jpg", "question": "q", "label": "x", "url": "u"}
    tiny.write_lines(tmp_path / "a", [line])
    assert [example.text for example in own_tasks(config.tasks)["mine"].read(DataRoot(tmp_path), "a")] == ["t"]


def test_marks_are_in_the_protocol_only_where_a_file_has_some(tmp_path: Path) -> None:
    settings = {"kind": "answer", "train": "a.jsonl", "test_split": "b.jsonl"}
    task = own_tasks(configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}}).tasks)["mine"]
    line = {"text": "t", "image": "a.jpg", "target": "x"}

    def protocol(*targets: object) -> Protocol:
        tiny.write_lines(tmp_path / "b.jsonl", [line | {"target": target} for target in targets])
        return task.protocol_on(task.protocol("b.jsonl"), task.read(DataRoot(tmp_path), "b.jsonl"))

    plain, marked = protocol("x", {"y": 1.0, "z": 1}), protocol("x", {"y": 0.5})
    assert (plain.note, plain.marked) == ("answers are compared exactly", False)
    assert (marked.note, marked.marked) == (task.protocol("b.jsonl").note, True) and MARKS in marked.note


def test_official_files_of_results(tmp_path: Path) -> None:
    examples = [base.Example("2", "t", ("a/1",)), base.Example("01", "t", ("a/1",))]
    found: Any = [SimpleNamespace(value="cup"), SimpleNamespace(value="mug")]
    vqa = json.loads(write_submission(tmp_path / "vqa.json", base.get("vqa"), examples, found).read_text())
    assert vqa == [{"question_id": 2, "answer": "cup"}, {"question_id": 1, "answer": "mug"}]
    gqa = json.loads(write_submission(tmp_path / "gqa.json", base.get("gqa"), examples, found).read_text())
    assert gqa == [{"questionId": "2", "prediction": "cup"}, {"questionId": "01", "prediction": "mug"}]
    judged: Any = [SimpleNamespace(value=True), SimpleNamespace(value=False)]
    pairs = write_submission(tmp_path / "nlvr2.csv", base.get("nlvr2"), examples, judged).read_text()
    assert pairs == "2,True\n01,False\n"
    for short in ([found[0]], [None, found[1]]):
        with pytest.raises(DataError, match="1 of 2 examples have no prediction"):
            write_submission(tmp_path / "none.json", base.get("vqa"), examples, short)
    assert not (tmp_path / "none.json").exists()


def test_a_split_without_labels_is_predicted(known: Path, root: Path, tmp_path: Path) -> None:
    questions = [{"image_id": 10 - i, "question": "what is it ?", "question_id": 70 - i} for i in range(3)]
    tiny.write_json(root / "vqa" / "v2_OpenEnded_mscoco_test2015_questions.json", {"questions": questions})
    out = tmp_path / "vqa.json"
    arguments: dict[str, Any] = {"settings": ["hold_out=test"], "console": QUIET}
    assert evaluate_run(known, tasks=["vqa"], split="test", submit=out, **arguments) == []
    found = json.loads(out.read_text())
    assert [row["question_id"] for row in found] == [70, 69, 68]
    assert all(row["answer"] in tiny.COLOURS for row in found)
    (measured,) = evaluate_run(known, tasks=["vqa"], submit=out, baselines=False, **arguments)
    assert measured.examples == 4 and len(json.loads(out.read_text())) == 4
    with pytest.raises(ConfigError, match="one task's"):
        evaluate_run(known, submit=out, **arguments)
    (other,) = evaluate_run(known, tasks=["snli_ve"], submit=out, baselines=False, **arguments)
    assert len(out.read_text().splitlines()) == other.examples
    for name in ("flickr30k", "conceptual_captions"):
        with pytest.raises(TwelveError, match="has no predictions of single examples"):
            base.get(name).submission([], [])


def snippets(name: str, language: str) -> list[str]:
    """The pieces in a language of a page of the documentation."""
    text = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_page_about_ones_own_file(root: Path, tmp_path: Path) -> None:
    """Its lines are read, its settings trained; its images are on our own."""
    (settings,) = snippets("add-a-task.md", "yaml")
    page = (Path(__file__).parents[2] / "docs" / "add-a-task.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w, ]+) \| `(\{.*\})` \|$", page, flags=re.MULTILINE)
    records = {kind: json.loads(line) for kinds, line in rows for kind in kinds.split(", ")}
    assert set(records) == set(KINDS)
    for kind, record in records.items():
        tasks = {"mine": {"kind": kind, "train": "x", "test_split": "y"}}
        mine = own_tasks(configuration.parse({"run": "r", "data": "d", "tasks": tasks}).tasks)["mine"]
        tiny.write_lines(tmp_path / "x", [record])
        assert len(mine.read(DataRoot(tmp_path), "x")) == 1
    tiny_own.settings(root, "answer", train=9, val=4)
    (root / "mugs").mkdir()
    for name, source in (("train", "train"), ("test", "val")):
        (root / "mugs" / f"{name}.jsonl").write_text((root / "answer" / f"{source}.jsonl").read_text())
    tasks = yaml.safe_load(settings)["tasks"]
    tasks["mugs"] |= {"images": "flickr30k", "max_text": 12}
    run = train(configuration.parse(configured(root, tmp_path / "run", tasks)), console=QUIET)
    assert evaluate_run(run, baselines=False, console=QUIET)[0].task == "mugs"


def test_a_file_that_is_named_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mugs").mkdir(parents=True)
    for name in ("data/mugs/train.jsonl", "other.jsonl"):
        Path(name).write_text("{}\n")
    settings = {"kind": "answer", "train": "data/mugs/train.jsonl", "test_split": "other.jsonl"}
    task = own_tasks(configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}}).tasks)["mine"]
    for split, advice in (
        (task.train_split, "write mugs/train.jsonl"),
        (task.test_split, "write other.jsonl, and put"),
    ):
        with pytest.raises(DataError, match=f"no such file -> files are named relative to the data root: {advice}"):
            task.read(DataRoot("data"), split)


def test_the_file_with_the_nearest_name_is_told(tmp_path: Path) -> None:
    settings = {"kind": "answer", "train": "mugs/trian.jsonl", "test_split": "check.jsonl"}
    tasks = configuration.parse({"run": "r", "data": "d", "tasks": {"mine": settings}}).tasks
    root = DataRoot(tmp_path, own_tasks=own_tasks(tasks))
    task = root.own_tasks["mine"]
    good = {"text": "t", "image": "a.jpg", "target": "x"}
    tiny.write_lines(tmp_path / "mugs" / "train.jsonl", [good])
    tiny.write_lines(tmp_path / "other.jsonl", [good])
    for split, words in (
        (
            "mugs/trian.jsonl",
            '(did you mean "mugs/train.jsonl"?) -> create it, or name another file in tasks.mine.train',
        ),
        ("mugs/train.json", '(did you mean "mugs/train.jsonl"?) -> name a JSON Lines file of mine, relative to '),
        ("check.jsonl", "no such file -> create it, or name another file in tasks.mine.test_split"),
    ):
        with pytest.raises(DataError) as caught:
            task.read(root, split)
        assert words in str(caught.value)
    told = str(check_root(root, ["mine"]))
    assert "trian.jsonl: missing mugs/trian.jsonl" in told and 'did you mean "mugs/train.jsonl"?' in told
