"""Scores by kind of example: where a model is weak, with intervals, and beside the best baseline there.

Parts of few examples are left out: of many small parts, the lowest one is low by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twelve.evaluation.kinds import kinds_of
from twelve.evaluation.results import CHANCE, Baseline, ScoredPart
from twelve.metrics.bootstrap import Interval, bounds_of_lead, part_intervals
from twelve.outputs import Output
from twelve.types.examples import Example

FEWEST_EXAMPLES, FEWEST_GROUPS = 30, 10
"""Fewest examples, and clusters to resample, of a part."""
SAME = 0.8
"""Two parts that share more of their examples than this (intersection over union) are one; the first is kept."""
LAST = ("count", "colour", "candidates", "words", "opening")
"""Kinds read off texts and candidates; those that the dataset names come first."""


def scored_parts(
    output: Output,
    examples: Sequence[Example],
    right: NDArray[np.float64],
    groups: Sequence[str],
    baselines: Mapping[str, NDArray[np.float64]],
    *,
    resamples: int,
) -> tuple[ScoredPart, ...]:
    """The score of every kind of example that occurs often enough.

    Args:
        right: (N,) contribution of each example to the score, 0..1.
        groups: (N,) resampling unit of each example.
        baselines: name -> (N,) contribution of each example to its score.
    """
    named, masks = divided(output, examples, groups)
    if not named:
        return ()
    parts = np.stack(masks)
    scores = part_intervals(right, groups, parts, resamples=resamples)
    best = _best(baselines, parts)
    if best is None:
        found: list[Baseline | None] = [None] * len(named)
    else:
        names, theirs = best
        means = np.where(parts, theirs, 0.0).sum(axis=1) / parts.sum(axis=1)
        bounds = [
            bounds_of_lead(row[mask], known=name == CHANCE)
            for name, row, mask in zip(names, theirs, parts, strict=True)
        ]
        ahead = part_intervals(right - theirs, groups, parts, resamples=resamples, bounds=bounds)
        found = [
            Baseline(name, 100 * float(mean), _per_cent(gain))
            for name, mean, gain in zip(names, means, ahead, strict=True)
        ]
    return tuple(
        ScoredPart(kind, value, int(mask.sum()), _groups(groups, mask), _per_cent(score), baseline)
        for (kind, value), mask, score, baseline in zip(named, masks, scores, found, strict=True)
    )


def divided(
    output: Output, examples: Sequence[Example], groups: Sequence[str]
) -> tuple[list[tuple[str, str]], list[NDArray[np.bool_]]]:
    """(kind, value) and (N,) examples of each part."""
    kinds = kinds_of(examples)
    order = [kind for kind in kinds if kind not in LAST] + [kind for kind in LAST if kind in kinds]
    answers = np.array([_answer(output, example) for example in examples])
    named, masks = list[tuple[str, str]](), list[NDArray[np.bool_]]()
    for kind in order:
        column = np.array(kinds[kind])
        # A part with one right answer says how often that is predicted, and the majority baseline is right in it.
        if np.mean(column == answers) > 0.5:
            continue
        for value in sorted(set(kinds[kind])):
            mask = column == value
            enough = mask.sum() >= FEWEST_EXAMPLES and _groups(groups, mask) >= FEWEST_GROUPS
            if enough and not mask.all() and not any(_overlap(mask, other) > SAME for other in masks):
                named.append((kind, value))
                masks.append(mask)
    return named, masks


def _answer(output: Output, example: Example) -> str:
    target = example.target
    return str(target if isinstance(target, str | bool) else output.label(example))


def _groups(groups: Sequence[str], mask: NDArray[np.bool_]) -> int:
    return len({groups[int(row)] for row in np.flatnonzero(mask)})


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def _best(
    baselines: Mapping[str, NDArray[np.float64]], parts: NDArray[np.bool_]
) -> tuple[list[str], NDArray[np.float64]] | None:
    """Of each part the name of its best baseline, and (P, N) that baseline's contributions; None without baselines."""
    if not baselines:
        return None
    names, each = list(baselines), np.stack(list(baselines.values()))
    order = (parts.astype(np.float64) @ each.T).argmax(axis=1)
    return [names[row] for row in order], each[order]


def _per_cent(found: Interval) -> Interval:
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high)
