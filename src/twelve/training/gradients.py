"""The gradients of one batch, apart from those that wait for the same update."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from twelve.training.devices import Devices, whole
from twelve.training.freezing import HEADS
from twelve.training.prefixes import under_any


class Gradients:
    """Reads and changes what backward passes leave in the parameters that train.

    Args:
        model: as :meth:`Devices.place` has left it.

    Attributes:
        trunk: name -> parameter of the trunk that trains; what is not a head's (freezing.py).
    """

    def __init__(self, model: nn.Module, devices: Devices) -> None:
        self.devices = devices
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self.parameters = tuple(named.values())
        self.trunk = {name: each for name, each in named.items() if not under_any(name, HEADS)}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which gradients are those of its backward pass; at its end, those from before are added to them.

        Costs the memory of the gradients once more while some wait, and nothing else.
        """
        waiting = [(each, each.grad) for each in self.parameters if each.grad is not None]
        for parameter, _ in waiting:
            parameter.grad = None
        yield
        with torch.no_grad():
            for parameter, gradient in waiting:
                parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)

    def of_trunk(self) -> dict[str, Tensor]:
        """Name -> (whole) gradient of every parameter of the trunk that has one; all processes must call it."""
        return {name: whole(each.grad) for name, each in self.trunk.items() if each.grad is not None}

    def trunk_norm(self) -> Tensor:
        """L2 norm, a float64 scalar on the device, of the trunk's gradients; 0 without any. Nothing waits for it."""
        parts = torch._foreach_norm(found) if (found := local(self.trunk.values())) else [torch.zeros(())]
        squares = torch.stack(parts).to(self.devices.device, self.devices.exact).square().sum()
        return (self.devices.summed(squares) if self.devices.sharded else squares).sqrt()

    def scale(self, factor: Tensor) -> None:
        """Multiply the gradients of all parameters by a scalar on the device."""
        if found := local(self.parameters):
            torch._foreach_mul_(found, factor.to(found[0].dtype))


@torch.no_grad()
def local(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """This process's part of the gradients that there are; changing one in place changes the gradient."""
    return own_parts(each.grad for each in parameters if each.grad is not None)


def own_parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    """This process's part of each tensor."""
    return [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
