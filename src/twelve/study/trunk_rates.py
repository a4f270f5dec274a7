"""The learning rate at which the trunks of an arm train: the smallest of a model's tasks (docs/configuration.md).

Adam's steps do not depend on the size of a loss, so a task that trains alone does so at its own rate, and beside others
at the smallest one. Two arms may therefore differ in this rate too.
"""

from __future__ import annotations

from collections.abc import Mapping

from twelve.config import parse
from twelve.progress import enumerated
from twelve.study.arms import Arm, Contrast
from twelve.study.finding_types import Findings
from twelve.study.overrides import overridden
from twelve.study.plan import Plan
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks

NAMED = 3
"""Most contrasts that the sentence on different rates names."""


def trunk_rates(plan: Plan, arm: Arm) -> dict[str, float]:
    """Task -> configured learning rate of the trunk that trains it, without the factor of a search."""
    config = parse(overridden(plan.config, arm.overrides))
    known = all_tasks(own_tasks(config.tasks))
    rates = {
        name: task.learning_rate or known[name].defaults.learning_rate
        for name, task in config.tasks.items()
        if name in arm.tasks
    }
    return {task: min(rates[other] for other in arm.model_of(task)) for task in arm.tasks}


def written(rates: Mapping[str, float]) -> str:
    """``2e-4``, or ``2e-4 to 6e-4`` where the models of an arm have different ones."""
    least, most = _short(min(rates.values())), _short(max(rates.values()))
    return least if least == most else f"{least} to {most}"


def differing(plan: Plan, contrast: Contrast) -> list[str]:
    """The tasks whose trunks train at different configured rates in the arms, of which an interaction has four; none if
    all arms had their rates searched."""
    arms = [plan.arm(name) for name in contrast.compared]
    if all(arm.rates.searches(model) for arm in arms for model in arm.models):
        return []
    rates = [trunk_rates(plan, arm) for arm in arms]
    return [task for task in contrast.tasks if len({each[task] for each in rates}) > 1]


def rates_differ(found: Findings) -> list[str]:
    """A sentence about contrasts whose arms have trunks that train at different rates."""
    plan = found.plan
    names = [each.contrast.name for each in found.comparisons if differing(plan, each.contrast)]
    if not names:
        return []
    if len(found.comparisons) == 1:
        return ["The rates of the arms' trunks differ."]
    which = enumerated(names) if len(names) <= NAMED else f"{len(names)} of {len(found.comparisons)} differences"
    return [f"In {which}, the rates of the arms' trunks differ."]


def _short(rate: float) -> str:
    digits, _, power = f"{rate:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
