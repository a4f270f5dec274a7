"""Linear layers in oneDNN: the products and gradients of torch's own, whatever the number of rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from twelve.model import linear
from twelve.model.linear import FEW, Linear, multiply
from twelve.model.settings import Settings
from twelve.model.two_stream import TwoStream

pytestmark = pytest.mark.skipif(not linear._right(), reason="this build of torch has no products in oneDNN")


@pytest.fixture(autouse=True)
def in_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)


def gradients(layer: nn.Linear, states: Tensor, of_product: Tensor) -> list[Tensor]:
    """Product, and gradients of states, weight and bias."""
    states = states.clone().requires_grad_()
    product = layer(states)
    return [product.detach(), *torch.autograd.grad(product, [states, layer.weight, layer.bias], of_product)]


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(FEW, 700), inputs=st.integers(1, 70), outputs=st.integers(1, 70), sequences=st.sampled_from([0, 2])
)
def test_products_and_gradients_are_those_of_float64(rows: int, inputs: int, outputs: int, sequences: int) -> None:
    torch.manual_seed(rows)
    layer, exact = Linear(inputs, outputs), nn.Linear(inputs, outputs).double()
    exact.load_state_dict(layer.state_dict())
    shape = (rows,) if not sequences else (sequences, rows)
    states, of_product = torch.randn(*shape, inputs), torch.randn(*shape, outputs)
    assert "_Product" in str(_function(layer, states))
    found = gradients(layer, states, of_product)
    for got, wanted in zip(found, gradients(exact, states.double(), of_product.double()), strict=True):
        assert got.shape == wanted.shape
        assert torch.allclose(got.double(), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def _function(layer: nn.Linear, states: Tensor) -> object:
    """What computed a product, below the change of its shape."""
    return layer(states).grad_fn.next_functions[0][0]


def test_predictions_are_those_of_training() -> None:
    layer, states = Linear(24, 40), torch.randn(FEW + 3, 24)
    with torch.inference_mode():
        predicted = layer(states)
    assert torch.equal(predicted, layer(states).detach())


def test_only_what_needs_a_gradient_has_one() -> None:
    layer, states = Linear(24, 40), torch.randn(FEW, 24)
    layer.weight.requires_grad_(False)
    layer(states).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None and states.grad is None


def test_few_numbers_of_rows_are_compiled() -> None:
    filled = {len(linear._filled(torch.empty(rows, 1))) for rows in range(512, 1025)}
    assert filled == {512, 576, 640, 704, 768, 832, 896, 960, 1024}
    assert torch.equal(multiply(torch.ones(70, 3), torch.ones(2, 3)), torch.full((70, 2), 3.0))


@pytest.mark.parametrize("fault", [AttributeError("no such operator"), None])
def test_products_that_torch_lacks_or_gets_wrong_are_not_used(
    fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if fault is not None:
            raise fault
        return torch.zeros(len(states), len(weight))

    monkeypatch.setattr(linear, "product", faulty)
    assert not linear._right()


@pytest.mark.parametrize("rows", [1, FEW - 1])
def test_few_rows_are_left_to_torch(rows: int) -> None:
    layer, states = Linear(24, 40), torch.randn(rows, 24)
    assert torch.equal(layer(states), F.linear(states, layer.weight, layer.bias))
    assert "_Product" not in str(layer(states).grad_fn)


def test_other_types_are_left_to_torch() -> None:
    layer, states = Linear(24, 40), torch.randn(FEW, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(states).dtype == torch.bfloat16
    assert "_Product" not in str(layer.double()(states.double()).grad_fn)


def test_the_layers_of_a_trunk_are_such() -> None:
    """All products of many rows; poolers and heads have few."""
    with torch.device("meta"):
        trunk = TwoStream(Settings())
    plain = {name.rpartition(".")[2] for name, part in trunk.named_modules() if type(part) is nn.Linear}
    assert plain == {"text", "image", "boxes"}
    assert sum(isinstance(part, Linear) for part in trunk.modules()) > 20
