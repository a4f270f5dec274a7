"""Which fixed weights of the tasks' losses are best? ``balancing`` compares other ways with the weights found here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from twelve.study.arms import Arm, Contrast
from twelve.study.finding_types import Findings
from twelve.study.studies.base import Study, Subjects, register


@register
class StaticWeights(Study):
    """Joint runs with log-uniformly sampled weights of the losses; the first run has no weights.

    Run it on a seed that ``balancing`` does not report.
    """

    name: ClassVar[str] = "static-weights"
    question: ClassVar[str] = "Which fixed weights of the tasks' losses are best? (The study balancing uses them.)"

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
        best = max(means, key=lambda name: means[name])
        weights = found.plan.arm(best).overrides["balancing"]["options"]["weights"]
        return [
            f"Of {len(means)} sets of weights, {best} has the best mean validation score, {means[best]:.1f}; the run "
            f"without weights has {means[found.arms[0].name]:.1f}.",
            f"To use these weights in the study balancing: --option weights='{json.dumps(weights)}'.",
        ]


def static(weights: Mapping[str, float]) -> dict[str, object]:
    """The ``balancing`` section of fixed weights."""
    return {"name": "static", "options": {"weights": dict(weights)}}


def _words(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{task} {weight:g}" for task, weight in weights.items())


def _validation(found: Findings, arm: str) -> float:
    """Mean validation score over tasks and seeds."""
    return float(np.mean([row.scores[arm].validation for row in found.rows]))
