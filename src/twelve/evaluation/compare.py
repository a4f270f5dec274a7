"""What a model has kept of the one that it went on from: official numbers before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.errors import DataError
from twelve.evaluation.results import Result, read_results
from twelve.io.files import is_there
from twelve.run_folder import EVALUATION


def earlier(init: str | None) -> list[Result]:
    """What ``twelve evaluate`` measured of the run that a configuration goes on from; nothing where it has not, or its
    file is damaged."""
    for folder in () if init is None else (Path(init), Path(init).parent):
        if is_there(folder / EVALUATION, DataError):
            try:
                return read_results(folder / EVALUATION)[0]
            except DataError:
                return []
    return []


def comparison(before: Sequence[Result], after: Sequence[Result]) -> list[str]:
    """One line a task that both measured in the same way, with the score's change; "forgot" where the two 95 %
    intervals, which hold for either model alone, do not meet."""
    known, lines = {result.task: result for result in before}, []
    for result in after:
        old = known.get(result.task)
        if old is None or (old.protocol, old.metric) != (result.protocol, result.metric):
            continue
        change = result.score.mean - old.score.mean
        line = f"{result.title + ', ' + result.metric:<38}{old.score.mean:6.1f} before, {change:+.1f} since"
        if result.score.high < old.score.low:
            line += ", forgot"
        elif result.score.low > old.score.high:
            line += ", gained"
        lines.append(line)
    return lines
