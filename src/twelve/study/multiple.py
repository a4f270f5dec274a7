"""Many differences in one study: how many would be significant by chance, and which remain after Holm's correction.

A difference is significant if neither its bootstrap interval nor its t interval contains 0, so its p-value is the
larger of theirs. The family is every task of every contrast that is learned (Holm, A Simple Sequentially Rejective
Multiple Test Procedure, 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twelve.study.bootstrap import Array, t_probability, t_quantile
from twelve.study.cells import REMAINS
from twelve.study.finding_types import Cell, Comparison, Findings

ERROR = 0.05
"""How often a family without any true difference may have a significant one."""


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
    """Which (N,) p-values of a family remain significant after Holm's correction."""
    remain, left = [False] * len(values), len(values)
    for place in sorted(range(len(values)), key=values.__getitem__):
        if values[place] > ERROR / left:
            break
        remain[place], left = True, left - 1
    return remain


def corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons of a study, with :attr:`Cell.remains` of the learned tasks."""
    remain = iter(holm([cell.p for each in comparisons for cell in each.cells if cell.learned]))

    def marked(cell: Cell) -> Cell:
        return replace(cell, remains=cell.learned and next(remain) and cell.significant != 0)

    return tuple(replace(each, cells=tuple(map(marked, each.cells))) for each in comparisons)


def told(found: Findings, *, short: bool = False) -> str:
    """How many differences are significant, how many would be by chance, and how many remain after the correction;
    empty if none is, or there is but one.

    Args:
        short: leave it out with a single contrast, and else what a difference must be to remain.
    """
    family = [cell for each in found.comparisons for cell in each.cells if cell.learned]
    count, significant = len(family), sum(cell.significant != 0 for cell in family)
    if count < 2 or not significant or (short and len(found.comparisons) < 2):
        return ""
    remain = sum(cell.remains for cell in family)
    said = (
        f"On learned tasks, {significant} of {count} differences {'is' if significant == 1 else 'are'} significant; by "
        f"chance alone, up to about {ERROR * count:.1f} would be. After Holm's correction, {remain or 'none'} "
        f"remain{'s' * (remain < 2)} significant{f' ({REMAINS.strip()})' * (remain > 0 and not short)}."
    )
    return said if short else f"{said}{_limit(found, count)}"


def _limit(found: Findings, count: int) -> str:
    """What a difference must be for any to remain; empty where that is not known."""
    resamples, seeds = found.plan.parsed().evaluation.resamples, len(found.seeds)
    if least(resamples) > ERROR / count:
        return f" With {resamples:,} bootstrap resamples, none can of more than {int(ERROR / least(resamples))}."
    if seeds < 2:
        return ""
    errors = t_quantile(seeds - 1, 1 - ERROR / count)
    return f" With {seeds} seeds, the first to remain must be {errors:.1f} standard errors from 0."
