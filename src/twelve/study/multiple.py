"""Many differences in one study: how many would be significant by chance, and which remain after Holm's correction.

A difference is significant if neither its bootstrap interval nor its t interval contains 0, so its p-value is the
larger of theirs. There are two families, each corrected for itself (Holm, A Simple Sequentially Rejective Multiple Test
Procedure, 1979): every learned task of every contrast; and the mean over all tasks of every contrast of several tasks
where that mean counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twelve.study.bootstrap import Array, t_probability, t_quantile
from twelve.study.cells import REMAINS, gain_of, spread
from twelve.study.finding_types import Cell, Comparison, Findings
from twelve.study.studies.base import said

ERROR = 0.05
"""How often a family without any true difference may have a significant one."""
LEAST_SEEDS = 3
"""Fewest seeds of which a difference can remain: two may agree by chance."""


def p_value(seeds: Array, samples: Array) -> float:
    """Two-sided p-value of a difference: the larger of the bootstrap's and, with two seeds or more, Student's t.

    Args:
        seeds: (S,) the difference of each seed.
        samples: (R,) resampled differences; the bootstrap's p-value is at least :func:`least` of R.
    """
    beyond = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return max(min(1.0, (1 + beyond) * least(len(samples))), t_probability(seeds.tolist()) if len(seeds) > 1 else 0.0)


def least(resamples: int) -> float:
    """The smallest p-value that a bootstrap can have."""
    return 2 / (resamples + 1)


def holm(values: Sequence[float]) -> list[bool]:
    """Which (N,) p-values of a family remain significant after Holm's correction; none of a single one, of which
    :func:`told` says nothing."""
    return [len(values) > 1 and each <= ERROR for each in adjusted(values)]


def adjusted(values: Sequence[float]) -> list[float]:
    """(N,) p-values of a family after Holm's correction."""
    found, largest, left = [1.0] * len(values), 0.0, len(values)
    for place in sorted(range(len(values)), key=values.__getitem__):
        largest = max(largest, min(1.0, left * values[place]))
        found[place], left = largest, left - 1
    return found


def corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons of a study, with :attr:`Cell.remains` of the learned tasks, and
    :attr:`Comparison.every_remains`."""
    remain = iter(holm([cell.p for each in comparisons for cell in each.cells if cell.learned]))
    mean_remains = iter(holm([each.p for each in comparisons if _is_mean(each)]))

    def marked(cell: Cell) -> Cell:
        remains = cell.learned and next(remain) and cell.significant != 0
        return replace(cell, remains=remains and len(cell.seeds) >= LEAST_SEEDS)

    return tuple(
        replace(
            each,
            cells=tuple(map(marked, each.cells)),
            every_remains=_is_mean(each)
            and next(mean_remains)
            and each.every_significant != 0
            and len(each.seeds) >= LEAST_SEEDS,
        )
        for each in comparisons
    )


def _is_mean(comparison: Comparison) -> bool:
    """Whether its mean over all tasks counts; that of one task is in the family of the tasks."""
    return len(comparison.cells) > 1 and not comparison.uncounted


def named(found: Findings) -> list[str]:
    """The means over all tasks that remain, in a sentence, with both intervals of those that no other sentence of the
    study tells; empty if none remains."""
    others = " ".join(found.sentences)
    means = [
        each.contrast.name + ("" if said(each) in others else f" {gain_of(each.every)}, t {spread(each.seeds)}")
        for each in found.comparisons
        if each.every_remains
    ]
    head = "Significant after Holm's correction (normalised score, mean of all tasks)"
    return [f"{head}: {'; '.join(means)}."] if means else []


def told(found: Findings, *, short: bool = False) -> str:
    """How many differences are significant, how many would be by chance, and how many remain after the correction, of
    the learned tasks and of the means over all tasks; a family is left out if it has but one, or none is significant.

    Args:
        short: leave it out with a single contrast, and else what a difference must be to remain.
    """
    if short and len(found.comparisons) < 2:
        return ""
    cells = [cell for each in found.comparisons for cell in each.cells if cell.learned]
    means = [each for each in found.comparisons if _is_mean(each)]
    families = [
        ("On learned tasks", "differences", [(cell.significant != 0, cell.remains) for cell in cells]),
        ("Over all tasks", "means", [(each.every_significant != 0, each.every_remains) for each in means]),
    ]
    parts = list[str]()
    for where, what, known in families:
        count, significant = len(known), sum(each for each, _ in known)
        if count > 1 and significant:
            limit = "" if short else _limit(found, count)
            parts.append(_counted(where, what, known, significant, first=not parts, short=short) + limit)
    return " ".join(parts)


def _counted(
    where: str, what: str, known: Sequence[tuple[bool, bool]], significant: int, *, first: bool, short: bool
) -> str:
    """What is said of a family, in full of the first one.

    Args:
        known: whether each difference is significant, and whether it remains so.
    """
    count, remain = len(known), sum(each for _, each in known)
    many = f"{where}, {significant} of {count} {what} {'is' if significant == 1 else 'are'} significant"
    chance, number = f"up to about {ERROR * count:.1f}", f"{remain or 'none'} remain{'s' * (remain < 2)}"
    mark = f" ({REMAINS.strip()})" * (remain > 0 and not short)
    if first:
        return f"{many}; by chance alone, {chance} would be. After Holm's correction, {number} significant{mark}."
    return f"{many} (by chance: {chance}); after the correction, {number}{mark}."


def _limit(found: Findings, count: int) -> str:
    """What a difference must be for any to remain."""
    resamples, seeds = found.plan.parsed().evaluation.resamples, len(found.seeds)
    if seeds < LEAST_SEEDS:
        return f" With fewer than {LEAST_SEEDS} seeds, none can."
    if least(resamples) > ERROR / count:
        return (
            f" With {resamples:,} bootstrap resamples, no difference can remain if there are more than "
            f"{int(ERROR / least(resamples))}."
        )
    errors = t_quantile(seeds - 1, 1 - ERROR / count)
    return f" With {seeds} seeds, the first to remain must be {errors:.1f} standard errors from 0."
