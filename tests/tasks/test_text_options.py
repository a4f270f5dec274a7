"""The tasks that choose among texts: what is read, what is refused, what is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_extra_options

from twelve.data.check import check_root
from twelve.data.clean import held_out_images
from twelve.data.stats import root_stats
from twelve.errors import ConfigError, DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import get, tasks_of
from twelve.tasks.extra.vcr import names_of
from twelve.types.predictions import Prediction

TASKS = tuple(tiny_extra_options.REPORTS)
# token, longest text, batch, learning rate, epochs (the original's task table; Visual Dialog's longest text is ours)
TABLE = {"visdial": (3, 60, 64, 4e-5, 20), "vcr_qa": (5, 60, 64, 2e-5, 10), "vcr_qar": (6, 80, 64, 2e-5, 10)}


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tiny_extra_options.make(tmp_path, train=6, val=3))


@pytest.mark.parametrize("name", TASKS)
def test_settings_of_the_original(name: str) -> None:
    task = get(name)
    d = task.defaults
    assert (task.token, d.max_text, d.batch_size, d.learning_rate, d.epochs) == TABLE[name]
    assert task.extra and task.kind == "options" and task.output == "alignment"
    with pytest.raises(ConfigError, match=rf"{name} has no split 'tset'"):
        task.files("tset")


def test_rounds_of_a_dialogue(root: DataRoot) -> None:
    first, second, *_ = get("visdial").read(root, "train")
    assert (first.id, second.id) == ("0-1", "0-2") and first.images == ("coco/0",)
    assert first.text == "a thing [SEP] is it big ?"
    said = first.options[first.target]  # type: ignore[index]
    assert second.text == f"a thing [SEP] is it big ? {said} [SEP] what colour"  # the caption and the round before
    assert second.options[second.target] == tiny.COLOURS[tiny.colour_of(0)]  # type: ignore[index]
    assert len(first.options) == 100 and "relevance" not in second.facts


def test_dense_annotations_and_images_of_their_own(root: DataRoot) -> None:
    val = get("visdial").read(root, "val")
    assert val[0].images == ("visdial/VisualDialog_val2018_000000000006",)
    assert ["relevance" in example.facts for example in val] == [False, True] * 3
    assert max(val[1].facts["relevance"]) == val[1].facts["relevance"][val[1].target] == 1
    dense = root.path / "visdial/visdial_1.0_val_dense_annotations.json"
    assert dense in get("visdial").input_files(root, "val") and len(get("visdial").input_files(root, "train")) == 1
    dense.unlink()
    assert not any("relevance" in example.facts for example in get("visdial").read(root, "val"))


def test_test_splits_have_no_labels(root: DataRoot) -> None:
    rounds = get("visdial").read(root, "test")
    assert [example.id for example in rounds] == ["6-2", "7-2"] and {example.target for example in rounds} == {None}
    answers, reasons = get("vcr_qa").read(root, "test"), get("vcr_qar").read(root, "test")
    assert {example.target for example in (*answers, *reasons)} == {None}
    assert [example.id for example in reasons[:4]] == [f"test-6/{answer}" for answer in range(4)]
    assert len(answers) == 2 and len(reasons) == 8


def test_question_answers_and_reasons(root: DataRoot) -> None:
    (answer, *_), (reason, *_) = get("vcr_qa").read(root, "val"), get("vcr_qar").read(root, "val")
    assert answer.text == "colour one ?" and answer.images == ("vcr/shot_6@1",) and answer.id == reason.id == "val-6"
    right = answer.options[answer.target]  # type: ignore[index]
    assert right == f"one {tiny.COLOURS[tiny.colour_of(6)]}"
    both = zip(get("vcr_qa").read(root, "val"), get("vcr_qar").read(root, "val"), strict=True)
    for number, (asked, told) in enumerate(both, 6):
        said = asked.options[asked.target]  # type: ignore[index]
        assert said == f"one {tiny.COLOURS[tiny.colour_of(number)]}" and told.text == f"{asked.text} [SEP] {said}"
    assert reason.options[reason.target] == f"very {tiny.COLOURS[tiny.colour_of(6)]}"  # type: ignore[index]


def test_things_become_words(root: DataRoot) -> None:
    path = root.path / "vcr/val.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    line |= {"objects": ["person", "dog", "person", "person"], "question": ["Why", "do", [0, 2], "see", [1], "?"]}
    path.write_text(json.dumps(line) + "\n")
    (example,) = get("vcr_qa").read(root, "val")
    assert example.text == "Why do person 1 and person 2 see dog ?"


def test_names_are_numbered_where_a_class_repeats() -> None:
    from twelve.formats.records import Record

    record = Record({"objects": ["cup", "person", "cup"]}, Path("x"), None)
    assert names_of(record) == ["cup 1", "person", "cup 2"]


def predictions(examples: Any, choose: Callable[[Any], int]) -> list[Prediction]:
    found = []
    for example in examples:
        best = choose(example)
        order = [best, *(place for place in range(len(example.options)) if place != best)]
        ranked = tuple((option, 1 / (2 + place)) for place, option in enumerate(order))
        found.append(Prediction(*ranked[0], alternatives=ranked))
    return found


@pytest.mark.parametrize("name", TASKS)
def test_measure(name: str, root: DataRoot) -> None:
    task = get(name)
    examples = task.read(root, "val")
    right = task.measure(examples, predictions(examples, lambda example: example.target))
    wrong = task.measure(examples, predictions(examples, lambda example: (example.target + 1) % len(example.options)))
    assert right.headline == 100 and wrong.headline == 0 and right.per_example.tolist() == [1] * len(examples)
    if name == "visdial":
        assert set(right.metrics) == {"R@1", "R@5", "R@10", "MRR", "mean rank", "NDCG"}
        assert right.metrics["mean rank"] == 1 and 0 < right.metrics["NDCG"] < 100


def test_submission_of_ranks(root: DataRoot) -> None:
    task = get("visdial")
    examples = task.read(root, "test")
    rows = json.loads(task.submission(examples, predictions(examples, lambda example: 3)))
    assert [(row["image_id"], row["round_id"]) for row in rows] == [(6, 2), (7, 2)]
    assert all(sorted(row["ranks"]) == list(range(1, 101)) and row["ranks"][:5] == [2, 3, 4, 1, 5] for row in rows)


def test_submission_of_answers_and_reasons(root: DataRoot) -> None:
    tables = []
    for name in ("vcr_qa", "vcr_qar"):
        examples = get(name).read(root, "test")
        written = get(name).submission(examples, predictions(examples, lambda example: 2))
        tables.append(list(csv.DictReader(io.StringIO(written))))
    (answers, *_), (reasons, *_) = tables
    assert answers["annot_id"] == reasons["annot_id"] == "test-6" and len(answers) == 5 and len(reasons) == 17
    assert max(answers, key=lambda name: name != "annot_id" and float(answers[name])) == "answer_2"
    assert float(reasons["rationale_conditioned_on_a3_2"]) == 0.5
    labelled = get("vcr_qar").read(root, "val")
    text = get("vcr_qar").submission(labelled, predictions(labelled, lambda example: 0))
    assert ",," in text  # only the right answer's reasons were asked


def change(root: DataRoot, file: str, edit: Callable[[Any], None]) -> None:
    """Rewrite a file's content; of JSON lines the second line."""
    path = root.path / file
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    content = json.loads(lines[-1])
    edit(content)
    path.write_text("\n".join([*lines[:-1], json.dumps(content)]))


