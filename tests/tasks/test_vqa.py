from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.data.clean import clean_splits, held_out_images
from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import get
from twelve.tasks.formats.shared import all_but_last, last, last_by_id
from twelve.tasks.vqa import read_annotations, read_questions
from twelve.types.examples import Example

Records = list[dict[str, Any]]


def question(number: int, image: int, text: str = "What is it?") -> dict[str, Any]:
    return {"image_id": image, "question": text, "question_id": number}


def annotation(number: int, image: int, answers: list[str]) -> dict[str, Any]:
    answers = answers if len(answers) == 10 else answers[:1] * 10
    return {
        "question_id": number,
        "image_id": image,
        "question_type": "what is",
        "answer_type": "other",
        "multiple_choice_answer": answers[0],
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": place}
            for place, answer in enumerate(answers, 1)
        ],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., DataRoot]:
    def write(split: str, questions: Records, annotations: Records | None) -> DataRoot:
        folder = tmp_path / "vqa"
        folder.mkdir(exist_ok=True)
        year = "2014" if annotations is not None else "2015"
        (folder / f"v2_OpenEnded_mscoco_{split}{year}_questions.json").write_text(json.dumps({"questions": questions}))
        if annotations is not None:
            content = json.dumps({"annotations": annotations})
            (folder / f"v2_mscoco_{split}{year}_annotations.json").write_text(content)
        return DataRoot(tmp_path)

    return write


def test_questions_with_answers(write: Callable[..., DataRoot]) -> None:
    answers = ["The Cup"] * 3 + ["cup"] * 6 + ["mug"]
    root = write(
        "val",
        [question(42000, 42), question(7001, 7, "How many?")],
        [annotation(7001, 7, ["2"] * 10), annotation(42000, 42, answers)],
    )
    first, second = get("vqa").read(root, "val")
    assert (first.id, first.text, first.images, first.group) == ("42000", "What is it?", ("coco/42",), "coco/42")
    assert first.target == {"The Cup": 0.9, "cup": 1.0, "mug": 0.3}
    assert first.facts["answers"] == tuple(answers)
    assert first.facts["label"] == "cup"  # normalised, unlike the target
    assert (second.id, second.target) == ("7001", {"2": 1.0})


def test_image_source_can_be_named(write: Callable[..., DataRoot]) -> None:
    root = write("val", [question(42000, 42)], [annotation(42000, 42, ["a"])])
    assert get("vqa").read(DataRoot(root.path, {"vqa": "rooms"}), "val")[0].images == ("rooms/42",)


def test_test_questions_have_no_answers(write: Callable[..., DataRoot]) -> None:
    root = write("test", [question(1000, 1)], None)
    (example,) = get("vqa").read(root, "test")
    assert (example.target, dict(example.facts)) == (None, {})
    with pytest.raises(DataError, match="the answers to this question are not public"):
        get("vqa").measure([example], [SimpleNamespace(value="yes")])


def test_trainval_and_minval_part_val_by_question_id() -> None:
    examples = [Example(str(number), "?", ("coco/1",)) for number in (30, 100, 9, 20)]
    kept, minval = last_by_id(examples, 2)
    assert [e.id for e in kept] == ["9", "20"]
    assert [e.id for e in minval] == ["30", "100"]
    assert last_by_id(examples, 3000)[0] == []


def test_what_is_held_back_one_after_the_other_is_the_same() -> None:
    for ids in ([30, 100, 9, 20], [1, 2, 3], [3, 2, 1], [], [5, 40, 6, 39, 7, 38]):
        examples = [Example(str(number), "?", ("coco/1",)) for number in ids]
        for count in range(len(ids) + 2):
            kept, held = last_by_id(examples, count)
            assert last(iter(examples), count) == held
            assert sorted(all_but_last(iter(examples), count), key=lambda example: int(example.id)) == kept
    waiting = iter(range(10**9))
    endless = (Example(str(next(waiting)), "?", ()) for _ in range(10**9))
    assert [next(all_but_last(endless, 5)).id for _ in range(2)] == ["0", "6"]  # no more than it needs to


