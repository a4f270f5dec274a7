"""What the stored evaluation of a model says of its tasks: their scores, and which are no better than a baseline;
and which weights it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelve.errors import TwelveError
from twelve.evaluation.compared import BETTER, compared, height, standing, unbeaten
from twelve.evaluation.published_scores import DRAWN
from twelve.evaluation.results import TaskResult, read_results
from twelve.predictor.asked import find
from twelve.run_folder import RunFolder
from twelve.tasks.base import all_tasks

ACCURACY = "accuracy"
"""The metric that a percentage is without another name."""


@dataclass(frozen=True, slots=True)
class TaskStanding:
    """What an evaluation says of a task: one of the two, or neither, as where the run was trained further since.

    Attributes:
        test_score: its score in words, to follow "test score", if it is better than every baseline.
        doubt: a sentence with its score and that of the best baseline that it is no better than.
    """

    test_score: str | None = None
    doubt: str | None = None


def standings_of(run: str | Path) -> dict[str, TaskStanding]:
    """Task -> what is known of it from the evaluation of a run or of a model's folder; empty if none is stored."""
    try:
        folder = find(run)
        files = [RunFolder(folder).evaluation]
        if RunFolder(folder.parent).config.is_file():  # otherwise, the folder above is not the run of the model
            files.append(RunFolder(folder.parent).evaluation)
        file = next(filter(Path.is_file, files), None)
        if file is None:
            return {}
        results, facts = read_results(file)
        earlier = RunFolder(file.parent).outdated(facts) is not None
    except (TwelveError, OSError):  # a service needs no evaluation
        return {}
    return {result.task: _standing(result, facts, earlier=earlier) for result in results}


def digest_of(folder: Path) -> str | None:
    """SHA-256 of the weights in a model's folder: of the file, or of several one after the other."""
    digest, files = hashlib.sha256(), sorted(folder.glob("model*.safetensors"))
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest() if files else None


def _standing(result: TaskResult, facts: Mapping[str, Any], *, earlier: bool) -> TaskStanding:
    if earlier:
        return TaskStanding()
    worst = unbeaten(result.baselines)
    if worst is not None:
        than = compared(worst.name, worst.score, standing(worst.advantage.low, worst.advantage.high))
        told = f"On its {result.examples:,} test examples, this task scored {result.score.mean:.1f}: {than}."
        return TaskStanding(doubt=told)
    kind = "synthetic test" if facts.get(DRAWN) is True and result.task in all_tasks() else "test"
    metric = "" if result.metric == ACCURACY else f" ({result.metric})"
    told = f"{result.score.mean:.1f}%{metric} on {result.examples:,} {kind} examples"
    best = max(result.baselines.values(), key=lambda each: height(each.name, each.score), default=None)
    if best is not None:
        alone = compared(best.name, best.score, BETTER)
        told += f", {alone if len(result.baselines) == 1 else 'better than every baseline'}"
    return TaskStanding(test_score=told)
