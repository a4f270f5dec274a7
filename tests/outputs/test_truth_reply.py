"""Is a statement true of one image; the reply to a question about a given object."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twelve.errors import DataError, RegionError
from twelve.outputs import OUTPUTS
from twelve.types.examples import Box, Example, Target
from twelve.types.regions import Regions

BOXES = np.array([[0, 0, 50, 50], [10, 20, 60, 90], [70, 0, 100, 30]], dtype=np.float32)
SEEN = Regions("x/1", 100, 100, BOXES)


def asked(target: Target, *candidates: Box) -> Example:
    return Example("e1", "is it red ?", ("x/1",), target=target, candidates=candidates or ((10.0, 20.0, 60.0, 90.0),))


def test_true_comes_before_false_as_in_the_original() -> None:
    output = OUTPUTS["truth"]
    examples = [Example("a", "text", ("x/1",), target=target) for target in (True, False, None)]
    assert output.targets(examples, [], [])["target"].tolist() == [0, 1, -1]
    found = output.decode(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]), examples, [], [])
    assert [prediction.value for prediction in found] == [False, True, True]
    assert [value for value, _ in found[0].alternatives] == [False, True]
    assert output.label(examples[1]) is False
    assert output.prospects(examples, [], []).chance.tolist() == [0.5] * 3
    with pytest.raises(DataError, match=r"\[a\]: unknown class 'no' -> use one of True, False"):
        output.targets([Example("a", "text", ("x/1",), target="no")], [], [])


def test_the_reply_is_read_at_the_object() -> None:
    output = OUTPUTS["reply"]
    examples = [asked("No"), asked("N/A", (70.0, 0.0, 100.0, 30.0))]
    targets = output.targets(examples, [SEEN, SEEN], [])
    assert targets["target"].tolist() == [1, 2]
    assert targets["region"].tolist() == [2, 3]  # row 0 is the whole image
    logits = torch.zeros(2, 4, 3)
    logits[:, :, 0] = 5.0  # every other region says yes
    logits[0, 2] = torch.tensor([-1.0, 2.0, 0.0])
    logits[1, 3] = torch.tensor([0.0, 1.0, 0.5])
    assert [found.value for found in output.decode(logits, examples, [SEEN, SEEN], [])] == ["No", "No"]
    assert output.score(logits, targets).tolist() == [1, 0]
    rows, right = torch.stack([logits[0, 2], logits[1, 3]]), torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(rows, right)
    assert float(output.loss(logits, targets)) == pytest.approx(float(by_hand))


def test_only_the_object_of_a_question_is_trained_on() -> None:
    output = OUTPUTS["reply"]
    logits = torch.zeros(1, 4, 3, requires_grad=True)
    output.loss(logits, output.targets([asked("Yes")], [SEEN], [])).backward()
    assert logits.grad is not None
    assert [bool(row.abs().sum()) for row in logits.grad[0]] == [False, False, True, False]


def test_a_question_needs_one_object_and_its_region() -> None:
    output = OUTPUTS["reply"]
    two = ((10.0, 20.0, 60.0, 90.0), (0.0, 0.0, 50.0, 50.0))
    with pytest.raises(DataError, match=r"\[e1\]: expected the box of one object, found 2"):
        output.targets([asked("Yes", *two)], [SEEN], [])
    with pytest.raises(RegionError, match="x/1 has no region for candidate 0"):
        output.targets([asked("Yes", (30.0, 30.0, 40.0, 40.0))], [SEEN], [])
    with pytest.raises(DataError, match="unknown class 'Maybe'"):
        output.targets([asked("Maybe")], [SEEN], [])
