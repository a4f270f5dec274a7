"""Replay of a recorded training run with this package's own parts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from twelve.errors import DataError
from twelve.model import checkpoints
from twelve.model.vilbert import Twelve
from twelve.outputs import Output
from twelve.parity.models import ModelRecord, read_model, read_state
from twelve.parity.recording import REMEDY, Tensors, read
from twelve.parity.tasks import KEYS, KINDS, output_of, targets_of
from twelve.parity.train_record import Step, Trace, find_state, model_inputs
from twelve.training.optimizer import AdamW, LearningRate, loss_scales, parameter_groups
from twelve.training.schedules.stop_and_go import StopAndGo

NO_DROPOUT = dict.fromkeys(
    (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "v_hidden_dropout_prob",
        "v_attention_probs_dropout_prob",
        "pooled_dropout",
    ),
    0.0,
)


@dataclass
class Replayed:
    """What our run did, one list entry per step; parameters under the released names."""

    tasks: list[tuple[int, str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    after: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    groups: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def final(self) -> dict[str, Tensor]:
        return self.after[max(self.after)]


class Replay:
    """Replays a recording, with new parts for each repetition."""

    def __init__(self, path: Path, trace: Trace) -> None:
        self.path, self.trace = path, trace
        self.batches = Tensors(path.with_name("batches.safetensors"))
        self.params = Tensors(path.with_name("params.safetensors"))
        file = find_state(path.parent, trace)
        meta = read(file.with_name("meta.json"), ModelRecord)
        state = read_state(file)
        self.config, self.weights = read_model(meta, file.with_name("meta.json"), state, file, **NO_DROPOUT)
        self.start = {name: value.double() for name, value in state.items()}

    def run(self, dtype: torch.dtype, *, fill: bool) -> Replayed:
        """Train as recorded. Between steps, gradients are zeroed if ``fill``, else dropped."""
        trace, result = self.trace, Replayed()
        model = Twelve(self.config)
        model.load_state_dict(self.weights)
        model.train().to(dtype=dtype)  # type: ignore[no-untyped-call, call-arg, unused-ignore]
        decay = trace.optimizer.weight_decay
        groups = parameter_groups(model, base_lr=trace.base_lr, head_lr=trace.head_lr, weight_decay=decay)
        for group in groups:
            for name, _ in group["params"]:
                result.groups[self._released(name)] = (group["lr"], group["weight_decay"])
        settings = trace.optimizer
        optimizer = AdamW(groups, betas=settings.betas, eps=settings.eps, bias_correction=settings.correct_bias)
        rate = LearningRate(optimizer, total=trace.t_total, warmup=trace.warmup_steps)
        schedule = StopAndGo(tasks=trace.tasks, sizes=dict.fromkeys(trace.tasks, 1), seed=0, gap=trace.train_iter_gap)
        scales = loss_scales(dict(zip(trace.tasks, trace.task_lr, strict=True)))
        by_task = {step.task: step for step in trace.steps}
        used = dict.fromkeys(trace.tasks, 0)
        snapshots = {int(name[5:]) for name in self._prefixes() if re.fullmatch(r"after\d+", name)}
        for iteration in range(1 + max(step.iteration for step in trace.steps)):
            for task, controller in schedule.controllers.items():
                controller.stopped = task in trace.stopped_tasks_per_iteration.get(iteration, ())
            rate.start_iteration(iteration)
            for task in schedule.tasks_at(iteration):
                if task not in by_task or f"{task}.{used[task]}.question" not in self.batches:
                    break  # the schedule differs from the recording, which the comparison reports
                result.tasks.append((iteration, task))
                output = output_of(by_task[task].type, self.path, task)
                self._forward(model, by_task[task], output, used[task], scales[task], result)
                used[task] += 1
                result.rates.append(_rates(optimizer, trace))
                optimizer.step()
                rate.after_step()
                optimizer.zero_grad(fill=fill)
                if len(result.tasks) in snapshots:
                    result.after[len(result.tasks)] = self._snapshot(model)
        result.after.setdefault(len(result.tasks), self._snapshot(model))
        return result

    def _forward(self, model: Twelve, step: Step, output: Output, index: int, scale: float, result: Replayed) -> None:
        """Run one batch forward and backward, and append to ``result``."""
        prefix = f"{step.task}.{index}"
        dtype = next(model.parameters()).dtype
        key = KEYS.get(step.type, KINDS[step.type])
        if key not in model.config.heads:
            raise DataError(f"the model has no head for {step.type}", file=self.path, record=step.task, remedy=REMEDY)
        try:
            inputs = model_inputs(self.batches, prefix, step, dtype, tokens=model.config.task_specific_tokens)
            targets = targets_of(self.batches, prefix, output)
            logits = model(**inputs, outputs=(key,)).logits[key]
            loss = output.loss(logits, targets)
            score = output.score(logits.detach(), targets)
        except (RuntimeError, ValueError, IndexError) as error:
            what = f"this batch does not fit the model: {error}"
            raise DataError(what, file=self.batches.file, record=prefix, remedy=REMEDY) from None
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        result.losses.append(float(loss.detach()))
        result.scores.append(float(score.double().mean()))
        result.norms.append(math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients)))

    def _prefixes(self) -> set[str]:
        return {name.partition(".")[0] for name in self.params.tensors}

    def _released(self, name: str) -> str:
        return checkpoints.released_name(name, checkpoints.kinds_of(self.config))

    def _snapshot(self, model: Twelve) -> dict[str, Tensor]:
        return {self._released(name): value.detach().clone() for name, value in model.named_parameters()}


def _rates(optimizer: torch.optim.Optimizer, trace: Trace) -> tuple[float, float]:
    """Current learning rates of the base and head groups."""
    now = {group["initial_lr"]: float(group["lr"]) for group in optimizer.param_groups}
    return now.get(trace.base_lr, math.nan), now.get(trace.head_lr, math.nan)
