"""Losses of a study's own, which an arm trains a task with instead of the loss of the task's output.

The file of a study registers them in :data:`LOSSES` under a name. A loss replaces nothing else: head, examples, metric
and baselines stay those of the task, so that arms can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from twelve.errors import ConfigError, nearest
from twelve.study.arms import Arm

if TYPE_CHECKING:
    from torch import Tensor

    from twelve.outputs import Output
    from twelve.runs.new_model import Start

Loss: TypeAlias = "Callable[[Any, Mapping[str, Tensor]], Tensor]"
"""Scalar loss of a batch, from the logits of the task's head and the targets of the batch (``Output.loss``)."""
LOSSES: dict[str, Loss] = {}
"""Name, as in ``Arm.losses`` -> loss."""


def meaning(arm: Arm) -> str:
    """What an arm is, in words, with its own losses."""
    own = ", ".join(f"{name} for {task}" for task, name in arm.losses.items())
    return "; ".join(filter(None, [arm.meaning, f"its own loss: {own}" if own else ""]))


def check_losses(arm: Arm) -> None:
    """Raises ConfigError for the loss of a task that the arm does not train, and for a loss that nobody registered."""
    for task, name in arm.losses.items():
        if task not in arm.tasks:
            problem = f"the arm {arm.name} has a loss of {task!r}, which it does not train{nearest(task, arm.tasks)}"
            raise ConfigError(problem, record="arms", remedy=f"name one of {', '.join(arm.tasks)}")
        _loss(name, arm)


def _loss(name: str, arm: Arm) -> Loss:
    if name not in LOSSES:
        problem = f"the arm {arm.name} asks for an unknown loss {name!r}{nearest(name, LOSSES)}"
        known = f"choose among {', '.join(LOSSES)}, or register it" if LOSSES else "register it"
        raise ConfigError(
            problem, record="arms", remedy=f"{known} in the file of the study (docs/studies-reference.md)"
        )
    return LOSSES[name]


def with_losses(start: Start, arm: Arm) -> Start:
    """What a run begins with, with the arm's losses in the tasks that it trains.

    Raises:
        ConfigError: nobody registered a loss.
    """
    model, processor, data, known = start
    tasks = dict(data.tasks)
    for name, loss in arm.losses.items():
        if name in tasks:  # an arm can have several models
            tasks[name] = replace(tasks[name], output=_other(tasks[name].output, _loss(loss, arm)))
    return model, processor, replace(data, tasks=tasks), known


def _other(output: Output, loss: Loss) -> Output:
    """The output with another loss."""
    other = copy(output)
    other.loss = loss  # type: ignore[assignment, method-assign]  # of this object alone
    return other
