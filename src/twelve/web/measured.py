"""What the stored evaluation of a model says against its tasks: those that are not significantly above a baseline."""

from __future__ import annotations

from pathlib import Path

from twelve.errors import TwelveError
from twelve.evaluation.results import TaskResult, read_results
from twelve.predictor.asked import find
from twelve.run_folder import RunFolder

_BASELINES = {
    "majority": "always giving the most frequent answer scores",
    "bag of words": "a model that sees only the texts scores",
    "box prior": "choosing a large box regardless of the phrase scores",
    "trained box prior": "a model that sees only positions and sizes of boxes scores",
    "shuffled images": "with every image replaced by another one, it scores",
    "chance": "choosing at random scores",
}


def doubts_of(run: str | Path) -> dict[str, str]:
    """Task -> a sentence with its score and that of the best baseline that it is not significantly above, from the
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
    unbeaten = {name: baseline for name, baseline in result.baselines.items() if not baseline.beaten}
    if not unbeaten:
        return ""
    name = max(unbeaten, key=lambda each: unbeaten[each].score)
    score, other = result.score.mean, unbeaten[name].score
    told = _BASELINES.get(name, f"the baseline {name} scores")
    chance = " The difference may be due to chance." if score > other else ""
    return f"On its {result.examples:,} test examples, this task scored {score:.1f}; {told} {other:.1f}.{chance}"
