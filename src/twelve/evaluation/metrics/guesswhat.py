"""The guesser's error on GuessWhat?!, equal to the official code's (GuessWhatGame/guesswhat; de Vries et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve.errors import DataError

SUCCESS = "success"
"""Status of the games that count: the questioner found the object."""


@dataclass(frozen=True, slots=True)
class Game:
    """One game: how it ended, the object that was meant, and the one that the model selected (their ids)."""

    status: str
    object_id: str
    selected_id: str


@dataclass(frozen=True, slots=True)
class Scores:
    """``error`` in 0..1 over the games that count; ``correct`` in their order."""

    error: float
    correct: Sequence[bool]


def counts(status: str) -> bool:
    """Whether games of a status are measured."""
    return status == SUCCESS


def evaluate(games: Sequence[Game], *, every_status: bool = False, batch_size: int | None = None) -> Scores:
    """Official metric: share of the successful games in which another object was selected.

    Args:
        every_status: count failed and incomplete games as well.
        batch_size: average the errors of batches of this size, as the official program does; a short last batch then
            weighs as much as a full one. All games weigh the same when absent.

    Raises:
        DataError: no game counts.
    """
    correct = [game.object_id == game.selected_id for game in games if every_status or counts(game.status)]
    if not correct:
        raise DataError(f"no game has status {SUCCESS!r}", remedy="measure on another split")
    size = batch_size or len(correct)
    batches = [correct[start : start + size] for start in range(0, len(correct), size)]
    errors = [1 - sum(batch) / len(batch) for batch in batches]
    return Scores(sum(errors) / len(errors), correct)
