"""How much each task counts in the updates: its scale, the schedule's weight, and balancing, applied to every batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn

from twelve.settings import RunConfig
from twelve.training.balancing import GradientBalancing, LossBalancing, make_balancing
from twelve.training.checkpoint import Stateful
from twelve.training.devices import Devices
from twelve.training.gradients import Gradients
from twelve.training.optimizer import loss_scales
from twelve.training.schedules import Schedule
from twelve.training.task_gradients import TaskGradients
from twelve.training.task_scale import NormScale


class Weighing:
    """Runs the backward passes, so that gradients are those that the optimizer is to see.

    Args:
        rates: task -> learning rate.
        model: as :meth:`Devices.place` has left it.

    Attributes:
        scales: task -> its learning rate over the smallest one.
        waits: whether the value of each loss must be known before its backward pass.
        apart: whether gradients of each batch are read, averaged over processes, apart from those that wait.
        kept: name -> what has a state.
    """

    def __init__(
        self, config: RunConfig, rates: Mapping[str, float], schedule: Schedule, model: nn.Module, devices: Devices
    ) -> None:
        self.devices, self.schedule = devices, schedule
        self.gradients, self.scales = Gradients(model, devices), loss_scales(rates)
        self.norms: NormScale | None = None
        if (way := config.optimizer.task_scale) != "lr":
            self.norms = NormScale(self.scales, by_rate=way == "lr_norm", device=devices.device, dtype=devices.exact)
        self.balancing = make_balancing(config, tasks=tuple(rates), seed=config.seed)
        self.of_tasks: TaskGradients | None = None
        if isinstance(self.balancing, GradientBalancing):
            self.of_tasks = TaskGradients(self.balancing, self.gradients, model)
        self.waits = schedule.weighs or self.balancing is not None
        self.apart = self.norms is not None or self.of_tasks is not None
        parts = {"task scale": self.norms, "balancing": self.of_tasks or self.balancing}
        self.kept: dict[str, Stateful] = {name: part for name, part in parts.items() if part is not None}
        self._weights: dict[str, float] = {}

    def backward(
        self, task: str, loss: Tensor, value: Tensor, here: int, everywhere: int, observe: Callable[[], None] | None
    ) -> None:
        """Add the gradients of a batch's loss to those that wait for the same update.

        Args:
            loss, here, everywhere: see :meth:`Devices.backward`.
            value: the mean loss over all processes.
            observe: called while the gradients are those of this batch alone, before balancing weighs them.
        """
        weight = self._weight(task, float(value)) if self.waits else 1.0
        with self.gradients.alone() if self.apart or observe is not None else nullcontext():
            if self.norms is None:
                self.devices.backward(loss * (self.scales[task] * weight), here, everywhere)
            else:
                self.devices.backward(loss, here, everywhere)
                norm = self.devices.unscaled(self.gradients.trunk_norm())
                self.gradients.scale(self.norms.factor(task, norm) * weight)
            if observe is not None:
                observe()
            if self.of_tasks is not None:
                self.of_tasks.keep(task)

    def _weight(self, task: str, loss: float) -> float:
        if self.schedule.weighs:
            return self.schedule.weight(task, loss)
        if isinstance(self.balancing, LossBalancing):
            self._weights[task] = self.balancing.weight(task, loss)
        return self._weights.get(task, 1.0)

    def before_update(self) -> None:
        """Complete the gradients, of which the optimizer is about to make an update."""
        if self.of_tasks is not None:
            self.of_tasks.combine()

    def end_iteration(self) -> None:
        """All batches of an iteration are done."""
        if isinstance(self.balancing, LossBalancing):
            self.balancing.end_iteration()

    def waiting(self, tasks: int, adds: bool) -> int:
        """Numbers of gradients that are kept beside those of one batch, for the estimate of memory.

        Args:
            adds: whether gradients of several batches add up.
        """
        if self.of_tasks is not None:
            return tasks * sum(each.numel() for each in self.gradients.trunk.values())
        return sum(each.numel() for each in self.gradients.parameters) if adds and self.apart else 0

    def told(self) -> dict[str, Any]:
        """For the log: what tasks count beside the ratio of their learning rates and the schedule's weights."""
        found: dict[str, Any] = {"scales": self.norms.told()} if self.norms else {}
        if weights := self._weights if self.of_tasks is None else self.of_tasks.last:
            found["weights"] = {task: float(f"{weight:.5g}") for task, weight in weights.items()}
        return found if self.of_tasks is None else found | {"weighing": round(self.of_tasks.seconds, 2)}
