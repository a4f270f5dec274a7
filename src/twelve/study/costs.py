"""What the arms of a study cost, and the searches of their learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.progress import clock, enumerated
from twelve.study.arms import Arm
from twelve.study.finding_types import Cost, Findings, Searched
from twelve.study.plan import Plan, Step
from twelve.study.results import Result, Search, searched

UNEQUAL = 5
"""Per cent by which an arm may miss the length that it asks for without a sentence that says so."""


def cost(plan: Plan, out: Path, arm: Arm, results: Sequence[Sequence[Result] | None]) -> Cost:
    """The cost of an arm, a mean over the seeds.

    Args:
        results: of every task, one per seed; None for a task that the arm does not train.
    """
    by_task = {each[0].task: each for each in results if each}
    runs = [by_task[model[0]] for model in arm.models]  # a model of several tasks is in the file of each
    seeds = len(runs[0])
    every = [result for run in runs for result in run]
    times = [result.processor_seconds for result in every]
    memories = [result.memory for result in every if result.memory is not None]
    pretrained = [result.pretrained for result in runs[0]]
    known = len(memories) == len(every)  # with it, examples and updates were recorded
    found = [(step, search) for step, search in _searches(plan, out) if step.arm == arm]
    # The best run of a search of the full length is the run itself.
    extra = [
        (factor, search)
        for step, search in found
        for factor in search.batches
        if arm.rates.share < 1 or float(factor) != search.chosen
    ]
    return Cost(
        models=len(arm.models),
        parameters=sum(result.parameters for result in every) / seeds,
        updates=sum(sum(result.batches.values()) if result.steps is None else result.steps for result in every) / seeds,
        seconds=sum(result.seconds for result in every) / seeds,
        processor_seconds=None if None in times else sum(time or 0.0 for time in times) / seeds,
        search_updates=sum(search.batches[factor] for factor, search in extra),
        search_seconds=None
        if any(factor not in search.seconds for factor, search in extra)
        else sum(search.seconds[factor] for factor, search in extra),
        examples=sum(sum((result.examples or {}).values()) for result in every) / seeds if known else None,
        memory=max(each.lasting for each in memories) if known else None,
        memory_step=max(each.lasting + each.activations for each in memories) if known else None,
        pretraining=_mean([None if each is None else each.iterations for each in pretrained]),
        pretraining_seconds=_mean([None if each is None else each.processor_seconds for each in pretrained]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None if one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def lengths(found: Findings) -> list[str]:
    """Sentences about lengths that the tables of costs do not show."""
    return [*unequal(found), *pretraining(found)]


def pretraining(found: Findings) -> list[str]:
    """A sentence about pretraining, which is no part of an arm's updates and time."""
    names = [arm.name for arm in found.arms if arm.start == "pretrained"]
    if not names:
        return []
    every = len(names) == len(found.arms)
    whose = "All models" if every else f"The models of {enumerated(names)}"
    costs = {(found.costs[name].pretraining, found.costs[name].pretraining_seconds) for name in names}
    if len(costs) > 1:
        return [f"{whose} begin after pretraining on captions, which their updates and time leave out."]
    ((updates, seconds),) = costs
    size = "" if updates is None else f" for {updates:,.0f} updates per seed"
    size += "" if seconds is None else f" ({clock(seconds)} of processor time)"
    return [f"{whose} begin after pretraining on captions{size}, which their updates and time leave out."]


def unequal(found: Findings) -> list[str]:
    """A sentence for each arm that trained clearly more or less than planned, such as by its own stops."""
    told = []
    for arm in found.arms:
        rule, whole = arm.length, all(set(arm.tasks) == set(found.plan.arm(name).tasks) for name in arm.length.of)
        if rule.rule == "joint" or rule.extend or not whole or not {arm.name, *rule.of} <= found.costs.keys():
            continue
        own, *others = (_trained(found.costs[name], rule.unit) for name in (arm.name, *rule.of))
        if own is None or None in others or not (wanted := rule.factor * sum(each or 0 for each in others)):
            continue
        if abs(off := 100 * (own / wanted - 1)) > UNEQUAL:
            word = "more" if off > 0 else "fewer"
            told.append(f"{arm.name} trained on {abs(off):.0f}% {word} {rule.unit} than planned.")
    return told


def _trained(cost: Cost, unit: str) -> float | None:
    return cost.examples if unit == "examples" else cost.updates


def searches(plan: Plan, out: Path) -> tuple[Searched, ...]:
    """All finished searches, in the plan's order."""
    found = []
    for step, search in _searches(plan, out):
        factors = step.arm.rates.factors
        if search.chosen is not None:
            validations = {
                factor: None if score is None else 100 * score
                for factor in factors
                for score in [search.validations[str(factor)]]
            }
            at_edge = len(factors) > 2 and search.chosen in (min(factors), max(factors))
            found.append(Searched(step.arm.name, step.model, validations, search.chosen, at_edge))
    return tuple(found)


def _searches(plan: Plan, out: Path) -> list[tuple[Step, Search]]:
    return [(step, searched(out, step)) for step in plan.steps() if step.search]
