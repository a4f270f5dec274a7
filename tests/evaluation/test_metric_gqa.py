"""GQA's metrics against its eval.py (tests/goldens/metrics/gqa)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twelve.errors import DataError
from twelve.metrics import gqa as metric

KINDS = {"Structural": "structural", "Semantic": "semantic", "Steps": "steps", "Length": "words"}


class Golden:
    """The recorded files, as the metric takes them."""

    def __init__(self, folder: Path) -> None:
        def read(name: str) -> Any:
            return json.loads((folder / f"{name}.json").read_text())

        self.rows, self.scenes = read("val_all_questions"), read("val_sceneGraphs")
        self.questions = {key: self.question(row) for key, row in self.rows.items()}
        self.texts = {key: row["question"] for key, row in self.rows.items()}
        self.entailed = {key: row["entailed"] for key, row in self.rows.items()}
        self.predictions = {row["questionId"]: row["prediction"] for row in read("val_predictions")}
        self.choices = {key: metric.Choices(**row) for key, row in read("val_choices").items()}
        self.attentions = {row["questionId"]: row["attention"] for row in read("val_attentions")}
        self.regions = {key: self.regions_of(row) for key, row in self.rows.items()}
        self.expected = read("expected")["expected"]

    @staticmethod
    def question(row: dict[str, Any]) -> metric.GQAQuestion:
        steps = metric.count_steps([(step["operation"], step["argument"]) for step in row["semantic"]])
        return metric.GQAQuestion(row["answer"], *types(row), row["groups"]["global"], steps, row["isBalanced"])

    def regions_of(self, row: dict[str, Any]) -> list[metric.Region]:
        scene, notes = self.scenes[row["imageId"]], row["annotations"]
        things = [scene["objects"][key] for part in ("question", "fullAnswer") for key in notes[part].values()]
        wide, high = scene["width"], scene["height"]
        return [(t["x"] / wide, t["y"] / high, (t["x"] + t["w"]) / wide, (t["y"] + t["h"]) / high) for t in things]


def types(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["types"]["structural"], row["types"]["semantic"], row["types"]["detailed"]


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Golden:
    return Golden(goldens / "metrics" / "gqa")


def check(found: metric.GQAScores, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name.startswith("accuracyPer"):
            kind = KINDS[name.removeprefix("accuracyPer").removesuffix("Type")]
            ours = {str(part): list(pair) for part, pair in getattr(found, f"per_{kind}").items()}
            assert ours.keys() == value.keys()
            for part in value:
                assert ours[part] == pytest.approx(value[part], abs=1e-9)
        else:
            assert (getattr(found, name) or 0) == pytest.approx(value, abs=1e-9), name


def test_everything_equals_the_official_program(golden: Golden) -> None:
    found = metric.evaluate(
        golden.questions,
        golden.texts,
        golden.predictions,
        entailed=golden.entailed,
        choices=golden.choices,
        regions=golden.regions,
        attentions=golden.attentions,
    )
    check(found, golden.expected["scores"])
    assert found.consistency and found.grounding and found.validity != found.plausibility


def test_what_was_not_given_is_not_measured(golden: Golden) -> None:
    balanced = {key: question for key, question in golden.questions.items() if question.balanced}
    found = metric.evaluate(balanced, golden.texts, golden.predictions)
    check(found, golden.expected["balanced_only_no_choices"]["scores"])
    assert found.consistency is found.validity is found.plausibility is found.grounding is None


def question(answer: str = "red", group: str | None = "colour", **changes: Any) -> metric.GQAQuestion:
    return replace(metric.GQAQuestion(answer, "query", "attr", "color", group, 2), **changes)


def test_answers_are_not_normalised() -> None:
    texts = {"1": "x y"}
    assert metric.evaluate({"1": question("yes")}, texts, {"1": "Yes"}).accuracy == 0
    assert metric.evaluate({"1": question("yes")}, texts, {"1": "yes"}).accuracy == 100


def test_common_attributes_have_their_own_choices() -> None:
    questions = {"1": question("material", detailed="twoCommon")}
    choices = {"1": metric.Choices(("wood",), ("wood",))}
    for answer, share in (("shape", 100), ("wood", 0)):
        assert metric.evaluate(questions, {"1": ""}, {"1": answer}, choices=choices).validity == share


def test_consistency_includes_questions_that_do_not_count() -> None:
    questions = {"1": question(), "2": question("no", balanced=False), "3": question("no", balanced=False)}
    entailed = {"1": ["1", "2", "3"]}
    texts = dict.fromkeys(questions, "x")
    found = metric.evaluate(questions, texts, {"1": "red", "2": "no", "3": "yes"}, entailed=entailed)
    assert (found.accuracy, found.consistency, len(found.correct)) == (100, 50, 1)
    wrong = metric.evaluate(questions, texts, {"1": "blue", "2": "no", "3": "no"}, entailed=entailed)
    assert wrong.consistency is None
    with pytest.raises(DataError, match=r"\[3\]: this question has no prediction"):
        metric.evaluate(questions, texts, {"1": "red", "2": "no"}, entailed=entailed)


def test_distribution_passes_over_answers_that_are_never_right() -> None:
    questions = {"1": question("red"), "2": question("red"), "3": question("blue"), "4": question(group=None)}
    texts = dict.fromkeys(questions, "x")
    same = {"1": "blue", "2": "red", "3": "red", "4": "red"}
    assert metric.evaluate(questions, texts, same).distribution == 0
    other = {"1": "red", "2": "red", "3": "green", "4": "red"}
    assert metric.evaluate(questions, texts, other).distribution == pytest.approx(1 / 100)
    assert metric.evaluate({"4": questions["4"]}, texts, same).distribution is None


def test_grounding_counts_shares_of_cells() -> None:
    attention = [[0.5, 0.125], [0.25, 0.125]]  # columns first
    assert metric.grounding_score([(0, 0, 1, 1)], attention) == 1
    assert metric.grounding_score([(0, 0, 0.5, 1)], attention) == 0.625
    assert metric.grounding_score([(0.25, 0, 0.5, 0.5)] * 2, attention) == 0.5


def test_nothing_to_count() -> None:
    with pytest.raises(DataError, match="no question is balanced"):
        metric.evaluate({"1": question(balanced=False)}, {}, {})
