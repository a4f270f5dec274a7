"""Official numbers of a model beside those of the model that it was initialised from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.errors import DataError
from twelve.evaluation.results import TaskResult, read_results
from twelve.io.files import is_there
from twelve.progress import with_sign
from twelve.run_folder import RunFolder


def earlier(init: str | None) -> list[TaskResult]:
    """Results of the run that a configuration is initialised from; none if it was not evaluated, or its file is
    damaged."""
    for folder in () if init is None else (Path(init), Path(init).parent):
        if is_there(file := RunFolder(folder).evaluation, DataError):
            try:
                return read_results(file)[0]
            except DataError:
                return []
    return []


def comparison(before: Sequence[TaskResult], after: Sequence[TaskResult]) -> list[str]:
    """One line for each task that both runs measured in the same way, with the change of the score; "forgot" or
    "gained" if the 95% intervals of the two models do not overlap."""
    known, lines = {result.task: result for result in before}, []
    for result in after:
        old = known.get(result.task)
        if old is None or (old.protocol, old.metric) != (result.protocol, result.metric):
            continue
        change = result.score.mean - old.score.mean
        line = f"{result.title + ', ' + result.metric:<38}{old.score.mean:6.1f} before, {with_sign(change)} since"
        if result.score.high < old.score.low:
            line += ", forgot"
        elif result.score.low > old.score.high:
            line += ", gained"
        lines.append(line)
    return lines
