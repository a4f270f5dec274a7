"""The interface of balancing: how much each task counts in an update."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, TypedDict, TypeVar, Unpack

from twelve.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


class BalancingSetting(TypedDict):
    """What every way of balancing is told about the run.

    Attributes:
        tasks: names of the run's tasks.
        seed: for what is drawn.
    """

    tasks: Sequence[str]
    seed: NotRequired[int]


class Balancing(abc.ABC):
    """A way of balancing tasks. Subclass :class:`LossBalancing` or :class:`GradientBalancing`.

    A subclass's options are keyword-only arguments of its constructor; configurations are checked against their
    annotations. Decorate it with :func:`register`.
    """

    name: ClassVar[str]

    def __init__(self, **setting: Unpack[BalancingSetting]) -> None:
        self.tasks, self.seed = tuple(setting["tasks"]), setting.get("seed", 0)

    def check(self) -> None:
        """Raises ConfigError when the options do not suit the run, or a package is not installed."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        if state:
            raise CheckpointError(f"balancing {self.name!r} keeps no state, the checkpoint has one")


class LossBalancing(Balancing):
    """Multiplies the losses of the tasks."""

    @abc.abstractmethod
    def weight(self, task: str, loss: float) -> float:
        """Weight of this batch's ``loss`` of ``task``; called once a batch."""

    def end_iteration(self) -> None:
        """All batches of an iteration have been weighed."""
        return None


class GradientBalancing(Balancing):
    """Multiplies the gradients of the trunk; the gradients of heads are each task's own."""

    @abc.abstractmethod
    def weights(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        """Weights of the tasks of an update, about 1 each; called once an update.

        Args:
            tasks: names of the T tasks that have a gradient in this update.
            gramian: (T, T) dot products of their gradients with respect to the trunk, times the factors of
                ``optimizer.task_scale``, float64 on the CPU, divided by the mean of the diagonal.

        Returns:
            (T,) weights, float64; the update is of the gradients' sum with these weights.
        """


def check_tasks(named: Iterable[str], tasks: Iterable[str]) -> None:
    """Raises CheckpointError for a state of other tasks."""
    if set(named) != set(tasks):
        raise CheckpointError(
            f"the checkpoint weighs {', '.join(sorted(named))}, the run {', '.join(sorted(tasks))}",
            remedy="resume with the tasks the run was started with",
        )


BALANCINGS: dict[str, type[Balancing]] = {}
"""Every registered way by name."""
_Class = TypeVar("_Class", bound=type[Balancing])


def register(cls: _Class) -> _Class:
    """Class decorator: make a way of balancing known under its name."""
    if BALANCINGS.setdefault(cls.name, cls) is not cls:
        raise ValueError(f"two ways of balancing are named {cls.name!r}")
    return cls
