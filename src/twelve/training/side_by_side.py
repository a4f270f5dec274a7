"""Processes that compute the gradients of several tasks at the same time, each on a core of its own.

The operators of a small model are too short to be divided among threads: on two cores, an iteration of the quickstart
takes 0.99 of its time with a second thread, and 0.55 with a second process. Processes need the same weights, so this is
for runs in which updates may wait (``optimizer.together``). Which process computes a gradient changes nothing.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from multiprocessing.connection import Connection
from typing import TypeAlias

import torch
from torch import Tensor, nn

from twelve.forked import HelperLost, Turns, helping
from twelve.settings import RunConfig
from twelve.threads import most
from twelve.training.devices import Devices
from twelve.training.hooks import TrainingHook
from twelve.training.state import TrainerState
from twelve.training.weighing import Weighing

ALIGNED = 16
"""A tensor begins at a multiple of this many numbers (64 bytes), where vector instructions read fastest."""
RECENT = 0.1
"""Weight of the last step in the running mean of a task's duration."""

Compute: TypeAlias = Callable[[str, TrainerState], tuple[Tensor, int]]
"""(task, state of the run) -> mean loss and pairs of the task's next batch, whose gradients it leaves in the
parameters."""


def lost() -> HelperLost:
    """What is raised if a process of this run ends early."""
    return HelperLost(
        "a process that computes beside this one has ended",
        record="optimizer.together",
        remedy="run the same command with --continue; if memory ran out, with --set training.threads=1 as well",
    )


@dataclass(frozen=True, slots=True)
class Computed:
    """The gradients of one batch of a task.

    Attributes:
        loss: mean over the batch.
        pairs: of the batch.
        seconds: that it took.
        gradients: of every parameter that trains; None for those that the batch does not use.
    """

    loss: Tensor
    pairs: int
    seconds: float
    gradients: Sequence[Tensor | None]


def computed(compute: Callable[[], tuple[Tensor, int]], parameters: Sequence[nn.Parameter]) -> Computed:
    """The gradients that ``compute``, which returns loss and pairs, leaves in parameters."""
    for parameter in parameters:
        parameter.grad = None
    begun = time.perf_counter()
    loss, pairs = compute()
    seconds = time.perf_counter() - begun
    return Computed(loss, pairs, seconds, [parameter.grad for parameter in parameters])


def helpers(config: RunConfig, devices: Devices, weighing: Weighing, hook: TrainingHook | None) -> int:
    """Number of processes that are worth starting beside this one; 0 where one process computes everything: on a GPU,
    in one of several processes, or if a step needs to know more than its own batch."""
    training, together = config.training, config.optimizer.together
    alone = (
        together == 1
        or sys.platform != "linux"
        or devices.device.type != "cpu"
        or devices.count > 1
        or weighing.waits
        or weighing.apart
        or hook is not None
        or training.workers > 0
        or training.compile
        or (config.contrast is not None and config.contrast.hard_negatives > 0)
    )
    threads = most() if training.threads == "auto" else training.threads
    return 0 if alone else min(threads, together) - 1


class SideBySide:
    """This process and its helpers, which are forked from it: they have its model and data without copying them.

    Each computes with one thread. Parameters and gradients lie in memory that all of them share. Each takes the next
    task that nobody has taken, so a slow core computes fewer of them.

    Args:
        count: number of helpers.
        parameters: those that train; they are moved to shared memory.
        most: largest number of tasks that are computed at the same weights.
        compute: see :data:`Compute`; is called in all processes.
        skip: makes a task's stream leave out its next batch, which another process computes.
    """

    def __init__(
        self,
        count: int,
        parameters: Sequence[nn.Parameter],
        most: int,
        compute: Compute,
        skip: Callable[[str], None],
    ) -> None:
        self._parameters, self._compute, self._skip = parameters, compute, skip
        for parameter, own in zip(parameters, _shared(parameters), strict=True):
            own.copy_(parameter.data)
            parameter.data = own
        self._slots = [_shared(parameters) for _ in range(most)]
        self._seconds: dict[str, float] = {}
        self._ends = ExitStack()
        self._turns = self._ends.enter_context(closing(Turns()))
        self._helpers = self._ends.enter_context(helping(self._help, count))

    def compute(self, tasks: Sequence[str], state: TrainerState) -> Mapping[str, Computed]:
        """The gradients of a batch of each of some tasks, at the same weights; valid until the next call.

        Raises:
            HelperLost: a helper has ended.
            TwelveError: an example or a loss is wrong, here or in a helper.
        """
        tasks = sorted(tasks, key=lambda task: -self._seconds.get(task, 0.0))  # a long one must not begin last
        self._turns.offer(len(tasks))
        try:
            for connection in self._helpers:
                connection.send((tasks, state))
            found = {tasks[place]: step for place, step in self._work(tasks, state)}
            for connection in self._helpers:
                steps = connection.recv()
                if isinstance(steps, BaseException):
                    raise steps
                for place, loss, pairs, seconds, used in steps:
                    gradients = [slot if own else None for slot, own in zip(self._slots[place], used, strict=True)]
                    value = torch.tensor(loss, dtype=torch.float64)
                    found[tasks[place]] = Computed(value, pairs, seconds, gradients)
        except (EOFError, ConnectionError) as error:
            raise lost() from error
        for task, step in found.items():
            before = self._seconds.get(task, step.seconds)
            self._seconds[task] = before + RECENT * (step.seconds - before)
        return found

    def _work(self, tasks: Sequence[str], state: TrainerState) -> Iterator[tuple[int, Computed]]:
        """Compute tasks until none is left; yields their places and gradients."""
        others = set(range(len(tasks)))
        for place in self._turns:
            others.remove(place)
            yield place, computed(partial(self._compute, tasks[place], state), self._parameters)
        for place in others:
            self._skip(tasks[place])

    def _help(self, connection: Connection) -> None:
        """What a helper does until it is killed, or its parent ends."""
        while True:
            tasks, state = connection.recv()
            try:
                connection.send([self._handed_over(place, step) for place, step in self._work(tasks, state)])
            except Exception as error:
                connection.send(error)

    def _handed_over(self, place: int, step: Computed) -> tuple[int, float, int, float, list[bool]]:
        """Copy the gradients to shared memory; returns what the parent needs besides them."""
        for slot, own in zip(self._slots[place], step.gradients, strict=True):
            if own is not None:
                slot.copy_(own)
        return place, float(step.loss), step.pairs, step.seconds, [own is not None for own in step.gradients]

    def close(self) -> None:
        """End the helpers."""
        self._ends.close()


def _shared(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """A tensor of the shape of each parameter, in memory that helpers will share. It is anonymous: /dev/shm, where
    torch puts shared tensors, has 64 MB in a container."""
    sizes = [-(-parameter.numel() // ALIGNED) * ALIGNED for parameter in parameters]
    whole = torch.frombuffer(mmap.mmap(-1, sum(sizes) * torch.float32.itemsize), dtype=torch.float32)
    return [
        whole[start : start + each.numel()].view(each.shape)
        for start, each in zip(accumulate(sizes, initial=0), parameters, strict=False)
    ]
