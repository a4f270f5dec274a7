from __future__ import annotations

import json
from pathlib import Path

import pytest

from twelve.data.vocabulary import build_vocabulary, coverage, read_label_map
from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import get
from twelve.tasks.vqa import add_answers, read_questions
from twelve.types.examples import Example


def labelled(*labels: str) -> list[Example]:
    return [Example(str(i), "?", ("x/1",), facts={"label": label}) for i, label in enumerate(labels)]


@pytest.fixture(scope="module")
def golden(goldens: Path) -> tuple[dict[str, list[Example]], dict[str, object]]:
    folder = goldens / "metrics" / "vqa_softscore"
    splits = {}
    for split in ("train", "val"):
        questions = folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
        annotations = folder / f"v2_mscoco_{split}2014_annotations.json"
        splits[split] = list(add_answers(read_questions(questions), questions, annotations))
    return splits, json.loads((folder / "expected.json").read_text())["expected"]


def test_vocabulary_equals_the_original_tool(golden: tuple[dict[str, list[Example]], dict[str, object]]) -> None:
    splits, expected = golden
    vocabulary = build_vocabulary([[*splits["train"], *splits["val"]]], min_count=expected["min_occurrence"])
    assert sorted(vocabulary) == expected["answers_kept_sorted"]
    counts = expected["questions_per_answer"]
    assert vocabulary == sorted(counts, key=lambda answer: (-counts[answer], answer))


def test_soft_targets_equal_the_original_tool(golden: tuple[dict[str, list[Example]], dict[str, object]]) -> None:
    splits, expected = golden
    vocabulary = frozenset(expected["answers_kept_sorted"])
    for split, examples in splits.items():
        rows = {str(row["question_id"]): row for row in expected[f"{split}_targets"]}
        assert len(rows) == len(examples)
        for example in examples:
            known = {answer: score for answer, score in example.target.items() if answer in vocabulary}
            assert known == rows[example.id]["scores"]
            assert example.images == (f"coco/{rows[example.id]['image_id']}",)


def test_an_answer_must_be_frequent_in_one_task() -> None:
    assert build_vocabulary([labelled("a", "a", "b"), labelled("b", "c", "c")], min_count=2) == ["a", "c"]
    assert build_vocabulary([labelled("b", "a", "a", "b", "c")], min_count=1) == ["a", "b", "c"]


def test_questions_without_a_label_do_not_count() -> None:
    with pytest.raises(DataError, match=r"no answer is given to at least 2 questions \(the most frequent one to 1\)"):
        build_vocabulary([[Example("0", "?", ("x/1",)), *labelled("a")]], min_count=2)


def test_given_label_maps_stand_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('["", "no", "yes"]')
    assert build_vocabulary([], label_map=path) == ["", "no", "yes"]
    path.write_text('{"yes": 1, "no": 0}')
    assert read_label_map(path) == ["no", "yes"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"yes": 1}', "rows of its answers must be 0, 1, 2"),
        ('{"yes": true, "no": 0}', "rows of its answers must be 0, 1, 2"),
        ('["a", "b", "a"]', "the answer 'a' occurs twice"),
        ('["a", 3]', "row 1 is int 3"),
        ("[]", "found list"),
        ('"yes"', "found str"),
        ("{", "not valid JSON"),
    ],
)
def test_malformed_label_maps(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=problem):
        read_label_map(tmp_path / "labels.json")


def test_coverage() -> None:
    examples = [
        Example("0", "?", ("x/1",), {"yes": 1.0, "no": 0.3}),
        Example("1", "?", ("x/1",), {"cup": 0.9, "no": 0.3}),
        Example("2", "?", ("x/1",), {"mug": 1.0}),
        Example("3", "?", ("x/1",), None),
        Example("4", "?", ("x/1",), {}),
    ]
    found = coverage(examples, ["yes", "no"])
    assert (found.questions, found.answers, found.best_known) == (4, 2, 0.25)
    assert found.highest_score == pytest.approx(1.3 / 4)
    assert str(found) == (
        "2 answers to choose among; for 3 of 4 questions (75.0%), the best answer is not one of them, "
        "and no score can be higher than 32.5"
    )
    everything = coverage([examples[0], examples[2]], ["yes", "no", "mug"])
    assert str(everything) == "3 answers to choose among; the correct answer to every question is one of them"
    assert str(coverage(examples[:2], ["yes", "cup"])).endswith(
        "the best answer to every question is one of them, and no score can be higher than 95.0"
    )
    assert str(coverage([], ["yes", "no"])) == "2 answers to choose among"
    assert coverage([], ["yes"]).questions == 0


@pytest.mark.realdata
@pytest.mark.parametrize(("min_count", "cap"), [(9, 85.9), (1, 97.3)])
def test_cap_of_the_real_questions(realdata: Path, min_count: int, cap: float) -> None:
    """The two figures were counted independently of this code."""
    root, task = DataRoot(realdata), get("vqa")
    vocabulary = build_vocabulary([task.read(root, "train")], min_count=min_count)
    assert round(100 * coverage(task.read(root, "val"), vocabulary).highest_score, 1) == cap


@pytest.mark.realdata
def test_released_label_map(realdata: Path) -> None:
    labels = read_label_map(realdata / "samples" / "vocab" / "lxmert_vqa_label2ans_3129.json")
    assert (len(labels), labels[0]) == (3129, "")