def test_trainval_and_minval_are_the_originals(write: Callable[..., DataRoot], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are cut from val by question id; of the last images, one may stand on both sides."""
    write("train", [question(9001000, 9001)], [annotation(9001000, 9001, ["a"])])
    numbers = [3001, 1000, 20001, 3000, 500]
    root = write(
        "val",
        [question(number, number // 1000) for number in numbers],
        [annotation(number, number // 1000, ["a"]) for number in numbers[::-1]],
    )
    monkeypatch.setattr("twelve.tasks.vqa.MINVAL", 2)
    task = get("vqa")
    assert [example.id for example in task.read(root, "minval")] == ["3001", "20001"]
    trainval = task.read(root, "trainval")
    assert {example.id for example in trainval} == {"9001000", "500", "1000", "3000"}
    held = held_out_images(root, tasks={"vqa": task}, required={"vqa": "minval"})
    assert [(part.split, part.role) for part in held.splits] == [("minval", "reported")]
    kept, _ = clean_splits({"vqa": trainval}, held)
    assert {example.id for example in kept["vqa"]} == {"9001000", "500", "1000"}  # image 3 is in minval
    assert len(task.read(root, "minval")) == 2  # what is measured on is not filtered


def test_trainval_reads_both_files(write: Callable[..., DataRoot], monkeypatch: pytest.MonkeyPatch) -> None:
    write("train", [question(1000, 1)], [annotation(1000, 1, ["a"])])
    root = write("val", [question(2000, 2), question(3000, 3)], [annotation(n, n // 1000, ["a"]) for n in (2000, 3000)])
    task = get("vqa")
    assert [e.id for e in task.read(root, "trainval")] == ["1000"]
    assert [e.id for e in task.read(root, "minval")] == ["2000", "3000"]
    assert set(task.files("train") + task.files("val")) == set(task.files("trainval"))


@pytest.mark.parametrize(
    ("questions", "annotations", "problem"),
    [
        ([question(1, 1)], [], r"annotations\.json \[question_id 1\]: no annotation of question 1 -> use the annot"),
        ([], [annotation(1, 1, ["a"])], r"\[question_id 1\]: 1 annotations have no question"),
        ([question(1, 1), question(1, 2)], [annotation(1, 1, ["a"])], r"questions\[1\]\]: question_id 1 occurs twice"),
        ([question(1, 1)], [annotation(1, 1, ["a"])] * 2, r"annotations\[1\]\]: question_id 1 occurs twice"),
        ([{"question_id": 1, "question": "x"}], [], r"questions\[0\]\]: field 'image_id' is missing"),
        ([question("1", 1)], [], "'question_id' must be a whole number, found str '1'"),
        ([question(1, 1)], [annotation(1, 1, ["a"]) | {"answers": []}], "must hold 10 people's answers, found 0"),
        ([question(1, 1)], [annotation(1, 1, ["a"]) | {"answers": ["a"]}], r"annotations\[0\]\.answers\[0\]\]: expect"),
        ([question(1, 1)], [annotation(1, 1, ["a"]) | {"answer_type": 3}], "'answer_type' must be a string"),
    ],
)
def test_malformed_records(
    write: Callable[..., DataRoot], questions: Records, annotations: Records, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        get("vqa").read(write("val", questions, annotations), "val")


def test_any_order_of_the_annotations(write: Callable[..., DataRoot]) -> None:
    numbers = [1, 2, 3]
    for order in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        root = write("val", [question(n, n) for n in numbers], [annotation(n, n, [f"a{n}"]) for n in order])
        assert [example.facts["label"] for example in get("vqa").read(root, "val")] == ["a1", "a2", "a3"]


def test_missing_and_empty_files(write: Callable[..., DataRoot], tmp_path: Path) -> None:
    root = write("val", [], [])
    with pytest.raises(MissingData, match="contains no example of split 'val'"):
        get("vqa").read(root, "val")
    with pytest.raises(MissingData, match=r"v2_OpenEnded_mscoco_train2014_questions\.json.*https://visualqa\.org"):
        get("vqa").read(root, "train")


def test_measure_is_the_official_program(goldens: Path) -> None:
    folder = goldens / "metrics" / "vqa_v2"
    facts = dict(read_annotations(folder / "v2_mscoco_val2014_annotations.json"))
    examples = [
        Example(e.id, e.text, e.images, None, e.group, facts=facts[e.id])
        for e in read_questions(folder / "v2_OpenEnded_mscoco_val2014_questions.json")
    ]
    rows = json.loads((folder / "v2_OpenEnded_mscoco_val2014_invented_results.json").read_text())
    answers = {str(row["question_id"]): row["answer"] for row in rows}
    found = get("vqa").measure(examples, [SimpleNamespace(value=answers[e.id]) for e in examples])
    expected = json.loads((folder / "expected.json").read_text())["expected"]["n2"]["accuracy"]
    assert found.headline == expected["overall"] == pytest.approx(100 * found.per_example.mean(), abs=0.005)
    assert found.metrics["accuracy, yes/no"] == expected["perAnswerType"]["yes/no"]
    assert found.metrics["accuracy, question type is the"] == expected["perQuestionType"]["is the"]
    assert found.groups == [e.images[0] for e in examples]
    with pytest.raises(ValueError, match="expected 339 predictions, one per example, found 1"):
        get("vqa").measure(examples, [SimpleNamespace(value="yes")])
