"""Scores by kind of example, bins of scores, and confusions, as an evaluation keeps them for the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twelve.evaluation.calibration import expected_calibration_error, score_bins
from twelve.evaluation.confusions import CLASSES, KEPT, confusions
from twelve.evaluation.parts import FEWEST_EXAMPLES, FEWEST_GROUPS, scored_parts
from twelve.metrics.bootstrap import interval, part_intervals
from twelve.outputs import get_output
from twelve.types.examples import Example
from twelve.types.predictions import Prediction

RNG = np.random.default_rng(3)
COUNT = 400
GROUPS = [f"image {number % 50}" for number in range(COUNT)]


def test_intervals_of_parts_are_those_of_the_parts_alone() -> None:
    values = RNG.random(COUNT)
    everything, half = np.ones(COUNT, dtype=bool), np.arange(COUNT) % 2 == 0
    found = part_intervals(values, GROUPS, np.stack([everything, half]), resamples=500)
    alone = interval(values, GROUPS, resamples=500)
    for one, other in zip(
        (found[0].mean, found[0].low, found[0].high), (alone.mean, alone.low, alone.high), strict=True
    ):
        assert one == pytest.approx(other, abs=1e-12)
    inside = interval(values[half], [group for group, kept in zip(GROUPS, half, strict=True) if kept], resamples=500)
    assert found[1].mean == pytest.approx(inside.mean)
    assert found[1].high - found[1].low == pytest.approx(inside.high - inside.low, rel=0.25)


def test_an_empty_part_is_refused_and_a_rare_one_has_an_interval() -> None:
    parts = np.zeros((2, COUNT), dtype=bool)
    parts[0, 0] = True
    with pytest.raises(ValueError, match="empty part"):
        part_intervals(np.ones(COUNT), GROUPS, parts)
    found = part_intervals(np.ones(COUNT), GROUPS, parts[:1], resamples=200)  # many resamples lack its only group
    assert (found[0].low, found[0].high) == (pytest.approx(0.2065, abs=1e-4), 1.0)  # one group


def questions(count: int = COUNT) -> list[Example]:
    """Every fourth asks how many; the others name a colour."""
    texts = ["how many boats are there", "what is the red thing", "is the red thing big", "where is the blue cup"]
    types = ["number", "other", "yes/no", "other"]
    return [
        Example(
            id=str(number),
            text=texts[number % 4],
            images=(f"coco/{number % 50}",),
            target={f"answer {number % 7}": 1.0},
            facts={"answer_type": types[number % 4], "label": f"answer {number % 7}"},
        )
        for number in range(count)
    ]


def parts_of(examples: list[Example], right: np.ndarray, baselines: dict[str, np.ndarray] | None = None) -> dict:
    groups = [f"image {number}" for number in RNG.permutation(len(examples)) % 50]
    found = scored_parts(get_output("answer"), examples, right, groups, baselines or {}, resamples=200)
    return {(part.kind, part.value): part for part in found}


def test_a_part_that_is_all_right_leads_chance_by_what_chance_leaves() -> None:
    found = parts_of(questions(), np.ones(COUNT), {"chance": np.full(COUNT, 0.25)})
    assert found
    for part in found.values():
        assert part.baseline is not None
        lead = part.baseline.advantage
        assert (lead.low, lead.high) == (pytest.approx(part.score.low - 25), pytest.approx(75.0))


def test_a_part_has_its_own_score_and_its_own_best_baseline() -> None:
    examples = questions()
    counting = np.array([example.facts["answer_type"] == "number" for example in examples])
    right, constant, guess = np.where(counting, 0.25, 0.75), np.where(counting, 0.1, 0.5), np.full(COUNT, 0.3)
    found = parts_of(examples, right, {"constant": constant, "guess": guess})
    number, other = found["answer_type", "number"], found["answer_type", "other"]
    assert (number.examples, number.score.mean) == (100, 25.0)
    assert number.baseline is not None and other.baseline is not None
    assert (number.baseline.name, number.baseline.score) == ("guess", pytest.approx(30.0))
    assert number.baseline.advantage.mean == pytest.approx(-5.0) and not number.baseline.beaten
    assert (other.baseline.name, other.baseline.beaten) == ("constant", True)
    assert all(part.baseline is None for part in parts_of(examples, right).values())


def test_few_examples_and_few_images_are_no_part() -> None:
    examples = questions()
    few = FEWEST_EXAMPLES - 1
    rare = [replace(each, facts={"kind": "rare" if row < few else "usual"}) for row, each in enumerate(examples)]
    assert not any(kind == "kind" and value == "rare" for kind, value in parts_of(rare, np.ones(COUNT)))
    groups = ["one image" if row < 100 else f"image {row}" for row in range(COUNT)]
    near = [replace(each, facts={"kind": "near" if row < 100 else "far"}) for row, each in enumerate(examples)]
    found = scored_parts(get_output("answer"), near, np.ones(COUNT), groups, {}, resamples=200)
    values = [part.value for part in found if part.kind == "kind"]
    assert values == ["far"] and FEWEST_GROUPS > 1


def test_the_same_examples_are_listed_once_and_answers_are_no_parts() -> None:
    found = parts_of(questions(), np.ones(COUNT))
    assert ("answer_type", "number") in found and ("count", "how many") not in found  # the same questions
    assert not any(kind == "label" for kind, _ in found)  # the right answer itself


def test_bins_are_those_of_the_calibration_error() -> None:
    scores, right = RNG.random(COUNT), (RNG.random(COUNT) < 0.5).astype(float)
    bins = score_bins(scores, right)
    assert sum(each.examples for each in bins) == COUNT
    error = sum(each.examples * abs(each.score - each.right) for each in bins) / COUNT
    assert expected_calibration_error(scores, right) == pytest.approx(error)
    assert score_bins([0.9, 0.95, 0.1], [1.0, 0.0, 0.0])[0].examples == 1
    assert expected_calibration_error([], []) == 0.0


def predicted(*values: object) -> list[Prediction]:
    return [Prediction(value, 0.5) for value in values]


def test_classes_have_all_pairs_and_answers_the_wrong_ones() -> None:
    statements = [Example(str(row), "it is", ("nlvr2/1", "nlvr2/2"), target=row < 3) for row in range(4)]
    found = confusions(get_output("pair"), statements, predicted(True, True, False, True), np.array([1.0, 1, 0, 0]))
    assert {(each.wanted, each.said): (each.examples, each.of) for each in found} == {
        ("true", "true"): (2, 3),
        ("true", "false"): (1, 3),
        ("false", "true"): (1, 1),
    }
    asked = questions(60)
    said = predicted(*(f"other {row % (KEPT + 10)}" for row in range(60)))
    found = confusions(get_output("answer"), asked, said, np.where(np.arange(60) < 45, 0.0, 1.0))
    assert len(found) == KEPT > CLASSES and all(each.wanted != each.said for each in found)
    counts = [each.examples for each in found]
    assert counts == sorted(counts, reverse=True) and found[0].of in (8, 9)


def test_boxes_are_not_confused() -> None:
    pointed = Example("1", "the cup", ("coco/1",), target=(0.0, 0.0, 9.0, 9.0))
    assert confusions(get_output("region"), [pointed], predicted((0.0, 0.0, 9.0, 9.0)), np.ones(1)) == ()
