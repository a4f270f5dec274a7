"""Train every subset of the groups of tasks. Which groups help each other? Each model trains for as many iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from twelve.errors import ConfigError
from twelve.progress import counted, enumerated
from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import by_bootstrap_alone, significant, t_interval
from twelve.study.cells import gain_of, spread
from twelve.study.finding_types import Comparison, Findings
from twelve.study.studies.base import Study, Subjects, by_two_seeds, pretrained, register

ALL = "all"
MOST_GAINS = 4
"""Most significant gains that the answer names."""


@register
class Groups(Study):
    """Subsets of the groups of tasks that need the same skill."""

    name: ClassVar[str] = "groups"
    question: ClassVar[str] = "Which groups of tasks help each other, and which are better off alone?"
    claim: ClassVar[str] = "Most groups gain from being trained with another one; the gains are not symmetric."

    pretraining: float = Field(0.0, ge=0)
    """Iterations of pretraining, as a share of the joint run's; all models of a seed begin with the pretrained model.
    0: they begin with random weights."""
    pretraining_rate: float | None = Field(None, gt=0)
    """Learning rate of pretraining; by default, those of the retrieval tasks."""

    def arms(self, subjects: Subjects) -> Sequence[Arm]:
        if len(subjects.groups) < 2:
            remedy = "name tasks that need different skills"
            raise ConfigError("all tasks belong to one group", record="tasks", remedy=remedy)
        begins = pretrained(subjects, self.pretraining, self.pretraining_rate)
        after = " after pretraining" if self.pretraining else ""
        joint = Arm(name=ALL, meaning=f"one model for all groups{after}", models=subjects.one, **begins)
        every = tuple(subjects.groups)
        subsets = [subset for subset in subjects.subsets() if subset != every]
        return [
            joint,
            *(
                joint.model_copy(
                    update={
                        "name": "+".join(subset),
                        "meaning": f"one model for {enumerated(subset)}{after}, with as many iterations as the joint "
                        "model",
                        "models": (subjects.of(subset),),
                    }
                )
                for subset in subsets
            ),
        ]

    def contrasts(self, subjects: Subjects) -> Sequence[Contrast]:
        """Each group in each larger subset minus the group alone; then all groups minus all but one."""
        every = tuple(subjects.groups)
        named = {subset: ALL if subset == every else "+".join(subset) for subset in subjects.subsets()}
        found = [
            Contrast(arm=name, minus=group, tasks=subjects.groups[group])
            for subset, name in named.items()
            for group in subset
            if len(subset) > 1
        ]
        left_out = [subset for subset in named if len(subset) == len(every) - 1 and len(subset) > 1]
        return [*found, *(Contrast(arm=ALL, minus=named[each], tasks=subjects.of(each)) for each in left_out)]

    def sentences(self, found: Findings) -> Sequence[str]:
        alone = [each for each in found.comparisons if "+" not in each.contrast.minus]
        known = [each for each in alone if each.learned is not None]
        only_with = _learned_only_with([each for each in alone if each.learned is None])
        if not known:
            why = "learns" if alone else "was trained"
            return [*only_with, f"No group {why} alone, so nothing is compared."]
        said = f"{_counted(known)}{by_two_seeds(found)}{_uncertain(known)}."
        only_with += _left_out(found.comparisons)
        gains = [f"{_trained(each)} ({gain_of(each.main_measure_points)})" for each in known if _sign(each) > 0]
        if 0 < len(gains) <= MOST_GAINS:
            said += f" The gain{'s' * (len(gains) > 1)}, in points of the official metric: {'; '.join(gains)}."
        if len(known) == 1:
            (only,) = known
            difference = f"{gain_of(only.main_measure_points)}{_over_seeds(only)}"
            return [said, *only_with, f"The difference is {difference}, of {_trained(only)}."]
        best, worst = (choose(known, key=_mean) for choose in (max, min))
        low, high = (
            f"{gain_of(each.main_measure_points)}{unit}{_over_seeds(each)}, of {_trained(each)}"
            for each, unit in ((worst, ""), (best, " points of the official metric"))
        )
        return [said, *only_with, f"The differences range from {low}, to {high}."]


def _left_out(comparisons: Sequence[Comparison]) -> list[str]:
    """What the other tasks lose without each group: the model of all groups minus that of all but one; the largest loss
    first, and by how much it exceeds the others. Nothing for fewer than three groups, where a model of all but one has
    one group."""
    groups = {name for each in comparisons for arm in each.contrast.arms for name in arm.split("+")} - {ALL}
    lost = []
    for each in comparisons:
        kept = each.contrast.minus.split("+")
        left = groups - {*kept}
        if each.contrast.arm == ALL and len(kept) > 1 and len(left) == 1:
            lost.append((left.pop(), each))
    if len(lost) < 2:
        return []
    ordered = sorted(lost, key=lambda item: -item[1].every.mean)
    costs = ", ".join(f"{name} {gain_of(each.every)}" for name, each in ordered)
    sure = [name for name, each in ordered if each.every_significant]
    verdict = f"Significant: {enumerated(sure)}" if sure else "None is significant"
    said = f"What the other tasks gain from each group, in points of normalised score: {costs}. {verdict}."
    return [said, *_largest(ordered)]


def _largest(ordered: Sequence[tuple[str, Comparison]]) -> list[str]:
    """From which groups the other tasks gain less than from the first one, by t intervals of the paired differences;
    nothing for one seed."""
    (largest, first), *rest = ordered
    pairs = [(name, t_interval(np.subtract(first.seeds, each.seeds).tolist())) for name, each in rest]
    known = [(name, found) for name, found in pairs if found is not None]
    more = [f"{name} ({gain_of(found)})" for name, found in known if found.low > 0]
    if more:
        return [
            f"They gain more from {largest} than from {enumerated(more)}; t intervals over the seeds, not corrected."
        ]
    return [f"No difference between {largest} and another group is shown."] * bool(known)


def _learned_only_with(unlearned: Sequence[Comparison]) -> list[str]:
    """Which groups are learned in none but models of several groups: in how many of them, and the differences with the
    smallest sets of others that suffice and with all others."""
    compared: dict[str, list[Comparison]] = {}
    for each in sorted(unlearned, key=lambda each: (each.contrast.arm == ALL, len(_others(each)))):
        compared.setdefault(each.contrast.minus, []).append(each)
    told = [_learned_in(group, found) for group, found in compared.items() if any(map(_learns, found))]
    if not told:
        return []
    return [
        f"Not learned alone, but learned with others: {'; '.join(told)}. In parentheses: the score minus that alone."
    ]


def _learned_in(group: str, compared: Sequence[Comparison]) -> str:
    """In how many models of several groups one is learned, by the other group that decides it, if there is one.

    Args:
        compared: all models with the group; small ones first, that of all groups last.
    """
    learned = [each for each in compared if _learns(each)]
    others = {name for each in compared for name in _others(each)} - {ALL}
    told = f"in {len(learned)} of {counted(len(compared), 'model')}"
    for other in sorted(others):
        with_it = [each for each in compared if each.contrast.arm == ALL or other in _others(each)]
        if with_it == learned != compared:
            left = len(compared) - len(learned)
            told = f"in {len(learned)} of {counted(len(learned), 'model')} with {other}, in 0 of {left} without it"
    smallest: list[Comparison] = []
    for each in learned:
        if not any(_others(one) < _others(each) for one in smallest):
            smallest.append(each)
    named = ", ".join(f"{_with(each)} {gain_of(each.every_points)}" for each in smallest)
    return f"{group} {told} ({named})"


def _learns(comparison: Comparison) -> bool:
    """Whether an arm of a comparison has learned one of its tasks."""
    return not all(cell.by_none for cell in comparison.cells)


def _others(comparison: Comparison) -> set[str]:
    """The groups that are trained with the one of a comparison."""
    return {*comparison.contrast.arm.split("+")} - {comparison.contrast.minus}


def _counted(known: Sequence[Comparison]) -> str:
    """How many comparisons show a gain and how many a loss; the beginning of a sentence."""
    gain, loss = (sum(_sign(each) == sign for each in known) for sign in (1, -1))
    if len(known) == 1:
        shows = "gains from" if gain else "loses by" if loss else "neither gains from nor loses by"
        return f"In the only comparison of a group that is learned alone, it {shows} others that train with it"
    return (
        f"A group that is learned alone gains from others that train with it in {gain or 'none'} of {len(known)} "
        f"comparisons, and loses in {loss or 'none'}"
    )


def _sign(comparison: Comparison) -> int:
    """1 or -1 where the difference is significant in the official metric, as in the matrix of relations; else 0."""
    return significant(comparison.main_measure_points, comparison.learned_points_seeds)


def _mean(comparison: Comparison) -> float:
    return comparison.main_measure_points.mean


def _over_seeds(comparison: Comparison) -> str:
    """Its t interval in brackets; empty where that is not known."""
    low_high = spread(comparison.learned_points_seeds)
    return f" (t interval over the seeds {low_high})" if low_high else ""


def _uncertain(compared: Sequence[Comparison]) -> str:
    """What is said after a count of significant differences: how many more only the bootstrap interval finds."""
    alone = [each for each in compared if by_bootstrap_alone(each.main_measure_points, each.learned_points_seeds)]
    gains = sum(_mean(each) > 0 for each in alone)
    losses = len(alone) - gains
    more = ["more " * any(_sign(each) == sign for each in compared) for sign in (1, -1)]
    told = [f"{gains} {more[0]}gain{'s' * (gains > 1)}"] * (gains > 0)
    told += [f"{losses} {more[1]}loss{'es' * (losses > 1)}"] * (losses > 0)
    verb = "is" if len(alone) == 1 else "are"
    return f"; {' and '.join(told)} {verb} shown by the bootstrap alone, thus not significant" if alone else ""


def _trained(comparison: Comparison) -> str:
    """The group of a comparison, and the others that it is trained with."""
    return f"{comparison.contrast.minus} when it is trained {_with(comparison)}"


def _with(comparison: Comparison) -> str:
    """The groups that are trained with the one of a comparison, in words."""
    contrast = comparison.contrast
    others = enumerated([group for group in contrast.arm.split("+") if group != contrast.minus])
    return f"with {'all others' if contrast.arm == ALL else others}"