TURN = lambda content: content["data"]["dialogs"][1]["dialog"][1]  # noqa: E731
ROUNDS = r"visdial_1.0_val.json \[data.dialogs\[1\]"
BAD_ROUNDS: list[tuple[Callable[[Any], object], str]] = [
    (lambda c: TURN(c).update(question=2), ROUNDS + r".dialog\[1\]\]: field 'question' must be 0 to 1, found 2"),
    (lambda c: TURN(c).update(answer=-1), ROUNDS + r".dialog\[1\]\]: field 'answer' must be 0 to \d+, found -1"),
    (lambda c: TURN(c).update(gt_index=100), ROUNDS + r".dialog\[1\]\]: field 'gt_index' must be 0 to 99"),
    (lambda c: TURN(c).pop("gt_index"), ROUNDS + r".dialog\[1\]\]: field 'gt_index' is missing"),
    (lambda c: TURN(c).pop("answer_options"), ROUNDS + r".dialog\[1\]\]: field 'answer_options' is missing"),
    (lambda c: TURN(c)["answer_options"].pop(), ROUNDS + r".dialog\[1\]\]: field 'answer_options' must hold 100"),
    (lambda c: TURN(c)["answer_options"].__setitem__(0, 9999), ROUNDS + r".*'answer_options' must hold 100"),
    (lambda c: c["data"]["dialogs"][1].update(image_id=6), ROUNDS + r"\]: image_id 6 occurs twice"),
    (lambda c: c["data"].pop("questions"), r"\[data\]: field 'questions' is missing"),
    (lambda c: c["data"]["answers"].__setitem__(4, 5), r"\[data\]: field 'answers' must be strings, found int 5"),
    (lambda c: c["data"]["dialogs"].__setitem__(1, 5), ROUNDS + r"\]: expected an object"),
    (lambda c: c["data"].update(dialogs=[]), r"contains no example of split 'val'"),
]


