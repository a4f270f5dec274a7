"""Observing training: what an experiment is told about every step.

Pass a hook to :class:`twelve.training.trainer.Trainer` or :func:`twelve.runs.train.train`. A run with a hook trains
exactly what the same run without one trains, as long as the hook changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from twelve.data.loader import TaskBatches
from twelve.data.prepare import Prepared
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.training.devices import Devices
from twelve.training.optimizer import AdamW, LearningRate
from twelve.training.state import TrainerState


class TrainingHook(Protocol):
    """Called in every process of a run, in the order of the steps. Iterations are counted from 0."""

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        """The backward pass of a batch of ``task`` is done.

        Args:
            gradients: name of a trunk parameter -> gradient of this batch's loss, times the task's loss scale and the
                schedule's weight, averaged over processes. Parameters that do not train are absent; parameters that the
                task does not use are absent or zero. The tensors are copies.
        """

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        """The optimizer is about to update the parameters; ``optimizer.state`` is the state after the previous step."""

    def after_step(self, iteration: int, optimizer: Optimizer) -> None:
        """The optimizer has updated the parameters; their gradients are not cleared yet."""


@runtime_checkable
class SelectiveHook(TrainingHook, Protocol):
    """A hook that wants the gradients of some iterations only; the gradients of other iterations are not copied for
    it."""

    def watches(self, iteration: int) -> bool:
        """Whether :meth:`after_backward` is called in this iteration."""


class MeasuredRun(Protocol):
    """What a measuring hook may read of a run: see :class:`twelve.training.trainer.Trainer`, which is one."""

    total: int
    run: RunFolder
    data: Prepared
    model: Twelve
    devices: Devices
    rate: LearningRate
    state: TrainerState
    streams: dict[str, TaskBatches]

    @property
    def optimizer(self) -> AdamW: ...


@runtime_checkable
class MeasuringHook(TrainingHook, Protocol):
    """A hook that measures between iterations, and whose state every checkpoint of the run keeps: a run that is resumed
    with it goes on as if it had never ended."""

    def attach(self, run: MeasuredRun) -> None:
        """The run is ready: before its first iteration, and before a checkpoint is taken over."""

    def after_iteration(self, iteration: int) -> None:
        """``iteration`` iterations are done, and the model has not been validated yet."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...
