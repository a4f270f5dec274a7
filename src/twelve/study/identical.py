"""Arms that are the same: by their configuration, before they run, and by their scores on every example."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from twelve.config import parse
from twelve.study.arms import Arm
from twelve.study.finding_types import Findings
from twelve.study.overrides import ALONE, overridden
from twelve.study.plan import Plan
from twelve.tasks.base import all_tasks
from twelve.tasks.custom import own_tasks


def same_scores(found: Findings) -> list[str]:
    """One sentence that names the compared arms with equal scores on every example, except those that the answer names;
    empty if there are none."""
    answer = " ".join(found.sentences)
    named = [
        (one, other)
        for one, other in found.identical
        if not any(f"The scores of {a} and {b} are identical" in answer for a, b in ((one, other), (other, one)))
    ]
    if not named:
        return []
    head, *others = (" and ".join(pair) for pair in named)
    more = f"; so are those of {', of '.join(others)}" if others else ""
    each = " and seed" * (len(found.seeds) > 1)
    return [f"The scores of {head} are identical on every test example of every common task{each}{more}."]


def same_configurations(plan: Plan) -> Iterator[str]:
    """For each arm that starts and trains in the same way as an earlier one, a sentence without its full stop."""
    known = [(arm.name, _effective(plan, arm)) for arm in plan.arms]
    told = set[str]()
    for (first, one), (other, same) in combinations(known, 2):
        if one == same and other not in told:
            told.add(other)
            yield f"the arm {other} has the same configuration as {first}, so it trains the same models"


def _effective(plan: Plan, arm: Arm) -> dict[str, Any]:
    """All that decides what models an arm trains, with defaults filled in; equal for arms that train the same ones."""
    rates = {model: (arm.rates.of(model), arm.rates.share * arm.rates.searches(model)) for model in arm.models}
    pretraining = (arm.pretraining, arm.pretraining_rate) if arm.start == "pretrained" else None
    return {
        "models": {model: _configuration(plan, arm, model) for model in arm.models},
        "start": (arm.start, pretraining),
        **{"length": arm.length, "losses": dict(arm.losses), "rates": rates, "convergence": arm.convergence},
    }


def _configuration(plan: Plan, arm: Arm, model: tuple[str, ...]) -> dict[str, Any]:
    """The configuration of a model's run (runs.py), but for its folder, start and length."""
    alone = {"schedule": ALONE} if len(model) == 1 else {}
    config = parse(overridden({**plan.config, **alone}, arm.overrides))
    known, tasks = all_tasks(own_tasks(config.tasks)), {}
    for name in model:
        defaults, settings = known[name].defaults, config.tasks[name]
        own = {key: getattr(settings, key) or getattr(defaults, key) for key in ("learning_rate", "batch_size")}
        tasks[name] = settings.model_dump(mode="json") | own
    return config.model_dump(mode="json") | {"tasks": tasks}