@pytest.mark.parametrize(("edit", "message"), BAD_ROUNDS)
def test_malformed_dialogues(root: DataRoot, edit: Callable[[Any], None], message: str) -> None:
    change(root, "visdial/visdial_1.0_val.json", edit)
    with pytest.raises(DataError, match=message) as caught:
        get("visdial").read(root, "val")
    assert caught.value.file == root.path / "visdial/visdial_1.0_val.json" and caught.value.remedy


DENSE = "visdial/visdial_1.0_val_dense_annotations.json"
BAD_RELEVANCE: list[tuple[Callable[[Any], object], str]] = [
    (lambda c: c[1].update(round_id=3), r"\[round 7-3\]: 1 prediction has no counterpart in the rounds of"),
    (lambda c: c[1]["gt_relevance"].pop(), r"\[entry 2\]: field 'gt_relevance' must be 100 finite numbers"),
    (lambda c: c[1].update(gt_relevance=[0] * 100), r"\[entry 2\]: expected no negative relevance"),
    (lambda c: c[1].update(image_id=6), r"\[entry 2\]: round 6-2 occurs twice"),
]


@pytest.mark.parametrize(("edit", "message"), BAD_RELEVANCE)
def test_malformed_annotations(root: DataRoot, edit: Callable[[Any], None], message: str) -> None:
    change(root, DENSE, edit)
    with pytest.raises(DataError, match=message) as caught:
        get("visdial").read(root, "val")
    assert caught.value.file == root.path / DENSE


BAD_QUESTIONS: list[tuple[Callable[[Any], object], str]] = [
    (
        lambda c: c.update(question=["what", [3], "?"]),
        r"field 'question' must hold words and positions among 3 objects, found",
    ),
    (lambda c: c.update(question=["what", [], "?"]), r"field 'question' must hold words and positions"),
    (lambda c: c.update(question="what?"), r"field 'question' must be a list"),
    (lambda c: c["answer_choices"].pop(), r"field 'answer_choices' must hold 4 texts, found 3"),
    (lambda c: c["answer_choices"].__setitem__(0, []), r"field 'answer_choices' must hold lists of words"),
    (lambda c: c["rationale_choices"].__setitem__(0, [True]), r"field 'rationale_choices' must hold words"),
    (lambda c: c.update(answer_label=4), r"field 'answer_label' must be 0 to 3, found 4"),
    (lambda c: c.pop("rationale_label"), r"field 'rationale_label' is missing"),
    (lambda c: c.update(annot_id="val-6"), r"annot_id val-6 occurs twice"),
    (lambda c: c.pop("img_fn"), r"field 'img_fn' is missing"),
]


@pytest.mark.parametrize(("edit", "message"), BAD_QUESTIONS)
def test_malformed_questions(root: DataRoot, edit: Callable[[Any], None], message: str) -> None:
    change(root, "vcr/val.jsonl", edit)
    with pytest.raises(DataError, match=rf"val.jsonl \[line 3\]: {message}") as caught:
        get("vcr_qar").read(root, "val")
    assert caught.value.remedy


@pytest.mark.parametrize("name", TASKS)
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no folder for"):
        get(name).read(DataRoot(tmp_path), "val")


def test_a_root_without_them_lacks_nothing(tmp_path: Path) -> None:
    bare = DataRoot(tiny.make(tmp_path / "bare", train=4, val=2))
    assert not tasks_of(bare).keys() & set(TASKS)
    assert not any(name.split()[0] in TASKS for name in held_out_images(bare).skipped)
    tiny_extra_options.make(bare.path, train=4, val=2)
    assert set(TASKS) <= tasks_of(bare).keys()
    assert {"visdial", "vcr_qa", "vcr_qar"} <= {held.task for held in held_out_images(bare).splits}


def test_looked_at_like_the_others(root: DataRoot) -> None:
    tiny.write_regions(root.path / "regions", {f"coco/{number}": number for number in range(6)})
    report = check_root(root)
    assert report.ok and {task.task for task in report.tasks} == set(TASKS)
    assert "vcr_qa train: 6 examples on 6 images" in "\n".join(map(str, root_stats(root)))


def test_a_prediction_an_example() -> None:
    example = replace(predictions_source(), id="b")
    with pytest.raises(ValueError, match="expected 2 predictions, one per example, found 1"):
        get("vcr_qa").measure([predictions_source(), example], predictions([example], lambda _: 0))


def predictions_source() -> Any:
    from twelve.types.examples import Example

    return Example("a", "why", ("vcr/1",), target=0, group="vcr/1", options=("w", "x", "y", "z"))
