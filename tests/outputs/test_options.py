"""One of several texts: the right one first on the way in, back in its place on the way out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twelve.model.bert_tokenizer import shortened
from twelve.outputs import get_output
from twelve.outputs.options import TRAINED
from twelve.types.examples import Example

OUTPUT = get_output("options")
FOUR = Example("a", "why", ("vcr/1",), target=2, options=("w", "x", "y", "z"))
MANY = Example("b", "how", ("vcr/2",), target=7, options=tuple(f"o{i}" for i in range(30)))


def test_right_option_first_then_the_others() -> None:
    (pairs,) = OUTPUT.pairs([FOUR])
    assert [text for text, _ in pairs] == [f"why [SEP] {option}" for option in "ywxz"]
    assert {image for _, image in pairs} == {"vcr/1"}
    (unknown,) = OUTPUT.pairs([replace(FOUR, target=None, text="")])
    assert [text for text, _ in unknown] == list("wxyz")


def test_training_sees_few_of_many() -> None:
    rng = np.random.default_rng(0)
    drawn = [OUTPUT.pairs([MANY], rng)[0] for _ in range(60)]
    assert all(len(set(pairs)) == TRAINED and pairs[0][0] == "how [SEP] o7" for pairs in drawn)
    assert len({text for pairs in drawn for text, _ in pairs}) == 30  # every option has its turn
    assert OUTPUT.pairs([FOUR], rng) == OUTPUT.pairs([FOUR])
    assert len(OUTPUT.pairs([MANY])[0]) == 30


def test_loss_is_one_softmax_over_the_options() -> None:
    logits = torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    targets = OUTPUT.targets([FOUR, FOUR], [], [])
    expected = -F.log_softmax(logits.reshape(2, 4), dim=1)[:, 0].mean()
    torch.testing.assert_close(OUTPUT.loss(logits, targets), expected)


def test_a_tie_is_not_right() -> None:
    targets = OUTPUT.targets([FOUR] * 3, [], [])
    logits = torch.tensor([[2.0, 1, 1, 1], [1, 1, 0, 0], [1, 0, 2, 0]]).reshape(-1, 1)
    assert OUTPUT.score(logits, targets).tolist() == [1, 0, 0]


def test_decoded_options_are_the_examples_own() -> None:
    order = [2, 0, 1, 3]  # as the pairs stand
    logits = torch.tensor([[float(option == 3) * 5 + float(option == 1) for option in order]]).reshape(-1, 1)
    (found,) = OUTPUT.decode(logits, [FOUR], [], [])
    assert found.value == 3 and [option for option, _ in found.alternatives] == [3, 1, 0, 2]
    assert sum(share for _, share in found.alternatives) == pytest.approx(1)
    (unknown,) = OUTPUT.decode(torch.tensor([[0.0], [3], [1], [2]]), [replace(FOUR, target=None)], [], [])
    assert [option for option, _ in unknown.alternatives] == [1, 3, 2, 0]


def test_equal_logits_do_not_favour_the_right_option() -> None:
    (found,) = OUTPUT.decode(torch.zeros(4, 1), [FOUR], [], [])
    assert [option for option, _ in found.alternatives] == [0, 1, 2, 3]


def test_prospects_and_head() -> None:
    found = OUTPUT.prospects([FOUR, MANY], [], [])
    assert found.chance.tolist() == [1 / 4, 1 / 30] and found.best.tolist() == [1, 1]
    assert OUTPUT.head_kind == "alignment" and not OUTPUT.ranks_gallery
    assert OUTPUT.head(fused_size=6, visual_size=5, size=1)(torch.ones(3, 6)).shape == (3, 1)


@pytest.mark.parametrize("target", [30, -1])
def test_targets_that_are_no_option(target: int) -> None:
    with pytest.raises(ValueError, match=f"b: expected an option from 0 to 29, found {target}"):
        OUTPUT.pairs([replace(MANY, target=target)])
    with pytest.raises(TypeError, match="index"):
        OUTPUT.pairs([replace(MANY, target="o7")])


def test_the_longest_part_is_shortened() -> None:
    assert shortened([1, 2, 3, 0, 4, 5], 6, 0) == [1, 2, 3, 0, 4, 5]
    assert shortened([1, 2, 3, 4, 5, 0, 6, 7], 6, 0) == [1, 2, 3, 0, 6, 7]
    assert shortened([1, 2, 0, 3, 4, 0, 5, 6], 7, 0) == [1, 0, 3, 4, 0, 5, 6]
    assert shortened([1, 2, 3, 4], 2, 0) == [1, 2]
    assert shortened([1, 0, 2, 0, 3], 3, 0) == [1, 0, 2]  # no room for a piece of each
