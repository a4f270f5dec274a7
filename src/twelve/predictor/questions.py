"""What is asked of scenes, and what is made of what the model finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twelve.predictor.checks import CHOOSING, Turns
from twelve.predictor.results import Answer, Chosen, Judged, Located, Result, Verified
from twelve.predictor.scene import Scene
from twelve.tasks.formats.shared import dialogue as marked
from twelve.types.examples import Box

if TYPE_CHECKING:
    from twelve.outputs.base import Prediction
    from twelve.predictor.attention import Attention


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked: made by :meth:`Predictor.question`.

    Attributes:
        method: answer | locate | choose | guess | entails | verify.
        task: whose token, head and length of text it is asked with.
        text: for people.
        boxes: candidates, xyxy pixels.
        threshold: below it (0..1), a box does not count as found.
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
        """What the model reads: of a dialogue, with the words between which it learnt turns."""
        return marked(self.turns) if self.turns else self.text


def result_of(
    question: Question,
    found: Prediction,
    threshold: float | None = None,
    attention: Attention | None = None,
    warnings: tuple[str, ...] = (),
) -> Result:
    """What was found, for whoever asked; ``threshold`` is of questions without one of their own."""
    common: dict[str, Any] = {
        "text": question.text,
        "task": question.task,
        "score": found.score,
        "warnings": warnings,
        "image": question.scenes[0].image,
        "attention": attention,
    }
    ranked: Any = found.alternatives
    least = threshold if question.threshold is None else question.threshold
    there = least is None or found.score >= least
    if question.method == "answer":
        return Answer(answer=found.value, alternatives=ranked, **common)
    if question.method == "locate":
        return Located(box=found.value if there else None, alternatives=ranked, **common)
    if question.method in CHOOSING:
        index = found.value if there else None
        box = None if index is None else question.boxes[index]
        return Chosen(index=index, box=box, alternatives=ranked, boxes=question.boxes, **common)
    if question.method == "verify":
        return Verified(true=bool(found.value), right=question.scenes[1].image, **common)
    named = tuple((_name(value), share) for value, share in ranked)
    return Judged(label=_name(found.value), alternatives=named, **common)


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
