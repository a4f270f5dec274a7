"""Baselines learn what can be learnt without images, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.evaluation.baselines import answers_of, bag_of_words, derangement, majority
from twelve.types.examples import Example


def test_majority_does_not_depend_on_order() -> None:
    assert majority(["b", "a", "a", "b", "c"]) == majority(["c", "b", "b", "a", "a"]) == "a"


def test_answers_are_those_that_are_right_for_some_example() -> None:
    targets = ({"no": 1.0}, {"yes": 0.3, "maybe": 0.0}, {"unheard of": 1.0}, None)
    examples = [Example(str(row), "is it?", ("mine/1",), target) for row, target in enumerate(targets)]
    assert answers_of(examples, ["red", "yes", "no", "maybe"]) == ["yes", "no"]
    assert answers_of([], ["red"]) == []


def test_bag_of_words_learns_a_word_and_its_classes() -> None:
    rng = np.random.default_rng(0)
    texts = [f"{'not ' if label else ''}seen {rng.integers(5)}" for label in rng.integers(0, 2, 300).tolist()]
    known = [(text, "no" if "not" in text else "yes") for text in texts]
    found = bag_of_words(known[:200], known[200:], ["not seen 3", "seen 3", "words unheard of"])
    assert [prediction.value for prediction in found[:2]] == ["no", "yes"]
    assert all(0 <= prediction.confidence <= 1 for prediction in found)


def test_bag_of_words_cannot_learn_noise() -> None:
    rng = np.random.default_rng(0)
    known = [(f"w{rng.integers(50)} w{rng.integers(50)}", bool(rng.integers(2))) for _ in range(600)]
    found = bag_of_words(known[:300], known[300:400], [text for text, _ in known[400:]])
    accuracy = np.mean([prediction.value == label for prediction, (_, label) in zip(found, known[400:], strict=True)])
    assert 0.35 < accuracy < 0.65


@given(st.lists(st.text(max_size=3), min_size=2, max_size=30), st.integers(0, 5))
def test_derangement_moves_everything(items: list[str], seed: int) -> None:
    found = derangement(items, seed)
    assert set(found) == set(found.values()) == set(items)
    if len(set(items)) > 1:
        assert all(key != value for key, value in found.items())
    assert found == derangement(list(reversed(items)), seed)


@pytest.mark.parametrize("seed", range(3))
def test_derangements_differ_by_seed(seed: int) -> None:
    items = list(range(50))
    assert derangement(items, seed) != derangement(items, seed + 1)
