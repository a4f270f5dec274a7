"""Attention, and the post-norm block used by every layer and by both directions of a connection.

States are padded, (P, Q, D), or packed, (S, D): see :mod:`twelve.model.sequences`.
Axes: P pairs (or texts, or images), Q query positions, K key positions, D width of the queries, E width of the
keys, N heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from twelve.model.dropout import Dropout, drop
from twelve.model.linear import Linear
from twelve.model.sequences import Blocks

LAYER_NORM_EPS = 1e-12

ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "swish": F.silu}
"""Names as in the released configurations; ``gelu`` is the exact function (erf)."""

Gates = tuple[Tensor, Tensor]
"""Factors of the projected queries and keys, (P, 1, size) each, or of every packed position."""


def plain_is_faster(states: Tensor) -> bool:
    """Whether two matrix products and a softmax are faster than torch's fused attention.

    They are in half precision on a CPU, where the fused kernel computes small products for every head of every pair: it
    takes 1.5 to 2.3 times as long at the paper's sizes (8 texts or images, one Zen 5 machine with two cores).
    """
    return states.device.type == "cpu" and states.dtype in (torch.bfloat16, torch.float16)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention of one stream over another or over itself.

    Args:
        query_size, key_size: D and E.
        size: width that queries, keys and values are projected to.
        heads: N; divides ``size``.
        dropout: dropout of the attention probabilities in training.
    """

    def __init__(self, *, query_size: int, key_size: int, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"expected a size divisible by {heads} heads, found {size}")
        self.heads, self.dropout = heads, dropout
        self.query = Linear(query_size, size)
        self.key = Linear(key_size, size)
        self.value = Linear(key_size, size)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | Blocks | None,
        gates: Gates | None = None,
        explain: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Context (P, Q, size) of ``queries`` (P, Q, D) over ``keys`` (P, K, E); (S, size) if both are packed.

        Args:
            mask: (P, K) bool, True where a key may be attended to; None if all may; the blocks of packed states.
            gates: factors of the projected queries and keys.
            explain: also return the probabilities (P, N, Q, K), before dropout; of padded states.
        """
        query, key, value = self.query(queries), self.key(keys), self.value(keys)
        if gates is not None:
            query, key = query * gates[0], key * gates[1]
        dropout = self.dropout if self.training else 0.0
        if isinstance(mask, Blocks):
            return mask.join([_context(*block, dropout) for block in mask.split(query, key, value, self.heads)]), None
        query, key, value = self._split(query), self._split(key), self._split(value)
        mask = None if mask is None else mask[:, None, None, :]
        if not explain:
            return _context(query, key, value, mask, dropout).transpose(1, 2).flatten(2), None
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        probabilities = scores.softmax(-1)
        context = drop(probabilities, dropout) @ value
        return context.transpose(1, 2).flatten(2), probabilities

    def _split(self, states: Tensor) -> Tensor:
        """(P, K, size) -> (P, N, K, size / N)."""
        rows, positions, size = states.shape
        return states.view(rows, positions, self.heads, size // self.heads).transpose(1, 2)


def _context(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """(P, N, Q, size / N) of padded states or of a block of packed ones; mask (P, 1, 1, K) or None."""
    if not plain_is_faster(query):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    rows, heads, _, size = query.shape
    query, key, value = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
    hidden = query.new_zeros(1, 1, 1)
    if mask is not None:
        hidden = query.new_zeros(mask.shape).masked_fill_(~mask, -math.inf).expand(-1, heads, -1, -1).flatten(0, 1)
    # Scaling and masking within the product save two passes over the scores.
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), beta=int(mask is not None), alpha=1 / math.sqrt(size))
    context = torch.bmm(drop(scores.softmax(-1), dropout), value)
    return context.view(rows, heads, *context.shape[1:])


class Residual(nn.Module):
    """Linear, dropout, residual sum, LayerNorm."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(inputs, outputs)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(outputs, eps=LAYER_NORM_EPS)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        added = self.dropout(self.dense(states))
        if torch.is_grad_enabled() or added.dtype != residual.dtype:
            added = added + residual
        else:
            added.add_(residual)  # in the processor's cache, without one more tensor
        normed: Tensor = self.norm(added)
        return normed


class Block(nn.Module):
    """Attention and feed-forward, each with its residual: a transformer layer (keys from the queries' stream) or one
    direction of a connection (keys from the other stream).

    Args:
        query_size, key_size: D and E.
        size, heads: of the attention.
        intermediate: width of the feed-forward layer.
        activation: a key of :data:`ACTIVATION`.
        attention_dropout, dropout: dropout of the probabilities and of each residual branch.
    """

    def __init__(
        self,
        *,
        query_size: int,
        key_size: int,
        size: int,
        heads: int,
        intermediate: int,
        activation: str,
        attention_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = Attention(
            query_size=query_size, key_size=key_size, size=size, heads=heads, dropout=attention_dropout
        )
        self.attention_output = Residual(size, query_size, dropout)
        self.intermediate = Linear(query_size, intermediate)
        self.activation = ACTIVATION[activation]
        self.output = Residual(intermediate, query_size, dropout)
        self.gradient_checkpointing = False

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | Blocks | None,
        gates: Gates | None = None,
        explain: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """New states of ``queries``, and the attention probabilities if ``explain``; see :class:`Attention`."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            states, probabilities = checkpoint(
                self._forward, queries, keys, mask, gates, explain, use_reentrant=False
            )  # recomputed in the backward pass to save memory
            return states, probabilities
        return self._forward(queries, keys, mask, gates, explain)

    def _forward(
        self, queries: Tensor, keys: Tensor, mask: Tensor | Blocks | None, gates: Gates | None, explain: bool
    ) -> tuple[Tensor, Tensor | None]:
        context, probabilities = self.attention(queries, keys, mask, gates, explain)
        attended = self.attention_output(context, queries)
        return self.output(self.activation(self.intermediate(attended)), attended), probabilities
