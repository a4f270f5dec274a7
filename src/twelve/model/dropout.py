"""Dropout, with cheap random bits where they pay."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BITS = 16
"""Random bits for an element; a probability is rounded to a multiple of 2 ** -16."""


def drop(states: Tensor, probability: float) -> Tensor:
    """Zero each element with a probability, and scale the others so that the mean stays.

    In half precision on a CPU, torch spends most of the time on drawing a number for each element. There, four elements
    share one of torch's 64-bit numbers, from the same generator.
    """
    if probability <= 0 or states.device.type != "cpu" or states.dtype not in (torch.bfloat16, torch.float16):
        return F.dropout(states, probability)
    steps = 1 << BITS
    dropped = min(steps - 1, max(1, round(probability * steps)))
    count = states.numel()
    numbers = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    bits = numbers.view(torch.int16)[:count].view(states.shape)
    # In place: 1 where an element stays, then the bits of the factor there. torch.where takes ten times as long.
    factor = int(states.new_tensor(steps / (steps - dropped)).view(torch.int16))
    return states * bits.ge_(dropped - steps // 2).mul_(factor).view(states.dtype)


class Dropout(nn.Dropout):
    """torch's Dropout by :func:`drop`."""

    def forward(self, states: Tensor) -> Tensor:
        return drop(states, self.p) if self.training else states
