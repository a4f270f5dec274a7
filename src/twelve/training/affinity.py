"""How tasks affect each other while one model trains on all of them: norms, cosines and look-ahead affinity.

The look-ahead affinity of task i for task j is

    Z_ij = 1 - L_j(trunk after a step on i's gradient, j's head) / L_j(trunk, j's head)

("Efficiently Identifying Task Groupings for Multi-Task Learning", Fifty et al. 2021, equation 1), averaged over
training. It is positive where a step on i lowers the loss of j.

The step is what the batch of i adds to the run in the end: Adam spreads a gradient over the following updates with
weights that sum to 1, so over its life in the momentum it moves the parameters by lr g / (sqrt(v) + eps), where v is
the run's second moment with this gradient taken in. A plain step lr g would say more about the size of a task's
gradients than about what the run does with them, because Adam divides by a size that all tasks share; a whole step of
the optimizer would mostly repeat the momentum, which is the same whichever task is next.

All tasks are measured at the same parameters, in fp32 and without dropout, on training batches drawn for this alone: B
of them for the mean gradient and B others for the mean losses, so that Z_ii can be compared with the rest. The gradient
of a single batch of 8 to 24 examples is mostly noise: a step on it often raises the loss of its own task on another
batch (docs/relations.md). Norms and cosines are those of the mean gradients. So with T tasks, a measurement takes B T
forward and backward passes and B (T + T T) forward passes, and memory for 2 T gradients of the trunk and B T batches.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from twelve.errors import ConfigError
from twelve.training.freezing import HEADS
from twelve.training.hooks import MeasuredRun
from twelve.training.optimizer import loss_scales
from twelve.training.prefixes import under_any
from twelve.types.batch import Batch


class Affinity:
    """Measures affinities of tasks in a run, and writes them into its folder; the run trains what it does without.

    Args:
        every: iterations between two measurements of cosines and look-ahead affinity; the first comes after as many.
        before: iterations of earlier runs that this one goes on from.
        batches: B.

    Attributes:
        measured: for each measurement the ``iteration`` before which it was made (``before`` included), the ``rate``
            factor of all learning rates, the tasks' ``losses`` (T), the ``norms`` of their trunk gradients (T), times
            the tasks' loss scales as the optimizer gets them, ``cosines`` (T, T) and ``affinity`` (T, T), row i: of a
            step on task i.
        seconds: spent on all this.
    """

    def __init__(self, every: int = 50, before: int = 0, batches: int = 1) -> None:
        if every < 1:
            problem = f"expected at least 1 iteration between two measurements, found {every}"
            raise ConfigError(problem, remedy="measure every 50 iterations")
        if batches < 1:
            raise ConfigError(f"expected at least 1 batch for a gradient, found {batches}", remedy="average over 16")
        self.every, self.before, self.batches = every, before, batches
        self.measured: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._run: MeasuredRun

    def attach(self, run: MeasuredRun) -> None:
        """Begin to observe a run.

        Raises:
            ConfigError: several processes train it together.
        """
        if run.devices.count > 1:
            problem = f"affinity is measured in one process, found {run.devices.count}"
            raise ConfigError(problem, remedy="train in one process, or without the probe")
        self._run = run

    # --- during training ----------------------------------------------------------------------------------------
    def watches(self, iteration: int) -> bool:
        """Never: all gradients are computed here."""
        return False

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Tensor]) -> None:
        """Nothing."""

    def before_step(self, iteration: int, optimizer: Optimizer) -> None:
        """Nothing."""

    def after_step(self, iteration: int, optimizer: Optimizer) -> None:
        """Nothing."""

    def after_iteration(self, iteration: int) -> None:
        """Measure where a measurement is due; ``iteration`` iterations are done. At the end, only write."""
        due = iteration % self.every == 0 and iteration < self._run.total
        if due:
            started = time.perf_counter()
            at = self.before + iteration
            self.measured.append({"iteration": at, "rate": self._run.rate.factor} | self._measure(at))
            self.seconds += time.perf_counter() - started
        if due or iteration == self._run.total:
            self._run.run.write(self._run.run.affinity, self.found())

    # --- results ------------------------------------------------------------------------------------------------
    def found(self) -> dict[str, Any]:
        """What is in the run's folder: everything measured, means over the measurements, and the cost in seconds and in
        per cent of the run without it."""
        tree: dict[str, Any] = {"tasks": list(self._run.streams), "every": self.every, "batches": self.batches}
        for name in ("norms", "cosines", "affinity") if self.measured else ():
            tree[name] = np.mean([each[name] for each in self.measured], axis=0).tolist()
        rest = max(self._run.state.seconds - self.seconds, 1e-9)
        return tree | {"measured": self.measured, "seconds": self.seconds, "cost": 100 * self.seconds / rest}

    def state_dict(self) -> dict[str, Any]:
        return {
            "every": self.every,
            "batches": self.batches,
            "measured": self.measured,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises:
            ConfigError: it was measured at other intervals, or on another number of batches.
        """
        if state["every"] != self.every:
            problem = f"expected measurements every {state['every']} iterations, as before, found {self.every}"
            raise ConfigError(problem, remedy="remove this run's folder and go on: --resume")
        if (before := state.get("batches", 1)) != self.batches:  # an earlier version knew no other number
            problem = f"expected gradients over {before} batch{'es' * (before != 1)}, as before, found {self.batches}"
            raise ConfigError(problem, remedy="remove this run's folder and go on: --resume")
        self.measured, self.seconds = list(state["measured"]), float(state["seconds"])

    # --- one measurement ----------------------------------------------------------------------------------------
    def _measure(self, iteration: int) -> dict[str, Any]:
        model = self._run.model
        was = model.training
        model.train(False)
        try:
            # Nothing draws from torch's generators here; if a head ever does, the run will not notice.
            with torch.random.fork_rng(devices=[]):
                return self._matrices(iteration)
        finally:
            model.train(was)

    def _matrices(self, iteration: int) -> dict[str, Any]:
        trunk, rates = self._trunk()
        tasks = list(self._run.streams)
        scales = loss_scales({task: self._run.data.tasks[task].learning_rate for task in tasks})
        gradients = [self._gradient(task, trunk, iteration) * scales[task] for task in tasks]
        others = range(self.batches, 2 * self.batches)
        held = {task: [self._batch(task, iteration, place) for place in others] for task in tasks}
        with torch.no_grad():
            before = self._losses(held)
            saved = [parameter.clone() for parameter in trunk]
            after = []
            try:
                for task, gradient in zip(tasks, gradients, strict=True):
                    self._run.optimizer.use(task)
                    for parameter, was, moved in zip(trunk, saved, self._step(trunk, rates, gradient), strict=True):
                        parameter.copy_(was - moved)
                    after.append(self._losses(held))
            finally:
                for parameter, was in zip(trunk, saved, strict=True):
                    parameter.copy_(was)
        products = _products(torch.stack(gradients))
        norms = products.diagonal().sqrt()
        affinity = 1 - np.array(after) / np.array(before)
        cosines = (products / (norms[:, None] * norms).clamp_min(1e-30)).tolist()
        return {"losses": before, "norms": norms.tolist(), "cosines": cosines, "affinity": affinity.tolist()}

    def _trunk(self) -> tuple[list[nn.Parameter], list[float]]:
        """The trunk's parameters that train, and the learning rate of each."""
        found = [
            (parameter, float(group["lr"]))
            for group in self._run.optimizer.param_groups
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
            if not under_any(name, HEADS)
        ]
        return [parameter for parameter, _ in found], [rate for _, rate in found]

    def _batch(self, task: str, iteration: int, place: int) -> Batch:
        """A batch of training examples: a function of seed, task, iteration and place."""
        stream = self._run.streams[task]
        rng = np.random.default_rng((stream.seed, iteration, place))
        rows = rng.choice(len(stream.examples), stream.batch_size, replace=False)
        return stream.collator([stream.examples[row] for row in rows.tolist()], rng)

    def _loss(self, task: str, batch: Batch) -> Tensor:
        """Mean loss of the task's output, in fp32."""
        device = self._run.devices.device
        logits = self._run.model(**batch.inputs(device), outputs=(batch.output,)).logits[batch.output]
        return self._run.data.tasks[task].output.loss(logits, batch.targets_on(device))

    def _gradient(self, task: str, trunk: list[nn.Parameter], iteration: int) -> Tensor:
        """The mean gradient of the task's loss, as one vector."""
        parts = (_flat(trunk, self._loss(task, self._batch(task, iteration, place))) for place in range(self.batches))
        return sum(parts, torch.zeros(())) / self.batches

    def _losses(self, held: Mapping[str, list[Batch]]) -> list[float]:
        """(T,) the mean loss of each task."""
        means = [torch.stack([self._loss(task, batch) for batch in batches]).mean() for task, batches in held.items()]
        return torch.stack(means).tolist()

    def _step(self, trunk: list[nn.Parameter], rates: list[float], gradient: Tensor) -> list[Tensor]:
        """What a gradient takes from each parameter, over its life in the optimizer's momentum."""
        steps, states, defaults = [], self._run.optimizer.state, self._run.optimizer.defaults
        parts = torch.split(gradient, [parameter.numel() for parameter in trunk])
        for parameter, rate, part in zip(trunk, rates, parts, strict=True):
            own = part.view_as(parameter)
            moment = own.square() * (1 - defaults["betas"][1])
            if "exp_avg_sq" in (state := states.get(parameter, {})):
                moment += defaults["betas"][1] * state["exp_avg_sq"]
            steps.append(rate * own / (moment.sqrt() + defaults["eps"]))
        return steps


def _products(vectors: Tensor) -> Tensor:
    """(T, T) inner products of (T, N) vectors. In fp32, a sum of millions of products is wrong in its fourth digit."""
    return torch.stack([part.double() @ part.double().T for part in torch.split(vectors, 1 << 20, dim=1)]).sum(0)


def _flat(parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
    """The gradient of a loss as one vector; zero where it does not depend on a parameter."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])
