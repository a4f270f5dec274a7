"""The trunk's gradients of each task, kept apart until the update, and their weighted sum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from twelve.training.balancing import GradientBalancing
from twelve.training.devices import parted
from twelve.training.gradients import Gradients

CHUNK = 1 << 20
"""Numbers of a parameter that are multiplied at a time, which bounds what is copied for it."""


class TaskGradients:
    """Takes the gradients of tasks out of the trunk, and puts their weighted sum back for an update.

    Keeps T times the trunk for T tasks. The Gramian is one product a parameter; reading it waits for the device.

    Attributes:
        last: task -> its weight in the last update.
        seconds: time that weighing has taken.
    """

    def __init__(self, method: GradientBalancing, gradients: Gradients, model: nn.Module) -> None:
        self.method, self.gradients, self.model = method, gradients, model
        self.rows: dict[str, dict[str, Tensor]] = {}
        self.last: dict[str, float] = {}
        self.seconds = 0.0

    @torch.no_grad()
    def keep(self, task: str) -> None:
        """Move the trunk's gradients of a batch of ``task`` out of the parameters."""
        row = self.rows.setdefault(task, {})
        for name, parameter in self.gradients.trunk.items():
            if parameter.grad is not None:
                row[name] = row[name].add_(parameter.grad) if name in row else parameter.grad
                parameter.grad = None

    @torch.no_grad()
    def combine(self) -> None:
        """Put the weighted sum into the parameters' gradients; called once an update."""
        begun = time.perf_counter()
        rows, self.rows = {task: row for task, row in self.rows.items() if row}, {}
        if not rows:
            return
        gramian = self._gramian(list(rows.values()))
        mean = float(gramian.diagonal().mean())
        # A gradient that is not finite changes nothing in the end: the optimizer leaves the step out.
        usable = bool(gramian.isfinite().all()) and mean > 0
        weights = self.method.weights(list(rows), gramian / mean).tolist() if usable else [1.0] * len(rows)
        self.last = dict(zip(rows, weights, strict=True))
        for row, weight in zip(rows.values(), weights, strict=True):
            torch._foreach_mul_([_part(each) for each in row.values()], weight)
            for name, gradient in row.items():
                parameter = self.gradients.trunk[name]
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        self.seconds += time.perf_counter() - begun

    def _gramian(self, rows: list[dict[str, Tensor]]) -> Tensor:
        """(T, T) products of gradients, float64 on the CPU."""
        devices = self.gradients.devices
        found = torch.zeros(len(rows), len(rows), dtype=devices.exact, device=devices.device)
        for name in self.gradients.trunk:
            used = [place for place, row in enumerate(rows) if name in row]
            parts = [_part(rows[place][name]).reshape(-1) for place in used]
            for start in range(0, len(parts[0]) if parts else 0, CHUNK):
                stacked = torch.stack([part[start : start + CHUNK] for part in parts])
                found[torch.tensor(used)[:, None], torch.tensor(used)] += (stacked @ stacked.T).to(found.dtype)
        if devices.sharded:
            dist.all_reduce(found)
        return found.to("cpu", torch.float64)

    def state_dict(self) -> dict[str, Any]:
        return {"method": self.method.state_dict(), "rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.method.load_state_dict(state["method"])
        device = self.gradients.devices.device
        self.rows = {
            task: {name: each.to(device) for name, each in parted(self.model, row).items()}
            for task, row in state["rows"].items()
        }


def _part(gradient: Tensor) -> Tensor:
    """This process's part of a gradient; changing it in place changes the gradient."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
