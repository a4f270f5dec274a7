"""The matrix products of a piece of work, recorded while it runs, and run again with nothing in between.

Used by other benchmarks: what a program takes beyond its products is what it could still lose.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PLACES = {aten.mm: (0, 1), aten.bmm: (0, 1), aten.addmm: (1, 2), aten.baddbmm: (1, 2)}
"""Which arguments of an operator are the factors."""
FUSED = (aten._scaled_dot_product_flash_attention_for_cpu, aten._scaled_dot_product_flash_attention_for_cpu_backward)
"""Attention in one operator, whose products are inside."""
ONEDNN = torch.ops.mkldnn._linear_pointwise
"""Products of float32 on some processors (twelve/model/linear.py): the second factor is given transposed."""


@dataclass(frozen=True)
class Operand:
    """Shape, strides and type of a factor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Operand:
        return cls(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)

    @classmethod
    def dense(cls, *shape: int, dtype: torch.dtype) -> Operand:
        return cls.of(torch.empty(shape, dtype=dtype, device="meta"))

    def make(self) -> Tensor:
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype).normal_()


class Recorded(TorchDispatchMode):
    """``with Recorded() as products: step()``, then ``products.replay()``.

    Attributes:
        pairs: both factors of every product, in order, (M, K) and (K, N) or a batch of them.
        onednn: places of the pairs that oneDNN multiplies, not torch's choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Operand, Operand]] = []
        self.onednn = set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        places = PLACES.get(func.overloadpacket)
        if places is not None:
            self.pairs.append((Operand.of(args[places[0]]), Operand.of(args[places[1]])))
        elif func.overloadpacket is ONEDNN and args[1].layout is torch.strided:
            self.onednn.add(len(self.pairs))
            self.pairs.append((Operand.of(args[0]), Operand.of(args[1].t())))
        elif func.overloadpacket in FUSED:
            backward = func.overloadpacket is FUSED[1]
            self.pairs += _attention(*args[backward : 3 + backward], backward=backward)
        return func(*args, **(kwargs or {}))

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return sum(2 * math.prod(a.shape) * b.shape[-1] for a, b in self.pairs)

    def replay(self) -> Callable[[], None]:
        """The products alone, of factors that are made beforehand; equal ones share their factors."""
        made = {operand: operand.make() for pair in self.pairs for operand in pair}
        work = [(made[a], made[b], place in self.onednn) for place, (a, b) in enumerate(self.pairs)]

        def run() -> None:
            with torch.no_grad():
                for a, b, onednn in work:
                    if onednn:
                        ONEDNN(a, b.t(), None, "none", [], "")
                    else:
                        torch.matmul(a, b)

        return run

    def kinds(self) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
        """How often each pair of shapes occurs."""
        return Counter((a.shape, b.shape) for a, b in self.pairs)


def _attention(query: Tensor, key: Tensor, value: Tensor, *, backward: bool) -> Iterator[tuple[Operand, Operand]]:
    """Products inside of fused attention (P, N, Q, d) over (P, N, K, d): scores and context; backward the scores again
    and four gradients."""
    rows, heads, asking, size = query.shape
    asked, many, dtype = key.shape[2], rows * heads, query.dtype
    scores = Operand.dense(many, asking, size, dtype=dtype), Operand.dense(many, size, asked, dtype=dtype)
    context = Operand.dense(many, asking, asked, dtype=dtype), Operand.dense(many, asked, size, dtype=dtype)
    of_keys = Operand.dense(many, asked, asking, dtype=dtype), Operand.dense(many, asking, size, dtype=dtype)
    yield from (scores, scores, context, of_keys, of_keys) if backward else (scores, context)


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, which take turns; the first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                found[name].append(time.perf_counter() - start)
    return found
