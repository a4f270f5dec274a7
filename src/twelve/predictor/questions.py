"""A question about one or two scenes."""

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
    """A question; :meth:`Predictor.question` creates it.

    Attributes:
        method: answer, locate, choose, guess, entails or verify, or a method of a further output.
        task: name of the task, which determines token, head and maximum text length.
        text: the question as readable text.
        boxes: candidate boxes, xyxy pixels.
        threshold: confidence (0..1) below which a box does not count as found.
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
        """The model's input: a dialogue has marks between its turns, as in training."""
        return marked(self.turns) if self.turns else self.text
