"""Distinct texts, distinct images, pruned layers == every pair in full, over drawn configurations and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from vilbert_reference import Reference

from twelve.errors import CheckpointError, ConfigError, DataError
from twelve.model.checkpoints import released_name, write_released
from twelve.model.config import TwelveConfig
from twelve.model.model_outputs import TwelveOutput
from twelve.model.streams import Need, plan
from twelve.model.vilbert import Twelve

HEADS = {
    "answer": {"kind": "answer", "size": 5},
    "alignment": {"kind": "alignment", "size": 1},
    "region": {"kind": "region", "size": 1},
    "pair": {"kind": "pair", "size": 2},
    "entailment": {"kind": "entailment", "size": 3},
}
WORDS = ("word_logit", "pretraining.words")
REGIONS = ("region", "pretraining.regions")
NAMES = (*HEADS, "word_logit", "pretraining.words", "pretraining.regions", "pretraining.alignment")
SIZES: dict[str, Any] = {
    **{"vocab_size": 30, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 6, "type_vocab_size": 2},
    **{"max_position_embeddings": 8, "v_feature_size": 7, "v_target_size": 4, "v_hidden_size": 6},
    **{"v_num_attention_heads": 3, "v_intermediate_size": 9, "bi_hidden_size": 4, "bi_num_attention_heads": 2},
    **{"num_task_tokens": 5, "heads": HEADS, "pretraining": True, "word_logit": True},
}
TOLERANCE = 1e-9
subsets = st.one_of(st.sampled_from(NAMES).map(lambda name: {name}), st.sets(st.sampled_from(NAMES), min_size=1))


def config_of(**changes: Any) -> TwelveConfig:
    pattern = {"num_hidden_layers": 3, "v_num_hidden_layers": 2, "t_biattention_id": [1, 2], "v_biattention_id": [0, 1]}
    return TwelveConfig(**{**SIZES, **pattern, **changes})


def model_of(config: TwelveConfig, seed: int = 0) -> Twelve:
    """In float64, with weights large enough that a wrong layer, mask or gate shows."""
    torch.manual_seed(seed)
    model = Twelve(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.4)
    return model


@st.composite
def configs(draw: st.DrawFn) -> TwelveConfig:
    text, image = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    connections = draw(st.integers(0, 3))
    places = [
        sorted(draw(st.lists(st.integers(0, layers), min_size=connections, max_size=connections)))
        for layers in (text, image)
    ]
    activations = st.sampled_from(["gelu", "relu", "swish"])
    return config_of(
        num_hidden_layers=text,
        v_num_hidden_layers=image,
        t_biattention_id=places[0],
        v_biattention_id=places[1],
        task_specific_tokens=draw(st.booleans()),
        dynamic_attention=draw(st.booleans()),
        fusion_method=draw(st.sampled_from(["mul", "sum"])),
        hidden_act=draw(activations),
        v_hidden_act=draw(activations),
    )


@dataclass
class Batch:
    """Arguments of the model, with noise where nothing is."""

    arguments: dict[str, Tensor | None]
    text_lengths: list[int]
    region_counts: list[int]
    pairs: list[tuple[int, int]]


@st.composite
def batches(draw: st.DrawFn, config: TwelveConfig) -> Batch:
    torch.manual_seed(draw(st.integers(0, 1000)))
    texts = draw(st.integers(1, 3))
    row_by_row = draw(st.booleans())
    images = texts if row_by_row else draw(st.integers(1, 3))
    lengths = [draw(st.integers(2, 5)) for _ in range(texts)]
    counts = [draw(st.integers(1, 4)) for _ in range(images)]
    rows = st.tuples(st.integers(0, texts - 1), st.integers(0, images - 1))
    pairs = [(i, i) for i in range(texts)] if row_by_row else draw(st.lists(rows, min_size=1, max_size=4))
    length, regions = max(lengths), max(counts)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    region_mask = torch.arange(regions) < torch.tensor(counts)[:, None]
    say_none = draw(st.booleans())
    return Batch(
        {
            "input_ids": torch.randint(0, config.vocab_size, (texts, length)),
            "features": torch.randn(images, regions, config.v_feature_size, dtype=torch.float64),
            "boxes": tiny_model.boxes(images, regions, 5, dtype=torch.float64),
            "text_mask": None if say_none and mask.all() else mask,
            "region_mask": None if say_none and region_mask.all() else region_mask,
            "segment_ids": torch.randint(0, 2, (texts, length)) if draw(st.booleans()) else None,
            "task_rows": torch.randint(0, 5, (texts,)) if config.task_specific_tokens else None,
            "pair_text": None if row_by_row and say_none else torch.tensor([text for text, _ in pairs]),
            "pair_image": None if row_by_row and say_none else torch.tensor([image for _, image in pairs]),
        },
        lengths,
        counts,
        pairs,
    )


def reference_of(
    model: Twelve, batch: Batch, weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]:
    """Logits and everything else in full, with the masks (P, L) and (P, R) of what counts."""
    reference = Reference(weights, model.config.to_dict())
    given = batch.arguments
    found = []
    for text, image in batch.pairs:
        # The noise beyond the ends is the package's to ignore; here there are zeros, as the original's data had.
        words = torch.arange(given["input_ids"].shape[1]) < batch.text_lengths[text]
        regions = torch.arange(given["features"].shape[1]) < batch.region_counts[image]
        segments = given["segment_ids"][text] if given["segment_ids"] is not None else torch.zeros_like(words).long()
        found.append(
            reference.pair(
                given["input_ids"][text] * words,
                words,
                segments,
                None if given["task_rows"] is None else int(given["task_rows"][text]),
                given["features"][image] * regions[:, None],
                given["boxes"][image] * regions[:, None],
                regions,
            )
        )
    states = {name: torch.stack([pair[name] for pair in found]) for name in found[0]}
    extra = 1 if model.config.task_specific_tokens else 0
    lengths = torch.tensor([batch.text_lengths[text] + extra for text, _ in batch.pairs])
    word_mask = torch.arange(states["words"].shape[1]) < lengths[:, None]
    counts = torch.tensor([batch.region_counts[image] for _, image in batch.pairs])
    region_mask = torch.arange(states["regions"].shape[1]) < counts[:, None]
    return reference.heads(states, region_mask), states, word_mask, region_mask


def close(ours: Tensor, theirs: Tensor, valid: Tensor | None = None) -> None:
    assert ours.shape == theirs.shape
    if valid is not None:
        ours, theirs = ours[valid], theirs[valid]
    scale = max(1.0, float(theirs.detach().abs().max()) if theirs.numel() else 1.0)
    assert float((ours - theirs).detach().abs().max() if ours.numel() else 0) <= TOLERANCE * scale


def valid_of(name: str, words: Tensor, regions: Tensor) -> Tensor | None:
    return words if name in WORDS else regions if name in REGIONS else None


def score(logits: dict[str, Tensor], words: Tensor, regions: Tensor) -> Tensor:
    """Some scalar of all logits that exist, a different slope for each."""
    total = torch.zeros((), dtype=torch.float64)
    for place, (name, value) in enumerate(sorted(logits.items())):
        valid = valid_of(name, words, regions)
        counted = value if valid is None else value[valid]
        slopes = torch.linspace(-1, 1 + place, counted.numel(), dtype=torch.float64)
        total = total + (counted.flatten() * slopes).sum()
    return total


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), config=configs(), names=subsets, seed=st.integers(0, 99))
def test_any_outputs_equal_the_complete_computation(
    data: st.DataObject, config: TwelveConfig, names: set[str], seed: int
) -> None:
    batch = data.draw(batches(config))
    model = model_of(config, seed)
    weights = {name: value.requires_grad_() for name, value in write_released(model).items()}
    logits, _, words, regions = reference_of(model, batch, weights)
    outputs = tuple(name for name in sorted(names) if name in logits)
    found = model(**batch.arguments, outputs=outputs)
    assert set(found.logits) == set(outputs)
    for name in outputs:
        close(found.logits[name], logits[name], valid_of(name, words, regions))
        if name == "region":
            assert bool((found.logits[name][~regions] < -9000).all())
    if not outputs:
        return
    score(found.logits, words, regions).backward()
    score({name: logits[name] for name in outputs}, words, regions).backward()
    kinds = {key: head["kind"] for key, head in HEADS.items()}
    for name, parameter in model.named_parameters():
        theirs = weights[released_name(name, kinds)].grad
        ours = parameter.grad
        zero = torch.zeros_like(parameter)
        close(zero if ours is None else ours, zero if theirs is None else theirs)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), config=configs())
def test_states_and_attention_of_every_step(data: st.DataObject, config: TwelveConfig) -> None:
    batch = data.draw(batches(config))
    model = model_of(config)
    _, states, words, regions = reference_of(model, batch, write_released(model))
    with torch.no_grad():
        found = model(**batch.arguments, outputs=("answer",), return_states=True, return_attention=True)
    for name in ("words", "regions"):
        close(getattr(found, name), states[name], words if name == "words" else regions)
    for name in ("pooled_text", "pooled_image", "fused"):
        close(getattr(found, name), states[name])
    kept = {name for name in states if name.startswith(("text.", "image.", "connection."))}
    assert set(found.states) == kept
    assert {f"attn.{name}" for name in found.attentions} == {name for name in states if name.startswith("attn.")}
    for name in kept:
        close(found.states[name], states[name], words if name.startswith("text") or name.endswith("text") else regions)
    for name, shares in found.attentions.items():
        queries = words if name.startswith("text") or name.endswith("text") else regions
        close(shares.transpose(1, 2), states[f"attn.{name}"].transpose(1, 2), queries)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), config=configs())
def test_padding_changes_nothing(data: st.DataObject, config: TwelveConfig) -> None:
    """Each pair alone, cut to its own lengths, equals its rows of the batch."""
    batch = data.draw(batches(config))
    model = model_of(config)
    names = [name for name in NAMES if name != "pair"]
    given_ = batch.arguments
    with torch.no_grad():
        together = model(**given_, outputs=names)
        for row, (text, image) in enumerate(batch.pairs):
            length, count = batch.text_lengths[text], batch.region_counts[image]
            alone = model(
                given_["input_ids"][text : text + 1, :length],
                given_["features"][image : image + 1, :count],
                given_["boxes"][image : image + 1, :count],
                segment_ids=None if given_["segment_ids"] is None else given_["segment_ids"][text : text + 1, :length],
                task_rows=None if given_["task_rows"] is None else given_["task_rows"][text : text + 1],
                outputs=names,
            )
            for name in names:
                value = alone.logits[name][0]
                close(together.logits[name][row, : len(value)], value)


def test_plan_leaves_out_what_nobody_reads() -> None:
    """At paper size: a pooled head reads one position of the last layers, a region head no last text layer."""
    steps = TwelveConfig().steps
    pooled = plan(steps, Need.FIRST, Need.FIRST)
    assert [(step.kind, step.index) for step in pooled] == steps
    last = [step for step in pooled if (step.kind, step.index) in (("text", 11), ("image", 5))]
    assert [(step.text, step.image) for step in last] == [(Need.NONE, Need.FIRST), (Need.FIRST, Need.NONE)]
    connection = next(step for step in pooled if (step.kind, step.index) == ("connection", 5))
    assert (connection.text, connection.image) == (Need.ALL, Need.ALL)

    regions = plan(steps, Need.NONE, Need.ALL)
    left_out = set(steps) - {(step.kind, step.index) for step in regions}
    assert left_out == {("text", 11)}
    connection = next(step for step in regions if (step.kind, step.index) == ("connection", 5))
    assert (connection.text, connection.image) == (Need.NONE, Need.ALL)

    words = plan([("text", 0), ("image", 0), ("connection", 0), ("image", 1)], Need.ALL, Need.NONE)
    assert [(step.kind, step.index) for step in words] == [("text", 0), ("image", 0), ("connection", 0)]
    assert plan(steps, Need.NONE, Need.NONE) == []


def test_gate_sees_the_text_as_it_stands_when_the_layer_runs() -> None:
    """After the last connection the visual layers come first: their gate must not see the last text layer."""
    config = config_of(dynamic_attention=True)
    assert config.steps[-2:] == [("image", 1), ("text", 2)]
    model = model_of(config)
    arguments = {
        "input_ids": torch.tensor([[1, 2, 3]]),
        "features": torch.randn(1, 3, 7, dtype=torch.float64),
        "boxes": tiny_model.boxes(1, 3, 5, dtype=torch.float64),
        "task_rows": torch.tensor([1]),
    }
    before = model(**arguments, outputs=("region",)).logits["region"]
    with torch.no_grad():
        model.text.layers[2].output.dense.bias[0] += 5
    close(model(**arguments, outputs=("region",)).logits["region"], before)
    with torch.no_grad():
        model.text.layers[1].output.dense.bias[0] += 5
    assert not torch.allclose(model(**arguments, outputs=("region",)).logits["region"], before)


def test_encoded_once_fused_in_tiles() -> None:
    model = model_of(config_of())
    ids, rows = torch.randint(0, 30, (2, 4)), torch.tensor([0, 1])
    features, boxes = torch.randn(3, 3, 7).double(), tiny_model.boxes(3, 3, 5, dtype=torch.float64)
    texts, images = model.encode_texts(ids, task_rows=rows), model.encode_images(features, boxes)
    pairs = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    whole = model(ids, features, boxes, task_rows=rows, pair_text=pairs[:, 0], pair_image=pairs[:, 1])
    for row, (text, image) in enumerate(pairs):
        tile = model.fuse(texts, images, text[None], image[None], outputs=("alignment",))
        close(tile.logits["alignment"][0], whole.logits["alignment"][row])


def test_half_precision_features_are_taken_as_they_are() -> None:
    model = model_of(config_of(task_specific_tokens=False)).float()
    features, boxes = torch.randn(1, 3, 7).half(), tiny_model.boxes(1, 3, 5)
    found = [
        model(torch.tensor([[1, 2]]), given, boxes, outputs=("answer",)).fused for given in (features, features.float())
    ]
    assert found[0].dtype == torch.float32
    assert torch.equal(*found)


def test_training_mode_draws_dropout_and_checkpointing_repeats_it() -> None:
    model = model_of(config_of()).train()
    arguments = {
        "input_ids": torch.randint(0, 30, (2, 4)),
        "features": torch.randn(2, 3, 7).double(),
        "boxes": tiny_model.boxes(2, 3, 5, dtype=torch.float64),
        "task_rows": torch.tensor([1, 2]),
    }

    def gradients() -> tuple[Tensor, list[Tensor | None]]:
        model.zero_grad()
        torch.manual_seed(7)
        loss = sum(value.sum() for value in model(**arguments).logits.values())
        loss.backward()
        return loss.detach(), [None if p.grad is None else p.grad.clone() for p in model.parameters()]

    loss, plain = gradients()
    assert not torch.equal(loss, gradients()[0] + 1) and torch.equal(loss, gradients()[0])
    torch.manual_seed(8)
    assert not torch.equal(loss, sum(value.sum() for value in model(**arguments).logits.values()).detach())
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    kept_loss, kept = gradients()
    close(kept_loss, loss)
    for ours, theirs in zip(kept, plain, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs)


def test_standardised_start_is_the_same_formula_on_standardised_features() -> None:
    model = model_of(config_of())
    features, boxes = 50 + 3 * torch.randn(2, 3, 7).double(), tiny_model.boxes(2, 3, 5, dtype=torch.float64)
    mean, std = torch.full((7,), 50.0).double(), torch.tensor([3.0, 3, 3, 3, 3, 3, 0]).double()
    safe = torch.where(std > 0, std, 1)
    wanted = model.encode_images((features - mean) / safe, boxes).states
    model.standardise_regions(mean, std)
    close(model.encode_images(features, boxes).states, wanted)
    with pytest.raises(ValueError, match="expected mean and std of shape"):
        model.standardise_regions(mean[:3], std)


def test_mistakes_are_named() -> None:
    model = model_of(config_of())
    ids, features, boxes = torch.ones(2, 4, dtype=torch.long), torch.zeros(2, 3, 7), tiny_model.boxes(2, 3, 5)
    with pytest.raises(ValueError, match="task tokens"):
        model(ids, features, boxes)
    with pytest.raises(ConfigError, match="answer"):
        model(ids, features, boxes, task_rows=torch.zeros(2).long(), outputs=("anser",))
    with pytest.raises(DataError, match="at most 8 word pieces per text, found 9"):
        model.encode_texts(torch.ones(1, 9, dtype=torch.long), task_rows=torch.zeros(1).long())
    with pytest.raises(ValueError, match=r"2 texts .* 1 images"):
        model(ids, features[:1], boxes[:1], task_rows=torch.zeros(2).long())
    with pytest.raises(ConfigError, match="did you mean"):
        Twelve(config_of(heads={"answer": {"kind": "anser", "size": 3}}))
    with pytest.raises(ConfigError, match="cannot name a head"):
        Twelve(config_of(heads={"items": {"kind": "answer", "size": 3}}))
    with pytest.raises(CheckpointError, match="no parameter"):
        released_name("text.layers.0.nothing.weight")


def test_output_holds_only_what_was_asked_for() -> None:
    model = model_of(config_of(task_specific_tokens=False))
    ids, features, boxes = torch.ones(2, 4, dtype=torch.long), torch.zeros(2, 3, 7), tiny_model.boxes(2, 3, 5)
    found: TwelveOutput = model(ids, features, boxes, outputs=("region",))
    assert found.words is None and found.fused is None and found.regions.shape == (2, 3, 6)
    assert set(found.logits) == {"region"} and not found.states and not found.attentions
    found = model(ids, features, boxes, outputs=("words",))
    assert found.words.shape == (2, 4, 8) and found.regions is None and not found.logits
    assert model(ids, features, boxes, outputs=()).logits == {}
