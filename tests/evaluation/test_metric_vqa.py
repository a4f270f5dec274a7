"""VQA accuracy and soft scores against vqaEval.py and compute_softscore.py (origin notes in tests/goldens/metrics)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.errors import DataError
from twelve.metrics import vqa as metric
from twelve.metrics.contractions import CONTRACTIONS

ANSWERS = st.sampled_from(["yes", "Yes", "two", "2", "a dog", "dog", "the", "12,500", "t-shirt", "dont"])


@pytest.fixture(scope="module")
def folder(goldens: Path) -> Path:
    return goldens / "metrics" / "vqa_v2"


@pytest.fixture(scope="module")
def questions(folder: Path) -> dict[str, metric.VQAQuestion]:
    rows = json.loads((folder / "v2_mscoco_val2014_annotations.json").read_text())["annotations"]
    return {
        str(row["question_id"]): metric.VQAQuestion(
            tuple(answer["answer"] for answer in row["answers"]), row["question_type"], row["answer_type"]
        )
        for row in rows
    }


@pytest.fixture(scope="module")
def predictions(folder: Path) -> dict[str, str]:
    rows = json.loads((folder / "v2_OpenEnded_mscoco_val2014_invented_results.json").read_text())
    return {str(row["question_id"]): row["answer"] for row in rows}


def test_every_step_of_normalising_equals_the_official_program(folder: Path) -> None:
    rows = json.loads((folder / "normalise_expected.json").read_text())
    assert len(rows) == 388
    for row in rows:
        stripped = metric.strip(row["raw"])
        assert stripped == row["stripped"]
        assert metric.process_punctuation(stripped) == row["punct"]
        assert metric.process_words(row["punct"]) == row["final"]
        assert metric.normalise(row["raw"]) == row["final"]


@pytest.mark.parametrize("decimals", [2, 10])
def test_scores_equal_the_official_program(
    folder: Path, questions: dict[str, metric.VQAQuestion], predictions: dict[str, str], decimals: int
) -> None:
    expected = json.loads((folder / "expected.json").read_text())["expected"][f"n{decimals}"]
    scores = metric.evaluate(questions, predictions, decimals)
    assert scores.overall == expected["accuracy"]["overall"]
    assert scores.per_question_type == expected["accuracy"]["perQuestionType"]
    assert scores.per_answer_type == expected["accuracy"]["perAnswerType"]
    assert scores.per_question == expected["evalQA"]


def test_one_third_of_the_matches_is_not_the_official_accuracy(
    questions: dict[str, metric.VQAQuestion], predictions: dict[str, str]
) -> None:
    """The shortcut min(1, matches / 3) gives 79.06 on these files, the official program 77.70."""
    assert metric.evaluate(questions, predictions).overall == 77.7
    exact = [metric.accuracy(question.answers, predictions[key]) for key, question in questions.items()]
    assert 100 * sum(exact) / len(exact) < 79


def test_contractions_are_the_official_list(goldens: Path) -> None:
    assert json.loads((goldens / "metrics" / "vqa_contractions.json").read_text())["contractions"] == CONTRACTIONS


@pytest.mark.parametrize(("matches", "share"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (9, 1)])
def test_ten_people_give_tenths(matches: int, share: float) -> None:
    answers = ["cup"] * matches + [f"other {number}" for number in range(10 - matches)]
    assert metric.accuracy(answers, "cup") == pytest.approx(share)
    assert metric.soft_scores(answers).get("cup", 0) == pytest.approx(share)


def test_nothing_is_normalised_where_all_people_agree() -> None:
    assert metric.accuracy(["yes"] * 10, "Yes") == 0
    assert metric.accuracy(["2"] * 10, "two") == 0
    assert metric.accuracy(["yes"] * 9 + ["no"], "Yes") == 1


def test_soft_scores_count_answers_as_typed() -> None:
    assert metric.soft_scores(["Two"] * 2 + ["two"] * 8) == {"Two": 0.6, "two": 1.0}


def test_only_thirty_two_full_stops_go() -> None:
    assert metric.process_punctuation("." * 40) == "." * 8


def test_halves_are_rounded_as_python_2_did() -> None:
    assert metric.round_away(0.125, 2) == 0.13
    assert metric.round_away(2.5, 0) == 3
    assert round(0.125, 2) == 0.12  # what it must not be


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_questions_and_predictions_must_be_the_same(
    questions: dict[str, metric.VQAQuestion], predictions: dict[str, str], change: str
) -> None:
    other = dict(predictions)
    if change == "missing":
        other.pop("100006000")
    else:
        other["1"] = "yes"
    with pytest.raises(DataError, match=r"100006000|\[1\]"):
        metric.evaluate(questions, other)


@given(st.lists(ANSWERS, min_size=10, max_size=10), ANSWERS)
def test_accuracy_of_ten_answers_is_one_of_five_values(answers: list[str], prediction: str) -> None:
    assert round(metric.accuracy(answers, prediction), 12) in {0.0, 0.3, 0.6, 0.9, 1.0}


@given(st.text("abcdefgTHEno 'AN0129"))
def test_normalising_words_twice_changes_nothing_more(text: str) -> None:
    """True of texts without punctuation; the rule about marks beside spaces is not idempotent."""
    once = metric.normalise(text)
    assert metric.normalise(once) == once
