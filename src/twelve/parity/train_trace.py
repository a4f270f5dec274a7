"""Comparison of a recorded training run, step by step: trace.json with batches and params.safetensors.

The run is replayed three times with this package's model, outputs, schedule, optimizer and learning rate, from the
recorded initial weights: in float64 with gradients zeroed between steps, in float64 with gradients dropped, and in
float32. The float32 comparison omits key biases and the alignment head's bias: their true gradient is zero, and Adam
turns its rounding error into full-size steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from twelve.errors import DataError
from twelve.parity.recording import REMEDY, largest, read, worst
from twelve.parity.report import Difference
from twelve.parity.train_record import Trace
from twelve.parity.train_replay import Replay, Replayed
from twelve.training.optimizer import loss_scales

LOSS_TOLERANCE = 1e-9
"""Relative tolerance of losses and gradient norms in float64."""
PARAMETER_TOLERANCE = 1e-6
FLOAT32_LOSS_TOLERANCE = 1e-4
"""Relative tolerance; the original's float32 run differs by 6e-6 from its float64 run."""
FLOAT32_PARAMETER_TOLERANCE = 1e-3
"""The original's float32 run differs by 5e-4 from its float64 run (parameters move by up to 1e-1)."""
UNSTABLE = re.compile(r"(\.key[12]?|^vil_logit)\.bias$")
"""Parameters whose true gradient is zero."""
UNUSED = re.compile(r"\.biOutput\.q_dense[12]\.")
"""Unused parameters of the original, which this model lacks."""


def run(path: Path) -> list[Difference]:
    """Replay a recorded run three times and compare; ``path`` is trace.json.

    Raises:
        DataError: a file is missing or damaged, or the recording needs an unsupported feature.
    """
    trace = read(path, Trace)
    if len(trace.task_lr) != len(trace.tasks):
        raise DataError("expected one learning rate per task", file=path, record="task_lr", remedy=REMEDY)
    replay = Replay(path, trace)
    zeros = replay.run(torch.float64, fill=True)
    found = _steps(trace, zeros)
    recorded = replay.params
    prefixes = {name.partition(".")[0] for name in recorded.tensors}
    for prefix in sorted(prefixes):
        if match := re.fullmatch(r"after(\d+)", prefix):
            count = int(match[1])
            found.append(
                _parameters(f"parameters after step {count}", zeros.after.get(count, {}), recorded.under(prefix))
            )
    found.append(_parameters("final parameters", zeros.final, recorded.under("final")))
    found += _checksums(trace, replay.start, zeros)
    if "final_set_to_none" in prefixes or any(step.loss_set_to_none is not None for step in trace.steps):
        found += _dropped(trace, zeros, replay.run(torch.float64, fill=False), recorded.under("final_set_to_none"))
    if any(step.loss_float32 is not None for step in trace.steps):
        found += _float32(trace, replay.run(torch.float32, fill=True), recorded.under("final"))
    return found


def _steps(trace: Trace, ours: Replayed) -> list[Difference]:
    wrong = [(step.iteration, step.task) for step in trace.steps] != ours.tasks
    scales = loss_scales(dict(zip(trace.tasks, trace.task_lr, strict=True)))
    rate_tolerance = 1e-9 * max(trace.base_lr, trace.head_lr)
    return [
        Difference("tasks trained", float(wrong), 0.0, f"{len(ours.tasks)} of {len(trace.steps)} steps" * wrong),
        Difference("loss scales", worst(scales[t] - trace.loss_scale.get(t, math.inf) for t in trace.tasks), 1e-12),
        _relative("loss", ours.losses, [step.loss for step in trace.steps], LOSS_TOLERANCE),
        _relative("gradient norm", ours.norms, [step.grad_norm_scaled_loss for step in trace.steps], LOSS_TOLERANCE),
        Difference("score", worst(a - s.score for a, s in zip(ours.scores, trace.steps, strict=False)), 1e-6),
        Difference(
            "base learning rate",
            worst(a[0] - s.lr_base for a, s in zip(ours.rates, trace.steps, strict=False)),
            rate_tolerance,
        ),
        Difference(
            "head learning rate",
            worst(a[1] - s.lr_head for a, s in zip(ours.rates, trace.steps, strict=False)),
            rate_tolerance,
        ),
    ]


