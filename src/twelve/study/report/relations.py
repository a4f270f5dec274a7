"""Relations between groups of tasks: what a group gains when others are trained with it.

They are read off the contrasts of a study: one counts if all its tasks are of one group, ``minus`` trains them with
that group alone, and ``arm`` with whole other groups beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twelve import published
from twelve.metrics.bootstrap import Interval
from twelve.published import PublishedNumber
from twelve.study.bootstrap import by_bootstrap_alone, significant
from twelve.study.finding_types import Comparison, Findings


@dataclass(frozen=True, slots=True)
class Relation:
    """What one group gains from others.

    Attributes:
        contrast: the name of the contrast that it is.
        group: the group that is measured.
        partners: the groups that are trained with it, in the order of the study's tasks.
        points: mean difference of the official metrics of its learned tasks; of all, if none is learned.
        closed: the same in points of normalised score.
        points_seeds, closed_seeds: both of each seed.
        learned: whether a task of it is learned without the partners; if not, this is no gain and no loss.
        published: the paper's number for one partner, or None.
    """

    contrast: str
    group: str
    partners: tuple[str, ...]
    points: Interval
    closed: Interval
    learned: bool
    published: PublishedNumber | None
    points_seeds: tuple[float, ...] = ()
    closed_seeds: tuple[float, ...] = ()

    @property
    def significant(self) -> bool:
        """Whether the group is learned, and neither interval of ``points`` contains 0."""
        return self.learned and significant(self.points, self.points_seeds) != 0

    @property
    def by_bootstrap_alone(self) -> bool:
        """Whether the group is learned, and only the t interval of ``points`` over the seeds contains 0."""
        return self.learned and by_bootstrap_alone(self.points, self.points_seeds)

    @property
    def sign(self) -> str:
        """``+`` or ``−`` if ``points`` is significant, in parentheses if it is so by the bootstrap alone, else ``0``;
        empty if the group is not learned."""
        mark = "+" if self.points.mean > 0 else "−"
        return "" if not self.learned else mark if self.significant else f"({mark})" if self.by_bootstrap_alone else "0"


def relations(found: Findings) -> tuple[Relation, ...]:
    """All relations that a study has measured, those with few partners first."""
    group_of = {row.name: row.group for row in found.rows}
    groups = list(dict.fromkeys(group_of.values()))
    seen: dict[tuple[str, tuple[str, ...]], Relation] = {}
    for comparison in found.comparisons:
        relation = _relation(comparison, found, group_of)
        if relation is not None:
            seen.setdefault((relation.group, relation.partners), relation)
    return tuple(sorted(seen.values(), key=lambda each: (len(each.partners), [groups.index(p) for p in each.partners])))


def _relation(comparison: Comparison, found: Findings, group_of: Mapping[str, str]) -> Relation | None:
    tasks = [cell.task for cell in comparison.cells]
    own = {group_of[task] for task in tasks}
    models = [
        {group_of[other] for other in found.plan.arm(name).model_of(tasks[0]) if other in group_of}
        for name in (comparison.contrast.arm, comparison.contrast.minus)
    ]
    together, alone = models
    if comparison.contrast.than is not None or len(own) != 1 or alone != own or not together > own:
        return None
    (group,) = own
    whole = {task for task, its in group_of.items() if its in together}
    if not whole <= set(found.plan.arm(comparison.contrast.arm).model_of(tasks[0])):
        return None
    partners = tuple(dict.fromkeys(its for its in group_of.values() if its in together - own))
    return Relation(
        contrast=comparison.contrast.name,
        group=group,
        partners=partners,
        points=comparison.main_measure_points,
        closed=comparison.main_measure,
        learned=comparison.learned is not None,
        published=published.find("relations", group, partners[0]) if len(partners) == 1 else None,
        points_seeds=comparison.learned_points_seeds,
        closed_seeds=comparison.main_measure_seeds,
    )
