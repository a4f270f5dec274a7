"""A copy for predicting gives nearly what its network gives, and says where that is not worth it."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_model
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twelve.errors import ConfigError
from twelve.model import precision
from twelve.model.config import TwelveConfig
from twelve.model.precision import Product, for_predicting, packing_works
from twelve.model.trunk import TRUNKS
from twelve.model.vilbert import Twelve

SIZES: dict[str, Any] = {
    **{"vocab_size": 24, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96},
    **{"max_position_embeddings": 12, "v_feature_size": 32, "v_hidden_size": 64, "v_num_hidden_layers": 2},
    **{"v_num_attention_heads": 2, "v_intermediate_size": 64, "bi_hidden_size": 64, "bi_num_attention_heads": 2},
    **{"t_biattention_id": [1], "v_biattention_id": [1], "initializer_range": 0.1},
    "heads": {"answer": {"kind": "answer", "size": 5}, "region": {"kind": "region", "size": 1}},
}
WIDE = precision.LARGE


def model_of(**changes: Any) -> Twelve:
    torch.manual_seed(0)
    return Twelve(TwelveConfig(**SIZES | changes)).eval()


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "input_ids": torch.randint(5, 24, (3, 8), generator=generator),
        "text_mask": torch.arange(8) < torch.tensor([[8], [3], [5]]),
        "task_rows": torch.arange(3),
        "features": torch.rand(3, 9, 32, generator=generator).half(),
        "boxes": tiny_model.boxes(3, 9, 5, generator=generator),
        "region_mask": torch.arange(9) < torch.tensor([[4], [9], [2]]),
    }


def logits(model: Twelve) -> dict[str, Tensor]:
    with torch.inference_mode():
        out = model(**inputs(), outputs=("answer", "region"))
    return {"answer": out.logits["answer"], "region": out.logits["region"][inputs()["region_mask"]]}


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("trunk", sorted(TRUNKS))
@pytest.mark.parametrize("activation", ["gelu", "swish"])
def test_half_precision_is_close_to_full(trunk: str, activation: str, packs: bool) -> None:
    model = model_of(trunk=trunk, hidden_act=activation, dynamic_attention=True)
    half = for_predicting(model, "bf16")
    half.packs = packs
    assert half is not model and half.precision == "bf16" and model.precision == "fp32"
    for name, found in logits(half).items():
        wanted = logits(model)[name]
        assert found.dtype == torch.float32 and not torch.equal(found, wanted)
        assert float((found - wanted).abs().max()) < 0.03 * float(wanted.abs().max())


def test_layers_run_in_half_precision_and_heads_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    half = for_predicting(model_of(), "bf16")
    blocks = [part for name, part in half.named_modules() if isinstance(part, nn.Linear)]
    assert {part.weight.dtype for part in blocks} == {torch.float32}
    types = [part.bias.dtype for part in half.modules() if isinstance(part, Product)]
    # Of 2 text layers, 2 visual layers and 2 directions of a connection 6 each, and the projected features and boxes.
    assert types.count(torch.bfloat16) == 6 * 6 + 2
    # Two poolers, and two layers of the head of answers; a head with a forward pass of its own is left as it is.
    assert types.count(torch.float32) == 4 and len(types) == 6 * 6 + 2 + 4


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_products_are_packed_and_have_the_gelu_inside() -> None:
    assert packing_works(torch.float32) and packing_works(torch.bfloat16)
    products = [part for part in for_predicting(model_of(), "bf16").modules() if isinstance(part, Product)]
    assert all(part.packed is not None and part.weight is None for part in products)
    assert sum(part.gelu for part in products) == 6


def test_the_network_stays_as_it_is() -> None:
    model = model_of()
    before, names = logits(model), [name for name, _ in model.named_modules()]
    for_predicting(model, "bf16")
    assert [name for name, _ in model.named_modules()] == names
    assert all(torch.equal(found, before[name]) for name, found in logits(model).items())
    model.train()(**inputs(), outputs=("answer",)).logits["answer"].sum().backward()


def test_narrow_networks_are_left_alone() -> None:
    model = model_of()
    assert for_predicting(model, "auto") is model and for_predicting(model, "fp32") is model


@pytest.mark.parametrize(("faster", "wanted"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_what_is_faster_here(faster: bool, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "half_is_faster", lambda width: faster)
    monkeypatch.setattr(precision, "LARGE", 64)
    assert for_predicting(model_of(), "auto").precision == wanted
    assert for_predicting(model_of(), "fp32").precision == "fp32"


def test_full_precision_with_packed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "LARGE", 64)
    model = model_of()
    packed = for_predicting(model, "fp32")
    for name, found in logits(packed).items():
        torch.testing.assert_close(found, logits(model)[name], rtol=1e-5, atol=1e-5)
    assert (packed is not model) == packing_works(torch.float32)


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products(dtype: torch.dtype, gelu: bool, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not works:
        monkeypatch.setattr(precision, "packing_works", lambda dtype: False)
    torch.manual_seed(0)
    layer = nn.Linear(48, 40)
    product = Product(layer, dtype, gelu=gelu)
    assert works or product.packed is None
    for shape in ((1, 48), (130, 48), (2, 3, 48)):
        states = torch.randn(shape)
        wanted = F.gelu(layer(states)) if gelu else layer(states)
        found = product(states.to(dtype))
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), wanted, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("fault", [AttributeError("no such operator"), RuntimeError("not built"), None])
def test_products_that_torch_lacks_or_gets_wrong_are_not_used(
    fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(states: Tensor, packed: Tensor, bias: Tensor, *, gelu: bool) -> Tensor:
        if fault is not None:
            raise fault
        return torch.zeros(len(states), len(bias), dtype=states.dtype)

    packing_works.cache_clear()
    monkeypatch.setattr(precision, "product", faulty)
    try:
        assert not packing_works(torch.float32)
    finally:
        packing_works.cache_clear()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a precision of auto, fp32, bf16, found 'fp16'"):
        for_predicting(model_of(), "fp16")  # type: ignore[arg-type]
