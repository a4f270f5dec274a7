"""The losses of a run's steps, which stay on the device until they are needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from twelve.errors import TwelveError


class NonFiniteLoss(TwelveError):
    """The loss is not a number, so the run stops before the optimizer step; or weights are not finite after one, so it
    stops before they are written. Exit code 1: it is no mistake of the user.

    Attributes:
        task: whose loss it is, or whose learning rate may be too high.
    """

    exit_code = 1
    task = ""


def diverged(problem: str, task: str, folder: Path) -> NonFiniteLoss:
    """The error about a run, by its folder, that cannot go on because of a task."""
    remedy = "train again with a lower learning_rate of its task or optimizer.head_learning_rate"
    error = NonFiniteLoss(problem, file=folder, remedy=remedy)
    error.task = task
    return error


class Losses:
    """The losses since the last line of the log. Reading one waits for the device, so several are read together.

    Args:
        folder: the run's folder, for errors.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unread: list[tuple[str, int, int, Tensor]] = []
        self._read: dict[str, list[float]] = {}

    def add(self, task: str, iteration: int, step: int, loss: Tensor) -> None:
        """Keep the loss, a scalar on the device, of a task's batch."""
        self._unread.append((task, iteration, step, loss))

    def read(self) -> None:
        """Wait for the losses that have not been read yet.

        Raises:
            NonFiniteLoss: one is not a number; no step since has changed anything.
        """
        values = torch.stack([loss for *_, loss in self._unread]).tolist() if self._unread else []
        for (task, iteration, step, _), value in zip(self._unread, values, strict=True):
            if not math.isfinite(value):
                problem = f"the loss of {task} is {value} in iteration {iteration}, step {step}"
                raise diverged(problem, task, self._folder)
            self._read.setdefault(task, []).append(value)
        self._unread.clear()

    def means(self) -> dict[str, float]:
        """Task -> its mean loss; the next ones begin anew. Raises NonFiniteLoss as :meth:`read`."""
        self.read()
        found = {task: round(float(np.mean(values)), 7) for task, values in self._read.items()}
        self._read.clear()
        return found

    def state_dict(self) -> dict[str, list[float]]:
        """Task -> its losses that have been read."""
        return {task: [*values] for task, values in self._read.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        self._read = {task: [float(value) for value in values] for task, values in state.items()}
