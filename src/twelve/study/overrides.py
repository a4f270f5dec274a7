"""Values of the configuration that an arm changes."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twelve.config import parse
from twelve.errors import ConfigError
from twelve.io.invalid import beginning
from twelve.io.yaml_text import read_yaml
from twelve.model.settings import Settings, defaults, unknown_setting
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
IN_PART = ("optimizer", "training")
"""Sections with keys that a study sets itself: an arm changes single keys, because a whole section would replace the
values of the configuration and of the study, too."""
OF_TASKS = ("learning_rate", "batch_size")
"""What an arm may change of a task: the rest decides what is read."""
ALONE: Mapping[str, Any] = {"name": "always-go", "options": {}}
"""The schedule of a model of one task, unless its arm changes it."""
_OF_OUTPUT = ("kind", "output", "loss")
"""Keys of a task, real or guessed, by which a reader may mean another loss."""

_SETTING = re.compile(r"--set ('[^']*'|[^\s,;)]+)")
"""A setting in a remedy."""


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


def check_keys(arm: Arm) -> None:
    """Raises ConfigError, naming the arm, for a key that is no text: a copy of an arm is not validated."""
    for key in arm.overrides:
        if not isinstance(key, str):
            problem = f"the arm {arm.name} overrides {beginning(key)}, which is not a key of the configuration"
            remedy = f"remove {beginning(key)} from overrides of the arm {arm.name}"
            raise ConfigError(problem, record=f"arms.{arm.name}.overrides", remedy=remedy)


def check_overrides(config: RunConfig, arm: Arm) -> None:
    """Raises ConfigError, naming the arm, for a key that does not exist, that is the study's own or that would change
    the data, for a whole section of which the study sets keys, for a value of the wrong type, for an unknown schedule
    or balancing, for a schedule that needs the arm's ``convergence``, and for sizes that no model can have."""
    for key in arm.overrides:
        parts = key.split(".")
        if key in IN_PART:
            problem = f"the arm {arm.name} replaces the whole section {key}"
            remedy = f"override single keys, named {key}.KEY"
            raise ConfigError(problem, record="arms", remedy=remedy)
        if parts[0] in SAME or key in OWN or _decides_what_is_read(parts):
            problem = f"the arm {arm.name} changes {key}, which is the same in all arms or set by the study"
            remedy = "set it for all arms in the configuration"
            if parts[0] == "tasks" and parts[-1] in _OF_OUTPUT:
                remedy = "to train with another loss, name it in losses of the arm (docs/studies-reference.md)"
            raise ConfigError(problem, record="arms", remedy=remedy)
    tree = config.model_dump(mode="json")
    if arm.alone:  # as in a run (runs.py)
        tree["schedule"] = ALONE
    with naming_arm(arm):
        found = parse(overridden(tree, arm.overrides))
        check_schedule(found)
        _make_schedules(found, arm)
        check_architecture(found)
        if found.model.init is not None and found.model.architecture != config.model.architecture:
            problem, remedy = "a trained model (model.init) keeps its sizes", "leave it out of overrides"
            raise ConfigError(problem, record="model.architecture", remedy=remedy)
    if found.tasks.keys() != config.tasks.keys():
        problem = f"the arm {arm.name} changes a task that is not there"
        raise ConfigError(problem, record="arms", remedy=f"name one of {', '.join(config.tasks)}")


@contextmanager
def naming_arm(arm: Arm, file: str | Path | None = None) -> Iterator[None]:
    """Errors from within about a key of the configuration name the arm, and ``file`` unless they name another."""
    try:
        yield
    except ConfigError as error:
        place = f"arms.{arm.name}.{error.record}" if error.record else f"arms.{arm.name}"
        remedy = _reaching(error.remedy, arm)
        raise ConfigError(error.problem, file=error.file or file, record=place, remedy=remedy) from None


def _reaching(remedy: str | None, arm: Arm) -> str | None:
    """A remedy that the arm does not undo: what it overrides is changed in the study's file, not with ``--set``."""
    for setting in _SETTING.findall(remedy or ""):
        key, _, text = "".join(shlex.split(setting)).partition("=")
        if any(f"{key}.".startswith(f"{own}.") for own in arm.overrides):
            example = repr({key: read_yaml(text, f"--set {setting}")})[1:-1]
            return f"change it in overrides of the arm {arm.name} in the study's file, for example: {example}"
    return remedy


def model_overrides(arm: Arm) -> dict[str, Any]:
    """What an arm changes of the section ``model``: how its initial model is made."""
    return {key: value for key, value in arm.overrides.items() if key.partition(".")[0] == "model"}


def check_architecture(config: RunConfig) -> None:
    """Raises ConfigError for an unknown field of ``model.architecture``, and for values that no model can have. Whether
    they suit a text encoder, the texts and the regions is checked when the model is made."""
    given, record = config.model.architecture, "model.architecture"
    try:
        for key in given:
            if key not in defaults():
                record += f".{key}"
                raise unknown_setting(key, given[key])
        if config.model.text_encoder is None:
            settings = Settings(**given)
            if "trunk" in given:
                from twelve.model.trunk import trunk_class  # imports torch

                trunk_class(settings)
    except ConfigError as error:
        raise ConfigError(error.problem, record=record, remedy=error.remedy) from None


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
