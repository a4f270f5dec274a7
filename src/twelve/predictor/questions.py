"""One question about scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twelve.predictor.checks import Turns
from twelve.tasks.formats.shared import dialogue as marked
from twelve.types.examples import Box

if TYPE_CHECKING:
    from twelve.predictor.scene import Scene


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask a model; :meth:`Predictor.question` makes it.

    Attributes:
        method: answer | locate | choose | guess | entails | verify, or one of another output.
        task: the task whose token, head and text length apply.
        text: for people.
        boxes: candidates, xyxy pixels.
        threshold: score (0..1) below which a box does not count as found.
        turns: (question, answer) of a dialogue.
    """

    method: str
    task: str
    text: str
    scenes: tuple[Scene, ...]
    boxes: tuple[Box, ...] = ()
    threshold: float | None = None
    turns: Turns = ()

    @property
    def model_text(self) -> str:
        """What the model reads: a dialogue with the words between its turns that it was trained with."""
        return marked(self.turns) if self.turns else self.text
