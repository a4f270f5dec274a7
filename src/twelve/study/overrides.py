"""Values of the configuration that an arm changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from twelve.config import parse
from twelve.errors import ConfigError
from twelve.runs.early import check_schedule
from twelve.settings import RunConfig, TaskSettings
from twelve.study.arms import Arm

SAME = (
    *("run", "data", "regions", "sources", "seed", "hold_out", "validation_images", "val_fraction", "replay"),
    *("vocabulary", "microworld"),
)
"""Sections that are the same in all arms: the data."""
OWN = ("model.init", "training.iterations", "training.epochs", "training.keep")
"""Keys that a study sets itself."""
OF_TASKS = ("learning_rate", "batch_size")
"""What an arm may change of a task: the rest decides what is read."""
ALONE: Mapping[str, Any] = {"name": "always-go", "options": {}}
"""The schedule of a model of one task, unless its arm changes it."""
_OF_OUTPUT = ("kind", "output", "loss")
"""Keys of a task, real or guessed, by which a reader may mean another loss."""


def overridden(tree: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a configuration's tree with other values, by keys with dots."""
    found = copy.deepcopy(dict(tree))
    for key, value in overrides.items():
        *path, last = key.split(".")
        node = found
        for part in path:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[last] = copy.deepcopy(value)
    return found


def check_overrides(config: RunConfig, arm: Arm) -> None:
    """Raises ConfigError, naming the arm, for a key that does not exist, that is the study's own or that would change
    the data, for a value of the wrong type, for an unknown schedule or balancing, and for a schedule that needs the
    arm's ``convergence``."""
    for key in arm.overrides:
        parts = key.split(".")
        if parts[0] in SAME or key in OWN or _decides_what_is_read(parts):
            problem = f"the arm {arm.name} changes {key}, which is the same in all arms or set by the study"
            remedy = "set it for all arms in the configuration"
            if parts[0] == "tasks" and parts[-1] in _OF_OUTPUT:
                remedy = "to train with another loss, name it in losses of the arm (docs/studies-reference.md)"
            raise ConfigError(problem, record="arms", remedy=remedy)
    tree = config.model_dump(mode="json")
    if arm.alone:  # as in a run (runs.py)
        tree["schedule"] = ALONE
    try:
        found = parse(overridden(tree, arm.overrides))
        check_schedule(found)
        _make_schedules(found, arm)
    except ConfigError as error:
        place = f"arms.{arm.name}.{error.record}" if error.record else f"arms.{arm.name}"
        raise ConfigError(error.problem, record=place, remedy=error.remedy) from None
    if found.tasks.keys() != config.tasks.keys():
        problem = f"the arm {arm.name} changes a task that is not there"
        raise ConfigError(problem, record="arms", remedy=f"name one of {', '.join(config.tasks)}")


def _decides_what_is_read(parts: Sequence[str]) -> bool:
    """Whether a key is of a task, and no arm may change it; False for an unknown one, which is no key at all."""
    if parts[0] != "tasks" or len(parts) != 3:
        return parts[0] == "tasks"
    return parts[2] not in OF_TASKS and parts[2] in (*TaskSettings.model_fields, *_OF_OUTPUT)


def _make_schedules(config: RunConfig, arm: Arm) -> None:
    """The schedule of each model of an arm, with any sizes of data and times to converge: some options fit only some
    tasks."""
    from twelve.training.schedules import make_schedule

    for names in arm.models:
        sizes = dict.fromkeys(names, 1)
        measured = {} if arm.convergence is None else {"convergence": sizes}
        options = {**config.schedule.options, **measured}
        make_schedule(config.schedule.name, options, tasks=names, sizes=sizes, iterations=1)
