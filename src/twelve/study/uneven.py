"""Differences that come mostly from tasks which the arm that is behind hardly learns: how much of the difference, and
what is left on the others."""

from __future__ import annotations

from collections.abc import Mapping

from twelve.progress import counted
from twelve.study.bootstrap import by_bootstrap_alone
from twelve.study.cells import gain_of
from twelve.study.finding_types import Comparison, Findings
from twelve.study.studies.base import said

HARDLY = 10.0
"""Normalised score below which a task is hardly learned."""
MOST = 50.0
"""Share of a difference, per cent, from which on it is said that it comes from such tasks."""


def hardly_learned(scores: Mapping[str, float], leads: Mapping[str, float]) -> tuple[tuple[str, ...], float] | None:
    """The tasks that the arm which is behind hardly learns, and their share of the difference, per cent; None if that
    is less than :data:`MOST`.

    Args:
        scores: task -> normalised score of this arm.
        leads: task -> difference in normalised score; their sum is not zero.
    """
    hardly = tuple(task for task, score in scores.items() if score < HARDLY)
    share = 100 * sum(leads[task] for task in hardly) / sum(leads.values())
    return (hardly, share) if share >= MOST else None


def told(found: Findings) -> tuple[str, ...]:
    """The sentences of a study, each that states a difference followed by where most of it comes from, if that is from
    tasks that are hardly learned."""
    following = {said(each): origin(each) for each in found.comparisons if each.uneven is not None}
    parts = ((sentence, following.get(sentence, "")) for sentence in found.sentences)
    return tuple(filter(None, (text for part in parts for text in part)))


def origin(comparison: Comparison) -> str:
    """Where most of a difference comes from, in a sentence; empty if it is not from tasks that are hardly learned, and
    where no task is learned, which the difference's own sentence says."""
    if (uneven := comparison.uneven) is None or (uneven.rest is None and comparison.learned is None):
        return ""
    behind = f"{uneven.behind} has a normalised score below {HARDLY:g}"
    others = len(comparison.cells) - len(uneven.tasks)
    if uneven.rest is None:
        return f"{behind} on each of the {len(comparison.cells)} tasks."
    alone = " (bootstrap alone)" * by_bootstrap_alone(uneven.rest, uneven.rest_seeds)
    rest = f"{f'over the other {others}' if others > 1 else 'on the other'}: {gain_of(uneven.rest)}{alone}"
    tasks = counted(len(uneven.tasks), "task")
    sure = not comparison.every_by_bootstrap_alone
    lead = "lead" if sure and uneven.behind == comparison.contrast.minus else "difference"
    share = f"{uneven.share:.0f}%" if uneven.share < 99.5 else "All"
    which = f"the {lead} over all tasks" if comparison.warned else f"this {lead}"
    return f"{share} of {which} comes from {tasks} on which {behind}; {rest}."
