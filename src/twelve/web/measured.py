"""What the stored evaluation of a model says against its tasks: those that are no better than a baseline."""

from __future__ import annotations

from pathlib import Path

from twelve.errors import TwelveError
from twelve.evaluation.compared import compared, standing, unbeaten
from twelve.evaluation.results import TaskResult, read_results
from twelve.predictor.asked import find
from twelve.run_folder import RunFolder


def doubts_of(run: str | Path) -> dict[str, str]:
    """Task -> a sentence with its score and that of the best baseline that it is no better than, from the
    evaluation of a run or of a model's folder; empty if none is stored."""
    try:
        folder = find(run)
        files = [RunFolder(folder).evaluation]
        if RunFolder(folder.parent).config.is_file():  # otherwise, the folder above is not the run of the model
            files.append(RunFolder(folder.parent).evaluation)
        file = next(filter(Path.is_file, files), None)
        results = read_results(file)[0] if file is not None else []
    except (TwelveError, OSError):  # a service needs no evaluation
        return {}
    return {result.task: doubt for result in results if (doubt := _doubt(result))}


def _doubt(result: TaskResult) -> str:
    best = unbeaten(result.baselines)
    if best is None:
        return ""
    than = compared(best.name, best.score, standing(best.advantage.low, best.advantage.high))
    return f"On its {result.examples:,} test examples, this task scored {result.score.mean:.1f}: {than}."
