"""An answer from a vocabulary: visual question answering as classification with soft labels.

Soft targets and their score follow "Bottom-Up and Top-Down Attention for Image Captioning and Visual Question
Answering" (Anderson et al. 2018); the classifier is ViLBERT's (Lu et al. 2019).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from twelve.errors import CheckpointError
from twelve.outputs.base import Examples, Labels, Output, Prospects, RegionSets, register
from twelve.outputs.parts.later import Tensor, nn, torch
from twelve.outputs.parts.losses import label_at_best, log_odds, precise, sum_over_labels
from twelve.outputs.parts.result import Context, Result, best_bars, pairs_of, ranked
from twelve.types.examples import Example
from twelve.types.predictions import Card, Prediction, RecordedPrediction

SHOWN = 5
"""How many of the best answers a prediction carries."""


@lru_cache(maxsize=16)
def _columns(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Answer -> its column."""
    return {answer: column for column, answer in enumerate(vocabulary)}


def among(logits: Tensor, vocabulary: Labels, own: Sequence[str] | None) -> Tensor:
    """(E, A) logits with -inf for the answers that are not in ``own``, except for each row's best answer.

    The head of a task of one's own often has the answers of other tasks too. Without them, the alternatives to an
    answer are those that the task was trained on; the answer itself stays.
    """
    if own is None:
        return logits
    kept = logits == logits.max(dim=1, keepdim=True).values
    columns = _columns(tuple(vocabulary))
    kept[:, [columns[answer] for answer in own if answer in columns]] = True
    return logits.masked_fill(~kept, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Answered(Result):
    """An answer to a question.

    Attributes:
        alternatives: the best answers with the confidence of each, best first.
    """

    answer: str
    alternatives: tuple[tuple[str, float], ...] = field(default=(), metadata=pairs_of("answer"))

    @property
    def value(self) -> str:
        return self.answer

    @property
    def words(self) -> str:
        return ranked(self.answer, self.confidence, self.alternatives)

    @property
    def bars(self) -> Sequence[tuple[str, float, str]]:
        return best_bars(self.alternatives)


@register
class Answer(Output):
    """One of A answers. ``Example.target`` is {answer: soft score in 0..1}, or None if it is unknown."""

    kind = "answer"
    skill = "answering"
    needs_vocabulary = True
    graded = True
    asks = "Answer a question about an image, with one answer out of a fixed list."
    legend = "Bars: the answers the model finds likeliest, each with its own confidence; ✓ marks what is correct."
    metrics: ClassVar = {
        "accuracy": "Mean mark of the answers, as the dataset's own scorer gives them; 100 means every answer is "
        "correct."
    }
    methods = ("answer",)
    examples: ClassVar = {"answer": 'scene.answer("what colour is the boat?")'}

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        return vocabulary

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """(P, B) -> (P, A); ``size`` is A."""
        from twelve.outputs.parts.heads import Classifier

        return Classifier(fused_size, size)

    def start_from(self, head: nn.Module, targets: Mapping[str, Tensor]) -> None:
        bias = getattr(head[-1] if isinstance(head, nn.Sequential) else head, "bias", None)
        if bias is None:  # as in a head of a program
            return
        wanted = log_odds(targets["target"].mean(0))
        if bias.shape == wanted.shape:  # else its last layer does not give one number for each answer
            with torch.no_grad():
                bias.copy_(wanted)

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Binary cross-entropy over (E, A) logits: summed over the answers, averaged over the examples."""
        return sum_over_labels(logits, targets["target"])

    def score(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) soft score in 0..1 of the answer with the highest logit."""
        return label_at_best(logits, targets["target"])

    def label(self, example: Example) -> Hashable | None:
        """The answer with the highest soft score, the first of equals; "" if there is none."""
        if not isinstance(example.target, Mapping) or not example.target:
            return ""
        return max(example.target, key=example.target.__getitem__)

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """``target``: (E, A) float32 soft scores; answers that the vocabulary lacks are left out."""
        index = _columns(tuple(vocabulary))
        rows, columns, scores = list[int](), list[int](), list[float]()
        for row, example in enumerate(examples):
            if example.target is None:
                continue
            if not isinstance(example.target, Mapping):
                raise TypeError(f"{example.id}: expected {{answer: score}} as target, found {example.target!r}")
            for answer, score in example.target.items():
                if answer in index:
                    rows.append(row)
                    columns.append(index[answer])
                    scores.append(score)
        target = torch.zeros(len(examples), len(vocabulary))
        target[rows, columns] = torch.tensor(scores, dtype=target.dtype)
        return {"target": target}

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """The scores of an answer drawn uniformly from the vocabulary, and of the best answer in the vocabulary."""
        known = frozenset(vocabulary)
        scores = [
            [score for answer, score in (example.target or {}).items() if answer in known]  # type: ignore[union-attr]
            for example in examples
        ]
        return Prospects(
            chance=np.array([sum(found) for found in scores]) / max(1, len(known)),
            best=np.array([max(found, default=0.0) for found in scores]),
        )

    def decode(self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The best answer of each row of (E, A) logits with its sigmoid as confidence, and the best five; those with
        -inf are left out."""
        if logits.shape[1] != len(vocabulary):
            raise CheckpointError(
                f"the head has {logits.shape[1]} answers, the vocabulary {len(vocabulary)}",
                remedy="load the vocabulary that was saved beside this checkpoint",
            )
        best = precise(logits).topk(min(SHOWN, len(vocabulary)), dim=1)
        found = []
        for values, columns in zip(best.values, best.indices.tolist(), strict=True):
            possible = values[values > -torch.inf].sigmoid().tolist()
            ranked = tuple((vocabulary[column], share) for column, share in zip(columns, possible, strict=False))
            found.append(Prediction(*ranked[0], alternatives=ranked))
        return found

    def card(self, record: RecordedPrediction) -> Card:
        target = record.target if isinstance(record.target, Mapping) else {}
        best = max(target.values(), default=0.0)
        return Card(
            text=record.text,
            images=self.card_images(record),
            says=str(record.value) or "(no answer)",
            wanted=_marked(target) or "no accepted answer",
            choices=self.choices(record, {answer for answer, mark in target.items() if mark == best}),
        )

    def result(self, found: Prediction, context: Context) -> Answered:
        return Answered(answer=found.value, alternatives=found.alternatives, **context.fields)


def _marked(target: Mapping[str, float]) -> str:
    """Correct answers, then those correct in part: ``no; partly correct: nope, not really (60 of 100), yes (30)``."""
    marks: dict[float, list[str]] = {}
    for answer in sorted(filter(target.get, target), key=lambda answer: (-target[answer], answer)):
        marks.setdefault(target[answer], []).append(answer)
    right = ", ".join(marks.pop(1.0, ()))
    partly = ", ".join(
        f"{', '.join(answers)} ({100 * mark:.0f}{'' if place else ' of 100'})"
        for place, (mark, answers) in enumerate(marks.items())
    )
    return "; ".join(filter(None, (right, partly and f"partly correct: {partly}")))
