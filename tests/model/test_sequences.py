"""Packed states give what padded ones give, gradients included, in every trunk; nothing is computed for padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from twelve.model import sequences
from twelve.model.attention import Attention, Block
from twelve.model.config import TwelveConfig
from twelve.model.sequences import Packing, Sequences
from twelve.model.trunk import TRUNKS
from twelve.model.vilbert import Twelve

SIZES: dict[str, Any] = {
    **{"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
    **{"max_position_embeddings": 24, "v_feature_size": 8, "v_hidden_size": 24, "v_num_hidden_layers": 2},
    **{"v_num_attention_heads": 3, "v_intermediate_size": 32, "bi_hidden_size": 8, "bi_num_attention_heads": 2},
    **{"t_biattention_id": [1, 2], "v_biattention_id": [0, 1], "initializer_range": 0.2, "word_logit": True},
    "heads": {"answer": {"kind": "answer", "size": 5}, "region": {"kind": "region", "size": 1}},
}


def model_of(trunk: str, **changes: Any) -> Twelve:
    torch.manual_seed(0)
    return Twelve(TwelveConfig(**SIZES, trunk=trunk, **changes)).double().eval()


def mask_of(lengths: list[int], holes: bool = False) -> Tensor:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    if holes:
        mask[:, 1:] &= torch.rand(mask[:, 1:].shape) < 0.7
    return mask


lengths_of = st.lists(st.integers(2, 19), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(), trunk=st.sampled_from(sorted(TRUNKS)), texts=lengths_of, images=lengths_of, dynamic=st.booleans()
)
def test_packed_equals_padded(
    data: st.DataObject, trunk: str, texts: list[int], images: list[int], dynamic: bool
) -> None:
    torch.manual_seed(1)
    holes = data.draw(st.booleans())
    pair = st.tuples(st.integers(0, len(texts) - 1), st.integers(0, len(images) - 1))
    pairs = torch.tensor(data.draw(st.lists(pair, min_size=1, max_size=6)))
    outputs = data.draw(st.sampled_from([("answer",), ("region",), ("word_logit",), ("answer", "region"), ("words",)]))
    arguments = {
        "input_ids": torch.randint(0, 24, (len(texts), max(texts))),
        "text_mask": mask_of(texts, holes),
        "task_rows": torch.zeros(len(texts), dtype=torch.int64),
        "features": torch.randn(len(images), max(images), 8).double(),
        "boxes": tiny_model.boxes(len(images), max(images), 5, dtype=torch.float64),
        "region_mask": mask_of(images, holes),
        "pair_text": pairs[:, 0],
        "pair_image": pairs[:, 1],
    }
    found: dict[bool, dict[str, Tensor]] = {}
    for packs in (True, False):
        model = model_of(trunk, dynamic_attention=dynamic)
        model.packs = packs
        out = model(**arguments, outputs=outputs)
        real = {"word_logit": out.text_mask, "region": out.region_mask, "words": out.text_mask}
        values = {**out.logits} if out.logits else {"words": out.words}
        values = {name: value[real[name]] if name in real else value for name, value in values.items()}
        sum((place + 1) * value.square().sum() for place, value in enumerate(values.values())).backward()
        slopes = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        found[packs] = {**values, **slopes}
    assert found[True].keys() == found[False].keys()
    for name, value in found[True].items():
        torch.testing.assert_close(value, found[False][name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("trunk", sorted(TRUNKS))
def test_layers_see_no_padding(trunk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    plain = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: rows.append(x[..., 0].numel()) or plain(self, x))
    texts, images = [3, 9, 4], [2, 12, 5]
    given_ = {
        "input_ids": torch.ones(3, 9, dtype=torch.int64),
        "text_mask": mask_of(texts),
        "task_rows": torch.zeros(3, dtype=torch.int64),
        "features": torch.randn(3, 12, 8).double(),
        "boxes": tiny_model.boxes(3, 12, 5, dtype=torch.float64),
        "region_mask": mask_of(images),
    }
    with torch.no_grad():
        model_of(trunk)(**given_, outputs=("answer",))
    words, regions = sum(texts) + 3, sum(images)
    assert {*rows} <= {3, 6, words, regions, words + regions} and regions in rows


@pytest.mark.parametrize("trunk", sorted(TRUNKS))
def test_training_without_padding_has_the_same_gradients(trunk: str) -> None:
    rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "v_hidden_dropout_prob")
    still = dict.fromkeys((*rates, "v_attention_probs_dropout_prob", "pooled_dropout"), 0.0)
    given_ = {
        "input_ids": torch.randint(0, 24, (3, 9), generator=torch.Generator().manual_seed(2)),
        "text_mask": mask_of([3, 9, 4]),
        "task_rows": torch.zeros(3, dtype=torch.int64),
        "features": torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(3)).double(),
        "boxes": tiny_model.boxes(3, 12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4)),
        "region_mask": mask_of([2, 12, 5]),
    }
    found = {}
    for packs in (True, False):
        model = model_of(trunk, **still).train()
        model.packs_training = packs
        for part in model.modules():
            if isinstance(part, Block):
                part.gradient_checkpointing = packs
        texts = model.encode_texts(given_["input_ids"], given_["text_mask"], task_rows=given_["task_rows"])
        assert (texts.sequences.packing is not None) == packs
        model(**given_, outputs=("answer",)).logits["answer"].square().sum().backward()
        found[packs] = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    assert found[True].keys() == found[False].keys()
    for name, slope in found[True].items():
        torch.testing.assert_close(slope, found[False][name], rtol=1e-9, atol=1e-9)


def test_training_draws_for_every_position() -> None:
    """Dropout of a padded step stays what it was, so that runs go on as they began."""
    model = model_of("two_stream").train()
    states = model.encode_texts(torch.ones(2, 4, dtype=torch.int64), mask_of([4, 2]), task_rows=torch.zeros(2).long())
    assert states.sequences.packing is None
    assert model.eval().encode_texts(torch.ones(2, 4).long(), task_rows=torch.zeros(2).long()).sequences.packing


def test_states_can_be_asked_for_after_packing() -> None:
    model = model_of("two_stream")
    ids, rows = torch.ones(2, 4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    features, boxes = torch.randn(2, 3, 8).double(), tiny_model.boxes(2, 3, 5, dtype=torch.float64)
    texts, images = model.encode_texts(ids, mask_of([4, 2]), task_rows=rows), model.encode_images(features, boxes)
    assert texts.states.shape == (2, 5, 16) and texts.mask is not None and images.mask is None
    recorded = model.fuse(texts, images, outputs=("answer",), return_attention=True)
    assert recorded.attentions
    plain = model.fuse(texts, images, outputs=("answer",))
    torch.testing.assert_close(recorded.logits["answer"], plain.logits["answer"])


def test_a_text_without_a_first_word_is_left_padded() -> None:
    mask = mask_of([4, 2])
    mask[1] = False
    encoded = model_of("two_stream").encode_texts(torch.ones(2, 4).long(), mask, task_rows=torch.zeros(2).long())
    assert encoded.sequences.packing is None


@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_blocks_hold_every_pair_once_and_little_padding(lengths: list[int]) -> None:
    keys = np.array(lengths)
    rows = sequences._similar(np.argsort(keys, kind="stable"), keys)
    assert sorted(np.concatenate(rows)) == list(range(len(lengths)))
    assert all(keys[part].max() <= sequences.SPREAD * keys[part].min() + sequences.SLACK for part in rows)
    assert len(rows) <= 1 + np.log(100) / np.log(sequences.SPREAD)


@pytest.mark.parametrize("lengths", [[24, 24], [101], [93, 93], [90, 70, 20], [3, 140, 31, 96], [5, 6, 7]])
def test_attention_in_half_precision_of_any_lengths(lengths: list[int]) -> None:
    """Padding of keys for softmax, and blocks that are already in order, change nothing."""
    torch.manual_seed(0)
    attention = Attention(query_size=16, key_size=16, size=16, heads=2, dropout=0.0).eval()
    states = [torch.randn(length, 16) for length in lengths]
    packed = Sequences(torch.cat(states).bfloat16(), None, Packing(np.array(lengths)))
    with torch.no_grad():
        wanted = torch.cat([attention(each[None], each[None], None)[0][0] for each in states])
        half = attention.bfloat16()
        found, _ = half(packed.states, packed.states, packed.over(packed))
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
    assert sequences._lanes(93) == 96 and sequences._lanes(101) == 101 and sequences._lanes(24) == 32


def test_taking_and_padding_are_inverse_to_packing() -> None:
    states, mask = torch.randn(3, 4, 2), mask_of([4, 1, 3])
    states[~mask] = 0
    packed = Sequences(states, mask).packed()
    assert packed.states.shape == (8, 2) and len(packed) == 3
    assert torch.equal(packed.padded().states, states)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(packed.take(rows).padded().states, states[rows])
    assert torch.equal(packed.first().states, states[:, 0])
    assert (
        isinstance(packed.packing, Packing)
        and packed.packing.blocks(packed.packing, torch.float32).queries is packed.packing
    )
    one, two = packed.beside(packed.take(torch.tensor([1, 1, 0]))).apart(packed, packed.take(torch.tensor([1, 1, 0])))
    assert torch.equal(one.states, packed.states) and torch.equal(two.padded().states, states[[1, 1, 0]])
