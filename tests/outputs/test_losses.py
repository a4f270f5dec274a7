"""Losses and scores: against formulas written out, against the recorded ones, and what may not change them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from twelve.errors import ConfigError
from twelve.outputs import OUTPUTS, get_output
from twelve.outputs.parts.losses import mean_over_classes, sum_over_labels


def cross_entropy_by_hand(logit: float, label: float) -> float:
    share = 1 / (1 + math.exp(-logit))
    return -(label * math.log(share) + (1 - label) * math.log(1 - share))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["answer", "region"])
def test_summed_over_labels_averaged_over_examples(kind: str) -> None:
    logits, target = random(3, 5), torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    by_hand = (
        sum(cross_entropy_by_hand(float(logits[e, a]), float(target[e, a])) for e in range(3) for a in range(5)) / 3
    )
    assert float(OUTPUTS[kind].loss(logits, {"target": target})) == pytest.approx(by_hand, rel=1e-12)
    # the original's wording: the mean over everything, times the number of labels
    mean = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.double()) * 5
    assert float(mean) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(("kind", "classes"), [("pair", 2), ("entailment", 3)])
def test_mean_over_classes(kind: str, classes: int) -> None:
    logits, right = random(4, classes), torch.tensor([0, 1, classes - 1, -1])
    by_hand = sum(
        cross_entropy_by_hand(float(logits[e, c]), float(right[e] == c)) for e in range(4) for c in range(classes)
    ) / (4 * classes)
    assert float(OUTPUTS[kind].loss(logits, {"target": right})) == pytest.approx(by_hand, rel=1e-12)
    rows = (right[:, None] == torch.arange(classes)).float()
    assert float(mean_over_classes(logits, rows)) == pytest.approx(by_hand, rel=1e-12)
    best = logits.argmax(1)
    assert OUTPUTS[kind].score(logits, {"target": right}).tolist() == (best == right).float().tolist()


def test_alignment_is_a_choice_among_an_examples_pairs() -> None:
    logits = random(8, 1)
    by_hand = sum(
        -float(logits[4 * e, 0]) + math.log(sum(math.exp(float(logits[4 * e + k, 0])) for k in range(4)))
        for e in (0, 1)
    )
    output, targets = OUTPUTS["alignment"], {"target": torch.tensor([0, 0])}
    assert float(output.loss(logits, targets)) == pytest.approx(by_hand / 2, rel=1e-12)
    # a constant added to every logit changes nothing
    assert float(output.loss(logits + 3, targets)) == pytest.approx(by_hand / 2, rel=1e-12)
    scores = output.score(torch.tensor([3.0, 1, 2, 0, 1, 2, 0, 0])[:, None], targets)
    assert scores.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="expected a multiple of"):
        output.loss(logits[:7], targets)


@given(
    regions=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    extra=st.integers(0, 6),
    masked=st.sampled_from([-10000.0, -math.inf, 5.0]),
)
def test_trimming_padded_regions_changes_nothing(regions: list[int], extra: int, masked: float) -> None:
    """Whatever the logits of padding are; with the model's -10000 not even the mask is needed."""
    size, examples = max(regions), len(regions)
    logits = random(examples, size + extra, seed=extra)
    target = torch.rand(examples, size, generator=torch.Generator().manual_seed(extra), dtype=torch.float64)
    valid = torch.arange(size)[None, :] < torch.tensor(regions)[:, None]
    target = torch.where(valid, target, torch.zeros(()))
    logits[:, :size] = torch.where(valid, logits[:, :size], torch.tensor(masked, dtype=torch.float64))
    logits[:, size:] = masked
    alone = [sum_over_labels(logits[e : e + 1, :count], target[e : e + 1, :count]) for e, count in enumerate(regions)]
    output = OUTPUTS["region"]
    loss = output.loss(logits, {"target": target, "valid": valid})
    assert float(loss) == pytest.approx(float(sum(alone)) / examples, rel=1e-12)
    wide = torch.nn.functional.pad(target, (0, extra)), torch.nn.functional.pad(valid, (0, extra))
    assert float(output.loss(logits, {"target": wide[0], "valid": wide[1]})) == pytest.approx(float(loss), rel=1e-12)
    if masked == -10000.0:
        assert float(output.loss(logits, {"target": wide[0]})) == pytest.approx(float(loss), rel=1e-12)


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = random(2, 3129).to(torch.bfloat16)
    target = torch.zeros(2, 3129)
    loss = OUTPUTS["answer"].loss(logits, {"target": target})
    assert loss.dtype is torch.float32
    assert float(loss) == pytest.approx(float(sum_over_labels(logits.double(), target)), rel=1e-5)


def test_losses_can_be_differentiated_through_padding() -> None:
    logits = torch.tensor([[1.0, -math.inf]], requires_grad=True)
    sum_over_labels(logits, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_recorded_losses_and_scores(goldens: Path) -> None:
    """Nine tasks of the original on random logits, its loss in float32 and both its scores."""
    tensors = load_file(goldens / "model/losses_scores.safetensors")
    kinds = {"VL-classifier": "answer", "VL-classifier-GQA": "answer", "VL-logit": "alignment", "V-logit": "region"}
    kinds |= {"V-logit-mc": "region", "VL-binary-classifier": "pair", "VL-tri-classifier": "entailment"}
    for task, recorded in json.loads((goldens / "model/losses_scores.json").read_text()).items():
        output = OUTPUTS[kinds[recorded["type"]]]
        logits, targets = tensors[f"{task}.logits"], {"target": tensors[f"{task}.target"]}
        if output.kind == "region":
            logits, targets["target"] = logits.squeeze(-1), targets["target"].squeeze(-1)
        if f"{task}.multiple_choice_ids" in tensors:
            targets["candidates"] = tensors[f"{task}.multiple_choice_ids"] + 101
        assert float(output.loss(logits, targets)) == pytest.approx(recorded["loss"], rel=1e-6), task
        scores = output.score(logits, targets)
        assert float(scores.sum()) == pytest.approx(recorded["val_score_sum"], abs=1e-6), task
        assert float(scores.mean()) == pytest.approx(recorded["train_score"], abs=1e-6), task


def test_registry_names_the_nearest() -> None:
    assert {kind: output.kind for kind, output in OUTPUTS.items()} == {kind: kind for kind in OUTPUTS}
    assert get_output("pair") is OUTPUTS["pair"]
    with pytest.raises(ConfigError, match='did you mean "region"'):
        get_output("regions")
