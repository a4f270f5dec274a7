"""Comparison of task schedules, steps and learning rates: lr_schedule.json."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from twelve.errors import DataError
from twelve.parity.recording import REMEDY, Rate, Recorded, read, worst
from twelve.parity.report import Difference
from twelve.training.optimizer import AdamW, LearningRate, loss_scales
from twelve.training.schedules.stop_and_go import StopAndGo

RATE_TOLERANCE = 1e-9
"""Tolerance of a learning rate, relative to the largest of its kind."""

Row = tuple[int, str, bool, bool, tuple[float, float] | None]
"""(iteration, task, whether it runs forward, whether it steps, learning rates (base, heads) of the step)."""


class Case(Recorded):
    tasks: list[str] = Field(min_length=1)
    task_lr: list[Rate]
    base_lr: Rate
    head_lr: Rate
    loss_scale: dict[str, float]
    n_iterations: int = Field(ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    train_iter_gap: int = Field(ge=1)
    warmup_proportion: float
    t_total: float
    warmup_steps: float
    in_stop: dict[str, list[bool]]
    rows: list[Row]
    final_global_step: int


class LearningRateRecord(Recorded):
    cases: list[Case]


def run(path: Path) -> list[Difference]:
    """Compare every case of a recording; ``path`` is the JSON file."""
    return [
        difference
        for number, case in enumerate(read(path, LearningRateRecord).cases)
        for difference in _compare(f"case {number}", case, path)
    ]


def _compare(name: str, case: Case, path: Path) -> list[Difference]:
    short = [task for task in case.tasks if len(case.in_stop.get(task, ())) < case.n_iterations]
    if short or len(case.task_lr) != len(case.tasks):
        what = f"in_stop of {', '.join(short)}" if short else "task_lr"
        raise DataError(f"{what} is incomplete", file=path, record=name, remedy=REMEDY)
    rows, rate = _replay(case)
    scales = loss_scales(dict(zip(case.tasks, case.task_lr, strict=True)))
    rates = {"base": (0, case.base_lr), "head": (1, case.head_lr)}
    found = [
        Difference(f"{name}: scheduled steps", abs(rate.total - case.t_total), 0.0),
        Difference(f"{name}: warm-up steps", abs(rate.warmup - case.warmup_steps), 1e-9),
        Difference(f"{name}: steps made", abs(rate.count - case.final_global_step), 0.0),
        Difference(
            f"{name}: loss scales",
            worst(scales[task] - case.loss_scale.get(task, math.inf) for task in case.tasks),
            1e-12,
        ),
        Difference(f"{name}: rows", abs(len(rows) - len(case.rows)), 0.0, f"{len(case.rows)} recorded"),
    ]
    pairs = list(zip(rows, case.rows, strict=False))
    for what, columns in (("tasks forwarded", slice(0, 3)), ("tasks that step", slice(3, 4))):
        wrong = [ours for ours, theirs in pairs if ours[columns] != theirs[columns]]
        note = f"first in iteration {wrong[0][0]}, {wrong[0][1]}" if wrong else ""
        found.append(Difference(f"{name}: {what}", float(len(wrong)), 0.0, note))
    for what, (column, top) in rates.items():
        sizes = [
            ours[4][column] - theirs[4][column] if ours[4] and theirs[4] else math.inf
            for ours, theirs in pairs
            if ours[4] or theirs[4]
        ]
        found.append(Difference(f"{name}: {what} learning rate", worst(sizes), RATE_TOLERANCE * top))
    return found


def _replay(case: Case) -> tuple[list[Row], LearningRate]:
    """Rows that our schedule and learning rate produce if tasks are stopped as recorded."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (case.base_lr, case.head_lr)]
    optimizer = AdamW(groups)
    accumulate = case.gradient_accumulation_steps
    rate = LearningRate.over(
        optimizer, iterations=case.n_iterations, warmup=case.warmup_proportion, accumulate=accumulate
    )
    schedule = StopAndGo(tasks=case.tasks, sizes=dict.fromkeys(case.tasks, 1), seed=0, gap=case.train_iter_gap)
    rows: list[Row] = []
    for iteration in range(case.n_iterations):
        for task, controller in schedule.controllers.items():
            controller.stopped = case.in_stop[task][iteration]
        rate.start_iteration(iteration)
        going = schedule.tasks_at(iteration)
        for task in case.tasks:
            steps = task in going and rate.due(iteration)
            base, head = (float(group["lr"]) for group in optimizer.param_groups)
            rows.append((iteration, task, task in going, steps, (base, head) if steps else None))
            if steps:
                rate.after_step()
    return rows, rate
