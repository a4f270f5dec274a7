"""The baseline of texts among which one is right: it finds what words give away, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from twelve.evaluation.option_baseline import OPTIONS, bag_of_options
from twelve.types.examples import Example


def examples(count: int, seed: int, *, told: bool, options: int = 4) -> list[Example]:
    """The right option is the one that begins with "because" after "why", else the one that is a number; not told:
    all options are alike."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        why = bool(rng.integers(2))
        pool = [f"because of {word}" for word in "abcd"] if why == told else [f"{digit} of them" for digit in "1234"]
        other = [f"{digit} of them" for digit in "1234"] if why == told else [f"because of {word}" for word in "abcd"]
        texts = [str(rng.choice(other)) for _ in range(options)]
        right = int(rng.integers(options))
        texts[right] = str(rng.choice(pool)) if told else texts[0]
        text = "why is it [SEP] x" if why else "how many [SEP] x"
        found.append(Example(str(number), text, ("i/1",), target=right, options=tuple(texts)))
    return found


def right(found: list[Example], seed: int = 0, **kind: bool) -> float:
    train, choose = examples(120, 1, **kind), examples(30, 2, **kind)
    values = [prediction.value for prediction in bag_of_options(train, choose, found)]
    return float(np.mean([value == example.target for value, example in zip(values, found, strict=True)]))


def test_what_words_give_away_is_found() -> None:
    assert right(examples(60, 3, told=True), told=True) > 0.95


def test_what_they_do_not_is_not() -> None:
    assert right(examples(200, 3, told=False), told=False) < 0.4


def test_predictions_rank_all_options_and_are_the_same_again() -> None:
    train, test = examples(40, 1, told=True, options=OPTIONS + 10), examples(5, 3, told=True, options=OPTIONS + 10)
    found = bag_of_options(train, [], test)
    for prediction in found:
        assert sorted(option for option, _ in prediction.alternatives) == list(range(OPTIONS + 10))
        assert prediction.alternatives[0] == (prediction.value, prediction.confidence)
        assert sum(share for _, share in prediction.alternatives) == pytest.approx(1)
    assert bag_of_options(train, [], test) == found
