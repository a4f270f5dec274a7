"""Pretraining losses, by their definitions, one masked position at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny_model
import torch
from torch import Tensor

from twelve.errors import ConfigError
from twelve.model.config import TwelveConfig
from twelve.model.pretraining import PRETRAINING_STATES, drop_mismatched, pretraining_losses
from twelve.model.vilbert import Twelve
from twelve.outputs.pretraining import region_loss

SIZES: dict[str, Any] = {
    **{"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 6},
    **{"max_position_embeddings": 8, "v_feature_size": 4, "v_target_size": 4, "v_hidden_size": 6},
    **{"v_num_hidden_layers": 1, "v_num_attention_heads": 3, "v_intermediate_size": 9, "bi_hidden_size": 4},
    **{"bi_num_attention_heads": 2, "t_biattention_id": [1], "v_biattention_id": [0], "pretraining": True},
}
PAIRS, LENGTH, REGIONS = 3, 4, 3


def losses(model: Twelve, found: Any, **asked: Any) -> Any:
    words, tokens = model.text.embedding.words.weight, model.config.task_specific_tokens
    return pretraining_losses(model.pretraining, found, embedding=words, has_task=tokens, **asked)


def model_of(**changes: Any) -> Twelve:
    torch.manual_seed(1)
    model = Twelve(TwelveConfig(**{**SIZES, **changes})).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.4)
    return model


def inputs(model: Twelve) -> dict[str, Tensor]:
    torch.manual_seed(2)
    given = {
        "input_ids": torch.randint(0, 20, (PAIRS, LENGTH)),
        "features": torch.randn(PAIRS, REGIONS, 4).double(),
        "boxes": tiny_model.boxes(PAIRS, REGIONS, 5, dtype=torch.float64),
    }
    return given | ({"task_rows": torch.zeros(PAIRS).long()} if model.config.task_specific_tokens else {})


def labels(words: bool = True, regions: bool = True) -> dict[str, Tensor]:
    word_labels = torch.full((PAIRS, LENGTH), -1)
    region_labels = torch.full((PAIRS, REGIONS - 1), -1)
    if words:
        word_labels[0, 1], word_labels[0, 3], word_labels[2, 2] = 5, 7, 0
    if regions:
        region_labels[0, 0], region_labels[1, 1], region_labels[2, 1] = 1, 1, 1
        region_labels[1, 0] = 0  # neither asked nor padding
    targets = torch.rand(PAIRS, REGIONS - 1, 4).double()
    targets[0, 0] = torch.tensor([0, 0, 1, 0])
    return {
        "word_labels": word_labels,
        "region_labels": region_labels,
        "region_targets": targets / targets.sum(-1, keepdim=True),
        "mismatched": torch.tensor([0, 0, 1]),
    }


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("visual_target", [0, 1])
@pytest.mark.parametrize("drop", [False, True])
def test_losses_are_their_definitions(tokens: bool, visual_target: int, drop: bool) -> None:
    model = model_of(task_specific_tokens=tokens, visual_target=visual_target)
    given, asked = inputs(model), labels()
    full = model(**given).logits
    found = losses(model, model(**given, outputs=PRETRAINING_STATES), **asked, only_alignment_when_mismatched=drop)
    words, regions = [], []
    for pair in range(PAIRS):
        if drop and asked["mismatched"][pair] == 1:
            continue
        for position in range(LENGTH):
            label = int(asked["word_labels"][pair, position])
            if label != -1:
                row = position + 1 if tokens and position else position
                words.append(-full["pretraining.words"][pair, row].log_softmax(0)[label])
        for region in range(REGIONS - 1):
            if asked["region_labels"][pair, region] == 1:
                scores = full["pretraining.regions"][pair, region + 1]
                target = asked["region_targets"][pair, region]
                if visual_target == 0:
                    terms = [
                        t * (math.log(t) - s) for t, s in zip(target.tolist(), scores.log_softmax(0), strict=True) if t
                    ]
                    regions.append(sum(terms))
                else:
                    regions.append(((scores - target) ** 2).mean())
    alignment = [
        -full["pretraining.alignment"][pair].log_softmax(0)[asked["mismatched"][pair]] for pair in range(PAIRS)
    ]
    for ours, terms in ((found.words, words), (found.regions, regions), (found.alignment, alignment)):
        assert float((ours - sum(terms) / len(terms)).detach().abs()) < 1e-12
    assert torch.equal(found.total, found.words + found.regions + found.alignment)


def test_nothing_masked_is_zero_with_zero_gradients() -> None:
    model = model_of(task_specific_tokens=False)
    given = inputs(model)
    found = losses(model, model(**given, outputs=PRETRAINING_STATES), **labels(words=False, regions=False))
    assert found.words.item() == 0 and found.regions.item() == 0 and found.alignment.item() > 0
    found.total.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    # Every head took part: no parameter is left out of a synchronised gradient.
    assert model.pretraining is not None
    assert all(p.grad is not None for p in model.pretraining.parameters())


def test_mismatched_pairs_keep_no_labels() -> None:
    asked = labels()
    words, regions = drop_mismatched(asked["word_labels"], asked["region_labels"], asked["mismatched"])
    assert torch.equal(words[:2], asked["word_labels"][:2]) and bool((words[2] == -1).all())
    assert torch.equal(regions[:2], asked["region_labels"][:2]) and bool((regions[2] == -1).all())
    assert asked["word_labels"][2, 2] == 0


def test_half_precision_is_summed_in_single() -> None:
    scores, targets = torch.randn(5, 400, dtype=torch.bfloat16), torch.full((5, 400), 1 / 400)
    assert region_loss(scores, targets, 0).dtype == torch.float32
    assert float((region_loss(scores, targets, 0) - region_loss(scores.float(), targets, 0)).abs()) == 0


def test_what_is_not_there_is_named() -> None:
    model = model_of(task_specific_tokens=False)
    found = model(**inputs(model), outputs=("pretraining.words",))
    with pytest.raises(ValueError, match="PRETRAINING_STATES"):
        losses(model, found, **labels())
    with pytest.raises(ConfigError, match="visual_target 2"):
        region_loss(torch.zeros(1, 4), torch.zeros(1, 4), 2)
    without = model_of(task_specific_tokens=False, pretraining=False)
    with pytest.raises(ConfigError, match="no pretraining heads"):
        losses(without, found, **labels())
