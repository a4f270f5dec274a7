"""Scores on examples that a model was trained on: whether it has memorised them."""

from __future__ import annotations

from collections.abc import Sequence

from twelve.study.cells import table
from twelve.study.finding_types import Findings, Score

SAID = (
    "Passes: how often the arm's whole training has seen each training example of the task, without the training of a "
    "model that it starts from. The scores are validation scores of the kept models, on training examples and on the "
    "validation split, in per cent, means of the seeds. Where the first score is far "
    "above the second, the model has memorised training examples; more of them may then help more than longer training."
)


def by_training(found: Findings) -> str:
    """A table of all arms and tasks, and what it means; empty unless every model has these scores."""
    rows = []
    for row in found.rows:
        for arm in found.arms:
            if (score := row.scores.get(arm.name)) is None:
                continue
            passes, seen = _known(score.passes), _known(score.on_training_examples)
            if not passes or not seen:
                return ""
            cells = [_mean(passes), _mean(seen), _mean(score.validation), _gap(score, seen)]
            rows.append([row.title, arm.name, *cells, ", ".join(f"{each:.1f}" for each in seen)])
    header = ["task", "arm", "passes", "on training examples", "on the validation split", "difference"]
    return "\n\n".join([SAID, table([*header, "on training examples, by seed"], rows)]) if rows else ""


def _known(values: Sequence[float | None]) -> list[float]:
    """The values; none if any of them is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):z.1f}"


def _gap(score: Score, seen: Sequence[float]) -> str:
    return _mean([one - other for one, other in zip(seen, score.validation, strict=True)])
