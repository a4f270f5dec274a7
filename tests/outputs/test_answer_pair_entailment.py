"""Targets and decoding of the classifying outputs."""

from __future__ import annotations

import pytest
import torch

from twelve.errors import CheckpointError, DataError
from twelve.outputs import OUTPUTS
from twelve.outputs.answer import among
from twelve.types.examples import Example, Target


def example(target: Target, *images: str) -> Example:
    return Example("e1", "text", images or ("x/1",), target=target)


def test_answers_are_looked_up_as_written() -> None:
    targets = OUTPUTS["answer"].targets(
        [example({"two": 1.0, "Two": 0.6, "3": 0.3}), example(None), example({})], [], ["", "two", "3"]
    )
    torch.testing.assert_close(targets["target"], torch.tensor([[0, 1, 0.3], [0, 0, 0], [0, 0, 0]]))
    assert targets["target"].dtype is torch.float32
    scores = OUTPUTS["answer"].score(torch.tensor([[0.0, 1, 2], [1, 0, 0], [0, 1, 0]]), targets)
    assert scores.tolist() == pytest.approx([0.3, 0, 0])


def test_best_answers() -> None:
    vocabulary = list("abcdefg")
    logits = torch.tensor([[0.0, 5, -1, 4, 60, 61, -2]])
    (found,) = OUTPUTS["answer"].decode(logits, [example(None)], [], vocabulary)
    assert found.value == "f"
    assert [value for value, _ in found.alternatives] == ["f", "e", "b", "d", "a"]
    assert found.alternatives[2][1] == pytest.approx(float(torch.sigmoid(torch.tensor(5.0))))
    (few,) = OUTPUTS["answer"].decode(logits[:, :2], [example(None)], [], vocabulary[:2])
    assert len(few.alternatives) == 2
    with pytest.raises(CheckpointError, match="7 answers, the vocabulary 2"):
        OUTPUTS["answer"].decode(logits, [example(None)], [], vocabulary[:2])


def test_alternatives_among_the_answers_of_a_task_of_ones_own() -> None:
    vocabulary = ["no", "red", "yes", "0"]
    logits = torch.tensor([[-3.0, 1.0, 2.0, 0.0], [-3.0, 3.0, 2.0, 0.0]])
    limited = among(logits, vocabulary, ["no", "yes", "maybe"])
    known, other = OUTPUTS["answer"].decode(limited, [example(None)] * 2, [], vocabulary)
    assert [value for value, _ in known.alternatives] == ["yes", "no"]
    assert known.alternatives[1][1] == pytest.approx(float(torch.sigmoid(torch.tensor(-3.0))))
    assert [value for value, _ in other.alternatives] == ["red", "yes", "no"]  # the best answer stays
    assert among(logits, vocabulary, None) is logits


def test_entailment() -> None:
    output = OUTPUTS["entailment"]
    names = ("contradiction", "neutral", "entailment", None)
    assert output.targets([example(name) for name in names], [], [])["target"].tolist() == [0, 1, 2, -1]
    (found,) = output.decode(torch.tensor([[1.0, 0, 2]]), [example(None)], [], [])
    assert (found.value, [value for value, _ in found.alternatives]) == (
        "entailment",
        ["entailment", "contradiction", "neutral"],
    )
    assert sum(share for _, share in found.alternatives) == pytest.approx(1)
    with pytest.raises(DataError, match=r'\[e1\].*did you mean "neutral"'):
        output.targets([example("netural")], [], [])


def test_two_images() -> None:
    output = OUTPUTS["pair"]
    both = [example(True, "x/1", "x/2"), example(False, "x/3", "x/4"), example(None, "x/1", "x/1")]
    assert output.targets(both, [], [])["target"].tolist() == [1, 0, -1]
    assert output.pairs(both)[0] == [("text", "x/1"), ("text", "x/2")]
    (found,) = output.decode(torch.tensor([[1.0, 0]]), both[:1], [], [])
    assert found.value is False
    with pytest.raises(DataError, match="expected two images, found 1"):
        output.pairs([example(True)])


def test_one_pair_each_where_nothing_else_is_said() -> None:
    assert OUTPUTS["answer"].pairs([example(None), example(None, "x/2")]) == [[("text", "x/1")], [("text", "x/2")]]


def test_prospects() -> None:
    answers = OUTPUTS["answer"].prospects(
        [example({"two": 0.6, "2": 1.0}), example({"red": 1.0}), example(None)], [], ["two", "three", "red", "blue"]
    )
    assert answers.chance.tolist() == pytest.approx([0.15, 0.25, 0])
    assert answers.best.tolist() == pytest.approx([0.6, 1, 0])  # "2" is not in the vocabulary
    for kind, classes in (("pair", 2), ("entailment", 3)):
        found = OUTPUTS[kind].prospects([example(None)] * 2, [], [])
        assert found.chance.tolist() == [1 / classes] * 2 and found.best.tolist() == [1, 1]
