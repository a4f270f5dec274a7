"""Find the best fixed weights of the losses. ``balancing`` compares other ways with the weights found here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from twelve.progress import counted
from twelve.study.arms import Arm, Contrast
from twelve.study.cells import table
from twelve.study.finding_types import Findings
from twelve.study.studies.base import Study, Subjects, register


@register
class StaticWeights(Study):
    """Joint runs with log-uniformly sampled weights of the losses; the first run has no weights.

    The best validation score decides, on seeds that ``balancing`` does not report: they begin at 1000 after the
    configuration's. One seed is enough for a choice.
    """

    name: ClassVar[str] = "static-weights"
    question: ClassVar[str] = "Which fixed weights of the tasks' losses are best? (The study balancing uses them.)"

    first_seed: ClassVar[int] = 1000

    configurations: int = Field(12, ge=2, le=100)
    """Number of runs, including the one without weights."""
    span: float = Field(4.0, gt=1)
    """Weights lie between 1 / span and span."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        return [
            subjects.joint(
                f"weights-{number}", "no weights" if number == 0 else f"weights {_words(weights)}"
            ).model_copy(
                update={"overrides": {"schedule": {"name": "always-go"}, "balancing": static(weights)}},
            )
            for number, weights in enumerate(self._weights(subjects))
        ]

    def _weights(self, subjects: Subjects) -> list[dict[str, float]]:
        rng, most = np.random.default_rng(0), np.log(self.span)
        drawn = rng.uniform(-most, most, (self.configurations - 1, len(subjects.tasks)))
        rows = [[0.0] * len(subjects.tasks), *drawn.tolist()]
        return [{task: round(float(np.exp(x)), 3) for task, x in zip(subjects.tasks, row, strict=True)} for row in rows]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        names = [arm.name for arm in self.arms(subjects)]
        return [Contrast(arm=name, minus=names[0], tasks=subjects.tasks) for name in names[1:]]

    def sentences(self, found: Findings) -> Sequence[str]:
        means = {arm.name: _validation(found, arm.name) for arm in found.arms}
        best = max(means, key=means.__getitem__)
        weights = found.plan.arm(best).overrides["balancing"]["options"]["weights"]
        plain, sets = found.arms[0].name, f"Of {counted(len(means), 'set')} of weights"
        if best == plain:
            first = f"{sets}, none has a better mean validation score than the run without weights ({plain}): "
            first += f"{means[best]:.1f}."
        else:
            first = f"{sets}, {best} has the best mean validation score, {means[best]:.1f}; the run without weights "
            first += f"has {means[plain]:.1f}."
        return [
            first,
            f"To use these weights in the study balancing: --option weights='{json.dumps(weights)}'.",
        ]

    def sections(self, found: Findings) -> Sequence[str]:
        """Validation scores of every set of weights, the best first: they decide."""
        means = {arm.name: _validation(found, arm.name) for arm in found.arms}
        tasks = [row.name for row in found.rows]
        rows = []
        for name in sorted(means, key=means.__getitem__, reverse=True):
            weights = found.plan.arm(name).overrides["balancing"]["options"]["weights"]
            scores = [f"{np.mean(row.scores[name].validation):.1f}" for row in found.rows]
            rows.append([name, *(f"{weights.get(task, 1.0):g}" for task in tasks), *scores, f"{means[name]:.1f}"])
        head = ["set", *(f"weight of {task}" for task in tasks), *(f"validation, {task}" for task in tasks), "mean"]
        words = "Validation scores (%) decide. The other tables are of test splits, and choose nothing."
        return [f"{words}\n\n" + table(head, rows)]


def static(weights: Mapping[str, float]) -> dict[str, object]:
    """The ``balancing`` section of fixed weights."""
    return {"name": "static", "options": {"weights": dict(weights)}}


def _words(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{task} {weight:g}" for task, weight in weights.items())


def _validation(found: Findings, arm: str) -> float:
    """Mean validation score over tasks and seeds."""
    return float(np.mean([row.scores[arm].validation for row in found.rows]))
