"""A copy of a network that predicts faster: weights in bfloat16 where that pays, packed for oneDNN's matrix products.

Layers run in the chosen type; embeddings, poolers and heads stay in float32, and with them the logits. Sums within
products, normalization and softmax are in float32 whatever the type. Poolers and heads made of torch's own layers are
packed too: for eight questions, the paper's take a third of the time. Such a copy cannot be trained or saved.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twelve.errors import ConfigError
from twelve.model.attention import Attention, Block, Residual
from twelve.model.embeddings import ImageEmbedding, Poolers, TextEmbedding
from twelve.model.linear import product
from twelve.model.network import Network
from twelve.settings import Precision

N = TypeVar("N", bound=Network)
DTYPES: dict[Literal["fp32", "bf16"], torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
LARGE = 512
"""Width of layers from which on ``auto`` changes anything: narrower networks are fast enough to stay exact."""
GAIN = 1.2
"""How many times as fast products in bfloat16 must be."""


class Product(nn.Module):
    """A linear layer whose weights were converted once: (..., K) -> (..., N).

    Args:
        linear: the layer.
        gelu: followed by the exact GELU.
    """

    weight: Tensor | None
    bias: Tensor

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, *, gelu: bool = False) -> None:
        super().__init__()
        self.dtype, self.gelu = dtype, gelu
        weight = linear.weight.detach().to(dtype)
        self.packed = _packed(weight)
        self.register_buffer("weight", weight if self.packed is None else None)
        self.register_buffer("bias", linear.bias.detach().to(dtype))

    def forward(self, states: Tensor) -> Tensor:
        if self.packed is not None:
            return product(states, self.packed, self.bias, gelu=self.gelu)
        assert self.weight is not None
        found = F.linear(states, self.weight, self.bias)
        return F.gelu(found) if self.gelu else found


def weights_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and weights of a network in a fixed order; those of packed layers, which ``state_dict`` lacks, unpacked."""
    yield from sorted(network.state_dict().items())
    for name, layer in network.named_modules():
        if isinstance(layer, Product) and layer.packed is not None:
            yield f"{name}.weight", layer.packed.to_dense()


def _packed(weight: Tensor) -> Tensor | None:
    """A weight (N, K) in the layout of oneDNN's products; None where torch has none, as on a GPU."""
    if weight.device.type != "cpu" or not packing_works(weight.dtype):
        return None
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return packed


@lru_cache
def packing_works(dtype: torch.dtype) -> bool:
    """Whether torch's products with packed weights, which are not part of its documented interface, are there and
    right."""
    generator = torch.Generator().manual_seed(0)
    states, weight, bias = (torch.randn(size, generator=generator).to(dtype) for size in ((5, 64), (32, 64), (32,)))
    wanted = F.gelu(F.linear(states, weight, bias))
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        found = product(states, packed, bias, gelu=True)
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    tolerance = 5e-2 if dtype == torch.bfloat16 else 1e-4
    return found.dtype == dtype and torch.allclose(found, wanted, rtol=tolerance, atol=tolerance)


def for_predicting(network: N, asked: Precision = "auto") -> N:
    """The network, in evaluation mode, or a copy of it that predicts faster and shares what is not converted.

    Args:
        asked: ``auto`` for bfloat16 where it is faster, but not in networks of narrow layers.

    Raises:
        ConfigError: there is no such precision.
    """
    network.eval()
    if any(isinstance(part, Product) for part in network.modules()):
        return network  # such a copy already
    precision, device = resolve(network, asked), network.device
    packs = device.type == "cpu" and packing_works(torch.float32)
    if precision == "fp32" and (_width(network) < LARGE or not packs):
        return network
    copied = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
    copied.precision, dtype = precision, DTYPES[precision]
    for part in copied.modules():
        if isinstance(part, Block):
            part.intermediate = cast(Any, Product(part.intermediate, dtype, gelu=part.activation is F.gelu))
            part.activation = _same if part.activation is F.gelu else part.activation
        if isinstance(part, Block | Attention | Residual | ImageEmbedding):
            for name, layer in part.named_children():
                if isinstance(layer, nn.Linear):
                    setattr(part, name, Product(layer, dtype))
                elif isinstance(layer, nn.LayerNorm) and device.type != "cpu":
                    setattr(part, name, copy.deepcopy(layer).to(dtype))  # only a CPU normalizes with other weights
        if packs and isinstance(part, Poolers | nn.Sequential):
            for name, layer in part.named_children():
                if type(layer) is nn.Linear:  # not one with a forward pass of its own
                    setattr(part, name, Product(layer, torch.float32))
        if isinstance(part, TextEmbedding):
            part.dtype = dtype
    return copied


def _same(states: Tensor) -> Tensor:
    return states


def resolve(network: Network, asked: Precision) -> Literal["fp32", "bf16"]:
    """The precision that ``asked`` stands for.

    Raises:
        ConfigError: there is no such precision.
    """
    if asked not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ConfigError(f"expected a precision of {known}, found {asked!r}", remedy="leave it out for auto")
    if asked != "auto":
        return asked
    width, device = _width(network), network.device
    if width < LARGE or next(network.parameters()).dtype != torch.float32:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if device.type == "cpu" and half_is_faster(width) else "fp32"


def _width(network: Network) -> int:
    """Width of the widest stream."""
    return max((part.output.dense.out_features for part in network.modules() if isinstance(part, Block)), default=0)


@lru_cache
def half_is_faster(width: int, rows: int = 128) -> bool:
    """Whether this CPU multiplies in bfloat16 faster than in float32, measured on layers of a width."""
    layer = nn.Linear(width, width)
    seconds = {}
    for precision, dtype in DTYPES.items():
        product, states = Product(layer, dtype), torch.ones(rows, width, dtype=dtype)
        seconds[precision] = min(_timed(product, states) for _ in range(5))
    return seconds["fp32"] > GAIN * seconds["bf16"]


@torch.inference_mode()
def _timed(product: Product, states: Tensor) -> float:
    begun = time.perf_counter()
    product(states)
    return time.perf_counter() - begun