def _relative(quantity: str, ours: list[float], theirs: list[float | None], tolerance: float) -> Difference:
    """Largest relative difference over the steps; None marks steps that were not recorded."""
    pairs = [(our, their) for our, their in zip(ours, theirs, strict=False) if their is not None]
    size = worst((our - their) / (abs(their) or 1.0) for our, their in pairs)
    return Difference(f"{quantity}, relative", size, tolerance, f"{len(pairs)} steps")


def _parameters(
    quantity: str,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    tolerance: float = PARAMETER_TOLERANCE,
    leave_out: re.Pattern[str] | None = None,
) -> Difference:
    """Largest difference over all parameters; only the first rows of large matrices may be recorded."""
    sizes: dict[str, float] = {}
    skipped = 0
    for name, their in theirs.items():
        if UNUSED.search(name):
            continue
        if leave_out is not None and leave_out.search(name):
            skipped += 1
            continue
        sizes[name] = largest(ours[name][: len(their)], their) if name in ours else math.inf
    name = max(sizes, key=sizes.__getitem__, default="")
    note = f"{len(sizes)} tensors" + (f", {skipped} left out" if skipped else "")
    if name and sizes[name] > tolerance:
        note += f"; {name}"
    return Difference(quantity, sizes.get(name, math.inf), tolerance, note)


def _checksums(trace: Trace, start: Mapping[str, Tensor], ours: Replayed) -> list[Difference]:
    """Compare parameter sums, distances moved, and optimizer groups."""
    total, moved, grouped = [], [], []
    for name, recorded in trace.checksums_float64.items():
        if UNUSED.search(name):
            continue
        if name not in ours.final or name not in start:
            total.append(math.inf)
            continue
        value = ours.final[name]
        total += [(float(value.sum()) - recorded.sum) / (recorded.abs_sum or 1.0)]
        total += [(float(value.abs().sum()) - recorded.abs_sum) / (recorded.abs_sum or 1.0)]
        moved.append(float((value - start[name]).abs().max()) - recorded.moved_max)
        grouped += [a - b for a, b in zip(ours.groups[name], recorded.lr_wd, strict=True)]
    if not trace.checksums_float64:
        return []
    return [
        Difference("final sums, relative", worst(total), PARAMETER_TOLERANCE),
        Difference("largest movement", worst(moved), PARAMETER_TOLERANCE),
        Difference("learning rate and decay by parameter", worst(grouped), 1e-12),
    ]


def _dropped(trace: Trace, zeros: Replayed, ours: Replayed, theirs: Mapping[str, Tensor]) -> list[Difference]:
    """Compare the run with dropped gradients, and its distance from the other run."""
    suffix = " (gradients dropped)"
    found = [_relative("loss" + suffix, ours.losses, [step.loss_set_to_none for step in trace.steps], LOSS_TOLERANCE)]
    if theirs:
        found.append(_parameters("final parameters" + suffix, ours.final, theirs))
    apart = [
        largest(ours.final[name], zeros.final[name]) - recorded.none_dev
        for name, recorded in trace.checksums_float64.items()
        if recorded.none_dev is not None and name in ours.final
    ]
    if apart:
        found.append(Difference("distance of the two ways", worst(apart), PARAMETER_TOLERANCE, f"{len(apart)} tensors"))
    return found


def _float32(trace: Trace, ours: Replayed, final: Mapping[str, Tensor]) -> list[Difference]:
    """Compare the float32 run with the original's float32 losses and float64 parameters."""
    losses, norms = [s.loss_float32 for s in trace.steps], [s.grad_norm_float32 for s in trace.steps]
    return [
        _relative("loss (float32)", ours.losses, losses, FLOAT32_LOSS_TOLERANCE),
        _relative("gradient norm (float32)", ours.norms, norms, FLOAT32_LOSS_TOLERANCE),
        _parameters("final parameters (float32)", ours.final, final, FLOAT32_PARAMETER_TOLERANCE, UNSTABLE),
    ]
