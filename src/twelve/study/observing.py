"""What is measured while a run of a study trains. It changes nothing of what is trained.

Samples are lines in the run's log (training/log.py), so a run that is resumed has those up to its checkpoint: of kind
``gradient`` the norm of a task's gradients on the trunk, and on every line ``processor``, the processor seconds since
the line before.

An arm can ask for more with a probe: a :class:`TrainingHook` that is registered here under a name, with a result of its
own. Modules in ``study/probes`` are imported from there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from twelve.data.prepare import Prepared
from twelve.io import files
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig
from twelve.training.hooks import MeasuredRun, MeasuringHook, SelectiveHook, TrainingHook

GRADIENT, PROCESSOR = "gradient", "processor"


class PartOver(Exception):
    """The time of this part of a study is over; what has been trained is in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A run, or an extension of a run, that begins: the configuration, the model, the data and the folder of the run.

    Attributes:
        earlier: iterations of the run and of its extensions before this one; empty for the run itself.
    """

    config: RunConfig
    model: Twelve
    processor: TwelveProcessor
    data: Prepared
    run: RunFolder
    earlier: tuple[int, ...] = ()


@runtime_checkable
class Probe(TrainingHook, Protocol):
    """Measures something while a run trains."""

    def found(self) -> Mapping[str, Any]:
        """What the probe has measured, as JSON, once the run has ended."""

    def state_dict(self) -> Mapping[str, Any]:
        """What checkpoints keep, so that an interrupted run loses nothing."""

    def load_state_dict(self, state: Any) -> Any:
        """Take over what a checkpoint kept."""


ProbeFactory: TypeAlias = Callable[[Observed], Probe]
PROBES: dict[str, ProbeFactory] = {}
"""Name, as in ``Arm.probes`` -> what makes the probe of a run."""


class Observer:
    """Samples gradient norms and processor time every ``training.log_every`` iterations.

    Args:
        over: whether the time of this part is over; the run then ends after its next checkpoint, with
            :class:`PartOver`.
    """

    def __init__(self, config: RunConfig, run: RunFolder, over: Callable[[], bool] = lambda: False) -> None:
        self.run, self.every, self.save_every = run, config.training.log_every, config.training.save_every
        self.over, self.started, self.clock = over, -1, time.process_time()

    def watches(self, iteration: int) -> bool:
        return (iteration + 1) % self.every == 0

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        norm = trunk_norm(gradients.values())
        if math.isfinite(norm):
            self._write(GRADIENT, iteration + 1, task=task, norm=float(f"{norm:.6g}"))

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        self.started = iteration if self.started < 0 else self.started
        if iteration > self.started and iteration % self.save_every == 0 and self.over():
            self.finish(iteration)
            raise PartOver

    def after_step(self, iteration: int, optimizer: Optimizer) -> None: ...

    def finish(self, iteration: int) -> None:
        """Note the time since the last sample."""
        self._write(PROCESSOR, iteration)

    def _write(self, kind: str, iteration: int, **values: Any) -> None:
        now = time.process_time()
        line = {"kind": kind, "iteration": iteration, **values, PROCESSOR: round(now - self.clock, 3)}
        files.append(self.run.metrics, json.dumps(line) + "\n")
        self.clock = now


class Hooks:
    """Several hooks as one."""

    def __init__(self, hooks: Iterable[TrainingHook]) -> None:
        self.hooks = tuple(hooks)

    def _watching(self, iteration: int) -> list[TrainingHook]:
        return [hook for hook in self.hooks if not isinstance(hook, SelectiveHook) or hook.watches(iteration)]

    def watches(self, iteration: int) -> bool:
        return bool(self._watching(iteration))

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        for hook in self._watching(iteration):
            hook.after_backward(iteration, task, gradients)

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        for hook in self.hooks:
            hook.before_step(iteration, optimizer)

    def after_step(self, iteration: int, optimizer: Optimizer) -> None:
        for hook in self.hooks:
            hook.after_step(iteration, optimizer)

    @property
    def _measuring(self) -> list[MeasuringHook]:
        return [hook for hook in self.hooks if isinstance(hook, MeasuringHook)]

    @property
    def _remembering(self) -> list[Probe]:
        return [hook for hook in self.hooks if isinstance(hook, Probe)]

    def attach(self, run: MeasuredRun) -> None:
        for hook in self._measuring:
            hook.attach(run)

    def after_iteration(self, iteration: int) -> None:
        for hook in self._measuring:
            hook.after_iteration(iteration)

    def state_dict(self) -> dict[str, Any]:
        return {str(number): hook.state_dict() for number, hook in enumerate(self._remembering)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for number, hook in enumerate(self._remembering):
            hook.load_state_dict(state[str(number)])


def trunk_norm(gradients: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together; 0 without any."""
    norms = [torch.linalg.vector_norm(gradient.float()) for gradient in gradients]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
