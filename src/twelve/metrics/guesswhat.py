"""The guesser's error on GuessWhat?!, as in the official code (GuessWhatGame/guesswhat; de Vries et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import DataError
from twelve.formats.records import describe, finite
from twelve.formats.results import read_mapping, written_like

RESULT = '"5": 1001 (game and object), or "5": {"1001": 0.7, "1002": 0.3}, in one JSON object'
SUCCESS = "success"
STATUSES = (SUCCESS, "failure", "incomplete")
"""Only games with status ``success`` count: the questioner found the object."""


@dataclass(frozen=True, slots=True)
class Game:
    """A game: its outcome, the id of the target object, and the id of the object that the model selected; None where
    several have the highest score."""

    status: str
    object_id: str
    selected_id: str | None


@dataclass(frozen=True, slots=True)
class GuessWhatScores:
    """``error`` in 0..1 over the games that count; ``correct`` in the same order."""

    error: float
    correct: Sequence[bool]


def counts(status: str) -> bool:
    """Whether games with this status are measured."""
    return status == SUCCESS


def evaluate(games: Sequence[Game], *, every_status: bool = False, batch_size: int | None = None) -> GuessWhatScores:
    """Official metric: the share of successful games in which the wrong object was selected.

    Args:
        every_status: also count failed and incomplete games.
        batch_size: average the errors of batches of this size, as the official program does; a short last batch then
            weighs as much as a full one. None weighs all games equally.

    Raises:
        DataError: no game counts.
    """
    correct = [game.object_id == game.selected_id for game in games if every_status or counts(game.status)]
    if not correct:
        raise DataError(f"no game has status {SUCCESS!r}", remedy="measure on another split")
    size = batch_size or len(correct)
    batches = [correct[start : start + size] for start in range(0, len(correct), size)]
    errors = [1 - sum(batch) / len(batch) for batch in batches]
    return GuessWhatScores(sum(errors) / len(errors), correct)


def read_results(path: Path) -> dict[str, str | None]:
    """Game id -> id of the selected object, from one JSON object of :data:`RESULT`.

    Where objects have scores, the highest is selected. None is selected where several share the highest: a model that
    scores all objects alike has found none. (The official program takes the first, in an order that a result file does
    not have.)

    Raises:
        DataError: a value is neither an object id nor scores, a score is not finite, or a game occurs twice.
    """
    with written_like(path, RESULT):
        return {game: _selected(value, path, game) for game, value in read_mapping(path).items()}


def _selected(value: object, path: Path, game: str) -> str | None:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, Mapping) or not value:
        raise DataError(
            f"expected an object id, or ids with scores, found {describe(value)}", file=path, record=f"game {game}"
        )
    for key, score in value.items():
        if not finite(score):
            raise DataError(
                f"expected a finite number as the score of object {key}, found {describe(score)}",
                file=path,
                record=f"game {game}",
            )
    highest = max(value.values())
    best = [key for key, score in value.items() if score == highest]
    return str(best[0]) if len(best) == 1 else None
