"""The affinities that the probe ``affinity`` has measured in the runs of a study, and their intervals.

Axes: S seeds, M measurements of a run, T tasks, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from twelve.errors import DataError
from twelve.formats.records import read_object
from twelve.io import files
from twelve.metrics.bootstrap import Interval, percentiles
from twelve.progress import counted, enumerated
from twelve.settings import Strict
from twelve.study.bootstrap import Array
from twelve.study.cells import gain_of
from twelve.study.results import probe_file

PROBE = "affinity"
LEVEL = 0.95


class MeasuredOnce(Strict):
    """One measurement (training/affinity.py): row i of a matrix is of a step on task i."""

    iteration: int
    rate: float
    losses: tuple[float, ...]
    norms: tuple[float, ...]
    cosines: tuple[tuple[float, ...], ...]
    affinity: tuple[tuple[float, ...], ...]


class OfRun(Strict):
    """What the probe found in a run."""

    tasks: tuple[str, ...]
    every: int
    batches: int = 1
    """Batches that each gradient and each loss is a mean of."""
    measured: tuple[MeasuredOnce, ...]
    seconds: float
    cost: float
    """Per cent of the seconds of the run without it."""
    norms: tuple[float, ...] = ()
    cosines: tuple[tuple[float, ...], ...] = ()
    affinity: tuple[tuple[float, ...], ...] = ()
    """Means of the measurements, for those who read the file."""

    def over_time(self, name: str) -> Array:
        """(M, T, T) ``affinity`` or ``cosines``, (M, T) ``norms``."""
        return np.array([getattr(each, name) for each in self.measured], dtype=np.float64)


def read_affinities(out: Path, seeds: Sequence[int], key: str) -> list[OfRun]:
    """What the probe found in an arm with one model, for each seed.

    Args:
        out: the study's folder.
        key: of the arm's model (:meth:`twelve.study.arms.Arm.key`).

    Raises:
        DataError: a file is missing or damaged.
    """
    found: list[OfRun] = []
    for seed in seeds:
        path = probe_file(out, seed, key, PROBE)
        if not files.is_there(path, DataError):
            raise DataError("no affinities here", file=path, remedy="measure them: twelve study affinity")
        parts = [_read(path)]
        while files.is_there(path := probe_file(out, seed, key, PROBE, len(parts)), DataError):
            parts.append(_read(path))
        if not parts[0].measured or {part.tasks for part in parts} != {(found or parts)[0].tasks}:
            problem = f"expected matrices of {len(parts[0].tasks)} tasks, the same in all seeds, at least once"
            raise DataError(problem, file=path.parent / f"{PROBE}.json", remedy="train for longer, or restore the file")
        found.append(_joined([part for part in parts if part.measured]))
    return found


def _read(path: Path) -> OfRun:
    """What the probe found in a run, or in an extension of it."""
    fields = dict(read_object(path).fields)
    try:
        run = OfRun.model_validate(fields)
        shapes = {run.over_time(name).shape[1:] for name in ("affinity", "cosines") if run.measured}
    except (ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"not what the probe writes ({reason})", file=path, remedy="restore the file") from None
    if shapes - {(len(run.tasks), len(run.tasks))}:
        raise DataError(f"expected matrices of {len(run.tasks)} tasks", file=path, remedy="restore the file")
    return run


def _joined(parts: Sequence[OfRun]) -> OfRun:
    """A run and its extensions as one."""
    if len(parts) == 1:
        return parts[0]
    seconds = sum(part.seconds for part in parts)
    rest = sum(100 * part.seconds / part.cost for part in parts if part.cost > 0)
    return parts[0].model_copy(
        update={
            "measured": tuple(each for part in parts for each in part.measured),
            "seconds": seconds,
            "cost": 100 * seconds / rest if rest else 0.0,
            **{
                name: tuple(np.concatenate([part.over_time(name) for part in parts]).mean(0).tolist())
                for name in ("norms", "cosines", "affinity")
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Intervals:
    """Means and their intervals, all of one shape."""

    mean: Array
    low: Array
    high: Array

    def at(self, place: int | tuple[int | np.int64, ...]) -> Interval:
        """One of them."""
        return Interval(*(float(part[place]) for part in (self.mean, self.low, self.high)))

    @property
    def sign(self) -> Array:
        """1 where the interval is above zero, -1 where it is below, else 0."""
        found: Array = np.sign(self.mean) * ((self.low > 0) | (self.high < 0))
        return found


def intervals(seeds: Sequence[Array], *, resamples: int = 2000, seed: int = 0) -> Intervals:
    """Means over measurements and seeds, with bootstrap intervals over both: seeds as in bootstrap.py, one less than
    there are, and in each the measurements, which are taken to be independent of each other.

    Args:
        seeds: (M, ...) of each seed.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(0, len(seeds), max(1, len(seeds) - 1))
        drawn.append(np.mean([_resampled(seeds[number], rng) for number in chosen], axis=0))
    low, high = percentiles(np.stack(drawn), LEVEL)
    return Intervals(np.mean([each.mean(0) for each in seeds], axis=0), low, high)


def own_effects(runs: Sequence[OfRun]) -> Intervals:
    """(T,) how much a step on a task lowers its own loss on a second batch, per cent: a positive control."""
    return intervals([100 * np.diagonal(run.over_time("affinity"), axis1=1, axis2=2) for run in runs])


def control(runs: Sequence[OfRun]) -> str:
    """In which tasks a step is not shown to lower the loss of the same task, and what follows; empty if there are none.

    Args:
        runs: of each seed.
    """
    own, tasks = own_effects(runs), runs[0].tasks
    open_, raised = (
        [f"{name} ({_of(own, place)})" for place, name in enumerate(tasks) if own.sign[place] == sign]
        for sign in (0, -1)
    )
    failed = len(open_) + len(raised)
    if not failed:
        return ""
    told = [f"this is not shown for {enumerated(open_)}"] * bool(open_)
    told += [f"the step raises the loss instead for {enumerated(raised)}"] * bool(raised)
    every = failed == len(tasks)
    where, these = ("", "one task") if every else (f" on {failed} of {counted(len(tasks), 'task')}", "these tasks")
    return (
        "Positive control: a step on a task should lower the loss of the same task on a second batch; "
        f"{'; '.join(told)}. So the measurement fails its control{where}, and cannot tell how steps on {these} change "
        "the loss of another one."
    )


def _of(found: Intervals, place: int) -> str:
    return f"{gain_of(found.at(place), 2)}%"


def _resampled(values: Array, rng: np.random.Generator) -> Array:
    """The mean (...) of as many measurements as there are, drawn with replacement."""
    weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values))) / len(values)
    mean: Array = np.tensordot(weights, values, axes=1)
    return mean
